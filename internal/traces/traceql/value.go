package traceql

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hune-io/hune/internal/traces"
)

// Kind is the type of a value.
type Kind uint8

// The kinds. Array holds several values of one kind: an array attribute, or one attribute of
// several events or links of a span.
const (
	KindNil Kind = iota
	KindInt
	KindFloat
	KindString
	KindBool
	KindDuration
	KindStatus
	KindSpanKind
	KindArray
)

// Value is a literal of the language, or what an expression is for one span.
type Value struct {
	Kind Kind
	n    int64 // int, duration in ns, bool, status, span kind; the bits of a float
	s    string
	arr  []Value
	// multi marks an Array of values from several events or links. Where one value is wanted, the
	// last counts, while an array attribute of several elements has none.
	multi bool
}

// Constructors of values.
func intValue(n int64) Value            { return Value{Kind: KindInt, n: n} }
func floatValue(f float64) Value        { return Value{Kind: KindFloat, n: int64(math.Float64bits(f))} }
func stringValue(s string) Value        { return Value{Kind: KindString, s: s} }
func durationValue(ns int64) Value      { return Value{Kind: KindDuration, n: ns} }
func statusValue(s traces.Status) Value { return Value{Kind: KindStatus, n: int64(s)} }
func spanKindValue(k traces.Kind) Value { return Value{Kind: KindSpanKind, n: int64(k)} }
func (v Value) float() float64          { return math.Float64frombits(uint64(v.n)) }
func (v Value) isTrue() bool            { return v.Kind == KindBool && v.n != 0 }
func (v Value) isNumber() bool          { return v.Kind.isNumber() }
func (k Kind) isNumber() bool           { return k == KindInt || k == KindFloat || k == KindDuration }
func keyword(names []string, n int64) string {
	if n >= 0 && n < int64(len(names)) {
		return names[n]
	}
	return strconv.FormatInt(n, 10)
}

func boolValue(b bool) Value {
	if b {
		return Value{Kind: KindBool, n: 1}
	}
	return Value{Kind: KindBool}
}

var (
	statusNames = []string{"unset", "ok", "error"}
	kindNames   = []string{"unspecified", "internal", "server", "client", "producer", "consumer"}
)

// number returns v as a float; integers and durations are converted.
func (v Value) number() float64 {
	if v.Kind == KindFloat {
		return v.float()
	}
	return float64(v.n)
}

// String prints v as TraceQL. Nil is nil, an array is its elements in brackets (which the language
// can't read; literals are never arrays).
func (v Value) String() string {
	switch v.Kind {
	case KindInt:
		return strconv.FormatInt(v.n, 10)
	case KindFloat:
		return formatFloat(v.float())
	case KindString:
		if strings.ContainsAny(v.s, "`\r") {
			return strconv.Quote(v.s)
		}
		return "`" + v.s + "`"
	case KindBool:
		return strconv.FormatBool(v.n != 0)
	case KindDuration:
		return time.Duration(v.n).String()
	case KindStatus:
		return keyword(statusNames, v.n)
	case KindSpanKind:
		return keyword(kindNames, v.n)
	case KindArray:
		parts := make([]string, len(v.arr))
		for i, e := range v.arr {
			parts[i] = e.String()
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return "nil"
}

// formatFloat prints a float so that it reads back as one: with a point or an exponent.
func formatFloat(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".eE") {
		s += ".0"
	}
	return s
}

// fromAttribute converts a stored value. Opaque values can't be searched and are nil.
func fromAttribute(a *traces.Attribute) Value {
	switch a.Type {
	case traces.TypeString:
		return stringValue(a.Str)
	case traces.TypeInt:
		return intValue(a.Int)
	case traces.TypeFloat:
		return floatValue(a.Float)
	case traces.TypeBool:
		return Value{Kind: KindBool, n: a.Int}
	case traces.TypeStringArray, traces.TypeIntArray, traces.TypeFloatArray, traces.TypeBoolArray:
		switch len(a.Array) {
		case 0:
			return Value{}
		case 1:
			return fromAttribute(&a.Array[0])
		}
		v := Value{Kind: KindArray, arr: make([]Value, len(a.Array))}
		for i := range a.Array {
			v.arr[i] = fromAttribute(&a.Array[i])
		}
		return v
	}
	return Value{}
}

// attribute converts v for an answer: what has no type of its own on the wire becomes text.
func (v Value) attribute(key string) traces.Attribute {
	a := traces.Attribute{Key: key, Type: traces.TypeString}
	switch v.Kind {
	case KindInt:
		a.Type, a.Int = traces.TypeInt, v.n
	case KindFloat:
		a.Type, a.Float = traces.TypeFloat, v.float()
	case KindBool:
		a.Type, a.Int = traces.TypeBool, v.n
	case KindString:
		a.Str = v.s
	case KindArray:
		return v.arrayAttribute(key)
	default:
		a.Str = v.String()
	}
	return a
}

func (v Value) arrayAttribute(key string) traces.Attribute {
	a := traces.Attribute{Key: key, Type: traces.TypeStringArray, Array: make([]traces.Attribute, len(v.arr))}
	for i, e := range v.arr {
		a.Array[i] = e.attribute("")
	}
	switch v.arr[0].Kind {
	case KindInt:
		a.Type = traces.TypeIntArray
	case KindFloat:
		a.Type = traces.TypeFloatArray
	case KindBool:
		a.Type = traces.TypeBoolArray
	}
	return a
}

// single returns the one value that stands for v in a label or a group: the last of several events,
// nil for an array.
func (v Value) single() Value {
	if v.Kind != KindArray {
		return v
	}
	if v.multi {
		return v.arr[len(v.arr)-1].single()
	}
	return Value{}
}

// identity is a key under which equal values meet; values of different kinds never do.
type identity struct {
	kind Kind
	n    int64
	s    string
}

func (v Value) identity() identity { return identity{v.Kind, v.n, v.s} }
