package traces

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/signal"
)

func compactMeta() *block.Meta {
	return &block.Meta{ULID: ulid.Make(), Tenant: "t", Signal: signal.Traces, Level: 1, RawBytes: 1000, Producer: "test", Created: time.Unix(1, 0)}
}

func compacted(t require.TestingT, dir string, blocks ...*Block) (*Block, Compacted, *block.Meta) {
	dir, err := os.MkdirTemp(dir, "block")
	require.NoError(t, err)
	defer func() { _ = os.RemoveAll(dir) }()
	c := Compaction{Blocks: blocks}
	meta := compactMeta()
	done, err := c.Write(context.Background(), dir, meta)
	require.NoError(t, err)
	data, err := os.ReadFile(filepath.Join(dir, block.DataFile))
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(dir, block.MetaFile))
	require.NoError(t, err)
	read, err := block.DecodeMeta(content)
	require.NoError(t, err)
	require.Equal(t, meta.Rows, read.Rows)
	b, err := openBytes(data, block.ReaderOptions{SuffixLen: 1 << 10})
	require.NoError(t, err)
	return b, done, meta
}

// What several blocks answer together, the block that is made of them answers alone.
func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		whole := genTraces(t, 5, 6)
		pieces := make([][]*Trace, rapid.IntRange(1, 3).Draw(t, "blocks"))
		for _, tr := range whole {
			cut := make([]*Trace, len(pieces))
			for _, s := range tr.Spans {
				for _, p := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(pieces)-1), 1, 2, rapid.ID[int]).Draw(t, "where") {
					if cut[p] == nil {
						cut[p] = &Trace{ID: tr.ID}
					}
					cut[p].Spans = append(cut[p].Spans, s)
				}
			}
			for p, c := range cut {
				if c != nil {
					pieces[p] = append(pieces[p], c)
				}
			}
		}
		var blocks []*Block
		rows := int64(0)
		for _, p := range pieces {
			if len(p) > 0 {
				h := headOf(t, p)
				if rapid.Bool().Draw(t, "sealed") {
					require.NoError(t, h.sealSome())
				}
				rows += int64(h.Rows())
				blocks = append(blocks, blockOfHead(t, h))
			}
		}
		want := mergeByID(t, pieces...)
		b, done, meta := compacted(t, dir, blocks...)
		require.Equal(t, rows, done.Spans+done.Duplicates)
		require.Equal(t, done.Spans, meta.Rows)
		require.Empty(t, b.split, "no trace has pieces any more")
		partSuite(t, b, want, t)
		again, _, _ := compacted(t, dir, b)
		partSuite(t, again, want, t)
	})
}

// Row groups whose traces are whole are copied as they are; late pieces join the others.
func TestCompactionCopies(t *testing.T) {
	sent := shop(5400, 1e6) // 75,600 spans: two full row groups and a rest
	for _, tr := range sent[5000:] {
		late := tr.Spans[7:]
		tr.Spans = tr.Spans[:7]
		sent = append(sent, &Trace{ID: tr.ID, Spans: late})
	}
	first, second := blockOf(t, sent[:5400]), blockOf(t, sent[5400:])
	b, done, _ := compacted(t, t.TempDir(), first, second)
	require.Equal(t, 2, done.Copied)
	require.Equal(t, 1, done.Made)
	require.Equal(t, int64(75_600), done.Spans)
	for _, i := range []int{0, 3000, 5000, 5399} {
		got, err := b.TraceByID(context.Background(), sent[i].ID)
		require.NoError(t, err)
		require.Len(t, got.Spans, 14)
	}
	tags, err := b.Tags(context.Background(), "", 0, 0)
	require.NoError(t, err)
	want, err := first.Tags(context.Background(), "", 0, 0)
	require.NoError(t, err)
	require.Equal(t, want, tags)

	// A replica brings nothing new.
	b, done, _ = compacted(t, t.TempDir(), first, second, first)
	require.Equal(t, int64(75_600), done.Spans)
	n := 0
	for tr, err := range b.SelectTraces(context.Background(), Select{Needs: &Needs{}}) {
		require.NoError(t, err)
		require.Len(t, tr.Spans, 14)
		n++
	}
	require.Equal(t, 5400, n)
}

func TestCompactionEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := Compaction{Blocks: []*Block{blockOf(t, shop(3, 1e6))}}
	_, err := c.Write(ctx, t.TempDir(), compactMeta())
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.Write(context.Background(), filepath.Join(t.TempDir(), "nowhere"), compactMeta())
	require.Error(t, err)
}

// Traces that must go are in no row group of the new block; row groups without such are copied as they are.
func TestCompactionLeaves(t *testing.T) {
	sent := shop(5400, 1e6)
	first, second := blockOf(t, sent[:5000]), blockOf(t, sent[4000:])
	leave := func(id ID) string {
		switch {
		case id == sent[1].ID:
			return "deleted"
		case id == sent[4500].ID:
			return "expired" // a piece in each block
		}
		return ""
	}
	c := Compaction{Blocks: []*Block{first, second}, Leave: leave}
	meta := compactMeta()
	dir := t.TempDir()
	done, err := c.Write(t.Context(), dir, meta)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"deleted": 14, "expired": 28}, done.Left)
	require.Equal(t, int64(14*5398), done.Spans)
	require.Equal(t, int64(14*999), done.Duplicates)
	require.Equal(t, done.Spans, meta.Rows)
	data, err := os.ReadFile(filepath.Join(dir, block.DataFile))
	require.NoError(t, err)
	b, err := openBytes(data, block.ReaderOptions{})
	require.NoError(t, err)
	for i, want := range map[int]bool{0: true, 1: false, 4499: true, 4500: false, 5399: true} {
		got, err := b.TraceByID(t.Context(), sent[i].ID)
		require.NoError(t, err)
		require.Equal(t, want, got != nil, i)
	}
	set := NewIDSet([]ID{sent[1].ID, sent[4500].ID})
	has, err := set.AnyOf(t.Context(), b)
	require.NoError(t, err)
	require.False(t, has)
	has, err = set.AnyOf(t.Context(), second)
	require.NoError(t, err)
	require.True(t, has)

	c.Leave = func(ID) string { return "deleted" }
	done, err = c.Write(t.Context(), t.TempDir(), compactMeta())
	require.ErrorIs(t, err, ErrEmpty)
	require.Equal(t, int64(14*6400), done.Left["deleted"])
}
