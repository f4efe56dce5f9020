package prometheus

import (
	"testing"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
)

// Whatever a sender sends, the decoder neither panics nor makes a series that can't be stored; and
// what it takes is what the generated decoder reads.
func FuzzRemoteWriteV1(f *testing.F) {
	h := tsdbutil.GenerateTestHistogram(1)
	f.Add(marshalV1(f, prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{
			{Labels: pairs("__name__", "m", "a", "b"), Samples: []prompb.Sample{{Value: 1, Timestamp: 2}},
				Exemplars: []prompb.Exemplar{{Labels: pairs("trace_id", "x"), Value: 1, Timestamp: 1}}},
			{Labels: pairs("__name__", "h"), Histograms: []prompb.Histogram{prompb.FromIntHistogram(1, h), prompb.FromFloatHistogram(2, h.ToFloat(nil))}},
		},
		Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "m", Help: "h", Unit: "u"}},
	}))
	f.Add(marshalV1(f, prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: pairs("b", "1", "a", "2", "a", "3")}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := getDecoder(newLabelCache(64))
		defer d.put()
		err := d.decodeV1(data)
		checkBatch(t, d)
		var req prompb.WriteRequest
		if err != nil || req.Unmarshal(data) != nil {
			return
		}
		want, got := 0, 0
		for _, ts := range req.Timeseries {
			want += len(ts.Samples)
		}
		for _, s := range d.batch.Series {
			got += len(s.Samples)
		}
		require.LessOrEqual(t, got, want)
		if len(d.rejected.List()) == 0 {
			require.Equal(t, want, got)
		}
	})
}

func FuzzRemoteWriteV2(f *testing.F) {
	h := tsdbutil.GenerateTestHistogram(1)
	f.Add(marshalV2(f, writev2.Request{Symbols: []string{"", "__name__", "m", "a", "help"}, Timeseries: []writev2.TimeSeries{
		{LabelsRefs: []uint32{1, 2, 3, 4}, Samples: []writev2.Sample{{Value: 1, Timestamp: 2, StartTimestamp: 1}},
			Exemplars: []writev2.Exemplar{{LabelsRefs: []uint32{3, 4}, Value: 1, Timestamp: 2}},
			Metadata:  writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_GAUGE, HelpRef: 4}},
		{LabelsRefs: []uint32{1, 2}, Histograms: []writev2.Histogram{writev2.FromIntHistogram(1, h), writev2.FromFloatHistogram(2, h.ToFloat(nil))}},
	}}))
	f.Add(marshalV2(f, writev2.Request{Symbols: []string{"", "x"}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 4294967295}}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := getDecoder(newLabelCache(64))
		defer d.put()
		_ = d.decodeV2(data)
		checkBatch(t, d)
	})
}

func checkBatch(t *testing.T, d *decoder) {
	for _, s := range d.batch.Series {
		_, dup := s.Labels.HasDuplicateLabelNames()
		require.False(t, dup)
		require.NotEmpty(t, s.Labels.Get("__name__"))
		require.Equal(t, s.Labels, s.Labels.WithoutEmpty())
		for _, h := range s.Histograms {
			require.True(t, (h.H == nil) != (h.FH == nil))
		}
	}
}
