package column

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/hune-io/hune/internal/block"
)

// maxDepth bounds how columns are nested. The Encoder needs less: lines, values and words of them, each
// with dictionaries between.
const maxDepth = 16

// maxLineLen bounds a length that a stamp may give.
const maxLineLen = math.MaxUint32

// DecodePage reads what AppendPage wrote, from bytes that may be hostile. A page that it returns is safe
// for every method of a Reader.
func DecodePage(d *block.Decoder) (*Page, error) {
	r := newDirectoryReader(d)
	r.read()
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("directory of a page: %w", err)
	}
	return r.page, nil
}

// read reads the page, without its parts.
func (r *directoryReader) read() {
	d, p := r.d, r.page
	r.blobs()
	r.filter()
	p.Columns = make([]*Column, 0, d.Count(maxColumns, 2))
	for range cap(p.Columns) {
		rows := d.Count(block.MaxRows, 0)
		c := r.column(rows, 0)
		if d.Err() != nil {
			break
		}
		p.Columns = append(p.Columns, c)
	}
	p.columns = r.taken.columns
}

// directoryReader reads columns.
type directoryReader struct {
	d    *block.Decoder
	page *Page

	used   []int   // of each blob the bytes that payloads have taken
	last   [2]int  // as in directoryWriter
	times  *Column // what the slots of the lines at hand may follow, or nil
	taken  budget
	stored int // bytes of all blobs
	bytes  int // of all payloads
	slab   []Column
	texts  []string     // slab of Pieces
	slots  []Slot       // slab of Slots
	form   *NumberForm  // the last one
	forms  []NumberForm // slab
	fields fieldParser

	// What is kept of the directory aliases a copy of it, as bytes and as a string: a copy of each piece of
	// a template and each constant would take longer than all the rest. Of a page of Shapes the bytes don't
	// change, and the string is made when it is needed.
	keptBytes []byte
	kept      string
	end       int // of what d reads, in kept

	shapes  *Shapes   // nil: of a page without
	triples bool      // they follow
	named   []int     // the blobs of which used was set, of a page of Shapes
	lists   []*Column // slab of the lists of parts
	begins  [2]begin  // of the last part
}

func newDirectoryReader(d *block.Decoder) *directoryReader {
	rest := *d
	data := rest.Bytes(rest.Len())
	return &directoryReader{d: d, page: &Page{}, keptBytes: bytes.Clone(data), kept: string(data), end: len(data)}
}

// string reads n bytes that are kept.
func (r *directoryReader) string(n int) string {
	if r.kept == "" && r.shapes != nil {
		r.kept = string(r.page.source.data)
	}
	at := r.end - r.d.Len()
	return r.kept[at : at+len(r.d.Bytes(n))]
}

// prefixed is d.Prefixed, of bytes that are kept.
func (r *directoryReader) prefixed() []byte {
	if r.shapes != nil {
		return r.d.Prefixed()
	}
	n := len(r.d.Prefixed())
	end := len(r.keptBytes) - r.d.Len()
	return r.keptBytes[end-n : end : end]
}

func (r *directoryReader) blobs() {
	d := r.d
	n := d.Count(math.MaxInt32, 2)
	if n == 0 {
		return
	}
	r.page.Blobs = make([]BlobInfo, n)
	r.used = make([]int, n)
	for i := range r.page.Blobs {
		b := &r.page.Blobs[i]
		if r.shapes != nil {
			r.used[i] = unnamed
		}
		head := d.Byte()
		b.Class, b.Codec = Class(head&15), block.Codec(head>>4)
		b.RawLen = d.Count(block.MaxBlobLen, 0)
		r.stored += b.RawLen
		b.StoredLen = b.RawLen + checksumLen
		switch {
		case b.Class >= Classes || b.Codec > block.CodecZstd:
			d.Failf("blob %d of class %d, %v", i, b.Class, b.Codec)
			return
		case b.Codec == block.CodecZstd:
			b.StoredLen = d.Count(block.MaxBlobLen, 0) + checksumLen
			if b.StoredLen-checksumLen >= b.RawLen && d.Err() == nil {
				d.Failf("blob %d: %d bytes compressed to %d", i, b.RawLen, b.StoredLen-checksumLen)
			}
		}
	}
}

