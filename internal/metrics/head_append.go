package metrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// append commits a batch to the TSDB. What it refuses is in the result. The records are with the
// kernel when it returns; the caller syncs.
func (t *head) append(ctx context.Context, b *Batch) (PushResult, error) {
	t.gate.RLock()
	defer t.gate.RUnlock()
	if err := t.failure.Load(); err != nil {
		return PushResult{}, *err
	}
	defer t.makeRoom(b)()
	now := t.opts.Now()
	t.lastAppend.Store(now.UnixMilli())
	w := batchWriter{head: t, app: t.db.Appender(ctx), maxT: latest, window: t.opts.Config.OutOfOrderWindow}
	if ahead := time.Duration(t.opts.Config.MaxFuture); ahead > 0 {
		w.maxT = now.Add(ahead).UnixMilli()
	}
	if b.DiscardOutOfOrder {
		w.window = 0
		w.app.SetOptions(&storage.AppendOptions{DiscardOutOfOrder: true})
	}
	switch n := len(b.Series); {
	case n > maxSmallBatch:
		w.seen = seenPool.Get().(map[storage.SeriesRef]newest)
		defer w.putSeen()
	case n > 1:
		w.seen = make(map[storage.SeriesRef]newest, n)
	}
	for i := range b.Series {
		w.series(&b.Series[i])
	}
	err := w.app.Commit()
	if err == nil && t.reg.writesFailed() {
		err = errors.New("a write failed before")
	}
	if err != nil {
		return PushResult{}, t.broken(fmt.Errorf("write metrics of tenant %s to the log: %w", t.tenant, err))
	}
	w.result.Rejected = w.rejected.List()
	return w.result, nil
}

// The years 1 to 9999: beyond, differences of times overflow within the TSDB.
const (
	earliest = -62135596800000
	latest   = 253402300799999
)

// newest is the newest data of one series in the batch so far.
type newest struct {
	sample    *Sample // nil: none
	histogram int64
}

var noData = newest{histogram: math.MinInt64}

var seenPool = sync.Pool{New: func() any { return map[storage.SeriesRef]newest{} }}

const (
	// maxSmallBatch is up to where a new map is cheaper than to clear one that was large.
	maxSmallBatch = 64
	// maxPooledSeen keeps one huge batch from pinning its map, and all others from clearing it.
	maxPooledSeen = 16_384
)

func (w *batchWriter) putSeen() {
	if len(w.seen) <= maxPooledSeen {
		clear(w.seen)
		seenPool.Put(w.seen)
	}
}

// batchWriter appends one batch.
type batchWriter struct {
	head *head
	// seen are the series of the batch so far: senders may repeat one, with other start timestamps for
	// instance. Nil when there is one series only.
	seen     map[storage.SeriesRef]newest
	app      storage.Appender
	maxT     int64
	window   model.Duration
	result   PushResult
	rejected Rejections
}

func (w *batchWriter) series(s *Series) {
	if s.Metadata != nil {
		w.head.meta.put(s.Labels.Get(labels.MetricName), *s.Metadata)
	}
	n := noData
	ref := w.samples(s, &n)
	ref = w.histograms(ref, s, &n)
	if len(s.Exemplars) > 0 {
		w.exemplars(ref, s)
	}
	if ref != 0 && w.seen != nil && n != noData {
		w.seen[ref] = n
	}
}

// before returns what the batch had of a series before the entry at hand.
func (w *batchWriter) before(ref storage.SeriesRef) newest {
	if n, ok := w.seen[ref]; ok {
		return n
	}
	return noData
}

func (w *batchWriter) samples(s *Series, n *newest) (ref storage.SeriesRef) {
	first := true // of this entry that the TSDB takes
	for i := range s.Samples {
		p := &s.Samples[i]
		if err := w.checkTime(p.T); err != nil {
			w.reject(err, s.Labels, p.T)
			continue
		}
		if err := w.checkOrder(n.sample, p); err != nil {
			w.reject(err, s.Labels, p.T)
			continue
		}
		if p.Start != 0 && w.head.opts.Config.StartTimestampZero {
			// Best effort, as in Prometheus: most of these repeat a start that is known.
			if r, err := w.app.AppendSTZeroSample(ref, s.Labels, p.T, p.Start); err == nil {
				ref = r
			}
		}
		r, err := w.app.Append(ref, s.Labels, p.T, p.V)
		if err == nil && first {
			first = false
			*n = w.before(r)
			err = w.checkOrder(n.sample, p)
		}
		if r != 0 {
			ref = r
		}
		if err != nil {
			w.reject(err, s.Labels, p.T)
			continue
		}
		if n.sample == nil || p.T > n.sample.T {
			n.sample = p
		}
		w.result.Samples++
	}
	return ref
}

// checkOrder compares a sample with the newest one of the same series in the batch. The TSDB compares with what
// is committed, so order within the batch is ours to check: at the commit it would drop such samples
// without a word.
func (w *batchWriter) checkOrder(newest, p *Sample) error {
	switch {
	case newest == nil || p.T > newest.T:
		return nil
	case p.T == newest.T && math.Float64bits(p.V) != math.Float64bits(newest.V):
		return storage.NewDuplicateFloatErr(p.T, newest.V, p.V)
	case p.T < newest.T && w.window == 0:
		return storage.ErrOutOfOrderSample
	}
	return nil
}

