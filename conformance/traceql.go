package conformance

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

//go:embed traceql/dataset.ndjson.gz traceql/queries.json traceql/expected.ndjson.gz traceql/pending.txt
var traceqlFiles embed.FS

// TraceQLDataset yields the requests of the data set: ExportTraceServiceRequests in OTLP/JSON, to
// be sent in this order to /v1/traces.
func TraceQLDataset() iter.Seq2[[]byte, error] {
	return lines(traceqlFiles, "traceql/dataset.ndjson.gz")
}

type traceqlQuery struct {
	ID         string         `json:"id"`
	Feature    string         `json:"feature"`
	Kind       string         `json:"kind"`
	Target     string         `json:"target"`
	Params     map[string]any `json:"params"`
	Ordered    bool           `json:"ordered"`
	Quirk      string         `json:"quirk"`
	CompareTop int            `json:"compare_top"`
}

func (q *traceqlQuery) endpoint() string {
	if q.Target != "" {
		return q.Target
	}
	return q.Kind
}

var traceqlPaths = map[string]string{
	"search": "/api/search", "trace_v1": "/api/traces/", "trace_v2": "/api/v2/traces/",
	"tags": "/api/search/tags", "tags_v2": "/api/v2/search/tags",
	"tag_values": "/api/search/tag/{}/values", "tag_values_v2": "/api/v2/search/tag/{}/values",
	"metrics_range": "/api/metrics/query_range", "metrics_instant": "/api/metrics/query",
}

func (q *traceqlQuery) path() string {
	kind := q.endpoint()
	path := traceqlPaths[kind]
	rest := url.Values{}
	for k, v := range q.Params {
		text := fmt.Sprint(v)
		switch {
		case k == "traceID" && strings.HasPrefix(kind, "trace_"):
			path += url.PathEscape(text)
		case k == "tag" && strings.HasPrefix(kind, "tag_values"):
			path = strings.Replace(path, "{}", url.PathEscape(text), 1)
		case k == "path" && kind == "api":
			path = text
		default:
			rest.Set(k, text)
		}
	}
	if len(rest) > 0 {
		path += "?" + rest.Encode()
	}
	return path
}

// traceqlUnmarshal keeps numbers of parameters as written.
func traceqlUnmarshal(b []byte, v any, numbers bool) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if numbers {
		d.UseNumber()
	}
	return d.Decode(v)
}

// TraceQLOutcome is how one query of the corpus went.
type TraceQLOutcome struct {
	ID, Feature, Quirk string
	Query              string
	Diff               string // empty: the answer is the recorded one
}

// TraceQLReplay sends all queries of the corpus to a target that holds the data set.
func TraceQLReplay(target Target) ([]TraceQLOutcome, error) {
	raw, err := traceqlFiles.ReadFile("traceql/queries.json")
	if err != nil {
		return nil, err
	}
	var queries []traceqlQuery
	if err := traceqlUnmarshal(raw, &queries, true); err != nil {
		return nil, fmt.Errorf("read queries: %w", err)
	}
	type answer struct {
		ID     string `json:"id"`
		Status int    `json:"status"`
		Body   any    `json:"body"`
	}
	want := map[string]answer{}
	for line, err := range lines(traceqlFiles, "traceql/expected.ndjson.gz") {
		if err != nil {
			return nil, fmt.Errorf("read expected answers: %w", err)
		}
		var a answer
		if err := traceqlUnmarshal(line, &a, false); err != nil {
			return nil, fmt.Errorf("read expected answers: %w", err)
		}
		want[a.ID] = a
	}
	out := make([]TraceQLOutcome, 0, len(queries))
	for i := range queries {
		q := &queries[i]
		status, body, err := target(httptest.NewRequest(http.MethodGet, q.path(), nil))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.ID, err)
		}
		o := TraceQLOutcome{ID: q.ID, Feature: q.Feature, Quirk: q.Quirk, Query: q.path()}
		w := want[q.ID]
		got := traceqlCanonical(q, body)
		if status != w.Status {
			o.Diff = fmt.Sprintf("status %d, want %d: %.300s", status, w.Status, body)
		} else {
			o.Diff = traceqlDiff(traceqlCanonicalValue(q, w.Body), got, "")
		}
		out = append(out, o)
	}
	return out, nil
}

// TraceQLPending reads pending.txt: the queries that are known to fail, with the reason.
func TraceQLPending() (Ratchet, error) {
	return pending(traceqlFiles, "traceql/pending.txt")
}

// TraceQLCheck replays the corpus and compares with pending.txt, which is a ratchet: what it lists
// must fail, everything else must pass.
func TraceQLCheck(t testing.TB, target Target) {
	t.Helper()
	outcomes, err := TraceQLReplay(target)
	if err != nil {
		t.Fatal(err)
	}
	list, err := TraceQLPending()
	if err != nil {
		t.Fatal(err)
	}
	var passed, quirks, quirksFollowed int
	for _, o := range outcomes {
		list.check(t, o.ID, o.Query, o.Diff)
		if o.Quirk != "" {
			quirks++
			if o.Diff == "" {
				quirksFollowed++
			}
		} else if o.Diff == "" {
			passed++
		}
	}
	list.rest(t)
	t.Logf("%d of %d passed; server defects: %d followed, %d not", passed, len(outcomes)-quirks, quirksFollowed, quirks-quirksFollowed)
}
