package loki

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/logs"
)

// shown is a message as text, {number:value …}. A field of bytes is a message where its path is in inner,
// as numbers joined by dots, else a text.
func shown(t *testing.T, raw []byte, path string, inner map[string]bool) string {
	t.Helper()
	var out []string
	for len(raw) > 0 {
		field, kind, n := protowire.ConsumeTag(raw)
		require.GreaterOrEqual(t, n, 0)
		raw = raw[n:]
		here := strings.TrimPrefix(fmt.Sprint(path, ".", field), ".")
		var value string
		switch kind {
		case protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(raw)
			value = fmt.Sprint(int64(v))
		case protowire.Fixed64Type:
			var v uint64
			v, n = protowire.ConsumeFixed64(raw)
			value = fmt.Sprint(math.Float64frombits(v))
		case protowire.BytesType:
			var v []byte
			v, n = protowire.ConsumeBytes(raw)
			if inner[here] {
				value = shown(t, v, here, inner)
			} else {
				value = fmt.Sprintf("%q", v)
			}
		default:
			t.Fatalf("field %s has wire type %d", here, kind)
		}
		require.GreaterOrEqual(t, n, 0, here)
		raw = raw[n:]
		out = append(out, fmt.Sprintf("%d:%s", field, value))
	}
	return "{" + strings.Join(out, " ") + "}"
}