// filter reads where the value filter is: full pieces, or one that is shorter.
func (r *directoryReader) filter() {
	d, f := r.d, &r.page.Filter
	f.First, f.Blobs = d.Count(math.MaxInt32, 0), d.Count(math.MaxInt32, 0)
	if f.First > len(r.page.Blobs) || f.Blobs > len(r.page.Blobs)-f.First {
		d.Failf("filter in blobs %d+%d of %d", f.First, f.Blobs, len(r.page.Blobs))
		return
	}
	for i := f.First; i < f.First+f.Blobs; i++ {
		b := &r.page.Blobs[i]
		if b.Class != Filters || b.Codec != block.CodecRaw || b.RawLen == 0 || b.RawLen%filterBlockLen != 0 ||
			b.RawLen > filterBlobLen || b.RawLen < filterBlobLen && f.Blobs > 1 {
			d.Failf("piece of a filter: %+v", *b)
			return
		}
		r.used[i] = b.RawLen // no payload
	}
}

var (
	errDepth  = errors.New("columns are nested too deeply")
	errBudget = errors.New("columns ask for more than a page may have")
)

// newColumn returns a column, from a slab: small columns are most of what a page has.
func (r *directoryReader) newColumn(k Kind, rows int) *Column {
	if len(r.slab) == 0 {
		// A column takes two bytes of the directory at least.
		r.slab = make([]Column, max(1, min(64, r.ahead()/4)))
	}
	c := &r.slab[0]
	r.slab = r.slab[1:]
	c.Kind, c.Rows, c.id = k, rows, int32(r.taken.columns)
	c.NumberForm, c.TextForm = plainNumbers, noTemplates
	r.taken.columns++
	if r.taken.columns > maxColumns {
		r.d.Fail(errBudget)
	}
	return c
}

// ahead is how many bytes are still to be read, at most: slabs need not be for more.
func (r *directoryReader) ahead() int {
	if r.shapes != nil {
		return len(r.page.source.data)
	}
	return r.d.Len()
}

// grow counts the cells of a column that may be much longer in memory than what is read for it.
func (r *directoryReader) grow(cells int) {
	if r.taken.cells += cells; r.taken.cells > maxFreeCells {
		r.d.Fail(errBudget)
	}
}

// column reads a column of rows rows. On a fault the result is of no use, and not nil.
func (r *directoryReader) column(rows, depth int) *Column {
	d := r.d
	head := d.Byte()
	c := r.newColumn(Kind(head&15), rows)
	if depth > maxDepth {
		d.Fail(errDepth)
	}
	if d.Err() != nil {
		return c
	}
	if rows == 0 && c.Kind != Const || c.Kind == Sparse && depth > 0 {
		d.Failf("column of kind %d with %d rows at depth %d", c.Kind, rows, depth)
		return c
	}
	c.Filtered = head&flagFiltered != 0
	switch c.Kind {
	case Const:
		r.constant(c)
	case Int:
		r.ints(c, head, depth)
	case Hex:
		r.hex(c, head)
	case Dict:
		c.Recency = head&flagRecency != 0
		r.dict(c, depth)
	case Text:
		if r.shapes != nil && depth == 0 {
			c.Triples = head&flagTriples != 0
			if head&flagFollow != 0 {
				r.triples = true
				head &^= flagFollow
			}
			r.parted(c)
		} else {
			r.text(c, depth)
		}
	case Raw:
		c.Terminated, c.Triples = head&flagNewlines != 0, head&flagTriples != 0 && r.shapes != nil
		if r.raw(c); c.Triples && depth == 0 {
			r.triples = true
		}
	case Sparse:
		r.sparse(c, depth)
	default:
		d.Failf("unknown column kind %d", c.Kind)
	}
	if d.Err() == nil && (head != byte(c.Kind)|c.flags() || c.Filtered && !r.mayBeFiltered(c.Kind)) {
		d.Failf("flags %#x of a column of kind %d", head&^15, c.Kind)
	}
	return c
}

// mayBeFiltered reports whether columns of the kind may say that the value filter has what is in them. What
// Raw columns have in it may be nothing.
func (r *directoryReader) mayBeFiltered(k Kind) bool {
	return k == Raw || r.page.Filter.Blobs > 0 && (k == Int || k == Hex)
}

func (r *directoryReader) constant(c *Column) {
	b := r.prefixed()
	if len(b) > maxConstLen || c.Rows == 0 && len(b) > 0 {
		r.d.Failf("constant of %d bytes in %d rows", len(b), c.Rows)
		return
	}
	c.keepConstant(b)
}

