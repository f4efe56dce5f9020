package querier

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
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
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"go.uber.org/goleak"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/ingester"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/scheduler"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/store"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
	"github.com/hune-io/hune/internal/wal"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// A client of object storage starts its logger with the program.
		goleak.IgnoreTopFunction("github.com/baidubce/bce-sdk-go/util/log.NewLogger.func1"))
}

const team = "team"

// t0 is when the rows of the tests happened.
var t0 = time.Now().Add(-time.Minute).Truncate(time.Second)

// opener reads blocks as the program does, counts, and fails where it is told to.
type opener struct {
	pages *cache.Pages
	fail  atomic.Pointer[error]

	mu    sync.Mutex
	opens map[ulid.ULID]int
}

func (o *opener) Open(ctx context.Context, m block.Meta) (*block.Reader, error) {
	o.mu.Lock()
	o.opens[m.ULID]++
	o.mu.Unlock()
	if err := o.fail.Load(); err != nil {
		return nil, *err
	}
	return block.Open(ctx, o.pages, m.DataPath(), m.Data.Size, block.ReaderOptions{})
}

func (o *opener) Ranges() block.RangeReader { return o.pages }

func (o *opener) IsGone(err error) bool { return fault.ClassOf(err) == fault.NotFound }

func (o *opener) counts() (out []int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range o.opens {
		out = append(out, n)
	}
	return out
}

// fixture is a querier over a real ingester, store and bucket.
type fixture struct {
	*Querier
	opts   Options
	bkt    objstore.Bucket
	ing    *ingester.Ingester
	store  *store.Store
	blocks *opener
	log    *bytes.Buffer
}

func newFixture(t *testing.T, change func(*Options)) *fixture {
	t.Helper()
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	f := &fixture{blocks: &opener{opens: map[ulid.ULID]int{}}, log: &bytes.Buffer{}}
	bkt, err := bucket.Open(bucket.DefaultConfig(), dir, quiet, prometheus.NewRegistry())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, bkt.Close()) })
	f.bkt = bkt
	memory, err := cache.NewMemory(16<<20, prometheus.NewRegistry())
	require.NoError(t, err)
	f.blocks.pages, err = cache.NewPages(bucket.Ranger{Bucket: bkt}, memory, prometheus.NewRegistry())
	require.NoError(t, err)
	series, err := metrics.NewBlockStore(metrics.BlockStoreOptions{Dir: filepath.Join(dir, "store"), Config: metrics.DefaultConfig().Store, Bucket: bkt,
		Logger: quiet, Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, series.Close()) })
	f.store = store.New(store.DefaultConfig(), bkt, series, quiet, prometheus.NewRegistry())
	f.ing = f.newIngester(t)
	f.opts = Options{Config: DefaultConfig(), Ingester: f.ing, Store: f.store, Blocks: f.blocks,
		Metrics: metrics.NewEngine(metrics.EngineOptions{Config: metrics.DefaultConfig().Query, Logger: quiet, Registerer: prometheus.NewRegistry()}),
		Logs:    logql.NewEngine(logql.Options{}), Traces: traceql.NewEngine(traceql.Options{}),
		Logger: slog.New(slog.NewTextHandler(f.log, nil)), Registerer: prometheus.NewRegistry()}
	if change != nil {
		change(&f.opts)
	}
	f.Querier = New(f.opts)
	return f
}

