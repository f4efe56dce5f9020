package metrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql/parser"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/fault"
)

// Run answers a query of a tenant from the union of the sources. The result is plain data that
// refers to nothing of the sources. Errors are classed: Invalid for what can't be parsed,
// Unprocessable for what can't be executed within the limits, Timeout and Canceled.
func (e *Engine) Run(ctx context.Context, tenant string, q *Query, sources ...Source) (*Result, error) {
	ctx, left := WithWarnings(ctx)
	run := &querier{tenant: tenant, sources: sources, budget: int64(e.cfg.MaxBytes), resolution: q.MaxResolution, mint: q.Start, maxt: q.End,
		stores: q.Stores, whole: q.WholeAnswer, shard: q.Shard, replicas: e.replicaLabels(q)}
	run.shard.Without = run.replicas
	if q.MaxSamplesBytes > 0 && (run.budget == 0 || q.MaxSamplesBytes < run.budget) {
		run.budget = q.MaxSamplesBytes
	}
	var (
		r   *Result
		err error
	)
	switch q.Kind {
	case Instant, Range:
		r, err = e.eval(ctx, q, run)
	case SeriesKind:
		r, err = run.seriesOf(ctx, q)
	case LabelNames, LabelValues:
		r, err = run.labelsOf(ctx, q)
	case Read:
		r, err = run.read(ctx, q)
	case Exemplars:
		r, err = run.exemplars(ctx, q)
	case Metadata:
		r, err = run.metadata(ctx, q)
	default:
		return nil, fault.Invalidf("unknown kind of metrics query %q", q.Kind)
	}
	if err != nil {
		return nil, err
	}
	incomplete := left()
	if q.WholeAnswer && len(incomplete) > 0 {
		return nil, fault.New(fault.Unprocessable, fmt.Errorf("the answer would be partial, which partial_response=false forbids: %w", errors.Join(incomplete.AsErrors()...)))
	}
	r.Partial = len(incomplete) > 0
	r.Warnings.Merge(incomplete)
	if q.Kind != Exemplars && q.Kind != Metadata && noStore(ctx, q) {
		r.Warnings.Add(errNoStore)
	}
	return r, nil
}

// seriesOf answers SeriesKind: the labels of series that match any of the sets.
func (r *querier) seriesOf(ctx context.Context, q *Query) (*Result, error) {
	var lists [][]ChunkSeries
	for _, set := range q.Matchers {
		found, err := r.fetch(ctx, Select{Matchers: set, Start: q.Start, End: q.End, Limit: q.Limit, SkipChunks: true})
		if err != nil {
			return nil, err
		}
		lists = append(lists, withoutReplicas(found, r.replicas))
	}
	merged := slices.CompactFunc(mergeSeries(lists), func(a, b ChunkSeries) bool { return labels.Equal(a.Labels, b.Labels) })
	if q.Limit > 0 && len(merged) > q.Limit {
		merged = merged[:q.Limit]
	}
	out := make([]labels.Labels, len(merged))
	for i, s := range merged {
		out[i] = s.Labels
	}
	return &Result{Series: out}, nil
}

