package ingester

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// tails hands entries to live tails as they are acknowledged. A tail that reads too slowly loses
// entries, and is told how many; it never holds up a write.
type tails struct {
	buffer, perTenant int

	mu   sync.RWMutex
	subs map[string]map[*tail]struct{}
}

type tail struct {
	matchers []*labels.Matcher
	rows     chan *logs.Rows

	mu      sync.Mutex
	dropped int // since the last rows that got through
}

func newTails(buffer, perTenant int) *tails {
	return &tails{buffer: buffer, perTenant: perTenant, subs: map[string]map[*tail]struct{}{}}
}

func (ts *tails) subscribe(tenant string, t *tail) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	subs := ts.subs[tenant]
	if len(subs) >= ts.perTenant {
		return fault.Errorf(fault.RateLimited, "max concurrent tail requests limit exceeded, count > limit (%d > %d)", len(subs)+1, ts.perTenant)
	}
	if subs == nil {
		subs = map[*tail]struct{}{}
		ts.subs[tenant] = subs
	}
	subs[t] = struct{}{}
	return nil
}

func (ts *tails) unsubscribe(tenant string, t *tail) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.subs[tenant], t)
	if len(ts.subs[tenant]) == 0 {
		delete(ts.subs, tenant)
	}
}

// publish offers b to the tenant's tails. Lines are copied once for all of them: the batch belongs
// to the writer.
func (ts *tails) publish(tenant string, b *logs.Batch) {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	subs := ts.subs[tenant]
	if len(subs) == 0 {
		return
	}
	for _, s := range b.Streams {
		var rows *logs.Rows
		for t := range subs {
			if !matchesAll(t.matchers, s.Labels) {
				continue
			}
			if rows == nil {
				rows = rowsOf(s)
			}
			t.offer(rows)
		}
	}
}

func (t *tail) offer(rows *logs.Rows) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dropped > 0 {
		shared := *rows
		shared.Dropped = t.dropped
		rows = &shared
	}
	select {
	case t.rows <- rows:
		t.dropped = 0
	default:
		t.dropped += len(rows.Timestamps)
	}
}

func rowsOf(s logs.Stream) *logs.Rows {
	n := len(s.Entries)
	r := &logs.Rows{Streams: []labels.Labels{s.Labels}, Stream: make([]uint32, n), Timestamps: make([]int64, n),
		Lines: make([][]byte, n), Metadata: make([][]logs.Label, n)}
	for i, e := range s.Entries {
		r.Timestamps[i], r.Lines[i], r.Metadata[i] = e.Timestamp, []byte(e.Line), e.Metadata
	}
	return r
}

func matchesAll(ms []*labels.Matcher, ls labels.Labels) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// TailLogs yields entries of matching streams as they are acknowledged, from now until ctx ends.
// Entries come in the order of their writes. Rows.Dropped counts what a slow reader missed. The first
// rows are empty and say that the tail has begun: what is written after them is not missed.
func (i *Ingester) TailLogs(ctx context.Context, tenant string, s logs.Select) iter.Seq2[*logs.Rows, error] {
	return func(yield func(*logs.Rows, error) bool) {
		t := &tail{rows: make(chan *logs.Rows, i.tails.buffer)}
		for _, m := range s.Matchers {
			compiled, err := labels.NewMatcher(m.Type, m.Name, m.Value)
			if err != nil {
				yield(nil, fault.New(fault.Invalid, fmt.Errorf("matcher on %s: %w", m.Name, err)))
				return
			}
			t.matchers = append(t.matchers, compiled)
		}
		if err := i.tails.subscribe(tenant, t); err != nil {
			yield(nil, err)
			return
		}
		defer i.tails.unsubscribe(tenant, t)
		if !yield(&logs.Rows{}, nil) {
			return
		}
		for {
			select {
			case rows := <-t.rows:
				if !yield(rows, nil) {
					return
				}
			case <-ctx.Done():
				return
			case <-i.stopping:
				yield(nil, fault.Errorf(fault.Unavailable, "the server is shutting down"))
				return
			}
		}
	}
}
