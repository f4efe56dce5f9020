package loki

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/tenant"
)

// The SDK of an object store starts a goroutine when it is imported; it is none of ours.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// store keeps pushed entries per tenant as text and refuses lines that say so.
type store struct {
	got  map[string][]string
	fail error
}

func (s *store) PushLogs(ctx context.Context, b *logs.Batch) (logs.PushResult, error) {
	if s.fail != nil {
		return logs.PushResult{}, s.fail
	}
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return logs.PushResult{}, err
	}
	var res logs.PushResult
	for _, st := range b.Streams {
		for _, e := range st.Entries {
			if strings.Contains(e.Line, "refuse me") {
				res.Rejected = append(res.Rejected, logs.Rejection{Reason: "line_too_long", Message: "max entry size exceeded for stream '" + st.Labels.String() + "'", Count: 1})
				continue
			}
			text := fmt.Sprintf("%s %d %s", st.Labels, e.Timestamp, e.Line)
			for _, l := range e.Metadata {
				text += fmt.Sprintf(" %s=%s", l.Name, l.Value)
			}
			s.got[id] = append(s.got[id], text)
		}
	}
	return res, nil
}

func send(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(tenant.NewContext(r.Context(), "acme")))
	return w
}

func pushRequest(contentType, encoding string, raw []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/loki/api/v1/push", bytes.NewReader(raw))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	return r
}

