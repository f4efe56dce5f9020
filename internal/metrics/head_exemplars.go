package metrics

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
)

// Exemplars implements Source. Exemplars are in the head only; those of a tenant whose database is closed are read from its file.
func (h *Heads) Exemplars(ctx context.Context, id string, start, end int64, matchers [][]Matcher) ([]ExemplarSeries, error) {
	t, err := h.head(id, false)
	if err != nil {
		return nil, err
	}
	defer t.release()
	if h.opts.Config.MaxExemplars == 0 {
		return nil, nil
	}
	sets := make([][]*labels.Matcher, 0, len(matchers))
	for _, ms := range matchers {
		set, err := ToMatchers(ms)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	if t == nil {
		return h.shutExemplars(ctx, id, start, end, sets), nil
	}
	q, err := t.db.ExemplarQuerier(ctx)
	if err != nil {
		return nil, fmt.Errorf("open exemplars: %w", err)
	}
	found, err := q.Select(start, end, sets...)
	if err != nil {
		return nil, fmt.Errorf("select exemplars: %w", err)
	}
	gone := t.goneExemplars().Overlapping(start, end)
	older, err := t.exemplars.matching(start, end, sets)
	if err != nil {
		addWarning(ctx, fmt.Errorf("older exemplars are left out of the answer: %w", err))
	}
	out := undeleted(older, gone)
	for _, f := range found {
		if left := exemplarsLeft(f.Exemplars, gone, f.SeriesLabels); len(left) > 0 {
			out = append(out, ExemplarSeries{Labels: f.SeriesLabels, Exemplars: left})
		}
	}
	return out, nil
}

// exemplarsLeft returns those of a series that are not deleted.
func exemplarsLeft(list []exemplar.Exemplar, gone *Deletions, ls labels.Labels) []exemplar.Exemplar {
	intervals := gone.intervals(ls, 0)
	if len(intervals) == 0 {
		return list
	}
	return slices.DeleteFunc(list, func(e exemplar.Exemplar) bool { return touched(e.Ts, e.Ts, intervals) })
}

// hiddenExemplars remembers what is deleted of a tenant for its exemplars. These are in memory until newer ones
// take their place: no compaction removes them, so a request hides them after it is processed, too. Those in the file are
// removed from it, and a restart drops the others, which are older than the log.
type hiddenExemplars struct {
	mu   sync.Mutex
	byID map[string]Deletion
}

// with takes over what is deleted now and returns that and what was before.
func (e *hiddenExemplars) with(active *Deletions) *Deletions {
	e.mu.Lock()
	defer e.mu.Unlock()
	if active != nil && e.byID == nil {
		e.byID = map[string]Deletion{}
	}
	for i := range active.Len() {
		e.byID[active.list[i].ID] = active.list[i]
	}
	return NewDeletions(slices.Collect(maps.Values(e.byID)))
}

// forget drops what has nothing to hide.
func (e *hiddenExemplars) forget(hides func(Deletion) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.DeleteFunc(e.byID, func(_ string, d Deletion) bool { return !hides(d) })
}

// goneExemplars is what is deleted of the tenant's exemplars.
func (t *head) goneExemplars() *Deletions {
	var active *Deletions
	if t.opts.Deleted != nil {
		active = t.opts.Deleted(t.tenant)
	}
	return t.hiddenExemplars.with(active)
}

// rememberDeletions keeps hiding exemplars when requests are processed, and removes them from the file.
func (h *Heads) rememberDeletions(ctx context.Context, t *head) error {
	if err := t.exemplars.purge(h.deleted(t.tenant), t.goneExemplars()); err != nil {
		return fmt.Errorf("remove exemplars: %w", err)
	}
	q, err := t.db.ExemplarQuerier(ctx)
	if err != nil {
		return fmt.Errorf("open exemplars: %w", err)
	}
	t.hiddenExemplars.forget(func(d Deletion) bool {
		found, selectErr := q.Select(d.Start, d.End, d.Matchers)
		if selectErr != nil {
			err = fmt.Errorf("select exemplars: %w", selectErr)
		}
		return selectErr != nil || len(found) > 0
	})
	return err
}
