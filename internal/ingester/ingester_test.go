package ingester

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alecthomas/units"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/wal"
)

const team = "team"

// fixture is an ingester whose background work is done by the test, step by step.
type fixture struct {
	*Ingester
	dir    string
	bucket *flakyBucket
	now    *atomic.Int64
}

// flakyBucket refuses uploads while broken is set.
type flakyBucket struct {
	objstore.Bucket
	broken atomic.Bool
}

func (b *flakyBucket) Upload(ctx context.Context, name string, r io.Reader, opts ...objstore.ObjectUploadOption) error {
	if b.broken.Load() {
		return errors.New("the bucket is down")
	}
	return b.Bucket.Upload(ctx, name, r, opts...)
}

func openFixture(t *testing.T, dir string, change func(*Options)) *fixture {
	t.Helper()
	bkt, err := bucket.OpenFilesystem(filepath.Join(dir, "bucket"))
	require.NoError(t, err)
	f := &fixture{dir: dir, bucket: &flakyBucket{Bucket: bkt}, now: &atomic.Int64{}}
	f.now.Store(time.Now().UnixNano())
	now := func() time.Time { return time.Unix(0, f.now.Load()) }
	logger := slog.New(slog.DiscardHandler)
	heads, err := metrics.OpenHeads(t.Context(), metrics.HeadOptions{Dir: filepath.Join(dir, "metrics"), Config: metrics.DefaultConfig(),
		Bucket: f.bucket, Logger: logger, Registerer: prometheus.NewRegistry(), SyncAlways: true})
	require.NoError(t, err)
	opts := Options{Config: DefaultConfig(), WAL: wal.DefaultConfig(), Dir: dir, Bucket: f.bucket, Logger: logger, Registerer: prometheus.NewRegistry(),
		Now: now, Entropy: &ulid.LockedMonotonicReader{MonotonicReader: ulid.Monotonic(rand.Reader, 0)}, Metrics: heads,
		TraceHead: func(string) traces.HeadOptions { return traces.HeadOptions{} }}
	opts.Config.Logs.KeepAfterUpload = model.Duration(time.Minute)
	if change != nil {
		change(&opts)
	}
	f.Ingester, err = New(t.Context(), opts)
	require.NoError(t, err)
	return f
}

// cutDue is what the cutting loops do.
func (f *fixture) cutDue(ctx context.Context) error {
	return errors.Join(f.logs.cutDue(ctx), f.traces.cutDue(ctx))
}

// close ends the ingester as a stop would.
func (f *fixture) close(t *testing.T) {
	t.Helper()
	require.NoError(t, f.stop(nil))
}

func batch(lines ...string) *logs.Batch {
	s := logs.Stream{Labels: labels.FromStrings("app", "test")}
	for _, line := range lines {
		s.Entries = append(s.Entries, logs.Entry{Timestamp: 1_000_000 + int64(len(line)), Line: line})
	}
	return &logs.Batch{Streams: []logs.Stream{s}}
}

func (f *fixture) push(t *testing.T, lines ...string) {
	t.Helper()
	r, err := f.PushLogs(t.Context(), team, batch(lines...))
	require.NoError(t, err)
	require.Equal(t, len(lines), r.Entries)
}

var everything = logs.Select{Matchers: []logs.Matcher{{Type: labels.MatchEqual, Name: "app", Value: "test"}}, Start: 0, End: math.MaxInt64, Direction: logs.Forward}

func read(t *testing.T, src logs.Source) map[string]int {
	t.Helper()
	out := map[string]int{}
	for rows, err := range src.SelectRows(t.Context(), team, everything) {
		require.NoError(t, err)
		for _, line := range rows.Lines {
			out[string(line)]++
		}
	}
	return out
}

// all answers from the ingester and the bucket together, as a querier does.
func (f *fixture) all() logs.Source {
	return logs.NewSource(func(ctx context.Context, tenant string, _, _ int64) ([]logs.Part, error) {
		listing, err := block.List(ctx, f.bucket, tenant, signal.Logs)
		if err != nil {
			return nil, err
		}
		var parts []logs.Part
		for _, m := range listing.Blocks {
			r, err := block.Open(ctx, bucket.Ranger{Bucket: f.bucket}, m.DataPath(), m.Data.Size, block.ReaderOptions{})
			if err != nil {
				return nil, err
			}
			b, err := logs.OpenBlock(ctx, r)
			if err != nil {
				return nil, err
			}
			parts = append(parts, b)
		}
		return append(parts, logs.NewRemotePart(f.Ingester, tenant, math.MinInt64, math.MaxInt64)), nil
	})
}

