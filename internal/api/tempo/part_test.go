package tempo

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/traces"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hune-io/hune/internal/api/rpc"
)

// chain is a trace of web > api > db, the second time with another database call.
func chain(t *testing.T) []byte {
	td := ptrace.NewTraces()
	for n, id := range []byte{1, 2} {
		for i, name := range []string{"web", "api", "db"} {
			rs := td.ResourceSpans().AppendEmpty()
			rs.Resource().Attributes().PutStr("service.name", name)
			s := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
			s.SetTraceID(pcommon.TraceID{15: id})
			s.SetSpanID(pcommon.SpanID{7: byte(i + 1)})
			if i > 0 {
				s.SetParentSpanID(pcommon.SpanID{7: byte(i)})
			}
			s.SetName("call " + name)
			if n == 1 && name == "db" {
				s.SetName("call cache")
			}
			s.Attributes().PutInt("n", int64(n))
			s.SetStartTimestamp(pcommon.Timestamp(testStart + uint64(i)*10))
			s.SetEndTimestamp(pcommon.Timestamp(testStart + 100 - uint64(i)*10))
		}
	}
	raw, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	require.NoError(t, err)
	return raw
}

func TestPartOfTrace(t *testing.T) {
	h, _ := newStreams(t, chain(t), 6)
	f := func(params string, names ...string) {
		t.Helper()
		w := get(h, "/api/v2/traces/1?"+params)
		require.Equal(t, 200, w.Code, w.Body)
		var got struct {
			Trace struct {
				ResourceSpans []struct {
					ScopeSpans []struct{ Spans []struct{ Name string } }
				}
			}
			Status, Message string
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		var have []string
		for _, rs := range got.Trace.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					have = append(have, strings.TrimPrefix(s.Name, "call "))
				}
			}
		}
		require.Equal(t, names, have, params)
		require.Equal(t, len(names) < 3, got.Status == "PARTIAL", params)
		require.Equal(t, len(names) < 3, got.Message != "", params)
	}
	q := func(s string) string { return "q=" + url.QueryEscape(s) }
	f("", "web", "api", "db")
	f(q("{ }"), "web", "api", "db")
	f(q(`{ resource.service.name = "api" }`), "api")
	f(q(`{ resource.service.name = "api" }`)+"&match_depth=1", "api", "db")
	f(q(`{ resource.service.name = "db" }`)+"&keep_hierarchy=true", "web", "api", "db")
	f(q(`{ resource.service.name = "db" }`)+"&keep_hierarchy=true&ancestor_depth=1", "api", "db")
	f(q(`{ name = "nope" }`))

	for _, params := range []string{q("{"), q("{ } > { }"), q("{ }") + "&match_depth=-2", q("{ }") + "&match_depth=x", q("{ }") + "&keep_hierarchy=maybe"} {
		require.Equal(t, 400, get(h, "/api/v2/traces/1?"+params).Code, params)
	}
	w := get(h, "/api/v2/traces/1?"+q(`{ span.n = 5 }`), "Accept", "application/protobuf")
	require.Equal(t, "\x0a\x00\x18\x01", w.Body.String()[:4], "an empty trace, partial")
	w = get(h, "/api/v2/traces/1", "Accept", "application/protobuf")
	require.NoError(t, rpc.Fields(w.Body.Bytes(), func(f rpc.Field) error {
		require.EqualValues(t, 1, f.Number)
		return nil
	}))
}

func TestAnalysis(t *testing.T) {
	h, _ := newStreams(t, chain(t), 6)
	require.NotContains(t, get(h, "/api/v2/traces/1").Body.String(), `"hune"`)
	var got struct {
		Hune struct {
			CriticalPath []struct{ SpanID, Service, Name, StartTimeUnixNano, DurationNanos string }
			Services     []struct {
				Service                          string
				SpanCount                        int
				SelfTimeNanos, CriticalPathNanos string
			}
		}
	}
	require.NoError(t, json.Unmarshal(get(h, "/api/v2/traces/1?hune_analysis=true").Body.Bytes(), &got))
	require.Len(t, got.Hune.CriticalPath, 5)
	require.Equal(t, "db", got.Hune.CriticalPath[2].Service)
	require.Equal(t, "60", got.Hune.CriticalPath[2].DurationNanos)
	require.Equal(t, "0000000000000003", got.Hune.CriticalPath[2].SpanID)
	require.Len(t, got.Hune.Services, 3)
	require.Equal(t, "db", got.Hune.Services[0].Service)
	require.Equal(t, "60", got.Hune.Services[0].SelfTimeNanos)
	require.Equal(t, "20", got.Hune.Services[1].CriticalPathNanos)
}

