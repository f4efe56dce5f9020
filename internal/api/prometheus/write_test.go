package prometheus

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
)

func TestRemoteWriteV1(t *testing.T) {
	s := newServer(t)
	h := tsdbutil.GenerateTestHistogram(2)
	req := prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{
			{Labels: pairs("__name__", "up", "job", "a"), Samples: []prompb.Sample{{Value: 1, Timestamp: at(-time.Minute)}, {Value: 2, Timestamp: at(0)}},
				Exemplars: []prompb.Exemplar{{Labels: pairs("trace_id", "t1"), Value: 2, Timestamp: at(0)}}},
			{Labels: pairs("__name__", "native"), Histograms: []prompb.Histogram{prompb.FromIntHistogram(at(0), h)}},
			{Labels: pairs("__name__", "native_float"), Histograms: []prompb.Histogram{prompb.FromFloatHistogram(at(0), h.ToFloat(nil))}},
		},
		Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_GAUGE, MetricFamilyName: "up", Help: "Is it up?", Unit: "u"}},
	}
	w := s.write(contentV1, marshalV1(t, req))
	require.Equal(t, http.StatusNoContent, w.Code, w.Body)
	require.Empty(t, w.Header().Get(headerSamples), "1.0 has no such headers")
	require.JSONEq(t, `{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[1772362800,"2"]}]}`, s.data("/api/v1/query?query=up"))
	require.Contains(t, s.data("/api/v1/query?query=native"), `"count":"`)
	require.Contains(t, s.data("/api/v1/query?query=native_float"), `"count":"`)
	require.JSONEq(t, `{"up":[{"type":"gauge","unit":"u","help":"Is it up?"}]}`, s.data("/api/v1/metadata"))
	require.Contains(t, s.data("/api/v1/query_exemplars?query=up&start=0&end=9999999999"), `"trace_id":"t1"`)
}

func TestRemoteWriteV2(t *testing.T) {
	s := newServer(t)
	symbols := writev2.NewSymbolTable()
	ls := labels.FromStrings("__name__", "reqs_total", "job", "a")
	refs := symbols.SymbolizeLabels(ls, nil)
	req := writev2.Request{Timeseries: []writev2.TimeSeries{
		{LabelsRefs: refs, Samples: []writev2.Sample{{Value: 5, Timestamp: at(0), StartTimestamp: at(-time.Hour)}},
			Exemplars: []writev2.Exemplar{{LabelsRefs: symbols.SymbolizeLabels(labels.FromStrings("trace_id", "t2"), nil), Value: 1, Timestamp: at(0)}},
			Metadata:  writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: symbols.Symbolize("Requests."), UnitRef: symbols.Symbolize("1")}},
		{LabelsRefs: symbols.SymbolizeLabels(labels.FromStrings("__name__", "native"), nil),
			Histograms: []writev2.Histogram{writev2.FromIntHistogram(at(0), tsdbutil.GenerateTestHistogram(1))}},
	}}
	req.Symbols = symbols.Symbols()
	w := s.write(contentV2, marshalV2(t, req))
	require.Equal(t, http.StatusNoContent, w.Code, w.Body)
	require.Equal(t, []string{"1", "1", "1"}, written(w))
	require.Contains(t, s.data("/api/v1/query?query=reqs_total"), `"5"`)
	require.Contains(t, s.data("/api/v1/query?query=native"), `"histogram"`)
	require.JSONEq(t, `{"reqs_total":[{"type":"counter","unit":"1","help":"Requests."}]}`, s.data("/api/v1/metadata"))

	t.Run("what is bad of a request does not lose the rest", func(t *testing.T) {
		req := writev2.Request{Symbols: []string{"", "__name__", "good", "a", "b"}, Timeseries: []writev2.TimeSeries{
			{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Value: 1, Timestamp: at(0)}}},
			{LabelsRefs: []uint32{1, 99}, Samples: []writev2.Sample{{Value: 1, Timestamp: at(0)}}},
			{LabelsRefs: []uint32{1, 2, 3}, Samples: []writev2.Sample{{Value: 1, Timestamp: at(0)}}},
			{LabelsRefs: []uint32{3, 4}, Samples: []writev2.Sample{{Value: 1, Timestamp: at(0)}}},
			{LabelsRefs: []uint32{1, 4}},
		}}
		w := s.write(contentV2, marshalV2(t, req))
		require.Equal(t, http.StatusBadRequest, w.Code)
		require.Equal(t, []string{"1", "0", "0"}, written(w))
		require.Contains(t, w.Body.String(), "symbol reference 99 is out of range")
		require.Contains(t, w.Body.String(), "must contain at least one sample or histogram")
		require.Contains(t, s.data("/api/v1/query?query=good"), `"1"`)
	})
	t.Run("symbols behind the series", func(t *testing.T) {
		symbols := marshalV2(t, writev2.Request{Symbols: []string{"", "__name__", "late"}})
		series := marshalV2(t, writev2.Request{Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Value: 1, Timestamp: at(0)}}}}})
		w := s.write(contentV2, append(series, symbols...))
		require.Equal(t, http.StatusNoContent, w.Code, w.Body)
	})
	t.Run("no empty symbol", func(t *testing.T) {
		w := s.write(contentV2, marshalV2(t, writev2.Request{Symbols: []string{"a"}}))
		require.Equal(t, http.StatusBadRequest, w.Code)
		require.Equal(t, []string{"0", "0", "0"}, written(w))
	})
}

