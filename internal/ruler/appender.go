package ruler

import (
	"context"
	"fmt"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

// Pusher stores what rules record. The tenant is in ctx. A nil error means that what was not rejected is
// durable.
type Pusher interface {
	PushMetrics(ctx context.Context, b *metrics.Batch) (metrics.PushResult, error)
}

// appendable makes what one rule records one batch, which within an evaluation is a part of its group's.
type appendable struct {
	pusher Pusher
	tenant string
}

// Appender implements storage.Appendable.
func (a appendable) Appender(ctx context.Context) storage.Appender {
	return &appender{to: a, ctx: ctx}
}

type appender struct {
	to      appendable
	ctx     context.Context
	batch   metrics.Batch
	results int // samples that don't end a series
}

// Append implements storage.Appender.
func (a *appender) Append(_ storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	a.batch.Series = append(a.batch.Series, metrics.Series{Labels: l, Samples: []metrics.Sample{{T: t, V: v}}})
	if !value.IsStaleNaN(v) {
		a.results++
	}
	return 0, nil
}

// AppendHistogram implements storage.Appender.
func (a *appender) AppendHistogram(_ storage.SeriesRef, l labels.Labels, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	a.batch.Series = append(a.batch.Series, metrics.Series{Labels: l, Histograms: []metrics.HistogramSample{{T: t, H: h, FH: fh}}})
	a.results++
	return 0, nil
}

// AppendExemplar implements storage.Appender; rules have none.
func (*appender) AppendExemplar(storage.SeriesRef, labels.Labels, exemplar.Exemplar) (storage.SeriesRef, error) {
	return 0, nil
}

// UpdateMetadata implements storage.Appender; rules have none.
func (*appender) UpdateMetadata(storage.SeriesRef, labels.Labels, metadata.Metadata) (storage.SeriesRef, error) {
	return 0, nil
}

// AppendSTZeroSample implements storage.Appender; rules have no start times.
func (*appender) AppendSTZeroSample(storage.SeriesRef, labels.Labels, int64, int64) (storage.SeriesRef, error) {
	return 0, nil
}

// AppendHistogramSTZeroSample implements storage.Appender; rules have no start times.
func (*appender) AppendHistogramSTZeroSample(storage.SeriesRef, labels.Labels, int64, int64, *histogram.Histogram, *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return 0, nil
}

// SetOptions implements storage.Appender.
func (a *appender) SetOptions(o *storage.AppendOptions) {
	a.batch.DiscardOutOfOrder = o != nil && o.DiscardOutOfOrder
}

// Commit implements storage.Appender. What is rejected is an error, which the rule then shows.
func (a *appender) Commit() error {
	if len(a.batch.Series) == 0 {
		return nil
	}
	if b := batchOf(a.ctx); b != nil {
		b.add(a.ctx, a.batch, a.results)
		return nil
	}
	return push(a.ctx, a.to.pusher, a.to.tenant, &a.batch)
}

// push stores a batch of a tenant. Samples that are rejected are an error.
func push(ctx context.Context, p Pusher, id string, b *metrics.Batch) error {
	r, err := p.PushMetrics(tenant.NewContext(ctx, id), b)
	if err != nil {
		return err
	}
	if len(r.Rejected) > 0 {
		return fmt.Errorf("%d samples of the rule were not stored: %s", r.Rejected[0].Count, r.Rejected[0].Message)
	}
	return nil
}

// Rollback implements storage.Appender.
func (a *appender) Rollback() error {
	a.batch = metrics.Batch{}
	return nil
}
