package traces

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// This file reads attributes and their values.

// attributes reads all KeyValue fields numbered num. Resources and scopes outlive the span: heap.
func (w *walker) attributes(data string, num uint32, heap bool) (attrs []Attribute, over uint32, err error) {
	n := 0
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		if f.num == num {
			n++
		}
	}
	if c.err != nil {
		return nil, 0, c.err
	}
	if n == 0 {
		return nil, 0, nil
	}
	if n > w.limits.MaxAttributes {
		over, n = uint32(n-w.limits.MaxAttributes), w.limits.MaxAttributes
	}
	if heap {
		attrs = make([]Attribute, n)
	} else {
		attrs = w.attrs.alloc(n)
	}
	c = cursor{s: data}
	i, kept := 0, 0
	for c.next(&f) {
		if f.num != num {
			continue
		}
		if !c.want(&f, wireBytes) {
			break
		}
		if i < n {
			switch err := w.keyValue(f.data, &attrs[kept], heap); {
			case errors.Is(err, errTooDeep):
				over++
			case err != nil:
				return nil, 0, fmt.Errorf("attributes[%d]: %w", i, err)
			default:
				kept++
			}
		}
		i++
	}
	if over > 0 {
		w.repaired = true
	}
	if kept == 0 {
		attrs = nil
	}
	return attrs[:kept], over, c.err
}

func (w *walker) keyValue(data string, a *Attribute, heap bool) error {
	a.Type = TypeOpaque // a key without a value
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		switch f.num {
		case 1:
			if c.want(&f, wireBytes) {
				a.Key = w.cut(w.text(f.data))
			}
		case 2:
			if !c.want(&f, wireBytes) {
				break
			}
			*a = Attribute{Key: a.Key}
			if err := w.value(f.data, a, heap); err != nil {
				return err
			}
		}
	}
	return c.err
}

// value reads an AnyValue. The last of several values wins, as in generated code.
func (w *walker) value(data string, a *Attribute, heap bool) error {
	f, err := lastValue(data)
	if err != nil {
		return err
	}
	if err := scalar(&f, a); err == nil {
		if a.Type == TypeString {
			a.Str = w.cut(w.text(a.Str))
		}
		return nil
	}
	if f.num == 5 {
		ok, err := w.array(f.data, a, heap)
		if ok || err != nil {
			return err
		}
	}
	return w.opaque(data, a)
}

// lastValue returns the field of an AnyValue that counts, with number 0 if none is set.
func lastValue(data string) (field, error) {
	c, f, last := cursor{s: data}, field{}, field{}
	for c.next(&f) {
		typ := uint8(wireBytes)
		switch f.num {
		case 1, 5, 6, 7:
		case 2, 3:
			typ = wireVarint
		case 4:
			typ = wireFixed64
		default:
			continue // a newer kind of value
		}
		if c.want(&f, typ) {
			last = f
		}
	}
	return last, c.err
}

// scalar sets a to the string, bool, int or double of f; else it returns errWireType.
func scalar(f *field, a *Attribute) error {
	switch f.num {
	case 1:
		a.Type, a.Str = TypeString, f.data
	case 2:
		a.Type, a.Int = TypeBool, 0
		if f.val != 0 {
			a.Int = 1
		}
	case 3:
		a.Type, a.Int = TypeInt, int64(f.val)
	case 4:
		a.Type, a.Float = TypeFloat, math.Float64frombits(f.val)
	default:
		return errWireType
	}
	return nil
}

// array reads an ArrayValue whose elements are scalars of one type. Any other is not for the
// columns: ok is false and a unchanged.
func (w *walker) array(data string, a *Attribute, heap bool) (ok bool, err error) {
	var first Attribute
	n := 0
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		if f.num != 1 || !c.want(&f, wireBytes) {
			continue
		}
		v, err := lastValue(f.data)
		if err != nil {
			return false, err
		}
		var e Attribute
		if scalar(&v, &e) != nil || n > 0 && e.Type != first.Type {
			return false, nil
		}
		if n == 0 {
			first = e
		}
		n++
	}
	if c.err != nil {
		return false, c.err
	}
	// An element can be two bytes, its struct is a hundred: longer arrays stay bytes.
	if n == 0 || n > maxElements {
		return false, nil
	}
	var elements []Attribute
	if heap {
		elements = make([]Attribute, n)
	} else {
		elements = w.attrs.alloc(n)
	}
	c = cursor{s: data}
	for i := 0; c.next(&f); {
		if f.num != 1 {
			continue
		}
		v, err := lastValue(f.data)
		if err != nil {
			return false, err
		}
		_ = scalar(&v, &elements[i])
		if elements[i].Type == TypeString {
			elements[i].Str = w.cut(w.text(elements[i].Str))
		}
		i++
	}
	a.Type, a.Array = arrayOf(first.Type), elements
	return true, nil
}