func (r *directoryReader) dict(c *Column, depth int) {
	entries := r.d.Count(c.Rows, 0)
	c.Values = r.column(entries, depth+1)
	r.payload(c)
	c.Stamp = c.Values.Stamp
	c.Stamp.Min, c.Stamp.Max = 0, 0
	if entries == 0 {
		r.d.Failf("dictionary without entries")
	}
}

func (r *directoryReader) sparse(c *Column, depth int) {
	values := r.d.Count(c.Rows, 0)
	c.Values = r.column(values, depth+1)
	r.payload(c)
	c.Stamp = c.Values.Stamp
}

func (r *directoryReader) raw(c *Column) {
	d, s := r.d, &c.Stamp
	s.MinLen, s.MaxLen = r.lengths()
	s.Chars = Charset(d.Byte()) | Charset(d.Byte())<<8
	s.Run = d.Count(s.MaxLen, 0)
	if s.MinLen != s.MaxLen && !c.Terminated {
		c.Lengths = r.newColumn(Int, c.Rows)
		c.stampLengths()
		r.payload(c.Lengths)
	}
	r.payload(c)
	n := c.Payload.Len
	if c.Terminated {
		n -= c.Rows
	}
	if d.Err() == nil && (n < s.MinLen*c.Rows || n > s.MaxLen*c.Rows || c.Terminated && s.MinLen == s.MaxLen) {
		d.Failf("%d values of %d to %d bytes in a payload of %d bytes", c.Rows, s.MinLen, s.MaxLen, c.Payload.Len)
	}
}

// lengths reads the least and the greatest length of values.
func (r *directoryReader) lengths() (least, most int) {
	least = r.d.Count(maxLineLen, 0)
	return least, least + r.d.Count(maxLineLen-least, 0)
}

// payload reads where the payload of c is.
func (r *directoryReader) payload(c *Column) {
	b := r.blob(c.Kind)
	n := r.d.Count(math.MaxUint32, 0)
	if n < c.Rows {
		r.grow(c.Rows)
	}
	r.take(c, b, n)
}

// place is payload for one whose length is known.
func (r *directoryReader) place(c *Column, n int) { r.take(c, r.blob(c.Kind), n) }

// unnamed is what used has for a blob that no payload was in yet, of a page of Shapes.
const unnamed = -1

// blob reads the number of the blob that a payload begins in. After a fault it is of no use.
func (r *directoryReader) blob(k Kind) int {
	last := &r.last[0]
	if k == Raw {
		last = &r.last[1]
	}
	n := int64(*last) + r.d.Varint()
	if n < 0 || n >= int64(len(r.used)) {
		r.d.Failf("payload in blob %d of %d", n, len(r.used))
		return 0
	}
	b := int(n)
	*last = b
	if r.used[b] == unnamed {
		r.used[b] = r.d.Count(r.page.Blobs[b].RawLen, 0)
		r.named = append(r.named, b)
	}
	return b
}

// forgetPlaces makes the next payload in each blob say where it begins.
func (r *directoryReader) forgetPlaces() {
	for _, b := range r.named {
		r.used[b] = unnamed
	}
	r.named = r.named[:0]
}

// take gives c the next n bytes of blob b. More than it has are those of the blobs that follow, all of
// them, and none of these may be another's.
func (r *directoryReader) take(c *Column, b, n int) {
	d := r.d
	if d.Err() != nil {
		return
	}
	if r.bytes += n; r.shapes != nil && r.bytes > r.stored {
		d.Fail(errBudget) // some of them are taken twice
		return
	}
	c.Payload = Payload{Blob: b, Off: r.used[b], Len: n}
	if free := r.page.Blobs[b].RawLen - r.used[b]; n <= free {
		r.used[b] += n
		return
	}
	for first := b; n > 0; b++ {
		if b == len(r.used) || r.used[b] > 0 || r.page.Blobs[b].RawLen == 0 || r.page.Blobs[b].RawLen > n {
			d.Failf("payload of %d bytes from %d on of blob %d doesn't fit", c.Payload.Len, c.Payload.Off, first)
			return
		}
		if r.used[b] == unnamed {
			r.named = append(r.named, b)
		}
		r.used[b] = r.page.Blobs[b].RawLen
		n -= r.used[b]
	}
}
