package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What the result of a push counts as stored is what can be read back, however a batch repeats series
// and times: senders report losses by these counts.
func TestCountsAreExact(t *testing.T) {
	opts := testHeadOptions(t, t.TempDir(), nil)
	opts.Config.OutOfOrderWindow = 0 // within a window, two values for an old time may be stored as one
	h := openTestHeads(t, opts)
	run, value := 0, 0.0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		tenant := fmt.Sprint("t", run%7)
		for range rapid.IntRange(1, 3).Draw(rt, "batches") {
			var b Batch
			sent := 0
			for range rapid.IntRange(1, 6).Draw(rt, "entries") {
				s := Series{Labels: labels.FromStrings(labels.MetricName, "m", "i", fmt.Sprint(rapid.IntRange(0, 1).Draw(rt, "series")))}
				for range rapid.IntRange(0, 4).Draw(rt, "samples") {
					value++ // no value twice: repeating a sample is no fault, but it is stored once
					after := rapid.IntRange(0, 9).Draw(rt, "t")
					s.Samples = append(s.Samples, Sample{T: at(time.Duration(run*3+after) * time.Millisecond), V: value})
					sent++
				}
				b.Series = append(b.Series, s)
			}
			before := storedSamples(t, h, tenant)
			r, err := h.Append(t.Context(), tenant, &b)
			require.NoError(rt, err)
			rejected := 0
			for _, g := range r.Rejected {
				rejected += g.Count
			}
			require.Equal(rt, sent, r.Samples+rejected)
			require.Equal(rt, r.Samples, storedSamples(t, h, tenant)-before)
		}
	})
}

func storedSamples(t *testing.T, h *Heads, tenant string) (n int) {
	all := Select{Matchers: []Matcher{{Type: labels.MatchEqual, Name: labels.MetricName, Value: "m"}}, Start: MinTime, End: MaxTime}
	for s, err := range h.SelectSeries(t.Context(), tenant, all) {
		require.NoError(t, err)
		for _, c := range s.Chunks {
			chunk, err := chunkenc.FromData(c.Encoding, c.Data)
			require.NoError(t, err)
			n += chunk.NumSamples()
		}
	}
	return n
}
