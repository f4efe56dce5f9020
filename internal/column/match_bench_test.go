package column

import (
	"bytes"
	"fmt"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

// coldPage is a page as it is stored. Searching it pays for the blobs that are needed, and for nothing that
// an earlier search has left.
type coldPage struct {
	enc  *Encoded
	page *Page
}

func newColdPage(b *testing.B, v *block.Values) *coldPage {
	e := NewEncoder(block.Fast)
	e.Lines(v)
	enc := e.Finish()
	return &coldPage{enc: enc, page: reopen(b, enc.Page, nil).page}
}

// search asks until nothing is missing. It returns the answer and how many stored bytes it took.
func (p *coldPage) search(b *testing.B, f func(r *Reader, c *Column) Set) (answer Set, read int) {
	r := NewReader(p.page)
	for {
		answer = f(r, p.page.Columns[0])
		wanted := r.Wanted()
		if len(wanted) == 0 {
			require.NoError(b, r.Err())
			return answer, read
		}
		for _, i := range wanted {
			info := p.page.Blobs[i]
			content, err := block.Unpack(p.enc.Blobs[i], block.Ref{StoredLen: uint32(info.StoredLen), RawLen: uint32(info.RawLen), Codec: info.Codec})
			require.NoError(b, err)
			read += len(p.enc.Blobs[i])
			r.Supply(i, content)
		}
	}
}

func (p *coldPage) storedLen() (n int) {
	for _, b := range p.enc.Blobs {
		n += len(b)
	}
	return n
}

// BenchmarkMatch searches a cold page of 4 MiB, decompression included, and beside it the same lines as they
// lie in memory: all at once by bytes.Index for a text, one after another by Go's regexp for an expression.
// cpu-ms is the time on a processor, which says more than the time on the clock where others use the machine;
// read-% is the share of the stored bytes that were read.
func BenchmarkMatch(b *testing.B) {
	for _, set := range loggen.Sets() {
		if set.Adversarial {
			continue
		}
		v := set.Lines(1, benchBytes)
		p := newColdPage(b, v)
		other := set.Lines(2, benchBytes)
		elsewhere := newColdPage(b, other)
		for _, q := range set.Queries {
			text, ok := q.Needle(v)
			if !ok || text == "" {
				continue
			}
			name := fmt.Sprintf("%s/%s/%s", set.Name, q.Kind, text)
			if q.Kind == loggen.Regexp {
				benchmarkRegexp(b, name, p, v, text)
			} else {
				benchmarkNeedle(b, name, p, v, []byte(text))
				if q.Kind == loggen.LoneID {
					// Most pages don't have the identifier, and are to find that out at little cost.
					benchmarkNeedle(b, name+"/elsewhere", elsewhere, other, []byte(text))
				}
			}
		}
	}
}

func benchmarkNeedle(b *testing.B, name string, p *coldPage, v *block.Values, needle []byte) {
	want := scan(nil, v, All, func(line []byte) bool { return bytes.Contains(line, needle) })
	b.Run(name+"/columns", func(b *testing.B) {
		p.bench(b, v, want, func(r *Reader, c *Column) Set { return r.Match(c, Contains, needle) })
	})
	b.Run(name+"/scan", func(b *testing.B) {
		hits := block.NewBitmap(v.Len())
		defer reportCPU(b)()
		for b.Loop() {
			hits.Reset(v.Len())
			searchValues(v, newNeedle(Contains, needle, false), hits)
		}
	})
}

func benchmarkRegexp(b *testing.B, name string, p *coldPage, v *block.Values, expr string) {
	plain := regexp.MustCompile(expr)
	want := scan(nil, v, All, plain.Match)
	re, err := CompileRegexp(expr)
	require.NoError(b, err)
	b.Run(name+"/columns", func(b *testing.B) {
		p.bench(b, v, want, func(r *Reader, c *Column) Set { return r.MatchRegexp(c, All, re) })
	})
	b.Run(name+"/scan", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			scan(nil, v, All, plain.Match)
		}
	})
}

func (p *coldPage) bench(b *testing.B, v *block.Values, want Set, f func(r *Reader, c *Column) Set) {
	read := 0
	defer reportCPU(b)()
	for b.Loop() {
		var got Set
		got, read = p.search(b, f)
		require.Equal(b, want.Count(v.Len()), got.Count(v.Len()))
	}
	b.ReportMetric(float64(read)*100/float64(p.storedLen()), "read-%")
	b.ReportMetric(float64(want.Count(v.Len())), "hits")
}

// reportCPU begins a measurement. The function that it returns ends it.
func reportCPU(b *testing.B) func() {
	before := cpuTime()
	return func() { b.ReportMetric((cpuTime()-before).Seconds()*1e3/float64(b.N), "cpu-ms") }
}
