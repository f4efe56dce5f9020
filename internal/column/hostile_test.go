package column

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

// decoded writes the directory of a page made by hand and reads it.
func decoded(blobs []BlobInfo, columns ...*Column) (*Page, error) {
	return DecodePage(block.NewDecoder(AppendPage(nil, &Page{Blobs: blobs, Columns: columns})))
}

// TestFreeCells: numbers that take no payload to speak of are few in real pages, and no more are read.
func TestFreeCells(t *testing.T) {
	few := newInts(block.MaxRows, IntFormat{}, 0, 9)
	blobs := []BlobInfo{{Class: Strings, Codec: block.CodecRaw, RawLen: 1 << 20, StoredLen: 1<<20 + checksumLen}}
	few.Payload.Len = 9
	var columns []*Column
	for range maxFreeCells / block.MaxRows {
		columns = append(columns, few)
	}
	_, err := decoded(blobs, columns...)
	require.NoError(t, err)
	_, err = decoded(blobs, append(columns, few)...)
	require.ErrorIs(t, err, errBudget)

	text := newColumn(Text, block.MaxRows)
	text.TextForm = &TextForm{IDs: newColumn(Const, block.MaxRows), Templates: []Template{wholeTemplate(0, newColumn(Const, 0)), {Mode: Generic, Rows: block.MaxRows, Pieces: []string{"x"}}}}
	text.Stamp.MinLen, text.Stamp.MaxLen = 1, 1
	_, err = decoded(blobs, append(columns[1:], text)...)
	require.NoError(t, err)
	_, err = decoded(blobs, append(columns, text)...)
	require.ErrorIs(t, err, errBudget)
}

// TestEncoderStaysBelowFreeCells: as many slots as lines can have make a page that is read.
func TestEncoderStaysBelowFreeCells(t *testing.T) {
	times := make([]int64, 1<<16)
	for i := range times {
		times[i] = int64(i) * 1e9
	}
	v := &block.Values{}
	for i := range times {
		v.AppendString(fmt.Sprintf("%d %d %d %d %d %d %d %d %d %d %d %d", i, i+1, i+2, i+3, i+4, i+5, i+6, i+7, i+8, i+9, i+10, i*3))
	}
	timedPage(t, times, v)
}

// TestLongValues: what a few bytes stand for may be too long to be printed.
func TestLongValues(t *testing.T) {
	e := NewEncoder(block.Fast)
	e.Strings(valuesOf(repeated(5000, func(int) string { return "the same each time" })...))
	e.Strings(valuesOf(repeated(5000, func(i int) string { return fmt.Sprint("almost the same each time ", mix(i)%500) })...))
	e.Strings(valuesOf(repeated(5000, func(i int) string { return fmt.Sprint([]string{"these two", "alternate"}[mix(i)%2]) })...))
	enc := e.Finish()
	blobs := unpack(t, enc)
	for i := range enc.Page.Columns {
		r := reopen(t, enc.Page, blobs)
		r.limit = 20000
		v := block.Values{}
		v.AppendString("before")
		r.Values(&v, r.page.Columns[i], All)
		require.ErrorIs(t, r.Err(), errTooLong)
		require.Equal(t, 5001, v.Len())
		require.Equal(t, "before", string(v.Data))
		require.LessOrEqual(t, cap(v.Data), 4*r.limit)
	}
}

// TestManyFamilies: very many columns of two templates each are found without looking at all templates, and
// at all rows, for each of them.
func TestManyFamilies(t *testing.T) {
	const families = 20000
	c := newColumn(Text, 2*families)
	c.TextForm = &TextForm{Templates: []Template{wholeTemplate(0, newColumn(Const, 0))}}
	ids := make([]uint32, 0, 2*families)
	for i := range families {
		shared := newInts(2, IntFormat{}, 0, 1)
		shared.Payload = Payload{Off: 5 * i, Len: 5}
		for range 2 {
			c.Templates = append(c.Templates, Template{Mode: Generic, Rows: 1, Pieces: []string{"a", ""}, Slots: []Slot{{Column: shared, Shared: i}}})
			ids = append(ids, uint32(len(ids)+1))
		}
		c.Shared = append(c.Shared, shared)
	}
	c.IDs = newIDs(c.Rows, c.Templates)
	numbers := block.AppendInts(nil, []int64{0, 1})
	pool := make([]byte, 0, families*len(numbers))
	for i, s := range c.Shared {
		s.Payload = Payload{Off: i * len(numbers), Len: len(numbers)}
		pool = append(pool, numbers...)
	}
	spine := block.AppendInts(nil, ids)
	c.IDs.Payload = Payload{Blob: 1, Len: len(spine)}
	c.Stamp.MinLen, c.Stamp.MaxLen = 2, 2
	info := func(n int) BlobInfo {
		return BlobInfo{Class: Strings, Codec: block.CodecRaw, RawLen: n, StoredLen: n + checksumLen}
	}
	p, err := decoded([]BlobInfo{info(len(pool)), info(len(spine))}, c)
	require.NoError(t, err)
	r := NewReader(p)
	r.Supply(0, pool)
	r.Supply(1, spine)
	lines := p.Columns[0]
	for k := 1; k < len(lines.Templates); k++ {
		require.Equal(t, []uint32{uint32(k-1) % 2}, r.SlotRows(lines, k, 0))
	}
	require.NoError(t, r.Err())
	require.Equal(t, "a1", string(r.Append(nil, lines, 3)))
}
