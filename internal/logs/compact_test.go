package logs

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

func compactedBlock(t require.TestingT, c *Compaction) *Block {
	var buf bytes.Buffer
	require.NoError(t, c.writeData(context.Background(), &buf, testMeta()))
	return openObject(t, &memoryObject{data: buf.Bytes()})
}

// A compacted block answers as its inputs do together, without what was to go.
func TestCompaction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &model{}
		c := &Compaction{Options: BlockOptions{PageRows: rapid.SampledFrom([]int{0, 2, 9}).Draw(t, "page rows")}}
		for range rapid.IntRange(1, 5).Draw(t, "blocks") {
			h := NewHead(HeadOptions{SealBytes: rapid.SampledFrom([]int64{1, 100, 0}).Draw(t, "seal")})
			for range rapid.IntRange(1, 4).Draw(t, "batches") {
				b := genBatch(t)
				want.append(b)
				h.Append(b)
			}
			if h.Rows() > 0 {
				b, _ := blockOf(t, h, BlockOptions{PageRows: rapid.SampledFrom([]int{0, 1, 3, 9}).Draw(t, "rows")})
				c.Blocks = append(c.Blocks, b)
			}
		}
		if len(c.Blocks) == 0 {
			return
		}
		if rapid.Bool().Draw(t, "drop") {
			app := rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "app")
			gone := func(ls labels.Labels, ts int64) bool { return ls.Get("app") == app && ts >= 5 && ts <= 20 }
			c.Touched = func(ls labels.Labels, oldest, newest int64) bool {
				return ls.Get("app") == app && oldest <= 20 && newest >= 5
			}
			c.Keep = func(ls labels.Labels, ts int64, _ []byte, _ []Label) bool { return !gone(ls, ts) }
			kept := &model{}
			for _, r := range want.rows {
				if !gone(r.stream, r.Timestamp) {
					kept.rows = append(kept.rows, r)
				}
			}
			want = kept
		}
		if len(want.rows) == 0 {
			require.ErrorIs(t, c.writeData(context.Background(), &bytes.Buffer{}, testMeta()), ErrEmpty)
			return
		}
		b := compactedBlock(t, c)
		require.Equal(t, int64(len(want.rows)), b.Rows())
		checkPart(t, "compacted", want, sourceOf(b))
		checkVolume(t, "compacted", want, sourceOf(b))
	})
}

// More sequences than can be merged at once, in two passes; full pages are copied.
func TestCompactionOfMany(t *testing.T) {
	var blocks []*Block
	h := NewHead(HeadOptions{})
	for i := range 3 * maxCursors {
		b := &Batch{}
		for s := range 3 {
			e := Stream{Labels: labels.FromStrings("app", fmt.Sprint(s))}
			for k := range 40 {
				e.Entries = append(e.Entries, Entry{Timestamp: int64(i*20 + k), Line: fmt.Sprintf("line %d of %d", i*20+k, s)})
			}
			b.Streams = append(b.Streams, e)
		}
		h.Append(b)
		one, _ := blockOf(t, headOf(b), BlockOptions{PageRows: 50})
		blocks = append(blocks, one)
	}
	b := compactedBlock(t, &Compaction{Blocks: blocks, Options: BlockOptions{Level: block.Better}})
	require.Equal(t, int64(h.Rows()), b.Rows(), "half of the rows of each block are in the next one, too")
	require.Equal(t, allRows(t, h), allRows(t, b))
}

func TestCompactionCopiesLargePages(t *testing.T) {
	batches := benchBatches(60, 1, 200)
	var blocks []*Block
	for i := 0; i < len(batches); i += 20 {
		b, _ := blockOf(t, headOf(batches[i:i+20]...), BlockOptions{})
		blocks = append(blocks, b)
	}
	c := &Compaction{Blocks: blocks, Options: BlockOptions{PageRows: 2000}}
	sets := make([]pageRef, 0)
	streams, numbers := unite([]*pageSet{&blocks[0].pageSet, &blocks[1].pageSet, &blocks[2].pageSet})
	for k, b := range blocks {
		for i := range b.index.pages {
			sets = append(sets, pageRef{set: &b.pageSet, page: i, numbers: numbers[k], rank: k})
		}
	}
	copied, merged := c.split(sets, streams)
	require.NotEmpty(t, copied)
	require.Len(t, sets, len(copied)+len(merged))
	require.Equal(t, allRows(t, headOf(batches...)), allRows(t, compactedBlock(t, c)))
}

// Pages in which streams mix are made anew where there is more of the streams: a search for one of them
// then opens a page or two.
func TestCompactionSortsStreamsOut(t *testing.T) {
	var blocks []*Block
	for i := range 6 {
		b := &Batch{}
		for s := range 8 {
			e := Stream{Labels: labels.FromStrings("app", fmt.Sprint(s))}
			for k := range 100 {
				e.Entries = append(e.Entries, Entry{Timestamp: int64(i*1000 + k), Line: fmt.Sprintf("line %d of stream %d", i*1000+k, s)})
			}
			b.Streams = append(b.Streams, e)
		}
		one, _ := blockOf(t, headOf(b), BlockOptions{PageRows: 800})
		require.Len(t, one.index.pages, 1)
		blocks = append(blocks, one)
	}
	b := compactedBlock(t, &Compaction{Blocks: blocks, Options: BlockOptions{PageRows: 800}})
	require.Len(t, b.index.pages, 6)
	for _, p := range b.index.pages {
		require.LessOrEqual(t, len(p.runs), 3)
	}
}
