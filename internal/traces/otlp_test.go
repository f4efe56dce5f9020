package traces

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genTraces(t, 4, 5)
		data := encodeTraces(want)
		got, err := DecodeOTLP(data)
		require.NoError(t, err)
		requireSameTraces(t, want, got)

		batch, rejected, err := Check(data, Limits{})
		require.NoError(t, err)
		require.Empty(t, rejected)
		require.Equal(t, data, batch.OTLP)
	})
}

// The collector's own decoder must read what we write, and we what it writes.
func TestAgainstPdata(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genTraces(t, 4, 5)
		p, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(encodeTraces(want))
		require.NoError(t, err)
		again, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(p)
		require.NoError(t, err)
		got, err := DecodeOTLP(again)
		require.NoError(t, err)
		requireSameTraces(t, want, got)

		p2, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(encodeTraces(got))
		require.NoError(t, err)
		require.Equal(t, flatten(t, p), flatten(t, p2))
	})
}

// flatten renders every span alone with its resource and scope, in an order of its own.
func flatten(t require.TestingT, p ptrace.Traces) []string {
	var out []string
	for _, rs := range p.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				one := ptrace.NewTraces()
				r := one.ResourceSpans().AppendEmpty()
				rs.Resource().CopyTo(r.Resource())
				r.SetSchemaUrl(rs.SchemaUrl())
				sc := r.ScopeSpans().AppendEmpty()
				ss.Scope().CopyTo(sc.Scope())
				sc.SetSchemaUrl(ss.SchemaUrl())
				s.CopyTo(sc.Spans().AppendEmpty())
				text, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(one)
				require.NoError(t, err)
				out = append(out, string(text))
			}
		}
	}
	slices.Sort(out)
	return out
}

// onePdata builds a request with one good span and lets edit add to it.
func onePdata(edit func(ptrace.SpanSlice)) []byte {
	p := ptrace.NewTraces()
	rs := p.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "cart")
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	goodSpan(spans.AppendEmpty())
	edit(spans)
	data, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(p)
	if err != nil {
		panic(err)
	}
	return data
}

func goodSpan(s ptrace.Span) {
	s.SetTraceID(pcommon.TraceID{1})
	s.SetSpanID(pcommon.SpanID{2})
	s.SetName("good")
	s.SetStartTimestamp(1000)
	s.SetEndTimestamp(2000)
}

func TestCheckKeepsTheRest(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits Limits
		edit   func(ptrace.Span)
		reason string
	}{
		{"zero trace ID", Limits{}, func(s ptrace.Span) { s.SetTraceID(pcommon.TraceID{}) }, "invalid_trace_id"},
		{"zero span ID", Limits{}, func(s ptrace.Span) { s.SetSpanID(pcommon.SpanID{}) }, "invalid_span_id"},
		{"too large", Limits{MaxSpanBytes: 200}, func(s ptrace.Span) { s.SetName(strings.Repeat("x", 300)) }, "span_too_large"},
		{"year 2300", Limits{}, func(s ptrace.Span) { s.SetStartTimestamp(math.MaxUint64) }, "invalid_timestamp"},
		{"end in year 2300", Limits{}, func(s ptrace.Span) { s.SetEndTimestamp(math.MaxUint64) }, "invalid_timestamp"},
		{"old", Limits{Oldest: 1000}, func(s ptrace.Span) { s.SetStartTimestamp(999) }, "too_old"},
		{"ahead", Limits{Newest: 1000}, func(s ptrace.Span) { s.SetStartTimestamp(1001) }, "too_far_in_future"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data := onePdata(func(spans ptrace.SpanSlice) {
				s := spans.AppendEmpty()
				goodSpan(s)
				tc.edit(s)
			})
			batch, rejected, err := Check(data, tc.limits)
			require.NoError(t, err)
			require.Equal(t, 1, batch.Spans)
			require.Len(t, rejected, 1)
			require.Equal(t, tc.reason, rejected[0].Reason)
			require.Equal(t, 1, rejected[0].Count)
			require.NotEmpty(t, rejected[0].Message)
			got, err := DecodeOTLP(batch.OTLP)
			require.NoError(t, err)
			require.Len(t, got, 1)
			require.Equal(t, "good", got[0].Spans[0].Name)
			require.Equal(t, "cart", got[0].Spans[0].Resource.ServiceName)
		})
	}
}

// wrapSpan makes a TracesData of raw span messages.
func wrapSpans(spans ...[]byte) []byte {
	dst, a := beginMessage(nil, 1)
	dst, b := beginMessage(dst, 2)
	for _, s := range spans {
		dst = appendBytesField(dst, 2, s)
	}
	return endMessage(endMessage(dst, b), a)
}

