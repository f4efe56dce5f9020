package column

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

// samplePages returns pages that have every kind of column between them.
func samplePages() []*Encoded {
	e := NewEncoder(block.Fast)
	pages := []*Encoded{encodeGolden(e, goldenInput())}
	for _, n := range []int{3, 1} {
		v := &block.Values{}
		for i := range n {
			v.Append(goldenInput().lines.At(i))
		}
		e.Lines(v)
		e.Strings(v)
		e.Strings(&block.Values{})
		pages = append(pages, e.Finish())
	}
	return pages
}

// packPage is the input of FuzzDecodePage for a page: the directory, alone or with shapes, and the shapes, with
// their lengths, then the content of its blobs.
func packPage(t require.TestingT, enc *Encoded, shaped bool) []byte {
	var b []byte
	if shaped {
		var shapes Shapes
		b = block.AppendPrefixed(nil, shapes.AppendPage(nil, enc.Page))
		b = block.AppendPrefixed(b, shapes.AppendTo(nil))
	} else {
		b = block.AppendPrefixed(nil, AppendPage(nil, enc.Page))
		b = block.AppendPrefixed(b, "")
	}
	for _, content := range unpack(t, enc) {
		b = block.AppendPrefixed(b, content)
	}
	return b
}

// useEverything calls what a Reader has, for all columns of its page.
func useEverything(r *Reader) {
	for _, c := range r.page.Columns {
		useColumn(r, c)
		if c.Stamp.MaxLen*c.Rows > 1<<20 {
			continue // legal, and only long
		}
		r.ValueLengths(c)
		var v block.Values
		r.Values(&v, c, All)
		if c.Rows > 0 {
			r.Append(nil, c, c.Rows-1)
			last := block.NewBitmap(c.Rows)
			last.Set(c.Rows - 1)
			r.Values(&v, c, SetOf(last))
		}
	}
}

func useColumn(r *Reader, c *Column) {
	if c == nil || c.Rows > 1<<16 {
		return
	}
	switch c.Kind {
	case Int:
		r.Int64s(c)
	case Hex:
		r.hexBytes(c)
	case Raw:
		r.rawBytes(c)
	case Dict:
		r.Codes(c)
	case Sparse:
		r.Present(c)
	case Text:
		r.Int64s(c.IDs)
		for k := range c.Templates {
			r.TemplateRows(c, k)
			for s := range c.Templates[k].Slots {
				r.SlotRows(c, k, s)
				useColumn(r, c.Templates[k].Slots[s].Values())
			}
		}
	}
	useColumn(r, c.Values)
	useColumn(r, c.Lengths)
}

// usePage decodes a page that packPage made, or that is anything else, and reads all of it.
func usePage(data []byte) error {
	d := block.NewDecoder(data)
	p, err := decodeEither(d.Prefixed(), d.Prefixed())
	if err != nil {
		return err
	}
	r := NewReader(p)
	useEverything(r) // without blobs
	for i := range p.Blobs {
		if b := d.Prefixed(); d.Err() == nil {
			r.Supply(i, b)
		}
	}
	useEverything(r)
	return r.Err()
}

// decodeEither reads a directory with shapes, or, where there are none, alone.
func decodeEither(directory, shapes []byte) (*Page, error) {
	if len(shapes) == 0 {
		return DecodePage(block.NewDecoder(directory))
	}
	s, err := DecodeShapes(block.NewDecoder(shapes))
	if err != nil {
		return nil, err
	}
	return s.DecodePage(directory)
}

func FuzzDecodePage(f *testing.F) {
	for _, enc := range samplePages() {
		f.Add(packPage(f, enc, false))
		f.Add(packPage(f, enc, true))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = usePage(data) // an error or other values: what it must not do is panic, or take long
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("a 1\na 2\n\n"), uint8(3))
	f.Add([]byte("{\"a\":1}\n{\"a\":2,\"a\":[{}]}\n{\"b\":{}}"), uint8(50))
	f.Add([]byte("a=1 b=\"x\\\"\"\n a=2 b= \x11\x12"), uint8(9))
	f.Add([]byte("2024-02-29 10:00:00,123 x\n2024-02-30 10:00:00,123 x\n10.0.0.1 007 -0"), uint8(20))
	f.Fuzz(func(t *testing.T, data []byte, times uint8) {
		if len(data) > 1<<12 {
			return
		}
		list := bytes.Split(data, []byte("\n"))
		v := &block.Values{}
		for range int(times)%40 + 1 {
			for _, line := range list {
				v.Append(line)
			}
		}
		roundTrip(t, NewEncoder(block.Fast), v)
	})
}

