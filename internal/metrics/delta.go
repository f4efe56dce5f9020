package metrics

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// Deltas turns series of increments into cumulative ones: each increment is added to the sum of those before, and the sum
// starts where the first of them did. It does for one tenant what the collector's deltatocumulative processor does, with
// the same rules: an increment that is not newer than the sum is late, one that starts before the sum did is not
// its own; both are refused. A gap between two increments is no fault.
//
// An increment that comes again, because its sender did not hear that it was stored, is answered with the
// sum as it is and added once. Sums are in memory: after a restart, or idle for DeltaIdle, a series starts anew, which
// PromQL sees as the reset of a counter. Safe for concurrent use.
type Deltas struct {
	mu   sync.Mutex
	sums map[string]*deltaSum // by the bytes of the labels
	key  []byte
}

// IncrementsHeader marks a write of another member of the cluster: its samples are increments, which this process adds up.
const IncrementsHeader = "Hune-Increments"

// DeltaIdle is how long a series without increments is remembered.
const DeltaIdle = time.Hour

// deltaSum is one series. Times are milliseconds.
type deltaSum struct {
	start, t  int64
	heard     time.Time
	v         float64
	last      float64                   // the increment at t, or the count of its histogram
	histogram *histogram.FloatHistogram // nil: a series of floats
}

// NewDeltas returns a Deltas without sums.
func NewDeltas() *Deltas { return &Deltas{sums: map[string]*deltaSum{}} }

// Len returns how many series are remembered.
func (d *Deltas) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.sums)
}

// The reasons of refused increments.
const (
	reasonDeltaLate   = "delta_out_of_order"
	reasonDeltaOlder  = "delta_older_start"
	reasonDeltaSchema = "delta_histogram_schema"
	reasonDeltaLimit  = "delta_series_limit"
)

// Accumulate replaces the increments of the series of b that are marked as such by sums. What can't be
// added is cut out and told to reject. limit bounds the series that are remembered (0: no bound); when it is met, those of a
// new one are refused.
func (d *Deltas) Accumulate(b *Batch, limit int, now time.Time, reject func(reason string, n int, message func() string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range b.Series {
		s := &b.Series[i]
		if !s.Delta || len(s.Samples)+len(s.Histograms) == 0 {
			continue
		}
		s.Delta = false
		sum := d.sum(s.Labels, limit)
		if sum == nil {
			reject(reasonDeltaLimit, len(s.Samples)+len(s.Histograms), func() string {
				return fmt.Sprintf("series %s: %d series of delta temporality are remembered, no more are allowed", s.Labels, len(d.sums))
			})
			s.Samples, s.Histograms, s.Exemplars = nil, nil, nil
			continue
		}
		sum.heard = now
		s.Samples = sum.addSamples(s, reject)
		s.Histograms = sum.addHistograms(s, reject)
	}
}

// sum returns the sum of a series, nil when there are too many. d.mu must be held.
func (d *Deltas) sum(ls labels.Labels, limit int) *deltaSum {
	d.key = ls.Bytes(d.key[:0])
	sum := d.sums[string(d.key)]
	if sum == nil {
		if limit > 0 && len(d.sums) >= limit {
			return nil
		}
		sum = &deltaSum{}
		d.sums[string(d.key)] = sum
	}
	return sum
}

// Sweep forgets idle series.
func (d *Deltas) Sweep(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, sum := range d.sums {
		if now.Sub(sum.heard) >= DeltaIdle {
			delete(d.sums, key)
		}
	}
}

// Forget drops the sums of series that gone says yes to, by the bytes of their labels.
func (d *Deltas) Forget(gone func(labels string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.sums, func(key string, _ *deltaSum) bool { return gone(key) })
}

// place says what becomes of an increment: it is added, repeated (again) or refused with a reason.
func (sum *deltaSum) place(start, t int64, increment float64) (again bool, reason string) {
	if start == 0 {
		start = t
	}
	switch {
	case sum.start == 0:
		sum.start = start
	case t == sum.t && increment == sum.last:
		return true, ""
	case t <= sum.t:
		return false, reasonDeltaLate
	case start < sum.start:
		return false, reasonDeltaOlder
	}
	return false, ""
}

func (sum *deltaSum) refuse(s *Series, t int64, reason string, reject func(string, int, func() string)) {
	reject(reason, 1, func() string {
		switch reason {
		case reasonDeltaLate:
			return fmt.Sprintf("increment of series %s at %s is not newer than the sum, which is of %s", s.Labels, formatMillis(t), formatMillis(sum.t))
		case reasonDeltaOlder:
			return fmt.Sprintf("increment of series %s at %s starts before the sum, which starts at %s", s.Labels, formatMillis(t), formatMillis(sum.start))
		}
		return fmt.Sprintf("increment of series %s at %s has other buckets than the sum", s.Labels, formatMillis(t))
	})
}

// addSamples returns the sums after each sample of s, in its memory.
func (sum *deltaSum) addSamples(s *Series, reject func(string, int, func() string)) []Sample {
	kept := s.Samples[:0]
	for _, p := range s.Samples {
		if value.IsStaleNaN(p.V) { // the sender says that there is no value
			kept = append(kept, p)
			continue
		}
		again, reason := sum.place(p.Start, p.T, p.V)
		if reason != "" {
			sum.refuse(s, p.T, reason, reject)
			continue
		}
		if !again {
			sum.v += p.V
			sum.t, sum.last = p.T, p.V
		}
		kept = append(kept, Sample{Start: sum.start, T: p.T, V: sum.v})
	}
	return kept
}

// addHistograms is addSamples for native histograms.
func (sum *deltaSum) addHistograms(s *Series, reject func(string, int, func() string)) []HistogramSample {
	kept := s.Histograms[:0]
	for _, p := range s.Histograms {
		if staleHistogram(p.H, p.FH) {
			kept = append(kept, p)
			continue
		}
		increment := p.FH
		if p.H != nil {
			increment = p.H.ToFloat(nil)
		}
		if increment == nil {
			continue
		}
		again, reason := sum.place(p.Start, p.T, increment.Count)
		if reason == "" && !again && !sum.add(increment) {
			reason = reasonDeltaSchema
		}
		if reason != "" {
			sum.refuse(s, p.T, reason, reject)
			continue
		}
		if !again {
			sum.t, sum.last = p.T, increment.Count
		}
		kept = append(kept, HistogramSample{Start: sum.start, T: p.T, FH: sum.histogram.Copy()})
	}
	clear(s.Histograms[len(kept):])
	return kept
}

// maxDeltaBuckets bounds the buckets of a sum: increments of 160 buckets, the most that OpenTelemetry's SDKs send, may lie
// anywhere. Beyond, the resolution is halved.
const maxDeltaBuckets = 320

// add reports whether the histogram could be added: exponential buckets don't go with custom ones.
func (sum *deltaSum) add(increment *histogram.FloatHistogram) bool {
	if sum.histogram == nil {
		sum.histogram = increment.Copy()
		sum.histogram.CounterResetHint = histogram.UnknownCounterReset
		return true
	}
	// On a copy: a failure must leave the sum as it is.
	total, _, _, err := sum.histogram.Copy().Add(increment)
	if err != nil {
		return false
	}
	total.CounterResetHint = histogram.UnknownCounterReset
	total.Compact(0)
	for !total.UsesCustomBuckets() && len(total.PositiveBuckets)+len(total.NegativeBuckets) > maxDeltaBuckets && total.Schema > histogram.ExponentialSchemaMin {
		if total.ReduceResolution(total.Schema-1) != nil {
			break
		}
	}
	sum.histogram = total
	return true
}
