package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"go.uber.org/goleak"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
)

func TestMain(m *testing.M) {
	// A client of object storage starts its logger with the program.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/baidubce/bce-sdk-go/util/log.NewLogger.func1"))
}

var errDown = errors.New("the bucket is down")

// testBucket counts what is read and fails where it is told to.
type testBucket struct {
	objstore.Bucket
	down    atomic.Bool
	failGet atomic.Pointer[string] // part of the names that fail
	gets    atomic.Int64
}

func (b *testBucket) Iter(ctx context.Context, dir string, f func(string) error, opts ...objstore.IterOption) error {
	if b.down.Load() {
		return errDown
	}
	return b.Bucket.Iter(ctx, dir, f, opts...)
}

func (b *testBucket) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	b.gets.Add(1)
	if part := b.failGet.Load(); b.down.Load() || part != nil && strings.Contains(name, *part) {
		return nil, errDown
	}
	return b.Bucket.Get(ctx, name)
}

type fixture struct {
	*Store
	bkt *testBucket
	log *lockedBuffer
}

// lockedBuffer is written by the poll while the test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newFixture(t *testing.T, poll time.Duration) *fixture {
	t.Helper()
	fs, err := bucket.OpenFilesystem(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fs.Close()) })
	f := &fixture{bkt: &testBucket{Bucket: fs}, log: &lockedBuffer{}}
	logger := slog.New(slog.NewTextHandler(f.log, nil))
	series, err := metrics.NewBlockStore(metrics.BlockStoreOptions{Dir: t.TempDir(), Config: metrics.DefaultConfig().Store, Bucket: f.bkt,
		Logger: logger, Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = series.Close() })
	f.Store = New(Config{PollInterval: model.Duration(poll)}, f.bkt, series, logger, prometheus.NewRegistry())
	return f
}

// add uploads a block with rows at the given times.
func (f *fixture) add(t *testing.T, tenant string, s signal.Signal, times ...int64) block.Meta {
	t.Helper()
	m := &block.Meta{ULID: ulid.MustNew(ulid.Now(), rand.Reader), Tenant: tenant, Signal: s, Producer: "test", Created: time.Unix(1, 0).UTC()}
	dir := t.TempDir()
	if s == signal.Logs {
		head := logs.NewHead(logs.HeadOptions{})
		stream := logs.Stream{Labels: labels.FromStrings("app", "test")}
		for _, at := range times {
			stream.Entries = append(stream.Entries, logs.Entry{Timestamp: at, Line: "x"})
		}
		head.Append(&logs.Batch{Streams: []logs.Stream{stream}})
		require.NoError(t, head.WriteBlock(t.Context(), dir, m))
	} else {
		head := traces.NewHead(traces.HeadOptions{})
		trace := &traces.Trace{ID: traces.ID{1}}
		for i, at := range times {
			trace.Spans = append(trace.Spans, &traces.Span{ID: traces.SpanID{byte(i + 1)}, Name: "op", Start: uint64(at), End: uint64(at),
				Resource: &traces.Resource{}, Scope: &traces.Scope{}})
		}
		_, err := head.Append(&traces.Batch{OTLP: traces.ToOTLP(trace), Spans: len(times)})
		require.NoError(t, err)
		require.NoError(t, head.WriteBlock(t.Context(), dir, m))
	}
	require.NoError(t, block.Upload(t.Context(), f.bkt, dir, m))
	return *m
}

func (f *fixture) metaFile(m block.Meta) string { return path.Join(m.Dir(), block.MetaFile) }

// ask returns the IDs of the blocks for a range, in the order of the answer.
func (f *fixture) ask(t *testing.T, tenant string, s signal.Signal, start, end int64) []ulid.ULID {
	t.Helper()
	metas, err := f.Blocks(t.Context(), tenant, s, start, end)
	require.NoError(t, err)
	var out []ulid.ULID
	for _, m := range metas {
		require.Equal(t, tenant, m.Tenant)
		require.Equal(t, s, m.Signal)
		out = append(out, m.ULID)
	}
	return out
}

func ids(metas ...block.Meta) (out []ulid.ULID) {
	for _, m := range metas {
		out = append(out, m.ULID)
	}
	return out
}

func (f *fixture) gauge(s signal.Signal) int {
	return int(testutil.ToFloat64(f.count.WithLabelValues(string(s))))
}