func TestHostilePages(t *testing.T) {
	for _, enc := range samplePages() {
		for _, shaped := range []bool{false, true} {
			hostilePage(t, enc, shaped)
		}
	}
}

func hostilePage(t *testing.T, enc *Encoded, shaped bool) {
	data := packPage(t, enc, shaped)
	require.NoError(t, usePage(data))
	d := block.NewDecoder(data)
	directory, shapes := d.Prefixed(), d.Prefixed()
	head := len(data) - d.Len()
	for i := range data {
		if i > head+10 && i%7 > 0 {
			continue
		}
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << (i % 8)
		_ = usePage(damaged) // other values are for checksums to tell
	}
	for i := range directory {
		if _, err := decodeEither(directory[:i], shapes); err == nil {
			t.Fatalf("a directory of %d bytes is read from %d", len(directory), i)
		}
	}
	for i := 1; i < len(shapes); i++ {
		if _, err := decodeEither(directory, shapes[:i]); err == nil {
			t.Fatalf("shapes of %d bytes are read from %d", len(shapes), i)
		}
	}
}

// TestDamagedBlobs flips bits of stored blobs: the checksum must tell.
func TestDamagedBlobs(t *testing.T) {
	enc := samplePages()[0]
	for i, info := range enc.Page.Blobs {
		ref := block.Ref{StoredLen: uint32(info.StoredLen), RawLen: uint32(info.RawLen), Codec: info.Codec}
		for bit := range 8 * len(enc.Blobs[i]) {
			damaged := bytes.Clone(enc.Blobs[i])
			damaged[bit/8] ^= 1 << (bit % 8)
			_, err := block.Unpack(damaged, ref)
			require.Error(t, err)
		}
	}
}

// TestWrongBlobs gives blobs of another length, and none at all.
func TestWrongBlobs(t *testing.T) {
	enc := samplePages()[0]
	blobs := unpack(t, enc)
	for i := range blobs {
		short := append([][]byte(nil), blobs...)
		short[i] = append([]byte{0}, blobs[i]...)
		r := reopen(t, enc.Page, short)
		useEverything(r)
		if info := enc.Page.Blobs[i]; info.Class != Filters {
			require.Error(t, r.Err(), "blob %d", i)
		}
	}
}

// TestMissingBlobs reads as a caller does that fetches by range: round and round until nothing is wanted.
func TestMissingBlobs(t *testing.T) {
	for _, enc := range samplePages() {
		blobs := unpack(t, enc)
		whole := reopen(t, enc.Page, blobs)
		for i := range whole.page.Columns {
			var want block.Values
			whole.Values(&want, whole.page.Columns[i], All)
			r := reopen(t, enc.Page, nil)
			rounds := 0
			for ; ; rounds++ {
				var got block.Values
				r.Values(&got, r.page.Columns[i], All)
				require.NoError(t, r.Err())
				require.Equal(t, want.Len(), got.Len())
				wanted := r.Wanted()
				if len(wanted) == 0 {
					require.Empty(t, firstDifference(&want, &got))
					break
				}
				for _, b := range wanted {
					require.Nil(t, r.blobs[b], "blob %d is wanted, which is at hand", b)
					r.Supply(b, blobs[b])
				}
			}
			require.LessOrEqual(t, rounds, 1)
			checkMissingLengths(t, enc, blobs, i, &want)
		}
	}
}

// checkMissingLengths reads the lengths of column i as TestMissingBlobs reads values.
func checkMissingLengths(t *testing.T, enc *Encoded, blobs [][]byte, i int, want *block.Values) {
	t.Helper()
	r := reopen(t, enc.Page, nil)
	got := r.ValueLengths(r.page.Columns[i])
	for _, b := range r.Wanted() {
		r.Supply(b, blobs[b])
		got = nil
	}
	if got == nil {
		got = r.ValueLengths(r.page.Columns[i])
	}
	require.NoError(t, r.Err())
	require.Empty(t, r.Wanted())
	for row, n := range got {
		require.Len(t, want.At(row), int(n))
	}
}
