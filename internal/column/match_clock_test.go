package column

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

// Lines whose times are stored as what tells them from the page's timestamps: a search needs both.
func TestMatchWithClocks(t *testing.T) {
	clocks := 0
	for _, set := range loggen.Sets() {
		t.Run(set.Name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(41, 42))
			stream, v := set.Stream(3), &block.Values{}
			times := make([]int64, 1500)
			for i := range times {
				var line []byte
				line, times[i] = stream.Append(nil)
				v.Append(line)
			}
			e := NewEncoder(block.Fast)
			e.Ints(times, Spine)
			e.Lines(v)
			enc := e.Finish()
			p := &searchPage{name: set.Name, values: v, blobs: unpack(t, enc), page: reopen(t, enc.Page, nil).page}
			p.lines = p.page.Columns[1]
			clocks += countClocks(p.lines)
			words := wordsOf(rng, v)
			for range 25 {
				needle, op := drawNeedle(rng, v), Op(rng.IntN(4))
				want := scan(p.lines, v, All, func(line []byte) bool { return testPlain(op, line, needle) })
				got, _, _ := p.ask(t, func(r *Reader) Set { return r.Match(p.lines, op, needle) })
				requireSame(t, v, want, got, "%s %q", opNames[op], needle)

				expr := randomExpr(rng, words, 3)
				re, err := CompileRegexp(expr)
				require.NoError(t, err)
				want = scan(p.lines, v, All, regexp.MustCompile(expr).Match)
				got, _, _ = p.ask(t, func(r *Reader) Set { return r.MatchRegexp(p.lines, All, re) })
				requireSame(t, v, want, got, "%q", expr)
			}
			// The beginning of a line is its time in most sets: all lengths of it.
			line := v.At(rng.IntN(v.Len()))
			for n := range min(len(line), 40) {
				needle := line[:n]
				want := scan(p.lines, v, All, func(line []byte) bool { return bytes.Contains(line, needle) })
				got, _, _ := p.ask(t, func(r *Reader) Set { return r.Match(p.lines, Contains, needle) })
				requireSame(t, v, want, got, "contains %q", needle)
			}
		})
	}
	require.NotZero(t, clocks, "no set has lines that print their time")
}

func countClocks(c *Column) (n int) {
	if c.Clock != nil {
		n++
	}
	for _, s := range c.Shared {
		n += countClocks(s)
	}
	for k := range c.Templates {
		for _, s := range c.Templates[k].Slots {
			if s.Shared < 0 {
				n += countClocks(s.Values())
			}
		}
	}
	return n
}
