package split

import (
	"maps"
	"slices"
	"sort"
	"unsafe"

	"github.com/prometheus/prometheus/promql"

	"github.com/hune-io/hune/internal/metrics"
)

// Cut returns the steps from … to of an answer. It shares the memory of r.
func Cut(r *metrics.Result, from, to int64) *metrics.Result {
	all, _ := r.Value.(promql.Matrix)
	out := make(promql.Matrix, 0, len(all))
	for _, s := range all {
		s.Floats = within(s.Floats, func(p promql.FPoint) int64 { return p.T }, from, to)
		s.Histograms = within(s.Histograms, func(p promql.HPoint) int64 { return p.T }, from, to)
		if len(s.Floats)+len(s.Histograms) > 0 {
			out = append(out, s)
		}
	}
	return &metrics.Result{Value: out, Warnings: r.Warnings}
}

func within[P any](points []P, at func(P) int64, from, to int64) []P {
	i := sort.Search(len(points), func(i int) bool { return at(points[i]) >= from })
	j := sort.Search(len(points), func(j int) bool { return at(points[j]) > to })
	return slices.Clip(points[i:max(i, j)])
}

// Join returns the answer for the steps of all parts, which are in order of time and don't overlap. It shares their
// memory.
func Join(parts []*metrics.Result) *metrics.Result {
	if len(parts) == 1 {
		return parts[0]
	}
	out := &metrics.Result{}
	all := promql.Matrix{}
	index := map[uint64][]int{}
	for _, part := range parts {
		series, _ := part.Value.(promql.Matrix)
		for _, s := range series {
			i := place(&all, index, s.Metric)
			all[i].Floats = append(slices.Clip(all[i].Floats), s.Floats...)
			all[i].Histograms = append(slices.Clip(all[i].Histograms), s.Histograms...)
		}
		add(out, part)
	}
	sort.Sort(all)
	out.Value = all
	return out
}

// add puts what a part says beside its series to that of the whole.
func add(out *metrics.Result, part *metrics.Result) {
	if len(part.Warnings) > 0 {
		if out.Warnings == nil {
			out.Warnings = maps.Clone(part.Warnings)
		} else {
			out.Warnings.Merge(part.Warnings)
		}
	}
	out.Partial = out.Partial || part.Partial
	out.Stats.Samples += part.Stats.Samples
	out.Stats.PeakSamples = max(out.Stats.PeakSamples, part.Stats.PeakSamples)
	out.Stats.PerStep = append(out.Stats.PerStep, part.Stats.PerStep...)
}

// Size is what an answer takes in memory, in bytes.
func Size(r *metrics.Result) int64 {
	all, _ := r.Value.(promql.Matrix)
	size := int64(unsafe.Sizeof(metrics.Result{}))
	for _, s := range all {
		size += int64(unsafe.Sizeof(s)) + int64(s.Metric.ByteSize()) + int64(len(s.Floats))*int64(unsafe.Sizeof(promql.FPoint{}))
		for _, p := range s.Histograms {
			size += int64(unsafe.Sizeof(p)) + int64(p.H.Size())
		}
	}
	return size
}