// newIngester makes one that keeps what it shipped for minutes, as in production.
func (f *fixture) newIngester(t *testing.T) *ingester.Ingester {
	t.Helper()
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	h, err := metrics.OpenHeads(t.Context(), metrics.HeadOptions{Dir: filepath.Join(dir, "metrics"), Config: metrics.DefaultConfig(), Bucket: f.bkt,
		Logger: quiet, Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	ing, err := ingester.New(t.Context(), ingester.Options{Config: ingester.DefaultConfig(), WAL: wal.DefaultConfig(), Dir: dir, Bucket: f.bkt, Logger: quiet,
		Registerer: prometheus.NewRegistry(), Now: time.Now, Entropy: &ulid.LockedMonotonicReader{MonotonicReader: ulid.Monotonic(rand.Reader, 0)},
		Metrics: h, TraceHead: func(string) traces.HeadOptions { return traces.HeadOptions{} },
		OnShipped: func(_ context.Context, m block.Meta) { f.store.Added(m) }})
	require.NoError(t, err)
	require.NoError(t, services.StartAndAwaitRunning(t.Context(), ing))
	t.Cleanup(func() { require.NoError(t, services.StopAndAwaitTerminated(context.Background(), ing)) })
	return ing
}

// forget replaces the ingester by one that has nothing: everything is in the bucket only.
func (f *fixture) forget(t *testing.T) {
	t.Helper()
	f.ing = f.newIngester(t)
	f.opts.Ingester, f.opts.Registerer = f.ing, prometheus.NewRegistry()
	f.Querier = New(f.opts)
}

func (f *fixture) pushLogs(t *testing.T, lines ...string) {
	t.Helper()
	s := logs.Stream{Labels: labels.FromStrings("app", "test")}
	for i, line := range lines {
		s.Entries = append(s.Entries, logs.Entry{Timestamp: t0.UnixNano() + int64(i), Line: line})
	}
	_, err := f.ing.PushLogs(t.Context(), team, &logs.Batch{Streams: []logs.Stream{s}})
	require.NoError(t, err)
}

func (f *fixture) pushSpan(t *testing.T, trace, span byte, name string) {
	t.Helper()
	at := uint64(t0.UnixNano()) + uint64(span)
	tr := &traces.Trace{ID: traces.ID{trace}, Spans: []*traces.Span{{ID: traces.SpanID{span}, Name: name, Start: at, End: at + 1000,
		Resource: &traces.Resource{}, Scope: &traces.Scope{}}}}
	_, err := f.ing.PushTraces(t.Context(), team, &traces.Batch{OTLP: traces.ToOTLP(tr), Spans: 1})
	require.NoError(t, err)
}

func logsJob(tenant string) job.Job {
	return job.Job{Tenant: tenant, Logs: &logs.Query{Kind: logs.Range, Expr: `{app="test"}`, Start: t0.Add(-time.Hour).UnixNano(),
		End: t0.Add(time.Hour).UnixNano(), Limit: 1000, Direction: logs.Forward}}
}

func (f *fixture) lines(t *testing.T, tenant string) ([]string, logs.QueryStats) {
	t.Helper()
	r, err := f.Run(t.Context(), logsJob(tenant))
	require.NoError(t, err)
	var out []string
	for _, s := range r.Logs.Streams {
		for _, e := range s.Entries {
			out = append(out, e.Line)
		}
	}
	slices.Sort(out)
	return out, r.Logs.Stats
}

func tracesJob(kind traces.QueryKind) job.Job {
	return job.Job{Tenant: team, Traces: &traces.Query{Kind: kind, ID: traces.ID{1}, Expr: "{}", Start: uint64(t0.Add(-time.Hour).UnixNano()),
		End: uint64(t0.Add(time.Hour).UnixNano()), Limit: 100, SpansPerSpanSet: 100}}
}

func (f *fixture) blocksOf(t *testing.T, s signal.Signal) []block.Meta {
	t.Helper()
	metas, err := f.store.Blocks(t.Context(), team, s, 0, 0)
	require.NoError(t, err)
	return metas
}

// A block is answered by ingester and store for a while. What both hold is one row.
func TestLogsInBothPlacesAreAnsweredOnce(t *testing.T) {
	f := newFixture(t, nil)
	f.pushLogs(t, "one", "two")
	require.NoError(t, f.ing.Flush(t.Context()))
	f.pushLogs(t, "one", "two", "three") // a client that sends again
	require.Len(t, f.blocksOf(t, signal.Logs), 1)
	lines, stats := f.lines(t, team)
	require.Equal(t, []string{"one", "three", "two"}, lines)
	require.Equal(t, []int{1}, f.blocks.counts(), "the block was asked too")
	require.Positive(t, stats.ExecNanoseconds)

	f.forget(t)
	lines, _ = f.lines(t, team)
	require.Equal(t, []string{"one", "two"}, lines, "the block has them")
	lines, _ = f.lines(t, "other")
	require.Empty(t, lines)
}

func TestTraceInPiecesIsOne(t *testing.T) {
	f := newFixture(t, nil)
	f.pushSpan(t, 1, 1, "shipped")
	f.pushSpan(t, 2, 3, "alone")
	require.NoError(t, f.ing.Flush(t.Context()))
	f.forget(t)
	f.pushSpan(t, 1, 2, "recent")

	r, err := f.Run(t.Context(), tracesJob(traces.ByID))
	require.NoError(t, err)
	var names []string
	for _, s := range r.Traces.Trace.Spans {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{"shipped", "recent"}, names)
	require.Positive(t, r.Traces.Inspected.Bytes)
	require.Positive(t, r.Traces.Inspected.RangeReads)

	r, err = f.Run(t.Context(), tracesJob(traces.Search))
	require.NoError(t, err)
	found := map[traces.ID]uint32{}
	for _, tr := range r.Traces.Found {
		require.NotContains(t, found, tr.ID)
		found[tr.ID] = tr.SpanSets[0].Matched
	}
	require.Equal(t, map[traces.ID]uint32{{1}: 2, {2}: 1}, found)
}

func TestMetricsOverBothPlaces(t *testing.T) {
	f := newFixture(t, nil)
	push := func(v float64, at time.Time) {
		_, err := f.ing.PushMetrics(t.Context(), team, &metrics.Batch{Series: []metrics.Series{{Labels: labels.FromStrings(labels.MetricName, "m"),
			Samples: []metrics.Sample{{T: at.UnixMilli(), V: v}}}}})
		require.NoError(t, err)
	}
	push(1, t0)
	require.NoError(t, f.ing.Flush(t.Context()))
	f.forget(t)
	require.NoError(t, f.store.Refresh(t.Context()))
	push(2, t0.Add(time.Second))
	at := t0.Add(2 * time.Second).UnixMilli()
	r, err := f.Run(t.Context(), job.Job{Tenant: team, Metrics: &metrics.Query{Kind: metrics.Instant, Expr: "sum_over_time(m[1m])", Start: at, End: at}})
	require.NoError(t, err)
	v := r.Metrics.Value.(promql.Vector)
	require.Len(t, v, 1)
	require.Equal(t, 3.0, v[0].F)
}

// The counts are of the bucket: what the page cache has costs nothing.
func TestStatistics(t *testing.T) {
	f := newFixture(t, nil)
	f.pushLogs(t, "one", "two")
	require.NoError(t, f.ing.Flush(t.Context()))
	f.forget(t)
	size := f.blocksOf(t, signal.Logs)[0].Data.Size
	_, stats := f.lines(t, team)
	require.Equal(t, size, stats.BytesRead, "the small block fits one page")
	require.EqualValues(t, 1, stats.RangeReads)
	require.EqualValues(t, 2, stats.LinesProcessed)
	_, stats = f.lines(t, team)
	require.Zero(t, stats.BytesRead)
	require.Zero(t, stats.RangeReads)

	// Queries at the same time: together they count what was read, once.
	g := newFixture(t, nil)
	g.pushLogs(t, "one")
	require.NoError(t, g.ing.Flush(t.Context()))
	size = g.blocksOf(t, signal.Logs)[0].Data.Size
	var sum atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r, err := g.Run(t.Context(), logsJob(team))
			if err != nil {
				t.Error(err)
				return
			}
			sum.Add(r.Logs.Stats.BytesRead)
		})
	}
	all.Wait()
	require.Equal(t, size, sum.Load())
}

