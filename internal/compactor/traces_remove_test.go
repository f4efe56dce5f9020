package compactor

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
	tracedeletes "github.com/hune-io/hune/internal/traces/deletes"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// traceWorld is a process with requests to delete traces.
type traceWorld struct {
	*world
	deleted *tracedeletes.Book
}

func newTraceWorld(t *testing.T, bkt objstore.Bucket, change func(*Options)) *traceWorld {
	t.Helper()
	w := &traceWorld{}
	find := func(ctx context.Context, tenant, query string, start, end uint64, limit int) ([]traces.ID, error) {
		q := &traces.Query{Kind: traces.SearchIDs, Expr: query, Start: start, End: end, Limit: limit}
		r, err := traceql.NewEngine(traceql.Options{}).Run(ctx, tenant, q, w.source())
		if err != nil {
			return nil, err
		}
		return r.IDs, nil
	}
	w.world = newWorld(t, bkt, func(o *Options) {
		o.TracesSettled = func(string, time.Time) bool { return true }
		w.deleted = tracedeletes.New(tracedeletes.Options{Bucket: bkt, Logger: o.Logger, Registerer: prometheus.NewRegistry(), Now: o.Now, Find: find})
		o.TraceDeletes = w.deleted
		if change != nil {
			change(o)
		}
	})
	w.store.Follow(w.deleted)
	return w
}

// source is the bucket as this process knows it.
func (w *traceWorld) source() traces.Source {
	return traces.Hide(traces.NewSource(func(ctx context.Context, _ string, _, _ uint64) (parts []traces.Part, err error) {
		metas, err := w.store.Blocks(ctx, team, signal.Traces, 0, 0)
		if err != nil {
			return nil, err
		}
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
	}), w.deleted.Hidden)
}

// seen returns how many spans of each trace queries answer.
func (w *traceWorld) seen(t testing.TB) map[int]int {
	t.Helper()
	out := map[int]int{}
	for tr, err := range w.source().SelectTraces(t.Context(), team, traces.Select{}) {
		require.NoError(t, err)
		out[int(tr.ID[15])] += len(tr.Spans)
	}
	return out
}

func (w *traceWorld) fresh(t testing.TB) map[int]int {
	t.Helper()
	require.NoError(t, w.store.Refresh(t.Context()))
	return w.seen(t)
}

// stored returns how many spans of each trace are in the bucket, hidden or not.
func (w *traceWorld) stored(t testing.TB) map[int]int {
	require.NoError(t, w.store.Refresh(t.Context()))
	return w.traces(t)
}

// A request hides whole traces at once, also their pieces in blocks where nothing matches. Compaction removes them
// from blocks that it would have left alone, and only then is the request processed.
func TestTraceDeletesAreCarriedOut(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	const today = 24*60 + 700
	uploadSpans(t, bkt, span{1, 7, 1}, span{2, 1, 2})
	uploadSpans(t, bkt, span{1, 1, 3}, span{3, 1, 3})
	alone := uploadSpans(t, bkt, span{4, 7, today}, span{1, 2, today})
	elsewhere := uploadSpans(t, bkt, span{5, 1, today})
	w := newTraceWorld(t, bkt, nil)
	require.NoError(t, w.store.Refresh(t.Context()))
	r, err := w.deleted.Add(t.Context(), team, `{ name = "span 7" }`, 0, now.UnixNano())
	require.NoError(t, err)
	require.Equal(t, 2, r.Found)
	want := map[int]int{2: 1, 3: 1, 5: 1}
	require.Equal(t, want, w.seen(t))
	require.Equal(t, map[int]int{1: 3, 2: 1, 3: 1, 4: 1, 5: 1}, w.stored(t))

	w.rounds(t, 1)
	require.Equal(t, want, w.seen(t))
	require.Equal(t, want, w.traces(t), "nothing current holds them")
	require.NotContains(t, traceFolders(t, bkt), alone.ULID, "nothing of it was left")
	require.Contains(t, traceFolders(t, bkt), elsewhere.ULID, "not written anew")
	require.Equal(t, 4, w.count(w.Compactor.metrics.rows, "deleted"))
	list, err := w.deleted.List(t.Context(), team)
	require.NoError(t, err)
	require.True(t, list[0].Begun && list[0].Processed.IsZero(), "a block that still holds spans waits to be deleted")
	require.Error(t, w.deleted.Cancel(t.Context(), team, r.ID, false), "it has begun")

	w.rounds(t, 3)
	require.Nil(t, w.deleted.Active(team))
	require.Equal(t, want, w.fresh(t))
	uploadSpans(t, bkt, span{1, 7, 4})
	require.Equal(t, map[int]int{1: 1, 2: 1, 3: 1, 5: 1}, w.fresh(t), "what comes later is another matter")
}

