package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// PageSize is the size of a page. The columns that a search opens are often of a few kilobytes, and apart:
// larger pages would read, and keep, mostly what nobody asked for.
const PageSize = 16 << 10

// maxHole is the number of cached pages between two missing runs that are fetched again, rather than
// to send two requests: a request to object storage costs as much as reading some hundred kilobytes.
const maxHole = 4

// maxRange bounds the range of one call.
const maxRange = 1 << 30

// RangeReader is the source of Pages, a bucket.Ranger: it returns n bytes of an object from off on,
// fewer only if the object ends there.
type RangeReader interface {
	ReadRange(ctx context.Context, name string, off, n int64) ([]byte, error)
}

// Pages reads ranges of objects through a Cache. It is a RangeReader itself. Safe for concurrent use.
type Pages struct {
	src    RangeReader
	cache  Cache
	shared *Redis // nil: none

	fetched prometheus.Counter
	joined  prometheus.Counter

	mu      sync.Mutex
	flights map[Key]*flight
}

// flight is a page that somebody is fetching.
type flight struct {
	done chan struct{} // closed when data and err are set
	data []byte
	err  error
}

// NewPages puts c in front of src.
func NewPages(src RangeReader, c Cache, reg prometheus.Registerer) (*Pages, error) {
	p := &Pages{
		src: src, cache: c, flights: map[Key]*flight{},
		fetched: prometheus.NewCounter(prometheus.CounterOpts{Name: "hune_cache_fetched_bytes_total", Help: "Bytes fetched from the bucket into the cache."}),
		joined:  prometheus.NewCounter(prometheus.CounterOpts{Name: "hune_cache_joined_total", Help: "Pages that were being fetched already when they were asked for."}),
	}
	if reg == nil {
		return p, nil
	}
	return p, errors.Join(reg.Register(p.fetched), reg.Register(p.joined))
}

// Share has pages that the cache misses asked of r before they are fetched, and written to r then. It must be called
// before the first read.
func (p *Pages) Share(r *Redis) { p.shared = r }

// ReadRange returns n bytes of object name from off on, fewer only if the object ends there. Nobody
// may write to the result.
//
// Missing pages next to each other are fetched with one request. A page that another caller is
// fetching is waited for; should that caller give up, this one fetches it.
func (p *Pages) ReadRange(ctx context.Context, name string, off, n int64) ([]byte, error) {
	r, err := p.read(ctx, name, off, n)
	if err != nil || n == 0 {
		return nil, err
	}
	off -= r.first * PageSize
	if len(r.pages) == 1 {
		// Fast path: no copy.
		page := r.pages[0]
		off = min(off, int64(len(page)))
		end := min(off+n, int64(len(page)))
		return page[off:end:end], nil
	}
	return r.append(make([]byte, 0, n), off, n), nil
}

// AppendRange is ReadRange into memory of the caller: it appends the bytes to dst.
func (p *Pages) AppendRange(ctx context.Context, dst []byte, name string, off, n int64) ([]byte, error) {
	r, err := p.read(ctx, name, off, n)
	if err != nil || n == 0 {
		return dst, err
	}
	return r.append(dst, off-r.first*PageSize, n), nil
}

// Views returns the parts of pages that make up a range: together the n bytes of object name from off on, fewer only if the
// object ends there. Nothing is copied: nobody may write to them.
func (p *Pages) Views(ctx context.Context, name string, off, n int64) ([][]byte, error) {
	r, err := p.read(ctx, name, off, n)
	if err != nil || n == 0 {
		return nil, err
	}
	at, out := off-r.first*PageSize, r.pages[:0]
	for _, page := range r.pages {
		k := min(at, int64(len(page)))
		part := page[k:min(int64(len(page)), k+n)]
		out = append(out, part[:len(part):len(part)])
		n -= int64(len(part))
		if len(page) < PageSize {
			break // the object ends here
		}
		at = 0
	}
	return out, nil
}

