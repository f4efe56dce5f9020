package deletes

import (
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

func book() *Book {
	return New(Options{Bucket: objstore.NewInMemBucket(), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now})
}

func TestWholeRangeOfTime(t *testing.T) {
	b := book()
	_, err := b.Add(t.Context(), "a", `{app="x"}`, math.MinInt64, math.MaxInt64)
	require.NoError(t, err)
	require.NotNil(t, b.Active("a").Overlapping(math.MinInt64, 0))
	require.NotNil(t, b.Active("a").Overlapping(0, 1<<62))
}

// Only the requests that a job carries out are in what Begin returns.
func TestBegin(t *testing.T) {
	b := book()
	first, err := b.Add(t.Context(), "a", `{app="x"}`, 1, 2)
	require.NoError(t, err)
	_, err = b.Add(t.Context(), "a", `{app="y"}`, 1, 2)
	require.NoError(t, err)
	begun, err := b.Begin(t.Context(), "a", []string{first.ID, "gone"})
	require.NoError(t, err)
	require.Equal(t, []string{first.ID}, begun.IDs())
	none, err := b.Begin(t.Context(), "a", nil)
	require.NoError(t, err)
	require.Nil(t, none)
}

func TestWhatIsNoQuery(t *testing.T) {
	b := book()
	for _, query := range []string{"", "{", `rate({app="x"}[1m])`, `{app="` + strings.Repeat("x", 20000) + `"}`} {
		_, err := b.Add(t.Context(), "a", query, 1, 2)
		require.Error(t, err, query)
	}
	require.Nil(t, b.Active("a"))
}
