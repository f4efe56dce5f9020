package loggen

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

const sample = 4 << 20

// each runs a test for every set.
func each(t *testing.T, f func(t *testing.T, s Set)) {
	t.Helper()
	for _, s := range Sets() {
		t.Run(s.Name, func(t *testing.T) { f(t, s) })
	}
}

func TestEqualSeedsGiveEqualLines(t *testing.T) {
	each(t, func(t *testing.T, s Set) {
		a, b := s.Lines(7, 1<<20), s.Lines(7, 1<<20)
		require.True(t, bytes.Equal(a.Data, b.Data) && slices.Equal(a.Ends, b.Ends))
		other := s.Lines(8, 1<<20)
		require.False(t, bytes.Equal(a.Data, other.Data))
	})
}

func TestLinesAreThoseOfTheStream(t *testing.T) {
	each(t, func(t *testing.T, s Set) {
		v := s.Lines(3, 200_000)
		stream := s.Stream(3)
		ts := Timestamps(3, v.Len())
		var line []byte
		for i := range v.Len() {
			var at int64
			line, at = stream.Append(line[:0])
			require.True(t, bytes.Equal(line, v.At(i)), "line %d", i)
			require.Equal(t, ts[i], at)
		}
	})
}

func TestTimestampsGoForward(t *testing.T) {
	ts := Timestamps(1, 100_000)
	require.True(t, slices.IsSorted(ts))
	require.Len(t, slices.Compact(slices.Clone(ts)), len(ts))
	mean := float64(ts[len(ts)-1]-ts[0]) / float64(len(ts))
	require.InEpsilon(t, float64(meanGap), mean, 0.1)
}

func TestSizeAndNewlines(t *testing.T) {
	each(t, func(t *testing.T, s Set) {
		v := s.Lines(1, sample)
		require.GreaterOrEqual(t, len(v.Data), sample)
		require.Less(t, len(v.Data)-len(v.At(v.Len()-1)), sample, "one line too many")
		require.NotContains(t, string(v.Data), "\n")
		for i := range v.Len() {
			require.NotEmpty(t, v.At(i))
		}
	})
}

// A set that compresses much better or worse than the logs it imitates would make figures that say
// nothing.
func TestCompressibility(t *testing.T) {
	want := map[string]struct{ snappyLo, snappyHi, zstdLo, zstdHi float64 }{
		"hdfs":       {3, 4.5, 5, 9},
		"openssh":    {5, 7, 8, 13},
		"nginx":      {3.3, 5, 5.5, 8.5},
		"kubernetes": {2.5, 4, 5, 8},
		"spark":      {4.5, 6.5, 7, 11},
		"json":       {2.8, 4, 5.5, 8},
		"logfmt":     {2.5, 3.5, 4.5, 6.5},
		"mac":        {3, 5, 6, 10},
		"android":    {3.5, 6, 6, 13},
		"bgl":        {3, 5, 5, 8.5},
		"base64":     {0.99, 1.05, 1.25, 1.4},
		"random":     {0.99, 1.01, 0.99, 1.01},
		"salad":      {1.3, 2.2, 2, 3.2},
		"oneoff":     {2.2, 3.8, 3.5, 6},
		"long":       {1.3, 8, 1.5, 20}, // few lines decide
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithAllLitEntropyCompression(true))
	require.NoError(t, err)
	each(t, func(t *testing.T, s Set) {
		v := s.Lines(1, sample)
		raw := joined(v)
		fast, slow := 0, 0
		for chunk := range slices.Chunk(raw, 256<<10) {
			fast += len(snappy.Encode(nil, chunk))
		}
		for chunk := range slices.Chunk(raw, 1<<20) {
			slow += len(enc.EncodeAll(chunk, nil))
		}
		w, ok := want[s.Name]
		require.True(t, ok, "no bounds for the set")
		ratio := float64(len(raw)) / float64(fast)
		require.True(t, ratio >= w.snappyLo && ratio <= w.snappyHi, "snappy %.2f", ratio)
		ratio = float64(len(raw)) / float64(slow)
		require.True(t, ratio >= w.zstdLo && ratio <= w.zstdHi, "zstd %.2f", ratio)
	})
}

func joined(v *block.Values) []byte {
	out := make([]byte, 0, len(v.Data)+v.Len())
	for i := range v.Len() {
		out = append(append(out, v.At(i)...), '\n')
	}
	return out
}

// Every query must be answerable: found where it should be, and not everywhere.
func TestQueries(t *testing.T) {
	each(t, func(t *testing.T, s Set) {
		v := s.Lines(1, sample)
		for _, q := range s.Queries {
			needle, ok := q.Needle(v)
			require.True(t, ok, "%+v", q)
			hits := matching(t, v, q, needle)
			switch q.Kind {
			case CountAll:
				require.Equal(t, v.Len(), hits)
			case AbsentWord:
				require.Zero(t, hits)
			case LoneID:
				require.Positive(t, hits, "%+v", q)
				require.Less(t, hits, 60, "%+v %s", q, needle)
			default:
				if s.Adversarial {
					continue // what is rare by design may be missing in a sample
				}
				require.Positive(t, hits, "%+v", q)
				require.Less(t, hits, v.Len(), "%+v", q)
			}
		}
	})
}

// matching counts the lines of v that q asks for.
func matching(t *testing.T, v *block.Values, q Query, needle string) (hits int) {
	t.Helper()
	var re *regexp.Regexp
	if q.Kind == Regexp {
		re = regexp.MustCompile(needle)
	}
	for i := range v.Len() {
		line := string(v.At(i))
		ok := false
		switch q.Kind {
		case Regexp:
			ok = re.MatchString(line)
			if ok {
				require.Contains(t, line, q.Literal)
			}
		case NumericFilter, UnwrapSum:
			ok = strings.Contains(line, q.Marker)
			if ok {
				require.Contains(t, q.Marker, q.Field)
			}
		default:
			ok = strings.Contains(line, needle)
		}
		if ok {
			hits++
		}
	}
	return hits
}

func TestJSONLinesAreJSON(t *testing.T) {
	s, ok := Find("json")
	require.True(t, ok)
	v := s.Lines(5, 1<<20)
	messages := map[string]bool{}
	for i := range v.Len() {
		var line struct{ Msg string }
		require.NoError(t, json.Unmarshal(v.At(i), &line), "%s", v.At(i))
		messages[line.Msg] = true
	}
	require.Greater(t, len(messages), 25)
	_, ok = Find("nosuch")
	require.False(t, ok)
}

// Identifiers are shared by lines that are near each other, which is what columns and windows live on.
func TestIdentifiersAreShared(t *testing.T) {
	s, _ := Find("hdfs")
	v := s.Lines(1, sample)
	blocks := map[string]int{}
	re := regexp.MustCompile(`blk_-?\d+`)
	for i := range v.Len() {
		blocks[string(re.Find(v.At(i)))]++
	}
	mean := float64(v.Len()) / float64(len(blocks))
	require.True(t, mean > 4 && mean < 12, "%.1f lines of each block", mean)
}

func BenchmarkLines(b *testing.B) {
	for _, s := range Sets() {
		b.Run(s.Name, func(b *testing.B) {
			stream := s.Stream(1)
			var line []byte
			n := int64(0)
			for b.Loop() {
				line, _ = stream.Append(line[:0])
				n += int64(len(line))
			}
			b.SetBytes(n / int64(b.N))
		})
	}
}
