package scraper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/metrics"
)

type keeper struct {
	batches []metrics.Batch
	err     error
}

func (k *keeper) PushMetrics(_ context.Context, b *metrics.Batch) (metrics.PushResult, error) {
	c := metrics.Batch{DiscardOutOfOrder: b.DiscardOutOfOrder}
	for _, s := range b.Series {
		s.Samples = append([]metrics.Sample(nil), s.Samples...)
		c.Series = append(c.Series, s)
	}
	k.batches = append(k.batches, c)
	return metrics.PushResult{}, k.err
}

func TestAppender(t *testing.T) {
	k := &keeper{}
	to := newAppendable(k, "t1", slog.New(slog.DiscardHandler), time.Now)
	a, b := labels.FromStrings("__name__", "a"), labels.FromStrings("__name__", "b")

	app := to.Appender(t.Context())
	ref, err := app.AppendSTZeroSample(0, a, 10, 5)
	require.NoError(t, err)
	require.NotZero(t, ref, "zero would turn the scrape cache off")
	again, err := app.Append(ref, a, 10, 1)
	require.NoError(t, err)
	require.Equal(t, ref, again)
	_, err = app.AppendExemplar(ref, a, exemplar.Exemplar{Value: 7})
	require.NoError(t, err)
	_, err = app.UpdateMetadata(ref, a, metadata.Metadata{Help: "h"})
	require.NoError(t, err)
	other, err := app.Append(0, b, 10, 2)
	require.NoError(t, err)
	require.NotEqual(t, ref, other)
	_, err = app.Append(ref, a, 11, 3)
	require.NoError(t, err)
	require.NoError(t, app.Commit())

	require.Len(t, k.batches, 1)
	s := k.batches[0].Series
	require.Len(t, s, 3)
	require.Equal(t, []metrics.Sample{{Start: 5, T: 10, V: 1}}, s[0].Samples)
	require.Equal(t, 7.0, s[0].Exemplars[0].Value)
	require.Equal(t, "h", s[0].Metadata.Help)
	require.Equal(t, []metrics.Sample{{T: 10, V: 2}}, s[1].Samples, "a start belongs to its series")
	require.Equal(t, []metrics.Sample{{T: 11, V: 3}}, s[2].Samples)

	app = to.Appender(t.Context())
	_, _ = app.Append(ref, a, 12, 1)
	require.NoError(t, app.Rollback())
	require.NoError(t, to.Appender(t.Context()).Commit())
	require.Len(t, k.batches, 1, "nothing scraped, nothing pushed")

	app = to.Appender(t.Context())
	app.SetOptions(&storage.AppendOptions{DiscardOutOfOrder: true})
	_, _ = app.Append(ref, a, 13, 1)
	k.err = errors.New("full")
	require.EqualError(t, app.Commit(), "full")
	require.True(t, k.batches[1].DiscardOutOfOrder)
	require.Len(t, k.batches[1].Series, 1, "what was rolled back is not in the next batch")
}

func BenchmarkAppender(b *testing.B) {
	const n = 1000
	all := make([]labels.Labels, n)
	for i := range all {
		all[i] = labels.FromStrings("__name__", "x", "i", fmt.Sprint(i))
	}
	to := newAppendable(discard{}, "t1", slog.New(slog.DiscardHandler), time.Now)
	b.ReportAllocs()
	for b.Loop() {
		app := to.Appender(b.Context())
		for i, l := range all {
			_, _ = app.Append(storage.SeriesRef(i+1), l, 1, 1)
		}
		if err := app.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "samples/s")
}

type discard struct{}

func (discard) PushMetrics(context.Context, *metrics.Batch) (metrics.PushResult, error) {
	return metrics.PushResult{}, nil
}
