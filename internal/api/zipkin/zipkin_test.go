package zipkin

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openzipkin/zipkin-go/model"
	"github.com/openzipkin/zipkin-go/proto/zipkin_proto3"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// pushed checks and keeps batches as the distributor does.
type pushed struct {
	traces []*traces.Trace
	err    error
}

func (p *pushed) PushTraces(_ context.Context, b *traces.Batch) (traces.PushResult, error) {
	if p.err != nil {
		return traces.PushResult{}, p.err
	}
	checked, rejected, err := traces.Check(b.OTLP, traces.Limits{})
	if err != nil {
		return traces.PushResult{}, err
	}
	list, err := traces.DecodeOTLP(checked.OTLP)
	p.traces = append(p.traces, list...)
	return traces.PushResult{Spans: checked.Spans, Rejected: rejected}, err
}

func (p *pushed) names() (out []string) {
	for _, t := range p.traces {
		for _, s := range t.Spans {
			out = append(out, s.Name)
		}
	}
	return out
}

func post(t *testing.T, p *pushed, contentType string, data []byte, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/api/v2/spans", bytes.NewReader(data))
	r.Header.Set("Content-Type", contentType)
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	mux := http.NewServeMux()
	New(Options{Pusher: p, Limits: body.Limits{Decompressed: 1 << 20}}).Register(mux)
	mux.ServeHTTP(w, r)
	return w
}

const good = `{"traceId":"5982fe77008310cc80f1da5e10147519","parentId":"90394f6bcffb5d13","id":"67fae42571535f60",
"kind":"SERVER","name":"get /cart","timestamp":1700000000000001,"duration":26000,
"localEndpoint":{"serviceName":"cart","ipv4":"10.0.0.1"},"remoteEndpoint":{"serviceName":"frontend","port":80},
"annotations":[{"timestamp":1700000000000002,"value":"cache miss"}],"tags":{"http.path":"/cart","error":"timeout"}}`

func TestJSON(t *testing.T) {
	var p pushed
	w := post(t, &p, "application/json", []byte("["+good+"]"))
	require.Equal(t, http.StatusAccepted, w.Code, w.Body)
	require.Empty(t, w.Body.String())
	require.Len(t, p.traces, 1)
	require.Equal(t, "5982fe77008310cc80f1da5e10147519", p.traces[0].ID.String())
	s := p.traces[0].Spans[0]
	require.Equal(t, "67fae42571535f60", s.ID.String())
	require.Equal(t, "90394f6bcffb5d13", s.ParentID.String())
	require.Equal(t, traces.KindServer, s.Kind)
	require.Equal(t, traces.StatusError, s.Status)
	require.Equal(t, uint64(1700000000000001000), s.Start)
	require.Equal(t, uint64(26_000_000), s.End-s.Start)
	require.Equal(t, "cart", s.Resource.ServiceName)
	require.Equal(t, "cache miss", s.Events[0].Name)
}

