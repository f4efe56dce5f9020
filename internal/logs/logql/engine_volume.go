package logql

import (
	"cmp"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

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
		return r.indexStats(ms)
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

// indexStats sums over the streams that match.
func (r *run) indexStats(ms []logs.Matcher) error {
	q := logs.VolumeQuery{Matchers: ms, Start: r.q.Start, End: r.q.End + 1} // the end counts
	found, err := r.src.Volume(r.ctx, r.tenant, q)
	for _, v := range found {
		r.res.Index.Entries += v.Entries
		r.res.Index.Bytes += v.Bytes
		r.res.Index.Pages += v.Pages
	}
	r.res.StreamCount = int64(len(found))
	return err
}

// volumes answers with the largest groups. Only of these the steps are asked for: there may be a hundred thousand
// of the others.
func (r *run) volumes(ms []logs.Matcher, step int64) error {
	q := logs.VolumeQuery{Matchers: ms, Start: r.q.Start, End: r.q.End}
	q.Groups, q.By = r.volumeGroups(ms)
	found, err := r.src.Volume(r.ctx, r.tenant, q)
	if err != nil {
		return err
	}
	if err := r.hold(0, int64(len(found))*seriesBytes); err != nil {
		return err
	}
	found = r.largest(found)
	if q.End-q.Start <= step {
		for _, v := range found {
			r.res.Vector = append(r.res.Vector, logs.VectorSample{Labels: v.Labels, Point: logs.Point{T: q.End / 1e6, V: float64(v.Bytes)}})
		}
		return nil
	}
	if len(found) == 0 {
		return nil
	}
	for _, v := range found {
		q.Only = append(q.Only, v.Labels)
	}
	q.Step = step
	steps, err := r.src.Volume(r.ctx, r.tenant, q)
	if err != nil {
		return err
	}
	for _, v := range r.largest(steps) {
		if err := r.addVolume(&v, step); err != nil {
			return err
		}
	}
	return nil
}

// volumeGroups returns which streams are added up: those with the same values of the labels that are asked for or that
// the selector names.
func (r *run) volumeGroups(ms []logs.Matcher) (logs.VolumeGroups, []string) {
	names := slices.Clone(r.q.TargetLabels)
	if len(names) == 0 && !r.q.ByLabels {
		for _, m := range ms {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	switch {
	case r.q.ByLabels:
		return logs.GroupNames, names
	case len(names) == 0:
		return logs.GroupStreams, nil
	}
	return logs.GroupLabels, names
}

// largest returns the groups with most bytes, as many as the query's limit says, by bytes and then name.
func (r *run) largest(found []logs.Volume) []logs.Volume {
	found = slices.DeleteFunc(found, func(v logs.Volume) bool { return v.Bytes == 0 })
	slices.SortFunc(found, func(a, b logs.Volume) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), labels.Compare(a.Labels, b.Labels))
	})
	limit := r.q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	return found[:min(limit, len(found))]
}

// addVolume adds the series of a group.
func (r *run) addVolume(v *logs.Volume, step int64) error {
	if err := r.hold(len(v.Steps), int64(len(v.Steps))*16); err != nil {
		return err
	}
	s := logs.SampleSeries{Labels: v.Labels}
	for i, bytes := range v.Steps {
		if bytes == 0 {
			continue
		}
		start := r.q.Start + int64(v.First+i)*step
		end := start + min(step, r.q.End-start)
		t := end / 1e6
		if end < r.q.End {
			t-- // the window ends just before the next one begins
		}
		s.Points = append(s.Points, logs.Point{T: t, V: float64(bytes)})
	}
	if len(s.Points) > 0 {
		r.res.Matrix = append(r.res.Matrix, s)
	}
	return nil
}