func protoPush(t testing.TB, streams ...push.Stream) []byte {
	t.Helper()
	raw, err := (&push.PushRequest{Streams: streams}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func gzipped(t *testing.T, raw string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPush(t *testing.T) {
	at := time.Unix(10, 5).UTC()
	valid := push.Stream{Labels: `{app="a", b="c"}`, Entries: []push.Entry{
		{Timestamp: at, Line: "one", StructuredMetadata: push.LabelsAdapter{{Name: "trace_id", Value: "x"}}},
		{Timestamp: time.Unix(-3, 7).UTC(), Line: "two"},
	}}
	both := []string{`{app="a", b="c"} 10000000005 one trace_id=x`, `{app="a", b="c"} -2999999993 two`}
	for _, c := range []struct {
		name, contentType, encoding string
		raw                         []byte
		status                      int
		answer                      string   // part of it
		want                        []string // stored
	}{
		{"protobuf", "application/x-protobuf", "", snappy.Encode(nil, protoPush(t, valid)), 204, "", both},
		{"protobuf without content type", "", "snappy", snappy.Encode(nil, protoPush(t, valid)), 204, "", both},
		{"protobuf, gzip", "application/x-protobuf", "gzip", gzipped(t, string(protoPush(t, valid))), 204, "", both},
		{"json", "application/json; charset=utf-8", "", []byte(`{"streams":[{"stream":{"b":"c","app":"a"},"values":[["10000000005","one",{"trace_id":"x"}],["-2999999993","two"]]}]}`), 204, "", both},
		{"json, gzip", "application/json", "gzip", gzipped(t, `{"streams":[{"stream":{"app":"a"},"values":[["1","x"]]}]}`), 204, "", []string{`{app="a"} 1 x`}},
		{"json, old form", "application/json", "", []byte(`{"streams":[{"labels":"{app=\"a\"}","entries":[{"ts":"1970-01-01T00:00:01Z","line":"x"}]}]}`), 204, "", []string{`{app="a"} 1000000000 x`}},
		{"json, values before labels, escapes", "application/json", "", []byte(`{"x":[1,{"y":null}],"streams":[{"values":[["1","é \ud83d\ude80 \"q\"\n"]],"stream":{"app":"a"}}]}`), 204, "", []string{"{app=\"a\"} 1 é 🚀 \"q\"\n"}},
		{"json, numbers and words as labels, no values", "application/json", "", []byte(`{"streams":[{"stream":{"app":5,"b":true},"values":[null,["1","x"],null]},{"stream":{"app":"y"},"values":null}]}`), 204, "", []string{`{app="5", b="true"} 1 x`}},
		{"json, labels are a text", "application/json", "", []byte(`{"streams":[{"stream":"{app=\"a\"}","values":[["1","x"]]}]}`), 400, `streams[0]: stream: unexpected '"', expecting an object of labels`, nil},
		{"json, a label is an object", "application/json", "", []byte(`{"streams":[{"stream":{"app":{}},"values":[["1","x"]]}]}`), 400, `label "app": unexpected '{', expecting a string`, nil},
		{"nothing", "application/json", "", []byte(`{"streams":[]}`), 422, "error at least one valid stream is required for ingestion", nil},
		{"empty body", "application/json", "", nil, 400, "unexpected end of JSON", nil},
		{"bad timestamp", "application/json", "", []byte(`{"streams":[{"stream":{"app":"a"},"values":[["soon","x"]]}]}`), 400, `streams[0]: values[0]: timestamp "soon" is not an integer`, nil},
		{"timestamp is a number", "application/json", "", []byte(`{"streams":[{"stream":{"app":"a"},"values":[[1,"x"]]}]}`), 400, `timestamp: unexpected '1', expecting a string of Unix nanoseconds at byte`, nil},
		{"line is missing", "application/json", "", []byte(`{"streams":[{"stream":{"app":"a"},"values":[["1"]]}]}`), 400, "1 elements", nil},
		{"metadata is a number", "application/json", "", []byte(`{"streams":[{"stream":{"app":"a"},"values":[["1","x",{"n":5}]]}]}`), 400, `structured metadata "n": unexpected '5', expecting a string`, nil},
		{"cut off", "application/json", "", []byte(`{"streams":[{"stream":{"app":"a"},"values":[["1","x`), 400, "string is not terminated", nil},
		{"more after the end", "application/json", "", []byte(`{"streams":[{"stream":{"a":"b"},"values":[["1","x"]]}]} x`), 400, "after the end", nil},
		{"bad snappy", "application/x-protobuf", "", []byte("not snappy"), 400, "snappy", nil},
		{"bad protobuf", "application/x-protobuf", "", snappy.Encode(nil, []byte("\x0a\x05abc")), 400, "decode push request: request: unexpected end of message", nil},
		{"bad labels, the rest is kept", "application/x-protobuf", "", snappy.Encode(nil, protoPush(t, push.Stream{Labels: `{app=`, Entries: valid.Entries}, valid)), 400,
			`error parsing labels '{app=' with error: parse error at line 1, col 6: syntax error: unexpected $end, expecting STRING (2 entries)`, both},
		{"absurd timestamp, the rest is kept", "application/x-protobuf", "", snappy.Encode(nil, protoPush(t, push.Stream{Labels: `{app="a"}`, Entries: []push.Entry{
			{Timestamp: time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC), Line: "x"}, {Timestamp: time.Unix(1, 0), Line: "y"}}})), 400, "is not a time between", []string{`{app="a"} 1000000000 y`}},
		{"refused by the store, the rest is kept", "application/json", "", []byte(`{"streams":[{"stream":{"app":"a"},"values":[["1","refuse me"],["2","x"]]}]}`), 400, `max entry size exceeded for stream '{app="a"}'`, []string{`{app="a"} 2 x`}},
		{"duplicate label", "application/json", "", []byte(`{"streams":[{"stream":{"app":"a","app":"b"},"values":[["1","x"]]}]}`), 400, "has duplicate label name: 'app'", nil},
		{"duplicate label in protobuf", "application/x-protobuf", "", snappy.Encode(nil, protoPush(t, push.Stream{Labels: `{app="a", app="b"}`, Entries: valid.Entries})), 400,
			`stream '{app="a", app="b"}' has duplicate label name: 'app' (2 entries)`, nil},
		{"unknown type", "text/plain", "", []byte("x"), 415, `unsupported Content-Type "text/plain"`, nil},
		{"unreadable type", "application/json; charset", "", []byte("x"), 415, "unreadable Content-Type", nil},
		{"unknown encoding", "application/json", "br", []byte("x"), 415, `unsupported Content-Encoding "br"`, nil},
		{"too large", "application/json", "gzip", gzipped(t, strings.Repeat(" ", 2<<20)), 413, "larger than the limit", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &store{got: map[string][]string{}}
			h := New(Options{Pusher: s, BodyLimits: body.Limits{Decompressed: 1 << 20}})
			w := send(h, pushRequest(c.contentType, c.encoding, c.raw))
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.answer) {
				t.Errorf("answer %d %q, want %d %q", w.Code, w.Body, c.status, c.answer)
			}
			if !slices.Equal(s.got["acme"], c.want) {
				t.Errorf("stored %q, want %q", s.got["acme"], c.want)
			}
		})
	}
}

