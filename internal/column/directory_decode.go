package column

import (
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
	r := directoryReader{d: d, page: &Page{}}
	r.blobs()
	r.filter()
	p := r.page
	p.Columns = make([]*Column, 0, d.Count(maxColumns, 2))
	for range cap(p.Columns) {
		rows := d.Count(block.MaxRows, 0)
		c := r.column(rows, 0)
		if d.Err() != nil {
			break
		}
		p.Columns = append(p.Columns, c)
	}
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("directory of a page: %w", err)
	}
	p.columns = r.taken.columns
	return p, nil
}

// directoryReader reads columns.
type directoryReader struct {
	d    *block.Decoder
	page *Page

	used  []int   // of each blob the bytes that payloads have taken
	last  [2]int  // as in directoryWriter
	times *Column // what the slots of the lines at hand may follow, or nil
	taken budget
	slab  []Column
	texts []string // slab of Pieces
	slots []Slot   // slab of Slots
	key   []byte   // scratch of template
	ends  []int    // likewise
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
		head := d.Byte()
		b.Class, b.Codec = Class(head&15), block.Codec(head>>4)
		b.RawLen = d.Count(block.MaxBlobLen, 0)
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
		r.slab = make([]Column, max(1, min(64, r.d.Len()/4)))
	}
	c := &r.slab[0]
	r.slab = r.slab[1:]
	c.Kind, c.Rows, c.id = k, rows, r.taken.columns
	r.taken.columns++
	if k != Const {
		r.taken.cells += rows
	}
	if r.taken.columns > maxColumns || r.taken.cells > maxCells {
		r.d.Fail(errBudget)
	}
	return c
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
		r.text(c, depth)
	case Raw:
		c.Terminated = head&flagNewlines != 0
		r.raw(c)
	case Sparse:
		r.sparse(c, depth)
	default:
		d.Failf("unknown column kind %d", c.Kind)
	}
	if d.Err() == nil && (head != byte(c.Kind)|c.flags() || c.Filtered && (r.page.Filter.Blobs == 0 || c.Kind != Int && c.Kind != Hex)) {
		d.Failf("flags %#x of a column of kind %d", head&^15, c.Kind)
	}
	return c
}

func (r *directoryReader) constant(c *Column) {
	b := r.d.Prefixed()
	if len(b) > maxConstLen || c.Rows == 0 && len(b) > 0 {
		r.d.Failf("constant of %d bytes in %d rows", len(b), c.Rows)
		return
	}
	c.setConstant(b)
}

func (r *directoryReader) ints(c *Column, head byte, depth int) {
	d, s := r.d, &c.Stamp
	r.format(&c.Int)
	s.Min = d.Varint()
	s.Max = s.Min + int64(d.Uvarint())
	var least, most byte
	if c.Int.Form == IPv4 {
		least, most = d.Byte(), d.Byte()
	}
	if head&(flagClock|flagSteady) != 0 {
		r.clock(c, head, depth)
	}
	if head&flagSteady == 0 {
		r.payload(c)
	}
	if d.Err() != nil {
		return
	}
	if err := c.Int.checkRange(s.Min, s.Max); err != nil {
		d.Fail(err)
		return
	}
	c.stampInt()
	if c.Int.Form == IPv4 {
		s.MinLen, s.MaxLen = int(least), int(most)
		if least < byte(len("0.0.0.0")) || most < least || most > byte(len("255.255.255.255")) {
			d.Failf("addresses of %d to %d bytes", least, most)
		}
	}
}

// clock reads the Clock of a column, which must be a slot of lines.
func (r *directoryReader) clock(c *Column, head byte, depth int) {
	c.Clock = &Clock{Digits: int(r.d.Byte()), Steady: head&flagSteady != 0}
	if c.Clock.Steady {
		c.Clock.Residual = r.d.Varint()
	}
	timed := c.Int.Form == TimeOfDay || c.Int.Form == DateTime
	if depth != 1 || r.times == nil || head&flagClock == 0 || c.Int.Form == IPv4 ||
		c.Clock.Digits > maxTimeScale || timed && c.Clock.Digits != c.Int.Scale {
		r.d.Failf("clock %+v of numbers %+v at depth %d", *c.Clock, c.Int, depth)
	}
}

func (r *directoryReader) format(f *IntFormat) {
	d := r.d
	f.Form = IntForm(d.Byte())
	switch f.Form {
	case Decimal:
		f.Width, f.Scale = int(d.Byte()), int(d.Byte())
	case IPv4:
	case TimeOfDay:
		f.Scale, f.Separator = int(d.Byte()), d.Byte()
	case DateTime:
		scale := d.Byte()
		f.Scale, f.Dotted = int(scale&^formDotted), scale&formDotted != 0
		f.Separator, f.DateSeparator = d.Byte(), d.Byte()
		f.Suffix = d.String()
		if len(f.Suffix) > maxNumberLen {
			d.Failf("time with a suffix of %d bytes", len(f.Suffix))
		}
	default:
		d.Failf("unknown form %d of numbers", f.Form)
	}
}

func (r *directoryReader) hex(c *Column, head byte) {
	c.Hex = HexFormat{Digits: int(r.d.Byte()), Upper: head&flagUpper != 0, UUID: head&flagUUID != 0}
	if !c.Hex.check() {
		r.d.Failf("hexadecimal column of format %+v", c.Hex)
		return
	}
	r.place(c, c.Rows*c.Hex.width())
	c.stampHex(head&flagLetters != 0)
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
	last := r.lastBlob(c.Kind)
	blob := int64(*last) + r.d.Varint()
	n := r.d.Count(math.MaxUint32, 0)
	r.take(c, last, blob, n)
}

// place is payload for one whose length is known.
func (r *directoryReader) place(c *Column, n int) {
	last := r.lastBlob(c.Kind)
	r.take(c, last, int64(*last)+r.d.Varint(), n)
}

func (r *directoryReader) lastBlob(k Kind) *int {
	if k == Raw {
		return &r.last[1]
	}
	return &r.last[0]
}

// take gives c the next n bytes of a blob. More than it has are those of the blobs that follow, all of
// them, and none of these may be another's.
func (r *directoryReader) take(c *Column, last *int, blob int64, n int) {
	d := r.d
	if d.Err() != nil {
		return
	}
	if blob < 0 || blob >= int64(len(r.used)) {
		d.Failf("payload in blob %d of %d", blob, len(r.used))
		return
	}
	b := int(blob)
	*last = b
	c.Payload = Payload{Blob: b, Off: r.used[b], Len: n}
	if free := r.page.Blobs[b].RawLen - r.used[b]; n <= free {
		r.used[b] += n
		return
	}
	for ; n > 0; b++ {
		if b == len(r.used) || r.used[b] > 0 || r.page.Blobs[b].RawLen == 0 || r.page.Blobs[b].RawLen > n {
			d.Failf("payload of %d bytes from %d on of blob %d doesn't fit", c.Payload.Len, c.Payload.Off, blob)
			return
		}
		r.used[b] = r.page.Blobs[b].RawLen
		n -= r.used[b]
	}
}
