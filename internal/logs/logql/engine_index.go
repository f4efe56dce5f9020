package logql

import (
	"cmp"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// labelsQuery answers the questions about labels of streams.
func (r *run) labelsQuery() error {
	sets, err := r.matcherSets()
	if err != nil {
		return err
	}
	end := r.q.End
	if end == r.q.Start {
		end++
	}
	switch r.q.Kind {
	case logs.LabelNames:
		r.res.Strings, err = logs.LabelStrings(r.ctx, r.src, r.tenant, r.q.Start, end, sets, "")
	case logs.LabelValues:
		if r.q.Label == "" {
			return nil
		}
		r.res.Strings, err = logs.LabelStrings(r.ctx, r.src, r.tenant, r.q.Start, end, sets, r.q.Label)
	case logs.DetectedLabels:
		r.res.Fields, err = r.detectLabels(end, sets)
	default:
		r.res.Series, err = r.src.Series(r.ctx, r.tenant, r.q.Start, end, sets)
	}
	return err
}

// matcherSets reads the selectors of the query. None means every stream.
func (r *run) matcherSets() ([][]logs.Matcher, error) {
	selectors := r.q.Match
	if r.q.Expr != "" {
		selectors = append(slices.Clone(selectors), r.q.Expr)
	}
	var sets [][]logs.Matcher
	for _, s := range selectors {
		ms, err := ParseMatchers(s, r.q.Kind == logs.SeriesKind)
		if err != nil {
			return nil, err
		}
		if len(ms) == 0 {
			return nil, nil
		}
		sets = append(sets, ms)
	}
	return sets, nil
}

// alwaysShown are labels that tell sources apart, so they are listed whatever their values.
var alwaysShown = []string{"cluster", "namespace", "instance", "pod"}

// detectLabels counts the values of labels. Labels whose values are all numbers or UUIDs identify
// single things and are of no use for choosing streams.
func (r *run) detectLabels(end int64, sets [][]logs.Matcher) ([]logs.DetectedField, error) {
	names, err := logs.LabelStrings(r.ctx, r.src, r.tenant, r.q.Start, end, sets, "")
	if err != nil {
		return nil, err
	}
	var out []logs.DetectedField
	for _, name := range names {
		values, err := logs.LabelStrings(r.ctx, r.src, r.tenant, r.q.Start, end, sets, name)
		if err != nil {
			return nil, err
		}
		if len(values) > 0 && (slices.Contains(alwaysShown, name) || !allIDs(values)) {
			out = append(out, logs.DetectedField{Name: name, Cardinality: uint64(len(values))})
		}
	}
	return out, nil
}

func allIDs(values []string) bool {
	for _, v := range values {
		if !isUUID(v) && fieldType(v) != "int" && fieldType(v) != "float" {
			return false
		}
	}
	return true
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f'):
			return false
		}
	}
	return true
}

// volumeQuery answers how much streams hold.
func (r *run) volumeQuery() error {
	var ms []logs.Matcher
	var err error
	if r.q.Expr != "" || r.q.Kind == logs.StatsKind {
		if ms, err = ParseMatchers(r.q.Expr, r.q.Kind != logs.StatsKind); err != nil {
			return err
		}
	}
	if r.q.Kind == logs.StatsKind {
		found, err := r.src.Volume(r.ctx, r.tenant, r.q.Start, r.q.End+1, ms) // the end counts
		for _, v := range found {
			r.res.Index.Entries += v.Entries
			r.res.Index.Bytes += v.Bytes
			r.res.Index.Pages += v.Pages
			r.res.StreamCount++
		}
		return err
	}
	for _, name := range r.q.TargetLabels {
		if !slices.ContainsFunc(ms, func(m logs.Matcher) bool { return m.Name == name }) && !r.q.ByLabels {
			ms = append(ms, logs.Matcher{Type: labels.MatchRegexp, Name: name, Value: ".+"})
		}
	}
	step := r.q.End - r.q.Start
	if r.q.Kind == logs.VolumeRange && r.q.Step > 0 {
		step = min(step, r.q.Step)
	}
	if n := (r.q.End - r.q.Start) / max(step, 1); n > int64(r.limits.MaxPoints) {
		return errorString("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter")
	}
	return r.volumes(ms, max(step, 1))
}

