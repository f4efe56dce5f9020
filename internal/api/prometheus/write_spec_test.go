package prometheus

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
)

// v2 builds requests of remote write 2.0.
type v2 struct {
	symbols writev2.SymbolsTable
	req     writev2.Request
}

func newV2() *v2 { return &v2{symbols: writev2.NewSymbolTable()} }

func (b *v2) refs(pairs ...string) []uint32 {
	var out []uint32
	for _, s := range pairs {
		out = append(out, b.symbols.Symbolize(s))
	}
	return out
}

// add appends a series with the labels and what fill puts into it.
func (b *v2) add(fill func(*writev2.TimeSeries), pairs ...string) *v2 {
	ts := writev2.TimeSeries{LabelsRefs: b.refs(pairs...)}
	fill(&ts)
	b.req.Timeseries = append(b.req.Timeseries, ts)
	return b
}

func (b *v2) sample(t int64, v float64, pairs ...string) *v2 {
	return b.add(func(ts *writev2.TimeSeries) { ts.Samples = []writev2.Sample{{Timestamp: t, Value: v}} }, pairs...)
}

func (b *v2) exemplar(e writev2.Exemplar) *v2 {
	return b.add(func(ts *writev2.TimeSeries) {
		ts.Samples = []writev2.Sample{{Timestamp: at(0), Value: 1}}
		ts.Exemplars = []writev2.Exemplar{e}
	}, "__name__", "m")
}

func (b *v2) send(s *server) *httptest.ResponseRecorder {
	b.req.Symbols = b.symbols.Symbols()
	return s.write(contentV2, marshalV2(s.t, b.req))
}