// steps is a block's whole way. After each, everything must be answered once: by the running
// process, and by one that starts on a copy of the disk as a kill would leave it.
func TestEveryRowIsAnsweredOnceAtEveryStep(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	want := map[string]int{}
	check := func(step string) {
		t.Helper()
		require.Equal(t, want, read(t, f.all()), step)
		copied := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, os.CopyFS(copied, os.DirFS(f.dir)))
		require.NoError(t, os.RemoveAll(filepath.Join(copied, "metrics"))) // its lock is held
		again := openFixture(t, copied, nil)
		require.Equal(t, want, read(t, again.all()), "%s, after a kill", step)
		again.close(t)
	}
	add := func(lines ...string) {
		f.push(t, lines...)
		for _, line := range lines {
			want[line]++
		}
	}
	ctx := t.Context()
	check("empty")
	add("one", "three")
	check("head")
	require.NoError(t, f.logs.freeze(f.logs.tenant(team)))
	check("frozen")
	add("fifteen")
	check("frozen, and a new head")
	require.NoError(t, f.logs.cut(ctx, f.logs.tenant(team)))
	check("local blocks")
	add("seventeen!")
	require.NoError(t, f.logs.ship(ctx))
	check("shipped")
	require.Len(t, f.logs.parts(team), 3)
	require.NoError(t, f.logs.forget(time.Unix(0, f.now.Load())))
	require.Len(t, f.logs.parts(team), 3, "stores need time to find the blocks")
	f.now.Add(int64(2 * time.Minute))
	require.NoError(t, f.logs.forget(time.Unix(0, f.now.Load())))
	require.Len(t, f.logs.parts(team), 1, "the head alone is left")
	check("forgotten")
	require.NoError(t, f.Flush(ctx))
	check("flushed")
	f.close(t)
	f = openFixture(t, f.dir, nil)
	check("restarted")
	f.close(t)
}

func TestFlushOfATenant(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	f.push(t, "stays")
	_, err := f.PushLogs(t.Context(), "other", batch("goes"))
	require.NoError(t, err)
	require.NoError(t, f.Flush(t.Context(), "other", "unknown"))
	for tenant, blocks := range map[string]int{"other": 1, team: 0} {
		listing, err := block.List(t.Context(), f.bucket, tenant, signal.Logs)
		require.NoError(t, err)
		require.Len(t, listing.Blocks, blocks, tenant)
	}
	f.close(t)
}

func TestBrokenBucketLosesNothing(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	f.bucket.broken.Store(true)
	f.push(t, "kept")
	err := f.Flush(t.Context())
	require.ErrorContains(t, err, "the bucket is down")
	require.ErrorContains(t, err, "upload logs block")
	require.Equal(t, map[string]int{"kept": 1}, read(t, f.all()))
	f.now.Add(int64(time.Hour))
	require.NoError(t, f.logs.forget(time.Unix(0, f.now.Load())))
	require.Equal(t, map[string]int{"kept": 1}, read(t, f.all()), "what is not in the bucket is not forgotten")
	f.close(t)

	f = openFixture(t, f.dir, nil)
	require.Equal(t, map[string]int{"kept": 1}, read(t, f.all()))
	require.NoError(t, f.Flush(t.Context()))
	listing, err := block.List(t.Context(), f.bucket, team, signal.Logs)
	require.NoError(t, err)
	require.Len(t, listing.Blocks, 1, "the block of the first run")
	f.close(t)
}