func TestBlocksOfARange(t *testing.T) {
	f := newFixture(t, time.Hour)
	late := f.add(t, "a", signal.Logs, 300, 400)
	early := f.add(t, "a", signal.Logs, 100, 200)
	wide := f.add(t, "a", signal.Logs, 150, 1000)
	require.Empty(t, f.ask(t, "a", signal.Logs, 0, 0), "not asked yet")
	require.NoError(t, f.Refresh(t.Context()))
	for _, c := range []struct {
		start, end int64
		want       []block.Meta
	}{
		{0, 0, []block.Meta{early, wide, late}}, // all, oldest first
		{0, 99, nil},
		{0, 100, []block.Meta{early}}, // ends are inclusive
		{200, 200, []block.Meta{early, wide}},
		{201, 299, []block.Meta{wide}},
		{250, 300, []block.Meta{wide, late}},
		{401, 1000, []block.Meta{wide}},
		{1001, 5000, nil},
		{-500, -1, nil},
		{-500, 5000, []block.Meta{early, wide, late}},
	} {
		require.Equal(t, ids(c.want...), f.ask(t, "a", signal.Logs, c.start, c.end), "%d to %d", c.start, c.end)
	}
	require.Equal(t, []int{3, 0}, []int{f.gauge(signal.Logs), f.gauge(signal.Traces)})

	// The answer is the caller's.
	metas, err := f.Blocks(t.Context(), "a", signal.Logs, 0, 0)
	require.NoError(t, err)
	slices.Reverse(metas)
	require.Equal(t, ids(early, wide, late), f.ask(t, "a", signal.Logs, 0, 0))
}

func TestTenantsAndSignalsAreApart(t *testing.T) {
	f := newFixture(t, time.Hour)
	aLogs, aTraces, b := f.add(t, "a", signal.Logs, 1), f.add(t, "a", signal.Traces, 1), f.add(t, "b", signal.Logs, 1)
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, ids(aLogs), f.ask(t, "a", signal.Logs, 0, 10))
	require.Equal(t, ids(aTraces), f.ask(t, "a", signal.Traces, 0, 10))
	require.Equal(t, ids(b), f.ask(t, "b", signal.Logs, 0, 10))
	require.Empty(t, f.ask(t, "b", signal.Traces, 0, 10))
	require.Empty(t, f.ask(t, "c", signal.Logs, 0, 10))
	require.Empty(t, f.ask(t, "", signal.Logs, 0, 10))
	require.Equal(t, []int{2, 1}, []int{f.gauge(signal.Logs), f.gauge(signal.Traces)})
}

func TestDeletedBlocksVanish(t *testing.T) {
	f := newFixture(t, time.Hour)
	gone, stays := f.add(t, "a", signal.Logs, 1), f.add(t, "a", signal.Logs, 2)
	other := f.add(t, "b", signal.Traces, 1)
	require.NoError(t, f.Refresh(t.Context()))
	require.NoError(t, block.Delete(t.Context(), f.bkt, "a", signal.Logs, gone.ULID))
	require.NoError(t, block.Delete(t.Context(), f.bkt, "b", signal.Traces, other.ULID))
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, ids(stays), f.ask(t, "a", signal.Logs, 0, 0))
	require.Empty(t, f.ask(t, "b", signal.Traces, 0, 0), "the last one of a tenant")
	require.Equal(t, []int{1, 0}, []int{f.gauge(signal.Logs), f.gauge(signal.Traces)})
}

func TestUnfinishedUploadsAreIgnored(t *testing.T) {
	f := newFixture(t, time.Hour)
	m := f.add(t, "a", signal.Logs, 1)
	var content bytes.Buffer
	rc, err := f.bkt.Get(t.Context(), f.metaFile(m))
	require.NoError(t, err)
	_, err = io.Copy(&content, rc)
	require.NoError(t, errors.Join(err, rc.Close()))
	require.NoError(t, f.bkt.Delete(t.Context(), f.metaFile(m)))
	require.NoError(t, f.Refresh(t.Context()))
	require.Empty(t, f.ask(t, "a", signal.Logs, 0, 0))
	require.Zero(t, testutil.ToFloat64(f.badBlocks))
	require.Empty(t, f.log.String())
	require.NoError(t, f.bkt.Upload(t.Context(), f.metaFile(m), &content))
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, ids(m), f.ask(t, "a", signal.Logs, 0, 0))
}

