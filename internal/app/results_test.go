package app

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/config"
	"github.com/hune-io/hune/internal/metrics"
)

// A write is late where another member, whose clock is a little ahead, may keep an answer about its time.
func TestLate(t *testing.T) {
	a := &App{cfg: config.Default(), results: new(cache.Results)}
	now := time.UnixMilli(1e12)
	settled := now.Add(-time.Duration(a.cfg.Metrics.OutOfOrderWindow)).UnixMilli()
	require.True(t, a.late(settled, now))
	require.True(t, a.late(settled+clockSkew.Milliseconds(), now))
	require.False(t, a.late(settled+clockSkew.Milliseconds()+1, now))
	a.results = nil
	require.False(t, a.late(0, now))
	require.NoError(t, a.takeBack(t.Context(), "t"))
}

func TestOldestSample(t *testing.T) {
	b := &metrics.Batch{Series: []metrics.Series{
		{Samples: []metrics.Sample{{T: 30, Start: 5}, {T: 20}}},
		{Histograms: []metrics.HistogramSample{{T: 25, Start: 7}}},
	}}
	require.Equal(t, int64(20), oldestSample(b, false))
	require.Equal(t, int64(5), oldestSample(b, true))
	require.Equal(t, int64(math.MaxInt64), oldestSample(&metrics.Batch{Series: make([]metrics.Series, 1)}, true))
}