func rawSpan(traceID, spanID string, more ...byte) []byte {
	dst := appendBytesField(nil, 1, []byte(traceID))
	dst = appendBytesField(dst, 2, []byte(spanID))
	return append(dst, more...)
}

const (
	id16 = "0123456789abcdef"
	id8  = "01234567"
)

func TestCheckWrongLengths(t *testing.T) {
	good := rawSpan(id16, id8)
	link := func(id string) []byte {
		dst, at := beginMessage(nil, 13)
		return endMessage(appendBytesField(dst, 1, []byte(id)), at)
	}
	data := wrapSpans(
		rawSpan("short", id8), good, rawSpan(id16, "short"), rawSpan("", id8), rawSpan(id16, ""),
		rawSpan(id16, id8, appendBytesField(nil, 4, []byte("short"))...),
		rawSpan(id16, id8, link("short")...),
		rawSpan(id16, id8, link(id16)...))
	batch, rejected, err := Check(data, Limits{})
	require.NoError(t, err)
	require.Equal(t, 2, batch.Spans)
	counts := map[string]int{}
	for _, r := range rejected {
		counts[r.Reason] = r.Count
	}
	require.Equal(t, map[string]int{"invalid_trace_id": 2, "invalid_span_id": 2, "invalid_parent_span_id": 1, "invalid_link": 1}, counts)
	_, rejected, err = Check(batch.OTLP, Limits{})
	require.NoError(t, err)
	require.Empty(t, rejected)
}

func TestCheckMalformed(t *testing.T) {
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"truncated":        {[]byte{0x0a, 5, 1}, "traces_data: message ends inside a field"},
		"text":             {[]byte("hello, world"), "traces_data"},
		"varint":           {bytes.Repeat([]byte{0xff}, 11), "varint is longer"},
		"wrong type":       {wrapSpans(rawSpan(id16, id8, 0x28, 1)), "resource_spans[0]: scope_spans[0]: spans[0]: field has the wrong wire type"},
		"field zero":       {[]byte{0x00, 0x00}, "field number is zero"},
		"broken attribute": {wrapSpans(rawSpan(id16, id8), rawSpan(id16, id8, 0x4a, 2, 0x0a, 9)), "spans[1]: attributes[0]: message ends inside a field"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Check(tc.data, Limits{})
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, fault.Invalid, fault.ClassOf(err))
			_, err = DecodeOTLP(tc.data)
			require.ErrorContains(t, err, tc.want)
		})
	}
	batch, rejected, err := Check(nil, Limits{})
	require.NoError(t, err)
	require.Empty(t, rejected)
	require.Zero(t, batch.Spans)
}

func TestCheckRepairsText(t *testing.T) {
	// name "a\xff", attribute k = kvlist{"\xff": "b\xff"}.
	pair := appendStringField(nil, 1, "\xff")
	pair = appendBytesField(pair, 2, appendStringField(nil, 1, "b\xff"))
	list := appendBytesField(nil, 6, appendBytesField(nil, 1, pair))
	attr := appendBytesField(appendStringField(nil, 1, "k"), 2, list)
	data := wrapSpans(rawSpan(id16, id8, appendBytesField(appendStringField(nil, 5, "a\xff"), 9, attr)...))
	batch, rejected, err := Check(data, Limits{})
	require.NoError(t, err)
	require.Empty(t, rejected)
	require.Equal(t, 1, batch.Spans)
	p, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(batch.OTLP)
	require.NoError(t, err)
	s := p.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	require.Equal(t, "a\uFFFD", s.Name())
	v, ok := s.Attributes().Get("k")
	require.True(t, ok)
	require.Equal(t, map[string]any{"\uFFFD": "b\uFFFD"}, v.Map().AsRaw())
}

func TestDecodeCutsAndCaps(t *testing.T) {
	data := onePdata(func(spans ptrace.SpanSlice) {
		s := spans.At(0)
		s.Attributes().PutStr("long", strings.Repeat("é", 1500))
		for i := range 1200 {
			s.Attributes().PutInt("k"+string(rune('a'+i%26)), int64(i)) // overwrites
		}
		s.SetDroppedAttributesCount(7)
	})
	got, err := DecodeOTLP(data)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("é", 1024), got[0].Spans[0].Attributes[0].Str)

	attr := []byte{0x4a, 0x00}
	data = wrapSpans(rawSpan(id16, id8, append(bytes.Repeat(attr, 1030), 0x50, 7)...))
	got, err = DecodeOTLP(data)
	require.NoError(t, err)
	require.Len(t, got[0].Spans[0].Attributes, 1024)
	require.Equal(t, uint32(6+7), got[0].Spans[0].DroppedAttributes)
}

