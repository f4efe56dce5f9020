package traces

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// scanned collects what ScanOTLP finds, copied.
type scanned struct {
	resource string
	keys     *AttributeKeys
	found    []RawValue
	spans    []scannedSpan
}

type scannedSpan struct {
	service string
	view    SpanView
	found   []RawValue
}

func (s *scanned) Resource(raw string) { s.resource = raw }

func (s *scanned) Span(v *SpanView) {
	r, err := DecodeResource(s.resource)
	if err != nil {
		return
	}
	v.Find(s.keys, s.found)
	c := *v
	c.attributes = nil
	s.spans = append(s.spans, scannedSpan{r.ServiceName, c, append([]RawValue(nil), s.found...)})
}

// A scan finds what decoding finds.
func TestScanAgreesWithDecode(t *testing.T) {
	names := []string{"a", "bb", "http.method", "service.name", "long key that no span has"}
	rapid.Check(t, func(t *rapid.T) {
		data := ToOTLP(drawTrace(t))
		want, err := DecodeOTLP(data)
		require.NoError(t, err)
		s := &scanned{keys: NewAttributeKeys(names), found: make([]RawValue, len(names))}
		require.NoError(t, ScanOTLP(data, s))
		byID := map[SpanID]scannedSpan{}
		for _, v := range s.spans {
			byID[v.view.ID] = v
		}
		n := 0
		for _, tr := range want {
			for _, sp := range tr.Spans {
				n++
				got := byID[sp.ID]
				require.Equal(t, SpanView{TraceID: tr.ID, ID: sp.ID, ParentID: sp.ParentID, Name: sp.Name, StatusMessage: sp.StatusMessage,
					TraceState: sp.TraceState, Kind: sp.Kind, Status: sp.Status, Start: sp.Start, End: sp.End, Size: got.view.Size}, got.view)
				require.Equal(t, sp.Resource.ServiceName, got.service)
				require.Equal(t, len(appendSpan(nil, tr.ID, sp)), got.view.Size)
				for i, name := range names {
					wanted, ok := firstNamed(sp.Attributes, name)
					if !ok {
						require.Empty(t, got.found[i], name)
						continue
					}
					require.Equal(t, RawOf(&wanted), got.found[i], name)
					value, scalar := got.found[i].Scalar()
					require.Equal(t, wanted.Type <= TypeBool, scalar)
					if value.Key = name; scalar {
						require.Equal(t, wanted, value)
					}
				}
			}
		}
		require.Equal(t, n, len(byID))
	})
}

func firstNamed(attrs []Attribute, name string) (Attribute, bool) {
	for _, a := range attrs {
		if a.Key == name {
			return a, true
		}
	}
	return Attribute{}, false
}

func drawTrace(t *rapid.T) *Trace {
	text := rapid.StringN(0, 8, 20)
	attributes := func(what string) (attrs []Attribute) {
		for range rapid.IntRange(0, 6).Draw(t, what) {
			a := Attribute{Key: rapid.SampledFrom([]string{"a", "bb", "http.method", "c"}).Draw(t, "key"),
				Type: rapid.SampledFrom([]ValueType{TypeString, TypeInt, TypeFloat, TypeBool, TypeStringArray}).Draw(t, "type")}
			switch a.Type {
			case TypeString:
				a.Str = text.Draw(t, "text")
			case TypeInt:
				a.Int = rapid.Int64().Draw(t, "int")
			case TypeFloat:
				a.Float = rapid.Float64().Draw(t, "float")
			case TypeBool:
				a.Int = rapid.Int64Range(0, 1).Draw(t, "bool")
			default:
				a.Array = []Attribute{{Str: "x"}}
			}
			attrs = append(attrs, a)
		}
		return attrs
	}
	tr := &Trace{ID: ID{15: 1}}
	for i := range rapid.IntRange(1, 10).Draw(t, "spans") {
		name := text.Draw(t, "service")
		s := &Span{ID: SpanID{6: 1, 7: byte(i)}, Name: text.Draw(t, "name"), Kind: Kind(rapid.IntRange(0, 5).Draw(t, "kind")),
			Status: Status(rapid.IntRange(0, 2).Draw(t, "status")), StatusMessage: text.Draw(t, "message"), TraceState: text.Draw(t, "state"),
			Start: rapid.Uint64Range(0, 1<<62).Draw(t, "start"), End: rapid.Uint64Range(0, 1<<62).Draw(t, "end"),
			Attributes: attributes("attributes"), Resource: &Resource{ServiceName: name, Attributes: []Attribute{{Key: "service.name", Str: name}}}}
		if i > 0 {
			s.ParentID = SpanID{6: 1, 7: byte(i - 1)}
		}
		if rapid.Bool().Draw(t, "event") {
			s.Events = []Event{{Name: "e", Time: 1, Attributes: []Attribute{{Key: "a", Str: "of the event"}}}}
			s.Links = []Link{{TraceID: ID{1}, SpanID: SpanID{1}}}
		}
		tr.Spans = append(tr.Spans, s)
	}
	return tr
}

// No bytes make a scan panic, and what Check lets through can be scanned.
func FuzzScanOTLP(f *testing.F) {
	f.Add(ToOTLP(&Trace{ID: ID{1}, Spans: []*Span{{ID: SpanID{1}, Name: "n", Status: StatusError, Resource: &Resource{}, Scope: &Scope{},
		Attributes: []Attribute{{Key: "a", Str: "b"}, {Key: "n", Type: TypeInt, Int: 1}}}}}))
	f.Add([]byte("\x0a\x02\x0a\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys := NewAttributeKeys([]string{"a", "n"})
		s := &scanned{keys: keys, found: make([]RawValue, keys.Len())}
		_ = ScanOTLP(data, s)
		b, _, err := Check(data, Limits{})
		if err != nil {
			return
		}
		s = &scanned{keys: keys, found: make([]RawValue, keys.Len())}
		require.NoError(t, ScanOTLP(b.OTLP, s))
		require.Len(t, s.spans, b.Spans)
	})
}