// A head that fills faster than it is cut refuses writes instead of growing.
func TestFullHeadRefuses(t *testing.T) {
	f := openFixture(t, t.TempDir(), func(o *Options) { o.Config.Logs.MaxHeadBytes = units.MiB })
	f.logs.gate.maxWait = 20 * time.Millisecond
	line := strings.Repeat("x", 100_000)
	var err error
	accepted := 0
	for i := 0; err == nil && i < 1000; i++ {
		if _, err = f.PushLogs(t.Context(), team, batch(fmt.Sprintf("%s%d", line, i))); err == nil {
			accepted++
		}
	}
	require.Equal(t, fault.Unavailable, fault.ClassOf(err), err)
	require.Positive(t, fault.RetryAfter(err))
	_, err = f.PushLogs(t.Context(), "other", batch("fine"))
	require.NoError(t, err, "other tenants are not concerned")
	f.logs.gate.maxWait = time.Minute
	pushed := make(chan error)
	go func() {
		_, err := f.PushLogs(t.Context(), team, batch("room again"))
		pushed <- err
	}()
	<-f.logs.gate.wake // what waits for room asks for a cut
	require.NoError(t, f.logs.cutDue(t.Context()))
	require.NoError(t, <-pushed, "it goes on once there is room")
	require.Len(t, read(t, f.all()), accepted+1)
	f.close(t)
}

func TestDamagedPendingBlockIsSetAside(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	f.bucket.broken.Store(true)
	f.push(t, "damaged")
	require.Error(t, f.Flush(t.Context()))
	f.push(t, "fine")
	f.close(t)
	blocks, err := filepath.Glob(filepath.Join(f.dir, "logs", "pending", team, "*"))
	require.NoError(t, err)
	require.Len(t, blocks, 1)
	require.NoError(t, os.Truncate(filepath.Join(blocks[0], block.DataFile), 10))

	f = openFixture(t, f.dir, nil)
	require.Equal(t, 1, read(t, f.all())["fine"])
	aside, err := os.ReadDir(filepath.Join(f.dir, "logs", "quarantine"))
	require.NoError(t, err)
	require.Len(t, aside, 1)
	f.close(t)
}

// The log shrinks once its rows are in local blocks, whoever else is idle.
func TestLogIsTruncated(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	segments := func() int {
		names, err := filepath.Glob(filepath.Join(f.dir, "logs", "wal", "0*"))
		require.NoError(t, err)
		return len(names)
	}
	_, err := f.PushLogs(t.Context(), "idle", batch("early"))
	require.NoError(t, err)
	for i := range 5 {
		f.push(t, fmt.Sprint("line ", i))
		require.NoError(t, f.logs.cut(t.Context(), f.logs.tenant(team)))
	}
	require.Equal(t, 6, segments(), "the idle tenant's row is in the first segment")
	require.NoError(t, f.Flush(t.Context()))
	require.LessOrEqual(t, segments(), 2)
	f.close(t)
}

