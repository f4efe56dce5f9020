package column

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

// valuesOf makes Values of a list.
func valuesOf[T ~string | ~[]byte](list ...T) *block.Values {
	v := &block.Values{}
	for _, s := range list {
		v.Append([]byte(s))
	}
	return v
}

// listOf undoes valuesOf.
func listOf(v *block.Values) []string {
	list := make([]string, v.Len())
	for i := range list {
		list[i] = string(v.At(i))
	}
	return list
}

// unpack decodes the blobs of a page.
func unpack(t require.TestingT, enc *Encoded) [][]byte {
	blobs := make([][]byte, len(enc.Blobs))
	for i, info := range enc.Page.Blobs {
		ref := block.Ref{StoredLen: uint32(info.StoredLen), RawLen: uint32(info.RawLen), Codec: info.Codec}
		b, err := block.Unpack(enc.Blobs[i], ref)
		require.NoError(t, err)
		blobs[i] = b
	}
	return blobs
}

// reopen writes the directory of a page in both forms, reads them, and returns a Reader that has the blobs given.
// Nothing is read of the parts.
func reopen(t require.TestingT, p *Page, blobs [][]byte) *Reader {
	directory := AppendPage(nil, p)
	d := block.NewDecoder(directory)
	got, err := DecodePage(d)
	require.NoError(t, err)
	require.NoError(t, d.Finish())
	loaded := withShapes(t, p)
	require.NoError(t, loaded.Load())
	require.Equal(t, p.Triples, loaded.Triples)
	require.Equal(t, tripleColumns(p), tripleColumns(loaded))
	withoutTriples(p, func() {
		require.True(t, reflect.DeepEqual(p, got), "the page that was read is not the one that was written")
	})
	require.True(t, bytes.Equal(directory, AppendPage(nil, loaded)), "the page that was read with its shapes is not the one that was written")
	r := NewReader(withShapes(t, p))
	for i, b := range blobs {
		r.Supply(i, b)
	}
	return r
}

// tripleColumns lists the columns of p, and those in them, that say that their triples are the page's.
func tripleColumns(p *Page) (out []bool) {
	eachColumn(p, func(c *Column) { out = append(out, c.Triples) })
	return out
}

// withoutTriples calls f while p is as a page is that has no triples: one without Shapes.
func withoutTriples(p *Page, f func()) {
	set, marked := p.Triples, tripleColumns(p)
	p.Triples = nil
	eachColumn(p, func(c *Column) { c.Triples = false })
	f()
	p.Triples = set
	eachColumn(p, func(c *Column) { c.Triples, marked = marked[0], marked[1:] })
}

// eachColumn calls f with the columns of p, and those in them.
func eachColumn(p *Page, f func(*Column)) {
	var walk func(c *Column)
	walk = func(c *Column) {
		if c == nil {
			return
		}
		f(c)
		walk(c.Values)
		for x := range c.SharedColumns() {
			walk(x)
		}
		for k := range c.Templates {
			for _, x := range c.Templates[k].own() {
				walk(x)
			}
		}
	}
	for _, c := range p.Columns {
		walk(c)
	}
}

// withShapes writes the directory of a page of Shapes and reads it.
func withShapes(t require.TestingT, p *Page) *Page {
	var w Shapes
	directory := w.AppendPage(nil, p)
	d := block.NewDecoder(w.AppendTo(nil))
	s, err := DecodeShapes(d)
	require.NoError(t, err)
	require.NoError(t, d.Finish())
	got, err := s.DecodePage(directory)
	require.NoError(t, err)
	return got
}

// firstDifference names the first value that differs; equal lists give "".
func firstDifference(want, got *block.Values) string {
	if want.Len() != got.Len() {
		return fmt.Sprintf("%d values, want %d", got.Len(), want.Len())
	}
	for i := range want.Len() {
		if !bytes.Equal(want.At(i), got.At(i)) {
			return fmt.Sprintf("value %d: %.300q, want %.300q", i, got.At(i), want.At(i))
		}
	}
	return ""
}

// checkColumn compares what a Reader with all blobs says of a column with the values it was made of.
func checkColumn(t require.TestingT, r *Reader, c *Column, want *block.Values) {
	require.Equal(t, want.Len(), c.Rows)
	var got block.Values
	r.Values(&got, c, All)
	require.NoError(t, r.Err())
	require.Empty(t, r.Wanted())
	require.Empty(t, firstDifference(want, &got))
	for row := 0; row < c.Rows; row += 1 + c.Rows/100 {
		require.Equal(t, string(want.At(row)), string(r.Append(nil, c, row)))
	}
	checkStamp(t, c, want)
	lengths := r.ValueLengths(c)
	require.NoError(t, r.Err())
	for row, n := range lengths {
		if int(n) != len(want.At(row)) {
			require.Equal(t, len(want.At(row)), int(n), "length of row %d", row)
		}
	}
	some := block.NewBitmap(c.Rows)
	picked := &block.Values{}
	for row := c.Rows / 3; row < c.Rows; row += 1 + row%7 {
		some.Set(row)
		picked.Append(want.At(row))
	}
	got.Reset()
	r.Values(&got, c, SetOf(some))
	require.NoError(t, r.Err())
	require.Empty(t, firstDifference(picked, &got))
}

// checkStamp holds the stamp of a column against its values.
func checkStamp(t require.TestingT, c *Column, want *block.Values) {
	if c.Rows == 0 {
		return
	}
	s := c.Stamp
	least, most := len(want.At(0)), 0
	for i := range want.Len() {
		v := want.At(i)
		least, most = min(least, len(v)), max(most, len(v))
		require.Zero(t, CharsetOf(v)&^s.Chars, "characters of %.100q", v)
		require.LessOrEqual(t, RunOf(v), s.Run)
	}
	require.LessOrEqual(t, s.MinLen, least)
	require.GreaterOrEqual(t, s.MaxLen, most)
	if c.Kind != Int && c.Kind != Dict {
		require.Equal(t, least, s.MinLen)
	}
	require.Equal(t, most, s.MaxLen)
}

// roundTrip encodes lines as a page of two columns and checks both.
func roundTrip(t require.TestingT, e *Encoder, v *block.Values) *Encoded {
	lines := e.Lines(v)
	single := e.Strings(v)
	enc := e.Finish()
	require.Equal(t, []*Column{lines, single}, enc.Page.Columns)
	r := reopen(t, enc.Page, unpack(t, enc))
	checkColumn(t, r, r.page.Columns[0], v)
	checkColumn(t, r, r.page.Columns[1], v)
	return enc
}

// mix returns numbers that look random (SplitMix64).
func mix(i int) uint64 {
	x := uint64(i+1) * 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
