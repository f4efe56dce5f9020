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
	slices.SortFunc(all, func(a, b Extent) int {
		return cmp.Or(labels.Compare(a.Labels, b.Labels), cmp.Compare(a.Oldest, b.Oldest))
	})
	out := all[:0]
	for _, e := range all {
		if n := len(out); n > 0 && e.Oldest <= out[n-1].Newest && labels.Equal(out[n-1].Labels, e.Labels) {
			out[n-1].Newest = max(out[n-1].Newest, e.Newest)
			continue
		}
		out = append(out, e)
	}
	return out, nil
}

// scan visits the pages of the parts. Where two parts may have the same rows, which is where both have
// rows of one stream at the same time, the rows of that stream are merged and visited as pages without columns.
func (u *union) scan(ctx context.Context, sel Select, visit func(context.Context, *Page) error) error {
	parts, err := u.pruned(ctx, sel)
	if err != nil {
		return err
	}
	sel.Limit, sel.Narrow, sel.Direction = 0, nil, Forward
	var shared map[uint64][]Span
	if !u.distinct {
		if shared, err = sharedSpans(ctx, parts, sel); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	own := sel
	if len(shared) > 0 {
		own.Spans = append(slices.Clip(sel.Spans), StreamSpans{Times: shared})
	}
	for _, p := range parts {
		g.Go(func() error { return p.Scan(gctx, own, visit) })
	}
	both := sel
	both.Spans = append(slices.Clip(sel.Spans), StreamSpans{Only: true, Times: shared})
	for _, s := range allSpans(shared) {
		part := both
		part.Start, part.End = s.Start, s.End
		in := (&union{parts: parts}).overlapping(s.Start, s.End)
		g.Go(func() error {
			return ScanRows(gctx, Select{}, MergeRows(Forward, rowSources(gctx, in, part)...), visit)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// maxShared bounds how many ranges of time are merged row by row on their own: each is a select of the parts.
const maxShared = 512

// sharedSpans returns the times at which several parts may have rows of one stream, inside of the select's, by
// the hash of the stream: two streams of one hash only cost time.
func sharedSpans(ctx context.Context, parts []Part, sel Select) (map[uint64][]Span, error) {
	if !overlap(parts) {
		return nil, nil
	}
	answers, err := askParts(ctx, parts, func(ctx context.Context, p Part) ([]Extent, error) {
		return p.Extents(ctx, sel.Start, sel.End, sel.Matchers)
	})
	if err != nil {
		return nil, err
	}
	streams := map[uint64][]timeRange{}
	for _, extents := range answers {
		for _, e := range extents {
			if t := (timeRange{max(e.Oldest, sel.Start), min(e.Newest, sel.End-1)}); t.min <= t.max {
				h := StreamHash(e.Labels)
				streams[h] = append(streams[h], t)
			}
		}
	}
	out := map[uint64][]Span{}
	for h, list := range streams {
		// Those of one part are apart: what two have in common is of two parts.
		slices.SortFunc(list, func(a, b timeRange) int { return cmp.Compare(a.min, b.min) })
		var spans []Span
		reach := list[0].max
		for _, t := range list[1:] {
			if t.min <= reach {
				spans = append(spans, Span{t.min, min(t.max, reach) + 1})
			}
			reach = max(reach, t.max)
		}
		if len(spans) > 0 {
			out[h] = joined(spans, len(spans))
		}
	}
	return out, nil
}

// allSpans returns a few ranges that all of the times are in, ascending and apart.
func allSpans(times map[uint64][]Span) []Span {
	var all []Span
	for _, spans := range times {
		all = append(all, spans...)
	}
	return joined(all, maxShared)
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

// joined joins spans that touch, and then the nearest until there are at most so many. It uses their memory.
func joined(spans []Span, most int) []Span {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && s.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, s.End)
			continue
		}
		out = append(out, s)
	}
	if len(out) <= most {
		return out
	}
	// The gaps that stay are the widest.
	widths := make([]uint64, 0, len(out)-1)
	for i := 1; i < len(out); i++ {
		widths = append(widths, uint64(out[i].Start)-uint64(out[i-1].End))
	}
	slices.Sort(widths)
	widths = widths[len(widths)-most+1:]
	equal := 0 // so many of those that are as wide as the narrowest that stays
	for equal < len(widths) && widths[equal] == widths[0] {
		equal++
	}
	spans, out = out, out[:1]
	for _, s := range spans[1:] {
		last := &out[len(out)-1]
		width := uint64(s.Start) - uint64(last.End)
		if width == widths[0] {
			equal--
		}
		if width > widths[0] || width == widths[0] && equal >= 0 {
			out = append(out, s)
		} else {
			last.End = s.End
		}
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
