package metrics

import (
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// libraryXOR decodes a chunk with the library's iterator.
func libraryXOR(data []byte) (times []int64, values []float64, err error) {
	c, err := chunkenc.FromData(chunkenc.EncXOR, data)
	if err != nil {
		return nil, nil, err
	}
	it := c.Iterator(nil)
	for it.Next() != chunkenc.ValNone {
		t, v := it.At()
		times, values = append(times, t), append(values, v)
	}
	return times, values, it.Err()
}

func bitsOf(vs []float64) []uint64 {
	out := make([]uint64, len(vs))
	for i, v := range vs {
		out[i] = math.Float64bits(v)
	}
	return out
}

func TestXORAgreesWithLibrary(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		chunk := chunkenc.NewXORChunk()
		app, err := chunk.Appender()
		require.NoError(rt, err)
		at, v := rapid.Int64().Draw(rt, "start"), 0.0
		for range rapid.IntRange(1, 200).Draw(rt, "samples") {
			at += rapid.OneOf(rapid.Just(int64(15_000)), rapid.Int64Range(-9000, 9000), rapid.Int64Range(-600_000, 600_000), rapid.Int64()).Draw(rt, "step")
			switch rapid.IntRange(0, 3).Draw(rt, "kind") {
			case 0:
			case 1:
				v += float64(rapid.IntRange(0, 1000).Draw(rt, "more"))
			case 2:
				v = math.Float64frombits(rapid.Uint64().Draw(rt, "bits"))
			case 3:
				v = math.Float64frombits(value.StaleNaN)
			}
			app.Append(at, v)
		}
		times, values, err := libraryXOR(chunk.Bytes())
		require.NoError(rt, err)
		gotTimes, gotValues, err := appendXOR(chunk.Bytes(), nil, nil)
		require.NoError(rt, err)
		require.Equal(rt, times, gotTimes)
		require.Equal(rt, bitsOf(values), bitsOf(gotValues))
		for cut := range len(chunk.Bytes()) {
			_, _, err := appendXOR(chunk.Bytes()[:cut], nil, nil)
			require.ErrorIs(rt, err, errCutOffChunk)
		}
	})
}

func FuzzXOR(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		times, values, err := appendXOR(data, nil, nil)
		require.Equal(t, len(times), len(values))
		if len(data) < 2 || err != nil {
			return // the library reads on where a value would have more than 64 bits
		}
		wantTimes, wantValues, err := libraryXOR(data)
		require.NoError(t, err)
		require.Equal(t, wantTimes, times)
		require.Equal(t, bitsOf(wantValues), bitsOf(values))
	})
}

// A chunk of 120 samples of an uneven counter.
func BenchmarkXOR(b *testing.B) {
	chunk := chunkenc.NewXORChunk()
	app, err := chunk.Appender()
	require.NoError(b, err)
	for i := range 120 {
		app.Append(at(0)+int64(i)*15_000, float64(i*31+i*i%13))
	}
	b.Run("library", func(b *testing.B) {
		var it chunkenc.Iterator
		sum := 0.0
		for b.Loop() {
			for it = chunk.Iterator(it); it.Next() != chunkenc.ValNone; {
				_, v := it.At()
				sum += v
			}
		}
		require.Positive(b, sum)
	})
	b.Run("appendXOR", func(b *testing.B) {
		var times []int64
		var values []float64
		for b.Loop() {
			if times, values, err = appendXOR(chunk.Bytes(), times[:0], values[:0]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
