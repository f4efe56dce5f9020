package compactor

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
)

// span is a span of a test block: trace, number, and minutes after yesterday's beginning.
type span struct{ trace, number, minute int }

func uploadSpans(t testing.TB, bkt objstore.Bucket, spans ...span) block.Meta {
	t.Helper()
	head := traces.NewHead(traces.HeadOptions{})
	newest := yesterday
	resource := &traces.Resource{ServiceName: "shop", Attributes: []traces.Attribute{{Key: "service.name", Str: "shop"}}}
	for _, s := range spans {
		at := yesterday.Add(time.Duration(s.minute) * time.Minute)
		if at.After(newest) {
			newest = at
		}
		tr := &traces.Trace{ID: traces.ID{15: byte(s.trace)}, Spans: []*traces.Span{{ID: traces.SpanID{7: byte(s.number)}, Name: fmt.Sprint("span ", s.number),
			Start: uint64(at.UnixNano()), End: uint64(at.UnixNano()) + 1e6, Resource: resource, Scope: &traces.Scope{}}}}
		_, err := head.Append(&traces.Batch{OTLP: traces.ToOTLP(tr)})
		require.NoError(t, err)
	}
	m := &block.Meta{ULID: ulid.MustNew(ulid.Timestamp(newest), rand.Reader), Tenant: team, Signal: signal.Traces, Producer: "test", Created: now}
	dir := t.TempDir()
	require.NoError(t, head.WriteBlock(context.Background(), dir, m))
	require.NoError(t, block.Upload(context.Background(), bkt, dir, m))
	return *m
}

// traces returns how many spans of each trace queries would answer now.
func (w *world) traces(t testing.TB) map[int]int {
	t.Helper()
	metas, err := w.store.Blocks(t.Context(), team, signal.Traces, 0, 0)
	require.NoError(t, err)
	src := traces.NewSource(func(ctx context.Context, _ string, _, _ uint64) (parts []traces.Part, err error) {
		for _, m := range metas {
			r, err := block.Open(ctx, bucket.Ranger{Bucket: w.bkt}, m.DataPath(), m.Data.Size, block.ReaderOptions{})
			if err != nil {
				return nil, err
			}
			b, err := traces.OpenBlock(ctx, r)
			if err != nil {
				return nil, err
			}
			parts = append(parts, b)
		}
		return parts, nil
	})
	out := map[int]int{}
	for tr, err := range src.SelectTraces(t.Context(), team, traces.Select{}) {
		require.NoError(t, err)
		out[int(tr.ID[15])] += len(tr.Spans)
	}
	return out
}

func traceFolders(t testing.TB, bkt objstore.Bucket) []ulid.ULID {
	t.Helper()
	ids, err := block.IDs(context.Background(), bkt, team, signal.Traces)
	require.NoError(t, err)
	return ids
}

// Small blocks of a day become one, in which traces are whole and spans of replicas are once.
func TestTracesCompaction(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	a := uploadSpans(t, bkt, span{1, 1, 1}, span{2, 1, 2})
	b := uploadSpans(t, bkt, span{1, 1, 1}, span{1, 2, 3}, span{3, 1, 700})
	want := map[int]int{1: 2, 2: 1, 3: 1}
	w := newWorld(t, bkt, nil)
	require.NoError(t, w.store.Refresh(t.Context()))
	require.Equal(t, want, w.traces(t))
	require.NoError(t, w.Round(t.Context()))
	require.Len(t, traceFolders(t, bkt), 3, "the inputs are still there")
	require.Equal(t, want, w.traces(t))
	metas, err := w.store.Blocks(t.Context(), team, signal.Traces, 0, 0)
	require.NoError(t, err)
	require.Len(t, metas, 1, "and read no more")
	require.ElementsMatch(t, []ulid.ULID{a.ULID, b.ULID}, metas[0].Sources)
	require.EqualValues(t, 4, metas[0].Rows)
	require.Equal(t, 1, w.count(w.Compactor.metrics.rows, "duplicate"))
	w.rounds(t, 2)
	require.Equal(t, []ulid.ULID{metas[0].ULID}, traceFolders(t, bkt))
	require.Equal(t, want, w.traces(t))
}

// A process that dies anywhere leaves every span to be answered once.
func TestTracesKilledAnywhere(t *testing.T) {
	origin := objstore.NewInMemBucket()
	uploadSpans(t, origin, span{1, 1, 1}, span{2, 1, 2})
	uploadSpans(t, origin, span{1, 2, 3}, span{3, 1, 700})
	want := map[int]int{1: 2, 2: 1, 3: 1}
	deaths := 0
	for at := 0; ; at++ {
		bkt := objstore.NewInMemBucket()
		for name, content := range origin.Objects() {
			require.NoError(t, bkt.Upload(t.Context(), name, bytes.NewReader(content)))
		}
		reader := newWorld(t, bkt, nil) // another process, which only reads
		fresh := func() map[int]int {
			require.NoError(t, reader.store.Refresh(t.Context()))
			return reader.traces(t)
		}
		m := &mortal{Bucket: bkt, left: at}
		m.changed = func() { require.Equal(t, want, fresh(), "after each change, killed at %d", at) }
		victim := newWorld(t, m, nil)
		var roundErr error
		for range 3 {
			if roundErr = victim.Round(t.Context()); roundErr != nil {
				break
			}
			victim.clock = victim.clock.Add(time.Duration(victim.opts.Config.DeleteDelay))
		}
		require.Equal(t, want, fresh(), "killed at %d", at)
		if roundErr != nil {
			require.ErrorIs(t, roundErr, errKilled)
			deaths++
		}
		next := newWorld(t, bkt, nil)
		next.clock = victim.clock
		for range 3 {
			next.rounds(t, 1)
			require.Equal(t, want, fresh(), "killed at %d", at)
		}
		require.Len(t, traceFolders(t, bkt), 1, "killed at %d", at)
		if roundErr == nil {
			require.Greater(t, deaths, 5)
			return
		}
	}
}

// A damaged block is set aside and stops no other.
func TestTracesQuarantine(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	bad := uploadSpans(t, bkt, span{1, 1, 1})
	uploadSpans(t, bkt, span{2, 1, 2})
	uploadSpans(t, bkt, span{3, 1, 3})
	data := bkt.Objects()[bad.DataPath()]
	data[len(data)/2] ^= 1
	w := newWorld(t, bkt, nil)
	w.rounds(t, 3)
	_, aside, err := block.Catalog(t.Context(), bkt, team, signal.Traces)
	require.NoError(t, err)
	require.Equal(t, []ulid.ULID{bad.ULID}, aside)
	require.Equal(t, map[int]int{2: 1, 3: 1}, w.traces(t))
}
