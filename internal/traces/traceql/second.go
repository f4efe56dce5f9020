package traceql

import (
	"sort"
	"strings"

	"github.com/hune-io/hune/internal/traces"
)

// secondStages applies comparisons, topk and bottomk in the order of the query.
func secondStages(series []traces.SampleSeries, stages []SecondStage) []traces.SampleSeries {
	for _, s := range stages {
		if s.Op == "topk" || s.Op == "bottomk" {
			series = topSeries(series, s.N, s.Op == "bottomk")
		} else {
			series = compareSamples(series, s)
		}
	}
	return series
}

func keepSamples(series []traces.SampleSeries, keep func(series, sample int) bool) []traces.SampleSeries {
	var out []traces.SampleSeries
	for i, s := range series {
		var kept []traces.Sample
		for k, p := range s.Samples {
			if keep(i, k) {
				kept = append(kept, p)
			}
		}
		if len(kept) > 0 {
			s.Samples = kept
			out = append(out, s)
		}
	}
	return out
}

func compareSamples(series []traces.SampleSeries, s SecondStage) []traces.SampleSeries {
	want := floatValue(metricValue(s.Value))
	return keepSamples(series, func(i, k int) bool { return compare(s.Op, floatValue(series[i].Samples[k].V), want) })
}

// topSeries keeps the n largest (or smallest) samples of each step. Of equal samples topk prefers
// the first series in the order of preferred, bottomk the last.
func topSeries(series []traces.SampleSeries, n int, smallest bool) []traces.SampleSeries {
	order := make([]int, len(series))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return preferred(series[order[a]].Labels, series[order[b]].Labels) < 0 })
	rank := make([]int, len(series))
	for r, i := range order {
		rank[i] = r
	}
	type place struct{ series, sample int }
	steps := map[int64][]place{}
	for i := range series {
		for k, p := range series[i].Samples {
			steps[p.T] = append(steps[p.T], place{i, k})
		}
	}
	keep := map[place]bool{}
	for _, places := range steps {
		sort.Slice(places, func(a, b int) bool {
			x, y := places[a], places[b]
			vx, vy := series[x.series].Samples[x.sample].V, series[y.series].Samples[y.sample].V
			if vx == vy {
				return (rank[x.series] < rank[y.series]) != smallest
			}
			return (vx > vy) != smallest
		})
		for _, p := range places[:min(n, len(places))] {
			keep[p] = true
		}
	}
	return keepSamples(series, func(i, k int) bool { return keep[place{i, k}] })
}

// preferred orders labels for ties: texts ascending, numbers descending and before texts.
func preferred(a, b []traces.Attribute) int {
	for i := range a {
		if i >= len(b) {
			return 1
		}
		x, y := fromAttribute(&a[i]), fromAttribute(&b[i])
		switch {
		case x.isNumber() && y.isNumber():
			if x.number() != y.number() {
				return cmpFloat(y.number(), x.number())
			}
		case x.isNumber() != y.isNumber():
			if x.isNumber() {
				return -1
			}
			return 1
		default:
			if c := strings.Compare(x.String(), y.String()); c != 0 {
				return c
			}
		}
	}
	return len(a) - len(b)
}
