package traces

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Generators of random spans, shared by the property tests of this package.

var (
	genKey  = rapid.SampledFrom([]string{"http.route", "db.system", "user.id", "n", "flag", "weird key é", ""})
	genText = rapid.OneOf(rapid.SampledFrom([]string{"", "GET /", "error", "postgresql", "a-b-c"}), rapid.StringN(0, 12, 40))
)

func genScalar(t *rapid.T, typ ValueType) Attribute {
	switch typ {
	case TypeString:
		return Attribute{Type: typ, Str: genText.Draw(t, "str")}
	case TypeInt:
		return Attribute{Type: typ, Int: rapid.OneOf(rapid.Int64Range(-5, 600), rapid.Int64()).Draw(t, "int")}
	case TypeFloat:
		return Attribute{Type: typ, Float: rapid.OneOf(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1.5, math.NaN(), math.Inf(1)}), rapid.Float64()).Draw(t, "float")}
	}
	return Attribute{Type: TypeBool, Int: int64(rapid.IntRange(0, 1).Draw(t, "bool"))}
}

func genAttribute(t *rapid.T) Attribute {
	key := genKey.Draw(t, "key")
	typ := ValueType(rapid.IntRange(0, int(TypeOpaque)).Draw(t, "type"))
	switch {
	case typ < TypeStringArray:
		a := genScalar(t, typ)
		a.Key = key
		return a
	case typ < TypeOpaque:
		a := Attribute{Key: key, Type: typ}
		for range rapid.IntRange(1, 3).Draw(t, "elements") {
			a.Array = append(a.Array, genScalar(t, elementOf(typ)))
		}
		return a
	}
	switch rapid.IntRange(0, 3).Draw(t, "opaque") {
	case 0:
		return Attribute{Key: key, Type: TypeOpaque} // not set
	case 1:
		return Attribute{Key: key, Type: TypeOpaque, Raw: []byte("\x3a\x03abc")} // bytes
	case 2:
		return Attribute{Key: key, Type: TypeOpaque, Raw: []byte("\x2a\x00")} // empty array
	}
	return Attribute{Key: key, Type: TypeOpaque, Raw: []byte("\x2a\x08\x0a\x02\x18\x01\x0a\x02\x10\x01")} // [1, true]
}

func genAttributes(t *rapid.T) []Attribute {
	var out []Attribute
	for range rapid.IntRange(0, 4).Draw(t, "attributes") {
		out = append(out, genAttribute(t))
	}
	return out
}

var genCount = rapid.OneOf(rapid.Just(uint32(0)), rapid.Uint32())

func genResource(t *rapid.T) *Resource {
	r := &Resource{Attributes: genAttributes(t), DroppedAttributesCount: genCount.Draw(t, "dropped"), SchemaURL: genText.Draw(t, "schema")}
	if rapid.Bool().Draw(t, "has service") {
		r.ServiceName = rapid.SampledFrom([]string{"frontend", "cart", "db"}).Draw(t, "service")
		r.Attributes = append(r.Attributes, Attribute{Key: "service.name", Type: TypeString, Str: r.ServiceName})
	}
	return r
}

func genScope(t *rapid.T) *Scope {
	return &Scope{Name: genText.Draw(t, "scope"), Version: genText.Draw(t, "version"), Attributes: genAttributes(t),
		DroppedAttributesCount: genCount.Draw(t, "dropped"), SchemaURL: genText.Draw(t, "schema")}
}

func genID8(t *rapid.T) SpanID {
	return SpanID{0, 0, 0, 0, 0, 0, byte(rapid.IntRange(0, 3).Draw(t, "id")), byte(rapid.IntRange(1, 200).Draw(t, "id"))}
}

const genBase = uint64(1_700_000_000_000_000_000)

