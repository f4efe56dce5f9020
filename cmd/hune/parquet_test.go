package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
)

// Answers in Parquet go through the whole server, from rows in the bucket and in memory.
func TestParquetAnswers(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	now := time.Now()
	push := func(i int) {
		body := fmt.Sprintf(`{"streams":[{"stream":{"app":"web"},"values":[["%d","took=%dms",{"trace_id":"t%d"}]]}]}`,
			now.Add(time.Duration(i-10)*time.Second).UnixNano(), i, i)
		code, answer := p.post("/loki/api/v1/push", jsonType, []byte(body), nil)
		require.Equal(t, http.StatusNoContent, code, answer)
	}
	push(0)
	p.flush()
	push(1)
	ask := func(path string, params url.Values) string {
		code, body := p.get(path, params, map[string]string{"Accept": "application/vnd.apache.parquet"})
		require.Equal(t, http.StatusOK, code, body)
		return body
	}
	type line struct {
		Timestamp time.Time         `parquet:"timestamp"`
		Labels    map[string]string `parquet:"labels"`
		Line      string            `parquet:"line"`
	}
	body := ask("/loki/api/v1/query_range", url.Values{"query": {`{app="web"} | logfmt`}, "direction": {"FORWARD"},
		"start": {fmt.Sprint(now.Add(-time.Minute).UnixNano())}, "end": {fmt.Sprint(now.UnixNano())}})
	lines, err := parquet.Read[line](strings.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	require.Len(t, lines, 2)
	for i, l := range lines {
		require.Equal(t, now.Add(time.Duration(i-10)*time.Second).UnixNano(), l.Timestamp.UnixNano())
		require.Equal(t, fmt.Sprintf("took=%dms", i), l.Line)
		require.Equal(t, "web", l.Labels["app"])
		require.Equal(t, fmt.Sprintf("t%d", i), l.Labels["trace_id"], "structured metadata")
		require.Equal(t, fmt.Sprintf("%dms", i), l.Labels["took"], "what a parser found")
	}
	type sample struct {
		Timestamp time.Time         `parquet:"timestamp"`
		Labels    map[string]string `parquet:"labels"`
		Value     float64           `parquet:"value"`
	}
	body = ask("/loki/api/v1/query", url.Values{"query": {`sum by (app) (count_over_time({app="web"}[1m]))`}, "time": {fmt.Sprint(now.UnixNano())}})
	samples, err := parquet.Read[sample](strings.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	require.Len(t, samples, 1)
	require.Equal(t, now.UnixMilli(), samples[0].Timestamp.UnixMilli())
	require.Equal(t, map[string]string{"app": "web"}, samples[0].Labels)
	require.Equal(t, 2.0, samples[0].Value)
}
