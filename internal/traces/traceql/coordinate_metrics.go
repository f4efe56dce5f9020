package traceql

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// metricsMerge puts a metrics query over a range together from queries for some of its steps each. A span counts in the
// step in which it starts, so what a piece says about a step is the answer; only what is said about series as a whole,
// and the bounds of them all, are left: second stages, steps without spans, exemplars, the number of series.
type metricsMerge struct {
	q         *traces.Query
	query     *Query
	text      string // of the pieces: without what is done here
	w         window
	exemplars int
	maxGroups int

	steps  []int // of the pieces, newest first, the first step of each
	groups map[string]bool
	series map[string]*mergedSeries
}

type mergedSeries struct {
	labels    []traces.Attribute
	values    []float64 // by step, NaN where there is none
	exemplars []traces.Exemplar
}

// newMetricsMerge returns nil for a query that is one job.
func newMetricsMerge(e *Engine, q *traces.Query) *metricsMerge {
	p, err := parseProgram(q.Expr)
	if err != nil || p.need.id != "" {
		return nil
	}
	w, err := windowOf(p, q)
	// Samples have times in milliseconds.
	if err != nil || p.query.Metrics.Fn == "compare" || w.step < uint64(time.Millisecond) {
		return nil
	}
	piece := *p.query
	piece.Second = nil
	piece.Hints = slices.DeleteFunc(slices.Clone(piece.Hints), func(h Hint) bool { return h.Name == "exemplars" })
	return &metricsMerge{q: q, query: p.query, text: piece.String(), w: w, exemplars: exemplarBudget(p.query, q.Exemplars),
		maxGroups: min(e.opts.MaxSeries, maxSamples/w.n), groups: map[string]bool{}, series: map[string]*mergedSeries{}}
}

func (*metricsMerge) atOnce(int) int { return math.MaxInt }

func (m *metricsMerge) cut(n int, forced bool, data traces.Range) []*traces.Query {
	from, to := 0, m.w.n
	if data != (traces.Range{}) {
		if at := m.w.at(data.Start); at >= 0 {
			from = at
		}
		if at := m.w.at(data.End); at >= 0 {
			to = at + 1
		}
	}
	n = min(n, to-from)
	if !forced {
		n = int(min(uint64(n), max(uint64(to-from)*m.w.step/leastPiece, 1)))
	}
	whole := traces.Range{Start: m.w.from() + 1, End: m.w.to()}
	perStep := (m.exemplars + m.w.n - 1) / m.w.n
	var out []*traces.Query
	end := m.w.n
	for i := n - 1; i >= 0; i-- {
		first := from + i*(to-from)/n
		if i == 0 {
			first = 0
		}
		piece := *m.q
		piece.Expr, piece.Whole, piece.Exemplars = m.text, &whole, perStep*(end-first)
		piece.Start, piece.End = m.w.first+uint64(first)*m.w.step, m.w.first+uint64(end-1)*m.w.step
		out = append(out, &piece)
		m.steps = append(m.steps, first)
		end = first
	}
	return out
}

// full reports whether series have a sample at each step, zero where there was no span.
func (m *metricsMerge) full() bool {
	switch m.query.Metrics.Fn {
	case "rate", "count_over_time", "quantile_over_time", "histogram_over_time":
		return true
	}
	return false
}

// groupOf returns the labels of the group of which a series is.
func (m *metricsMerge) groupOf(labels []traces.Attribute) []traces.Attribute {
	switch m.query.Metrics.Fn {
	case "quantile_over_time", "histogram_over_time":
		return labels[:len(labels)-1] // without the quantile or bucket
	}
	return labels
}

func (m *metricsMerge) add(i int, r *traces.Result) (bool, error) {
	for k := range r.Series {
		in := &r.Series[k]
		m.groups[labelsKey(m.groupOf(in.Labels))] = true
		if len(m.groups) > m.maxGroups {
			return false, tooManySeries(m.maxGroups)
		}
		key := labelsKey(in.Labels)
		s := m.series[key]
		if s == nil {
			s = m.newSeries(in.Labels)
			m.series[key] = s
		}
		step := m.steps[i]
		for _, p := range in.Samples {
			for step < m.w.n-1 && m.w.millis(step) < p.T {
				step++
			}
			s.values[step] = p.V
		}
		s.exemplars = append(s.exemplars, in.Exemplars[:min(len(in.Exemplars), m.exemplars)]...)
		m.exemplars -= min(len(in.Exemplars), m.exemplars)
	}
	return true, nil
}

func (m *metricsMerge) newSeries(labels []traces.Attribute) *mergedSeries {
	s := &mergedSeries{labels: labels, values: make([]float64, m.w.n)}
	for i := range s.values {
		if !m.full() {
			s.values[i] = math.NaN()
		}
	}
	return s
}

func (m *metricsMerge) result() *traces.Result {
	keys := make([]string, 0, len(m.series))
	for k := range m.series {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var series []traces.SampleSeries
	for _, k := range keys {
		s := m.series[k]
		out := traces.SampleSeries{Labels: s.labels, Exemplars: s.exemplars}
		for i, v := range s.values {
			if m.full() || !math.IsNaN(v) {
				out.Samples = append(out.Samples, traces.Sample{T: m.w.millis(i), V: v})
			}
		}
		series = append(series, out)
	}
	sortSeries(series)
	return &traces.Result{Series: secondStages(series, m.query.Second)}
}

// tooManySeries is the answer to a query that would make more series than that.
func tooManySeries(n int) error {
	return fault.Errorf(fault.Unprocessable, "query makes more than %d series: group by fewer or other attributes, or make the step longer", n)
}
