package column

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUUIDMiddles(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		var got []string
		uuidMiddles([]byte(text), func(m []byte) bool {
			got = append(got, string(m))
			return true
		})
		require.Equal(t, want, got)
		require.Equal(t, len(want) > 0, hasUUID([]byte(text)))
	}
	f("")
	f("-")
	f("a29ac14e-99ca-4845-a337-448232191541", "99ca-4845-a337")
	f("pods/a29ac14e-99ca-4845-a337-44 x-1-A29A-99CA-4845-A337-", "99ca-4845-a337", "A29A-99CA-4845", "99CA-4845-A337")
	f("-99ca-4845-a337")
	f("-99ca-4845-a337-", "99ca-4845-a337")
	f("-99cx-4845-a337-")
	f("2026-01-02-2026-1001-1002-1003-", "2026-1001-1002", "1001-1002-1003")
}

// A needle with a UUID, or a part of one, finds the rows that a plain search does, whichever columns and
// filters they go through.
func TestMatchUUIDsInText(t *testing.T) {
	lines := []string{}
	for i := range 600 {
		id := someUUID(i)
		if i%7 == 0 {
			id = "none-at-all-here-and-there"
		}
		words := strings.Repeat("ab cd: ", i%5) + strings.Repeat("?", i%11) + strings.Repeat("x/", i%13) // few lines are alike
		lines = append(lines, words+id+[]string{"/etc? yes", "-tail", "", " and so on, and so on: \n"}[i*i%5%4])
	}
	enc := encodeLines(valuesOf(lines...))
	blobs := unpack(t, enc)
	for _, id := range []string{someUUID(8), someUUID(10_000), lines[1][3:30], lines[5][1:], "none-at-all-here"} {
		for from := 0; from+18 < len(id); from += 5 {
			needle := id[from:]
			for _, fold := range []bool{false, true} {
				r := reopen(t, enc.Page, blobs)
				got := r.Match(r.page.Columns[0], Contains, []byte(needle))
				if fold {
					got = r.MatchFold(r.page.Columns[0], Contains, []byte(needle))
				}
				for i, l := range lines {
					require.Equal(t, newNeedle(Contains, []byte(needle), fold).test([]byte(l)), got.Has(i), "%q in %q", needle, l)
				}
			}
		}
	}
	require.True(t, anyColumn(enc.Page.Columns[0], func(c *Column) bool { return c.Kind == Raw && c.Filtered }))
	require.Positive(t, enc.Page.Filter.Blobs)
}

func someUUID(i int) string {
	h := fmt.Sprintf("%016x%016x", uint64(i+1)*0x9e3779b97f4a7c15, uint64(i+1)*0xc2b2ae3d27d4eb4f)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:32]
}

// anyColumn reports whether is holds for c or a column in it.
func anyColumn(c *Column, is func(*Column) bool) bool {
	if c == nil {
		return false
	}
	if is(c) || anyColumn(c.Values, is) {
		return true
	}
	for k := range c.Templates {
		if slices.ContainsFunc(c.Templates[k].Slots, func(s Slot) bool { return anyColumn(s.Values(), is) }) {
			return true
		}
	}
	return false
}
