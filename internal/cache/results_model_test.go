package cache_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/cache/redistest"
	"github.com/hune-io/hune/internal/frontend/resultcache"
)

// answer is a value for each evaluation time.
type answer []point

type point struct{ T, V int64 }

var codec = resultcache.Codec[answer]{
	Cut: func(a answer, from, to int64) answer {
		return slices.DeleteFunc(slices.Clone(a), func(p point) bool { return p.T < from || p.T > to })
	},
	Join: func(parts []answer) answer { return slices.Concat(parts...) },
	Size: func(a answer) int64 { return int64(16 * len(a)) },
	Append: func(dst []byte, a answer) ([]byte, bool, error) {
		b, err := json.Marshal(a)
		return append(dst, b...), err == nil, err
	},
	Decode: func(b []byte) (a answer, err error) { return a, json.Unmarshal(b, &a) },
}

const (
	freshness = 20 // how old an answer is at least to be kept
	window    = 15 // what an evaluation time counts
	width     = 5  // step
)

// row is something that a process acknowledged.
type row struct{ owner, at int64 }

// world is two processes, the rows that they have, and the server that they share.
type world struct {
	server  *redistest.Server
	up      bool
	paused  bool
	now     int64
	mu      sync.Mutex
	rows    []row
	deletes int64 // requests to delete: number n deletes the rows whose time is n modulo 7, of those there are
	gone    map[row]int64
	procs   []*proc
}

// proc is a process: a frontend that queries the rows of all processes that it knows of, with its cache.
type proc struct {
	id      int64
	results *cache.Results
	cache   *resultcache.Cache[answer]
	changes resultcache.Changes
	alone   atomic.Bool
	known   atomic.Int64 // how many of the requests to delete
}

// sees reports whether p counts a row, which its owner gives unless it knows that it is deleted. w.mu must be held.
func (w *world) sees(p *proc, r row) bool {
	if n, ok := w.gone[r]; ok && n <= w.procs[r.owner].known.Load() {
		return false
	}
	return r.owner == p.id || !p.alone.Load()
}

func (w *world) truth(p *proc, start, end int64) answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out answer
	for t := start; t <= end; t += width {
		n := int64(0)
		for _, r := range w.rows {
			if r.at > t-window && r.at <= t && w.sees(p, r) {
				n++
			}
		}
		out = append(out, point{t, n})
	}
	return out
}

// takeBack is what a process does between what it has done and that it acknowledges it.
func (w *world) takeBack(t *rapid.T, p *proc, from int64) {
	p.changes.Note("t", from)
	require.NoError(t, p.results.TakeBack(context.Background(), "t"))
}

// act does one thing that isn't a query.
func (w *world) act(t *rapid.T) {
	p := w.procs[rapid.IntRange(0, len(w.procs)-1).Draw(t, "process")]
	switch rapid.SampledFrom([]string{"write", "write", "late", "late", "later", "delete", "learn", "kill", "start", "start", "pause", "resume", "resume", "flush", "save", "meet", "part", "lease", "outage", "outage", "outage", "deletion"}).Draw(t, "action") {
	case "write":
		at := w.now - rapid.Int64Range(0, freshness-1).Draw(t, "age")
		w.add(row{p.id, at})
	case "late":
		at := rapid.Int64Range(0, w.now-freshness).Draw(t, "at")
		w.add(row{p.id, at})
		w.takeBack(t, p, at)
	case "later":
		w.now += rapid.Int64Range(0, 40).Draw(t, "by")
	case "delete":
		w.delete(t, p)
	case "learn":
		p.known.Store(w.deletes)
	case "meet":
		p.alone.Store(false)
	case "part":
		p.alone.Store(true)
	case "lease":
		w.awaitLeases()
	case "outage":
		w.outage(t)
	case "deletion":
		w.deletion(t)
	default:
		w.serverDoes(t)
	}
}

// delete has p carry out a request to delete.
func (w *world) delete(t *rapid.T, p *proc) {
	w.mu.Lock()
	w.deletes++
	for _, r := range w.rows {
		if _, ok := w.gone[r]; !ok && r.at%7 == w.deletes%7 {
			w.gone[r] = w.deletes
		}
	}
	p.known.Store(w.deletes) // it knew all before
	w.mu.Unlock()
	w.takeBack(t, p, 0)
}

