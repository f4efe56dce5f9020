package prometheus

import (
	"net/http"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
)

// federate answers the newest sample of every series that match[] selects, with its own time, in
// the exposition format that the client accepts. Native histograms have no text form and are left out.
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
	for _, family := range families(res.Raw, q.Start, q.End) {
		if err := enc.Encode(family); err != nil {
			a.opts.Logger.Debug("write federation", "err", err)
			return
		}
	}
	if c, ok := enc.(expfmt.Closer); ok {
		_ = c.Close()
	}
}

// families groups the newest samples in [start, end] by metric name.
func families(series []metrics.ChunkSeries, start, end int64) []*dto.MetricFamily {
	byName := map[string]*dto.MetricFamily{}
	var names []string
	var it chunkenc.Iterator
	set := metrics.NewSeriesSet(series, nil)
	for set.Next() {
		s := set.At()
		it = s.Iterator(it)
		t, v, ok := newest(it, start, end)
		if !ok {
			continue
		}
		name := s.Labels().Get(labels.MetricName)
		f := byName[name]
		if f == nil {
			f = &dto.MetricFamily{Name: &name, Type: dto.MetricType_UNTYPED.Enum()}
			byName[name], names = f, append(names, name)
		}
		m := &dto.Metric{TimestampMs: &t, Untyped: &dto.Untyped{Value: &v}}
		s.Labels().Range(func(l labels.Label) {
			if l.Name != labels.MetricName {
				m.Label = append(m.Label, &dto.LabelPair{Name: &l.Name, Value: &l.Value})
			}
		})
		f.Metric = append(f.Metric, m)
	}
	slices.SortFunc(names, strings.Compare)
	out := make([]*dto.MetricFamily, len(names))
	for i, name := range names {
		out[i] = byName[name]
	}
	return out
}

// newest returns the last float of a series in [start, end], unless the series has ended.
func newest(it chunkenc.Iterator, start, end int64) (t int64, v float64, ok bool) {
	for typ := it.Seek(start); typ != chunkenc.ValNone && it.AtT() <= end; typ = it.Next() {
		if typ != chunkenc.ValFloat {
			ok = false
			continue
		}
		t, v = it.At()
		ok = !value.IsStaleNaN(v)
	}
	return t, v, ok
}
