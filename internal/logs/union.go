package logs

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"
)

// union is parts of one tenant as one. Where several parts have rows of one instant and stream, the rows
// come in the order of the parts.
type union struct {
	parts []Part
	// distinct says that no row is in two of the parts. Else a row that several have is answered once.
	distinct bool
}

// overlapping returns the parts that have rows in [start, end).
func (u *union) overlapping(start, end int64) []Part {
	var out []Part
	for _, p := range u.parts {
		oldest, newest := p.TimeRange()
		if start < end && (timeRange{oldest, newest}).overlaps(start, end) {
			out = append(out, p)
		}
	}
	return out
}

// lookupsAtOnce bounds how many parts look up a trace at the same time: each waits for one small read.
const lookupsAtOnce = 32

// pruned returns the parts that may have rows that sel asks for.
func (u *union) pruned(ctx context.Context, sel Select) ([]Part, error) {
	q, err := compileSelect(ctx, sel)
	if err != nil {
		return nil, err
	}
	parts := u.overlapping(sel.Start, sel.End)
	may := make([]bool, len(parts))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(lookupsAtOnce)
	for i, p := range parts {
		pr, ok := p.(pruner)
		switch {
		case !ok:
			may[i] = true
		case q.trace == nil:
			// Fast path: no goroutine for what is in memory.
			may[i], err = pr.mayHold(ctx, q)
		default:
			g.Go(func() (err error) {
				may[i], err = pr.mayHold(gctx, q)
				return err
			})
		}
	}
	if err := errors.Join(err, g.Wait()); err != nil {
		return nil, err
	}
	n := 0
	for i, p := range parts {
		if may[i] {
			parts[n] = p
			n++
		}
	}
	return parts[:n], nil
}

func (u *union) selectRows(ctx context.Context, sel Select) iter.Seq2[*Rows, error] {
	return func(yield func(*Rows, error) bool) {
		parts, err := u.pruned(ctx, sel)
		if err != nil {
			yield(nil, err) // of the select also where no part is asked
			return
		}
		MergeRows(sel.Direction, rowSources(ctx, parts, sel)...)(yield)
	}
}

func rowSources(ctx context.Context, parts []Part, sel Select) []RowSource {
	sources := make([]RowSource, len(parts))
	for i, p := range parts {
		oldest, newest := p.TimeRange()
		sources[i] = RowSource{Oldest: max(oldest, sel.Start), Newest: min(newest, sel.End-1), Rows: p.SelectRows(ctx, sel)}
	}
	return sources
}

func (u *union) series(ctx context.Context, start, end int64, matchers [][]Matcher) ([]labels.Labels, error) {
	if _, err := compileMatcherSets(matchers); err != nil {
		return nil, err
	}
	answers, err := askParts(ctx, u.overlapping(start, end), func(ctx context.Context, p Part) ([]labels.Labels, error) {
		return p.Series(ctx, start, end, matchers)
	})
	if err != nil {
		return nil, err
	}
	if len(answers) == 1 {
		return answers[0], nil // Fast path: sorted already.
	}
	all := slices.Concat(answers...)
	slices.SortFunc(all, labels.Compare)
	return slices.CompactFunc(all, labels.Equal), nil
}

