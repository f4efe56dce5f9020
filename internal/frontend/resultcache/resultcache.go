// Package resultcache keeps answers over ranges of time in the memory of the frontend, so that a dashboard that is
// shown again computes only what is new.
//
// An answer is values at evaluation times, a step apart. What is kept under a key is extents: ranges of evaluation
// times and the answer for them. A request takes what it finds, has the gaps computed, and leaves the whole for the
// next one. What the values are is the business of the signal, which says how to cut and to join them (Codec).
//
// An answer with parts from the cache is the same as one without:
//
//   - Times later than Request.Fresh are never kept: writes to them are still expected.
//   - Writes to earlier times, which are rare, are noted with Changes, by who acknowledges them. What they can have
//     changed is forgotten. Where writes are acknowledged in another process nobody notes them, and without Shared the
//     cache should keep nothing younger than they may be.
//   - With Shared, in company, nothing is used before it is known that no process has taken it back, and what is missing
//     here is looked for where the others leave theirs. Where that can't be known, the question is answered without
//     the cache.
//   - Request.Token stands for everything else that an answer depends on, such as which rows are deleted. Another
//     token forgets the extents.
//
// The same question asked while it is being answered waits for that answer (Flights).
package resultcache

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/cache"
)

// Codec says what can be done with answers of type T. An answer never changes once it is made: cutting and joining
// may share its memory.
type Codec[T any] struct {
	// Cut returns the answer for the evaluation times from..to, both inclusive.
	Cut func(v T, from, to int64) T
	// Join returns the answer for the times of all parts, which are ascending and apart.
	Join func(parts []T) T
	// Size is what an answer takes in memory, in bytes.
	Size func(v T) int64
	// Append appends the encoded answer to dst, if it can be encoded, and Decode decodes it and keeps nothing of b.
	// Both are required with Options.Shared.
	Append func(dst []byte, v T) (_ []byte, ok bool, err error)
	Decode func(b []byte) (T, error)
}

// Request is a question over a range of time.
type Request struct {
	Tenant string
	// Key is the question without its times, in a form that equal questions share.
	Key string
	// Start, Start+Step, … End are the evaluation times.
	Start, End, Step int64
	// Fresh is the last evaluation time whose answer is kept.
	Fresh int64
	// Ahead is how far behind an evaluation time rows can be that its value depends on.
	Ahead int64
	// Token is compared with ==, and where answers are shared by how it is printed.
	Token any
}

// Stats says what became of a request, in evaluation times.
type Stats struct {
	Requested, Found, Stored int64
}

// Options are what a cache is made of; all but Changes, Registerer and Shared are required.
type Options[T any] struct {
	// Size bounds the memory of the answers, in bytes.
	Size    int64
	Codec   Codec[T]
	Changes *Changes
	// Shared is where the processes of a cluster leave answers for each other. Nil: they don't.
	Shared *cache.Results
	// Registerer takes the metrics, told apart by Name.
	Registerer prometheus.Registerer
	Name       string
}

// Cache keeps answers. It forgets the ones that were not asked for longest. Safe for concurrent use.
type Cache[T any] struct {
	o        Options[T]
	requests *prometheus.CounterVec
	evicted  prometheus.Counter
	damaged  prometheus.Counter
	unshared prometheus.Counter

	mu      sync.Mutex
	entries map[string]*entry[T]
	size    int64
	oldest  *entry[T] // ends of the list by use
	newest  *entry[T]
}

// entry is what is kept under a key. Its extents are replaced, never changed.
type entry[T any] struct {
	key        string
	kept       kept[T]
	prev, next *entry[T]
}

// kept is extents, ascending and apart, as of a count of Changes, a token and a stamp.
type kept[T any] struct {
	extents []extent[T]
	size    int64
	seq     uint64
	token   any
	stamp   uint64 // of cache.View
	own     int64  // evaluation times that others were not left yet
}

// extent is the answer for the evaluation times from..to.
type extent[T any] struct {
	from, to int64
	v        T
}

const (
	// entryOverhead is what an entry takes beside its key and its answers.
	entryOverhead = 256
	// maxGaps bounds into how many questions a request is taken apart.
	maxGaps = 4
	// keepTimes is how many evaluation times before and after a request stay at least.
	keepTimes = 1000
	// share is which part of the cache one entry may take.
	share = 4
)

