package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"go.uber.org/goleak"

	"github.com/hune-io/hune/internal/fault"
)

// movingClock is a clock that tests set forward.
type movingClock struct{ ms atomic.Int64 }

func newMovingClock() *movingClock {
	c := &movingClock{}
	c.ms.Store(testNow.UnixMilli())
	return c
}

func (c *movingClock) now() time.Time           { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *movingClock) advance(by time.Duration) { c.ms.Add(by.Milliseconds()) }

// pass lets hours go by, with the periodic work of every tenth of one.
func (c *movingClock) pass(h *Heads, d time.Duration) {
	for range d / (6 * time.Minute) {
		c.advance(6 * time.Minute)
		h.maintainAll(testContext)
	}
}

// idleOptions are of heads that do their periodic work when the test says so.
func idleOptions(t *testing.T, clock *movingClock, bkt objstore.Bucket) HeadOptions {
	opts := testHeadOptions(t, t.TempDir(), bkt)
	opts.Now = clock.now
	opts.Config.ShipInterval = model.Duration(24 * time.Hour)
	return opts
}

// filesIn lists what is in a folder, below it too.
func filesIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			found = append(found, rel)
		}
		return err
	}))
	return found
}

// An idle tenant is closed when its head is cut and the stores have its blocks, not before, and comes back.
func TestIdleTenantsAreClosed(t *testing.T) {
	clock, bkt := newMovingClock(), objstore.NewInMemBucket()
	opts := idleOptions(t, clock, bkt)
	h, store := openTestHeads(t, opts), newTestStore(t, bkt)
	unrelated := goleak.IgnoreCurrent()
	push(t, h, "a", Series{Labels: labels.FromStrings(labels.MetricName, "m", "job", "test"), Samples: []Sample{{T: at(0), V: 1}},
		Metadata:  &metadata.Metadata{Type: model.MetricTypeGauge, Help: "help"},
		Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", "1"), Value: 1, Ts: at(0), HasTs: true}}})
	push(t, h, "b", floats("m", Sample{T: at(0), V: 1}))

	clock.pass(h, 3*time.Hour)
	require.Equal(t, []string{"a", "b"}, h.Tenants(), "neither was idle for longer")
	clock.pass(h, time.Hour)
	require.Equal(t, []string{"a", "b"}, h.Tenants(), "their blocks are not an hour in the bucket")
	require.Zero(t, testutil.ToFloat64(h.metrics.idleClosed))
	require.NoError(t, store.Refresh(t.Context()))
	clock.pass(h, 18*time.Minute)
	require.Empty(t, h.Tenants())
	require.Equal(t, 2.0, testutil.ToFloat64(h.metrics.idleClosed))
	goleak.VerifyNone(t, unrelated, goleak.IgnoreTopFunction("github.com/baidubce/bce-sdk-go/util/log.NewLogger.func1"))
	require.ElementsMatch(t, []string{"a/closed", "a/exemplars", "a/metadata.json"}, filesIn(t, opts.Dir), "b has nothing to keep")

	// Nothing of it opens a database, and all is found.
	found, err := h.Metadata(t.Context(), "a", "m", 0)
	require.NoError(t, err)
	require.Equal(t, map[string][]metadata.Metadata{"m": {{Type: model.MetricTypeGauge, Help: "help"}}}, found)
	require.Equal(t, []string{`{__name__="m", job="test"} 1`}, instant(t, "a", "m", at(0), h, store))
	require.True(t, h.Settled("a", at(time.Hour)))
	exemplars, err := h.Exemplars(t.Context(), "a", 0, latest, nil)
	require.NoError(t, err)
	require.Len(t, exemplars, 1)
	require.Empty(t, h.Tenants())

	now := clock.now().UnixMilli()
	push(t, h, "a", floats("m", Sample{T: now, V: 2}))
	require.Equal(t, []string{"a"}, h.Tenants())
	require.NoFileExists(t, filepath.Join(opts.Dir, "a", shutMark))
	require.Equal(t, []string{`{__name__="m", job="test"} 1`}, instant(t, "a", "m", at(0), h, store))
	require.Equal(t, []string{`{__name__="m", job="test"} 2`}, instant(t, "a", "m", now, h, store))
	clock.pass(h, 5*time.Hour)
	require.Empty(t, h.Tenants(), "idle once more")
	found, err = h.Metadata(t.Context(), "a", "m", 0)
	require.NoError(t, err)
	require.Len(t, found, 1)
}

// Of the memory of a tenant nothing worth counting is left.
func TestClosedTenantsAreForgotten(t *testing.T) {
	clock := newMovingClock()
	opts := idleOptions(t, clock, objstore.NewInMemBucket())
	h := openTestHeads(t, opts)
	push(t, h, "warm", floats("m", Sample{T: at(0), V: 1}))
	before := memoryInUse()
	const tenants = 20
	for i := range tenants {
		push(t, h, fmt.Sprint("t", i), floats("m", Sample{T: at(0), V: 1}))
	}
	open := memoryInUse() - before
	clock.advance(4 * time.Hour)
	h.maintainAll(t.Context())
	clock.advance(2 * time.Hour)
	push(t, h, "warm", floats("m", Sample{T: at(6 * time.Hour), V: 1}))
	h.maintainAll(t.Context())
	require.Equal(t, []string{"warm"}, h.Tenants())
	left := memoryInUse() - before
	t.Logf("%d KiB for each open tenant, %d KiB for each closed one with its blocks in the bucket's memory", open/tenants>>10, left/tenants>>10)
	require.Less(t, left, open/4)
}

// What keeps the database of an idle tenant open.
func TestIdleTenantsThatStayOpen(t *testing.T) {
	tests := map[string]struct {
		with func(*HeadOptions)
		do   func(*testing.T, *Heads)
	}{
		"idle_close is zero": {with: func(o *HeadOptions) { o.Config.IdleClose = 0 }},
		"head is not cut":    {with: func(o *HeadOptions) { o.Config.IdleFlush = 0 }},
		"no bucket":          {with: func(o *HeadOptions) { o.Bucket = nil }},
		"uploads fail":       {with: func(o *HeadOptions) { o.Bucket = failingUploads{o.Bucket} }},
		"used": {do: func(t *testing.T, h *Heads) {
			head, err := h.head("a", false)
			require.NoError(t, err)
			t.Cleanup(head.release)
		}},
		"known series are read": {with: func(o *HeadOptions) { o.Config.IdleFlush = 0 }, do: func(t *testing.T, h *Heads) {
			require.NoError(t, h.Flush(t.Context(), "a"))
			t.Cleanup(h.Known("a").Close)
		}},
		"failed": {do: func(t *testing.T, h *Heads) {
			head, err := h.head("a", false)
			require.NoError(t, err)
			defer head.release()
			require.Error(t, head.broken(os.ErrClosed))
		}},
		"a block that can't be read": {do: func(t *testing.T, h *Heads) {
			require.NoError(t, os.Mkdir(filepath.Join(h.opts.Dir, "a", "01ARZ3NDEKTSV4RRFFQ69G5FAV"), 0o755))
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			clock := newMovingClock()
			opts := idleOptions(t, clock, objstore.NewInMemBucket())
			if test.with != nil {
				test.with(&opts)
			}
			h := openTestHeads(t, opts)
			push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
			push(t, h, "b", floats("m", Sample{T: at(0), V: 1}))
			if test.do != nil {
				test.do(t, h)
			}
			clock.pass(h, 9*time.Hour)
			require.Contains(t, h.Tenants(), "a")
		})
	}
}

// failingUploads is a bucket that takes nothing.
type failingUploads struct{ objstore.Bucket }

func (failingUploads) Upload(context.Context, string, io.Reader, ...objstore.ObjectUploadOption) error {
	return errors.New("the bucket takes nothing")
}

// A tenant whose database can't be opened again is refused for as long as that is so, and what it wrote before is found.
func TestClosedTenantOpensLater(t *testing.T) {
	clock, bkt := newMovingClock(), objstore.NewInMemBucket()
	opts := idleOptions(t, clock, bkt)
	h, store := openTestHeads(t, opts), newTestStore(t, bkt)
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
	clock.pass(h, 5*time.Hour)
	require.Empty(t, h.Tenants())
	require.NoError(t, store.Refresh(t.Context()))

	inTheWay := filepath.Join(opts.Dir, "a")
	require.NoError(t, os.WriteFile(inTheWay, nil, 0o644))
	now := clock.now().UnixMilli()
	for range 2 {
		_, err := h.Append(t.Context(), "a", &Batch{Series: []Series{floats("m", Sample{T: now, V: 2})}})
		require.Equal(t, fault.Unavailable, fault.ClassOf(err), "%v", err)
		require.Equal(t, []string{`{__name__="m", job="test"} 1`}, instant(t, "a", "m", at(0), h, store))
	}
	require.NoError(t, os.Remove(inTheWay))
	push(t, h, "a", floats("m", Sample{T: now, V: 2}))
	require.Equal(t, []string{`{__name__="m", job="test"} 2`}, instant(t, "a", "m", now, h, store))
}

// A start opens no closed database, and ends what a crash left of closing one.
func TestClosedTenantsStayClosed(t *testing.T) {
	clock, bkt := newMovingClock(), objstore.NewInMemBucket()
	opts := idleOptions(t, clock, bkt)
	h := openTestHeads(t, opts)
	push(t, h, "open", floats("m", Sample{T: at(0), V: 1}))
	require.NoError(t, h.Flush(t.Context()))
	require.NoError(t, h.Close())

	// Killed between the mark and the removal of the database, and after it.
	half := filepath.Join(opts.Dir, "half")
	require.NoError(t, os.CopyFS(half, os.DirFS(filepath.Join(opts.Dir, "open"))))
	require.NoError(t, os.WriteFile(filepath.Join(half, shutMark), nil, 0o644))
	require.NoError(t, os.MkdirAll(filepath.Join(half, quarantineDir, "01ARZ3NDEKTSV4RRFFQ69G5FAV"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(half, quarantineDir, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "meta.json"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(half, "notes.txt"), nil, 0o644))
	for i := range 1000 {
		dir := filepath.Join(opts.Dir, fmt.Sprintf("closed%03d", i))
		require.NoError(t, os.Mkdir(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, shutMark), nil, 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, metadataFile), []byte("{}"), 0o644))
	}
	opts.Registerer = nil
	h = openTestHeads(t, opts)
	require.Equal(t, []string{"open"}, h.Tenants())
	require.ElementsMatch(t, []string{"closed", "notes.txt", "quarantine/01ARZ3NDEKTSV4RRFFQ69G5FAV/meta.json"}, filesIn(t, half))

	// What is written after the next opening survives a crash at once.
	push(t, h, "half", floats("m", Sample{T: at(time.Minute), V: 7}))
	push(t, h, "closed007", floats("m", Sample{T: at(time.Minute), V: 8}))
	crashed := opts
	crashed.Dir = t.TempDir()
	for _, id := range []string{"half", "closed007"} {
		require.NoError(t, os.CopyFS(filepath.Join(crashed.Dir, id), os.DirFS(filepath.Join(opts.Dir, id))))
	}
	again := openTestHeads(t, crashed)
	require.Equal(t, []string{"closed007", "half"}, again.Tenants())
	require.Equal(t, []string{`{__name__="m", job="test"} 7`}, instant(t, "half", "m", at(time.Minute), again))
	require.Equal(t, []string{`{__name__="m", job="test"} 8`}, instant(t, "closed007", "m", at(time.Minute), again))
}

// closingWatch is told that a database is closed, before its folder is cleared.
type closingWatch chan struct{}

func (w closingWatch) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "idle metrics database closed" {
		w <- struct{}{}
	}
	return nil
}

func (closingWatch) Enabled(context.Context, slog.Level) bool { return true }
func (w closingWatch) WithAttrs([]slog.Attr) slog.Handler     { return w }
func (w closingWatch) WithGroup(string) slog.Handler          { return w }

// A write that meets the closing of its tenant is stored, by the old database or by the next one.
func TestWriteMeetsClosing(t *testing.T) {
	clock, bkt := newMovingClock(), objstore.NewInMemBucket()
	opts := idleOptions(t, clock, bkt)
	midst := make(closingWatch, 1)
	opts.Logger = slog.New(midst)
	h, store := openTestHeads(t, opts), newTestStore(t, bkt)
	wanted := 0
	for i := range 25 {
		push(t, h, "a", floats("m", Sample{T: clock.now().UnixMilli(), V: 1}))
		require.NoError(t, h.Flush(t.Context()))
		clock.advance(4 * time.Hour)
		select {
		case <-midst: // the last one came first
		default:
		}
		var both sync.WaitGroup
		both.Go(func() { h.closeIdle(testContext) })
		both.Go(func() {
			if i%2 == 0 { // in its midst
				<-midst
			}
			_, err := h.Append(testContext, "a", &Batch{Series: []Series{floats("m", Sample{T: clock.now().UnixMilli(), V: 1})}})
			assert.NoError(t, err)
		})
		both.Wait()
		wanted += 2
		require.Equal(t, []string{"a"}, h.Tenants())
		require.NoError(t, store.Refresh(t.Context()))
		count := fmt.Sprintf(`{job="test"} %d`, wanted)
		require.Equal(t, []string{count}, instant(t, "a", "count_over_time(m[60d])", clock.now().UnixMilli(), h, store))
		clock.advance(time.Minute)
	}
	require.GreaterOrEqual(t, testutil.ToFloat64(h.metrics.idleClosed), 13.0)
}

// idleWorld is a process with tenants that write now and then. It notes every sample that was acknowledged.
type idleWorld struct {
	t     *testing.T
	clock *movingClock
	heads *Heads
	store *BlockStore

	// hour is held for reading by a query and a write: no block leaves the disk within keep_local of its upload, and no
	// query takes that long.
	hour sync.RWMutex

	mu    sync.Mutex
	acked map[string]map[int64]bool // by tenant and time
}

const idleTenants = 6

// awake reports whether a tenant writes at a time: for six hours, and then for twelve not, unless now and then when it
// is about to be closed.
func awake(r *rand.Rand, tenant int, now time.Time) bool {
	hour := (now.Unix()/3600 + 6*int64(tenant)) % 18
	return hour < 6 || hour >= 9 && hour < 11 && r.IntN(30) == 0
}

func (w *idleWorld) write(r *rand.Rand, worker int, last *int64) bool {
	w.hour.RLock()
	defer w.hour.RUnlock()
	i := r.IntN(idleTenants)
	if !awake(r, i, w.clock.now()) {
		return false
	}
	id := fmt.Sprint("t", i)
	*last = max(*last+10, w.clock.now().UnixMilli()+int64(worker))
	if r.IntN(4) == 0 { // as the readers of requests do
		k := w.heads.Known(id)
		ls := labels.FromStrings(labels.MetricName, "m", "worker", fmt.Sprint(worker))
		if got, ok := k.Labels(ls.Hash(), ls); ok && !labels.Equal(got, ls) {
			w.t.Errorf("known as %s", got)
		}
		k.Close()
	}
	result, err := w.heads.Append(testContext, id, &Batch{Series: []Series{{
		Labels: labels.FromStrings(labels.MetricName, "m", "worker", fmt.Sprint(worker)), Samples: []Sample{{T: *last, V: float64(*last)}}}}})
	if err != nil || result.Samples != 1 {
		w.t.Errorf("write of %s: %v %v", id, result, err)
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.acked[id] == nil {
		w.acked[id] = map[int64]bool{}
	}
	w.acked[id][*last] = true
	return true
}

// check reads all of a tenant as queries do, and looks for what was acknowledged before.
func (w *idleWorld) check(id string) {
	w.hour.RLock()
	defer w.hour.RUnlock()
	w.mu.Lock()
	wanted := make([]int64, 0, len(w.acked[id]))
	for ts := range w.acked[id] {
		wanted = append(wanted, ts)
	}
	w.mu.Unlock()
	found := map[int64]bool{}
	sel := Select{Matchers: []Matcher{{Name: labels.MetricName, Value: "m"}}, Start: 0, End: latest}
	for _, source := range []Source{w.heads, w.store} {
		for cs, err := range source.SelectSeries(testContext, id, sel) {
			if err != nil {
				w.t.Errorf("query of %s: %v", id, err)
				return
			}
			for _, c := range cs.Chunks {
				chunk, err := chunkenc.FromData(c.Encoding, c.Data)
				if err != nil {
					w.t.Error(err)
					return
				}
				for it := chunk.Iterator(nil); it.Next() != chunkenc.ValNone; {
					ts, _ := it.At()
					found[ts] = true
				}
			}
		}
	}
	if missing := slices.DeleteFunc(wanted, func(ts int64) bool { return found[ts] }); len(missing) > 0 {
		w.t.Errorf("%d samples of %s are missing, such as %s", len(missing), id, formatMillis(missing[0]))
	}
}

// Tenants write, are queried, cut, shipped and closed at random: no write is refused and no sample is missing.
func TestClosingIdleTenantsAtRandom(t *testing.T) {
	clock, bkt := newMovingClock(), objstore.NewInMemBucket()
	opts := idleOptions(t, clock, bkt)
	opts.SyncAlways, opts.SyncInterval = false, time.Millisecond
	w := &idleWorld{t: t, clock: clock, heads: openTestHeads(t, opts), store: newTestStore(t, bkt), acked: map[string]map[int64]bool{}}
	over, wrote := make(chan struct{}), make(chan struct{}, 50) // neither the clock nor the writers run ahead
	var workers sync.WaitGroup
	each := func(f func(*rand.Rand)) {
		seed := rand.Uint64()
		workers.Go(func() {
			for r := rand.New(rand.NewPCG(1, seed)); ; {
				select {
				case <-over:
					return
				default:
					f(r)
				}
			}
		})
	}
	for i := range 3 {
		var last int64
		each(func(r *rand.Rand) {
			if !w.write(r, i, &last) {
				return
			}
			select {
			case wrote <- struct{}{}:
			case <-over:
			}
		})
	}
	each(func(r *rand.Rand) { w.check(fmt.Sprint("t", r.IntN(idleTenants))) })

	for range 60 { // thirty hours
		for range 50 {
			<-wrote
		}
		var beside sync.WaitGroup
		beside.Go(func() {
			w.heads.Store("t0")
			w.heads.MinTime()
			w.heads.Settled("t1", latest)
			assert.NoError(t, w.heads.Flush(testContext, fmt.Sprint("t", rand.IntN(idleTenants))))
		})
		w.heads.maintainAll(testContext)
		beside.Wait()
		require.NoError(t, w.store.Refresh(t.Context()))
		w.hour.Lock()
		clock.advance(30 * time.Minute)
		w.hour.Unlock()
	}
	close(over)
	workers.Wait()
	clock.pass(w.heads, 5*time.Hour)
	require.NoError(t, w.store.Refresh(t.Context()))
	require.Empty(t, w.heads.Tenants())
	require.Greater(t, testutil.ToFloat64(w.heads.metrics.idleClosed), float64(len(w.acked)), "some came back")
	for id := range w.acked {
		w.check(id)
	}
	require.NoError(t, w.heads.Close())
}