func TestTail(t *testing.T) {
	f := openFixture(t, t.TempDir(), func(o *Options) { o.Config.TailBuffer = 2; o.Config.MaxTails = 1 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	subscribed := func() bool {
		f.tails.mu.RLock()
		defer f.tails.mu.RUnlock()
		return len(f.tails.subs[team]) == 1
	}
	type received struct {
		lines   []string
		dropped int
	}
	got := make(chan received)
	go func() {
		for rows, err := range f.TailLogs(ctx, team, everything) {
			if err != nil {
				break
			}
			r := received{dropped: rows.Dropped}
			for _, line := range rows.Lines {
				r.lines = append(r.lines, string(line))
			}
			if len(r.lines) > 0 { // the first rows only say that the tail has begun
				got <- r
			}
		}
		close(got)
	}()
	require.Eventually(t, subscribed, 5*time.Second, time.Millisecond)
	f.push(t, "a")
	require.Equal(t, received{lines: []string{"a"}}, <-got)

	for _, err := range f.TailLogs(ctx, team, everything) {
		require.Equal(t, fault.RateLimited, fault.ClassOf(err), "one tail more than allowed")
	}
	// The reader takes one and waits; two fit the buffer; the rest is lost, and said to be.
	for i := range 10 {
		f.push(t, fmt.Sprint("line ", i))
	}
	lines, dropped := 0, 0
	for empty := false; !empty; {
		select {
		case r := <-got:
			lines += len(r.lines)
		case <-time.After(200 * time.Millisecond):
			empty = true
		}
	}
	f.push(t, "end")
	r := <-got
	require.Equal(t, []string{"end"}, r.lines)
	dropped += r.dropped
	require.Equal(t, 10, lines+dropped)
	require.Positive(t, dropped)
	cancel()
	for range got {
	}
	require.Eventually(t, func() bool { return !subscribed() }, 5*time.Second, time.Millisecond)
	f.close(t)
}

// A trace over its limit loses the spans beyond it, and the sender is told. What was acknowledged is
// there after a restart, whatever the limits are then and however many heads it was spread over.
func TestTraceLimitsAndReplay(t *testing.T) {
	limit := func(spans int) func(*Options) {
		return func(o *Options) {
			o.TraceHead = func(string) traces.HeadOptions { return traces.HeadOptions{MaxTraceSpans: spans} }
		}
	}
	id := traces.ID{15: 1}
	batch := func(spans ...byte) *traces.Batch {
		trace := &traces.Trace{ID: id}
		for _, n := range spans {
			trace.Spans = append(trace.Spans, &traces.Span{ID: traces.SpanID{7: n}, Start: uint64(n), End: 100, Resource: &traces.Resource{}, Scope: &traces.Scope{}})
		}
		return &traces.Batch{OTLP: traces.ToOTLP(trace), Spans: len(spans)}
	}
	f := openFixture(t, t.TempDir(), limit(2))
	push := func(b *traces.Batch, stored, refused int) {
		t.Helper()
		r, err := f.PushTraces(t.Context(), team, b)
		require.NoError(t, err)
		require.Equal(t, stored, r.Spans)
		n := 0
		for _, rejected := range r.Rejected {
			n += rejected.Count
		}
		require.Equal(t, refused, n)
	}
	has := func(want ...byte) {
		t.Helper()
		got, err := f.TraceByID(t.Context(), team, id, 0, 0)
		require.NoError(t, err)
		seen := map[byte]int{}
		for _, s := range got.Spans {
			seen[s.ID[7]]++
		}
		for _, n := range want {
			require.Equal(t, 1, seen[n], "span %d", n)
		}
	}
	push(batch(1, 2, 3), 2, 1)
	require.NoError(t, f.traces.freeze(f.traces.tenant(team)))
	push(batch(4, 5), 2, 0) // a new head has room again
	has(1, 2, 4, 5)
	f.close(t) // before the frozen head was written: both are replayed into one
	f = openFixture(t, f.dir, limit(2))
	has(1, 2, 4, 5)
	push(batch(6), 0, 1)
	f.close(t)
	f = openFixture(t, f.dir, limit(1))
	has(1, 2, 4, 5)
	f.close(t)
}

// Two heads may hold more of a trace together than a block can: the replay cuts in between.
func TestReplayOfATraceTooLargeForOneBlock(t *testing.T) {
	f := openFixture(t, t.TempDir(), nil)
	id := traces.ID{15: 2}
	const spans = 1700
	attributes := make([]traces.Attribute, 1000) // some 12 bytes each in a head, so 20 MB a part
	for i := range attributes {
		attributes[i] = traces.Attribute{Key: fmt.Sprint("key", i), Type: traces.TypeInt, Int: math.MaxInt64 - int64(i)}
	}
	for part := range 2 {
		trace := &traces.Trace{ID: id}
		for i := range spans {
			n := part*spans + i + 1
			trace.Spans = append(trace.Spans, &traces.Span{ID: traces.SpanID{6: byte(n >> 8), 7: byte(n)}, Start: uint64(n), End: 10_000,
				Attributes: attributes, Resource: &traces.Resource{}, Scope: &traces.Scope{}})
		}
		// Several requests, so that the border lies inside one part.
		for at := 0; at < spans; at += 100 {
			piece := &traces.Trace{ID: id, Spans: trace.Spans[at : at+100]}
			r, err := f.PushTraces(t.Context(), team, &traces.Batch{OTLP: traces.ToOTLP(piece), Spans: 100})
			require.NoError(t, err)
			require.Equal(t, 100, r.Spans, "%v", r.Rejected)
		}
		if part == 0 {
			require.NoError(t, f.traces.freeze(f.traces.tenant(team)))
		}
	}
	for range 2 { // the second restart finds the block of the first
		f.close(t)
		f = openFixture(t, f.dir, nil)
		require.Len(t, f.traces.parts(team), 2, "a block cut during the replay, and the head")
		got, err := f.TraceByID(t.Context(), team, id, 0, 0)
		require.NoError(t, err)
		require.Len(t, got.Spans, 2*spans)
	}
	f.close(t)
}
