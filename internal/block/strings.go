package block

import (
	"encoding/binary"
	"math"
)

// Values is a column of byte strings: value i is Data[Ends[i-1]:Ends[i]]. Two allocations hold any
// number of values. The zero Values is empty and ready to Append to.
type Values struct {
	Data []byte
	Ends []uint32
}

// Len returns the number of values.
func (v *Values) Len() int { return len(v.Ends) }

// At returns value i, which aliases Data.
func (v *Values) At(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = v.Ends[i-1]
	}
	end := v.Ends[i]
	return v.Data[start:end:end]
}

// Append adds a value. It reports false, and adds nothing, if the column would outgrow 4 GiB.
func (v *Values) Append(b []byte) bool { return appendValue(v, b) }

// AppendString is Append for a string.
func (v *Values) AppendString(s string) bool { return appendValue(v, s) }

func appendValue[T ~string | ~[]byte](v *Values, s T) bool {
	if uint64(len(v.Data))+uint64(len(s)) > math.MaxUint32 {
		return false
	}
	v.Data = append(v.Data, s...)
	v.Ends = append(v.Ends, uint32(len(v.Data)))
	return true
}

// Reset empties v and keeps its memory.
func (v *Values) Reset() { v.Data, v.Ends = v.Data[:0], v.Ends[:0] }

// AppendValues appends v, at most MaxRows values: an integer column of the lengths, then all bytes.
func AppendValues(dst []byte, v *Values) []byte {
	s := getScratch(len(v.Ends))
	defer putScratch(s)
	prev := uint32(0)
	for i, e := range v.Ends {
		(*s)[i] = int64(e - prev)
		prev = e
	}
	dst = appendInt64s(dst, *s, layoutPlanes)
	return append(dst, v.Data[:prev]...)
}

// Values reads a column of exactly n values (n < 0: of any number) that AppendValues wrote into v,
// reusing v.Ends. v.Data aliases the input. On a fault v is empty.
func (d *Decoder) Values(v *Values, n int) {
	v.Data = nil
	v.Ends = DecodeInts(d, v.Ends, n)
	var sum uint64
	for i, l := range v.Ends {
		sum += uint64(l)
		if sum > uint64(len(d.buf)) {
			d.Fail(errShort)
			break
		}
		v.Ends[i] = uint32(sum)
	}
	v.Data = d.Bytes(int(min(sum, math.MaxInt32)))
	if d.err != nil {
		*v = Values{Ends: v.Ends[:0]}
	}
}

// Dict is a column of few distinct byte strings: row i is Entries.At(Codes[i]). A filter looks at
// each entry once and then at codes only.
type Dict struct {
	Entries Values
	Codes   []uint32
}

// At returns the value of row i.
func (c *Dict) At(i int) []byte { return c.Entries.At(int(c.Codes[i])) }

// Len returns the number of rows.
func (c *Dict) Len() int { return len(c.Codes) }

// BuildDict fills c, reusing its memory, with the rows of v and their distinct values in order of
// first appearance. It reports false, with c undefined, as soon as more than limit are distinct.
func BuildDict(c *Dict, v *Values, limit int) bool {
	c.Entries.Reset()
	c.Codes = c.Codes[:0]
	codes := make(map[string]uint32)
	for i := range v.Len() {
		b := v.At(i)
		code, ok := codes[string(b)]
		if !ok {
			code = uint32(len(codes))
			if int(code) >= limit {
				return false
			}
			codes[string(b)] = code
			c.Entries.Append(b)
		}
		c.Codes = append(c.Codes, code)
	}
	return true
}

// AppendDict appends c, at most MaxRows rows: the entries, then an integer column of codes.
func AppendDict(dst []byte, c *Dict) []byte {
	dst = AppendValues(dst, &c.Entries)
	return AppendInts(dst, c.Codes)
}

// Dict reads a column of exactly n rows (n < 0: of any number) that AppendDict wrote into c, reusing
// its memory. Entries alias the input. A code without an entry is a fault; on a fault c is empty.
func (d *Decoder) Dict(c *Dict, n int) {
	d.Values(&c.Entries, -1)
	c.Codes = DecodeInts(d, c.Codes, n)
	for _, code := range c.Codes {
		if int64(code) >= int64(c.Entries.Len()) {
			d.Failf("code %d of a dictionary with %d entries", code, c.Entries.Len())
			break
		}
	}
	if d.err != nil {
		*c = Dict{Entries: Values{Ends: c.Entries.Ends[:0]}, Codes: c.Codes[:0]}
	}
}

// Strings is a column of byte strings in the form that suited it: a Dict where IsDict, else Plain.
type Strings struct {
	IsDict bool
	Dict   Dict
	Plain  Values
}

// At returns the value of row i.
func (s *Strings) At(i int) []byte {
	if s.IsDict {
		return s.Dict.At(i)
	}
	return s.Plain.At(i)
}

// Len returns the number of rows.
func (s *Strings) Len() int {
	if s.IsDict {
		return s.Dict.Len()
	}
	return s.Plain.Len()
}

const (
	stringsPlain = 0
	stringsDict  = 1
)

// AppendStrings appends v, at most MaxRows values, as a dictionary where less than half of the
// values are distinct (a constant column is a dictionary of one), else plainly.
func AppendStrings(dst []byte, v *Values) []byte {
	var c Dict
	if v.Len() > 0 && BuildDict(&c, v, max(1, v.Len()/2)) {
		return AppendDict(append(dst, stringsDict), &c)
	}
	return AppendValues(append(dst, stringsPlain), v)
}

// Strings reads a column of exactly n values (n < 0: of any number) that AppendStrings wrote into s,
// reusing its memory. Bytes alias the input. On a fault s is empty.
func (d *Decoder) Strings(s *Strings, n int) {
	switch form := d.Byte(); form {
	case stringsPlain:
		s.IsDict = false
		d.Values(&s.Plain, n)
	case stringsDict:
		s.IsDict = true
		d.Dict(&s.Dict, n)
	default:
		d.Failf("unknown string column form %d", form)
	}
	if d.err != nil {
		s.IsDict = false
		s.Plain.Reset()
	}
}

// AppendStringList appends a short list of strings, each with its length: names, not columns.
func AppendStringList(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = AppendPrefixed(dst, s)
	}
	return dst
}

// StringList reads what AppendStringList wrote.
func (d *Decoder) StringList() []string {
	list := make([]string, d.Count(MaxRows, 1))
	for i := range list {
		list[i] = d.String()
	}
	if d.err != nil {
		return nil
	}
	return list
}