func TestBlocksAreOpenedOnce(t *testing.T) {
	f := newFixture(t, nil)
	f.pushLogs(t, "one")
	require.NoError(t, f.ing.Flush(t.Context()))
	f.pushLogs(t, "two")
	require.NoError(t, f.ing.Flush(t.Context()))
	for range 3 {
		f.lines(t, team)
	}
	require.Equal(t, []int{1, 1}, f.blocks.counts())
}

func TestOpenBlocksAreBounded(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Config.MaxOpenBlocks = 1 })
	f.pushLogs(t, "one")
	require.NoError(t, f.ing.Flush(t.Context()))
	f.pushLogs(t, "two")
	require.NoError(t, f.ing.Flush(t.Context()))
	f.forget(t)
	for range 3 {
		f.blocks.mu.Lock()
		clear(f.blocks.opens)
		f.blocks.mu.Unlock()
		// Both have the same timestamp: they come in the order of the blocks.
		lines, _ := f.lines(t, team)
		require.Equal(t, []string{"one", "two"}, lines)
		require.NotEmpty(t, f.blocks.counts(), "one of the two has to be opened")
	}
}

func TestDeletedBlockIsLeftOut(t *testing.T) {
	f := newFixture(t, nil)
	f.pushLogs(t, "deleted")
	f.pushSpan(t, 1, 1, "deleted")
	require.NoError(t, f.ing.Flush(t.Context()))
	gone := f.blocksOf(t, signal.Logs)[0]
	f.pushLogs(t, "kept")
	require.NoError(t, f.ing.Flush(t.Context()))
	f.forget(t)
	require.NoError(t, block.Delete(t.Context(), f.bkt, team, signal.Logs, gone.ULID))
	require.NoError(t, block.Delete(t.Context(), f.bkt, team, signal.Traces, f.blocksOf(t, signal.Traces)[0].ULID))
	require.Len(t, f.blocksOf(t, signal.Logs), 2, "the store doesn't know yet")
	lines, _ := f.lines(t, team)
	require.Equal(t, []string{"kept"}, lines)
	r, err := f.Run(t.Context(), tracesJob(traces.ByID))
	require.NoError(t, err)
	require.Nil(t, r.Traces.Trace)
}