// The statements of the 2.0 specification about the answer to a request, one by one: status, written
// samples, histograms and exemplars, and what the text says.
func TestRemoteWriteTwoStatements(t *testing.T) {
	hist := tsdbutil.GenerateTestHistogram(3)
	histograms := func(hs ...writev2.Histogram) func(*writev2.TimeSeries) {
		return func(ts *writev2.TimeSeries) { ts.Histograms = hs }
	}
	cases := []struct {
		name    string
		request func(b *v2) *v2
		status  int
		written []string
		text    string
	}{
		{"all written: 204, empty body", func(b *v2) *v2 { return b.sample(at(0), 1, "__name__", "m") }, 204, []string{"1", "0", "0"}, ""},
		{"nothing sent is written", func(b *v2) *v2 { return b }, 204, []string{"0", "0", "0"}, ""},
		{"each kind is counted", func(b *v2) *v2 {
			b.add(histograms(writev2.FromIntHistogram(at(-time.Minute), hist), writev2.FromIntHistogram(at(0), hist)), "__name__", "h")
			b.exemplar(writev2.Exemplar{LabelsRefs: b.refs("trace_id", "x"), Value: 1, Timestamp: at(0)})
			return b.sample(at(0), 1, "__name__", "n")
		}, 204, []string{"2", "2", "1"}, ""},
		{"partial write: the amount and the reason", func(b *v2) *v2 {
			return b.sample(at(0), 1, "__name__", "good").sample(at(0), 1, "job", "a").sample(at(0), 1, "job", "b").sample(at(0), 1, "job", "c")
		}, 400, []string{"1", "0", "0"}, "2 more: invalid_labels"},
		{"one series in several entries", func(b *v2) *v2 {
			return b.sample(at(0), 1, "__name__", "m").sample(at(time.Second), 2, "__name__", "m")
		}, 204, []string{"2", "0", "0"}, ""},
		{"one time with two values in several entries", func(b *v2) *v2 {
			return b.sample(at(0), 1, "__name__", "m").sample(at(0), 2, "__name__", "m")
		}, 400, []string{"1", "0", "0"}, "duplicate sample for timestamp"},
		{"labels must be given", func(b *v2) *v2 { return b.sample(at(0), 1) }, 400, []string{"0", "0", "0"}, "__name__ is missing"},
		{"labels come in pairs", func(b *v2) *v2 { return b.sample(at(0), 1, "__name__", "m", "a") }, 400, []string{"0", "0", "0"}, "labelRefs length 3"},
		{"references exist", func(b *v2) *v2 {
			return b.add(func(ts *writev2.TimeSeries) {
				ts.LabelsRefs, ts.Samples = []uint32{1, 7}, []writev2.Sample{{Timestamp: at(0)}}
			})
		}, 400, []string{"0", "0", "0"}, "reference 1 is out of range"},
		{"references of metadata exist", func(b *v2) *v2 {
			return b.sample(at(0), 1, "__name__", "good").add(func(ts *writev2.TimeSeries) {
				ts.Samples, ts.Metadata.HelpRef = []writev2.Sample{{Timestamp: at(0)}}, 99
			}, "__name__", "m")
		}, 400, []string{"1", "0", "0"}, "reference 99 is out of range"},
		{"references of exemplars exist", func(b *v2) *v2 {
			return b.exemplar(writev2.Exemplar{LabelsRefs: []uint32{1, 99}, Timestamp: at(0)})
		}, 400, []string{"1", "0", "0"}, "reference 99 is out of range"},
		{"samples or histograms are given", func(b *v2) *v2 { return b.add(func(*writev2.TimeSeries) {}, "__name__", "m") }, 400, []string{"0", "0", "0"}, "at least one sample or histogram"},
		{"exemplars alone are not enough", func(b *v2) *v2 {
			return b.add(func(ts *writev2.TimeSeries) { ts.Exemplars = []writev2.Exemplar{{Timestamp: at(0)}} }, "__name__", "m")
		}, 400, []string{"0", "0", "0"}, "at least one sample or histogram"},
		{"exemplars have timestamps", func(b *v2) *v2 { return b.exemplar(writev2.Exemplar{Value: 1}) }, 400, []string{"1", "0", "0"}, "the timestamp is missing"},
		{"exemplars need no labels", func(b *v2) *v2 { return b.exemplar(writev2.Exemplar{Value: 1, Timestamp: at(0)}) }, 204, []string{"1", "0", "1"}, ""},
		{"exemplars of the future", func(b *v2) *v2 {
			return b.exemplar(writev2.Exemplar{Value: 1, Timestamp: at(time.Hour)})
		}, 400, []string{"1", "0", "0"}, "too far in the future"},
		{"repeated label names", func(b *v2) *v2 { return b.sample(at(0), 1, "__name__", "m", "a", "1", "a", "2") }, 400, []string{"0", "0", "0"}, "duplicated label a"},
		{"empty label names", func(b *v2) *v2 { return b.sample(at(0), 1, "__name__", "m", "", "1") }, 400, []string{"0", "0", "0"}, "a label name is empty"},
		{"labels out of order are put in order", func(b *v2) *v2 { return b.sample(at(0), 1, "b", "1", "a", "2", "__name__", "m") }, 204, []string{"1", "0", "0"}, ""},
		{"any UTF-8 in names and values", func(b *v2) *v2 { return b.sample(at(0), 1, "__name__", "météo du jour", "k8s.pod", "☂") }, 204, []string{"1", "0", "0"}, ""},
		{"nothing but UTF-8", func(b *v2) *v2 { return b.sample(at(0), 1, "__name__", "m", "a", "\xc3") }, 400, []string{"0", "0", "0"}, "not valid UTF-8"},
		{"unspecified metadata is no fault", func(b *v2) *v2 { return b.sample(at(0), 1, "__name__", "m") }, 204, []string{"1", "0", "0"}, ""},
		{"start timestamps may lack", func(b *v2) *v2 {
			return b.add(func(ts *writev2.TimeSeries) {
				ts.Samples, ts.Metadata.Type = []writev2.Sample{{Timestamp: at(0), Value: 1}}, writev2.Metadata_METRIC_TYPE_COUNTER
			}, "__name__", "c_total")
		}, 204, []string{"1", "0", "0"}, ""},
		{"a histogram without consistent buckets", func(b *v2) *v2 {
			bad := writev2.FromIntHistogram(at(0), hist)
			bad.PositiveDeltas = bad.PositiveDeltas[1:]
			return b.add(histograms(bad, writev2.FromIntHistogram(at(0), hist)), "__name__", "h")
		}, 400, []string{"0", "1", "0"}, "spans"},
		{"a histogram of a schema to come", func(b *v2) *v2 {
			bad := writev2.FromIntHistogram(at(0), hist)
			bad.Schema = 42
			return b.add(histograms(bad), "__name__", "h")
		}, 400, []string{"0", "0", "0"}, "schema 42"},
		{"samples and histograms of one entry", func(b *v2) *v2 {
			return b.add(func(ts *writev2.TimeSeries) {
				ts.Samples = []writev2.Sample{{Timestamp: at(0), Value: 1}}
				ts.Histograms = []writev2.Histogram{writev2.FromIntHistogram(at(time.Second), hist)}
			}, "__name__", "m")
		}, 204, []string{"1", "1", "0"}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := c.request(newV2()).send(newServer(t))
			require.Equal(t, c.status, w.Code, w.Body)
			require.Equal(t, c.written, written(w))
			require.Contains(t, w.Body.String(), c.text)
			if c.status == http.StatusNoContent {
				require.Empty(t, w.Body.String())
			}
		})
	}
}

