package traces

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

func TestCodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]uint32{0, 1, 255, 256, 65535, 65536, 1<<32 - 1}).Draw(t, "most")
		list := rapid.SliceOf(rapid.Uint32Range(0, most)).Draw(t, "list")
		n := narrowed(list)
		require.Equal(t, len(list), n.len())
		require.Equal(t, list, n.Copy(make([]uint32, len(list)), 0))
		for i, x := range list {
			require.Equal(t, x, n.At(i))
			require.Equal(t, list[i:], n.Copy(make([]uint32, len(list)-i), i))
		}
		require.LessOrEqual(t, n.memory(), 80+4*len(list))
		if most < 256 {
			require.Len(t, n.bytes, len(list))
		}
	})
}

// keptOf returns columns that take some bytes.
func keptOf(bytes int) *keptColumns {
	k := &keptColumns{}
	k.loose = make([]int64, (bytes-k.memory())/8)
	return k
}

// TestGroupCacheBounds: whatever is asked for and kept, the cache stays within its bytes, columns take at most half of
// them, and make room for directories.
func TestGroupCacheBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(4<<10, 64<<10).Draw(t, "limit")
		c := NewGroupCache(limit)
		biggest := 0
		t.Repeat(map[string]func(*rapid.T){
			"directory": func(t *rapid.T) {
				key := cacheKey{1, rapid.IntRange(0, 20).Draw(t, "group")}
				if c.directory(key) == nil {
					d := &groupDirectory{names: make([]string, rapid.IntRange(0, 300).Draw(t, "names")), page: &column.Page{}}
					biggest = max(biggest, d.memory())
					c.addDirectory(key, d)
				}
				require.NotNil(t, c.directory(key), "a directory that was just read is kept")
			},
			"columns": func(t *rapid.T) {
				key, size := cacheKey{1, rapid.IntRange(0, 20).Draw(t, "group")}, rapid.IntRange(2<<10, 16<<10).Draw(t, "size")
				c.columnsOf(key)
				c.addColumns(key, size, func() *keptColumns { return keptOf(size) })
			},
			"": func(t *rapid.T) {
				used := 0
				for _, d := range c.directories.lru.Values() {
					used += d.memory()
				}
				require.Equal(t, used, c.directories.used)
				used = 0
				for _, k := range c.columns.lru.Values() {
					used += k.memory()
				}
				require.Equal(t, used, c.columns.used)
				require.LessOrEqual(t, c.columns.used, limit/2)
				require.LessOrEqual(t, c.columns.used+c.directories.used, max(limit, biggest))
			},
		})
	})
}

// TestGroupCachePatience: questions that go round more row groups than there is room for find those that came first,
// and what is no longer asked for makes room.
func TestGroupCachePatience(t *testing.T) {
	const size, room = 4 << 10, 10
	c := NewGroupCache(2 * room * size)
	round := func(first, n int) (found int) {
		for i := first; i < first+n; i++ {
			if c.columnsOf(cacheKey{1, i}) != nil {
				found++
			} else {
				c.addColumns(cacheKey{1, i}, size, func() *keptColumns { return keptOf(size) })
			}
		}
		return found
	}
	require.Zero(t, round(0, 3*room))
	for range 5 {
		require.Equal(t, room, round(0, 3*room))
	}
	for range patience {
		round(100, room)
	}
	require.Equal(t, room, round(100, room), "the others have not been asked for")
}

// TestColumnsKept: the second time a question reads nothing of the spine, the answer is the same, and the same as where
// nothing can be kept.
func TestColumnsKept(t *testing.T) {
	ctx := context.Background()
	data := blockBytes(t, headOf(t, shop(3000, 10e6)))
	var read atomic.Int64
	opened := func(cache *GroupCache) *Block {
		r, err := block.Open(ctx, memory(data), "test", int64(len(data)), block.ReaderOptions{SuffixLen: 1, OnRead: func(n int64) { read.Add(n) }})
		require.NoError(t, err)
		b, err := OpenBlockWith(ctx, r, cache)
		require.NoError(t, err)
		return b
	}
	b, none := opened(NewGroupCache(8<<20)), opened(NewGroupCache(0))
	require.Greater(t, len(b.entries), 1)
	classes := spineFilter{}
	var all [][]byte
	for i, source := range []*Block{none, b, b, none, b} {
		read.Store(0)
		all = append(all, encodeTraces(collect(t, source.SelectTraces(ctx, Select{Groups: classes}))))
		require.True(t, bytes.Equal(all[0], all[i]))
		if i == 2 {
			require.Zero(t, read.Load(), "no trace has a span of depth 9, and all that says so is kept")
		}
	}
	want := map[ID]*Trace{}
	for i, tr := range collect(t, none.SelectTraces(ctx, Select{})) {
		if i%50 == 0 {
			want[tr.ID] = tr
		}
	}
	var group sync.WaitGroup // many questions at once, while what is kept comes and goes
	small := opened(NewGroupCache(300 << 10))
	for k := range 4 {
		group.Go(func() {
			for id := range want {
				for _, source := range []*Block{b, small} {
					if int(id[15])%4 == k {
						tr, err := source.TraceByID(ctx, id)
						if err != nil || !slices.EqualFunc(tr.Spans, want[id].Spans, func(x, y *Span) bool { return describe(x) == describe(y) }) {
							t.Errorf("trace %s: %v", id, err)
						}
					}
				}
			}
		})
	}
	group.Wait()
}

// spineFilter chooses the traces that have a span of depth 9, and looks at the class of each span.
type spineFilter struct{}

func (spineFilter) Group(ctx context.Context, g *RowGroup) (c Chosen, err error) {
	first, err := g.First(ctx)
	if err != nil {
		return c, err
	}
	if _, err := g.Classes(ctx); err != nil {
		return c, err
	}
	depths, _, err := g.Depths(ctx)
	for t := range g.Traces() {
		if err == nil && slices.Contains(depths.Copy(make([]uint32, first[t+1]-first[t]), first[t]), 9) {
			c.Traces = append(c.Traces, t)
		}
	}
	return c, err
}
