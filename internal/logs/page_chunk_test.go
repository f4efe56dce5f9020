package logs

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

// Whole chunks make the pages that their rows make one by one.
func TestChunksAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := BlockOptions{PageBytes: rapid.IntRange(50, 2000).Draw(t, "page bytes"), PageRows: rapid.IntRange(1, 300).Draw(t, "page rows")}
		keys := []string{DetectedLevel, "a", "b", "trace_id"}
		if rapid.Bool().Draw(t, "many keys") {
			for i := range maxKeys {
				keys = append(keys, "key_"+string(rune('a'+i/26))+string(rune('a'+i%26)))
			}
		}
		sets := make([][]Label, rapid.IntRange(1, 8).Draw(t, "sets"))
		for i := range sets {
			for _, key := range keys {
				if rapid.IntRange(0, 3).Draw(t, "has") == 0 {
					sets[i] = append(sets[i], Label{key, rapid.SampledFrom([]string{LevelInfo, LevelError, "x", "4bf92f3577b34da6a3ce929d0e0e4736"}).Draw(t, "value")})
				}
			}
			sets[i] = NormalizeMetadata(sets[i])
		}
		h := newBuffer()
		now := int64(0)
		for s := range rapid.IntRange(1, 4).Draw(t, "streams") {
			var entries []Entry
			for range rapid.IntRange(1, 200).Draw(t, "rows") {
				now += rapid.Int64Range(0, 3).Draw(t, "gap")
				entries = append(entries, Entry{now, rapid.SampledFrom([]string{"", "a line", "another line with 12 words", "trace_id=4bf92f3577b34da6a3ce929d0e0e4736"}).Draw(t, "line"),
					rapid.SampledFrom(sets).Draw(t, "set")})
			}
			ls := labels.FromStrings("s", string(rune('a'+s)))
			h.append(ls, ls.Hash(), entries, func(*Entry) bool { return false }, new(AppendResult))
		}
		options.setDefaults()
		options.Level = block.Fast
		// Builders that others used have learned something.
		whole := &pageWriter{options: options, page: newPageBuilder(block.Fast)}
		single := &pageWriter{options: options, page: newPageBuilder(block.Fast)}
		require.NoError(t, h.writeRows(t.Context(), whole))
		views, names := h.snapshot(h.ordered(), func(timeRange) bool { return true })
		for i := range views {
			v := &views[i]
			chunks := append(v.sealed, &v.open)
			require.True(t, inOrder(chunks))
			size := int64(0)
			for _, c := range chunks {
				size += int64(len(c.lines)) + c.metadataSize
			}
			single.stream(v.labels, size)
			require.NoError(t, single.addMerged(t.Context(), v.labels, chunks, names))
		}
		whole.end()
		single.end()
		require.Equal(t, single.pages, whole.pages)
		require.Equal(t, single.streams, whole.streams)
	})
}
