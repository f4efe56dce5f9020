package prometheus

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/metrics"
)

func TestMaxSourceResolution(t *testing.T) {
	good := map[string]time.Duration{"0": 0, "0s": 0, "5m": 5 * time.Minute, "1h": time.Hour, "300": 5 * time.Minute, "0.5": time.Second / 2, "auto": 12 * time.Minute}
	for text, want := range good {
		r, ok := parseResolution(text)
		require.True(t, ok, text)
		require.Equal(t, want, r.of(time.Hour), text)
	}
	for _, text := range []string{"-1", "x", "1e300", "NaN", "5 m"} {
		_, ok := parseResolution(text)
		require.False(t, ok, text)
	}
	ctx := context.WithValue(t.Context(), optionsKey{}, queryOptions{resolution: resolution{auto: true}})
	q, err := engine{&API{}}.NewRangeQuery(ctx, nil, nil, "up", time.Unix(0, 0), time.Unix(7200, 0), time.Hour)
	require.NoError(t, err)
	require.Equal(t, int64(12*60_000), q.(*query).q.MaxResolution)
	q, err = engine{&API{}}.NewInstantQuery(t.Context(), nil, nil, "up", time.Unix(0, 0))
	require.NoError(t, err)
	require.Equal(t, metrics.Query{Kind: metrics.Instant, Expr: "up"}, *q.(*query).q)

	s := loaded(t)
	w := s.get("/api/v1/query?query=1&max_source_resolution=much")
	require.Equal(t, 400, w.Code)
	require.Contains(t, w.Body.String(), `max_source_resolution`)
	require.Contains(t, w.Body.String(), `"errorType":"bad_data"`)
}