func TestRemoteWriteUnknownFields(t *testing.T) {
	s := newServer(t)
	b := newV2().sample(at(0), 1, "__name__", "m")
	b.req.Symbols = b.symbols.Symbols()
	// Field 15, as bytes, as a varint, and both sizes of fixed numbers: what a later 2.x may add.
	later := "\x7a\x02hi" + "\x78\x05" + "\x7d1234" + "\x7912345678"
	w := s.write(contentV2, append([]byte(later), marshalV2(t, b.req)...))
	require.Equal(t, http.StatusNoContent, w.Code, w.Body)
	require.Equal(t, []string{"1", "0", "0"}, written(w))
}

// The reserved fields make a 2.0 request that is announced as 1.0 an empty one, and the other way round. It is refused: a
// 204 would say that what it holds is stored.
func TestRemoteWriteWrongMessage(t *testing.T) {
	s := newServer(t)
	b := newV2().sample(at(0), 1, "__name__", "m")
	b.req.Symbols = b.symbols.Symbols()
	w := s.write(contentV1, marshalV2(t, b.req))
	require.Equal(t, http.StatusBadRequest, w.Code, w.Body)
	require.Contains(t, w.Body.String(), "its Content-Type says prometheus.WriteRequest")
	w = s.write(contentV2, marshalV1(t, prompb.WriteRequest{Timeseries: []prompb.TimeSeries{series(pairs("__name__", "m"), prompb.Sample{Timestamp: at(0)})}}))
	require.Equal(t, http.StatusBadRequest, w.Code, w.Body)
	require.Contains(t, w.Body.String(), "its Content-Type says io.prometheus.write.v2.Request")
	require.Equal(t, `[]`, s.data("/api/v1/series?match[]=m"))
}

// After 5xx and 429 a sender repeats the whole request, whatever had been written of it: the repetition is
// answered as the first time.
func TestRemoteWriteIsIdempotent(t *testing.T) {
	s := newServer(t)
	b := newV2().sample(at(0), 1, "__name__", "m").exemplar(writev2.Exemplar{Value: 1, Timestamp: at(0)})
	b.add(func(ts *writev2.TimeSeries) {
		ts.Histograms = []writev2.Histogram{writev2.FromIntHistogram(at(0), tsdbutil.GenerateTestHistogram(1))}
	}, "__name__", "h")
	for range 3 {
		w := b.send(s)
		require.Equal(t, http.StatusNoContent, w.Code, w.Body)
		require.Equal(t, []string{"2", "1", "1"}, written(w))
	}
	require.Contains(t, s.data("/api/v1/query?query=count_over_time(m[5m])"), `"1"`)
}

func TestRemoteWriteFailedPushHasNothingWritten(t *testing.T) {
	s := newServer(t)
	s.push = func() error { return fault.Errorf(fault.Internal, "the disk is gone") }
	w := newV2().sample(at(0), 1, "__name__", "m").send(s)
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Equal(t, []string{"0", "0", "0"}, written(w))
	require.Contains(t, w.Body.String(), "the disk is gone")
}

func TestRemoteWriteUnsupportedIsBeforeNegotiation(t *testing.T) {
	s := newServer(t)
	w := s.write("application/x-protobuf;proto=io.prometheus.write.v9.Request", nil)
	require.Equal(t, http.StatusUnsupportedMediaType, w.Code)
	require.Equal(t, []string{"", "", ""}, written(w))
	require.Contains(t, w.Body.String(), messageV1)
	require.Contains(t, w.Body.String(), messageV2)
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", strings.NewReader("x"))
	r.Header.Set("Content-Type", contentV2)
	r.Header.Set("Content-Encoding", "lz4")
	w = s.do(r)
	require.Equal(t, http.StatusUnsupportedMediaType, w.Code)
}

