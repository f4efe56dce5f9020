package traces

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// valueKind says how the values of an attribute column are stored, beyond what package column does.
type valueKind uint8

// The kinds, see docs/formats/traces-block.md.
const (
	kindPlain valueKind = 0 // a value for each attribute, in order
	kindClass valueKind = 1 // a value for each class that has the column, and exceptions
	kindTrace valueKind = 2 // a value for each trace that has the column
	kindTable valueKind = 3 // distinct values, and a number for each attribute: long text that repeats
)

// columnDef describes an attribute column: values of one key and one type, of spans, events or links.
type columnDef struct {
	place  int // onSpan, onEvent or onLink
	key    string
	typ    ValueType
	kind   valueKind
	scale  int // of floats: stored as integers times 10^-scale; floatAsBits: as their bits
	values int // how many attributes the column has
	except int // kindClass: how many of them are exceptions
}

// floatAsBits as the scale of a column says that floats are stored as their bits.
const floatAsBits = 15

// maxScale is the greatest scale tried: prices and percentages have two or three decimals.
const maxScale = 4

// exceptionShare bounds the exceptions of a class column: one in so many values, beside exceptionsFree.
const (
	exceptionShare = 24
	exceptionsFree = 16
)

// tableBytes is how many bytes of text a column takes before its repeated values are stored once: package
// column bounds what it rebuilds at once, and a long text on every span shall not take its length each time.
const tableBytes = 16 << 20

// attributeColumn collects the values of one attribute column while a row group is built.
type attributeColumn struct {
	columnDef
	index int // among the columns of the row group, from 1 on; 0: the rest

	texts []string // TypeString, TypeOpaque and elements of string arrays, unless there is a table
	// codes are the texts as numbers in table, where they come from a head, whose records have them: a quarter of the
	// memory, nothing in it for the collector to follow, and to compare two is to compare numbers.
	codes []uint32
	table []string
	nums  []uint64 // ints, bools, bits of floats, and elements of such arrays
	lens  []int64  // of arrays
	rows  []uint32 // onSpan: the span of each value
}

func (c *attributeColumn) add(a *Attribute, row uint32) {
	c.values++
	if c.place == onSpan {
		c.rows = append(c.rows, row)
	}
	switch a.Type {
	case TypeStringArray, TypeIntArray, TypeFloatArray, TypeBoolArray:
		c.lens = append(c.lens, int64(len(a.Array)))
		for i := range a.Array {
			c.scalar(&a.Array[i])
		}
	default:
		c.scalar(a)
	}
}

func (c *attributeColumn) scalar(a *Attribute) {
	switch a.Type {
	case TypeString:
		if c.table != nil {
			c.codes = append(c.codes, uint32(a.Int))
			return
		}
		c.texts = append(c.texts, a.Str)
	case TypeOpaque:
		c.texts = append(c.texts, view(a.Raw))
	case TypeFloat:
		c.nums = append(c.nums, math.Float64bits(a.Float))
	default:
		c.nums = append(c.nums, uint64(a.Int))
	}
}

// text returns a text, and textCount how many there are.
func (c *attributeColumn) text(i int) string {
	if c.table != nil {
		return c.table[c.codes[i]]
	}
	return c.texts[i]
}

func (c *attributeColumn) textCount() int { return len(c.texts) + len(c.codes) }

func (c *attributeColumn) reset() {
	clear(c.texts)
	*c = attributeColumn{texts: c.texts[:0], codes: c.codes[:0], nums: c.nums[:0], lens: c.lens[:0], rows: c.rows[:0]}
}

// isArray reports whether the type is one of arrays.
func (t ValueType) isArray() bool { return t >= TypeStringArray && t < TypeOpaque }

// isText reports whether values of the type, or their elements, are stored as bytes.
func (t ValueType) isText() bool {
	return t == TypeString || t == TypeStringArray || t == TypeOpaque
}

// isFloat reports whether values of the type, or their elements, are floats.
func (t ValueType) isFloat() bool { return t == TypeFloat || t == TypeFloatArray }

// columnEncoder encodes the attribute columns of a row group one after the other.
type columnEncoder struct {
	enc     *column.Encoder
	classes []uint32 // of each span
	traceOf []uint32 // of each span
	nClass  int
	nTrace  int

	first  []int32 // scratch: of each class or trace, the first value
	picked []int   // which values of a class or trace column are stored, exceptions apart
	except []int   // and which are exceptions
	values block.Values
	ints   []int64
}

// reset begins with the columns of another row group.
func (e *columnEncoder) reset(enc *column.Encoder) {
	*e = columnEncoder{enc: enc, first: e.first, picked: e.picked, except: e.except, values: e.values, ints: e.ints}
	e.values.Reset()
}