func TestDeepValueIsDropped(t *testing.T) {
	value := appendStringField(nil, 1, "x")
	for range 3000 { // each level copies the ones inside
		value = appendBytesField(nil, 5, appendBytesField(nil, 1, value))
	}
	attr := appendBytesField(appendStringField(nil, 1, "deep"), 2, value)
	data := wrapSpans(rawSpan(id16, id8, appendBytesField(appendBytesField(nil, 9, attr), 9, appendStringField(nil, 1, "kept"))...))
	_, rejected, err := Check(data, Limits{MaxSpanBytes: 16 << 20})
	require.NoError(t, err)
	require.Empty(t, rejected)
	w := walker{limits: Limits{MaxSpanBytes: 16 << 20}.orDefault(), v: spanFunc(func(_ ID, s *Span) error {
		require.Len(t, s.Attributes, 1)
		require.Equal(t, "kept", s.Attributes[0].Key)
		require.Equal(t, uint32(1), s.DroppedAttributes)
		return nil
	})}
	require.NoError(t, w.walk(string(data)))
}

type spanFunc func(ID, *Span) error

func (f spanFunc) span(id ID, s *Span) error { return f(id, s) }
func (f spanFunc) reject(string, string)     {}

func TestResourceAfterSpans(t *testing.T) {
	dst, a := beginMessage(nil, 1)
	dst = appendBytesField(dst, 2, appendBytesField(nil, 2, rawSpan(id16, id8)))
	dst = appendResource(dst, &Resource{Attributes: []Attribute{{Key: "service.name", Str: "late"}}})
	got, err := DecodeOTLP(endMessage(dst, a))
	require.NoError(t, err)
	require.Equal(t, "late", got[0].Spans[0].Resource.ServiceName)
}

func TestJoinTraces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := genTraces(t, 1, 8)[0]
		a, b := &Trace{ID: whole.ID}, &Trace{ID: whole.ID}
		for _, s := range whole.Spans {
			where := rapid.IntRange(0, 2).Draw(t, "where")
			if where != 1 {
				a.Spans = append(a.Spans, s)
			}
			if where != 0 {
				b.Spans = append(b.Spans, s)
			}
		}
		requireSameTraces(t, []*Trace{whole}, []*Trace{JoinTraces(nil, b, a)})
	})
	require.Nil(t, JoinTraces(nil, nil))
}

func TestWalkStopsAtVisitorError(t *testing.T) {
	stop := errors.New("stop")
	w := walker{limits: Limits{}.orDefault(), v: spanFunc(func(ID, *Span) error { return stop })}
	require.ErrorIs(t, w.walk(string(onePdata(func(ptrace.SpanSlice) {}))), stop)
}

func FuzzOTLP(f *testing.F) {
	f.Add(onePdata(func(spans ptrace.SpanSlice) {
		s := spans.AppendEmpty()
		goodSpan(s)
		s.Attributes().PutEmptySlice("a").AppendEmpty().SetInt(1)
		s.Attributes().PutEmptyMap("m").PutStr("k", "v")
		s.Events().AppendEmpty().SetName("e")
		s.Links().AppendEmpty().SetTraceID(pcommon.TraceID{3})
		s.Status().SetMessage("no")
	}))
	f.Add(wrapSpans(rawSpan(id16, id8), rawSpan("x", "y")))
	f.Add([]byte{})
	f.Add(binary.AppendUvarint([]byte{0x0a}, math.MaxUint64))
	f.Fuzz(func(t *testing.T, data []byte) {
		batch, _, err := Check(data, Limits{})
		traces, err2 := DecodeOTLP(data)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("Check: %v, DecodeOTLP: %v", err, err2)
		}
		if err != nil {
			if fault.ClassOf(err) != fault.Invalid {
				t.Fatalf("class of %v", err)
			}
			return
		}
		again, rejected, err := Check(batch.OTLP, Limits{})
		if err != nil || len(rejected) > 0 || again.Spans != batch.Spans {
			t.Fatalf("checked batch is not valid: %v %v, %d spans, want %d", err, rejected, again.Spans, batch.Spans)
		}
		encoded := encodeTraces(traces)
		if _, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(encoded); err != nil {
			t.Fatalf("the collector can't read our encoding: %v", err)
		}
		got, err := DecodeOTLP(encoded)
		if err != nil {
			t.Fatal(err)
		}
		requireSameTraces(t, traces, got)
	})
}