func TestKeepsTheGood(t *testing.T) {
	for name, bad := range map[string]string{
		"no trace ID":   `{"id":"1","name":"x"}`,
		"zero trace ID": `{"traceId":"0","id":"1"}`,
		"no span ID":    `{"traceId":"1","name":"x"}`,
		"not hex":       `{"traceId":"xyz","id":"1"}`,
		"not an object": `12`,
		"null":          `null`,
		"wrong type":    `{"traceId":"1","id":"2","name":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			var p pushed
			w := post(t, &p, "application/json", []byte("["+bad+","+good+","+bad+"]"))
			require.Equal(t, http.StatusAccepted, w.Code, w.Body)
			require.Contains(t, w.Body.String(), "span 0: ")
			require.Contains(t, w.Body.String(), "span 2: ")
			require.Equal(t, []string{"get /cart"}, p.names())

			p = pushed{}
			w = post(t, &p, "application/json", []byte("["+bad+"]"))
			require.Equal(t, http.StatusBadRequest, w.Code)
			require.Contains(t, w.Body.String(), "span 0: ")
			require.Empty(t, p.traces)
		})
	}
}

func TestMalformed(t *testing.T) {
	for name, tc := range map[string]struct {
		contentType, data string
		status            int
		want              string
	}{
		"empty body":   {"application/json", "", 400, "unexpected EOF"},
		"object":       {"application/json", good, 400, "want an array"},
		"cut off":      {"application/json", "[" + good, 400, "near byte"},
		"comma":        {"application/json", "[" + good + ",]", 400, "near byte"},
		"more":         {"application/json", "[]x", 400, "data after the array"},
		"empty array":  {"application/json", "[]", 202, ""},
		"thrift":       {"application/x-thrift", "x", 415, `unsupported Content-Type "application/x-thrift"`},
		"protobuf":     {"application/x-protobuf", "\x0a\xff", 400, "malformed Zipkin protobuf at byte 0"},
		"bad span":     {"application/x-protobuf", "\x0a\x02\x0a\x00", 400, "span 0: "},
		"too large":    {"application/json", strings.Repeat(" ", 2<<20), 413, "larger than the limit"},
		"many bad":     {"application/json", "[" + strings.Repeat("1,", 50) + "1]", 400, "and 46 more"},
		"year 300000":  {"application/json", `[{"traceId":"1","id":"2","timestamp":18446744073709551615}]`, 400, "some spans were not stored"},
		"nulls":        {"application/json", `[{"traceId":"1","id":"2","tags":null,"annotations":null,"localEndpoint":null}]`, 202, ""},
		"null in list": {"application/json", `[{"traceId":"1","id":"2","annotations":[null]}]`, 400, "span 0: not a Zipkin span"},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(t, &pushed{}, tc.contentType, []byte(tc.data))
			require.Equal(t, tc.status, w.Code, w.Body)
			require.Contains(t, w.Body.String(), tc.want)
		})
	}
}

func TestProtobuf(t *testing.T) {
	parent := model.ID(7)
	span := &model.SpanModel{SpanContext: model.SpanContext{TraceID: model.TraceID{High: 1, Low: 2}, ID: 3, ParentID: &parent}, Name: "proto",
		Timestamp: time.Unix(1700000000, 0), Duration: time.Second, LocalEndpoint: &model.Endpoint{ServiceName: "db"}}
	data, err := zipkin_proto3.SpanSerializer{}.Serialize([]*model.SpanModel{span})
	require.NoError(t, err)
	var p pushed
	w := post(t, &p, "application/x-protobuf", append([]byte("\x0a\x02\x0a\x00"), data...))
	require.Equal(t, http.StatusAccepted, w.Code, w.Body)
	require.Contains(t, w.Body.String(), "span 0: ")
	require.Equal(t, []string{"proto"}, p.names())
	require.Equal(t, "db", p.traces[0].Spans[0].Resource.ServiceName)
}

func TestGzip(t *testing.T) {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	_, err := zw.Write([]byte("[" + good + "]"))
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	var p pushed
	w := post(t, &p, "application/json; charset=utf-8", buf.Bytes(), func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") })
	require.Equal(t, http.StatusAccepted, w.Code, w.Body)
	require.Len(t, p.traces, 1)
}

func TestPushErrors(t *testing.T) {
	w := post(t, &pushed{err: &fault.Error{Class: fault.RateLimited, RetryAfter: 1500 * time.Millisecond, Err: errors.New("too fast")}}, "", []byte("["+good+"]"))
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "2", w.Header().Get("Retry-After"))
	require.Equal(t, "too fast\n", w.Body.String())

	w = post(t, &pushed{}, "application/json", nil, func(r *http.Request) { r.Method = http.MethodGet })
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte("[" + good + "]"))
	f.Add([]byte(`[{"traceId":"1","id":"2","tags":{"a":"b"},"kind":"CLIENT","shared":true,"debug":true}]`))
	f.Add([]byte(`[null]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if spans, bad, err := decodeJSON(data); err == nil {
			fuzzTranslate(t, spans, bad)
		}
	})
}

func FuzzProtobuf(f *testing.F) {
	f.Add([]byte("\x0a\x02\x0a\x00"))
	data, err := zipkin_proto3.SpanSerializer{}.Serialize([]*model.SpanModel{{SpanContext: model.SpanContext{TraceID: model.TraceID{Low: 2}, ID: 3},
		Tags: map[string]string{"a": "b"}, Annotations: []model.Annotation{{Timestamp: time.Unix(1, 0), Value: "x"}}}})
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if spans, bad, err := decodeProto(data, false); err == nil {
			fuzzTranslate(t, spans, bad)
		}
	})
}

// fuzzTranslate checks that whatever was read becomes OTLP that the distributor can judge.
func fuzzTranslate(t *testing.T, spans spanList, bad []error) {
	otlp, sent, _, err := translate(spans, bad)
	if err != nil {
		t.Fatal(err)
	}
	batch, rejected, err := traces.Check(otlp, traces.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rejected {
		batch.Spans += r.Count
	}
	if batch.Spans != sent {
		t.Fatalf("%d spans sent, %d seen", sent, batch.Spans)
	}
}

func BenchmarkJSON(b *testing.B) {
	data := []byte("[" + strings.Repeat(good+",", 999) + good + "]")
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		spans, bad, err := decodeJSON(data)
		require.NoError(b, err)
		_, _, _, err = translate(spans, bad)
		require.NoError(b, err)
	}
}
