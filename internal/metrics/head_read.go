package metrics

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

var _ Source = (*Heads)(nil)

// SelectSeries implements Source: head, out-of-order head and local blocks of the tenant.
func (h *Heads) SelectSeries(ctx context.Context, id string, s Select) iter.Seq2[*ChunkSeries, error] {
	return func(yield func(*ChunkSeries, error) bool) {
		if err := h.selectSeries(ctx, id, s, yield); err != nil {
			yield(nil, err)
		}
	}
}

func (h *Heads) selectSeries(ctx context.Context, id string, s Select, yield func(*ChunkSeries, error) bool) error {
	t, err := h.wanted(ctx, id, s)
	if err != nil || t == nil {
		return err
	}
	defer t.release()
	matchers, err := ToMatchers(s.Matchers)
	if err != nil {
		return err
	}
	limit := s.Limit
	gone := h.deleted(id).Overlapping(s.Start, s.End)
	if s.SkipChunks && gone == nil {
		q, err := t.db.Querier(s.Start, s.End)
		if err != nil {
			return fmt.Errorf("open head: %w", err)
		}
		defer q.Close()
		return yieldLabels(ctx, q.Select(ctx, true, hintsOf(s), matchers...), s.Limit, yield)
	}
	q, err := t.db.ChunkQuerier(s.Start, s.End)
	if err != nil {
		return fmt.Errorf("open head: %w", err)
	}
	defer q.Close()
	if s.SkipChunks { // The chunks tell of which series anything is left.
		s.SkipChunks, s.Limit = false, 0
		return yieldChunks(ctx, q.Select(ctx, true, hintsOf(s), matchers...), gone, limit, func(cs *ChunkSeries, err error) bool {
			return yield(&ChunkSeries{Labels: cs.Labels}, err)
		})
	}
	if gone != nil {
		s.Limit = 0 // that of the TSDB counts what is deleted
	}
	return yieldChunks(ctx, q.Select(ctx, true, hintsOf(s), matchers...), gone, limit, yield)
}

// wanted returns the head of a tenant, to be released, nil if there is none or the selection asks other stores.
func (h *Heads) wanted(ctx context.Context, id string, s Select) (*head, error) {
	external := labels.EmptyLabels()
	if len(s.Stores) > 0 {
		external = labels.FromMap(h.opts.Config.BlockLabels(id, h.opts.Replica)).WithoutEmpty()
	}
	if ok, err := StoreWanted(ctx, s.Stores, HeadAddress, external); err != nil || !ok {
		return nil, err
	}
	return h.head(id, false)
}

// deleted returns what of the tenant's samples must not be seen.
func (h *Heads) deleted(id string) *Deletions {
	if h.opts.Deleted == nil {
		return nil
	}
	return h.opts.Deleted(id)
}

// LabelNames implements Source.
func (h *Heads) LabelNames(ctx context.Context, id string, s Select) ([]string, error) {
	return h.labels(ctx, id, s, func(q storage.Querier, ms []*labels.Matcher, hints *storage.LabelHints) ([]string, error) {
		names, _, err := q.LabelNames(ctx, hints, ms...)
		return names, err
	}, labelQuestion.names)
}

// LabelValues implements Source.
func (h *Heads) LabelValues(ctx context.Context, id, name string, s Select) ([]string, error) {
	return h.labels(ctx, id, s, func(q storage.Querier, ms []*labels.Matcher, hints *storage.LabelHints) ([]string, error) {
		values, _, err := q.LabelValues(ctx, name, hints, ms...)
		return values, err
	}, func(q labelQuestion) ([]string, error) { return q.values(name) })
}

func (h *Heads) labels(ctx context.Context, id string, s Select, ask func(storage.Querier, []*labels.Matcher, *storage.LabelHints) ([]string, error),
	answer func(labelQuestion) ([]string, error),
) ([]string, error) {
	t, err := h.wanted(ctx, id, s)
	if err != nil || t == nil {
		return nil, err
	}
	defer t.release()
	ms, err := ToMatchers(s.Matchers)
	if err != nil {
		return nil, err
	}
	q, err := t.db.Querier(s.Start, s.End)
	if err != nil {
		return nil, fmt.Errorf("open head: %w", err)
	}
	hints := &storage.LabelHints{Limit: s.Limit}
	gone := h.deleted(id).Overlapping(s.Start, s.End)
	if gone != nil {
		hints.Limit = 0 // that of the TSDB counts what is deleted
	}
	found, err := answer(labelQuestion{gone: gone, matchers: ms,
		all: func(ms []*labels.Matcher) ([]string, error) { return ask(q, ms, hints) },
		left: func(ms []*labels.Matcher, limit int, yield func(labels.Labels) bool) error {
			left := Select{Matchers: FromMatchers(ms), Start: s.Start, End: s.End, Limit: limit, SkipChunks: true}
			return h.selectSeries(ctx, id, left, func(cs *ChunkSeries, _ error) bool { return yield(cs.Labels) })
		}})
	found = cloneStrings(found)
	slices.Sort(found)
	if s.Limit > 0 && len(found) > s.Limit {
		found = found[:s.Limit]
	}
	return found, errors.Join(err, q.Close())
}

// Metadata implements Source. That of a tenant whose database is closed is read from its file.
func (h *Heads) Metadata(_ context.Context, id, metric string, limit int) (map[string][]metadata.Metadata, error) {
	t, err := h.head(id, false)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return h.shutMetadata(id).get(metric, limit), nil
	}
	defer t.release()
	return maps.Clone(t.meta.get(metric, limit)), nil
}