// goneEngine meets a block that is deleted while it is read.
type goneEngine struct{ TracesEngine }

func (e goneEngine) Run(context.Context, string, *traces.Query, traces.Source) (*traces.Result, error) {
	return nil, fault.Errorf(fault.NotFound, "read a/traces/x: no such object")
}

// Not a 404: what was asked for exists.
func TestBlockDeletedWhileItIsRead(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Traces = goneEngine{o.Traces} })
	_, err := f.Run(t.Context(), tracesJob(traces.Search))
	require.ErrorContains(t, err, "a block was deleted during the query, try again: read a/traces/x")
	require.Equal(t, fault.Unavailable, fault.ClassOf(err))
	require.Equal(t, time.Second, fault.RetryAfter(err))
}

// A block that can't be read fails the query, which names it: an answer without its rows would look
// whole.
func TestUnreadableBlockFailsTheQuery(t *testing.T) {
	f := newFixture(t, nil)
	f.pushLogs(t, "one")
	f.pushSpan(t, 1, 1, "one")
	require.NoError(t, f.ing.Flush(t.Context()))
	down := errors.New("connection refused")
	f.blocks.fail.Store(&down)
	for s, j := range map[signal.Signal]job.Job{signal.Logs: logsJob(team), signal.Traces: tracesJob(traces.Search)} {
		_, err := f.Run(t.Context(), j)
		require.ErrorIs(t, err, down)
		require.ErrorContains(t, err, "open block "+f.blocksOf(t, s)[0].ULID.String())
		require.Equal(t, fault.Internal, fault.ClassOf(err))
	}
	f.blocks.fail.Store(nil)
	lines, _ := f.lines(t, team)
	require.Equal(t, []string{"one"}, lines, "the failure is not remembered")

	f.pushLogs(t, "damaged")
	require.NoError(t, f.ing.Flush(t.Context()))
	metas := f.blocksOf(t, signal.Logs)
	bad := metas[slices.IndexFunc(metas, func(m block.Meta) bool { return f.blocks.opens[m.ULID] == 0 })]
	require.NoError(t, f.bkt.Upload(t.Context(), bad.DataPath(), strings.NewReader(strings.Repeat("x", int(bad.Data.Size)))))
	_, err := f.Run(t.Context(), logsJob(team))
	require.True(t, block.IsCorruption(err), err)
	require.ErrorContains(t, err, bad.ULID.String())
}

// panicky is an engine with a bug that one tenant finds.
type panicky struct{ LogsEngine }

func (p panicky) Run(ctx context.Context, tenant string, q *logs.Query, src logs.Source) (*logs.Result, error) {
	if tenant == "unlucky" {
		panic("index out of range")
	}
	return p.LogsEngine.Run(ctx, tenant, q, src)
}