// volumeSum is one line of the answer.
type volumeSum struct {
	labels labels.Labels
	total  float64
	points []logs.Point
}

func (r *run) volumes(ms []logs.Matcher, step int64) error {
	sums := map[string]*volumeSum{}
	buckets := int((r.q.End - r.q.Start + step - 1) / step)
	for i := range buckets {
		start := r.q.Start + int64(i)*step
		end := start + min(step, r.q.End-start)
		found, err := r.src.Volume(r.ctx, r.tenant, start, end, ms)
		if err != nil {
			return err
		}
		t := end / 1e6
		if end < r.q.End {
			t-- // the window ends just before the next one begins
		}
		r.addVolumes(sums, found, ms, t)
	}
	r.volumeResult(sums, buckets > 1)
	return nil
}

// addVolumes adds what streams hold in one window to the lines they belong to.
func (r *run) addVolumes(sums map[string]*volumeSum, found []logs.StreamVolume, ms []logs.Matcher, t int64) {
	names := r.q.TargetLabels
	if len(names) == 0 {
		for _, m := range ms {
			names = append(names, m.Name)
		}
	}
	var key []byte
	for _, v := range found {
		if v.Bytes == 0 {
			continue
		}
		if r.q.ByLabels {
			v.Labels.Range(func(l labels.Label) {
				if len(r.q.TargetLabels) == 0 || slices.Contains(r.q.TargetLabels, l.Name) {
					volumeLine(sums, []byte(l.Name), func() labels.Labels { return emptyLabel(l.Name) }).add(v.Bytes, t)
				}
			})
			continue
		}
		key = key[:0]
		for _, name := range names {
			key = appendText(key, v.Labels.Get(name))
		}
		if len(names) == 0 {
			key = v.Labels.Bytes(key)
		}
		volumeLine(sums, key, func() labels.Labels { return keepLabels(v.Labels, names) }).add(v.Bytes, t)
	}
}

// volumeLine finds or makes the line of a key.
func volumeLine(sums map[string]*volumeSum, key []byte, of func() labels.Labels) *volumeSum {
	s := sums[string(key)]
	if s == nil {
		s = &volumeSum{labels: of()}
		sums[string(key)] = s
	}
	return s
}

func (s *volumeSum) add(bytes, t int64) {
	s.total += float64(bytes)
	if n := len(s.points); n > 0 && s.points[n-1].T == t {
		s.points[n-1].V += float64(bytes)
		return
	}
	s.points = append(s.points, logs.Point{T: t, V: float64(bytes)})
}

// keepLabels returns the labels of the names; all, if there are none.
func keepLabels(ls labels.Labels, names []string) labels.Labels {
	if len(names) == 0 {
		return ls
	}
	return labels.NewBuilder(ls).Keep(names...).Labels()
}

// emptyLabel is {name=""}, which is how a volume by label names it.
func emptyLabel(name string) labels.Labels {
	b := labels.NewScratchBuilder(1)
	b.Add(name, "")
	return b.Labels()
}

// volumeResult keeps the largest, by bytes and then name. Several windows make a matrix.
func (r *run) volumeResult(sums map[string]*volumeSum, matrix bool) {
	all := make([]*volumeSum, 0, len(sums))
	for _, s := range sums {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *volumeSum) int {
		if c := cmp.Compare(b.total, a.total); c != 0 {
			return c
		}
		return labels.Compare(a.labels, b.labels)
	})
	limit := r.q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	for _, s := range all[:min(limit, len(all))] {
		if matrix {
			r.res.Matrix = append(r.res.Matrix, logs.SampleSeries{Labels: s.labels, Points: s.points})
			continue
		}
		r.res.Vector = append(r.res.Vector, logs.VectorSample{Labels: s.labels, Point: s.points[0]})
	}
}