func genSpan(t *rapid.T, resources []*Resource, scopes []*Scope) *Span {
	s := &Span{ID: genID8(t), Name: genText.Draw(t, "name"), Kind: Kind(rapid.IntRange(0, 5).Draw(t, "kind")),
		Status: Status(rapid.IntRange(0, 2).Draw(t, "status")), Attributes: genAttributes(t),
		Start: genBase + uint64(rapid.IntRange(0, 100_000).Draw(t, "start"))*1000,
	}
	s.End = s.Start + uint64(rapid.IntRange(-100, 10_000).Draw(t, "duration"))
	if rapid.Bool().Draw(t, "child") {
		s.ParentID = genID8(t)
	}
	if rapid.IntRange(0, 3).Draw(t, "rare") == 0 {
		s.StatusMessage, s.TraceState = genText.Draw(t, "message"), genText.Draw(t, "state")
		s.Flags = rapid.Uint32().Draw(t, "flags")
		s.DroppedAttributes, s.DroppedEvents, s.DroppedLinks = genCount.Draw(t, "da"), genCount.Draw(t, "de"), genCount.Draw(t, "dl")
	}
	for range rapid.IntRange(0, 2).Draw(t, "events") {
		s.Events = append(s.Events, Event{Time: rapid.Uint64().Draw(t, "time"), Name: genText.Draw(t, "event"),
			Attributes: genAttributes(t), DroppedAttributesCount: genCount.Draw(t, "dropped")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "links") {
		s.Links = append(s.Links, Link{TraceID: ID{1, 2, byte(rapid.IntRange(0, 3).Draw(t, "link"))}, SpanID: genID8(t), TraceState: genText.Draw(t, "state"),
			Attributes: genAttributes(t), DroppedAttributesCount: genCount.Draw(t, "dropped"), Flags: genCount.Draw(t, "flags")})
	}
	s.Resource = rapid.SampledFrom(resources).Draw(t, "resource")
	s.Scope = rapid.SampledFrom(scopes).Draw(t, "scope")
	return s
}

// genTraces makes up to n traces of up to m spans that share resources and scopes.
func genTraces(t *rapid.T, n, m int) []*Trace {
	resources := []*Resource{genResource(t), genResource(t)}
	scopes := []*Scope{genScope(t), genScope(t)}
	var out []*Trace
	for i := range rapid.IntRange(1, n).Draw(t, "traces") {
		tr := &Trace{ID: ID{0: byte(rapid.IntRange(0, 255).Draw(t, "id")), 15: byte(i + 1)}}
		for range rapid.IntRange(1, m).Draw(t, "spans") {
			tr.Spans = append(tr.Spans, genSpan(t, resources, scopes))
		}
		tr.normalize()
		out = append(out, tr)
	}
	return out
}

// arrived returns traces as they are after they were sent: spans numbered in their order on the wire.
func arrived(t require.TestingT, traces []*Trace) []*Trace {
	out, err := DecodeOTLP(encodeTraces(traces))
	require.NoError(t, err)
	return out
}

func encodeTraces(traces []*Trace) []byte {
	var out []byte
	for _, t := range traces {
		out = AppendOTLP(out, t)
	}
	return out
}

// requireSameTraces compares all that traces say. Floats are compared as bits, so through the encoding.
func requireSameTraces(t require.TestingT, want, got []*Trace) {
	if h, ok := t.(*testing.T); ok {
		h.Helper()
	}
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].ID, got[i].ID)
		require.Equal(t, len(want[i].Spans), len(got[i].Spans), "spans of trace %s", want[i].ID)
		for j := range want[i].Spans {
			w, g := want[i].Spans[j], got[i].Spans[j]
			require.Equal(t, describe(w), describe(g), "span %d of trace %s", j, want[i].ID)
		}
	}
}

func describe(s *Span) string {
	return fmt.Sprintf("%x|%x|%x|%q", appendSpan(nil, ID{}, s), appendResource(nil, s.Resource), appendScope(nil, s.Scope), s.Resource.ServiceName)
}