// New returns an empty cache.
func New[T any](o Options[T]) *Cache[T] {
	if o.Changes == nil {
		o.Changes = new(Changes)
	}
	c := &Cache[T]{o: o, entries: map[string]*entry[T]{}}
	f := promauto.With(o.Registerer)
	labels := prometheus.Labels{"cache": o.Name}
	c.requests = f.NewCounterVec(prometheus.CounterOpts{Name: "hune_result_cache_requests_total",
		Help: "Queries that could be answered from the cache of results, by what was found: all, some or none.", ConstLabels: labels}, []string{"found"})
	c.evicted = f.NewCounter(prometheus.CounterOpts{Name: "hune_result_cache_evictions_total", Help: "Cached results dropped to make room.", ConstLabels: labels})
	c.damaged = f.NewCounter(prometheus.CounterOpts{Name: "hune_result_cache_shared_damaged_total", Help: "Results of other members that could not be read.", ConstLabels: labels})
	c.unshared = f.NewCounter(prometheus.CounterOpts{Name: "hune_result_cache_unshared_total", Help: "Results that other members don't get: they are too large, or have very many annotations.", ConstLabels: labels})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "hune_result_cache_bytes", Help: "Memory that cached results take.", ConstLabels: labels},
		func() float64 { return float64(c.Bytes()) })
	return c
}

// Bytes returns how much memory the answers take.
func (c *Cache[T]) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// Get answers r from what is kept, and by ask, which is called for each gap, for several at once.
func (c *Cache[T]) Get(ctx context.Context, r Request, ask func(ctx context.Context, start, end int64) (T, error)) (T, Stats, error) {
	stats := Stats{Requested: r.count(r.Start, r.End)}
	// Before anything is asked: what changes meanwhile is found out by the next request.
	seq := c.o.Changes.now(r.Tenant)
	key := r.Tenant + "\x00" + r.Key
	old, view := c.look(ctx, key, &r, seq)
	if view.State == cache.Unsure {
		c.requests.WithLabelValues("none").Inc()
		v, err := ask(ctx, r.Start, r.End)
		return v, stats, err
	}
	found := old.within(&r, c.o.Codec.Cut)
	parts, err := c.fill(ctx, &r, found, ask)
	if err != nil {
		var none T
		return none, stats, err
	}
	for _, x := range found {
		stats.Found += r.count(x.from, x.to)
	}
	c.requests.WithLabelValues(foundWord(stats)).Inc()
	v := parts[0].v
	if len(parts) > 1 {
		v = c.join(parts)
	}
	if end := r.last(min(r.End, r.Fresh)); end >= r.Start && stats.Found < r.count(r.Start, end) && c.holds(view) {
		stats.Stored = r.count(r.Start, end) - min(stats.Found, r.count(r.Start, end))
		whole := extent[T]{r.Start, end, v}
		if end < r.End {
			whole.v = c.o.Codec.Cut(v, r.Start, end)
		}
		k := kept[T]{extents: c.merge(&r, old, whole), seq: seq, token: r.Token, stamp: view.Stamp, own: old.own + stats.Stored}
		c.share(&r, view, &k)
		c.store(key, k)
	}
	return v, stats, nil
}

func foundWord(s Stats) string {
	switch s.Found {
	case 0:
		return "none"
	case s.Requested:
		return "all"
	}
	return "some"
}

// count returns how many evaluation times from..to has; both are of the request's.
func (r *Request) count(from, to int64) int64 { return (to-from)/r.Step + 1 }

// last returns the last evaluation time at or before t; one before Start where there is none.
func (r *Request) last(t int64) int64 {
	if t < r.Start {
		return r.Start - r.Step
	}
	return r.Start + (t-r.Start)/r.Step*r.Step
}

// lookup returns what is kept under key and still true.
func (c *Cache[T]) lookup(key string, r *Request) kept[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return kept[T]{}
	}
	c.use(e)
	from, changed := c.o.Changes.since(r.Tenant, e.kept.seq)
	if e.kept.token != r.Token {
		c.drop(e)
		return kept[T]{}
	}
	if !changed {
		return e.kept
	}
	return e.kept.before(r, from-r.Ahead, c.o.Codec)
}

// before leaves the evaluation times before t.
func (k kept[T]) before(r *Request, t int64, codec Codec[T]) kept[T] {
	var out []extent[T]
	for _, x := range k.extents {
		// Extents of a key may stand on another grid than the request: the count is from their own start.
		to := x.to
		if to >= t {
			to = x.from + (t-1-x.from)/r.Step*r.Step
		}
		switch {
		case x.from >= t:
		case to == x.to:
			out = append(out, x)
		default:
			out = append(out, extent[T]{x.from, to, codec.Cut(x.v, x.from, to)})
		}
	}
	k.extents = out
	return k
}

