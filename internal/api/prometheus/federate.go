package prometheus

import (
	"cmp"
	"net/http"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
)

// federate answers the newest sample of every series that match[] selects, with its own time, in
// the exposition format that the client accepts. Native histograms have a form in protobuf only, and are left out
// of text; those with buckets of their own become classic ones.
func (a *API) federate(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "error parsing form values: "+err.Error(), http.StatusBadRequest)
		return
	}
	sets, err := parser.ParseMetricSelectors(r.Form["match[]"])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := a.opts.Now()
	q := &metrics.Query{Kind: metrics.Read, Start: now.Add(-a.opts.LookbackDelta).UnixMilli(), End: now.UnixMilli()}
	for _, ms := range sets {
		q.Matchers = append(q.Matchers, metrics.FromMatchers(ms))
	}
	res, err := a.run(r.Context(), q)
	if err != nil {
		http.Error(w, err.Error(), fault.Status(err))
		return
	}
	format := expfmt.Negotiate(r.Header)
	w.Header().Set("Content-Type", string(format))
	enc := expfmt.NewEncoder(w, format)
	text := !slices.Contains([]expfmt.FormatType{expfmt.TypeProtoDelim, expfmt.TypeProtoText, expfmt.TypeProtoCompact}, format.FormatType())
	for _, family := range families(res.Raw, q.Start, q.End, text) {
		if err := enc.Encode(family); err != nil {
			a.opts.Logger.Debug("write federation", "err", err)
			return
		}
	}
	if c, ok := enc.(expfmt.Closer); ok {
		_ = c.Close()
	}
}

// familyKey tells families apart: a metric that was a float and became a histogram has two, which Prometheus
// reads, and writes, too.
type familyKey struct {
	name string
	kind dto.MetricType
}

// families groups the newest samples in [start, end] by metric name.
func families(series []metrics.ChunkSeries, start, end int64, text bool) []*dto.MetricFamily {
	found := map[familyKey]*dto.MetricFamily{}
	var out []*dto.MetricFamily
	var it chunkenc.Iterator
	set := metrics.NewSeriesSet(series, nil)
	for set.Next() {
		s := set.At()
		it = s.Iterator(it)
		p, ok := newest(it, start, end)
		if !ok || text && p.h != nil && !p.h.UsesCustomBuckets() {
			continue
		}
		key := familyKey{s.Labels().Get(labels.MetricName), p.kind()}
		f := found[key]
		if f == nil {
			f = &dto.MetricFamily{Name: &key.name, Type: key.kind.Enum()}
			found[key], out = f, append(out, f)
		}
		m := p.metric()
		s.Labels().Range(func(l labels.Label) {
			if l.Name != labels.MetricName {
				m.Label = append(m.Label, &dto.LabelPair{Name: &l.Name, Value: &l.Value})
			}
		})
		f.Metric = append(f.Metric, m)
	}
	slices.SortStableFunc(out, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out
}

// point is a sample; h is nil for a float.
type point struct {
	t int64
	v float64
	h *histogram.FloatHistogram
}

// newest returns the last sample of a series in [start, end], unless the series has ended.
func newest(it chunkenc.Iterator, start, end int64) (p point, ok bool) {
	for typ := it.Seek(start); typ != chunkenc.ValNone && it.AtT() <= end; typ = it.Next() {
		switch typ {
		case chunkenc.ValFloat:
			p.h = nil
			p.t, p.v = it.At()
			ok = !value.IsStaleNaN(p.v)
		case chunkenc.ValHistogram, chunkenc.ValFloatHistogram:
			p.t, p.h = it.AtFloatHistogram(p.h)
			ok = !value.IsStaleNaN(p.h.Sum)
		}
	}
	return p, ok
}

func (p point) kind() dto.MetricType {
	switch {
	case p.h == nil:
		return dto.MetricType_UNTYPED
	case p.h.CounterResetHint == histogram.GaugeType:
		return dto.MetricType_GAUGE_HISTOGRAM
	}
	return dto.MetricType_HISTOGRAM
}

func (p point) metric() *dto.Metric {
	m := &dto.Metric{TimestampMs: &p.t}
	switch {
	case p.h == nil:
		m.Untyped = &dto.Untyped{Value: &p.v}
	case p.h.UsesCustomBuckets():
		m.Histogram = classicHistogram(p.h)
	default:
		m.Histogram = nativeHistogram(p.h)
	}
	return m
}

func nativeHistogram(h *histogram.FloatHistogram) *dto.Histogram {
	return &dto.Histogram{SampleCountFloat: &h.Count, SampleSum: &h.Sum, Schema: &h.Schema, ZeroThreshold: &h.ZeroThreshold, ZeroCountFloat: &h.ZeroCount,
		PositiveSpan: spans(h.PositiveSpans), PositiveCount: h.PositiveBuckets, NegativeSpan: spans(h.NegativeSpans), NegativeCount: h.NegativeBuckets}
}

func spans(in []histogram.Span) []*dto.BucketSpan {
	out := make([]*dto.BucketSpan, len(in))
	for i := range in {
		out[i] = &dto.BucketSpan{Offset: &in[i].Offset, Length: &in[i].Length}
	}
	return out
}

// classicHistogram makes cumulative buckets of those with bounds of their own.
func classicHistogram(h *histogram.FloatHistogram) *dto.Histogram {
	out := &dto.Histogram{SampleCountFloat: &h.Count, SampleSum: &h.Sum}
	below := 0.0
	for it := h.PositiveBucketIterator(); it.Next(); {
		b := it.At()
		below += b.Count
		upper, count := b.Upper, below
		out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: &upper, CumulativeCountFloat: &count})
	}
	return out
}
