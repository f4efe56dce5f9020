package storeapi

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/thanos/pkg/store/labelpb"
	"github.com/thanos-io/thanos/pkg/store/storepb"

	"github.com/hune-io/hune/internal/metrics"
)

func TestMatchers(t *testing.T) {
	all := []metrics.Matcher{{Type: labels.MatchEqual, Name: "a", Value: "1"}, {Type: labels.MatchNotEqual, Name: "b"},
		{Type: labels.MatchRegexp, Name: "c", Value: "x.*"}, {Type: labels.MatchNotRegexp, Name: "d", Value: "y"}}
	back, err := ToMatchers(FromMatchers(all))
	require.NoError(t, err)
	require.Equal(t, all, back)
	_, err = ToMatchers([]storepb.LabelMatcher{{Type: 9}})
	require.Error(t, err)
}

// Chunks come in order of their start, labels sorted, and neither shares memory with what is read next.
func TestToSeries(t *testing.T) {
	c := chunkenc.NewXORChunk()
	got, err := ToSeries(&storepb.Series{Labels: []labelpb.ZLabel{{Name: "b", Value: "2"}, {Name: "a", Value: "1"}},
		Chunks: []storepb.AggrChunk{{MinTime: 5, MaxTime: 6, Raw: &storepb.Chunk{Data: c.Bytes()}}, {MinTime: 1, MaxTime: 2, Raw: &storepb.Chunk{Data: c.Bytes()}}, {}}})
	require.NoError(t, err)
	require.Equal(t, labels.FromStrings("a", "1", "b", "2"), got.Labels)
	require.Equal(t, []int64{1, 5}, []int64{got.Chunks[0].MinTime, got.Chunks[1].MinTime})
}

// Whatever a server sends, it is a series or an error.
func FuzzToSeries(f *testing.F) {
	good := &storepb.Series{Labels: []labelpb.ZLabel{{Name: "a", Value: "1"}}, Chunks: []storepb.AggrChunk{
		{MinTime: 1, MaxTime: 2, Raw: &storepb.Chunk{Data: []byte{0, 0}}}, {MinTime: 3, MaxTime: 4, Count: &storepb.Chunk{Data: []byte{0, 0}}}}}
	data, err := good.Marshal()
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m storepb.Series
		if m.Unmarshal(data) != nil {
			return
		}
		s, err := ToSeries(&m)
		if err != nil {
			return
		}
		for _, c := range s.Chunks {
			if _, err := FromChunk(c, Aggregates); err != nil {
				t.Fatalf("taken and not given: %v", err)
			}
		}
	})
}
