package compactor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// brokenBucket fails where its functions say so.
type brokenBucket struct {
	objstore.Bucket
	failDelete, failIter, failGet func(name string) bool
}

var errDown = errors.New("the bucket is down")

func (b *brokenBucket) Delete(ctx context.Context, name string) error {
	if b.failDelete != nil && b.failDelete(name) {
		return errDown
	}
	return b.Bucket.Delete(ctx, name)
}

func (b *brokenBucket) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if b.failGet != nil && b.failGet(name) {
		return nil, errDown
	}
	return b.Bucket.Get(ctx, name)
}

func (b *brokenBucket) Iter(ctx context.Context, dir string, f func(string) error, opts ...objstore.IterOption) error {
	if b.failIter != nil && b.failIter(dir) {
		return errDown
	}
	return b.Bucket.Iter(ctx, dir, f, opts...)
}

// fixture is a compactor over a bucket in a folder, whose rounds the test starts.
type fixture struct {
	*Compactor
	bkt     *brokenBucket
	log     bytes.Buffer
	changed int
}

func newFixture(t *testing.T, r Retention) *fixture {
	t.Helper()
	fs, err := bucket.OpenFilesystem(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fs.Close()) })
	f := &fixture{bkt: &brokenBucket{Bucket: fs}}
	f.Compactor = New(Options{Config: DefaultConfig(), Retention: r, Dir: t.TempDir(), Bucket: f.bkt, Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
		Registerer: prometheus.NewRegistry(), Now: func() time.Time { return now }, Changed: func(context.Context) { f.changed++ }})
	return f
}

// add uploads a block whose rows have the given ages.
func (f *fixture) add(t *testing.T, tenant string, s signal.Signal, ages ...time.Duration) ulid.ULID {
	t.Helper()
	m := &block.Meta{ULID: ulid.MustNew(ulid.Timestamp(now), rand.Reader), Tenant: tenant, Signal: s, Producer: "test", Created: now}
	dir := t.TempDir()
	if s == signal.Logs {
		head := logs.NewHead(logs.HeadOptions{})
		stream := logs.Stream{Labels: labels.FromStrings("app", "test")}
		for _, age := range ages {
			stream.Entries = append(stream.Entries, logs.Entry{Timestamp: now.Add(-age).UnixNano(), Line: age.String()})
		}
		head.Append(&logs.Batch{Streams: []logs.Stream{stream}})
		require.NoError(t, head.WriteBlock(t.Context(), dir, m))
	} else {
		head := traces.NewHead(traces.HeadOptions{})
		trace := &traces.Trace{ID: traces.ID{1}}
		for i, age := range ages {
			at := uint64(now.Add(-age).UnixNano())
			trace.Spans = append(trace.Spans, &traces.Span{ID: traces.SpanID{byte(i + 1)}, Name: "op", Start: at, End: at,
				Resource: &traces.Resource{}, Scope: &traces.Scope{}})
		}
		_, err := head.Append(&traces.Batch{OTLP: traces.ToOTLP(trace), Spans: len(ages)})
		require.NoError(t, err)
		require.NoError(t, head.WriteBlock(t.Context(), dir, m))
	}
	require.NoError(t, block.Upload(t.Context(), f.bkt, dir, m))
	return m.ULID
}

// has lists the blocks of logs or traces, whole or not, of a tenant.
func (f *fixture) has(t *testing.T, tenant string, s signal.Signal) []ulid.ULID {
	t.Helper()
	ids, err := block.IDs(t.Context(), f.bkt.Bucket, tenant, s)
	require.NoError(t, err)
	return ids
}

func (f *fixture) deletedBlocks(s signal.Signal) int {
	return int(testutil.ToFloat64(f.deleted.WithLabelValues(string(s), "retention")))
}

func (f *fixture) outcome(o string) int { return int(testutil.ToFloat64(f.rounds.WithLabelValues(o))) }

func keep(m, l, tr time.Duration) Retention {
	return Retention{Metrics: model.Duration(m), Logs: model.Duration(l), Traces: model.Duration(tr)}
}

