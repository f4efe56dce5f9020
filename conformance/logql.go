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

//go:embed logql/dataset.ndjson.gz logql/queries.json logql/expected.ndjson.gz logql/pending.txt
var logqlFiles embed.FS

// LogQLPushes yields the bodies of the pushes that load the data set, in JSON, to be sent in this
// order to /loki/api/v1/push.
func LogQLPushes() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		type entry struct {
			Stream   map[string]string `json:"stream"`
			TS       string            `json:"ts"`
			Line     string            `json:"line"`
			Metadata map[string]string `json:"metadata"`
		}
		type stream struct {
			Stream map[string]string `json:"stream"`
			Values [][]any           `json:"values"`
		}
		var streams []*stream
		index, n := map[string]*stream{}, 0
		send := func() bool {
			body, err := json.Marshal(map[string]any{"streams": streams})
			streams, index, n = nil, map[string]*stream{}, 0
			return yield(body, err)
		}
		for line, err := range lines(logqlFiles, "logql/dataset.ndjson.gz") {
			var e entry
			if err == nil {
				err = json.Unmarshal(line, &e)
			}
			if err != nil {
				yield(nil, fmt.Errorf("read data set: %w", err))
				return
			}
			key := fmt.Sprint(e.Stream)
			s := index[key]
			if s == nil {
				s = &stream{Stream: e.Stream}
				index[key] = s
				streams = append(streams, s)
			}
			value := []any{e.TS, e.Line}
			if len(e.Metadata) > 0 {
				value = append(value, e.Metadata)
			}
			s.Values = append(s.Values, value)
			if n++; n == 1000 && !send() {
				return
			}
		}
		if n > 0 {
			send()
		}
	}
}

// LogQLLoad pushes the data set.
func LogQLLoad(target Target) error {
	for body, err := range LogQLPushes() {
		if err != nil {
			return err
		}
		r := httptest.NewRequest(http.MethodPost, "/loki/api/v1/push", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		status, answer, err := target(r)
		if err != nil {
			return err
		}
		if status/100 != 2 {
			return fmt.Errorf("push answered %d: %.300s", status, answer)
		}
	}
	return nil
}

type logqlQuery struct {
	ID      string            `json:"id"`
	Feature string            `json:"feature"`
	Kind    string            `json:"kind"`
	Path    string            `json:"path"`
	Label   string            `json:"label"`
	Method  string            `json:"method"`
	Query   *string           `json:"query"`
	Params  map[string]any    `json:"params"`
	Headers map[string]string `json:"headers"`
	Ordered bool              `json:"ordered"`
}

var logqlPaths = map[string]string{
	"range": "query_range", "instant": "query", "labels": "labels", "series": "series", "index_stats": "index/stats",
	"volume": "index/volume", "volume_range": "index/volume_range", "detected_fields": "detected_fields",
	"detected_labels": "detected_labels", "patterns": "patterns", "format_query": "format_query",
}

func (q *logqlQuery) request() *http.Request {
	path := q.Path
	switch {
	case path != "":
	case q.Kind == "label_values":
		path = "/loki/api/v1/label/" + url.PathEscape(q.Label) + "/values"
	default:
		path = "/loki/api/v1/" + logqlPaths[q.Kind]
	}
	form := url.Values{}
	if q.Query != nil {
		form.Set("query", *q.Query)
	}
	for name, v := range q.Params {
		if list, ok := v.([]any); ok {
			for _, one := range list {
				form.Add(name, fmt.Sprint(one))
			}
			continue
		}
		form.Set(name, fmt.Sprint(v))
	}
	var r *http.Request
	if q.Method == http.MethodPost {
		r = httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r = httptest.NewRequest(http.MethodGet, path+"?"+form.Encode(), nil)
	}
	for name, v := range q.Headers {
		r.Header.Set(name, v)
	}
	return r
}

// LogQLOutcome is how one query of the corpus went.
type LogQLOutcome struct {
	ID, Feature, Query string
	Diff               string // empty: the answer is the recorded one
}

// LogQLReplay sends all queries of the corpus to a target that holds the data set.
func LogQLReplay(target Target) ([]LogQLOutcome, error) {
	raw, err := logqlFiles.ReadFile("logql/queries.json")
	if err != nil {
		return nil, err
	}
	var corpus struct {
		Queries []logqlQuery `json:"queries"`
	}
	if err := json.Unmarshal(raw, &corpus); err != nil {
		return nil, fmt.Errorf("read queries: %w", err)
	}
	type answer struct {
		ID     string `json:"id"`
		Status int    `json:"status"`
		Body   any    `json:"body"`
	}
	want := map[string]answer{}
	for line, err := range lines(logqlFiles, "logql/expected.ndjson.gz") {
		var a answer
		if err == nil {
			err = json.Unmarshal(line, &a)
		}
		if err != nil {
			return nil, fmt.Errorf("read expected answers: %w", err)
		}
		want[a.ID] = a
	}
	out := make([]LogQLOutcome, 0, len(corpus.Queries))
	for i := range corpus.Queries {
		q := &corpus.Queries[i]
		r := q.request()
		o := LogQLOutcome{ID: q.ID, Feature: q.Feature, Query: r.URL.Path}
		if q.Query != nil {
			o.Query += " " + *q.Query
		}
		status, body, err := target(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.ID, err)
		}
		w := want[q.ID]
		if status != w.Status {
			o.Diff = fmt.Sprintf("status %d, want %d: %.300s", status, w.Status, body)
		} else {
			o.Diff = logqlCompare(q, status, logqlCanonical(q, w.Body), logqlCanonical(q, logqlBody(body)))
		}
		out = append(out, o)
	}
	return out, nil
}

// LogQLPending reads pending.txt: the queries that are known to differ, with the reason.
func LogQLPending() (Ratchet, error) {
	return pending(logqlFiles, "logql/pending.txt")
}

// LogQLCheck replays the corpus and compares with pending.txt, which is a ratchet: what it lists
// must fail, everything else must pass.
func LogQLCheck(t testing.TB, target Target) {
	t.Helper()
	outcomes, err := LogQLReplay(target)
	if err != nil {
		t.Fatal(err)
	}
	list, err := LogQLPending()
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, o := range outcomes {
		list.check(t, o.ID, o.Query, o.Diff)
		if o.Diff == "" {
			passed++
		}
	}
	list.rest(t)
	t.Logf("%d of %d passed", passed, len(outcomes))
}
