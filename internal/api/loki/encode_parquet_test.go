package loki

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// askParquet asks for path in Parquet.
func askParquet(path, query string, runner Runner) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path+"?start=1&end=2&query="+url.QueryEscape(query), nil)
	r.Header.Set("Accept", parquetType)
	return send(New(Options{Runner: runner, Version: BuildInfo{Version: "3.7.0", Revision: "abc"}}), r)
}

func readParquet[T any](t require.TestingT, raw []byte) []T {
	rows, err := parquet.Read[T](bytes.NewReader(raw), int64(len(raw)))
	require.NoError(t, err)
	return rows
}

const parquetSelector = `{a="b"}`

func TestParquetStreams(t *testing.T) {
	streams := []logs.StreamResult{
		{Labels: labels.FromStrings("a", "c"), Entries: []logs.ResultEntry{{Timestamp: -1, Line: "bad \xff\xfe byte"}}},
		{Labels: labels.FromStrings("a", "b", "n", "1", "trace_id", "x"), Entries: []logs.ResultEntry{
			{Timestamp: 1_500_000_001, Line: "two", Metadata: []logs.Label{{Name: "trace_id", Value: "x"}}, Parsed: []logs.Label{{Name: "n", Value: "1"}}},
			{Timestamp: 1_500_000_000, Metadata: []logs.Label{{Name: "trace_id", Value: "x"}}, Parsed: []logs.Label{{Name: "n", Value: "1"}}},
		}},
		{Entries: []logs.ResultEntry{{Timestamp: 7, Line: "no labels"}}},
	}
	want := []logRow{
		{7, map[string]string{}, "no labels"},
		{1_500_000_001, map[string]string{"a": "b", "n": "1", "trace_id": "x"}, "two"},
		{1_500_000_000, map[string]string{"a": "b", "n": "1", "trace_id": "x"}, ""},
		{-1, map[string]string{"a": "c"}, "bad \ufffd\ufffd byte"},
	}
	for _, path := range []string{"/loki/api/v1/query_range", "/loki/api/v1/query", "/api/hune/v1/logs/trace/x"} {
		w := askParquet(path, parquetSelector, &asked{res: logs.Result{Streams: streams}})
		require.Equal(t, 200, w.Code, w.Body)
		require.Equal(t, parquetType, w.Header().Get("Content-Type"))
		require.Equal(t, want, readParquet[logRow](t, w.Body.Bytes()), path)
	}
}

// The labels that categorize-labels takes apart have no columns of their own: they stay in labels.
func TestParquetIgnoresCategories(t *testing.T) {
	res := logs.Result{Streams: []logs.StreamResult{{Labels: labels.FromStrings("a", "b", "t", "x"), Entries: []logs.ResultEntry{
		{Timestamp: 1, Line: "l", Metadata: []logs.Label{{Name: "t", Value: "x"}}}}}}}
	r := httptest.NewRequest(http.MethodGet, "/loki/api/v1/query_range?query="+url.QueryEscape(parquetSelector), nil)
	r.Header.Set("Accept", parquetType)
	r.Header.Set("X-Loki-Response-Encoding-Flags", categorizeFlag)
	w := send(New(Options{Runner: &asked{res: res}}), r)
	require.Equal(t, []logRow{{1, map[string]string{"a": "b", "t": "x"}, "l"}}, readParquet[logRow](t, w.Body.Bytes()))
}