// labelsOf answers LabelNames and LabelValues.
func (r *querier) labelsOf(ctx context.Context, q *Query) (*Result, error) {
	sets := q.Matchers
	if len(sets) == 0 {
		sets = [][]Matcher{nil}
	}
	answers := make([][]string, len(sets)*len(r.sources))
	g, gctx := errgroup.WithContext(ctx)
	for i, set := range sets {
		for j, src := range r.sources {
			g.Go(func() (err error) {
				s := Select{Matchers: set, Start: q.Start, End: q.End, Limit: q.Limit, Stores: r.stores, WholeAnswer: r.whole}
				slot := &answers[i*len(r.sources)+j]
				if q.Kind == LabelNames {
					*slot, err = src.LabelNames(gctx, r.tenant, s)
				} else {
					*slot, err = src.LabelValues(gctx, r.tenant, q.Label, s)
				}
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := slices.Concat(answers...)
	slices.Sort(all)
	all = slices.Compact(all)
	if q.Kind == LabelNames && len(r.replicas) > 0 {
		all = slices.DeleteFunc(all, func(name string) bool { return slices.Contains(r.replicas, name) })
	}
	if q.Limit > 0 && len(all) > q.Limit {
		all = all[:q.Limit]
	}
	return &Result{Strings: all}, nil
}

// read answers Read: the chunks of series that match any of the sets.
func (r *querier) read(ctx context.Context, q *Query) (*Result, error) {
	var lists [][]ChunkSeries
	for _, set := range q.Matchers {
		found, err := r.fetch(ctx, Select{Matchers: set, Start: q.Start, End: q.End, Limit: q.Limit})
		if err != nil {
			return nil, err
		}
		lists = append(lists, found)
	}
	merged := mergeSeries(lists)
	if q.Limit > 0 && len(merged) > q.Limit {
		merged = merged[:q.Limit]
	}
	if err := resolveAggregates(merged, average); err != nil {
		return nil, err
	}
	return &Result{Raw: merged}, nil
}

// exemplars answers Exemplars: those of every series that the expression or the matchers select.
func (r *querier) exemplars(ctx context.Context, q *Query) (*Result, error) {
	sets := slices.Clone(q.Matchers)
	if q.Expr != "" {
		expr, err := ParseQuery(q.Expr)
		if err != nil {
			return nil, err
		}
		for _, s := range parser.ExtractSelectors(expr) {
			sets = append(sets, FromMatchers(s))
		}
	}
	if len(sets) == 0 {
		return &Result{}, nil
	}
	var found []ExemplarSeries
	for _, src := range r.sources {
		answer, err := src.Exemplars(ctx, r.tenant, q.Start, q.End, sets)
		if err != nil {
			return nil, err
		}
		found = append(found, answer...)
	}
	return &Result{Exemplars: MergeExemplars(found)}, nil
}

// MergeExemplars makes one of series with the same labels, each exemplar once and the oldest first, in order of labels.
func MergeExemplars(list []ExemplarSeries) []ExemplarSeries {
	found := map[string]int{}
	out := make([]ExemplarSeries, 0, len(list))
	for _, s := range list {
		key := string(s.Labels.Bytes(nil))
		i, ok := found[key]
		if !ok {
			i = len(out)
			found[key], out = i, append(out, ExemplarSeries{Labels: s.Labels})
		}
		out[i].Exemplars = append(out[i].Exemplars, s.Exemplars...)
	}
	for i := range out {
		list := out[i].Exemplars
		slices.SortStableFunc(list, exemplar.Compare)
		out[i].Exemplars = slices.CompactFunc(list, func(a, b exemplar.Exemplar) bool { return a.Equals(b) })
	}
	slices.SortFunc(out, func(a, b ExemplarSeries) int { return labels.Compare(a.Labels, b.Labels) })
	return out
}

// metadata answers Metadata.
func (r *querier) metadata(ctx context.Context, q *Query) (*Result, error) {
	all := map[string][]metadata.Metadata{}
	for _, src := range r.sources {
		answer, err := src.Metadata(ctx, r.tenant, q.Metric, q.Limit)
		if err != nil {
			return nil, err
		}
		for name, ms := range answer {
			for _, m := range ms {
				if !slices.Contains(all[name], m) {
					all[name] = append(all[name], m)
				}
			}
		}
	}
	names := make([]string, 0, len(all))
	for name, ms := range all {
		if q.LimitPerMetric > 0 && len(ms) > q.LimitPerMetric {
			all[name] = ms[:q.LimitPerMetric]
		}
		names = append(names, name)
	}
	if q.Limit > 0 && len(names) > q.Limit {
		slices.Sort(names)
		for _, name := range names[q.Limit:] {
			delete(all, name)
		}
	}
	return &Result{Metadata: all}, nil
}

// fetch collects a selection from all sources, copied and merged.
func (r *querier) fetch(ctx context.Context, s Select) ([]ChunkSeries, error) {
	s.MaxResolution, s.Stores, s.WholeAnswer, s.Shard = r.resolution, r.stores, r.whole, r.shard
	lists := make([][]ChunkSeries, len(r.sources))
	g, gctx := errgroup.WithContext(ctx)
	for i, src := range r.sources {
		g.Go(func() (err error) {
			lists[i], err = r.collect(gctx, src, s)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return mergeSeries(lists), nil
}

// collect copies one source's answer, where it is valid until the sequence moves on only.
func (r *querier) collect(ctx context.Context, src Source, s Select) ([]ChunkSeries, error) {
	var out []ChunkSeries
	var bytes arena[byte]
	var metas arena[Chunk]
	for cs, err := range src.SelectSeries(ctx, r.tenant, s) {
		if err != nil {
			return nil, err
		}
		if !s.Shard.Holds(cs.Labels) {
			continue
		}
		own := ChunkSeries{Labels: cs.Labels, Chunks: cs.Chunks}
		if len(cs.Chunks) > 0 {
			size := 0
			for _, c := range cs.Chunks {
				size += len(c.Data)
			}
			if err := r.spend(int64(size)); err != nil {
				return nil, err
			}
			if !cs.Stable {
				own.Chunks = metas.copy(cs.Chunks)
				for i := range own.Chunks {
					own.Chunks[i].Data = bytes.copy(own.Chunks[i].Data)
				}
			}
		}
		out = append(out, own)
	}
	return out, nil
}

// spend takes from the query's budget of chunk bytes.
func (r *querier) spend(n int64) error {
	if used := r.used.Add(n); r.budget > 0 && used > r.budget {
		return fault.Errorf(fault.Unprocessable, "the query needs more than %d bytes of chunks (metrics.query.max_bytes): select fewer series or a shorter range", r.budget)
	}
	return nil
}

// arena hands out slices of larger ones: a query copies hundreds of thousands of small chunks. They begin
// small, since the queries of most rules find a handful.
type arena[T any] struct {
	free []T
	size int // of the slice that free is of
}

// Sizes of an arena's slices, in elements. Each is twice the one before.
const (
	arenaStart = 64
	arenaSize  = 16 << 10
)

func (a *arena[T]) copy(src []T) []T {
	if len(src) > len(a.free) {
		if len(src) > arenaSize/4 {
			return slices.Clone(src)
		}
		for a.size = min(max(2*a.size, arenaStart), arenaSize); a.size < len(src); {
			a.size *= 2
		}
		a.free = make([]T, a.size)
	}
	n := copy(a.free, src)
	out := a.free[:n:n]
	a.free = a.free[n:]
	return out
}

// All of time, in milliseconds, for questions without a range.
const (
	MinTime = math.MinInt64
	MaxTime = math.MaxInt64
)