// volume sums over the parts. Rows that several parts have are counted in each.
func (u *union) volume(ctx context.Context, q VolumeQuery) ([]Volume, error) {
	if _, err := compileMatchers(q.Matchers); err != nil {
		return nil, err
	}
	parts := u.overlapping(q.Start, q.End)
	if len(parts) == 1 {
		return parts[0].Volume(ctx, q) // Fast path: nothing to add up.
	}
	var mu sync.Mutex
	var sums []*Volume
	places := map[string]*Volume{} // by labels
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	for _, p := range parts {
		g.Go(func() error {
			found, err := p.Volume(gctx, q)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			var key []byte
			for i := range found {
				key = found[i].Labels.Bytes(key)
				if sum := places[string(key)]; sum != nil {
					sum.join(&found[i])
				} else {
					places[string(key)] = &found[i]
					sums = append(sums, &found[i])
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make([]Volume, len(sums))
	for i, v := range sums {
		out[i] = *v
	}
	return out, nil
}

func (u *union) extents(ctx context.Context, start, end int64, matchers []Matcher) ([]Extent, error) {
	if _, err := compileMatchers(matchers); err != nil {
		return nil, err
	}
	answers, err := askParts(ctx, u.overlapping(start, end), func(ctx context.Context, p Part) ([]Extent, error) {
		return p.Extents(ctx, start, end, matchers)
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(answers...)
	slices.SortFunc(all, func(a, b Extent) int { return labels.Compare(a.Labels, b.Labels) })
	out := all[:0]
	for _, e := range all {
		if n := len(out); n > 0 && labels.Equal(out[n-1].Labels, e.Labels) {
			out[n-1].Oldest, out[n-1].Newest = min(out[n-1].Oldest, e.Oldest), max(out[n-1].Newest, e.Newest)
			continue
		}
		out = append(out, e)
	}
	return out, nil
}

// scan visits the pages of the parts. Where two parts may have the same rows, which is where both have
// rows of one stream at the same time, the rows are merged and visited as pages without columns.
func (u *union) scan(ctx context.Context, sel Select, visit func(context.Context, *Page) error) error {
	parts, err := u.pruned(ctx, sel)
	if err != nil {
		return err
	}
	sel.Limit, sel.Narrow, sel.Direction = 0, nil, Forward
	var shared []timeRange
	if !u.distinct {
		if shared, err = sharedTimes(ctx, parts, sel); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	for _, t := range gaps(shared, sel.Start, sel.End) {
		for _, p := range parts {
			oldest, newest := p.TimeRange()
			if !(timeRange{oldest, newest}).overlaps(t.min, t.max) {
				continue
			}
			part := sel
			part.Start, part.End = t.min, t.max
			g.Go(func() error { return p.Scan(gctx, part, visit) })
		}
	}
	for _, t := range shared {
		part := sel
		part.Start, part.End = t.min, t.max
		g.Go(func() error {
			return ScanRows(gctx, Select{}, MergeRows(Forward, rowSources(gctx, parts, part)...), visit)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// maxShared bounds how many ranges of time sharedTimes returns. Blocks that follow each other share a moment
// at each border, so there are as many as blocks; a range costs that the pages at its ends are opened once
// more, but joining two means that all between them is read row by row.
const maxShared = 512

// sharedTimes returns the times [min, max) at which several parts may have rows of one stream: ascending,
// apart, inside of the select's.
func sharedTimes(ctx context.Context, parts []Part, sel Select) ([]timeRange, error) {
	if !overlap(parts) {
		return nil, nil
	}
	type interval struct {
		timeRange
		part int
	}
	streams := map[uint64][]interval{} // by hash: two streams of one hash only cost time
	answers, err := askParts(ctx, parts, func(ctx context.Context, p Part) ([]Extent, error) {
		return p.Extents(ctx, sel.Start, sel.End, sel.Matchers)
	})
	if err != nil {
		return nil, err
	}
	for i, extents := range answers {
		for _, e := range extents {
			h := e.Labels.Hash()
			streams[h] = append(streams[h], interval{timeRange{max(e.Oldest, sel.Start), min(e.Newest, sel.End-1)}, i})
		}
	}
	var out []timeRange
	for _, list := range streams {
		slices.SortFunc(list, func(a, b interval) int { return cmp.Compare(a.min, b.min) })
		reach, part := int64(0), -1
		for _, v := range list {
			if v.min > v.max {
				continue
			}
			if part >= 0 && v.min <= reach {
				out = append(out, timeRange{v.min, min(v.max, reach) + 1})
			}
			if part < 0 || v.max > reach {
				reach, part = v.max, v.part
			}
		}
	}
	return joined(out), nil
}

// overlap reports whether two parts have times in common.
func overlap(parts []Part) bool {
	times := make([]timeRange, len(parts))
	for i, p := range parts {
		times[i].min, times[i].max = p.TimeRange()
	}
	slices.SortFunc(times, func(a, b timeRange) int { return cmp.Compare(a.min, b.min) })
	for i := 1; i < len(times); i++ {
		if times[i].min <= times[i-1].max {
			return true
		}
		times[i].max = max(times[i].max, times[i-1].max)
	}
	return false
}

// joined joins ranges that touch, and then the nearest until there are few.
func joined(ranges []timeRange) []timeRange {
	slices.SortFunc(ranges, func(a, b timeRange) int { return cmp.Compare(a.min, b.min) })
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && r.min <= out[n-1].max {
			out[n-1].max = max(out[n-1].max, r.max)
			continue
		}
		out = append(out, r)
	}
	for len(out) > maxShared {
		best := 1
		for i := 2; i < len(out); i++ {
			if uint64(out[i].min-out[i-1].max) < uint64(out[best].min-out[best-1].max) {
				best = i
			}
		}
		out[best-1].max = out[best].max
		out = slices.Delete(out, best, best+1)
	}
	return out
}

// gaps returns what is left of [start, end) without ranges, which are as joined returns them.
func gaps(ranges []timeRange, start, end int64) []timeRange {
	var out []timeRange
	for _, r := range ranges {
		if start < r.min {
			out = append(out, timeRange{start, r.min})
		}
		start = r.max
	}
	if start < end {
		out = append(out, timeRange{start, end})
	}
	return out
}

// partsAtOnce bounds how many parts answer one question at the same time.
const partsAtOnce = 8

func askParts[T any](ctx context.Context, parts []Part, ask func(context.Context, Part) (T, error)) ([]T, error) {
	answers := make([]T, len(parts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	for i, p := range parts {
		g.Go(func() (err error) {
			answers[i], err = ask(ctx, p)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return answers, nil
}
