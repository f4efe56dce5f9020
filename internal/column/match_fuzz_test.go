package column

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

// fuzzLines cuts data into lines and repeats them, changed a little, so that there is something to make
// templates of.
func fuzzLines(data []byte) *block.Values {
	v := &block.Values{}
	for i := range 4 {
		for _, line := range bytes.SplitN(data, []byte("\n"), 40) {
			for k := range line {
				if isDigit(line[k]) {
					line[k] = '0' + (line[k]-'0'+byte(i*k))%10
				}
			}
			v.Append(line)
		}
	}
	return v
}

var fuzzSeeds = []string{
	"{\"level\":\"info\",\"id\":1234567890123,\"n\":{\"x\":\"007\"}}\n{\"level\":\"error\",\"id\":5,\"n\":{\"x\":\"\"}}",
	"level=info took=1.50 msg=\"a b\" k=\nlevel=warn took=2.25 msg=\"\" k=v",
	"2024-02-29T23:59:59.123Z from 10.0.0.1 to blk_-1608999687919862906\n23:59:59 task 4bf92f3577b34da6a3ce929d0e0e4736 \xff",
	"\u212aelvin 5k ſ\nkelvin 7s S",
}

func FuzzMatch(f *testing.F) {
	for _, seed := range fuzzSeeds {
		for _, needle := range []string{"", "info", "\"level\":\"e", "0.0.1 to blk_-1", "k", "1"} {
			f.Add([]byte(seed), []byte(needle))
		}
	}
	f.Fuzz(func(t *testing.T, data, needle []byte) {
		if len(data) > 1<<11 || len(needle) > 1<<8 {
			return
		}
		p := newSearchPage(t, "fuzz", fuzzLines(data))
		p.checkMatch(t, p.reader(), needle)
		want := scan(p.lines, p.values, All, func(v []byte) bool { return bytes.Contains(v, needle) })
		got, _, _ := p.ask(t, func(r *Reader) Set { return r.Match(p.lines, Contains, needle) })
		requireSame(t, p.values, want, got, "%q, from nothing", needle)
	})
}

func FuzzRegexp(f *testing.F) {
	for _, seed := range fuzzSeeds {
		for _, expr := range []string{"", "info|warn", `took=\d+\.\d`, "(?i)K", `^.*blk_-?\d+$`, `\bs\b`, "(?m)^2", `[^a]\xff`, "(?s).é"} {
			f.Add([]byte(seed), expr)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, expr string) {
		if len(data) > 1<<11 || len(expr) > 1<<7 {
			return
		}
		if _, err := regexp.Compile(expr); err != nil {
			_, err = CompileRegexp(expr)
			require.Error(t, err)
			return
		}
		p := newSearchPage(t, "fuzz", fuzzLines(data))
		p.checkRegexp(t, rand.New(rand.NewPCG(1, 2)), p.reader(), expr)
	})
}

// FuzzSearchDamaged searches pages that are anything: no search may panic.
func FuzzSearchDamaged(f *testing.F) {
	for _, enc := range samplePages() {
		for _, shaped := range []bool{false, true} {
			f.Add(packPage(f, enc, shaped), []byte("1"), `\d+ x`)
		}
	}
	f.Fuzz(func(t *testing.T, data, needle []byte, expr string) {
		if len(needle) > 1<<8 || len(expr) > 1<<7 {
			return
		}
		re, _ := CompileRegexp(expr)
		searchDamaged(data, needle, re)
	})
}

// searchDamaged searches a page that packPage made, or that is anything else, first without its blobs. It
// reports whether there was a page.
func searchDamaged(data, needle []byte, re *Regexp) bool {
	d := block.NewDecoder(data)
	p, err := decodeEither(d.Prefixed(), d.Prefixed())
	if err != nil {
		return false
	}
	r := NewReader(p)
	searchEverything(r, needle, re)
	for i := range p.Blobs {
		if b := d.Prefixed(); d.Err() == nil {
			r.Supply(i, b)
		}
	}
	searchEverything(r, needle, re)
	return true
}

// Pages with a few bytes changed, in the directory or in the blobs: some are refused, none makes a search
// panic.
func TestSearchDamagedPages(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	re, err := CompileRegexp(`(\d+ x|[a-f]{2}|took=1.*b")`)
	require.NoError(t, err)
	pages := 0
	for i, enc := range append(samplePages(), samplePages()...) {
		whole := packPage(t, enc, i%2 == 0)
		d := block.NewDecoder(whole)
		d.Prefixed()
		d.Prefixed()
		directory := len(whole) - d.Len()
		for range 300 {
			data := bytes.Clone(whole)
			for range 1 + rng.IntN(2) {
				i := rng.IntN(len(data))
				if rng.IntN(2) == 0 {
					i = rng.IntN(directory)
				}
				data[i] ^= 1 << rng.IntN(8)
			}
			if searchDamaged(data, []byte([]string{"1", "a", "info", "10.0.0.", "0102"}[rng.IntN(5)]), re) {
				pages++
			}
		}
	}
	require.Greater(t, pages, 50)
}

func searchEverything(r *Reader, needle []byte, re *Regexp) {
	for _, c := range r.page.Columns {
		if c.Rows > 1<<16 || c.Stamp.MaxLen*c.Rows > 1<<20 {
			continue // legal, and only long
		}
		for op := Contains; op <= Equal; op++ {
			r.Match(c, op, needle)
			r.MatchFold(c, op, needle)
		}
		r.Numbers(c)
		r.MatchNumber(c, All, GreaterOrEqual, 500)
		if re != nil {
			r.MatchRegexp(c, All, re)
			r.MatchRegexp(c, r.Match(c, Contains, needle), re)
		}
	}
}
