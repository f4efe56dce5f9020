package scraper

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

// Pusher stores scraped samples. The tenant is in ctx. A nil error means that what was not rejected
// is durable. Nothing of the batch is kept, but it may be changed.
type Pusher interface {
	PushMetrics(ctx context.Context, b *metrics.Batch) (metrics.PushResult, error)
}

// appendable makes each scrape one batch and one push.
type appendable struct {
	pusher Pusher
	tenant string
	logger *slog.Logger
	now    func() time.Time
	pool   sync.Pool // of *appender

	mu     sync.Mutex
	warned map[string]time.Time // reason → when it was last logged; reasons are a fixed set
}

func newAppendable(p Pusher, tenant string, logger *slog.Logger, now func() time.Time) *appendable {
	a := &appendable{pusher: p, tenant: tenant, logger: logger, now: now, warned: make(map[string]time.Time)}
	a.pool.New = func() any { return &appender{to: a} }
	return a
}

// Appender implements storage.Appendable.
func (a *appendable) Appender(ctx context.Context) storage.Appender {
	app := a.pool.Get().(*appender)
	app.ctx = tenant.NewContext(ctx, a.tenant)
	return app
}

// maxPooledSeries keeps one huge target from pinning its batch for ever.
const maxPooledSeries = 50_000

func (a *appendable) put(app *appender) {
	if cap(app.batch.Series) > maxPooledSeries {
		return
	}
	clear(app.batch.Series)
	*app = appender{to: a, batch: metrics.Batch{Series: app.batch.Series[:0]}, samples: app.samples[:0]}
	a.pool.Put(app)
}

// warnEvery keeps a target whose samples are all refused from filling the log.
const warnEvery = time.Minute

func (a *appendable) warn(r metrics.Rejection) {
	now := a.now()
	a.mu.Lock()
	due := now.Sub(a.warned[r.Reason]) >= warnEvery
	if due {
		a.warned[r.Reason] = now
	}
	a.mu.Unlock()
	if due {
		a.logger.Warn("scraped samples were rejected", "reason", r.Reason, "count", r.Count, "err", r.Message)
	}
}

// appender collects one scrape. The scrape loop owns it until Commit or Rollback.
//
// References are hashes of labels: the loop uses them as keys to find series that have
// disappeared, and as a sign that it may skip parsing and relabelling at the next scrape. They need no
// lookup here, because the loop passes the labels each time.
type appender struct {
	to      *appendable
	ctx     context.Context
	batch   metrics.Batch
	samples []metrics.Sample // backs the one sample that each series has
	last    storage.SeriesRef
	start   int64 // of the next sample of last, 0 when not known
}

// series returns the entry of a series. The loop reports all there is about one series before the
// next, so it is the last one or new. (A second entry for one series would be no harm.)
func (a *appender) series(ref storage.SeriesRef, l labels.Labels) (*metrics.Series, storage.SeriesRef) {
	if ref == 0 {
		if ref = storage.SeriesRef(l.Hash()); ref == 0 {
			ref = 1
		}
	}
	n := len(a.batch.Series)
	if n > 0 && a.last == ref {
		return &a.batch.Series[n-1], ref
	}
	a.last, a.start = ref, 0
	a.batch.Series = append(a.batch.Series, metrics.Series{Labels: l})
	return &a.batch.Series[n], ref
}

// Append implements storage.Appender.
func (a *appender) Append(ref storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	s, ref := a.series(ref, l)
	sample := metrics.Sample{Start: a.start, T: t, V: v}
	a.start = 0
	if s.Samples != nil {
		s.Samples = append(s.Samples, sample)
		return ref, nil
	}
	n := len(a.samples)
	a.samples = append(a.samples, sample)
	s.Samples = a.samples[n : n+1 : n+1]
	return ref, nil
}

// AppendHistogram implements storage.Appender.
func (a *appender) AppendHistogram(ref storage.SeriesRef, l labels.Labels, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	s, ref := a.series(ref, l)
	s.Histograms = append(s.Histograms, metrics.HistogramSample{Start: a.start, T: t, H: h, FH: fh})
	a.start = 0
	return ref, nil
}

// AppendExemplar implements storage.Appender.
func (a *appender) AppendExemplar(ref storage.SeriesRef, l labels.Labels, e exemplar.Exemplar) (storage.SeriesRef, error) {
	s, ref := a.series(ref, l)
	s.Exemplars = append(s.Exemplars, e)
	return ref, nil
}

// UpdateMetadata implements storage.Appender.
func (a *appender) UpdateMetadata(ref storage.SeriesRef, l labels.Labels, m metadata.Metadata) (storage.SeriesRef, error) {
	s, ref := a.series(ref, l)
	s.Metadata = &m
	return ref, nil
}

// AppendSTZeroSample implements storage.Appender: the start goes with the sample that follows.
func (a *appender) AppendSTZeroSample(ref storage.SeriesRef, l labels.Labels, _, st int64) (storage.SeriesRef, error) {
	_, ref = a.series(ref, l)
	a.start = st
	return ref, nil
}

// AppendHistogramSTZeroSample implements storage.Appender.
func (a *appender) AppendHistogramSTZeroSample(ref storage.SeriesRef, l labels.Labels, t, st int64, _ *histogram.Histogram, _ *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return a.AppendSTZeroSample(ref, l, t, st)
}

// SetOptions implements storage.Appender.
func (a *appender) SetOptions(o *storage.AppendOptions) {
	a.batch.DiscardOutOfOrder = o != nil && o.DiscardOutOfOrder
}

// Commit implements storage.Appender.
func (a *appender) Commit() error {
	defer a.to.put(a)
	if len(a.batch.Series) == 0 {
		return nil
	}
	r, err := a.to.pusher.PushMetrics(a.ctx, &a.batch)
	if err != nil {
		return err
	}
	for _, rejected := range r.Rejected {
		a.to.warn(rejected)
	}
	return nil
}

// Rollback implements storage.Appender.
func (a *appender) Rollback() error {
	a.to.put(a)
	return nil
}