func TestPanicFailsItsQueryOnly(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Logs = panicky{o.Logs} })
	f.pushLogs(t, "fine")
	r, err := f.Run(t.Context(), logsJob("unlucky"))
	require.EqualError(t, err, "internal error: the query panicked: index out of range")
	require.Equal(t, fault.Internal, fault.ClassOf(err))
	require.Zero(t, r)
	require.Equal(t, 1.0, testutil.ToFloat64(f.panics))
	require.Contains(t, f.log.String(), "tenant=unlucky")
	require.Contains(t, f.log.String(), "querier_test.go", "where it was")
	lines, _ := f.lines(t, team)
	require.Equal(t, []string{"fine"}, lines)
}

func TestJobsThatCannotRun(t *testing.T) {
	f := newFixture(t, nil)
	_, err := f.Run(t.Context(), job.Job{Tenant: team})
	require.EqualError(t, err, "empty query job")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = f.Run(ctx, logsJob(team))
	require.ErrorIs(t, err, context.Canceled)
	_, err = f.Run(t.Context(), job.Job{Tenant: team, Logs: &logs.Query{Kind: logs.Range, Expr: "{", Start: 1, End: 2}})
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
	_, err = f.Run(t.Context(), job.Job{Tenant: team, Traces: &traces.Query{Kind: traces.Search, Expr: "{"}})
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
}

// Workers take jobs from the scheduler, live on after a panic, and end when they are told to.
func TestWorkers(t *testing.T) {
	queue := scheduler.New(scheduler.DefaultConfig(), prometheus.NewRegistry())
	defer queue.Close()
	f := newFixture(t, func(o *Options) {
		o.Queue, o.Config.Concurrency, o.Logs = queue, 2, panicky{o.Logs}
	})
	f.pushLogs(t, "one", "two")
	require.NoError(t, f.ing.Flush(t.Context()))
	require.NoError(t, services.StartAndAwaitRunning(t.Context(), f.Querier))

	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			tenant := team
			if i%5 == 0 {
				tenant = "unlucky"
			}
			r, err := queue.Run(t.Context(), logsJob(tenant))
			switch {
			case tenant == "unlucky" && err == nil:
				t.Error("a query that panicked was answered")
			case tenant == team && err != nil:
				t.Error(err)
			case tenant == team && len(r.Logs.Streams[0].Entries) != 2:
				t.Errorf("%d entries", len(r.Logs.Streams[0].Entries))
			}
		})
	}
	all.Wait()
	require.Equal(t, 6.0, testutil.ToFloat64(f.panics))

	require.NoError(t, services.StopAndAwaitTerminated(t.Context(), f.Querier))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := queue.Run(ctx, logsJob(team))
	require.ErrorIs(t, err, context.DeadlineExceeded, "nobody takes jobs any more")
}

// slow is an engine that answers when its query is given up.
type slow struct{ started chan struct{} }

func (s slow) Run(ctx context.Context, _ string, _ *logs.Query, _ logs.Source) (*logs.Result, error) {
	s.started <- struct{}{}
	<-ctx.Done()
	return nil, fmt.Errorf("given up: %w", ctx.Err())
}

// The context of a job is that of the one who asked.
func TestCancelledQueryEnds(t *testing.T) {
	queue := scheduler.New(scheduler.DefaultConfig(), prometheus.NewRegistry())
	defer queue.Close()
	engine := slow{make(chan struct{})}
	f := newFixture(t, func(o *Options) { o.Queue, o.Config.Concurrency, o.Logs = queue, 1, engine })
	require.NoError(t, services.StartAndAwaitRunning(t.Context(), f.Querier))
	for range 2 { // the one worker is free again
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := queue.Run(ctx, logsJob(team))
			done <- err
		}()
		<-engine.started
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	}
	require.NoError(t, services.StopAndAwaitTerminated(t.Context(), f.Querier))
}

func TestConfig(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	require.Error(t, Config{MaxOpenBlocks: 1, Concurrency: -1}.Validate())
	require.Error(t, Config{MaxOpenBlocks: 0}.Validate())
}