// encode chooses the column's kind and encodes it. single says that no span has the column twice.
func (e *columnEncoder) encode(c *attributeColumn, single bool) {
	c.kind, c.except, c.scale = kindPlain, 0, 0
	e.except = e.except[:0]
	if c.typ.isFloat() {
		c.scale = scaleOf(c.nums)
	}
	if c.typ.isArray() {
		e.enc.Ints(c.lens, column.Strings)
		e.plain(c)
		return
	}
	if c.place == onSpan && single {
		if e.byClass(c) {
			e.putClass(c)
			return
		}
		if e.byTrace(c) {
			c.kind = kindTrace
			e.pickFirst(e.nTrace)
			e.put(c, e.picked)
			return
		}
	}
	e.plain(c)
}

// putClass encodes a value for each class, and the exceptions.
func (e *columnEncoder) putClass(c *attributeColumn) {
	c.kind, c.except = kindClass, len(e.except)
	e.pickFirst(e.nClass)
	e.put(c, e.picked)
	if len(e.except) == 0 {
		return
	}
	e.ints = e.ints[:0]
	last := 0
	for _, i := range e.except {
		e.ints = append(e.ints, int64(i-last))
		last = i
	}
	e.enc.Ints(e.ints, column.Strings)
	e.put(c, e.except)
}

// plain encodes all values, or elements.
func (e *columnEncoder) plain(c *attributeColumn) {
	if !c.typ.isText() {
		e.enc.Ints(e.numbers(c, c.nums), column.Strings)
		return
	}
	size := 0
	for i := range c.textCount() {
		size += len(c.text(i))
	}
	if size > tableBytes {
		c.kind = kindTable
		e.table(c)
		return
	}
	e.values.Reset()
	for i := range c.textCount() {
		e.values.AppendString(c.text(i))
	}
	e.enc.Strings(&e.values)
}

// table encodes distinct values and a number for each value.
func (e *columnEncoder) table(c *attributeColumn) {
	e.values.Reset()
	ids := make(map[string]int64)
	e.ints = e.ints[:0]
	for i := range c.textCount() {
		s := c.text(i)
		id, ok := ids[s]
		if !ok {
			id = int64(len(ids))
			ids[s] = id
			e.values.AppendString(s)
		}
		e.ints = append(e.ints, id)
	}
	e.enc.Strings(&e.values)
	e.enc.Ints(e.ints, column.Strings)
}

// put encodes the values of a column that is no array, in the order of picked.
func (e *columnEncoder) put(c *attributeColumn, picked []int) {
	if c.typ.isText() {
		e.values.Reset()
		for _, i := range picked {
			e.values.AppendString(c.text(i))
		}
		e.enc.Strings(&e.values)
		return
	}
	nums := make([]uint64, len(picked))
	for k, i := range picked {
		nums[k] = c.nums[i]
	}
	e.enc.Ints(e.numbers(c, nums), column.Strings)
}

// numbers returns what is stored for nums.
func (e *columnEncoder) numbers(c *attributeColumn, nums []uint64) []int64 {
	out := make([]int64, len(nums))
	for i, n := range nums {
		if out[i] = int64(n); c.typ.isFloat() && c.scale != floatAsBits {
			out[i] = int64(math.Round(math.Float64frombits(n) * pow10[c.scale]))
		}
	}
	return out
}

var pow10 = [maxScale + 1]float64{1, 10, 100, 1000, 10000}

// scaleOf returns the least scale at which all floats are exact integers, else floatAsBits. Minus zero and
// NaN are not: only their bits tell them from others.
func scaleOf(nums []uint64) int {
	scale := 0
	for _, n := range nums {
		f := math.Float64frombits(n)
		for !exactAt(f, scale) {
			if scale++; scale > maxScale {
				return floatAsBits
			}
		}
	}
	// What fits at one scale need not fit at a greater one.
	for _, n := range nums {
		if !exactAt(math.Float64frombits(n), scale) {
			return floatAsBits
		}
	}
	return scale
}

func exactAt(f float64, scale int) bool {
	q := math.Round(f * pow10[scale])
	return math.Abs(q) <= 1e15 && q/pow10[scale] == f && (f != 0 || !math.Signbit(f))
}

func floatOf(bits uint64) float64 { return math.Float64frombits(bits) }

func (c *attributeColumn) equal(i, j int) bool {
	switch {
	case c.table != nil && c.typ.isText():
		return c.codes[i] == c.codes[j]
	case c.typ.isText():
		return c.texts[i] == c.texts[j]
	}
	return c.nums[i] == c.nums[j]
}

