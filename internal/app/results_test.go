package app

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/metrics"
)

func TestOldestSample(t *testing.T) {
	b := &metrics.Batch{Series: []metrics.Series{
		{Samples: []metrics.Sample{{T: 30, Start: 5}, {T: 20}}},
		{Histograms: []metrics.HistogramSample{{T: 25, Start: 7}}},
	}}
	require.Equal(t, int64(20), oldestSample(b, false))
	require.Equal(t, int64(5), oldestSample(b, true))
	require.Equal(t, int64(math.MaxInt64), oldestSample(&metrics.Batch{Series: make([]metrics.Series, 1)}, true))
}