func TestRetentionOfEachSignal(t *testing.T) {
	f := newFixture(t, keep(0, 7*day, 2*day))
	young := f.add(t, "a", signal.Logs, 3*day)
	f.add(t, "a", signal.Logs, 8*day, 9*day)
	// The newest row decides, and the block goes only when it is older than the retention.
	mixed := f.add(t, "a", signal.Logs, 6*day, 100*day)
	edge := f.add(t, "a", signal.Logs, 7*day)
	f.add(t, "a", signal.Logs, 7*day+1)
	other := f.add(t, "b", signal.Logs, time.Hour)
	f.add(t, "a", signal.Traces, 3*day)
	recent := f.add(t, "a", signal.Traces, day, 50*day)

	require.NoError(t, f.Round(t.Context()))
	require.ElementsMatch(t, []ulid.ULID{young, mixed, edge}, f.has(t, "a", signal.Logs))
	require.Equal(t, []ulid.ULID{other}, f.has(t, "b", signal.Logs))
	require.Equal(t, []ulid.ULID{recent}, f.has(t, "a", signal.Traces))
	require.Equal(t, []int{2, 1}, []int{f.deletedBlocks(signal.Logs), f.deletedBlocks(signal.Traces)})
	require.Equal(t, 1, f.changed)
	require.Equal(t, 1, f.outcome("success"))
	require.Equal(t, float64(now.Unix()), testutil.ToFloat64(f.last))
	require.Equal(t, 3, strings.Count(f.log.String(), "block deleted, past its retention"), "each deletion is told")

	require.NoError(t, f.Round(t.Context()))
	require.Equal(t, 1, f.changed, "nothing was deleted")
	require.Equal(t, 2, f.deletedBlocks(signal.Logs))
	require.Equal(t, 2, f.outcome("success"))
}

func TestZeroKeepsForEver(t *testing.T) {
	f := newFixture(t, Retention{})
	l, tr := f.add(t, "a", signal.Logs, 10000*day), f.add(t, "a", signal.Traces, 10000*day)
	require.NoError(t, f.Round(t.Context()))
	require.Equal(t, []ulid.ULID{l}, f.has(t, "a", signal.Logs))
	require.Equal(t, []ulid.ULID{tr}, f.has(t, "a", signal.Traces))
	require.Zero(t, f.changed)
}

func TestEmptyBucket(t *testing.T) {
	f := newFixture(t, DefaultRetention())
	require.NoError(t, f.Round(t.Context()))
	require.Zero(t, f.changed)
	require.Equal(t, 1, f.outcome("success"))
}

// Blocks whose times can't be known stay: of a damaged one somebody may still want the data.
func TestUnreadableMetaIsNeverDeleted(t *testing.T) {
	f := newFixture(t, keep(day, day, day))
	damage := map[string]func(name string) error{
		"nonsense": func(name string) error { return f.bkt.Upload(t.Context(), name, strings.NewReader("{")) },
		"empty":    func(name string) error { return f.bkt.Upload(t.Context(), name, strings.NewReader("")) },
		"of a later version": func(name string) error {
			return f.bkt.Upload(t.Context(), name, strings.NewReader(`{"version": 99, "max_time": 1}`))
		},
		"missing": func(name string) error { return f.bkt.Delete(t.Context(), name) },
	}
	var kept []ulid.ULID
	for name, do := range damage {
		id := f.add(t, "a", signal.Logs, 30*day)
		require.NoError(t, do(path.Join(block.Dir("a", signal.Logs, id), block.MetaFile)), name)
		kept = append(kept, id)
	}
	f.add(t, "a", signal.Logs, 30*day)
	require.NoError(t, f.Round(t.Context()))
	require.ElementsMatch(t, kept, f.has(t, "a", signal.Logs))
	require.Equal(t, 1, f.deletedBlocks(signal.Logs), "the whole one beside them")
}

func TestFailuresStopNobodyElse(t *testing.T) {
	f := newFixture(t, keep(day, day, day))
	stuck := f.add(t, "a", signal.Logs, 30*day)
	f.add(t, "a", signal.Logs, 30*day)
	f.add(t, "a", signal.Traces, 30*day)
	unread := f.add(t, "a", signal.Traces, 30*day)
	unlisted := f.add(t, "b", signal.Logs, 30*day)
	f.add(t, "b", signal.Traces, 30*day)
	f.add(t, "c", signal.Logs, 30*day)
	f.bkt.failDelete = func(name string) bool { return strings.Contains(name, stuck.String()) }
	f.bkt.failIter = func(dir string) bool { return strings.HasPrefix(dir, "b/logs") }
	f.bkt.failGet = func(name string) bool { return strings.Contains(name, unread.String()) }

	err := f.Round(t.Context())
	require.ErrorIs(t, err, errDown)
	require.ErrorContains(t, err, "retention of logs of tenant a: delete block a/logs/"+stuck.String())
	require.ErrorContains(t, err, "retention of traces of tenant a: read meta of block "+unread.String())
	require.ErrorContains(t, err, "retention of logs of tenant b: list blocks of b/logs")
	require.Equal(t, []ulid.ULID{stuck}, f.has(t, "a", signal.Logs))
	require.Equal(t, []ulid.ULID{unread}, f.has(t, "a", signal.Traces))
	require.Equal(t, []ulid.ULID{unlisted}, f.has(t, "b", signal.Logs))
	require.Empty(t, f.has(t, "b", signal.Traces))
	require.Empty(t, f.has(t, "c", signal.Logs))
	require.Equal(t, []int{2, 2}, []int{f.deletedBlocks(signal.Logs), f.deletedBlocks(signal.Traces)}, "what did go is counted")
	require.Equal(t, 1, f.changed)
	require.Equal(t, []int{0, 1}, []int{f.outcome("success"), f.outcome("error")})
	require.Zero(t, testutil.ToFloat64(f.last))

	f.bkt.failDelete, f.bkt.failIter, f.bkt.failGet = nil, nil, nil
	require.NoError(t, f.Round(t.Context()), "the next round does it")
	require.Empty(t, f.has(t, "a", signal.Logs))
	require.Empty(t, f.has(t, "b", signal.Logs))
}