func (w *batchWriter) histograms(ref storage.SeriesRef, s *Series, n *newest) storage.SeriesRef {
	first := n.sample == nil
	for i := range s.Histograms {
		p := &s.Histograms[i]
		err := w.checkTime(p.T)
		if err == nil {
			err = w.checkHistogramOrder(n, p)
		}
		if err == nil && p.H == nil && p.FH == nil {
			err = errors.New("histogram sample without a histogram")
		}
		if err != nil {
			w.reject(err, s.Labels, p.T)
			continue
		}
		if p.Start != 0 && w.head.opts.Config.StartTimestampZero && !staleHistogram(p.H, p.FH) {
			if r, err := w.app.AppendHistogramSTZeroSample(ref, s.Labels, p.T, p.Start, p.H, p.FH); err == nil {
				ref = r
			}
		}
		r, err := w.app.AppendHistogram(ref, s.Labels, p.T, p.H, p.FH)
		if err == nil && first {
			first = false
			*n = w.before(r)
			err = w.checkHistogramOrder(n, p)
		}
		if r != 0 {
			ref = r
		}
		if err != nil {
			w.reject(err, s.Labels, p.T)
			continue
		}
		n.histogram = max(n.histogram, p.T)
		w.result.Histograms++
	}
	return ref
}

func (w *batchWriter) checkHistogramOrder(n *newest, p *HistogramSample) error {
	switch {
	case p.T == n.histogram:
		return storage.ErrDuplicateSampleForTimestamp
	case p.T < n.histogram && w.window == 0:
		return storage.ErrOutOfOrderSample
	}
	return nil
}

func staleHistogram(h *histogram.Histogram, fh *histogram.FloatHistogram) bool {
	return h != nil && value.IsStaleNaN(h.Sum) || fh != nil && value.IsStaleNaN(fh.Sum)
}

func (w *batchWriter) exemplars(ref storage.SeriesRef, s *Series) {
	if w.head.opts.Config.MaxExemplars == 0 {
		return
	}
	if ref == 0 {
		if g, ok := w.app.(storage.GetRef); ok {
			ref, _ = g.GetRef(s.Labels, s.Labels.Hash())
		}
	}
	for _, e := range s.Exemplars {
		var err error
		switch {
		case ref == 0:
			err = errExemplarSeries
		case e.Ts > w.maxT:
			err = errFuture
		default:
			_, err = w.app.AppendExemplar(ref, labels.EmptyLabels(), e)
		}
		switch {
		case err == nil:
			w.result.Exemplars++
		case errors.Is(err, storage.ErrDuplicateExemplar):
			// Every scrape and push repeats the current exemplar.
		default:
			w.rejectExemplar(err, s.Labels, e)
		}
	}
}

var (
	errFuture         = errors.New("timestamp is too far in the future")
	errExemplarSeries = errors.New("exemplar of a series that has no sample")
)

func (w *batchWriter) checkTime(ts int64) error {
	switch {
	case ts > w.maxT:
		return errFuture
	case ts < earliest:
		return storage.ErrOutOfBounds
	}
	return nil
}

func (w *batchWriter) reject(err error, ls labels.Labels, ts int64) {
	reason := sampleReason(err)
	w.rejected.Add(reason, 1, func() string {
		switch reason {
		case "too_old":
			return fmt.Sprintf("%s: series %s, timestamp %s: older than the out-of-order window of %s (metrics.out_of_order_window), send it as blocks",
				err, ls, formatMillis(ts), w.window)
		case "too_far_in_future":
			return fmt.Sprintf("%s: series %s, timestamp %s: more than %s ahead of the clock (metrics.max_future)",
				err, ls, formatMillis(ts), w.head.opts.Config.MaxFuture)
		}
		return fmt.Sprintf("%s: series %s, timestamp %s", err, ls, formatMillis(ts))
	})
}

func (w *batchWriter) rejectExemplar(err error, ls labels.Labels, e exemplar.Exemplar) {
	reason := ExemplarReason + "_invalid"
	switch {
	case errors.Is(err, storage.ErrOutOfOrderExemplar):
		reason = ExemplarReason + "_out_of_order"
	case errors.Is(err, storage.ErrExemplarLabelLength):
		reason = ExemplarReason + "_labels_too_long"
	case errors.Is(err, errFuture):
		reason = ExemplarReason + "_too_far_in_future"
	case errors.Is(err, errExemplarSeries):
		reason = ExemplarReason + "_without_series"
	}
	w.rejected.Add(reason, 1, func() string {
		return fmt.Sprintf("%s: series %s, exemplar %s, timestamp %s", err, ls, e.Labels, formatMillis(e.Ts))
	})
}

// sampleReason is the short word for an error of the TSDB's appender.
func sampleReason(err error) string {
	var invalid histogram.Error
	switch {
	case errors.Is(err, storage.ErrTooOldSample):
		return "too_old"
	case errors.Is(err, storage.ErrOutOfBounds):
		return "out_of_bounds"
	case errors.Is(err, storage.ErrOutOfOrderSample):
		return "out_of_order"
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		return "duplicate_timestamp"
	case errors.Is(err, errFuture):
		return "too_far_in_future"
	case errors.Is(err, errSeriesLimit):
		return "series_limit"
	case errors.Is(err, tsdb.ErrInvalidSample):
		return "invalid_labels"
	case errors.As(err, &invalid):
		return "invalid_histogram"
	}
	return "invalid_sample"
}

func formatMillis(ts int64) string {
	return time.UnixMilli(ts).UTC().Format("2006-01-02T15:04:05.999Z07:00")
}
