package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

// testNow is the clock of the tests: the middle of a two-hour block range.
var testNow = time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)

func fixedNow() time.Time { return testNow }

func testHeadOptions(t testing.TB, dir string, bkt objstore.Bucket) HeadOptions {
	t.Helper()
	return HeadOptions{Dir: dir, Config: DefaultConfig(), Bucket: bkt, Logger: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(), Now: fixedNow, SyncAlways: true}
}

func openTestHeads(t testing.TB, opts HeadOptions) *Heads {
	t.Helper()
	h, err := OpenHeads(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func newTestStore(t testing.TB, bkt objstore.Bucket) *BlockStore {
	t.Helper()
	s, err := NewBlockStore(BlockStoreOptions{Dir: t.TempDir(), Config: DefaultConfig().Store, Bucket: bkt,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func newTestEngine() *Engine {
	return NewEngine(EngineOptions{Config: DefaultConfig().Query, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
}

// at is a time relative to testNow, in milliseconds.
func at(d time.Duration) int64 { return testNow.Add(d).UnixMilli() }

func floats(name string, samples ...Sample) Series {
	return Series{Labels: labels.FromStrings(labels.MetricName, name, "job", "test"), Samples: samples}
}

func push(t testing.TB, h *Heads, tenant string, series ...Series) PushResult {
	t.Helper()
	r, err := h.Append(t.Context(), tenant, &Batch{Series: series})
	require.NoError(t, err)
	return r
}

// instant returns the vector of an instant query as text, a line for each series.
func instant(t testing.TB, tenant, expr string, ts int64, sources ...Source) []string {
	t.Helper()
	r, err := newTestEngine().Run(context.Background(), tenant, &Query{Kind: Instant, Expr: expr, Start: ts, End: ts}, sources...)
	require.NoError(t, err)
	var out []string
	for _, s := range r.Value.(promql.Vector) {
		if s.H != nil {
			out = append(out, fmt.Sprintf("%s %s", s.Metric, s.H))
			continue
		}
		out = append(out, fmt.Sprintf("%s %v", s.Metric, s.F))
	}
	return out
}

// testContext is for property tests, whose rounds outlive no test but have no context of their own.
var testContext = context.Background()

func quickOptions(t testing.TB, dir string, bkt objstore.Bucket) HeadOptions {
	t.Helper()
	o := testHeadOptions(t, dir, bkt)
	o.SyncAlways, o.SyncInterval = false, time.Hour
	return o
}

func newTestStoreIn(t testing.TB, dir string, bkt objstore.Bucket) *BlockStore {
	t.Helper()
	s, err := NewBlockStore(BlockStoreOptions{Dir: dir, Config: DefaultConfig().Store, Bucket: bkt,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	return s
}
