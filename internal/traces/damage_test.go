package traces

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

// contents is a row group whose blobs are as they were before they were stored: what only decoders can find
// wrong is wrong behind right checksums.
type contents struct {
	entry     groupEntry
	directory []byte
	blobs     [][]byte
	dir       *groupDirectory
}

// goldenContents returns the row group of the golden block.
func goldenContents(tb testing.TB) *contents {
	tb.Helper()
	data, err := os.ReadFile(goldenFile)
	require.NoError(tb, err)
	b, err := openBytes(data, block.ReaderOptions{})
	require.NoError(tb, err)
	g, err := b.storedGroup(context.Background(), 0)
	require.NoError(tb, err)
	c := &contents{entry: g.entry, directory: g.directory, dir: g.dir}
	ids := make([]int, g.dir.blobs())
	for i := range ids {
		ids[i] = i
	}
	c.blobs, err = b.blobs(context.Background(), 0, g.dir, ids, nil)
	require.NoError(tb, err)
	return c
}

// part decodes the directory and shows the row group as a Part.
func (c *contents) part() (*groupSet, error) {
	dir, err := decodeGroupDirectory(c.directory, &c.entry, nil)
	if err != nil {
		return nil, err
	}
	c.dir = dir
	s := &groupSet{store: storeOf{c}, entries: []groupEntry{c.entry}}
	s.lookup = func(context.Context, []ID) ([]tracePlace, error) {
		return []tracePlace{{0, 0}, {0, c.entry.traces - 1}}, nil
	}
	return s, nil
}

func (c *contents) blobsOf(ids []int) [][]byte {
	out := make([][]byte, len(ids))
	for k, id := range ids {
		if id < len(c.blobs) {
			out[k] = c.blobs[id]
		} else {
			out[k] = []byte{}
		}
	}
	return out
}

// storeOf makes contents a groupStore.
type storeOf struct{ *contents }

func (s storeOf) directory(context.Context, int) (*groupDirectory, error) { return s.dir, nil }
func (s storeOf) corrupt(_ int, what string, err error) error {
	return &block.CorruptionError{Block: "test", Section: what, Err: err}
}
func (s storeOf) views(context.Context, int, *groupDirectory, int, int) (*block.Views, error) {
	return nil, nil
}
func (s storeOf) kept(int) *keptColumns              { return nil }
func (s storeOf) keep(int, int, func() *keptColumns) {}
func (s storeOf) blobs(_ context.Context, _ int, _ *groupDirectory, ids []int, _ *block.Buffers) ([][]byte, error) {
	return s.blobsOf(ids), nil
}

// askGroup asks a row group everything and returns the first error. What it answers may be wrong.
func askGroup(s *groupSet) error {
	ctx := context.Background()
	var first error
	note := func(err error) { first = firstError(first, err) }
	for _, q := range []Select{{}, {Needs: &Needs{}}, {Start: genBase, End: genBase + 1e10, AllConditions: true, Also: []ID{{1, 15: 1}}, Conditions: []Condition{
		{Scope: "", Key: "n", Op: "exists"}, {Scope: "intrinsic", Key: "name", Op: "!=", Operand: Attribute{Str: "x"}},
		{Scope: "intrinsic", Key: "duration", Op: ">", Operand: Attribute{Type: TypeInt}}, {Scope: "span", Key: "string", Op: "=", Operand: Attribute{Str: "text"}},
		{Scope: "span", Key: "ratio", Op: "<", Operand: Attribute{Type: TypeFloat, Float: 2}}, {Scope: "span", Key: "tags", Op: "=", Operand: Attribute{Str: "x"}},
		{Scope: "span", Key: "job.id", Op: "=", Operand: Attribute{Str: "j-3"}}}}} {
		for tr, err := range s.SelectTraces(ctx, q) {
			note(err)
			if tr != nil {
				AppendOTLP(nil, tr)
			}
		}
	}
	note(func() error { _, err := s.TraceByID(ctx, ID{1, 15: 1}); return err }())
	note(func() error { _, err := s.pieces(ctx); return err }())
	note(func() error { _, err := s.Tags(ctx, "", 0, 0); return err }())
	for _, key := range []string{"job.id", "tags", "string", "n", "ratio"} {
		_, err := s.TagValues(ctx, "", key, 0, 0, 0)
		note(err)
	}
	for _, key := range []string{"name", "status", "statusMessage", "rootName", "event:name"} {
		_, err := s.TagValues(ctx, ScopeIntrinsic, key, 0, 0, 0)
		note(err)
	}
	g, err := s.open(ctx, 0)
	note(err)
	if err != nil {
		return first
	}
	r := RowGroup{g: g}
	all := make([]int, r.Traces())
	for i := range all {
		all[i] = i
	}
	note(r.SpanTimes(ctx, all, true, func(int, uint64, int64) {}))
	for row := range r.Rows() {
		_, _, err := r.SpanID(ctx, row)
		note(err)
	}
	for _, key := range []string{"job.id", "attempt", "string"} {
		_, _, err := r.ClassValues(ctx, key)
		note(err)
	}
	note(func() error { _, err := r.MatchEventNames(ctx, func(s string) bool { return s != "x" }); return err }())
	note(func() error {
		_, _, err := r.MatchRoots(ctx, func(string, string, bool) bool { return true })
		return err
	}())
	note(func() error { _, err := r.Ranks(ctx); return err }())
	return first
}

// TestDamagedColumns changes every blob and the directory: never a panic, and what can't be decoded is reported
// as corruption.
func TestDamagedColumns(t *testing.T) {
	failed, tried := 0, 0
	check := func(c *contents) {
		tried++
		s, err := c.part()
		if err != nil {
			failed++
			return
		}
		if err := askGroup(s); err != nil {
			require.True(t, block.IsCorruption(err), "%v", err)
			failed++
		}
	}
	golden := goldenContents(t)
	s, err := golden.part()
	require.NoError(t, err)
	require.NoError(t, askGroup(s))
	for i, blob := range golden.blobs {
		for at := range blob {
			c := *golden
			c.blobs = append([][]byte(nil), golden.blobs...)
			c.blobs[i] = flip(blob, at)
			check(&c)
		}
		c := *golden
		c.blobs = append([][]byte(nil), golden.blobs...)
		c.blobs[i] = blob[:len(blob)/2]
		check(&c)
	}
	for at := range golden.directory {
		c := *golden
		c.directory = flip(golden.directory, at)
		check(&c)
	}
	require.Greater(t, failed, tried/4)
}

// FuzzGroup damages a blob or the directory of a row group behind right checksums.
func FuzzGroup(f *testing.F) {
	golden := goldenContents(f)
	for i := range golden.blobs {
		f.Add(i, 0, []byte{1})
	}
	f.Add(len(golden.blobs), 3, []byte{0xff, 1})
	f.Fuzz(func(t *testing.T, slot, at int, change []byte) {
		c := *golden
		c.blobs = append([][]byte(nil), golden.blobs...)
		target := &c.directory
		if slot >= 0 && slot < len(c.blobs) {
			target = &c.blobs[slot]
		}
		bad := bytes.Clone(*target)
		for i, b := range change {
			if k := at + i; k >= 0 && k < len(bad) {
				bad[k] ^= b
			}
		}
		*target = bad
		if s, err := c.part(); err == nil {
			_ = askGroup(s)
		}
	})
}