func TestPushRateLimited(t *testing.T) {
	s := &store{fail: &fault.Error{Class: fault.RateLimited, RetryAfter: 1500 * time.Millisecond, Err: fmt.Errorf("slow down")}}
	w := send(New(Options{Pusher: s}), pushRequest("application/json", "", []byte(`{"streams":[{"stream":{"a":"b"},"values":[["1","x"]]}]}`)))
	if w.Code != 429 || w.Header().Get("Retry-After") != "2" || strings.TrimSpace(w.Body.String()) != "slow down" {
		t.Errorf("answer %d %q, Retry-After %q", w.Code, w.Body, w.Header().Get("Retry-After"))
	}
}

// rejecting refuses everything for one reason.
type rejecting struct {
	reason string
	before []logs.Rejection
}

func (p *rejecting) PushLogs(_ context.Context, b *logs.Batch) (logs.PushResult, error) {
	p.before = b.Rejected
	return logs.PushResult{Rejected: []logs.Rejection{{Reason: p.reason, Message: "no", Count: 1}}}, nil
}

// What may be stored later is told apart from what never will; what the decoder refuses is counted too.
func TestPushRejectionStatus(t *testing.T) {
	for reason, status := range map[string]int{"line_too_long": 400, "stream_limit": 429, "per_stream_rate_limit": 429} {
		p := &rejecting{reason: reason}
		w := send(New(Options{Pusher: p}), pushRequest("application/json", "", []byte(`{"streams":[{"labels":"{a=","entries":[{"ts":"1970-01-01T00:00:01Z","line":"x"}]}]}`)))
		if w.Code != status {
			t.Errorf("%s: answer %d %q, want %d", reason, w.Code, w.Body, status)
		}
		if len(p.before) != 1 || p.before[0].Reason != "invalid_labels" || p.before[0].Count != 1 {
			t.Errorf("refused before: %+v", p.before)
		}
	}
}

func TestRemoteWriteIsNotOurs(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/api/prom/push", nil)
	if IsRemoteWrite(r) {
		t.Error("a push without the header is a remote write")
	}
	r.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	if !IsRemoteWrite(r) {
		t.Error("a remote write is not recognised")
	}
}

// asked remembers the query and gives a fixed answer.
type asked struct {
	mu  sync.Mutex // of job
	job job.Job
	res logs.Result
	err error
}

func (a *asked) Run(_ context.Context, j job.Job) (job.Result, error) {
	a.mu.Lock()
	a.job = j
	a.mu.Unlock()
	return job.Result{Logs: &a.res}, a.err
}