func TestParquetSamples(t *testing.T) {
	const rate = `rate({a="b"}[1m])`
	ls := labels.FromStrings("a", "b")
	ab := map[string]string{"a": "b"}
	for _, c := range []struct {
		path, query string
		res         logs.Result
		want        []sampleRow
	}{
		{"query_range", rate, logs.Result{Matrix: []logs.SampleSeries{
			{Labels: ls, Points: []logs.Point{{T: 1000, V: 2.5}, {T: 2000, V: math.Inf(1)}}},
			{Points: []logs.Point{{T: -5, V: 0}}},
		}}, []sampleRow{{1000, ab, 2.5}, {2000, ab, math.Inf(1)}, {-5, map[string]string{}, 0}}},
		{"query_range", rate, logs.Result{}, nil},
		{"query", rate, logs.Result{Vector: []logs.VectorSample{
			{Labels: ls, Point: logs.Point{T: 1001, V: 7}}, {Labels: labels.FromStrings("c", "d", "e", ""), Point: logs.Point{T: 1001, V: -1}},
		}}, []sampleRow{{1001, ab, 7}, {1001, map[string]string{"c": "d", "e": ""}, -1}}},
		{"query", rate, logs.Result{}, nil},
		{"query", "1", logs.Result{Scalar: &logs.Point{T: 1000, V: 1}}, []sampleRow{{1000, map[string]string{}, 1}}},
	} {
		w := askParquet("/loki/api/v1/"+c.path, c.query, &asked{res: c.res})
		require.Equal(t, 200, w.Code, w.Body)
		require.Equal(t, parquetType, w.Header().Get("Content-Type"))
		rows := readParquet[sampleRow](t, w.Body.Bytes())
		require.Equal(t, c.want, append([]sampleRow(nil), rows...), c.path+" "+c.query)
	}
	w := askParquet("/loki/api/v1/query", rate, &asked{res: logs.Result{Vector: []logs.VectorSample{{Point: logs.Point{V: math.NaN()}}}}})
	require.True(t, math.IsNaN(readParquet[sampleRow](t, w.Body.Bytes())[0].Value))
}

// What readers learn of the columns is what they learn from Loki. An answer of no rows tells it too.
func TestParquetSchema(t *testing.T) {
	const labelColumn = `
	required group labels (MAP) {
		repeated group key_value {
			required binary key (STRING);
			required binary value (STRING);
		}
	}
`
	for query, want := range map[string]string{
		parquetSelector: "message logRow {\n\trequired int64 timestamp (TIMESTAMP(isAdjustedToUTC=true,unit=NANOS));" + labelColumn +
			"\trequired binary line (STRING);\n}",
		`rate({a="b"}[1m])`: "message sampleRow {\n\trequired int64 timestamp (TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS));" + labelColumn +
			"\trequired double value;\n}",
	} {
		raw := askParquet("/loki/api/v1/query_range", query, &asked{}).Body.Bytes()
		f, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
		require.NoError(t, err)
		require.Equal(t, want, f.Schema().String())
		require.Zero(t, f.NumRows())
		require.Equal(t, "hune version 3.7.0(build abc)", f.Metadata().CreatedBy)
	}
}

func TestParquetIsRefused(t *testing.T) {
	const instead = "only answers to queries come in application/vnd.apache.parquet: accept application/json"
	for _, c := range []struct{ path, want string }{
		{"/loki/api/v1/labels", instead + " or application/vnd.google.protobuf\n"},
		{"/loki/api/v1/series", instead + " or application/vnd.google.protobuf\n"},
		{"/loki/api/v1/index/volume", instead + " or application/vnd.google.protobuf\n"},
		{"/api/prom/query", instead + " or application/vnd.google.protobuf\n"},
		{"/loki/api/v1/query_range?explain=true", instead + "\n"},
	} {
		u, err := url.Parse(c.path)
		require.NoError(t, err)
		params := u.Query()
		params.Set("query", parquetSelector)
		r := httptest.NewRequest(http.MethodGet, u.Path+"?"+params.Encode(), nil)
		r.Header.Set("Accept", parquetType)
		w := send(New(Options{Runner: &asked{}}), r)
		require.Equal(t, http.StatusNotAcceptable, w.Code, c.path)
		require.Equal(t, c.want, w.Body.String())
	}
}

// Errors are those of answers in JSON.
func TestParquetErrors(t *testing.T) {
	for _, c := range []struct {
		query  string
		err    error
		status int
		want   string
	}{
		{`{a="b"`, nil, 400, "parse error"},
		{parquetSelector, fault.Errorf(fault.RateLimited, "too many"), 429, "too many\n"},
		{parquetSelector, errors.New("disk"), 500, "disk\n"},
	} {
		w := askParquet("/loki/api/v1/query_range", c.query, &asked{err: c.err})
		require.Equal(t, c.status, w.Code)
		require.Contains(t, w.Body.String(), c.want)
		require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
	}
}