func TestDamagedMetaIsLeftOutAndReportedOnce(t *testing.T) {
	f := newFixture(t, time.Hour)
	good, bad, foreign := f.add(t, "a", signal.Logs, 1), f.add(t, "a", signal.Logs, 2), f.add(t, "a", signal.Traces, 3)
	require.NoError(t, f.bkt.Upload(t.Context(), f.metaFile(bad), strings.NewReader(`{"version": 1,`)))
	goodMeta, err := good.Encode()
	require.NoError(t, err)
	require.NoError(t, f.bkt.Upload(t.Context(), f.metaFile(foreign), bytes.NewReader(goodMeta)), "of another block")
	for range 3 {
		require.NoError(t, f.Refresh(t.Context()))
		require.Equal(t, ids(good), f.ask(t, "a", signal.Logs, 0, 0))
		require.Empty(t, f.ask(t, "a", signal.Traces, 0, 0))
	}
	require.Equal(t, 2.0, testutil.ToFloat64(f.badBlocks))
	require.Equal(t, 1, strings.Count(f.log.String(), "block="+bad.Dir()))
	require.Equal(t, 1, strings.Count(f.log.String(), "block="+foreign.Dir()))

	badMeta, err := bad.Encode()
	require.NoError(t, err)
	require.NoError(t, f.bkt.Upload(t.Context(), f.metaFile(bad), bytes.NewReader(badMeta)))
	require.NoError(t, block.Delete(t.Context(), f.bkt, "a", signal.Traces, foreign.ULID))
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, ids(good, bad), f.ask(t, "a", signal.Logs, 0, 0), "repaired")
	require.Empty(t, f.bad, "nothing is remembered of what is gone")
}

func TestMetaFilesAreReadOnce(t *testing.T) {
	f := newFixture(t, time.Hour)
	for i := range 5 {
		f.add(t, "a", signal.Logs, int64(i+1))
	}
	f.bkt.gets.Store(0)
	require.NoError(t, f.Refresh(t.Context()))
	require.EqualValues(t, 5, f.bkt.gets.Load())
	require.NoError(t, f.Refresh(t.Context()))
	require.EqualValues(t, 5, f.bkt.gets.Load())
}

func TestAddedIsAheadOfThePoll(t *testing.T) {
	f := newFixture(t, time.Hour)
	first := f.add(t, "a", signal.Logs, 10)
	require.NoError(t, f.Refresh(t.Context()))
	before, err := f.Blocks(t.Context(), "a", signal.Logs, 0, 0)
	require.NoError(t, err)
	second := f.add(t, "a", signal.Logs, 5)
	f.Added(second)
	f.Added(second)
	require.Equal(t, ids(second, first), f.ask(t, "a", signal.Logs, 0, 0), "in order, once")
	require.Len(t, before, 1, "an answer given before doesn't change")
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, ids(second, first), f.ask(t, "a", signal.Logs, 0, 0), "once, also after the poll")
}

// What is known stays known while the bucket can't be listed.
// heldBucket lists only when it is let to.
type heldBucket struct {
	objstore.Bucket
	listing, proceed chan struct{}
}

func (b *heldBucket) Iter(ctx context.Context, dir string, f func(string) error, opts ...objstore.IterOption) error {
	// What is there is taken before the wait, as a slow server would.
	var names []string
	if err := b.Bucket.Iter(ctx, dir, func(name string) error { names = append(names, name); return nil }, opts...); err != nil {
		return err
	}
	b.listing <- struct{}{}
	<-b.proceed
	for _, name := range names {
		if err := f(name); err != nil {
			return err
		}
	}
	return nil
}

func TestAddedDoesNotWaitForASlowBucket(t *testing.T) {
	f := newFixture(t, time.Hour)
	f.add(t, "team", signal.Logs, 100)
	held := &heldBucket{f.bkt.Bucket, make(chan struct{}), make(chan struct{})}
	f.bkt.Bucket = held
	done := make(chan error)
	go func() { done <- f.Refresh(t.Context()) }()
	<-held.listing
	f.bkt.Bucket = held.Bucket
	fresh := f.add(t, "other", signal.Logs, 200)
	f.Added(fresh)
	require.Equal(t, ids(fresh), f.ask(t, "other", signal.Logs, 0, 1000))
	close(held.proceed)
	require.NoError(t, <-done)
	require.Equal(t, ids(fresh), f.ask(t, "other", signal.Logs, 0, 1000), "the refresh listed the bucket before the block was there")
	require.Len(t, f.ask(t, "team", signal.Logs, 0, 1000), 1)
}

