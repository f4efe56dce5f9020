package metrics

import (
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/promql-engine/logicalplan"
	thanosquery "github.com/thanos-io/promql-engine/query"
	"pgregory.net/rapid"
)

// plainRate is what Prometheus computes for one window, open to the left, written down as its documentation says it.
func plainRate(samples []Sample, from, to int64, perSecond bool) (float64, bool) {
	var in []Sample
	for _, s := range samples {
		if from < s.T && s.T <= to && !value.IsStaleNaN(s.V) {
			in = append(in, s)
		}
	}
	if len(in) < 2 {
		return 0, false
	}
	first, last := in[0], in[len(in)-1]
	growth := last.V - first.V
	for i := 1; i < len(in); i++ {
		if in[i].V < in[i-1].V {
			growth += in[i-1].V
		}
	}
	sampled := float64(last.T-first.T) / 1000
	average := sampled / float64(len(in)-1)
	extend := func(d float64) float64 {
		if d >= average*1.1 {
			return average / 2
		}
		return d
	}
	toStart, toEnd := extend(float64(first.T-from)/1000), extend(float64(to-last.T)/1000)
	if growth > 0 && first.V >= 0 {
		if toZero := sampled * (first.V / growth); toZero < toStart {
			toStart = toZero
		}
	}
	factor := (sampled + toStart + toEnd) / sampled
	if perSecond {
		factor /= float64(to-from) / 1000
	}
	return growth * factor, true
}

// randomCounter draws a series as scrapes make it: regular with breaks, jitter, resets, markers of staleness and values
// that are no numbers.
func randomCounter(t *rapid.T) []Sample {
	var out []Sample
	interval := rapid.SampledFrom([]int64{1000, 15_000, 60_000}).Draw(t, "interval")
	now, v := rapid.Int64Range(-3_600_000, 3_600_000).Draw(t, "begin"), rapid.SampledFrom([]float64{0, 1, 1e9, -5}).Draw(t, "value")
	for range rapid.IntRange(0, 5).Draw(t, "runs") {
		jitter := rapid.SampledFrom([]int64{0, 0, 3, interval / 3}).Draw(t, "jitter")
		by := rapid.SampledFrom([]float64{0, 1, 0.37, 1000}).Draw(t, "by")
		for range rapid.IntRange(1, 60).Draw(t, "samples") {
			now += interval
			v += by
			at := now
			if jitter > 0 {
				at += rapid.Int64Range(-jitter, jitter).Draw(t, "moved")
			}
			out = append(out, Sample{T: at, V: v})
		}
		switch rapid.IntRange(0, 3).Draw(t, "end") {
		case 0:
			v = rapid.SampledFrom([]float64{0, 3, 1e6}).Draw(t, "reset")
		case 1:
			now += interval
			out = append(out, Sample{T: now, V: math.Float64frombits(value.StaleNaN)})
			now += rapid.Int64Range(0, 600_000).Draw(t, "gap")
		case 2:
			now += interval
			out = append(out, Sample{T: now, V: rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1)}).Draw(t, "odd")})
		}
	}
	return out
}

// chunksOf encodes samples to chunks that follow each other.
func chunksOf(t require.TestingT, samples []Sample, length int) (out []Chunk) {
	for len(samples) > 0 {
		n := min(length, len(samples))
		c := chunkenc.NewXORChunk()
		app, err := c.Appender()
		require.NoError(t, err)
		for _, s := range samples[:n] {
			app.Append(s.T, s.V)
		}
		out = append(out, Chunk{MinTime: samples[0].T, MaxTime: samples[n-1].T, Encoding: chunkenc.EncXOR, Data: c.Bytes()})
		samples = samples[n:]
	}
	return out
}

// The rate of each step is Prometheus's, to the last bit.
func TestFusedRates(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		op := &fusedOperator{
			fusedNode: &fusedNode{Aggregation: &logicalplan.Aggregation{Op: parser.MAX}, fn: rapid.SampledFrom([]string{"rate", "increase"}).Draw(rt, "function"),
				width: rapid.SampledFrom([]int64{10_000, 60_000, 300_000, 1_234_567}).Draw(rt, "width")},
			opts:   &thanosquery.Options{SampleTracker: thanosquery.NewSampleTracker(0)},
			start:  rapid.Int64Range(-3_600_000, 600_000).Draw(rt, "start"),
			step:   rapid.SampledFrom([]int64{1000, 15_000, 30_000, 90_000, 77_777, 3_600_000}).Draw(rt, "step"),
			steps:  rapid.IntRange(1, 100).Draw(rt, "steps"),
			offset: rapid.SampledFrom([]int64{0, 0, 45_000, -30_000}).Draw(rt, "offset"),
		}
		if rapid.Bool().Draw(rt, "aligned") {
			op.start -= op.start % 15_000
		}
		series := make([][]Sample, 10)
		all := newCells(op.Op, len(series)*op.steps)
		w := fusedWorker{o: op, cells: all}
		for i := range series {
			series[i] = randomCounter(rt)
			length := rapid.IntRange(1, 120).Draw(rt, "chunk")
			s := ChunkSeries{Chunks: chunksOf(rt, series[i], length)}
			if rapid.Bool().Draw(rt, "out of order") { // every third sample came later, to chunks of its own
				var early, late []Sample
				for j, sample := range series[i] {
					if j%3 == 1 {
						late = append(late, sample)
					} else {
						early = append(early, sample)
					}
				}
				s.Chunks = append(chunksOf(rt, early, length), chunksOf(rt, late, length)...)
				sortChunks(s.Chunks)
			}
			require.NoError(rt, w.add(&s, i*op.steps))
		}
		for i, samples := range series {
			for k := range op.steps {
				to := op.start + int64(k)*op.step - op.offset
				want, ok := plainRate(samples, to-op.width, to, op.fn == "rate")
				got, gotOK := all.value(i*op.steps + k)
				require.Equal(rt, ok, gotOK, "series %d, step %d", i, k)
				require.True(rt, want == got || math.IsNaN(want) && math.IsNaN(got), "series %d, step %d: want %v, got %v", i, k, want, got)
			}
		}
	})
}