// together has both processes know of each other, and of all requests to delete, and waits until they share answers.
func (w *world) together() {
	w.start()
	for _, p := range w.procs {
		p.alone.Store(false)
		p.known.Store(w.deletes)
	}
	w.awaitLeases()
}

// deletion deletes rows that both processes have, of which one hears later.
func (w *world) deletion(t *rapid.T) {
	w.together()
	first := rapid.IntRange(0, 1).Draw(t, "process")
	for _, p := range w.procs {
		at := (w.now - freshness) / 7 * 7
		at -= (at - w.deletes - 1) % 7
		w.add(row{p.id, at})
		w.takeBack(t, p, at)
	}
	w.delete(t, w.procs[first])
	for i := range w.procs {
		w.queryOf(t, i, "a", 0, w.now, nil)
	}
	w.procs[1-first].known.Store(w.deletes)
	for range 2 {
		for i := range w.procs {
			w.queryOf(t, i, "a", 0, w.now, nil)
		}
		w.awaitLeases()
	}
}

// outage has something kept, and written while the server is not there, or not there any more when it comes back.
func (w *world) outage(t *rapid.T) {
	w.together()
	w.queryOf(t, 0, "a", 0, w.now, nil)
	w.awaitLeases()
	late := func() {
		p := w.procs[rapid.IntRange(0, 1).Draw(t, "process")]
		at := rapid.Int64Range(max(0, w.now-60), w.now-freshness).Draw(t, "at")
		w.add(row{p.id, at})
		w.takeBack(t, p, at)
	}
	switch how := rapid.SampledFrom([]string{"pause", "kill", "forget"}).Draw(t, "how"); how {
	case "pause":
		w.server.Pause()
		late()
		w.server.Resume()
	case "kill", "forget":
		w.server.Do("SAVE")
		if how == "forget" {
			late()
		}
		w.server.Kill()
		if how == "kill" {
			late()
		}
		w.server.Start()
	}
	for range 3 {
		for i := range w.procs {
			w.queryOf(t, i, "a", 0, w.now, nil)
		}
		w.awaitLeases()
	}
}

func (w *world) add(r row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows = append(w.rows, r)
	delete(w.gone, r) // written after it was deleted
}

func (w *world) serverDoes(t *rapid.T) {
	switch what := rapid.SampledFrom([]string{"kill", "start", "pause", "resume", "flush", "save"}).Draw(t, "server"); {
	case what == "kill" && w.up:
		w.server.Kill()
		w.up, w.paused = false, false
	case what == "start":
		w.start()
	case what == "pause" && w.up && !w.paused:
		w.server.Pause()
		w.paused = true
	case what == "resume" && w.paused:
		w.server.Resume()
		w.paused = false
	case what == "flush" && w.up && !w.paused:
		w.server.Do("FLUSHALL")
	case what == "save" && w.up && !w.paused:
		w.server.Do("SAVE")
	}
}

func (w *world) start() {
	if !w.up {
		w.server.Start()
		w.up = true
	}
	if w.paused {
		w.server.Resume()
		w.paused = false
	}
}

// awaitLeases waits until answers are shared, and for those that wait to be written, for a moment.
func (w *world) awaitLeases() {
	if !w.up || w.paused || w.procs[0].known.Load() != w.procs[1].known.Load() && !w.procs[0].alone.Load() {
		return
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		ready := true
		for _, p := range w.procs {
			v, _ := p.results.Look(context.Background(), "t", "", false)
			ready = ready && v.State != cache.Unsure && p.results.Queued() == 0
		}
		if ready {
			return
		}
	}
}

// query asks a process, while something else may happen.
func (w *world) query(t *rapid.T) {
	start := width * rapid.Int64Range(0, 30).Draw(t, "start")
	end := start + width*rapid.Int64Range(0, 20).Draw(t, "length")
	var meanwhile func()
	if rapid.IntRange(0, 3).Draw(t, "disturb") == 0 {
		meanwhile = func() { w.act(t) }
	}
	w.queryOf(t, rapid.IntRange(0, len(w.procs)-1).Draw(t, "process"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), start, end, meanwhile)
}

