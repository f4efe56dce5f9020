package traces

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzPlainKeyValue wants the short way to say what the way by fields says, wherever it says anything.
func FuzzPlainKeyValue(f *testing.F) {
	for _, a := range []Attribute{
		{Key: "k"}, {Key: "", Str: "v"}, {Key: "k", Str: string(make([]byte, 300))}, {Key: "k", Str: "\xff"},
		{Key: "k", Type: TypeInt, Int: -1}, {Key: "k", Type: TypeInt, Int: 300}, {Key: "k", Type: TypeBool, Int: 1}, {Key: "k", Type: TypeBool},
		{Key: "k", Type: TypeFloat, Float: 1.5}, {Key: "k", Type: TypeIntArray, Array: []Attribute{{Type: TypeInt, Int: 1}}},
	} {
		m := appendAttributes(nil, 1, []Attribute{a})
		c, field := cursor{s: string(m)}, field{}
		require.True(f, c.next(&field))
		f.Add([]byte(field.data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got Attribute
		w := walker{limits: Limits{}.orDefault()}
		if !plainKeyValue(string(data), &got) || !w.fits(&got) {
			return
		}
		var want Attribute
		require.NoError(t, w.keyValue(string(data), &want, false))
		require.False(t, w.repaired)
		if want.Type == TypeFloat {
			require.Equal(t, floatBits(want.Float), floatBits(got.Float)) // NaN too
			want.Float, got.Float = 0, 0
		}
		require.Equal(t, want, got)
	})
}

// TestResourceCache sends resources again, with what stands beside them in any order.
func TestResourceCache(t *testing.T) {
	span := &Span{ID: SpanID{1}, Name: "s", Start: 1, End: 2}
	field := func(num int, body []byte) []byte {
		dst, at := beginMessage(nil, num)
		return endMessage(append(dst, body...), at)
	}
	resource := field(1, appendAttributes(nil, 1, []Attribute{{Key: "service.name", Str: "a"}, {Key: "k", Str: "v"}}))
	second := field(1, appendAttributes(nil, 1, []Attribute{{Key: "more", Str: "x"}}))
	url := appendStringField(nil, 3, "https://schema")
	spans := field(2, field(2, appendSpan(nil, ID{1}, span)))
	var message []byte
	for _, parts := range [][][]byte{{resource, spans}, {url, resource, spans}, {resource, second, spans}, {resource, spans, url}, {field(1, nil), resource, spans}} {
		var body []byte
		for _, p := range parts {
			body = append(body, p...)
		}
		message = append(message, field(1, body)...)
	}
	var got []Resource
	w := newWalker().(*walker)
	w.limits, w.v = Limits{}.orDefault(), spanFunc(func(_ ID, s *Span) error {
		got = append(got, *s.Resource)
		return nil
	})
	require.NoError(t, w.walk(string(message)))
	require.NoError(t, w.walk(string(message)))
	require.Len(t, got, 10)
	for i, want := range []struct {
		url  string
		keys []string
	}{{"", []string{"service.name", "k"}}, {"https://schema", []string{"service.name", "k"}}, {"", []string{"service.name", "k", "more"}},
		{"https://schema", []string{"service.name", "k"}}, {"", []string{"service.name", "k"}}} {
		for _, r := range []Resource{got[i], got[i+5]} {
			var keys []string
			for _, a := range r.Attributes {
				keys = append(keys, a.Key)
			}
			require.Equal(t, want.keys, keys, i)
			require.Equal(t, want.url, r.SchemaURL, i)
			require.Equal(t, "a", r.ServiceName, i)
		}
	}
}