func TestParameters(t *testing.T) {
	now := time.Unix(100_000, 0).UTC()
	for _, c := range []struct {
		path, query string
		want        logs.Query
		status      int
		text        string
	}{
		{"query_range", `query={a="b"}`, logs.Query{Kind: logs.Range, Expr: `{a="b"}`, Start: 96_400e9, End: 100_000e9, Step: 14e9, Limit: 100}, 200, ""},
		{"query_range", `query={a="b"}&start=5&end=10.25&step=2&limit=7&direction=FORWARD&interval=1m`, logs.Query{Kind: logs.Range, Expr: `{a="b"}`, Start: 5e9, End: 10.25e9, Step: 2e9, Limit: 7, Direction: logs.Forward, Interval: 60e9}, 200, ""},
		{"query_range", `query={a="b"}&start=5&end=6&hune_auto_fields=true`, logs.Query{Kind: logs.Range, Expr: `{a="b"}`, Start: 5e9, End: 6e9, Step: 1e9, Limit: 100, Direction: logs.Backward, AutoFields: true}, 200, ""},
		{"query_range", `query={a="b"}&start=1970-01-01T00:00:05Z&end=10000000001&step=1m30s`, logs.Query{Kind: logs.Range, Expr: `{a="b"}`, Start: 5e9, End: 10_000_000_001, Step: 90e9, Limit: 100}, 200, ""},
		{"query_range", `query={a="b"}&since=10m&end=200000`, logs.Query{Kind: logs.Range, Expr: `{a="b"}`, Start: 99_400e9, End: 200_000e9, Step: 402e9, Limit: 100}, 200, ""},
		{"query", `query=rate({a="b"}[1m])&time=7`, logs.Query{Kind: logs.Instant, Expr: `rate({a="b"}[1m])`, Start: 7e9, End: 7e9, Limit: 100}, 200, ""},
		{"labels", `start=1&end=2`, logs.Query{Kind: logs.LabelNames, Start: 1e9, End: 2e9}, 200, ""},
		{"label/app/values", `start=1&end=2&query={a="b"}`, logs.Query{Kind: logs.LabelValues, Label: "app", Expr: `{a="b"}`, Start: 1e9, End: 2e9}, 200, ""},
		{"series", `start=1&end=2&match[]={a="b"}&match={c="d"}`, logs.Query{Kind: logs.SeriesKind, Match: []string{`{a="b"}`, `{c="d"}`}, Start: 1e9, End: 2e9}, 200, ""},
		{"index/volume", `start=1&end=2&query={a="b"}&targetLabels=x,%20y&aggregateBy=labels`, logs.Query{Kind: logs.VolumeKind, Expr: `{a="b"}`, Start: 1e9, End: 2e9, Limit: 100, TargetLabels: []string{"x", "y"}, ByLabels: true}, 200, ""},
		{"index/volume_range", `start=1970-01-01T00:00:01Z&end=2&query={a="b"}&step=1`, logs.Query{Kind: logs.VolumeRange, Expr: `{a="b"}`, Start: 1e9, End: 2e9, Limit: 100, Step: 1e9}, 200, ""},
		{"detected_fields", `start=1&end=2&query={a="b"}&line_limit=5`, logs.Query{Kind: logs.DetectedFields, Expr: `{a="b"}`, Start: 1e9, End: 2e9, Limit: 1000, LineLimit: 5}, 200, ""},
		{"detected_field/f/values", `start=1&end=2&query={a="b"}`, logs.Query{Kind: logs.DetectedFieldValues, Label: "f", Expr: `{a="b"}`, Start: 1e9, End: 2e9, Limit: 1000, LineLimit: 100}, 200, ""},
		{"patterns", `start=1&end=2&query={a="b"}&step=60`, logs.Query{Kind: logs.Patterns, Expr: `{a="b"}`, Start: 1e9, End: 2e9, Step: 60e9}, 200, ""},
		{"query_range", `query={a="b"}&start=1e300.5`, logs.Query{}, 400, "could not parse 'start' parameter"},
		{"query_range", `query={a="b"}&start=9999-01-01T00:00:00Z`, logs.Query{}, 400, "could not parse 'start' parameter"},
		{"query_range", `query={a="b"}&start=5&end=4`, logs.Query{}, 400, "end timestamp must not be before or equal to start time"},
		{"query_range", `query={a="b"}&step=-1`, logs.Query{}, 400, "zero or negative query resolution step widths"},
		{"query_range", `query={a="b"}&limit=0`, logs.Query{}, 400, "limit must be a positive value"},
		{"query_range", `query={a="b"}&limit=many`, logs.Query{}, 400, `strconv.Atoi: parsing "many": invalid syntax`},
		{"query_range", `query={a="b"}&limit=4294967296`, logs.Query{}, 400, "limit value 4294967296 is out of range [0, 4294967295]"},
		{"detected_fields", `query={a="b"}&line_limit=4294967296`, logs.Query{}, 400, "line_limit value 4294967296 is out of range [0, 4294967295]"},
		{"query_range", `query={a="b"}&direction=sideways`, logs.Query{}, 400, "invalid direction 'sideways'"},
		{"query_range", `query={a="b"}&interval=-1`, logs.Query{}, 400, "interval must be >= 0"},
		{"query_range", `query={a="b"}&since=soon`, logs.Query{}, 400, "could not parse 'since' parameter"},
		{"query_range", `query={a="b"}&start=1&end=20000&step=1`, logs.Query{}, 400, "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter"},
		{"query_range", `query={a="b"}&step=1e300`, logs.Query{}, 400, `cannot parse "1e300" to a valid duration. It overflows int64`},
		{"query", `query=1&time=now`, logs.Query{}, 400, `strconv.ParseInt: parsing "now": invalid syntax`},
		{"index/volume", `query={a="b"}&aggregateBy=x`, logs.Query{}, 400, "invalid aggregation option"},
		{"query_range", `query={a="b"}&hune_trace_id=abc`, logs.Query{Kind: logs.TraceRows, Expr: `{a="b"}`, End: endOfTime, Limit: 100, TraceID: "abc"}, 200, ""},
		{"query_range", `query={a="b"}&hune_trace_id=abc&start=1&end=2&step=1`, logs.Query{Kind: logs.Range, Expr: `{a="b"}`, Start: 1e9, End: 2e9, Step: 1e9, Limit: 100, TraceID: "abc"}, 200, ""},
		{"query_range", `query=rate({a="b"}[1m])&hune_trace_id=abc`, logs.Query{Kind: logs.Range, Expr: `rate({a="b"}[1m])`, Start: 96_400e9, End: 100_000e9, Step: 14e9, Limit: 100, TraceID: "abc"}, 200, ""},
		{"query_range", `query={a="b"}&step=NaN`, logs.Query{}, 400, "cannot parse"},
		{"query_range", `query={a="b"}&%zz`, logs.Query{}, 400, "invalid URL escape"},
		{"query_range", `query={a=}`, logs.Query{}, 400, "parse error at line 1, col 4"},
	} {
		run := &asked{}
		h := New(Options{Runner: run, Now: func() time.Time { return now }})
		r := httptest.NewRequest(http.MethodGet, "/loki/api/v1/"+c.path, nil)
		r.URL.RawQuery = strings.ReplaceAll(c.query, "+", "%2B")
		w := send(h, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s?%s: answer %d %q", c.path, c.query, w.Code, w.Body)
			continue
		}
		if c.status != 200 {
			continue
		}
		if got := run.job.Logs; run.job.Tenant != "acme" || fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%s?%s\n got %+v\nwant %+v", c.path, c.query, *got, c.want)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s answers bad JSON: %s", c.path, w.Body)
		}
	}
}