// read gets the pages of a range.
func (p *Pages) read(ctx context.Context, name string, off, n int64) (*pageRead, error) {
	if off < 0 || n < 0 || n > maxRange {
		return nil, fmt.Errorf("read %s: range %d+%d is not valid", name, off, n)
	}
	if n == 0 {
		return nil, nil
	}
	first, last := off/PageSize, (off+n-1)/PageSize
	r := &pageRead{p: p, name: name, first: first, pages: make([][]byte, last-first+1)}
	for i := range r.pages {
		if data, ok := p.cache.Get(ctx, r.key(i)); ok {
			r.pages[i] = data
		}
	}
	if err := r.complete(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// pageRead is one call of ReadRange.
type pageRead struct {
	p     *Pages
	name  string
	first int64
	pages [][]byte // nil: missing; a page at or beyond the end of the object is short, maybe empty
}

func (r *pageRead) key(i int) Key { return Key{r.name, r.first + int64(i)} }

// complete gets the missing pages.
func (r *pageRead) complete(ctx context.Context) error {
	for {
		mine, others := r.claim()
		if len(mine) > 0 {
			if err := r.fetch(ctx, mine); err != nil {
				return err
			}
		}
		retry, err := r.await(ctx, others)
		if err != nil || !retry {
			return err
		}
	}
}

// claim announces a flight for each missing page, unless there is one.
func (r *pageRead) claim() (mine, others map[int]*flight) {
	p := r.p
	for i, data := range r.pages {
		if data != nil {
			continue
		}
		if mine == nil {
			mine, others = map[int]*flight{}, map[int]*flight{}
			p.mu.Lock()
			defer p.mu.Unlock()
		}
		if f, ok := p.flights[r.key(i)]; ok {
			others[i] = f
			p.joined.Inc()
			continue
		}
		f := &flight{done: make(chan struct{})}
		p.flights[r.key(i)] = f
		mine[i] = f
	}
	return mine, others
}

var errAborted = errors.New("fetch was aborted")

// fetch gets the pages that this call claimed, and lands every flight whatever happens.
func (r *pageRead) fetch(ctx context.Context, mine map[int]*flight) (err error) {
	defer func() {
		for i, f := range mine {
			f.data = r.pages[i]
			if f.data == nil {
				f.err = errors.Join(err, errAborted)
			}
		}
		r.p.mu.Lock()
		for i := range mine {
			delete(r.p.flights, r.key(i))
		}
		r.p.mu.Unlock()
		for _, f := range mine {
			close(f.done)
		}
	}()
	if r.p.shared != nil {
		r.fetchShared(ctx, mine)
	}
	missing := func(i int) bool { return mine[i] != nil && r.pages[i] == nil }
	for i := 0; i < len(r.pages); i++ {
		if !missing(i) {
			continue
		}
		end := i + 1 // of the run: the page after the last one that is missing
		for k := end; k < len(r.pages) && k <= end+maxHole; k++ {
			if missing(k) {
				end = k + 1
			}
		}
		if err := r.fetchRun(ctx, i, end, mine); err != nil {
			return err
		}
		i = end - 1
	}
	return nil
}

// fetchShared gets those of the pages that Redis has.
func (r *pageRead) fetchShared(ctx context.Context, mine map[int]*flight) {
	at := slices.Sorted(maps.Keys(mine))
	keys := make([]Key, len(at))
	for k, i := range at {
		keys[k] = r.key(i)
	}
	r.p.shared.get(ctx, keys, func(k int, data []byte) {
		r.pages[at[k]] = data
		r.p.cache.Set(ctx, keys[k], data)
	})
}

func (r *pageRead) fetchRun(ctx context.Context, from, to int, mine map[int]*flight) error {
	start := (r.first + int64(from)) * PageSize
	buf, err := r.p.src.ReadRange(ctx, r.name, start, int64(to-from)*PageSize)
	if err != nil {
		return err
	}
	r.p.fetched.Add(float64(len(buf)))
	for i := from; i < to; i++ {
		page := buf[min(len(buf), (i-from)*PageSize):min(len(buf), (i-from+1)*PageSize)]
		if mine[i] == nil || r.pages[i] != nil {
			continue
		}
		if to-from > 1 {
			// A page must not keep the whole run in memory.
			page = bytes.Clone(page)
		}
		if page == nil {
			page = []byte{}
		}
		r.pages[i] = page
		r.p.cache.Set(ctx, r.key(i), page)
		if r.p.shared != nil {
			r.p.shared.put(r.key(i), page)
		}
	}
	return nil
}

// await takes over what others fetched. It asks for another round if one of them gave up.
func (r *pageRead) await(ctx context.Context, others map[int]*flight) (retry bool, err error) {
	for i, f := range others {
		select {
		case <-f.done:
		case <-ctx.Done():
			return false, fmt.Errorf("read %s: %w", r.name, context.Cause(ctx))
		}
		switch {
		case f.err == nil:
			r.pages[i] = f.data
		case gaveUp(f.err) && ctx.Err() == nil:
			retry = true
		default:
			return false, f.err
		}
	}
	return retry, nil
}

// gaveUp reports whether err is about the caller that met it rather than about the object.
func gaveUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// append appends n bytes from off on, counted from the first page.
func (r *pageRead) append(dst []byte, off, n int64) []byte {
	for _, page := range r.pages {
		k := min(off, int64(len(page)))
		part := page[k:min(int64(len(page)), k+n)]
		dst = append(dst, part...)
		n -= int64(len(part))
		if len(page) < PageSize {
			break // the object ends here
		}
		off = 0
	}
	return dst
}
