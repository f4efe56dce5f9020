package metrics

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// AddressLabel is the label by which Query.Stores names a store: host:port of another server, or one of the
// local ones.
const AddressLabel = "__address__"

// The addresses of what this process holds itself.
const (
	HeadAddress   = "local/head"
	BucketAddress = "local/bucket"
)

// StoreStatus is what is known of a store: an answer to which ones there are.
type StoreStatus struct {
	Address          string
	Component        string // Thanos's word for what it is, such as sidecar; empty before it answered
	LabelSets        []labels.Labels
	MinTime, MaxTime int64 // milliseconds
	Checked          time.Time
	Err              error
}

// StoreWanted reports whether a store is among those that a query asks, see Query.Stores: of one of the sets all
// matchers match one of its label sets and its address. A label that a store hasn't is not asked about, as in Thanos.
// A query for which no store is wanted gets a warning.
func StoreWanted(ctx context.Context, stores [][]Matcher, address string, sets ...labels.Labels) (bool, error) {
	if len(stores) == 0 {
		return true, nil
	}
	if len(sets) == 0 {
		sets = []labels.Labels{labels.EmptyLabels()}
	}
	for _, store := range stores {
		ms, err := ToMatchers(store)
		if err != nil {
			return false, err
		}
		for _, set := range sets {
			if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool {
				if m.Name == AddressLabel {
					return !m.Matches(address)
				}
				return set.Has(m.Name) && !m.Matches(set.Get(m.Name))
			}) {
				if w, ok := ctx.Value(warningsKey{}).(*warnings); ok {
					w.stores.Add(1)
				}
				return true, nil
			}
		}
	}
	return false, nil
}

// Store is the head and the blocks on the local disk of a tenant as a store.
func (h *Heads) Store(id string) StoreStatus {
	s := StoreStatus{Address: HeadAddress, Component: "receive", MinTime: math.MaxInt64, MaxTime: math.MinInt64, Checked: h.opts.Now(),
		LabelSets: []labels.Labels{labels.FromMap(h.opts.Config.BlockLabels(id, h.opts.Replica)).WithoutEmpty()}}
	t, err := h.head(id, false)
	if s.Err = err; err != nil || t == nil {
		return s
	}
	defer t.release()
	if oldest, ok := oldestOf(t.db.Head()); ok {
		s.MinTime, s.MaxTime = oldest, t.db.Head().MaxTime()
	}
	for _, b := range t.db.Blocks() {
		s.MinTime, s.MaxTime = min(s.MinTime, b.MinTime()), max(s.MaxTime, b.MaxTime())
	}
	return s
}

// Store is the blocks of a tenant as a store, with the label sets of all of them.
func (s *BlockStore) Store(id string) StoreStatus {
	out := StoreStatus{Address: BucketAddress, Component: "store", MinTime: math.MaxInt64, MaxTime: math.MinInt64, Checked: s.opts.Now()}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.active[id] {
		out.MinTime, out.MaxTime = min(out.MinTime, m.MinTime), max(out.MaxTime, m.MaxTime)
		if set := labels.FromMap(m.Thanos.Labels); !slices.ContainsFunc(out.LabelSets, func(ls labels.Labels) bool { return labels.Equal(ls, set) }) {
			out.LabelSets = append(out.LabelSets, set)
		}
	}
	return out
}
