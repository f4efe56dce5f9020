package generator

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

// collector writes the metrics of one tenant once.
type collector struct {
	now        time.Time
	staleAfter time.Duration
	limits     *limits.Limits // in force now
	pusher     Pusher

	// What it found.
	rejected        metrics.Rejections
	active, waiting int
	overflowed      int
	empty           bool
}

// chunk is how many entries, of some twenty series each, are one write. The counting waits while it is put together.
const chunk = 256

// collect writes every entry that was there at its start. An entry that was idle for staleAfter, or whose
// settings are no longer in force, ends with staleness markers.
func (c *collector) collect(ctx context.Context, s *state) error {
	now := c.now.UnixMilli()
	w := writer{now: now, staleAfter: c.staleAfter.Milliseconds()}
	s.mu.Lock()
	s.now = now
	s.expireEdges(now)
	s.report()
	w.endAll = s.settings.limits != c.limits
	w.skip = s.settings.spans.skip
	w.exemplarLabel = s.settings.limits.Traces.Generator.TraceIDLabelName
	n := len(s.registry.entries)
	s.last = now
	s.mu.Unlock()

	ctx = tenant.NewContext(ctx, s.tenant)
	var failed error
	for from := 0; from < n; from += chunk {
		s.mu.Lock()
		entries := s.registry.entries[from:min(from+chunk, n)]
		w.reset()
		for _, e := range entries {
			w.entry(&s.registry, e)
		}
		s.mu.Unlock()
		if len(w.batch.Series) == 0 {
			continue
		}
		result, err := c.pusher.PushMetrics(ctx, &w.batch)
		if err != nil {
			failed = err
			continue
		}
		c.rejected.Merge(result.Rejected)
		s.mu.Lock()
		w.acknowledge()
		s.mu.Unlock()
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.collected = c.now
	s.registry.sweep()
	if w.endAll {
		s.configure(c.limits)
	}
	c.active, c.waiting, c.overflowed = s.registry.active, s.edges.len(), s.registry.overflowed
	s.registry.overflowed = 0
	c.empty = len(s.registry.entries) == 0 && c.waiting == 0
	return failed
}

// writer puts samples together. What it holds is used again for the next chunk.
type writer struct {
	now, staleAfter int64
	endAll          bool
	exemplarLabel   string
	skip            [2]bool // counters of spanFamily that are not made

	batch   metrics.Batch
	samples []metrics.Sample // backs those of the batch
	builder *labels.Builder
	entries []*entry        // whose counters stand in the batch
	counts  []*distribution // that stand in the batch
}

func (w *writer) reset() {
	clear(w.batch.Series)
	w.batch.Series, w.samples = w.batch.Series[:0], w.samples[:0]
	w.entries, w.counts = w.entries[:0], w.counts[:0]
	if w.builder == nil {
		w.builder = labels.NewBuilder(labels.EmptyLabels())
	}
}

// acknowledge notes that the batch was stored: its series have had their zeros.
func (w *writer) acknowledge() {
	for _, e := range w.entries {
		e.sent = true
	}
	for _, d := range w.counts {
		d.sent = true
	}
}

var stale = math.Float64frombits(value.StaleNaN)

func (w *writer) entry(r *registry, e *entry) {
	if e.born >= w.now {
		return // Its zero has the time of this collection: the next one begins it.
	}
	e.name(w.builder)
	ends := w.endAll || w.now-e.updated >= w.staleAfter
	if ends {
		r.end(e)
		if !e.sent {
			return
		}
	}
	for i := range e.family.counters {
		if e.family == spanFamily && w.skip[i] {
			continue
		}
		v := e.counters[i]
		if ends {
			v = stale
		}
		w.float(e.series[i], e.family.counters[i], sampleOf{born: e.born, sent: e.sent || e.family.gauge, v: v, gauge: e.family.gauge})
	}
	w.entries = append(w.entries, e)
	for i := range e.histograms {
		d := &e.histograms[i]
		if d.count == 0 || ends && !d.sent || d.born >= w.now {
			continue
		}
		w.histogram(e.shape(w.builder, i), e.family.histograms[i], d, ends)
		w.counts = append(w.counts, d)
	}
}

// sampleOf is the value of a series with what is known of its beginning.
type sampleOf struct {
	born  int64
	sent  bool
	gauge bool
	v     float64
}

// float appends a series with its sample, and before it, if it is the first, a zero at the time where it began:
// rates then count from the first span.
func (w *writer) float(ls labels.Labels, m metric, s sampleOf) *metrics.Series {
	n := len(w.samples)
	start := s.born
	if s.gauge {
		start = 0
	}
	if !s.sent {
		w.samples = append(w.samples, metrics.Sample{Start: start, T: s.born})
	}
	w.samples = append(w.samples, metrics.Sample{Start: start, T: w.now, V: s.v})
	w.batch.Series = append(w.batch.Series, metrics.Series{Labels: ls, Samples: w.samples[n:len(w.samples):len(w.samples)]})
	out := &w.batch.Series[len(w.batch.Series)-1]
	if !s.sent || s.gauge {
		out.Metadata = m.meta
	}
	return out
}

func (w *writer) histogram(shape []labels.Labels, m metric, d *distribution, ends bool) {
	at := func(v float64) sampleOf {
		if ends {
			v = stale
		}
		return sampleOf{born: d.born, sent: d.sent, v: v}
	}
	ex := w.exemplar(d)
	if d.counts != nil {
		total := 0.0
		slowest := bucketOf(d.bounds, d.exemplar.seconds)
		for i, n := range d.counts {
			total += n
			s := w.float(shape[i], m, at(total))
			if i == slowest && !ends {
				s.Exemplars = ex
			}
		}
		shape = shape[len(d.counts):]
		w.float(shape[0], m, at(d.sum))
		w.float(shape[1], m, at(d.count))
		shape = shape[2:]
	}
	if d.native != nil {
		s := metrics.Series{Labels: shape[0]}
		if !d.sent {
			s.Metadata = m.meta
			zero := &histogram.FloatHistogram{Schema: d.native.schema, ZeroThreshold: zeroThreshold}
			s.Histograms = append(s.Histograms, metrics.HistogramSample{Start: d.born, T: d.born, FH: zero})
		}
		h := d.histogram()
		if ends {
			h = &histogram.FloatHistogram{Sum: stale}
		} else {
			s.Exemplars = ex
		}
		s.Histograms = append(s.Histograms, metrics.HistogramSample{Start: d.born, T: w.now, FH: h})
		w.batch.Series = append(w.batch.Series, s)
	}
	d.exemplar = exemplarOf{}
}

// exemplar returns the slowest span since the last collection, as a list of one or none.
func (w *writer) exemplar(d *distribution) []exemplar.Exemplar {
	if d.exemplar.at == 0 || w.exemplarLabel == "" {
		return nil
	}
	return []exemplar.Exemplar{{Labels: labels.FromStrings(w.exemplarLabel, d.exemplar.trace.String()), Value: d.exemplar.seconds, Ts: d.exemplar.at, HasTs: true}}
}