func TestProtobufAnswers(t *testing.T) {
	stats := logs.QueryStats{BytesProcessed: 10, LinesProcessed: 2, ExecNanoseconds: 5e8, EntriesReturned: 1}
	const sum = `{1:{1:20 2:4 3:10 4:2 5:0.5 8:1}}`
	streams := []logs.StreamResult{{Labels: labels.FromStrings("a", "b", "n", "1", "t", "x"), Entries: []logs.ResultEntry{
		{Timestamp: 1_500_000_000, Line: "x", Metadata: []logs.Label{{Name: "t", Value: "x"}}, Parsed: []logs.Label{{Name: "n", Value: "1"}}}, {Timestamp: -1}}}}
	const selector = `{a="b"}`
	for _, c := range []struct {
		path, query string
		res         logs.Result
		inner, want string
	}{
		{"query_range", selector, logs.Result{Streams: streams[:1:1], Stats: stats}, "6 6.2 6.2.2 6.2.2.2 6.2.2.2.1 6.2.2.2.3 6.2.2.2.4 6.8 6.8.1",
			`6:{1:"success" 2:{1:"streams" 2:{1:"{a=\"b\", n=\"1\", t=\"x\"}" 2:{1:{1:1 2:500000000} 2:"x" 3:{1:"t" 2:"x"} 4:{1:"n" 2:"1"}} 2:{1:{1:-1 2:999999999}}}} 5:1 6:100 7:1 8:` + sum + `}`},
		{"query_range", `rate(` + selector + `[1m])`, logs.Result{Matrix: []logs.SampleSeries{{Labels: labels.FromStrings("a", "b"), Points: []logs.Point{{T: 1000, V: 2.5}, {T: 2000}}}}, Stats: stats},
			"5 5.1 5.1.2 5.1.2.2 5.1.2.2.1 5.1.2.2.2 5.2 5.2.1", `5:{1:{1:"success" 2:{1:"matrix" 2:{1:{1:"a" 2:"b"} 2:{1:2.5 2:1000} 2:{2:2000}}}} 2:` + sum + `}`},
		{"query", `rate(` + selector + `[1m])`, logs.Result{Vector: []logs.VectorSample{{Labels: labels.FromStrings("a", "b"), Point: logs.Point{T: 1000, V: 7}}}},
			"5 5.1 5.1.2 5.1.2.2 5.1.2.2.1 5.1.2.2.2 5.2 5.2.1", `5:{1:{1:"success" 2:{1:"vector" 2:{1:{1:"a" 2:"b"} 2:{1:7 2:1000}}}} 2:{1:{}}}`},
		{"query", `1`, logs.Result{Scalar: &logs.Point{T: 1000, V: 1}}, "5 5.1 5.1.2 5.1.2.2 5.1.2.2.2 5.2 5.2.1", `5:{1:{1:"success" 2:{1:"scalar" 2:{2:{1:1 2:1000}}}} 2:{1:{}}}`},
		{"labels", "", logs.Result{Strings: []string{"a", "b"}, Stats: stats}, "3 3.5 3.5.1", `3:{1:"success" 2:"a" 2:"b" 3:1 5:` + sum + `}`},
		{"label/a/values", "", logs.Result{Strings: []string{"x"}}, "3 3.5 3.5.1", `3:{1:"success" 2:"x" 3:1 5:{1:{}}}`},
		{"series", "", logs.Result{Series: []labels.Labels{labels.FromStrings("a", "b")}}, "2 2.2 2.2.1 2.5 2.5.1", `2:{1:"success" 2:{1:{1:"a" 2:"b"}} 3:1 5:{1:{}}}`},
		{"index/stats", selector, logs.Result{StreamCount: 1, Index: logs.Volume{Pages: 2, Bytes: 3, Entries: 4}}, "4 4.1", `4:{1:{1:1 2:2 3:3 4:4}}`},
		{"index/volume", selector, logs.Result{Vector: []logs.VectorSample{{Labels: labels.FromStrings("a", "b"), Point: logs.Point{T: 1, V: 9}}}}, "5 5.1 5.1.2 5.1.2.2 5.1.2.2.1 5.1.2.2.2 5.2 5.2.1",
			`5:{1:{1:"success" 2:{1:"vector" 2:{1:{1:"a" 2:"b"} 2:{1:9 2:1}}}} 2:{1:{}}}`},
		{"index/volume_range", selector, logs.Result{Matrix: []logs.SampleSeries{{Labels: labels.FromStrings("a", "b"), Points: []logs.Point{{T: 1, V: 9}}}}}, "5 5.1 5.1.2 5.1.2.2 5.1.2.2.1 5.1.2.2.2 5.2 5.2.1",
			`5:{1:{1:"success" 2:{1:"matrix" 2:{1:{1:"a" 2:"b"} 2:{1:9 2:1}}}} 2:{1:{}}}`},
		{"detected_labels", "", logs.Result{Fields: []logs.DetectedField{{Name: "a", Cardinality: 3}}}, "13 13.1 13.1.1", `13:{1:{1:{1:"a" 2:3}}}`},
		{"detected_fields", selector, logs.Result{Fields: []logs.DetectedField{{Name: "a_b", Type: "int", Cardinality: 3, Parsers: []string{"json"}, JSONPath: []string{"a", "b"}}}}, "11 11.1 11.1.1",
			`11:{1:{1:{1:"a_b" 2:"int" 3:3 4:"json" 6:"a" 6:"b"} 2:1000}}`},
		{"detected_field/a/values", selector, logs.Result{Strings: []string{"1", ""}}, "11 11.1", `11:{1:{2:1000 3:"1" 3:""}}`},
		{"patterns", selector, logs.Result{Pattern: []logs.PatternSeries{{Pattern: "x <_>", Level: "info", Points: []logs.Point{{T: 5, V: 2}}}}}, "12 12.1 12.1.1 12.1.1.2", `12:{1:{1:{1:"x <_>" 2:{1:5000 2:2} 3:"info"}}}`},
	} {
		r := httptest.NewRequest(http.MethodGet, "/loki/api/v1/"+c.path+"?start=1&end=2&query="+url.QueryEscape(c.query), nil)
		r.Header.Set("Accept", protoType)
		w := send(New(Options{Runner: &asked{res: c.res}}), r)
		require.Equal(t, 200, w.Code, w.Body)
		require.Equal(t, protoType, w.Header().Get("Content-Type"))
		inner := map[string]bool{"1": true}
		for s := range strings.FieldsSeq(c.inner) {
			inner[s] = true
		}
		require.Equal(t, "{1:{} "+c.want+"}", shown(t, w.Body.Bytes(), "", inner), c.path)
	}
}

// A message of any size has the right length before it.
func TestProtoMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "before")
		content := rapid.SliceOfN(rapid.Byte(), 0, 40_000).Draw(t, "content")
		p := proto(before)
		p.message(9, func(p *proto) { *p = append(*p, content...) })
		want := protowire.AppendBytes(protowire.AppendTag(append([]byte(nil), before...), 9, protowire.BytesType), content)
		require.Equal(t, want, []byte(p))
	})
}
