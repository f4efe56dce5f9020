package column

import (
	"github.com/hune-io/hune/internal/block"
)

// maxConstLen keeps descriptions small: a longer value is a payload even where all rows have it.
const maxConstLen = 4 << 10

// Encoder encodes the columns of one page after another. It keeps its buffers, and what it learned, from
// page to page. Not safe for concurrent use.
//
// A column has at most block.MaxRows rows, and all columns of a page together, those of its lines and its
// timestamps apart, at most 1<<23: more may make a page that DecodePage refuses. The values
// of a column are at most maxValuesLen bytes together: Reader.Values refuses more.
type Encoder struct {
	level block.Level
	data  []byte // of the values at hand: extents refer to it

	columns []*Column // of the page, those asked for
	blobs   blobWriter
	filter  filterBuilder
	triples tripleBuilder
	left    budget
	raw     rawMemory
	known   knownForms // of lines

	top      []extent       // the values that were asked for
	builders []*textBuilder // those that are not at work
	scratch  []byte         // a payload before it is stored
	ints     []int64        // parsed values

	magnitudes []byte // scratch of putDense

	times     []int64  // of the page, not copied
	rows      pageRows // of what encodeSlot is called for; it takes them
	residuals []int64  // of e.ints
	rowTimes  []int64  // scratch of timesOf
	shortened []int64  // scratch of withoutZeros

	dict    dictBuilder
	seen    hashSet
	seenToo hashSet
}

// Encoded is a page that is ready to be stored.
type Encoded struct {
	Page *Page
	// Blobs holds the stored bytes of each of Page.Blobs, made by block.Pack: payload and checksum.
	Blobs [][]byte
}

// NewEncoder returns an Encoder whose blobs are compressed so hard.
func NewEncoder(level block.Level) *Encoder {
	e := &Encoder{level: level}
	e.reset()
	return e
}

func (e *Encoder) reset() {
	e.data, e.columns, e.times = nil, nil, nil
	e.blobs.reset(e.level)
	e.filter.reset()
	e.triples.reset()
	e.left = budget{columns: maxColumns / 2, cells: maxFreeCells / 2}
}

// Lines encodes whole lines. JSON and logfmt lines get a slot for each field.
func (e *Encoder) Lines(v *block.Values) *Column {
	e.load(v)
	e.triples.begin()
	c := e.encodeLines(e.top)
	e.triples.end(c)
	e.columns = append(e.columns, c)
	return c
}

// Strings encodes single values, such as those of a metadata key.
func (e *Encoder) Strings(v *block.Values) *Column {
	e.load(v)
	c := e.encodeSlot(e.top, valueGrain)
	e.columns = append(e.columns, c)
	return c
}

// SparseInSpine is Sparse for a column that many counts need: like the timestamps it gets blobs of its own.
func (e *Encoder) SparseInSpine(present *block.Bitmap, v *block.Values) (c *Column) {
	e.blobs.inSpine(func() { c = e.Sparse(present, v) })
	return c
}

// Sparse encodes values of some rows only: v holds those of the rows that are present, in their order.
func (e *Encoder) Sparse(present *block.Bitmap, v *block.Values) *Column {
	if present.Count() == present.Len() {
		return e.Strings(v)
	}
	e.load(v)
	values := e.encodeSlot(e.top, valueGrain)
	c := newColumn(Sparse, present.Len())
	c.Stamp, c.Values = values.Stamp, values
	e.scratch = block.AppendBitmap(e.scratch[:0], present)
	c.Payload = e.blobs.putInts(e.scratch)
	e.columns = append(e.columns, c)
	return c
}

// Ints encodes integers, of which nothing is known. Class says what they are for: those of the Spine get
// a blob of their own, of others only large columns do. Where the first column of a page is of the Spine,
// it is the timestamps of the lines, in nanoseconds since 1970: vals must not change until Finish.
func (e *Encoder) Ints(vals []int64, class Class) *Column {
	c := newColumn(Const, 0)
	if len(vals) > 0 {
		lo, hi := rangeOf(vals)
		c = newInts(len(vals), IntFormat{}, lo, hi)
		e.setTimes(c, vals, class)
		vals = e.withoutZeros(c, vals)
		e.scratch = block.AppendInts(e.scratch[:0], vals)
		switch {
		case class == Strings:
			c.Payload = e.blobs.putInts(e.scratch)
		case len(e.scratch) < leastDense:
			c.Payload = e.blobs.putOwn(e.scratch, class)
		default:
			c.Payload = e.putDense(vals, class, 0)
		}
	}
	e.columns = append(e.columns, c)
	return c
}

// leastDense is the payload below which another form isn't worth trying.
const leastDense = 256

// Finish ends the page. Its columns are all that were asked for, in that order. The Encoder is ready for
// the next page.
func (e *Encoder) Finish() *Encoded {
	e.blobs.seal()
	p := &Page{Columns: e.columns, Triples: e.triples.build()}
	for i, piece := range e.filter.build() {
		if i == 0 {
			p.Filter.First = len(e.blobs.infos)
		}
		e.blobs.storeRaw(piece, Filters)
		p.Filter.Blobs++
	}
	p.Blobs = e.blobs.infos
	p.number()
	enc := &Encoded{Page: p, Blobs: e.blobs.stored}
	e.reset()
	return enc
}

// load makes v the values at hand.
func (e *Encoder) load(v *block.Values) {
	e.data = v.Data
	e.top = resize(e.top, v.Len())
	start := uint32(0)
	for i, end := range v.Ends {
		e.top[i] = extent{start, end - start}
		start = end
	}
}

// bytes returns what s stands for.
func (e *Encoder) bytes(s extent) []byte { return e.data[s.off:s.end():s.end()] }

func rangeOf(vals []int64) (lo, hi int64) {
	lo, hi = vals[0], vals[0]
	for _, x := range vals[1:] {
		lo, hi = min(lo, x), max(hi, x)
	}
	return lo, hi
}

// budget counts columns, and cells, which are the rows of all columns.
type budget struct{ columns, cells int }

// columnsOfSlot is how many columns a slot makes at most, nested Text columns, which ask for themselves,
// apart: a dictionary, its entries, and their lengths.
const columnsOfSlot = 3

// Limits of a page, so that a description can't ask for more memory than any real page needs. Free cells
// are those of columns whose payload has less than a byte for each: evenly spaced numbers, times that the
// timestamps tell, bitmaps. The Encoder gives half of both to slots, whether they will be free or not; the
// other half is enough for 128 columns of metadata of 1<<16 rows.
const (
	maxColumns   = 1 << 18
	maxFreeCells = 1 << 25
)

// reserve takes d from what is left for the page, or reports false.
func (e *Encoder) reserve(d budget) bool {
	if d.columns > e.left.columns || d.cells > e.left.cells {
		return false
	}
	e.left.columns -= d.columns
	e.left.cells -= d.cells
	return true
}
