package split

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/metrics"
)

func encoded(t require.TestingT, r *metrics.Result) []byte {
	b, ok, err := Append([]byte("before"), r)
	require.NoError(t, err)
	require.True(t, ok)
	return b[len("before"):]
}

// requireSame compares bit for bit: values that are not numbers, too.
func requireSame(t require.TestingT, want, got promql.Matrix) {
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].Metric.String(), got[i].Metric.String())
		require.Len(t, got[i].Floats, len(want[i].Floats))
		for k, p := range want[i].Floats {
			require.Equal(t, p.T, got[i].Floats[k].T)
			require.Equal(t, math.Float64bits(p.F), math.Float64bits(got[i].Floats[k].F))
		}
		require.Len(t, got[i].Histograms, len(want[i].Histograms))
		for k, p := range want[i].Histograms {
			require.Equal(t, p.T, got[i].Histograms[k].T)
			require.True(t, p.H.Equals(got[i].Histograms[k].H))
			require.Equal(t, p.H.CounterResetHint, got[i].Histograms[k].H.CounterResetHint)
		}
	}
}

func drawMatrix(t *rapid.T) promql.Matrix {
	text := rapid.StringN(0, 8, -1)
	histograms := tsdbutil.GenerateTestFloatHistograms(4)
	histograms = append(histograms, tsdbutil.GenerateTestGaugeFloatHistograms(1)[0], tsdbutil.GenerateTestCustomBucketsFloatHistograms(1)[0], &histogram.FloatHistogram{})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) promql.Series {
		s := promql.Series{Metric: labels.FromMap(rapid.MapOfN(text, text, 0, 4).Draw(t, "labels"))}
		for range rapid.IntRange(0, 20).Draw(t, "floats") {
			s.Floats = append(s.Floats, promql.FPoint{T: rapid.Int64().Draw(t, "t"), F: math.Float64frombits(rapid.Uint64().Draw(t, "v"))})
		}
		for range rapid.IntRange(0, 3).Draw(t, "histograms") {
			s.Histograms = append(s.Histograms, promql.HPoint{T: rapid.Int64().Draw(t, "t"), H: rapid.SampledFrom(histograms).Draw(t, "h")})
		}
		return s
	}), 0, 5).Draw(t, "series")
}

func TestEncodeIsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawMatrix(t)
		b := encoded(t, &metrics.Result{Value: want})
		got, err := Decode(b)
		require.NoError(t, err)
		requireSame(t, want, got.Value.(promql.Matrix))
		_, err = Decode(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")])
		require.ErrorIs(t, err, ErrEncoding)
		_, err = Decode(append(b, 0))
		require.ErrorIs(t, err, ErrEncoding)
	})
}

// Other processes read what this one writes: another form needs another version.
func TestEncoding(t *testing.T) {
	r := &metrics.Result{Value: promql.Matrix{{Metric: labels.FromStrings("a", "b"), Floats: []promql.FPoint{{T: 1000, F: 1}, {T: 2000, F: 2}}}}}
	require.Equal(t, "010101016101620"+"2d00fd00f000000000000f03f00000000000000400000", hex.EncodeToString(encoded(t, r)))
	var many annotations.Annotations
	for i := range maxAnnotations + 1 {
		many.Add(fmt.Errorf("%d", i))
	}
	for _, r := range []*metrics.Result{{Value: promql.Vector{}}, {Value: promql.Matrix{}, Partial: true}, {Value: promql.Matrix{}, Warnings: many}} {
		b, ok, err := Append([]byte("before"), r)
		require.NoError(t, err)
		require.False(t, ok)
		require.Equal(t, "before", string(b))
	}
}

// Annotations look the same as before, with their places in the query.
func TestAnnotationsAreEncoded(t *testing.T) {
	const query = "rate(x[5m]) +\nquantile(7, y)"
	at := func(start, end int) posrange.PositionRange {
		return posrange.PositionRange{Start: posrange.Pos(start), End: posrange.Pos(end)}
	}
	var want annotations.Annotations
	for _, err := range []error{annotations.NewPossibleNonCounterInfo("x", at(5, 6)), annotations.NewInvalidQuantileWarning(7, at(23, 24)), errors.New("a store was not asked")} {
		want.Add(err)
	}
	got, err := Decode(encoded(t, &metrics.Result{Value: promql.Matrix{}, Warnings: want}))
	require.NoError(t, err)
	warnings, infos := want.AsStrings(query, 0, 0)
	gotWarnings, gotInfos := got.Warnings.AsStrings(query, 0, 0)
	require.ElementsMatch(t, warnings, gotWarnings)
	require.Len(t, gotWarnings, 2)
	require.Equal(t, infos, gotInfos)
	require.Contains(t, gotInfos[0], "(1:6)")
	w, i := got.Warnings.CountWarningsAndInfo()
	require.Equal(t, [2]int{1, 1}, [2]int{w, i})
	require.Equal(t, encoded(t, got), encoded(t, &metrics.Result{Value: promql.Matrix{}, Warnings: want}))
	_, err = Decode([]byte{encodingVersion, 0, 1, 6, 0, 0, 0})
	require.ErrorIs(t, err, ErrEncoding, "another kind")
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{encodingVersion, 0, 0})
	f.Add(encoded(f, &metrics.Result{Value: promql.Matrix{}, Warnings: annotations.New().Add(ErrEncoding)}))
	f.Add(encoded(f, &metrics.Result{Value: promql.Matrix{{Metric: labels.FromStrings("a", "b"), Floats: []promql.FPoint{{T: 1000, F: 1}},
		Histograms: []promql.HPoint{{T: 1, H: tsdbutil.GenerateTestFloatHistogram(1)}}}}}))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := Decode(in)
		if err != nil {
			return
		}
		again, err := Decode(encoded(t, r))
		require.NoError(t, err)
		// By their bytes: a histogram whose threshold isn't a number equals none.
		require.Equal(t, encoded(t, r), encoded(t, again))
	})
}
