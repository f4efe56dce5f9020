package compactor

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/metrics"
)

func TestMetricsRetention(t *testing.T) {
	own := overrides(t, `overrides: {a: {metrics: {retention_period: 7d, retention_period_1h: 5y}}}`)
	keep := DefaultRetention().MetricsRetention(own)
	const five, hour = 5 * 60_000, 3_600_000
	require.Equal(t, 7*day, keep("a", 0))
	require.Equal(t, 90*day, keep("a", five))
	require.Equal(t, 5*365*day, keep("a", hour))
	require.Equal(t, 30*day, keep("b", 0))
	require.Equal(t, 365*day, keep("b", hour))
	require.Zero(t, Retention{}.OfMetrics(hour))
}

// Rounds merge the blocks that an ingester has shipped, and delete them after the delay.
func TestMetricsAreCompacted(t *testing.T) {
	f := newFixture(t, Retention{})
	clock := now
	f.opts.Now = func() time.Time { return clock }
	h, err := metrics.OpenHeads(t.Context(), metrics.HeadOptions{Dir: t.TempDir(), Config: metrics.DefaultConfig(), Bucket: f.bkt,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return now }, SyncAlways: true})
	require.NoError(t, err)
	for _, age := range []time.Duration{23 * time.Hour, 21 * time.Hour, 19 * time.Hour} { // 13 to 17 o'clock
		_, err = h.Append(t.Context(), "a", &metrics.Batch{Series: []metrics.Series{{Labels: labels.FromStrings(labels.MetricName, "m"),
			Samples: []metrics.Sample{{T: now.Add(-age).UnixMilli(), V: 1}}}}})
		require.NoError(t, err)
	}
	require.NoError(t, h.Flush(t.Context()))
	require.NoError(t, h.Close())
	count := func() (n int) {
		require.NoError(t, f.bkt.Iter(t.Context(), "a/metrics/", func(string) error { n++; return nil }))
		return n
	}
	require.Equal(t, 3, count())
	clock = now.Add(3 * day)
	require.NoError(t, f.Round(t.Context()))
	require.Equal(t, 1, f.changed)
	require.Contains(t, f.log.String(), "metric blocks compacted")
	require.NoError(t, f.Round(t.Context()))
	require.Equal(t, 4, count(), "queries under way may still read the others")
	clock = clock.Add(time.Duration(f.opts.Config.MetricsDeleteDelay))
	require.NoError(t, f.Round(t.Context()))
	require.Equal(t, 1, count())
	require.NoError(t, f.Round(t.Context()))
	require.Equal(t, 2, f.changed, "there is nothing left to do")
}