func TestTraceDeletesWaitForIngesters(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	settled := false
	w := newTraceWorld(t, bkt, func(o *Options) { o.TracesSettled = func(string, time.Time) bool { return settled } })
	uploadSpans(t, bkt, span{1, 7, 1})
	require.NoError(t, w.store.Refresh(t.Context()))
	_, err := w.deleted.Add(t.Context(), team, `{ name = "span 7" }`, 0, now.UnixNano())
	require.NoError(t, err)
	w.rounds(t, 5)
	require.NotNil(t, w.deleted.Active(team))
	uploadSpans(t, bkt, span{1, 1, 5}) // of the same trace, shipped in the meantime
	require.Empty(t, w.fresh(t))
	settled = true
	w.rounds(t, 3)
	require.Nil(t, w.deleted.Active(team))
	require.Empty(t, w.fresh(t))
	require.Empty(t, traceFolders(t, bkt))
}

// A process that dies anywhere while it carries out a request leaves no piece of a deleted trace to be seen, and
// every other span once.
func TestTraceDeletesKilledAnywhere(t *testing.T) {
	origin := objstore.NewInMemBucket()
	uploadSpans(t, origin, span{1, 7, 1}, span{2, 1, 2})
	uploadSpans(t, origin, span{1, 1, 3}, span{3, 1, 700})
	uploadSpans(t, origin, span{1, 2, 24*60 + 700}, span{2, 2, 24*60 + 701})
	first := newTraceWorld(t, origin, nil)
	require.NoError(t, first.store.Refresh(t.Context()))
	_, err := first.deleted.Add(t.Context(), team, `{ name = "span 7" }`, 0, now.UnixNano())
	require.NoError(t, err)
	want := map[int]int{2: 2, 3: 1}
	deaths := 0
	for at := 0; ; at++ {
		bkt := objstore.NewInMemBucket()
		for name, content := range origin.Objects() {
			require.NoError(t, bkt.Upload(t.Context(), name, bytes.NewReader(content)))
		}
		reader := newTraceWorld(t, bkt, nil)
		m := &mortal{Bucket: bkt, left: at}
		m.changed = func() { require.Equal(t, want, reader.fresh(t), "after each change, killed at %d", at) }
		victim := newTraceWorld(t, m, nil)
		var roundErr error
		for range 6 {
			if roundErr = victim.Round(t.Context()); roundErr != nil {
				break
			}
			victim.clock = victim.clock.Add(time.Duration(victim.opts.Config.DeleteDelay))
		}
		require.Equal(t, want, reader.fresh(t), "killed at %d", at)
		if roundErr != nil {
			deaths++
		}
		next := newTraceWorld(t, bkt, nil)
		next.clock = victim.clock
		for range 6 {
			next.rounds(t, 1)
			require.Equal(t, want, reader.fresh(t), "killed at %d", at)
		}
		require.Nil(t, next.deleted.Active(team), "killed at %d", at)
		require.Equal(t, want, next.stored(t), "killed at %d", at)
		if roundErr == nil {
			require.Greater(t, deaths, 10)
			return
		}
	}
}

func TestTraceRetention(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	rules, err := newTraceRules(10*day, []limits.TraceRetention{
		{Match: `{ name = "span 7" }`, Keep: limits.DefaultConfig().CreationGracePeriod * 6 * 24 * 2}, // two days
		{Match: `{ name = "span 8" }`}, // for ever
		{Match: `{ name =~ "span [79]" } | count() > 1`, Keep: limits.DefaultConfig().CreationGracePeriod * 6 * 24 * 3},
	})
	require.NoError(t, err)
	require.Zero(t, rules.longest())
	// 1: of no rule; 2: two days; 3: for ever, though a shorter rule finds it; 4: three days by the number of spans.
	mixed := uploadSpans(t, bkt, span{1, 1, 1}, span{2, 7, 1}, span{2, 1, 2}, span{3, 7, 1}, span{3, 8, 2}, span{4, 7, 1}, span{4, 9, 2})
	uploadSpans(t, bkt, span{5, 7, 24*60 + 700})
	w := newTraceWorld(t, bkt, func(o *Options) { o.TraceRetention = func(string) *TraceRules { return rules } })
	at := func(after time.Duration) map[int]int {
		w.clock = yesterday.Add(after + 3*time.Minute)
		w.rounds(t, 3)
		return w.stored(t)
	}
	all := map[int]int{1: 1, 2: 2, 3: 2, 4: 2, 5: 1}
	require.Equal(t, all, at(2*day-time.Hour))
	require.Contains(t, traceFolders(t, bkt), mixed.ULID, "nothing is due yet")
	require.Equal(t, map[int]int{1: 1, 3: 2, 4: 2, 5: 1}, at(2*day))
	require.NotContains(t, traceFolders(t, bkt), mixed.ULID)
	require.Equal(t, map[int]int{1: 1, 3: 2}, at(4*day))
	require.Equal(t, map[int]int{3: 2}, at(11*day))
	require.Equal(t, map[int]int{3: 2}, at(5000*day))
	require.Equal(t, 6, w.count(w.Compactor.metrics.rows, "expired"), "all but those that went with their blocks")
}

