package distributor

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
)

// PushMetrics checks b and hands what is left to the ingester. Of pairs of Prometheus servers one is elected
// and the samples of the other are dropped. The batch may be changed: rejected
// data is cut out of it in place.
func (d *Distributor) PushMetrics(ctx context.Context, b *metrics.Batch) (metrics.PushResult, error) {
	w, err := d.begin(ctx, signal.Metrics)
	if err != nil {
		return metrics.PushResult{}, err
	}
	defer d.end(w)
	duplicates := d.deduplicate(w, b)
	samples := w.checkMetrics(b)
	l := &w.limits.Metrics
	err = d.limitRate(w, samples, samples, l.IngestionRate, float64(l.IngestionBurst), func() string {
		return fmt.Sprintf("ingestion rate limit exceeded for tenant %s (limit: %g samples/s) while attempting to ingest %s",
			w.tenant, l.IngestionRate, plural(samples, "sample", "samples"))
	})
	if err != nil {
		return metrics.PushResult{}, err
	}
	sent, n, err := d.sendDeltas(ctx, w, b)
	if err != nil {
		return metrics.PushResult{}, err
	}
	samples -= n + d.deltas.accumulate(w, b)
	var result metrics.PushResult
	if len(b.Series) > 0 {
		if result, err = d.ingester.PushMetrics(ctx, w.tenant, b); err != nil {
			return metrics.PushResult{}, err
		}
		d.metrics.records.WithLabelValues(string(w.signal)).Add(float64(samples))
	}
	result.Samples += duplicates.Samples + sent.Samples
	result.Histograms += duplicates.Histograms + sent.Histograms
	result.Exemplars += duplicates.Exemplars + sent.Exemplars
	result.Deduplicated = duplicates.Deduplicated
	for _, r := range result.Rejected {
		w.rejected.add(r.Reason, r.Count, text(r.Message))
	}
	result.Rejected = sent.Rejected // who refused them has counted them
	for _, r := range w.rejected {
		result.Rejected = append(result.Rejected, metrics.Rejection{Reason: r.reason, Message: r.message, Count: r.count})
	}
	return result, nil
}

// checkMetrics cuts what is not allowed out of b and returns how many samples are left.
func (w *write) checkMetrics(b *metrics.Batch) int {
	win := w.millis()
	total := 0
	kept := b.Series[:0]
	for i := range b.Series {
		s := &b.Series[i]
		if s.Valid && withinLimits(s.Labels, &w.limits.Metrics) {
			// Fast path: the edge has seen these labels before.
		} else if reason, message := checkSeries(s.Labels, &w.limits.Metrics); reason != "" {
			// A series that brings only metadata counts as one record, or its loss would be silent.
			w.rejected.add(reason, max(1, len(s.Samples)+len(s.Histograms)+len(s.Exemplars)), message)
			continue
		}
		w.checkSamples(s, win)
		w.checkHistograms(s, win)
		w.checkExemplars(s, win)
		n := len(s.Samples) + len(s.Histograms) + len(s.Exemplars)
		if n == 0 && s.Metadata == nil {
			continue
		}
		total += n
		kept = append(kept, *s)
	}
	clear(b.Series[len(kept):])
	b.Series = kept
	return total
}

// withinLimits looks at sizes only.
func withinLimits(lbls labels.Labels, l *limits.MetricsLimits) bool {
	count, name, value := 0, 0, 0
	lbls.Range(func(lb labels.Label) {
		count, name, value = count+1, max(name, len(lb.Name)), max(value, len(lb.Value))
	})
	within := func(n, limit int) bool { return limit <= 0 || n <= limit }
	return within(count, l.MaxLabelNamesPerSeries) && within(name, l.MaxLabelNameLength) && within(value, l.MaxLabelValueLength)
}

// checkSeries returns the reason why a label set can't be stored, or "".
func checkSeries(lbls labels.Labels, l *limits.MetricsLimits) (string, func() string) {
	c := labelCheck{maxName: l.MaxLabelNameLength, maxValue: l.MaxLabelValueLength}
	named := false
	lbls.Range(func(lb labels.Label) {
		c.next(lb)
		named = named || lb.Name == labels.MetricName
	})
	if named && c.bad == labelOK && (l.MaxLabelNamesPerSeries <= 0 || c.count <= l.MaxLabelNamesPerSeries) {
		return "", nil // Fast path: nothing escapes to the heap.
	}
	return seriesFault(c, named, lbls, l)
}

