package traceql

import (
	"math"
	"strconv"

	"github.com/hune-io/hune/internal/traces"
)

// grouped is every metrics function but compare: one group per combination of `by` values.
type grouped struct {
	fn        string
	w         window
	by        []evalNode
	labels    []string
	attr      evalNode
	quantiles []float64
	groups    map[string]*group
	maxSeries int
	exemplars *exemplars
	seconds   bool // the values are durations

	keyBuf   []byte
	valueBuf []Value
}

// group is the numbers of one combination of labels, per step.
type group struct {
	labels    []traces.Attribute
	sums      []float64 // count, sum, min or max; NaN while nothing was seen, except for counts
	counts    []float64 // for avg
	hist      []*histogram
	exemplars []traces.Exemplar
	steps     []int // of the exemplars
}

func (g *grouped) add(e *spanEnv, step int) error {
	var v Value
	if g.attr != nil {
		if v = g.attr.eval(e).single(); !v.isNumber() {
			return nil
		}
	}
	bucket := -1
	if g.isHistogram() {
		if bucket = log2Bucket(v); bucket < 0 {
			return nil
		}
	}
	g.valueBuf = g.valueBuf[:0]
	for _, n := range g.by {
		g.valueBuf = append(g.valueBuf, n.eval(e).single())
	}
	gr, err := g.group(g.valueBuf)
	if err != nil {
		return err
	}
	if v.Kind == KindDuration {
		g.seconds = true
	}
	if bucket >= 0 {
		if gr.hist[step] == nil {
			gr.hist[step] = &histogram{}
		}
		gr.hist[step][bucket]++
	} else {
		gr.observe(g.fn, step, metricValue(v))
	}
	g.exemplars.offer(gr, e, step, metricValue(v))
	return nil
}

func (g *grouped) isHistogram() bool {
	return g.fn == "quantile_over_time" || g.fn == "histogram_over_time"
}

func (g *grouped) isCount() bool { return g.fn == "rate" || g.fn == "count_over_time" }

// metricValue is v as a sample: durations in seconds.
func metricValue(v Value) float64 {
	if v.Kind == KindDuration {
		return float64(v.n) / 1e9
	}
	return v.number()
}

func (g *grouped) group(values []Value) (*group, error) {
	g.keyBuf = g.keyBuf[:0]
	for _, v := range values {
		g.keyBuf = appendIdentity(g.keyBuf, v)
	}
	if gr := g.groups[string(g.keyBuf)]; gr != nil {
		return gr, nil
	}
	if len(g.groups) >= g.maxSeries {
		return nil, tooManySeries(g.maxSeries)
	}
	gr := &group{}
	for i, v := range values {
		gr.labels = append(gr.labels, v.attribute(g.labels[i]))
	}
	if g.isHistogram() {
		gr.hist = make([]*histogram, g.w.n)
	} else {
		gr.sums = make([]float64, g.w.n)
		if !g.isCount() {
			for i := range gr.sums {
				gr.sums[i] = math.NaN()
			}
		}
		if g.fn == "avg_over_time" {
			gr.counts = make([]float64, g.w.n)
		}
	}
	g.groups[string(g.keyBuf)] = gr
	return gr, nil
}

// appendIdentity appends a text that equal values share and no others.
func appendIdentity(dst []byte, v Value) []byte {
	dst = append(dst, byte(v.Kind))
	dst = strconv.AppendInt(dst, v.n, 36)
	dst = append(dst, ':')
	dst = strconv.AppendInt(dst, int64(len(v.s)), 36)
	dst = append(dst, ':')
	return append(dst, v.s...)
}

func (gr *group) observe(fn string, step int, v float64) {
	s := &gr.sums[step]
	switch {
	case fn == "rate" || fn == "count_over_time":
		*s++
	case math.IsNaN(*s):
		*s = v
	case fn == "min_over_time":
		*s = math.Min(*s, v)
	case fn == "max_over_time":
		*s = math.Max(*s, v)
	default:
		*s += v
	}
	if gr.counts != nil {
		gr.counts[step]++
	}
}

func (g *grouped) series() []traces.SampleSeries {
	var out []traces.SampleSeries
	for _, gr := range g.groups {
		switch g.fn {
		case "quantile_over_time":
			for _, q := range g.quantiles {
				label := floatValue(q).attribute("p")
				out = append(out, g.full(gr, label, func(i int) float64 { return g.scale(gr.hist[i].quantile(q)) }))
			}
		case "histogram_over_time":
			out = append(out, g.histograms(gr)...)
		default:
			out = append(out, g.plain(gr))
		}
	}
	for i := range out {
		if len(out[i].Labels) == 0 {
			out[i].Labels = []traces.Attribute{stringValue(g.fn).attribute("__name__")}
		}
	}
	sortSeries(out)
	return out
}

func (g *grouped) scale(v float64) float64 {
	if g.seconds {
		return v / 1e9
	}
	return v
}

// plain leaves out steps in which nothing was seen; counts have zeros there.
func (g *grouped) plain(gr *group) traces.SampleSeries {
	s := traces.SampleSeries{Labels: gr.labels, Exemplars: gr.exemplars}
	for i, v := range gr.sums {
		if math.IsNaN(v) {
			continue
		}
		switch g.fn {
		case "rate":
			v /= g.w.seconds
		case "avg_over_time":
			v /= gr.counts[i]
		}
		s.Samples = append(s.Samples, traces.Sample{T: g.w.millis(i), V: v})
	}
	if g.isCount() {
		for k := range s.Exemplars { // on the line of the chart
			s.Exemplars[k].V = s.Samples[gr.steps[k]].V
		}
	}
	return s
}

// full makes a series of a histogram group with one more label; empty steps are zero.
func (g *grouped) full(gr *group, label traces.Attribute, value func(step int) float64) traces.SampleSeries {
	s := traces.SampleSeries{Samples: make([]traces.Sample, g.w.n), Exemplars: gr.exemplars}
	s.Labels = append(append(s.Labels, gr.labels...), label)
	for i := range s.Samples {
		s.Samples[i] = traces.Sample{T: g.w.millis(i)}
		if gr.hist[i] != nil {
			s.Samples[i].V = value(i)
		}
	}
	gr.exemplars = nil // with the first series only, so that the budget holds
	return s
}

func (g *grouped) histograms(gr *group) []traces.SampleSeries {
	var out []traces.SampleSeries
	for b, total := range gr.sumHist() {
		if total > 0 {
			edge := g.scale(math.Ldexp(1, b))
			out = append(out, g.full(gr, floatValue(edge).attribute("__bucket"), func(i int) float64 { return gr.hist[i][b] }))
		}
	}
	return out
}

func (gr *group) sumHist() (sum histogram) {
	for _, h := range gr.hist {
		if h == nil {
			continue
		}
		for b := range h {
			sum[b] += h[b]
		}
	}
	return sum
}