func written(w *httptest.ResponseRecorder) []string {
	h := w.Header()
	return []string{h.Get(headerSamples), h.Get(headerHistograms), h.Get(headerExemplars)}
}

// The points of the specifications that are about labels and samples: what is bad is named, the rest
// is stored.
func TestRemoteWriteRejects(t *testing.T) {
	now := prompb.Sample{Value: 1, Timestamp: at(0)}
	cases := []struct {
		name   string
		series prompb.TimeSeries
		text   string // empty: accepted
	}{
		{"no name", series(pairs("job", "a"), now), `{job="a"}: the label __name__ is missing`},
		{"empty name", series(pairs("__name__", ""), now), `the label __name__ is missing`},
		{"no labels", series(nil, now), `got {}: the label __name__ is missing`},
		{"empty label name", series(pairs("__name__", "m", "", "x"), now), "a label name is empty"},
		{"duplicate label", series(pairs("__name__", "m", "a", "1", "a", "2"), now), "duplicated label a"},
		{"duplicate label apart", series(pairs("__name__", "m", "a", "1", "b", "2", "a", "1"), now), "duplicated label a"},
		{"invalid UTF-8 in a value", series(pairs("__name__", "m", "a", "\xff"), now), "not valid UTF-8"},
		{"invalid UTF-8 in a name", series(pairs("__name__", "m", "\xff", "a"), now), "not valid UTF-8"},
		{"unsorted labels are sorted", series(pairs("job", "a", "__name__", "m"), now), ""},
		{"empty values are dropped", series(pairs("__name__", "m", "gone", "", "job", "a"), now), ""},
		{"UTF-8 names", series(pairs("__name__", "http.server duration", "k8s.pod", "ü"), now), ""},
		{"too old", series(pairs("__name__", "m", "job", "old"), prompb.Sample{Timestamp: at(-24 * time.Hour)}), "too old sample"},
		{"absurd future", series(pairs("__name__", "m", "job", "new"), prompb.Sample{Timestamp: 1 << 60}), "too far in the future"},
		{"absurd past", series(pairs("__name__", "m", "job", "old"), prompb.Sample{Timestamp: -1 << 63}), "out of bounds"},
		{"bad histogram", prompb.TimeSeries{Labels: pairs("__name__", "h"), Histograms: []prompb.Histogram{{
			Count: &prompb.Histogram_CountInt{CountInt: 1}, PositiveSpans: []prompb.BucketSpan{{Length: 1 << 31}}, Timestamp: at(0)}}}, "for series {__name__=\"h\"}"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			w := s.writeV1(series(pairs("__name__", "good"), prompb.Sample{Value: 7, Timestamp: at(0)}), c.series)
			require.Contains(t, s.data("/api/v1/query?query=good"), `"7"`, "the good series is stored in any case")
			if c.text == "" {
				require.Equal(t, http.StatusNoContent, w.Code, w.Body)
				return
			}
			require.Equal(t, http.StatusBadRequest, w.Code)
			require.Contains(t, w.Body.String(), c.text)
		})
	}
}

func TestRemoteWriteSortsAndDropsEmpty(t *testing.T) {
	s := newServer(t)
	w := s.writeV1(series(pairs("zone", "z", "gone", "", "__name__", "m", "B", "1"), prompb.Sample{Value: 1, Timestamp: at(0)}))
	require.Equal(t, http.StatusNoContent, w.Code, w.Body)
	require.JSONEq(t, `[{"__name__":"m","B":"1","zone":"z"}]`, s.data("/api/v1/series?match[]=m"))
}

