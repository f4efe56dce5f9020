package ownfile

import (
	"strconv"
	"strings"
)

// mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// mappingsOf returns where the memory of a process has file mapped as it is on the disk, by the text of
// /proc/PID/smaps: what can't be written, and of which no page is a copy. A copy has what the file doesn't have:
// addresses that were relocated, or break points of debuggers and probes.
func mappingsOf(smaps, file string) (out []mapping) {
	var at mapping
	ours := false
	for line := range strings.Lines(smaps) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 5 && !strings.HasSuffix(fields[0], ":"): // address perms offset dev inode path
			at, ours = parseRange(fields[0])
			ours = ours && len(fields) == 6 && fields[5] == file && !strings.Contains(fields[1], "w")
		case ours && len(fields) == 3 && fields[0] == "Anonymous:":
			if fields[1] == "0" {
				out = append(out, at)
			}
			ours = false
		}
	}
	return out
}

func parseRange(s string) (m mapping, ok bool) {
	from, to, ok := strings.Cut(s, "-")
	lo, err1 := strconv.ParseUint(from, 16, strconv.IntSize)
	hi, err2 := strconv.ParseUint(to, 16, strconv.IntSize)
	return mapping{uintptr(lo), uintptr(hi)}, ok && err1 == nil && err2 == nil && lo < hi
}
