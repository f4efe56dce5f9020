package traceql

import (
	"math"
	"slices"
	"sort"

	"github.com/hune-io/hune/internal/traces"
)

// instantMerge puts a metrics query for one instant together from queries for parts of its range. Only functions whose
// parts make the whole to the last digit are cut: numbers of spans, least and greatest values, and histograms, from which
// quantiles are computed here.
type instantMerge struct {
	q         *traces.Query
	query     *Query
	text      string // of the pieces
	w         window
	maxGroups int

	pieces []window // newest first
	series map[string]*instantSeries
}

// instantSeries is what the pieces say of one series; of a histogram or quantiles of one group.
type instantSeries struct {
	labels  []traces.Attribute
	value   float64
	hist    *histogram
	seconds bool // hist is of durations
}

// newInstantMerge returns nil for a query that is one job.
func newInstantMerge(e *Engine, q *traces.Query) *instantMerge {
	p, err := parseProgram(q.Expr)
	if err != nil || p.need.id != "" {
		return nil
	}
	w, err := windowOf(p, q)
	if err != nil || exemplarBudget(p.query, q.Exemplars) > 0 {
		return nil
	}
	piece := *p.query
	piece.Second = nil
	switch p.query.Metrics.Fn {
	case "rate", "count_over_time", "min_over_time", "max_over_time", "histogram_over_time":
	case "quantile_over_time":
		m := *p.query.Metrics
		m.Fn, m.Quantiles = "histogram_over_time", nil
		piece.Metrics = &m
	default:
		return nil
	}
	return &instantMerge{q: q, query: p.query, text: piece.String(), w: w, maxGroups: min(e.opts.MaxSeries, maxSamples), series: map[string]*instantSeries{}}
}

func (*instantMerge) atOnce(int) int { return math.MaxInt }

func (m *instantMerge) cut(n int, forced bool, data traces.Range) []*traces.Query {
	from, to := m.q.Start, m.q.End
	if data.End > from && data.Start < to {
		from, to = max(from, data.Start-min(data.Start, 1)), min(to, data.End)
	}
	length := to - from
	if !forced {
		n = int(min(uint64(n), max(length/leastPiece, 1)))
	}
	n = int(min(uint64(n), max(length, 1)))
	whole := traces.Range{Start: m.w.from() + 1, End: m.w.to()}
	var out []*traces.Query
	end := m.q.End
	for i := n - 1; i >= 0; i-- {
		start := m.q.Start
		if i > 0 {
			start = from + uint64(i)*(length/uint64(n))
		}
		piece := *m.q
		piece.Expr, piece.Whole, piece.Exemplars, piece.Start, piece.End = m.text, &whole, 0, start, end
		w, err := instantWindow(start, end)
		if err != nil {
			continue // there is nothing between the two
		}
		out, m.pieces, end = append(out, &piece), append(m.pieces, w), start
	}
	return out
}

func (m *instantMerge) isHistogram() bool {
	return m.query.Metrics.Fn == "quantile_over_time" || m.query.Metrics.Fn == "histogram_over_time"
}

func (m *instantMerge) add(i int, r *traces.Result) (bool, error) {
	for k := range r.Series {
		in := &r.Series[k]
		if len(in.Samples) == 0 {
			continue
		}
		labels := in.Labels
		if m.isHistogram() {
			labels = labels[:len(labels)-1] // without the bucket
		}
		key := labelsKey(labels)
		s := m.series[key]
		if s == nil {
			if len(m.series) >= m.maxGroups {
				return false, tooManySeries(m.maxGroups)
			}
			s = &instantSeries{labels: labels, value: math.NaN()}
			m.series[key] = s
		}
		if v := in.Samples[0].V; m.isHistogram() {
			s.addBucket(&in.Labels[len(in.Labels)-1], v)
		} else {
			s.value = m.join(s.value, v, m.pieces[i])
		}
	}
	return true, nil
}

// join adds what a piece says to a value, NaN for none. Rates are added as the numbers of spans that they were made of.
func (m *instantMerge) join(value, v float64, piece window) float64 {
	if m.query.Metrics.Fn == "rate" {
		v = math.Round(v * piece.seconds)
	}
	switch {
	case math.IsNaN(value):
		return v
	case m.query.Metrics.Fn == "min_over_time":
		return math.Min(value, v)
	case m.query.Metrics.Fn == "max_over_time":
		return math.Max(value, v)
	}
	return value + v
}

// addBucket adds a number of values to the bucket that a label names by its edge, in seconds where it is no power of two.
func (s *instantSeries) addBucket(label *traces.Attribute, n float64) {
	if s.hist == nil {
		s.hist = &histogram{}
	}
	edge := fromAttribute(label).number()
	for b := range s.hist {
		switch math.Ldexp(1, b) {
		case edge:
			s.hist[b] += n
			return
		default:
			if math.Ldexp(1, b)/1e9 == edge {
				s.hist[b] += n
				s.seconds = true
				return
			}
		}
	}
}

func (m *instantMerge) result() *traces.Result {
	keys := make([]string, 0, len(m.series))
	for k := range m.series {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	g := &grouped{fn: m.query.Metrics.Fn, w: m.w, quantiles: m.query.Metrics.Quantiles, groups: map[string]*group{}}
	var series []traces.SampleSeries
	for _, k := range keys {
		s := m.series[k]
		gr := &group{labels: s.labels, sums: []float64{s.value}}
		if m.isHistogram() {
			gr.sums, gr.hist, g.seconds = nil, []*histogram{s.hist}, g.seconds || s.seconds
			g.groups[k] = gr
			continue
		}
		series = append(series, g.plain(gr)) // with the labels that the pieces gave it
	}
	if m.isHistogram() {
		series = g.series()
	}
	sortSeries(series)
	return &traces.Result{Series: secondStages(slices.Clip(series), m.query.Second)}
}