// byClass reports whether the class of a span tells the value, and sets except.
func (e *columnEncoder) byClass(c *attributeColumn) bool {
	e.first = resized(e.first, e.nClass)
	for i := range e.first {
		e.first[i] = -1
	}
	distinct := 0
	for i, row := range c.rows {
		class := e.classes[row]
		f := e.first[class]
		switch {
		case f < 0:
			e.first[class] = int32(i)
			distinct++
		case !c.equal(int(f), i):
			e.except = append(e.except, i)
			if len(e.except) > exceptionsFree+i/exceptionShare {
				e.except = e.except[:0]
				return false
			}
		}
	}
	if distinct < c.values/4+4 {
		return true
	}
	e.except = e.except[:0]
	return false
}

// byTrace reports whether all values of a trace are the same, and traces have several.
func (e *columnEncoder) byTrace(c *attributeColumn) bool {
	e.first = resized(e.first, e.nTrace)
	for i := range e.first {
		e.first[i] = -1
	}
	distinct := 0
	for i, row := range c.rows {
		t := e.traceOf[row]
		f := e.first[t]
		if f < 0 {
			e.first[t] = int32(i)
			distinct++
		} else if !c.equal(int(f), i) {
			return false
		}
	}
	return distinct*10 <= c.values*9
}

// pickFirst sets picked to the first values of those classes or traces that have one.
func (e *columnEncoder) pickFirst(n int) {
	e.picked = e.picked[:0]
	for _, i := range e.first[:n] {
		if i >= 0 {
			e.picked = append(e.picked, int(i))
		}
	}
}

// pages returns how many columns of the page a column takes.
func (c *columnDef) pages() int {
	n := 1
	switch {
	case c.typ.isArray():
		n++
	case c.except > 0:
		n += 2
	}
	if c.kind == kindTable {
		n++
	}
	return n
}

func (c *columnDef) appendTo(dst []byte, key uint64) []byte {
	dst = append(dst, byte(c.place)|byte(c.kind)<<4, byte(c.typ)|byte(c.scale)<<4)
	dst = binary.AppendUvarint(dst, key)
	dst = binary.AppendUvarint(dst, uint64(c.values))
	if c.kind == kindClass {
		dst = binary.AppendUvarint(dst, uint64(c.except))
	}
	return dst
}

func decodeColumnDef(d *block.Decoder, keys []string) (c columnDef) {
	a, b := d.Byte(), d.Byte()
	c.place, c.kind = int(a&15), valueKind(a>>4)
	c.typ, c.scale = ValueType(b&15), int(b>>4)
	key := d.Uvarint()
	c.values = d.Count(block.MaxRows, 0)
	if c.kind == kindClass {
		c.except = d.Count(block.MaxRows, 0)
	}
	if d.Err() != nil {
		return c
	}
	switch {
	case c.place >= tagPlaces || c.kind > kindTable || c.typ > TypeOpaque || key >= uint64(len(keys)) || c.values == 0:
		d.Failf("attribute column of place %d, kind %d, type %d, key %d with %d values", c.place, c.kind, c.typ, key, c.values)
	case (c.kind == kindClass || c.kind == kindTrace) && (c.place != onSpan || c.typ.isArray()) || c.kind == kindTable && !c.typ.isText():
		d.Failf("attribute column of kind %d, place %d and type %d", c.kind, c.place, c.typ)
	case c.typ.isFloat() && c.scale > maxScale && c.scale != floatAsBits || !c.typ.isFloat() && c.scale != 0:
		d.Failf("attribute column of type %d with scale %d", c.typ, c.scale)
	case c.except > c.values:
		d.Failf("%d exceptions of %d values", c.except, c.values)
	default:
		c.key = keys[key]
	}
	return c
}

// appendRest appends an attribute to the value of the rest column of its span, event or link.
func appendRest(dst []byte, a *Attribute) []byte {
	dst = block.AppendPrefixed(dst, a.Key)
	dst = append(dst, byte(a.Type))
	at := len(dst)
	dst = AppendValue(dst, a)
	n := len(dst) - at
	var length [binary.MaxVarintLen64]byte
	return slices.Insert(dst, at, length[:binary.PutUvarint(length[:], uint64(n))]...)
}

// readRest reads one attribute of a rest column.
func readRest(d *block.Decoder, a *Attribute) {
	key, typ := d.String(), ValueType(d.Byte())
	value := d.Prefixed()
	if d.Err() == nil && typ > TypeOpaque {
		d.Failf("attribute of type %d", typ)
	}
	if d.Err() != nil {
		return
	}
	*a = Attribute{Type: typ}
	if typ != TypeOpaque {
		w := walker{limits: unlimited}
		if err := w.value(string(value), a, true); err != nil {
			d.Fail(err)
		} else if a.Type != typ {
			d.Failf("attribute of type %d, its value is of type %d", typ, a.Type)
		}
	} else if len(value) > 0 {
		a.Raw = append([]byte(nil), value...)
	}
	a.Key = key
}