func TestRemoteWriteProtocol(t *testing.T) {
	good := marshalV1(t, prompb.WriteRequest{Timeseries: []prompb.TimeSeries{series(pairs("__name__", "m"), prompb.Sample{Timestamp: at(0)})}})
	enc, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	defer enc.Close()
	cases := []struct {
		name, content, encoding string
		body                    []byte
		status                  int
	}{
		{"1.0", contentV1, "snappy", snappy.Encode(nil, good), 204},
		{"1.0 by name", contentV1 + ";proto=prometheus.WriteRequest", "snappy", snappy.Encode(nil, good), 204},
		{"no content type", "", "snappy", snappy.Encode(nil, good), 204},
		{"no encoding named", contentV1, "", snappy.Encode(nil, good), 204},
		{"zstd", contentV1, "zstd", enc.EncodeAll(good, nil), 204},
		{"empty request", contentV1, "snappy", snappy.Encode(nil, nil), 204},
		{"unknown message", contentV1 + ";proto=io.prometheus.write.v3.Request", "snappy", snappy.Encode(nil, good), 415},
		{"JSON", "application/json", "snappy", snappy.Encode(nil, good), 415},
		{"broken content type", "application/x-protobuf;;=", "snappy", snappy.Encode(nil, good), 415},
		{"unknown encoding", contentV1, "br", good, 415},
		{"not snappy", contentV1, "snappy", []byte("hello, world"), 400},
		{"no body", contentV1, "snappy", nil, 400},
		{"not protobuf", contentV1, "snappy", snappy.Encode(nil, []byte("hello, world")), 400},
		{"cut off", contentV1, "snappy", snappy.Encode(nil, good[:len(good)-1]), 400},
		{"snappy bomb", contentV1, "snappy", []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}, 413},
		{"too large", contentV1, "snappy", snappy.Encode(nil, bytes.Repeat([]byte{0}, 2<<20)), 413},
	}
	s := newServer(t, func(o *Options) { o.Limits = body.Limits{Compressed: 1 << 20, Decompressed: 1 << 20} })
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, path := range []string{"/api/v1/write", "/api/v1/push", "/api/v1/receive"} {
				r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(c.body))
				if c.content != "" {
					r.Header.Set("Content-Type", c.content)
				}
				if c.encoding != "" {
					r.Header.Set("Content-Encoding", c.encoding)
				}
				w := s.do(r)
				require.Equal(t, c.status, w.Code, w.Body)
			}
		})
	}
	require.Equal(t, http.StatusMethodNotAllowed, s.get("/api/v1/write").Code)
}

func TestRemoteWriteRetriable(t *testing.T) {
	for _, c := range []struct {
		class  fault.Class
		status int
		after  string
	}{
		{fault.RateLimited, 429, "3"}, {fault.Unavailable, 503, "3"}, {fault.Internal, 500, ""}, {fault.TooLarge, 413, ""},
	} {
		s := newServer(t)
		s.push = func() error {
			e := &fault.Error{Class: c.class, Err: http.ErrAbortHandler}
			if c.after != "" {
				e.RetryAfter = 2500 * time.Millisecond
			}
			return e
		}
		w := s.writeV1(series(pairs("__name__", "m"), prompb.Sample{Timestamp: at(0)}))
		require.Equal(t, c.status, w.Code)
		require.Equal(t, c.after, w.Header().Get("Retry-After"))
	}
}

func TestRemoteWriteKeepsTenantsApart(t *testing.T) {
	s := newServer(t)
	for id, v := range map[string]float64{"one": 1, "two": 2} {
		b := snappy.Encode(nil, marshalV1(t, prompb.WriteRequest{Timeseries: []prompb.TimeSeries{series(pairs("__name__", "m", "owner", id), prompb.Sample{Value: v, Timestamp: at(0)})}}))
		r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(b))
		r.Header.Set("X-Scope-OrgID", id)
		require.Equal(t, http.StatusNoContent, s.do(r).Code)
	}
	for _, path := range []string{
		"/api/v1/query?query=m&time=1772362800", "/api/v1/query_range?query=m&start=1772362800&end=1772362800&step=1", "/api/v1/series?match[]=m",
		"/api/v1/label/owner/values", "/federate?match[]=m", "/api/v1/status/tsdb",
	} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("X-Scope-OrgID", "one")
		got := s.do(r).Body.String()
		require.Contains(t, got, "one", path)
		require.NotContains(t, got, "two", path)
	}
	require.NotContains(t, s.get("/api/v1/series?match[]=m").Body.String(), "owner")
}

func TestDecoderIsReusable(t *testing.T) {
	big := make([]prompb.TimeSeries, 100)
	for i := range big {
		big[i] = series(pairs("__name__", "m", "i", strings.Repeat("x", i+1)), prompb.Sample{Value: float64(i), Timestamp: int64(i)}, prompb.Sample{Timestamp: 1 << 40})
	}
	body := marshalV1(t, prompb.WriteRequest{Timeseries: big})
	for range 3 {
		d := getDecoder(newLabelCache(64))
		require.NoError(t, d.decodeV1(body))
		require.Len(t, d.batch.Series, 100)
		for i, s := range d.batch.Series {
			require.Equal(t, float64(i), s.Samples[0].V)
			require.Len(t, s.Samples, 2)
			require.Equal(t, i+1, len(s.Labels.Get("i")))
		}
		require.Empty(t, d.rejected.List())
		d.put()
	}
}