// brokenPipe takes so many bytes.
type brokenPipe struct {
	http.ResponseWriter
	left int
}

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// An answer that can't be ended isn't ended as if it were whole.
func TestParquetOfAClientThatHasGone(t *testing.T) {
	for _, room := range []int{0, 4} {
		w := &brokenPipe{httptest.NewRecorder(), room}
		require.PanicsWithValue(t, http.ErrAbortHandler, func() {
			_ = writeParquet(w, manyLines(10), &logs.Query{}, true, BuildInfo{})
		})
	}
}

// manyLines are n lines of 1,000 bytes, each a stream of its own label, in order.
func manyLines(n int) *logs.Result {
	var res logs.Result
	for i := range n {
		s := logs.StreamResult{Labels: labels.FromStrings("i", fmt.Sprintf("%06d", i))}
		s.Entries = []logs.ResultEntry{{Timestamp: int64(i), Line: fmt.Sprintf("%06d", i) + strings.Repeat("x", 994)}}
		res.Streams = append(res.Streams, s)
	}
	return &res
}

// Row groups bound what a writer holds, and go out as they become full.
func TestParquetRowGroups(t *testing.T) {
	var out bytes.Buffer
	p := newParquetWriter(&out, logSchema, BuildInfo{}, 100_000)
	p.series(labels.FromStrings("a", "b"))
	for i := range 1000 {
		before := out.Len()
		p.row(int64(i), text(strings.Repeat("x", 1000)), 1000)
		require.Less(t, p.size, 100_000)
		if p.size > 0 {
			require.Equal(t, before, out.Len(), "only whole groups are written")
		}
	}
	require.Positive(t, out.Len(), "groups are written before the end")
	require.NoError(t, p.close())
	raw := out.Bytes()
	f, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	require.NoError(t, err)
	require.Len(t, f.RowGroups(), 11)
	for i, g := range f.RowGroups() {
		require.LessOrEqual(t, g.NumRows(), int64(100), i)
	}
	rows := readParquet[logRow](t, raw)
	require.Len(t, rows, 1000)
	for i, r := range rows {
		require.Equal(t, int64(i), r.Timestamp)
		require.Equal(t, map[string]string{"a": "b"}, r.Labels)
	}
}

// Any answer, cut into groups of any size, is read back as it was.
func TestParquetKeepsAnswers(t *testing.T) {
	word := rapid.StringN(1, 8, -1)
	rapid.Check(t, func(t *rapid.T) {
		var res logs.Result
		var want []logRow
		for range rapid.IntRange(0, 5).Draw(t, "streams") {
			set := rapid.MapOfN(word, rapid.String(), 0, 4).Draw(t, "labels")
			s := logs.StreamResult{Labels: labels.FromMap(set)}
			for range rapid.IntRange(0, 150).Draw(t, "entries") {
				e := logs.ResultEntry{Timestamp: rapid.Int64().Draw(t, "time"), Line: rapid.StringN(0, 20, -1).Draw(t, "line")}
				s.Entries = append(s.Entries, e)
			}
			res.Streams = append(res.Streams, s)
		}
		var out bytes.Buffer
		limit := rapid.IntRange(1, 5000).Draw(t, "limit")
		require.NoError(t, encodeParquet(&out, &res, &logs.Query{}, true, BuildInfo{}, limit))
		for _, s := range res.Streams { // in the order that encoding left
			for _, e := range s.Entries {
				want = append(want, logRow{e.Timestamp, s.Labels.Map(), e.Line})
			}
		}
		require.Equal(t, want, append([]logRow(nil), readParquet[logRow](t, out.Bytes())...))
	})
}

func BenchmarkParquet(b *testing.B) {
	res := manyLines(5000)
	b.ReportAllocs()
	for b.Loop() {
		if err := encodeParquet(io.Discard, res, &logs.Query{}, true, BuildInfo{}, rowGroupBytes); err != nil {
			b.Fatal(err)
		}
	}
}