// The text of the media type is compared as RFC 9110 says.
func TestRemoteWriteContentTypes(t *testing.T) {
	s := newServer(t)
	b := newV2().sample(at(0), 1, "__name__", "m")
	b.req.Symbols = b.symbols.Symbols()
	for _, content := range []string{
		contentV2, "Application/X-Protobuf; Proto=io.prometheus.write.v2.Request", `application/x-protobuf; charset=utf-8; proto="io.prometheus.write.v2.Request"`,
	} {
		w := s.write(content, marshalV2(t, b.req))
		require.Equal(t, http.StatusNoContent, w.Code, "%s: %s", content, w.Body)
		require.Equal(t, "1", w.Header().Get(headerSamples), content)
	}
}

func TestRemoteWriteStaleMarkers(t *testing.T) {
	s := newServer(t)
	stale := math.Float64frombits(value.StaleNaN)
	require.Equal(t, uint64(0x7ff0000000000002), math.Float64bits(stale), "the value of the specification")
	require.Equal(t, http.StatusNoContent, newV2().sample(at(-time.Minute), 1, "__name__", "m").send(s).Code)
	require.Contains(t, s.data("/api/v1/query?query=m"), `"1"`)
	require.Equal(t, http.StatusNoContent, newV2().sample(at(0), stale, "__name__", "m").send(s).Code)
	require.Contains(t, s.data("/api/v1/query?query=m"), `"result":[]`)
	// An ordinary NaN is a value.
	require.Equal(t, http.StatusNoContent, newV2().sample(at(0), math.NaN(), "__name__", "n").send(s).Code)
	require.Contains(t, s.data("/api/v1/query?query=n"), `"NaN"`)
}

// start_timestamp 0 is no start, 1 ms before and after are; the zero sample is written once.
func TestRemoteWriteStartTimestamps(t *testing.T) {
	s := newServer(t, func(*Options) {})
	var got []metrics.Sample
	s.seen = func(b *metrics.Batch) {
		for _, e := range b.Series {
			got = append(got, e.Samples...)
		}
	}
	for _, start := range []int64{0, 1, -1, at(-time.Hour)} {
		w := newV2().add(func(ts *writev2.TimeSeries) {
			ts.Samples = []writev2.Sample{{Timestamp: at(0), Value: 5, StartTimestamp: start}}
		}, "__name__", "c_total").send(s)
		require.Equal(t, http.StatusNoContent, w.Code, w.Body)
		require.Equal(t, []metrics.Sample{{Start: start, T: at(0), V: 5}}, got)
		got = nil
	}
}

// Histograms with exponential and custom buckets, of integers and floats, come back as they were sent.
func TestRemoteWriteHistograms(t *testing.T) {
	custom := tsdbutil.GenerateTestCustomBucketsHistogram(4)
	cases := []struct {
		name string
		h    *histogram.Histogram
		f    *histogram.FloatHistogram
	}{
		{"integers", tsdbutil.GenerateTestHistogram(4), nil},
		{"floats", nil, tsdbutil.GenerateTestFloatHistogram(4)},
		{"gauge", tsdbutil.GenerateTestGaugeHistogram(4), nil},
		{"custom buckets", custom, nil},
		{"custom buckets of floats", nil, custom.ToFloat(nil)},
	}
	for _, c := range cases {
		for _, version := range []string{contentV1, contentV2} {
			t.Run(c.name+" "+version, func(t *testing.T) {
				s := newServer(t)
				var got []metrics.HistogramSample
				s.seen = func(b *metrics.Batch) { got = append(got, b.Series[0].Histograms...) }
				var w *httptest.ResponseRecorder
				if version == contentV1 {
					var h prompb.Histogram
					if c.h != nil {
						h = prompb.FromIntHistogram(at(0), c.h)
						h.CustomValues = c.h.CustomValues // the library forgets them
					} else {
						h = prompb.FromFloatHistogram(at(0), c.f)
						h.CustomValues = c.f.CustomValues
					}
					w = s.writeV1(prompb.TimeSeries{Labels: pairs("__name__", "h"), Histograms: []prompb.Histogram{h}})
				} else {
					var h writev2.Histogram
					if c.h != nil {
						h = writev2.FromIntHistogram(at(0), c.h)
					} else {
						h = writev2.FromFloatHistogram(at(0), c.f)
					}
					w = newV2().add(func(ts *writev2.TimeSeries) { ts.Histograms = []writev2.Histogram{h} }, "__name__", "h").send(s)
				}
				require.Equal(t, http.StatusNoContent, w.Code, w.Body)
				require.Len(t, got, 1)
				if c.h != nil {
					require.True(t, c.h.Equals(got[0].H), "%s, sent %s", got[0].H, c.h)
				} else {
					require.True(t, c.f.Equals(got[0].FH), "%s, sent %s", got[0].FH, c.f)
				}
				require.Contains(t, s.data("/api/v1/query?query=histogram_count(h)"), strconv.Itoa(int(countOf(c.h, c.f))))
			})
		}
	}
}