// TestGrafanaHealth is the question by which Grafana decides whether a data source works.
func TestGrafanaHealth(t *testing.T) {
	run := &asked{res: logs.Result{Vector: []logs.VectorSample{{Point: logs.Point{T: 4000, V: 2}}}}}
	r := httptest.NewRequest(http.MethodGet, "/loki/api/v1/query?query=vector(1)%2Bvector(1)&time=4000000000", nil)
	w := send(New(Options{Runner: run}), r)
	if want := `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[4,"2"]}],"stats":{"summary":`; w.Code != 200 || !strings.HasPrefix(w.Body.String(), want) {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
}

func TestStreamsEncoding(t *testing.T) {
	run := &asked{res: logs.Result{Streams: []logs.StreamResult{{
		Labels: labels.FromStrings("app", "a", "level", "warn", "n", "5"),
		Entries: []logs.ResultEntry{{Timestamp: 7, Line: "tab\t \"q\" \x01 \xff é", Metadata: []logs.Label{{Name: "level", Value: "warn"}},
			Parsed: []logs.Label{{Name: "n", Value: "5"}}}},
	}}}}
	h := New(Options{Runner: run})
	path := "/loki/api/v1/query_range?query=%7Ba%3D%22b%22%7D&start=1&end=2"
	r := httptest.NewRequest(http.MethodGet, path, nil)
	line := `["7","tab\t \"q\" \u0001 \ufffd é"`
	if w, want := send(h, r), `"resultType":"streams","result":[{"stream":{"app":"a","level":"warn","n":"5"},"values":[`+line+`]]}],"stats"`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("answer %s", w.Body)
	}
	r = httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("X-Loki-Response-Encoding-Flags", "x, categorize-labels")
	if w, want := send(h, r), `"encodingFlags":["categorize-labels"],"result":[{"stream":{"app":"a"},"values":[`+line+`,{"structuredMetadata":{"level":"warn"},"parsed":{"n":"5"}}]]}],"stats"`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("answer %s", w.Body)
	}
}

func TestErrorsArePlainText(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{fault.Invalidf("no"), 400}, {fault.Errorf(fault.NotYet, "later"), 501}, {context.Canceled, 499},
		{context.DeadlineExceeded, 504}, {fault.Errorf(fault.Unavailable, "full"), 503}, {fmt.Errorf("disk"), 500},
	} {
		w := send(New(Options{Runner: &asked{err: c.err}}), httptest.NewRequest(http.MethodGet, "/loki/api/v1/labels", nil))
		if w.Code != c.status || strings.TrimSpace(w.Body.String()) != c.err.Error() || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
			t.Errorf("%v: answer %d %q", c.err, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder() // no tenant
	New(Options{Runner: &asked{}}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/loki/api/v1/labels", nil))
	if w.Code != 400 || strings.TrimSpace(w.Body.String()) != "no org id" {
		t.Errorf("answer without tenant: %d %q", w.Code, w.Body)
	}
}

// live is a tailer that the test feeds.
type live struct {
	rows       chan *logs.Rows
	subscribed chan logs.Select
}

func (l *live) TailLogs(ctx context.Context, _ string, sel logs.Select) iter.Seq2[*logs.Rows, error] {
	return func(yield func(*logs.Rows, error) bool) {
		l.subscribed <- sel
		if !yield(&logs.Rows{}, nil) {
			return
		}
		for {
			select {
			case <-ctx.Done():
				return
			case rows := <-l.rows:
				if !yield(rows, nil) {
					return
				}
			}
		}
	}
}
