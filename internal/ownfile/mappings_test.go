package ownfile

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMappings(t *testing.T) {
	const smaps = `00400000-00402000 r--p 00000000 fe:00 42                                 /opt/hune
Size:                  8 kB
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
00402000-03989000 r-xp 00002000 fe:00 42                                 /opt/hune
Rss:               39580 kB
Anonymous:             4 kB
03989000-07869000 r--p 03589000 fe:00 42                                 /opt/hune
Rss:               39556 kB
Anonymous:             0 kB
AnonHugePages:         0 kB
07869000-0786a000 r--p 07469000 fe:00 42                                 /opt/hune
Anonymous:             4 kB
0786a000-07af4000 rw-p 0746a000 fe:00 42                                 /opt/hune
Anonymous:             0 kB
c000000000-c010000000 rw-p 00000000 00:00 0
Anonymous:        124032 kB
7f0000000000-7f0000026000 r--p 00000000 fe:00 43                         /usr/lib/libc.so.6
Anonymous:             0 kB
7fff00000000-7fff00004000 r--p 00000000 00:00 0                          [vvar]
Anonymous:             0 kB
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
Anonymous:             0 kB
`
	require.Equal(t, []mapping{{0x400000, 0x402000}, {0x3989000, 0x7869000}}, mappingsOf(smaps, "/opt/hune"))
	require.Empty(t, mappingsOf(smaps, "/opt/other"))
	require.Empty(t, mappingsOf("", "/opt/hune"))
	require.Empty(t, mappingsOf("zz-03989000 r--p 0 fe:00 42 /opt/hune\nAnonymous: 0 kB\n10 r--p 0 fe:00 42 /opt/hune\nAnonymous: 0 kB\n", "/opt/hune"))
}

func FuzzMappings(f *testing.F) {
	f.Add("00400000-00402000 r--p 00000000 fe:00 42 /opt/hune\nAnonymous: 0 kB\n")
	f.Fuzz(func(t *testing.T, smaps string) {
		for _, m := range mappingsOf(smaps, "/opt/hune") {
			require.Less(t, m.from, m.to)
		}
	})
}

// TestGiveBack: the pages go, and come back when the program runs on, which is why the first look may be too late.
func TestGiveBack(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("pages are given back on Linux only")
	}
	before := residentFile(t)
	for range 100 {
		require.NoError(t, GiveBack())
		if residentFile(t) < before {
			return
		}
	}
	t.Fatal("nothing was given back")
}

// residentFile is how many kB of files the program has in its memory.
func residentFile(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if key, value, _ := strings.Cut(line, ":"); key == "RssFile" {
			kb, err := strconv.Atoi(strings.Fields(value)[0])
			require.NoError(t, err)
			return kb
		}
	}
	t.Fatal("the system doesn't say")
	return 0
}