func arrayOf(t ValueType) ValueType { return t - TypeString + TypeStringArray }

// elementOf is the type of the elements of an array type.
func elementOf(t ValueType) ValueType { return t - TypeStringArray + TypeString }

func (w *walker) opaque(data string, a *Attribute) error {
	dirty, err := checkValue(data, 0)
	if err != nil {
		return err
	}
	a.Type = TypeOpaque
	switch {
	case dirty:
		w.repaired = true
		a.Raw = repairValue(nil, data)
	case data != "":
		a.Raw = []byte(data)
	}
	return nil
}

// checkValue walks an AnyValue that is kept as bytes, so that no reader finds it malformed later.
func checkValue(data string, depth int) (dirty bool, err error) {
	if depth > maxValueDepth {
		return false, errTooDeep
	}
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		var d bool
		switch f.num {
		case 1:
			c.want(&f, wireBytes)
			d = !utf8.ValidString(f.data)
		case 2, 3:
			c.want(&f, wireVarint)
		case 4:
			c.want(&f, wireFixed64)
		case 5, 6:
			c.want(&f, wireBytes)
			d, err = checkList(f.data, f.num == 6, depth)
		case 7:
			c.want(&f, wireBytes)
		default:
			d = true // unknown to us, but maybe not to who reads the answer
		}
		if err != nil {
			return false, err
		}
		dirty = dirty || d
	}
	return dirty, c.err
}

// checkList walks an ArrayValue, or a KeyValueList.
func checkList(data string, pairs bool, depth int) (dirty bool, err error) {
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		if f.num != 1 || !c.want(&f, wireBytes) {
			dirty = true
			continue
		}
		var d bool
		if pairs {
			d, err = checkPair(f.data, depth)
		} else {
			d, err = checkValue(f.data, depth+1)
		}
		if err != nil {
			return false, err
		}
		dirty = dirty || d
	}
	return dirty, c.err
}

func checkPair(data string, depth int) (dirty bool, err error) {
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		var d bool
		switch f.num {
		case 1:
			c.want(&f, wireBytes)
			d = !utf8.ValidString(f.data)
		case 2:
			if c.want(&f, wireBytes) {
				d, err = checkValue(f.data, depth+1)
			}
		default:
			d = true
		}
		if err != nil {
			return false, err
		}
		dirty = dirty || d
	}
	return dirty, c.err
}

// repairValue appends a checked AnyValue with only what we know and all text made valid UTF-8; repairList and repairPair
// do the same for what it holds.
func repairValue(dst []byte, data string) []byte {
	f, _ := lastValue(data)
	switch f.num {
	case 1:
		dst = appendBytesField(dst, 1, []byte(strings.ToValidUTF8(f.data, "\uFFFD")))
	case 5, 6:
		var at int
		dst, at = beginMessage(dst, int(f.num))
		dst = endMessage(repairList(dst, f.data, f.num == 6), at)
	case 2, 3, 4, 7:
		dst = append(dst, data...)
	}
	return dst
}

func repairList(dst []byte, data string, pairs bool) []byte {
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		if f.num != 1 {
			continue
		}
		var at int
		dst, at = beginMessage(dst, 1)
		if pairs {
			dst = repairPair(dst, f.data)
		} else {
			dst = repairValue(dst, f.data)
		}
		dst = endMessage(dst, at)
	}
	return dst
}

func repairPair(dst []byte, data string) []byte {
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		switch f.num {
		case 1:
			dst = appendStringField(dst, 1, strings.ToValidUTF8(f.data, "\uFFFD"))
		case 2:
			var at int
			dst, at = beginMessage(dst, 2)
			dst = endMessage(repairValue(dst, f.data), at)
		}
	}
	return dst
}
