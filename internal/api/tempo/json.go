package tempo

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hune-io/hune/internal/traces"
)

// The encoders append JSON in the form that the reference's protobuf messages have: 64-bit integers
// as text, bytes in base64, fields that are zero left out.

const hexDigits = "0123456789abcdef"

// plain are the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := byte(0x20); c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	i := 0
	for i < len(s) && plain[s[i]] {
		i++
	}
	b = append(b, '"')
	if i < len(s) {
		return appendEscaped(b, s)
	}
	return append(append(b, s...), '"') // Fast path: nothing to escape.
}

// appendEscaped appends s and the quote that ends it.
func appendEscaped(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(append(b, s[start:i]...), "\ufffd"...)
			start = i + n
		}
		i += n
	}
	return append(append(b, s[start:]...), '"')
}

// appendFloat appends a number; what JSON has no number for is text.
func appendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, 64)
}

func appendBase64(b, raw []byte) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, raw)
	return append(b, '"')
}

// object appends the fields of one JSON object.
type object struct {
	b     []byte
	empty bool
}

func open(b []byte) object { return object{append(b, '{'), true} }

func (o *object) field(name string) {
	if o.empty {
		o.b = append(o.b, '"')
	} else {
		o.b = append(o.b, `,"`...)
	}
	o.empty = false
	o.b = append(append(o.b, name...), `":`...)
}

func (o *object) close() []byte { return append(o.b, '}') }

// text appends a string field unless it is empty.
func (o *object) text(name, s string) {
	if s != "" {
		o.field(name)
		o.b = appendString(o.b, s)
	}
}

// number appends a 32-bit field unless it is zero.
func (o *object) number(name string, n uint64) {
	if n != 0 {
		o.field(name)
		o.b = strconv.AppendUint(o.b, n, 10)
	}
}

// long appends a 64-bit field, as text, unless it is zero.
func (o *object) long(name string, n uint64) {
	if n != 0 {
		o.field(name)
		o.b = append(o.b, '"')
		o.b = strconv.AppendUint(o.b, n, 10)
		o.b = append(o.b, '"')
	}
}

func (o *object) attributes(name string, attrs []traces.Attribute) {
	if len(attrs) > 0 {
		o.field(name)
		o.b = appendAttributes(o.b, attrs)
	}
}

func appendAttributes(b []byte, attrs []traces.Attribute) []byte {
	b = append(b, '[')
	for i := range attrs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"key":`...)
		b = appendString(b, attrs[i].Key)
		b = append(b, `,"value":`...)
		b = appendValue(b, &attrs[i])
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendValue appends an OTLP AnyValue.
func appendValue(b []byte, a *traces.Attribute) []byte {
	switch a.Type {
	case traces.TypeString:
		b = append(b, `{"stringValue":`...)
		b = appendString(b, a.Str)
	case traces.TypeInt:
		b = append(b, `{"intValue":"`...)
		b = strconv.AppendInt(b, a.Int, 10)
		b = append(b, '"')
	case traces.TypeFloat:
		b = append(b, `{"doubleValue":`...)
		b = appendFloat(b, a.Float)
	case traces.TypeBool:
		b = append(b, `{"boolValue":`...)
		b = strconv.AppendBool(b, a.Int != 0)
	case traces.TypeOpaque:
		return appendOpaque(b, a.Raw, 0)
	default:
		if len(a.Array) == 0 {
			return append(b, `{"arrayValue":{}}`...)
		}
		b = append(b, `{"arrayValue":{"values":[`...)
		for i := range a.Array {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, &a.Array[i])
		}
		return append(b, "]}}"...)
	}
	return append(b, '}')
}

// maxValueDepth is how deep values may nest; deeper ones are cut off as empty.
const maxValueDepth = 64

// appendOpaque converts an AnyValue from protobuf. What can't be read ends the value there: stored
// bytes were checked when they arrived.
func appendOpaque(b, raw []byte, depth int) []byte {
	var num protowire.Number
	var body []byte
	var bits uint64
	for len(raw) > 0 { // the last of the oneof counts
		n, typ, tagLen := protowire.ConsumeTag(raw)
		if tagLen < 0 {
			break
		}
		raw = raw[tagLen:]
		valueLen := -1
		switch typ {
		case protowire.VarintType:
			bits, valueLen = protowire.ConsumeVarint(raw)
		case protowire.Fixed64Type:
			bits, valueLen = protowire.ConsumeFixed64(raw)
		case protowire.BytesType:
			body, valueLen = protowire.ConsumeBytes(raw)
		default:
			valueLen = protowire.ConsumeFieldValue(n, typ, raw)
		}
		if valueLen < 0 {
			break
		}
		raw, num = raw[valueLen:], n
	}
	if depth > maxValueDepth {
		return append(b, "{}"...)
	}
	switch num {
	case 1:
		return append(appendString(append(b, `{"stringValue":`...), string(body)), '}')
	case 2:
		return append(strconv.AppendBool(append(b, `{"boolValue":`...), bits != 0), '}')
	case 3:
		return append(strconv.AppendInt(append(b, `{"intValue":"`...), int64(bits), 10), `"}`...)
	case 4:
		return append(appendFloat(append(b, `{"doubleValue":`...), math.Float64frombits(bits)), '}')
	case 5:
		return appendList(b, "arrayValue", body, func(b, item []byte) []byte { return appendOpaque(b, item, depth+1) })
	case 6:
		return appendList(b, "kvlistValue", body, func(b, item []byte) []byte { return appendKeyValue(b, item, depth+1) })
	case 7:
		return append(appendBase64(append(b, `{"bytesValue":`...), body), '}')
	}
	return append(b, "{}"...)
}

// appendList appends {name:{"values":[…]}} of the repeated field 1 in body.
func appendList(b []byte, name string, body []byte, item func(b, item []byte) []byte) []byte {
	b = append(append(append(b, `{"`...), name...), `":{`...)
	first := true
	eachBytes(body, func(n protowire.Number, v []byte) {
		if n != 1 {
			return
		}
		if first {
			b = append(b, `"values":[`...)
		} else {
			b = append(b, ',')
		}
		first = false
		b = item(b, v)
	})
	if !first {
		b = append(b, ']')
	}
	return append(b, "}}"...)
}

func appendKeyValue(b, raw []byte, depth int) []byte {
	var key, value []byte
	eachBytes(raw, func(n protowire.Number, v []byte) {
		switch n {
		case 1:
			key = v
		case 2:
			value = v
		}
	})
	b = appendString(append(b, `{"key":`...), string(key))
	return append(appendOpaque(append(b, `,"value":`...), value, depth), '}')
}

// eachBytes calls visit for the length-delimited fields of a message, up to the first damage.
func eachBytes(raw []byte, visit func(protowire.Number, []byte)) {
	for len(raw) > 0 {
		n, typ, tagLen := protowire.ConsumeTag(raw)
		if tagLen < 0 {
			return
		}
		size := protowire.ConsumeFieldValue(n, typ, raw[tagLen:])
		if size < 0 {
			return
		}
		if typ == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(raw[tagLen:])
			visit(n, v)
		}
		raw = raw[tagLen+size:]
	}
}