func seriesFault(c labelCheck, named bool, lbls labels.Labels, l *limits.MetricsLimits) (string, func() string) {
	name, value, metric := c.label.Name, c.label.Value, lbls.Get(labels.MetricName)
	switch {
	case c.count == 0:
		return reasonMissingLabels, text("series has no labels")
	case l.MaxLabelNamesPerSeries > 0 && c.count > l.MaxLabelNamesPerSeries:
		return reasonTooManyLabels, func() string {
			return fmt.Sprintf("label_limit exceeded (metric: %.50s, number of labels: %d, limit: %d)", metric, c.count, l.MaxLabelNamesPerSeries)
		}
	case c.bad == labelNameTooLong:
		return reasonLabelNameTooLong, func() string {
			return fmt.Sprintf("label_name_length_limit exceeded (metric: %.50s, label name: %.50s, length: %d, limit: %d)",
				metric, name, len(name), l.MaxLabelNameLength)
		}
	case c.bad == labelValueTooLong:
		return reasonLabelValueTooLong, func() string {
			return fmt.Sprintf("label_value_length_limit exceeded (metric: %.50s, label name: %.50s, value: %.50q, length: %d, limit: %d)",
				metric, name, value, len(value), l.MaxLabelValueLength)
		}
	case c.bad == labelDuplicate:
		return reasonDuplicateLabels, func() string {
			return fmt.Sprintf("invalid labels for series, labels %s, duplicated label %s", clip(lbls.String()), clip(name))
		}
	case c.bad == labelUnsorted:
		return reasonInvalidLabels, func() string {
			return fmt.Sprintf("invalid labels for series, labels %s are not sorted at %s", clip(lbls.String()), clip(name))
		}
	case c.bad == labelOK && !named:
		return reasonMissingMetricName, func() string {
			return fmt.Sprintf("series %s has no metric name (label __name__)", clip(lbls.String()))
		}
	}
	return reasonInvalidLabels, func() string {
		return fmt.Sprintf("invalid metric name or labels, got %s: %s", clip(fmt.Sprintf("%q", lbls.String())), c.bad.describe(c.label))
	}
}

func (w *write) checkSamples(s *metrics.Series, win window) {
	kept := s.Samples
	for i := range s.Samples {
		if win.ok(s.Samples[i].T) {
			continue
		}
		// Slow path: something goes, so start copying behind the first hole.
		kept = s.Samples[:i]
		for _, x := range s.Samples[i:] {
			if win.ok(x.T) {
				kept = append(kept, x)
				continue
			}
			w.rejectTime("sample", s.Labels, x.T, win)
		}
		break
	}
	s.Samples = kept
}

func (w *write) checkHistograms(s *metrics.Series, win window) {
	kept := s.Histograms[:0]
	for _, h := range s.Histograms {
		if !win.ok(h.T) {
			w.rejectTime("histogram", s.Labels, h.T, win)
			continue
		}
		if err := validHistogram(h); err != nil {
			w.rejected.add(reasonInvalidHistogram, 1, func() string {
				return fmt.Sprintf("invalid native histogram for series %s: %s", clip(s.Labels.String()), err)
			})
			continue
		}
		if limit, n := w.limits.Metrics.MaxNativeHistogramBuckets, histogramBuckets(h); limit > 0 && n > limit {
			w.rejected.add(reasonHistogramTooLarge, 1, func() string {
				return fmt.Sprintf("histogram bucket limit exceeded for series %s (buckets: %d, limit: %d)", clip(s.Labels.String()), n, limit)
			})
			continue
		}
		kept = append(kept, h)
	}
	clear(s.Histograms[len(kept):])
	s.Histograms = kept
}

var (
	errNoHistogram   = errors.New("neither integer nor float")
	errTwoHistograms = errors.New("both integer and float")
)

