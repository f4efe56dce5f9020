package traces

import (
	"math"
	"unicode/utf8"
)

// This file reads attributes in the form that encoders write: the key, then a value that is text, an integer, a
// float or a boolean, each field once and no length of more than two bytes. All others take the way by fields.

// plainKeyValue reads a KeyValue message of that form into a, whose other fields it leaves. The text is not checked.
func plainKeyValue(data string, a *Attribute) bool {
	if len(data) < 6 || data[0] != 1<<3|wireBytes {
		return false
	}
	n := int(data[1])
	if n >= 0x80 || len(data) < n+6 || data[2+n] != 2<<3|wireBytes {
		return false
	}
	a.Key = data[2 : 2+n]
	value, ok := wholeField(data[2+n:])
	if !ok || len(value) < 2 {
		return false
	}
	switch value[0] {
	case 1<<3 | wireBytes:
		a.Type = TypeString
		a.Str, ok = wholeField(value)
		return ok
	case 2<<3 | wireVarint:
		a.Type, a.Int = TypeBool, int64(value[1])
		return len(value) == 2 && value[1] <= 1
	case 3<<3 | wireVarint:
		v, end := uvarintAt(value, 1)
		a.Type, a.Int = TypeInt, int64(v)
		return end == len(value) && (end <= 10 || value[10] <= 1)
	case 4<<3 | wireFixed64:
		if len(value) != 9 {
			return false
		}
		a.Type, a.Float = TypeFloat, math.Float64frombits(le64(value[1:]))
		return true
	}
	return false
}

// wholeField returns the content of a field of bytes that takes all of data, whose key is one byte.
func wholeField(data string) (string, bool) {
	if len(data) < 2 {
		return "", false
	}
	n, at := int(data[1]), 2
	if n >= 0x80 {
		if len(data) < 3 || data[2] >= 0x80 {
			return "", false
		}
		n, at = n&0x7f|int(data[2])<<7, 3
	}
	if len(data)-at != n {
		return "", false
	}
	return data[at:], true
}

// fits reports whether the text of a can be stored as it is.
func (w *walker) fits(a *Attribute) bool {
	if w.trusted {
		return true
	}
	most := w.limits.MaxAttributeBytes
	return len(a.Key) <= most && utf8.ValidString(a.Key) && (a.Type != TypeString || len(a.Str) <= most && utf8.ValidString(a.Str))
}