func countOf(h *histogram.Histogram, f *histogram.FloatHistogram) float64 {
	if h != nil {
		return float64(h.Count)
	}
	return f.Count
}

// Every type of metric of either version has its name in the metadata API.
func TestRemoteWriteMetadataTypes(t *testing.T) {
	names := []string{"unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"}
	for i, want := range names {
		t.Run(want, func(t *testing.T) {
			s := newServer(t)
			w := newV2().add(func(ts *writev2.TimeSeries) {
				ts.Samples = []writev2.Sample{{Timestamp: at(0)}}
				ts.Metadata.Type = writev2.Metadata_MetricType(i)
			}, "__name__", "two").send(s)
			require.Equal(t, http.StatusNoContent, w.Code, w.Body)
			w = s.write(contentV1, marshalV1(t, prompb.WriteRequest{Metadata: []prompb.MetricMetadata{{MetricFamilyName: "one", Type: prompb.MetricMetadata_MetricType(i), Help: "h"}}}))
			require.Equal(t, http.StatusNoContent, w.Code, w.Body)
			require.Contains(t, s.data("/api/v1/metadata?metric=one"), `"type":"`+want+`"`)
			if i > 0 { // a series that says nothing about itself leaves no trace
				require.Contains(t, s.data("/api/v1/metadata?metric=two"), `"type":"`+want+`"`)
			}
		})
	}
}

// 1.0 says nothing of exemplars: what is wrong with them is not the sender's to hear.
func TestRemoteWriteOneExemplars(t *testing.T) {
	s := newServer(t)
	ts := series(pairs("__name__", "m"), prompb.Sample{Value: 1, Timestamp: at(0)})
	ts.Exemplars = []prompb.Exemplar{{Labels: pairs("trace_id", "\xff"), Timestamp: at(0)}, {Labels: pairs("trace_id", "a"), Value: 3, Timestamp: at(0)}}
	w := s.writeV1(ts)
	require.Equal(t, http.StatusNoContent, w.Code, w.Body)
	require.Contains(t, s.data("/api/v1/query_exemplars?query=m&start=0&end=9999999999"), `"value":"3"`)
}

// The framed format is for streams and not for remote write; a body in it is understood all the same.
func TestRemoteWriteFramedSnappy(t *testing.T) {
	s := newServer(t)
	var framed bytes.Buffer
	z := snappy.NewBufferedWriter(&framed)
	_, err := z.Write(marshalV1(t, prompb.WriteRequest{Timeseries: []prompb.TimeSeries{series(pairs("__name__", "m"), prompb.Sample{Value: 1, Timestamp: at(0)})}}))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", &framed)
	r.Header.Set("Content-Encoding", "snappy")
	require.Equal(t, http.StatusNoContent, s.do(r).Code)
	require.Contains(t, s.data("/api/v1/query?query=m"), `"1"`)
}

// What another replica of a pair stores is accepted, and counts as written: a sender would report it as lost.
func TestRemoteWriteOfAReplica(t *testing.T) {
	s := newServer(t, func(o *Options) { o.Pusher = otherReplica{} })
	w := newV2().sample(at(0), 1, "__name__", "m", "cluster", "eu", "__replica__", "r2").send(s)
	require.Equal(t, http.StatusAccepted, w.Code)
	require.Equal(t, []string{"1", "0", "0"}, written(w))
	require.Empty(t, w.Body.String())
	w = newV2().sample(at(0), 1, "__name__", "m", "__replica__", "r2").sample(at(0), 1, "__name__", "n").send(s)
	require.Equal(t, http.StatusNoContent, w.Code, "some of it is stored")
}

// otherReplica drops series with a replica.
type otherReplica struct{}

func (otherReplica) PushMetrics(_ context.Context, b *metrics.Batch) (r metrics.PushResult, _ error) {
	for _, s := range b.Series {
		r.Samples += len(s.Samples)
		if s.Labels.Has("__replica__") {
			r.Deduplicated += len(s.Samples)
		}
	}
	return r, nil
}
