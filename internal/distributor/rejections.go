package distributor

import (
	"fmt"
	"time"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// The reasons that hune_discarded_total counts, named as in Loki, Mimir and Tempo where they have
// the same check.
const (
	reasonMissingLabels     = "missing_labels"
	reasonInvalidLabels     = "invalid_labels"
	reasonMissingMetricName = "missing_metric_name"
	reasonDuplicateLabels   = "duplicate_label_names"
	reasonTooManyLabels     = "max_label_names_per_series"
	reasonLabelNameTooLong  = "label_name_too_long"
	reasonLabelValueTooLong = "label_value_too_long"
	reasonInvalidTimestamp  = "invalid_timestamp"
	reasonTooOld            = "greater_than_max_sample_age"
	reasonTooFarInFuture    = "too_far_in_future"
	reasonLineTooLong       = "line_too_long"
	reasonMetadataTooLarge  = "structured_metadata_too_large"
	reasonMetadataTooMany   = "structured_metadata_too_many"
	reasonInvalidHistogram  = "invalid_native_histogram"
	reasonHistogramTooLarge = "max_native_histogram_buckets"
	reasonExemplarTooLong   = "exemplar_labels_too_long"
	reasonInvalidExemplar   = "invalid_exemplar"
	reasonTooManyClusters   = "too_many_ha_clusters"
	reasonRateLimited       = "rate_limited"
	reasonStreamLimit       = logs.ReasonStreamLimit
	reasonStreamRate        = logs.ReasonStreamRate
	reasonInvalidTrace      = "invalid_trace"
)

// rejection is records left out for one reason, with the text of the first.
type rejection struct {
	reason, message string
	count           int
}

// rejections has one element a reason, in the order in which they were met. There are few reasons,
// so a list beats a map.
type rejections []rejection

// add counts n records. message is only called for the first record of a reason, so that a batch
// with a million bad records formats one text.
func (r *rejections) add(reason string, n int, message func() string) {
	if n <= 0 {
		return
	}
	for i := range *r {
		if (*r)[i].reason == reason {
			(*r)[i].count += n
			return
		}
	}
	*r = append(*r, rejection{reason, message(), n})
}

// text is a message that is there already.
func text(s string) func() string { return func() string { return s } }

func errTenant(err error) error {
	return &fault.Error{Class: fault.Invalid, Reason: "missing_tenant", Err: err}
}

// maxTime bounds what any signal stores: int64 nanoseconds end in April 2262, and arithmetic on
// time ranges needs room above the last entry.
var maxTime = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

// window is the times that a write may have, exclusive at both ends, in the unit of its signal.
type window struct{ oldest, newest int64 }

// nanos returns the window of w in nanoseconds.
func (w *write) nanos() window {
	win := window{oldest: 0, newest: maxTime.UnixNano()}
	if age := time.Duration(w.limits.MaxAge); age > 0 {
		win.oldest = max(0, w.now.Add(-age).UnixNano())
	}
	if ahead := time.Duration(w.limits.CreationGracePeriod); ahead > 0 {
		win.newest = min(win.newest, w.now.Add(ahead).UnixNano())
	}
	return win
}

// millis returns the window of w in milliseconds.
func (w *write) millis() window {
	win := w.nanos()
	return window{oldest: win.oldest / 1e6, newest: win.newest / 1e6}
}

// ok is the fast path of the checks.
func (win window) ok(t int64) bool { return t > win.oldest && t < win.newest }

// classify says why t is outside, as a reason.
func (win window) classify(t int64) string {
	switch {
	case t <= 0:
		return reasonInvalidTimestamp
	case t <= win.oldest:
		return reasonTooOld
	default:
		return reasonTooFarInFuture
	}
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}
