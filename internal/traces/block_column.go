package traces

import (
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// texts is a decoded column of strings. The strings are views of the blobs that were read, which
// nobody writes to.
type texts struct{ chunks []textChunk }

type textChunk struct {
	data  string
	ends  []uint32
	codes []uint32 // of a dictionary; nil if every value stands for itself
}

// chunkRows is how many values every chunk but the last has.
const chunkRows = block.MaxRows

func (t *texts) at(i int) string {
	if t == nil {
		return "" // the column isn't stored: all empty
	}
	return t.chunks[i/chunkRows].at(i % chunkRows)
}

func (c *textChunk) at(i int) string {
	if c.codes != nil {
		i = int(c.codes[i])
	}
	return c.entry(i)
}

func (c *textChunk) entry(i int) string {
	from := uint32(0)
	if i > 0 {
		from = c.ends[i-1]
	}
	return c.data[from:c.ends[i]]
}

// each calls f with every distinct value (or more often), until it returns false.
func (t *texts) each(f func(string) bool) {
	for i := range t.chunks {
		c := &t.chunks[i]
		for j := range c.ends {
			if !f(c.entry(j)) {
				return
			}
		}
	}
}

// matches returns which values pass, nil if none does. Entries of a dictionary are tested once.
func (t *texts) matches(n int, pass func(string) bool) []bool {
	var out []bool
	set := func(i int) {
		if out == nil {
			out = make([]bool, n)
		}
		out[i] = true
	}
	for k := range t.chunks {
		c, base := &t.chunks[k], k*chunkRows
		entries := make([]bool, len(c.ends))
		some := false
		for j := range entries {
			entries[j] = pass(c.entry(j))
			some = some || entries[j]
		}
		switch {
		case !some:
		case c.codes == nil:
			for j, ok := range entries {
				if ok {
					set(base + j)
				}
			}
		default:
			for j, code := range c.codes {
				if entries[code] {
					set(base + j)
				}
			}
		}
	}
	return out
}

func decodeTexts(d *block.Decoder, n int) *texts {
	t := &texts{}
	for n > 0 && d.Err() == nil {
		switch rows := min(n, chunkRows); d.Byte() {
		case textPlain:
			var v block.Values
			d.Values(&v, rows)
			t.chunks = append(t.chunks, textChunk{view(v.Data), v.Ends, nil})
		case textDict:
			var c block.Dict
			d.Dict(&c, rows)
			t.chunks = append(t.chunks, textChunk{view(c.Entries.Data), c.Entries.Ends, c.Codes})
		default:
			d.Failf("unknown form of a text column")
		}
		n -= chunkRows
	}
	return t
}

func decodeInts(d *block.Decoder, n int) []int64 {
	var out []int64
	for n > 0 && d.Err() == nil {
		part := block.DecodeInts[int64](d, nil, min(n, chunkRows))
		if out == nil {
			out = part
		} else {
			out = append(out, part...)
		}
		n -= chunkRows
	}
	return out
}

func decodeFloats(d *block.Decoder, n int) []float64 {
	var out []float64
	for n > 0 && d.Err() == nil {
		out = append(out, block.DecodeFloats(d, nil, min(n, chunkRows))...)
		n -= chunkRows
	}
	return out
}

// valueColumn is a decoded attribute column.
type valueColumn struct {
	columnDef
	text   *texts
	ints   []int64
	floats []float64
	ends   []int // of arrays: where each one's elements end
}

func decodeColumn(def columnDef, data []byte) (*valueColumn, error) {
	d := block.NewDecoder(data)
	c := &valueColumn{columnDef: def}
	n, typ := def.values, def.typ
	if typ >= TypeStringArray && typ < TypeOpaque {
		typ = elementOf(typ)
		n = 0
		for _, l := range decodeInts(d, def.values) {
			if l <= 0 || l > maxElements || n > 2*maxReadChildren {
				d.Failf("array of %d elements", l)
				break
			}
			n += int(l)
			c.ends = append(c.ends, n)
		}
	}
	switch typ {
	case TypeInt, TypeBool:
		c.ints = decodeInts(d, n)
	case TypeFloat:
		c.floats = decodeFloats(d, n)
	default:
		c.text = decodeTexts(d, n)
	}
	return c, d.Finish()
}

// get sets a to value i. alloc makes room for the elements of an array.
func (c *valueColumn) get(i int, a *Attribute, alloc func(int) []Attribute) {
	a.Key, a.Type = c.key, c.typ
	if c.ends == nil {
		c.scalar(i, c.typ, a)
		return
	}
	from := 0
	if i > 0 {
		from = c.ends[i-1]
	}
	a.Array = alloc(c.ends[i] - from)
	for j := range a.Array {
		a.Array[j].Type = elementOf(c.typ)
		c.scalar(from+j, elementOf(c.typ), &a.Array[j])
	}
}

func (c *valueColumn) scalar(i int, typ ValueType, a *Attribute) {
	switch typ {
	case TypeString:
		a.Str = c.text.at(i)
	case TypeOpaque:
		if s := c.text.at(i); s != "" {
			a.Raw = []byte(s)
		}
	case TypeFloat:
		a.Float = c.floats[i]
	default:
		a.Int = c.ints[i]
	}
}

// matches returns which values pass the condition, nil if none does.
func (c *valueColumn) matches(cond *condition) []bool {
	if cond.pass || cond.Op == "exists" {
		return slices.Repeat([]bool{true}, c.values)
	}
	var elements []bool
	switch typ := c.element(); typ {
	case TypeString:
		elements = c.text.matches(c.elements(), cond.text)
	case TypeOpaque:
		if !cond.negative() {
			return nil
		}
		return slices.Repeat([]bool{true}, c.values)
	default:
		elements = make([]bool, c.elements())
		some := false
		for i := range elements {
			a := Attribute{Type: typ}
			c.scalar(i, typ, &a)
			elements[i] = cond.number(&a)
			some = some || elements[i]
		}
		if !some {
			return nil
		}
	}
	if c.ends == nil || elements == nil {
		return elements
	}
	out := make([]bool, c.values)
	from := 0
	for i, to := range c.ends {
		out[i] = slices.Contains(elements[from:to], true)
		from = to
	}
	return out
}

func (c *valueColumn) element() ValueType {
	if c.ends != nil {
		return elementOf(c.typ)
	}
	return c.typ
}

func (c *valueColumn) elements() int {
	if len(c.ends) > 0 {
		return c.ends[len(c.ends)-1]
	}
	return c.values
}

// addTo adds the column's values.
func (c *valueColumn) addTo(v *values) {
	switch typ := c.element(); typ {
	case TypeOpaque:
	case TypeString:
		c.text.each(func(s string) bool {
			v.addText(s)
			return !v.full()
		})
	default:
		for i := range c.elements() {
			a := Attribute{Type: typ}
			c.scalar(i, typ, &a)
			v.add(&a)
		}
	}
}

// readRest reads one value of a rest column.
func readRest(s string, a *Attribute) bool {
	d := block.NewDecoder([]byte(s))
	key, typ := d.String(), ValueType(d.Byte())
	value := d.Bytes(d.Len())
	if d.Err() != nil || typ > TypeOpaque {
		return false
	}
	if typ == TypeOpaque {
		*a = Attribute{Type: TypeOpaque}
		if len(value) > 0 {
			a.Raw = value
		}
	} else {
		w := walker{limits: unlimited}
		if w.value(string(value), a, true) != nil || a.Type != typ {
			return false
		}
	}
	a.Key = key
	return true
}