// queryOf wants of a process what there is at this moment. If something happens meanwhile either will do, but not for the
// next one who asks.
func (w *world) queryOf(t *rapid.T, process int, key string, start, end int64, meanwhile func()) {
	p := w.procs[process]
	end = start + (end-start)/width*width
	r := resultcache.Request{Tenant: "t", Key: key, Start: start, End: end, Step: width, Fresh: w.now - freshness, Token: p.known.Load()}
	var once sync.Once
	disturbed := false
	got, _, err := p.cache.Get(context.Background(), r, func(_ context.Context, start, end int64) (answer, error) {
		early := w.truth(p, start, end)
		once.Do(func() {
			if meanwhile != nil {
				disturbed = true
				meanwhile()
			}
		})
		return early, nil
	})
	require.NoError(t, err)
	if !disturbed {
		require.Equal(t, w.truth(p, r.Start, r.End), got)
	}
}

func (w *world) run(t *rapid.T, n int64) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for id := range int64(2) {
		p := &proc{id: id}
		logger := slog.New(slog.DiscardHandler)
		cfg := cache.DefaultConfig().Redis
		cfg.Addresses, cfg.Timeout, cfg.Prefix = []string{w.server.Addr}, model.Duration(100*time.Millisecond), fmt.Sprintf("%d:", n)
		redis, err := cache.NewRedis(cfg, logger, prometheus.NewRegistry())
		require.NoError(t, err)
		p.results, err = cache.NewResults(redis, cache.ResultsOptions{Self: func() string { return fmt.Sprint(id) }, Settled: time.Hour, Deleted: func() uint64 { return uint64(p.known.Load()) }, Logger: logger, Registerer: prometheus.NewRegistry(),
			Others: func() []string {
				if p.alone.Load() {
					return nil
				}
				return []string{fmt.Sprint(1 - id)}
			}})
		require.NoError(t, err)
		p.results.Quicken()
		p.cache = resultcache.New(resultcache.Options[answer]{Size: rapid.SampledFrom([]int64{1, 20_000}).Draw(t, "size"), Codec: codec, Changes: &p.changes, Shared: p.results,
			Registerer: prometheus.NewRegistry(), Name: "test"})
		running.Go(func() { _ = redis.Run(ctx) })
		running.Go(func() { _ = p.results.Run(ctx) })
		w.procs = append(w.procs, p)
	}
	return func() { cancel(); running.Wait() }
}

// No answer of any process is older than what was acknowledged before it was asked for, whatever is written, late or not,
// and deleted, whichever processes know of each other, and whatever becomes of the server: unreachable, standing still,
// restarted with what it held a while ago, flushed.
func TestSharedIsUncached(t *testing.T) {
	t.Parallel() // it waits much
	fewer(t, "12")
	server := redistest.New(t)
	checks, found := int64(0), 0
	rapid.Check(t, func(t *rapid.T) {
		checks++
		w := &world{server: server, now: 100, gone: map[row]int64{}}
		server.Kill()
		w.start()
		stop := w.run(t, checks)
		defer stop()
		defer w.start() // nobody waits for a server that stands still
		w.awaitLeases()
		for range rapid.IntRange(1, 40).Draw(t, "actions") {
			if rapid.IntRange(0, 2).Draw(t, "query") > 0 {
				w.query(t)
			} else {
				w.act(t)
			}
		}
		for _, p := range w.procs {
			found += p.results.Found()
		}
	})
	if !testing.Short() { // few draws may share nothing
		require.Positive(t, found, "nothing was shared")
	}
}

// fewer has rapid make fewer checks than it does by itself, unless it was told how many.
func fewer(t *testing.T, n string) {
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() != checks.DefValue {
		return
	}
	require.NoError(t, checks.Value.Set(n))
	t.Cleanup(func() { require.NoError(t, checks.Value.Set(checks.DefValue)) })
}