func TestTraceRetentionOfTenants(t *testing.T) {
	o := overrides(t, `
limits:
  traces:
    retention_period: 31d
    retention_rules: [{match: '{ resource.deployment.environment.name = "dev" }', keep: 1d}]
overrides:
  "29": {traces: {retention_period: 7d, retention_rules: [{match: '{ status = error }', keep: 90d}, {match: '{ name = "x" }', keep: 1d}]}}
  "30": {traces: {retention_rules: []}}
`)
	r, err := NewTraceRetention(o, DefaultRetention())
	require.NoError(t, err)
	require.Equal(t, &TraceRules{31 * day, []traceRule{{`{ resource.deployment.environment.name = "dev" }`, day}}}, r.Of("1"))
	require.Equal(t, &TraceRules{7 * day, []traceRule{{`{ status = error }`, 90 * day}, {`{ name = "x" }`, day}}}, r.Of("29"))
	require.Equal(t, 90*day, r.Of("29").longest())
	require.Equal(t, 31*day, r.Of("30").longest())
	require.Same(t, r.Of("29"), r.Of("29"))

	before := r.Of("1")
	changed := limits.DefaultConfig()
	require.NoError(t, o.Reload(changed, nil))
	require.Equal(t, &TraceRules{period: 30 * day}, r.Of("1"))
	before = r.Of("1")
	changed.Traces.RetentionRules = []limits.TraceRetention{{Match: "{", Keep: 1}}
	require.NoError(t, o.Reload(changed, nil))
	require.Same(t, before, r.Of("1"), "what makes no sense changes nothing")
	require.Zero(t, r.Of("new").longest(), "and deletes nothing")

	_, err = NewTraceRetention(overrides(t, `
limits: {traces: {retention_rules: [{match: '{', keep: 1d}, {match: '{ } | rate()', keep: 1d}]}}
overrides: {same: {traces: {max_trace_spans: 1}}, own: {traces: {retention_rules: [{match: x, keep: 1d}]}}}
`), DefaultRetention())
	require.ErrorContains(t, err, `limits.traces.retention_rules.0.match: "{": `)
	require.ErrorContains(t, err, `traces.retention_rules.1.match`)
	require.ErrorContains(t, err, "overrides.own.traces.retention_rules.0.match")
	require.NotContains(t, err.Error(), "overrides.same")
}

// A block of an ingester whose traces are in pieces is written anew when its day is over, once.
func TestLoneBlockIsJoined(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	m := uploadSplit(t, bkt, yesterday)
	today := uploadSplit(t, bkt, yesterday.Add(24*time.Hour))
	w := newTraceWorld(t, bkt, nil)
	require.NoError(t, w.store.Refresh(t.Context()))
	want := w.seen(t)
	w.rounds(t, 1)
	metas, err := w.store.Blocks(t.Context(), team, signal.Traces, 0, 0)
	require.NoError(t, err)
	require.Len(t, metas, 2)
	require.Equal(t, []ulid.ULID{m.ULID}, metas[0].Sources)
	require.Equal(t, today.ULID, metas[1].ULID, "it may be merged with others today")
	b, err := w.openTraces(t.Context(), &metas[0])
	require.NoError(t, err)
	require.Zero(t, b.Split())
	w.rounds(t, 3)
	require.Equal(t, want, w.fresh(t))
	require.ElementsMatch(t, []ulid.ULID{metas[0].ULID, today.ULID}, traceFolders(t, bkt), "once")
}

// uploadSplit makes a block with a trace in two row groups: its second half comes when the first is sealed.
func uploadSplit(t *testing.T, bkt objstore.Bucket, day time.Time) block.Meta {
	t.Helper()
	head := traces.NewHead(traces.HeadOptions{})
	resource := &traces.Resource{ServiceName: "shop"}
	add := func(trace, from, n int) {
		tr := &traces.Trace{ID: traces.ID{14: byte(trace >> 8), 15: byte(trace)}}
		for i := range n {
			at := uint64(day.UnixNano()) + uint64(from+i)
			tr.Spans = append(tr.Spans, &traces.Span{ID: traces.SpanID{1, 6: byte((from + i) >> 8), 7: byte(from + i)}, Name: "x", Start: at, End: at + 5, Resource: resource, Scope: &traces.Scope{}})
		}
		_, err := head.Append(&traces.Batch{OTLP: traces.ToOTLP(tr)})
		require.NoError(t, err)
	}
	add(1, 0, 10)
	for i := range 100 {
		add(10+i, 0, 1000)
	}
	require.NoError(t, head.Seal(t.Context()))
	add(1, 10, 10)
	m := &block.Meta{ULID: ulid.MustNew(ulid.Timestamp(day), rand.Reader), Tenant: team, Signal: signal.Traces, Producer: "ingester", Created: now}
	dir := t.TempDir()
	require.NoError(t, head.WriteBlock(t.Context(), dir, m))
	require.NoError(t, block.Upload(t.Context(), bkt, dir, m))
	w := newTraceWorld(t, bkt, nil)
	b, err := w.openTraces(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, 1, b.Split())
	return *m
}