func TestFailedRefreshKeepsTheList(t *testing.T) {
	f := newFixture(t, time.Hour)
	m := f.add(t, "a", signal.Logs, 1)
	require.NoError(t, f.Refresh(t.Context()))
	f.bkt.down.Store(true)
	require.ErrorIs(t, f.Refresh(t.Context()), errDown)
	require.Equal(t, ids(m), f.ask(t, "a", signal.Logs, 0, 0))
	f.bkt.down.Store(false)

	next := f.add(t, "a", signal.Logs, 2)
	part := next.ULID.String()
	f.bkt.failGet.Store(&part)
	err := f.Refresh(t.Context())
	require.ErrorIs(t, err, errDown)
	require.ErrorContains(t, err, "list logs blocks of tenant a")
	require.Equal(t, ids(m), f.ask(t, "a", signal.Logs, 0, 0))
	require.Zero(t, testutil.ToFloat64(f.badBlocks), "the block may be fine")
	f.bkt.failGet.Store(nil)
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, ids(m, next), f.ask(t, "a", signal.Logs, 0, 0))
	require.Equal(t, []float64{2, 2}, []float64{testutil.ToFloat64(f.refreshes.WithLabelValues("success")), testutil.ToFloat64(f.refreshes.WithLabelValues("error"))})
}

func TestStartWithoutABucket(t *testing.T) {
	f := newFixture(t, time.Millisecond)
	m := f.add(t, "a", signal.Logs, 1)
	f.bkt.down.Store(true)
	require.NoError(t, services.StartAndAwaitRunning(t.Context(), f))
	require.Contains(t, f.log.String(), "listing blocks in the bucket failed")
	require.Empty(t, f.ask(t, "a", signal.Logs, 0, 0))
	f.bkt.down.Store(false)
	require.Eventually(t, func() bool { return len(f.ask(t, "a", signal.Logs, 0, 0)) == 1 }, 10*time.Second, time.Millisecond, "the poll goes on")
	require.Equal(t, ids(m), f.ask(t, "a", signal.Logs, 0, 0))
	require.NoError(t, services.StopAndAwaitTerminated(t.Context(), f))
}

