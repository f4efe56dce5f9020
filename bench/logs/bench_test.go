package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/loggen"
)

func smallBench(t *testing.T, sets ...string) *bench {
	t.Helper()
	b := &bench{size: 300_000, seed: 1, runs: 1, dir: t.TempDir()}
	for _, name := range sets {
		s, ok := loggen.Find(name)
		require.True(t, ok)
		b.sets = append(b.sets, s)
	}
	return b
}

func TestChunksEndWithLines(t *testing.T) {
	c := smallBench(t).corpus(loggen.Sets()[0])
	parts := chunks(c.text, 10_000)
	require.Greater(t, len(parts), 20)
	require.Equal(t, c.text, bytes.Join(parts, nil))
	for _, p := range parts {
		require.Equal(t, byte('\n'), p[len(p)-1])
	}
}

func TestMarks(t *testing.T) {
	for _, c := range []struct {
		d    *demand
		x    float64
		want string
	}{
		{nil, 1, ""}, {atLeast(4, "x"), 4, "PASS"}, {atLeast(4, "x"), 3.9, "short of ≥ 4 x"}, {atMost(0.5, "ms"), 0.5, "PASS"},
		{atMost(0.5, "ms"), 0.6, "short of ≤ 0.5 ms"},
	} {
		require.Equal(t, c.want, c.d.mark(c.x))
	}
	require.Equal(t, "PASS", marks("", "PASS"))
	require.Equal(t, "a, b", marks("a", "PASS", "b"))
	require.Empty(t, marks("", ""))
}

func TestNumberAfter(t *testing.T) {
	f := func(line, marker string, want float64, found bool) {
		t.Helper()
		x, ok := numberAfter([]byte(line), []byte(marker))
		require.Equal(t, found, ok)
		require.InDelta(t, want, x, 0)
	}
	f(`{"status":500,"x":{"status":1}}`, `"status":`, 500, true)
	f(`latency_ms=1.25 a=b`, "latency_ms=", 1.25, true)
	f(`latency_ms=`, "latency_ms=", 0, false)
	f(`nothing`, "latency_ms=", 0, false)
}

// The block's answers are compared with those of scans for every query: an error says which differs.
func TestSearch(t *testing.T) {
	b := smallBench(t, "json", "logfmt", "hdfs")
	for _, set := range b.sets {
		gains := map[loggen.QueryKind]*geomean{}
		require.NoError(t, b.searchSet(context.Background(), b.corpus(set), gains))
		require.Contains(t, gains, loggen.LoneID)
	}
}

func TestStoredIsChecked(t *testing.T) {
	b := smallBench(t)
	c := b.corpus(loggen.Sets()[0])
	s, err := b.store(context.Background(), c)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.close()) }()
	require.NoError(t, s.check(context.Background()))
	c.lines.Data[len(c.lines.Data)/2] ^= 1
	require.ErrorContains(t, s.check(context.Background()), "was not stored as it came")
}

func TestIngest(t *testing.T) {
	b := smallBench(t, "hdfs", "json", "random")
	for name, encode := range map[string]func([]pushed) request{"json": jsonRequest, "protobuf": protobufRequest} {
		t.Run(name, func(t *testing.T) {
			l := b.load(encode)
			require.GreaterOrEqual(t, l.bytes, 2*b.size)
			c, err := l.ingest(t.Context(), b.dir)
			require.NoError(t, err)
			require.Positive(t, c.stored)
			require.Less(t, c.stored, l.bytes)
		})
	}
}

// Dashboard queries are compared with the plain evaluator: an error says which differs.
func TestDashboards(t *testing.T) {
	require.NoError(t, dashboardsPart(t.Context(), smallBench(t, "json", "logfmt")))
}