func validHistogram(h metrics.HistogramSample) error {
	switch {
	case h.H == nil && h.FH == nil:
		return errNoHistogram
	case h.H != nil && h.FH != nil:
		return errTwoHistograms
	case h.H != nil:
		if err := validSpans(h.H.PositiveSpans, h.H.NegativeSpans); err != nil {
			return err
		}
		return h.H.Validate()
	}
	if err := validSpans(h.FH.PositiveSpans, h.FH.NegativeSpans); err != nil {
		return err
	}
	return h.FH.Validate()
}

// maxBucketIndex is far outside what doubles can reach at any schema: schema 8 covers them with
// indices up to 2^18. Spans beyond it are an attack on whoever iterates over the gaps.
const maxBucketIndex = 1 << 24

func validSpans(positive, negative []histogram.Span) error {
	for _, spans := range [][]histogram.Span{positive, negative} {
		var at int64
		for _, s := range spans {
			at += int64(s.Offset) + int64(s.Length)
			if at > maxBucketIndex || at < -maxBucketIndex {
				return fmt.Errorf("spans reach bucket index %d", at)
			}
		}
	}
	return nil
}

func histogramBuckets(h metrics.HistogramSample) int {
	if h.H != nil {
		return len(h.H.PositiveBuckets) + len(h.H.NegativeBuckets)
	}
	return len(h.FH.PositiveBuckets) + len(h.FH.NegativeBuckets)
}

func (w *write) checkExemplars(s *metrics.Series, win window) {
	kept := s.Exemplars[:0]
	for _, e := range s.Exemplars {
		if e.HasTs && !win.ok(e.Ts) {
			w.rejectTime("exemplar", s.Labels, e.Ts, win)
			continue
		}
		if reason, message := checkExemplar(e, w.limits.Metrics.MaxExemplarLabelLength); reason != "" {
			w.rejected.add(reason, 1, func() string {
				return fmt.Sprintf("exemplar for series %s: %s", clip(s.Labels.String()), message())
			})
			continue
		}
		kept = append(kept, e)
	}
	clear(s.Exemplars[len(kept):])
	s.Exemplars = kept
}

func checkExemplar(e exemplar.Exemplar, limit int) (string, func() string) {
	var c labelCheck
	runes := 0
	e.Labels.Range(func(lb labels.Label) {
		c.next(lb)
		runes += utf8.RuneCountInString(lb.Name) + utf8.RuneCountInString(lb.Value)
	})
	if c.bad == labelOK && (limit <= 0 || runes <= limit) {
		return "", nil
	}
	return exemplarFault(c, runes, limit)
}

func exemplarFault(c labelCheck, runes, limit int) (string, func() string) {
	if c.bad != labelOK {
		return reasonInvalidExemplar, func() string { return c.bad.describe(c.label) }
	}
	return reasonExemplarTooLong, func() string {
		return fmt.Sprintf("label names and values have %d characters, limit: %d", runes, limit)
	}
}

func (w *write) rejectTime(what string, lbls labels.Labels, t int64, win window) {
	reason := win.classify(t)
	w.rejected.add(reason, 1, func() string {
		switch reason {
		case reasonInvalidTimestamp:
			return fmt.Sprintf("%s for series %s has an invalid timestamp: %d", what, clip(lbls.String()), t)
		case reasonTooOld:
			return fmt.Sprintf("%s for series %s has timestamp too old: %s, oldest acceptable timestamp is: %s", what,
				clip(lbls.String()), formatTime(time.UnixMilli(t)), formatTime(time.UnixMilli(win.oldest)))
		}
		return fmt.Sprintf("%s for series %s is out of bounds: timestamp %s is too far in the future, newest acceptable timestamp is: %s",
			what, clip(lbls.String()), formatMillis(t), formatMillis(win.newest))
	})
}

// formatMillis prints years beyond 9999 as a number, since RFC 3339 has no form for them.
func formatMillis(t int64) string {
	if u := time.UnixMilli(t).UTC(); u.Year() <= 9999 && u.Year() >= 0 {
		return formatTime(u)
	}
	return fmt.Sprintf("%d ms", t)
}