// Blocks are added, listed, deleted and asked for at the same time; a block that is there is never
// missing from an answer.
func TestConcurrency(t *testing.T) {
	const writers, each = 3, 12
	f := newFixture(t, time.Hour)
	stays := f.add(t, "a", signal.Logs, 1)
	require.NoError(t, f.Refresh(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	var readers, refreshers, adders sync.WaitGroup
	readers.Go(func() {
		for ctx.Err() == nil {
			metas, err := f.Blocks(ctx, "a", signal.Logs, 0, 1000)
			if err != nil || !slices.ContainsFunc(metas, func(m block.Meta) bool { return m.ULID == stays.ULID }) {
				t.Errorf("%d blocks, %v", len(metas), err)
				return
			}
			if !slices.IsSortedFunc(metas, func(a, b block.Meta) int { return int(a.MinTime - b.MinTime) }) {
				t.Error("not in order")
				return
			}
		}
	})
	refreshers.Go(func() {
		for ctx.Err() == nil {
			if err := f.Refresh(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var kept sync.Map
	for w := range writers {
		adders.Go(func() {
			for i := range each {
				m := f.add(t, "a", signal.Logs, int64(10+w*each+i))
				f.Added(m)
				metas, _ := f.Blocks(t.Context(), "a", signal.Logs, 0, 0)
				if !slices.ContainsFunc(metas, func(o block.Meta) bool { return o.ULID == m.ULID }) {
					t.Errorf("block %s was told and is not known", m.ULID)
				}
				if i%3 != 0 {
					kept.Store(m.ULID, true)
				} else if err := block.Delete(t.Context(), f.bkt, "a", signal.Logs, m.ULID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	adders.Wait()
	cancel()
	readers.Wait()
	refreshers.Wait()
	require.NoError(t, f.Refresh(t.Context()))
	want := []ulid.ULID{stays.ULID}
	kept.Range(func(id, _ any) bool { want = append(want, id.(ulid.ULID)); return true })
	require.ElementsMatch(t, want, f.ask(t, "a", signal.Logs, 0, 0))
}

func TestConfig(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	require.ErrorContains(t, Config{}.Validate(), "poll_interval: ")
}

// How long a query waits for the list of its blocks, of a tenant with a month of them.
func BenchmarkBlocks(b *testing.B) {
	s := &Store{blocks: map[key][]block.Meta{}}
	k := key{"a", signal.Logs}
	for i := range int64(10_000) {
		s.blocks[k] = append(s.blocks[k], block.Meta{Tenant: "a", Signal: signal.Logs, MinTime: i * 100, MaxTime: i*100 + 150})
	}
	for _, end := range []int64{1_000, 1_000_000} {
		b.Run(fmt.Sprint(end/100, " blocks"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Blocks(b.Context(), "a", signal.Logs, 1, end); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A block that was made of others is read in their place from the moment it is known, however its range
// of time compares with theirs, and one that is set aside is not read at all.
func TestReplacedAndSetAsideBlocksAreLeftOut(t *testing.T) {
	f := newFixture(t, time.Hour)
	first, second := f.add(t, "a", signal.Logs, 100, 200), f.add(t, "a", signal.Logs, 300)
	require.NoError(t, f.Refresh(t.Context()))
	merged := f.add(t, "a", signal.Logs, 100, 150)
	require.NoError(t, block.Delete(t.Context(), f.bkt, "a", signal.Logs, merged.ULID))
	merged.Level, merged.Sources = 1, []ulid.ULID{first.ULID, second.ULID}
	f.Added(merged)
	require.Equal(t, ids(merged), f.ask(t, "a", signal.Logs, 0, 0), "told of it")
	require.Empty(t, f.ask(t, "a", signal.Logs, 300, 300), "the rows of that time were left out when it was made")
	content, err := merged.Encode()
	require.NoError(t, err)
	require.NoError(t, f.bkt.Upload(t.Context(), f.metaFile(merged), bytes.NewReader(content)))
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, ids(merged), f.ask(t, "a", signal.Logs, 0, 0), "listed")
	require.Equal(t, 1, f.gauge(signal.Logs), "what is read is counted")

	require.NoError(t, block.SetAside(t.Context(), f.bkt, "a", signal.Logs, merged.ULID, block.Quarantine{Reason: "test"}))
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, ids(first, second), f.ask(t, "a", signal.Logs, 0, 0), "its inputs, while they are there, stand in")
	require.NoError(t, block.Readmit(t.Context(), f.bkt, "a", signal.Logs, merged.ULID))
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, ids(merged), f.ask(t, "a", signal.Logs, 0, 0))
	require.NoError(t, block.Delete(t.Context(), f.bkt, "a", signal.Logs, first.ULID))
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, ids(merged), f.ask(t, "a", signal.Logs, 0, 0))
}

// follower notes what it is asked for, and what the store knew at that time.
type follower struct {
	store   *Store
	tenants []string
	blocks  int
	err     error
}

func (f *follower) Refresh(ctx context.Context, tenants []string) error {
	metas, _ := f.store.Blocks(ctx, "a", signal.Logs, 0, 0)
	f.tenants, f.blocks = tenants, len(metas)
	return f.err
}

// Requests to delete are read before the blocks.
func TestDeletesAreReadFirst(t *testing.T) {
	f := newFixture(t, time.Hour)
	d := &follower{store: f.Store}
	f.Follow(d)
	f.add(t, "a", signal.Logs, 1)
	f.add(t, "b", signal.Traces, 1)
	require.NoError(t, f.Refresh(t.Context()))
	require.ElementsMatch(t, []string{"a", "b"}, d.tenants)
	require.Zero(t, d.blocks)
	require.Len(t, f.ask(t, "a", signal.Logs, 0, 0), 1)

	d.err = errDown
	f.add(t, "a", signal.Logs, 2)
	require.ErrorIs(t, f.Refresh(t.Context()), errDown)
	require.Len(t, f.ask(t, "a", signal.Logs, 0, 0), 1, "neither are newer blocks known")
}