// within returns the parts of extents that the request asks for.
func (k kept[T]) within(r *Request, cut func(T, int64, int64) T) []extent[T] {
	var out []extent[T]
	for _, x := range k.extents {
		if x.to < r.Start || x.from > r.End || (x.from-r.Start)%r.Step != 0 {
			continue
		}
		from, to := max(x.from, r.Start), min(x.to, r.End)
		to = from + (to-from)/r.Step*r.Step
		if from > x.from || to < x.to {
			x = extent[T]{from, to, cut(x.v, from, to)}
		}
		out = append(out, x)
	}
	for len(out) > maxGaps { // the shortest are not worth a gap
		i, least := 0, out[0].to-out[0].from
		for k, x := range out {
			if x.to-x.from < least {
				i, least = k, x.to-x.from
			}
		}
		out = slices.Delete(out, i, i+1)
	}
	return out
}

// fill returns found with the gaps between, asked for.
func (c *Cache[T]) fill(ctx context.Context, r *Request, found []extent[T], ask func(context.Context, int64, int64) (T, error)) ([]extent[T], error) {
	parts := make([]extent[T], 0, 2*len(found)+1)
	var gaps []int
	gap := func(from, to int64) {
		if from <= to {
			gaps, parts = append(gaps, len(parts)), append(parts, extent[T]{from: from, to: to})
		}
	}
	at := r.Start
	for _, x := range found {
		gap(at, x.from-r.Step)
		parts = append(parts, x)
		at = x.to + r.Step
	}
	gap(at, r.End)
	if len(gaps) == 1 { // Fast path: no goroutine.
		p := &parts[gaps[0]]
		var err error
		p.v, err = ask(ctx, p.from, p.to)
		return parts, err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, i := range gaps {
		p := &parts[i]
		g.Go(func() (err error) {
			p.v, err = ask(gctx, p.from, p.to)
			return err
		})
	}
	return parts, g.Wait()
}

func (c *Cache[T]) join(parts []extent[T]) T {
	vs := make([]T, len(parts))
	for i, p := range parts {
		vs[i] = p.v
	}
	return c.o.Codec.Join(vs)
}

// merge puts x among the extents of old: joined with those that it touches. What is further from x than x is long,
// and than keepTimes, is left out: dashboards move on.
func (c *Cache[T]) merge(r *Request, old kept[T], x extent[T]) []extent[T] {
	length := max(x.to-x.from+r.Step, keepTimes*r.Step)
	lo, hi := x.from-length, x.to+length
	var before, after, out []extent[T]
	for _, o := range old.extents {
		switch {
		case o.to < lo || o.from > hi || (o.from-x.from)%r.Step != 0:
		case o.to < x.from-r.Step || o.from > x.to+r.Step:
			out = append(out, o)
		default:
			if from := max(o.from, x.from-length); from < x.from {
				before = append(before, extent[T]{from, min(o.to, x.from-r.Step), c.o.Codec.Cut(o.v, from, min(o.to, x.from-r.Step))})
			}
			if to := min(o.to, x.to+length); to > x.to {
				after = append(after, extent[T]{max(o.from, x.to+r.Step), to, c.o.Codec.Cut(o.v, max(o.from, x.to+r.Step), to)})
			}
		}
	}
	if len(before)+len(after) > 0 {
		parts := append(append(before, x), after...)
		x = extent[T]{parts[0].from, parts[len(parts)-1].to, c.join(parts)}
	}
	out = append(out, x)
	slices.SortFunc(out, func(a, b extent[T]) int { return cmp.Compare(a.from, b.from) })
	return out
}

// store keeps k, unless it is too large.
func (c *Cache[T]) store(key string, k kept[T]) {
	k.size = entryOverhead + int64(len(key))
	for _, x := range k.extents {
		k.size += c.o.Codec.Size(x.v)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.entries[key]; old != nil {
		c.drop(old)
	}
	if k.size > c.o.Size/share {
		return
	}
	e := &entry[T]{key: key, kept: k}
	c.entries[key] = e
	c.size += k.size
	c.push(e)
	for c.size > c.o.Size {
		c.evicted.Inc()
		c.drop(c.oldest)
	}
}

// use makes e the newest. c.mu must be held, as for the others below.
func (c *Cache[T]) use(e *entry[T]) {
	c.unlink(e)
	c.push(e)
}

func (c *Cache[T]) push(e *entry[T]) {
	e.prev, e.next = c.newest, nil
	if c.newest != nil {
		c.newest.next = e
	} else {
		c.oldest = e
	}
	c.newest = e
}

func (c *Cache[T]) unlink(e *entry[T]) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		c.oldest = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		c.newest = e.prev
	}
}

func (c *Cache[T]) drop(e *entry[T]) {
	c.unlink(e)
	delete(c.entries, e.key)
	c.size -= e.kept.size
}