// A deletion removes meta.json first. When it gets no further, a later round must find the rest.
func TestInterruptedDeletionIsFinished(t *testing.T) {
	f := newFixture(t, keep(0, day, day))
	id := f.add(t, "a", signal.Logs, 30*day)
	f.bkt.failDelete = func(name string) bool { return path.Base(name) == block.DataFile }
	require.ErrorIs(t, f.Round(t.Context()), errDown)
	f.bkt.failDelete = nil
	require.NoError(t, f.Round(t.Context()))
	require.Equal(t, []ulid.ULID{id}, f.has(t, "a", signal.Logs), "it could be an upload of today")
	f.opts.Now = func() time.Time { return now.Add(day + time.Second) }
	require.NoError(t, f.Round(t.Context()))
	require.Empty(t, f.has(t, "a", signal.Logs))
}

func TestBucketIsDown(t *testing.T) {
	f := newFixture(t, DefaultRetention())
	f.bkt.failIter = func(string) bool { return true }
	require.ErrorContains(t, f.Round(t.Context()), "list tenants: ")
	require.Equal(t, 1, f.outcome("error"))
	require.Zero(t, f.changed)
}

func TestRetentionOfMetrics(t *testing.T) {
	f := newFixture(t, keep(3*day, 0, 0))
	h, err := metrics.OpenHeads(t.Context(), metrics.HeadOptions{Dir: t.TempDir(), Config: metrics.DefaultConfig(), Bucket: f.bkt,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return now }})
	require.NoError(t, err)
	for _, age := range []time.Duration{4 * time.Hour, time.Hour} {
		_, err = h.Append(t.Context(), "a", &metrics.Batch{Series: []metrics.Series{{Labels: labels.FromStrings(labels.MetricName, "m"),
			Samples: []metrics.Sample{{T: now.Add(-age).UnixMilli(), V: 1}}}}})
		require.NoError(t, err)
	}
	require.NoError(t, h.Flush(t.Context()))
	require.NoError(t, h.Close())
	blocks := func() (n int) {
		require.NoError(t, f.bkt.Iter(t.Context(), "a/metrics/", func(string) error { n++; return nil }))
		return n
	}
	require.Positive(t, blocks())
	before := blocks()
	require.NoError(t, f.Round(t.Context()))
	require.Equal(t, before, blocks(), "too young")

	f.opts.Now = func() time.Time { return now.Add(4 * day) }
	require.NoError(t, f.Round(t.Context()))
	require.Equal(t, before, blocks(), "marked first")
	f.opts.Now = func() time.Time { return now.Add(4*day + time.Duration(f.opts.Config.MetricsDeleteDelay)) }
	require.NoError(t, f.Round(t.Context()))
	require.Zero(t, blocks())
	require.Equal(t, 1, f.changed)
}

// The service goes round once an interval, and a round that fails is not the last.
func TestRoundsGoOn(t *testing.T) {
	f := newFixture(t, DefaultRetention())
	fs := f.bkt.Bucket
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		bkt := &brokenBucket{Bucket: fs, failIter: func(string) bool { return down.Load() }}
		c := New(Options{Config: Config{Interval: model.Duration(time.Minute)}, Retention: DefaultRetention(), Bucket: bkt,
			Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now})
		require.NoError(t, services.StartAndAwaitRunning(t.Context(), c))
		time.Sleep(2*time.Minute + time.Second)
		synctest.Wait()
		require.Equal(t, 2.0, testutil.ToFloat64(c.rounds.WithLabelValues("error")))
		down.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1.0, testutil.ToFloat64(c.rounds.WithLabelValues("success")))
		require.NoError(t, services.StopAndAwaitTerminated(t.Context(), c))
	})
}

func TestConfig(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	require.ErrorContains(t, Config{}.Validate(), "interval: ")
	require.NoError(t, DefaultRetention().Validate())
	require.NoError(t, Retention{}.Validate())
	for _, r := range []Retention{keep(-1, 0, 0), keep(0, -1, 0), keep(0, 0, -1)} {
		require.Error(t, r.Validate())
	}
}