func TestTraceDiff(t *testing.T) {
	h, _ := newStreams(t, chain(t), 6)
	post := func(body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v2/traces/diff", strings.NewReader(body)))
		return w
	}
	w := post(`{"base":{"traceId":"1"},"compare":{"traceId":"2"}}`)
	require.Equal(t, 200, w.Code, w.Body)
	var got struct {
		Base, Compare struct {
			TraceID   string `json:"traceId"`
			SpanCount int
		}
		Added, Removed, Changed int
		Spans                   []struct {
			Depth         int
			Service, Name string
			Diff          string
			Attributes    []struct {
				Scope, Key string
				Base       struct{ IntValue string }
			}
		}
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	require.Equal(t, 3, got.Base.SpanCount)
	require.Equal(t, []int{1, 1, 2}, []int{got.Added, got.Removed, got.Changed})
	require.Equal(t, "changed", got.Spans[0].Diff)
	require.Equal(t, "n", got.Spans[0].Attributes[0].Key)
	require.Equal(t, "0", got.Spans[0].Attributes[0].Base.IntValue)
	require.Equal(t, []any{"removed", 2}, []any{got.Spans[3].Diff, got.Spans[3].Depth})
	require.Equal(t, []any{"added", "call cache"}, []any{got.Spans[2].Diff, got.Spans[2].Name})

	for body, want := range map[string]int{
		"": 400, "{": 400, `{"base":{"traceId":"1"}}`: 400, `{"base":{"traceId":"xyz"},"compare":{"traceId":"2"}}`: 400,
		`{"base":{"traceId":"1"},"compare":{"traceId":"9"}}`:                   404,
		`{"base":{"traceId":"1","start":9,"end":5},"compare":{"traceId":"2"}}`: 400,
		`{"base":{"traceId":"1"},"compare":{"traceId":"2"},"format":"other"}`:  400,
	} {
		require.Equal(t, want, post(body).Code, body)
	}
}

// A large answer is written in pieces, which make what one piece would be.
func TestFoundInPieces(t *testing.T) {
	services := []traces.ServiceStats{{Service: "db", Spans: 2, Errors: 1}, {Service: "web", Spans: 1}}
	var attributes []traces.Attribute
	for i := range 12 {
		attributes = append(attributes, traces.Attribute{Key: "k", Type: traces.TypeInt, Int: int64(i)})
	}
	for _, n := range []int{0, 1, foundAtOnce, foundAtOnce + 1, 5 * foundAtOnce} {
		res := &traces.Result{Inspected: traces.Inspected{Traces: 7, Spans: 9}}
		want := `{"traces":[`
		for i := range n {
			f := traces.FoundTrace{ID: traces.ID{1, byte(i >> 8), byte(i)}, Start: uint64(i), SpanSets: []traces.SpanSet{{Matched: 1, Spans: []traces.FoundSpan{{Name: "n", Attributes: attributes[i%10 : i%10+1+i%2]}}}}}
			if f.Services = services; i%5 < 2 {
				f.Services = []traces.ServiceStats{{Service: "web", Spans: uint32(i)}}
			}
			res.Found = append(res.Found, f)
			if i > 0 {
				want += ","
			}
			want += string(appendFound(nil, &f, true, new(foundTexts)))
		}
		o := object{b: []byte(want + "]")}
		appendSearchMetrics(&o, &res.Inspected)
		w := httptest.NewRecorder()
		require.NoError(t, writeFound(t.Context(), w, res, true))
		require.Equal(t, string(o.close()), w.Body.String())
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	}
}
