package thanos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/info/infopb"
	"github.com/thanos-io/thanos/pkg/store/storepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/metrics/storeapi"
	"github.com/hune-io/hune/internal/tenant"
)

var testNow = time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)

func at(d time.Duration) int64 { return testNow.Add(d).UnixMilli() }

// fixture is a Hune's metrics behind a gRPC server, half of them in the bucket, half in the head.
type fixture struct {
	heads *metrics.Heads
	store *metrics.BlockStore
	opts  Options
	addr  string
	conn  *grpc.ClientConn
	creds credentials.TransportCredentials // of the server; nil: no TLS
	asked atomic.Int64                     // streams of series
}

// withTenant puts the tenant of the request's header into its context, as the program does.
func withTenant(ctx context.Context) context.Context {
	id := tenant.Anonymous
	if v := metadata.ValueFromIncomingContext(ctx, "THANOS-TENANT"); len(v) > 0 {
		id = v[0]
	}
	return tenant.NewContext(ctx, id)
}

type tenantStream struct{ grpc.ServerStream }

func (s tenantStream) Context() context.Context { return withTenant(s.ServerStream.Context()) }

func newFixture(t *testing.T, change ...func(*fixture)) *fixture {
	t.Helper()
	cfg, bkt, quiet := metrics.DefaultConfig(), objstore.NewInMemBucket(), slog.New(slog.DiscardHandler)
	heads, err := metrics.OpenHeads(t.Context(), metrics.HeadOptions{Dir: t.TempDir(), Config: cfg, Bucket: bkt, Logger: quiet,
		Registerer: prometheus.NewRegistry(), Now: func() time.Time { return testNow }, SyncAlways: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, heads.Close()) })
	store, err := metrics.NewBlockStore(metrics.BlockStoreOptions{Dir: t.TempDir(), Config: cfg.Store, Bucket: bkt, Logger: quiet, Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	f := &fixture{heads: heads, store: store}
	for wave := range 2 {
		var b metrics.Batch
		for i := range 5 {
			s := metrics.Series{Labels: labels.FromStrings("__name__", "m", "zone", fmt.Sprint(i), "replica_of", fmt.Sprint(i%2))}
			for m := range 20 {
				s.Samples = append(s.Samples, metrics.Sample{T: at(time.Duration(wave*30+m-60) * time.Minute), V: float64(m * i)})
			}
			b.Series = append(b.Series, s)
		}
		h := metrics.Series{Labels: labels.FromStrings("__name__", "h", "replica", "own")}
		for m := range 20 {
			h.Histograms = append(h.Histograms, metrics.HistogramSample{T: at(time.Duration(wave*30+m-60) * time.Minute), H: tsdbutil.GenerateTestHistogram(int64(m))})
		}
		b.Series = append(b.Series, h)
		_, err = heads.Append(t.Context(), tenant.Anonymous, &b)
		require.NoError(t, err)
		if wave == 0 {
			require.NoError(t, heads.Flush(t.Context()))
		}
	}
	require.NoError(t, store.Refresh(t.Context()))
	f.opts = Options{Sources: []metrics.Source{heads, store}, MinTime: heads.MinTime, MaxBytes: 1 << 30, External: func(id string) labels.Labels {
		return labels.FromMap(cfg.BlockLabels(id, "0")).WithoutEmpty()
	}}
	for _, c := range change {
		c(f)
	}
	f.listen(t)
	return f
}

// listen serves f until the end of the test, or until stop is called.
func (f *fixture) listen(t *testing.T) (stop func()) {
	t.Helper()
	if f.creds == nil {
		f.creds = insecure.NewCredentials()
	}
	g := grpc.NewServer(grpc.Creds(f.creds), grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		f.asked.Add(1)
		return next(srv, tenantStream{ss})
	}), grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		return next(withTenant(ctx), req)
	}))
	New(f.opts).Register(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f.addr = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	stop = sync.OnceFunc(func() { g.Stop(); require.NoError(t, <-done) })
	t.Cleanup(stop)
	f.conn, err = grpc.NewClient(f.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(storeapi.Codec())))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.conn.Close()) })
	return stop
}

// series asks with Thanos's own client and returns labels, chunks by series, and warnings.
func (f *fixture) series(t *testing.T, r *storepb.SeriesRequest) (names []string, chunks int, warnings []string, err error) {
	t.Helper()
	if r.MaxTime == 0 {
		r.MinTime, r.MaxTime = at(-24*time.Hour), at(0)
	}
	stream, err := storepb.NewStoreClient(f.conn).Series(t.Context(), r)
	require.NoError(t, err)
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return names, chunks, warnings, nil
		}
		if err != nil {
			return nil, 0, nil, err
		}
		if w := m.GetWarning(); w != "" {
			warnings = append(warnings, w)
		}
		var list []*storepb.Series
		if batch := m.GetBatch(); batch != nil {
			list = batch.Series
		}
		if s := m.GetSeries(); s != nil {
			list = append(list, s)
		}
		require.LessOrEqual(t, len(list), int(max(r.ResponseBatchSize, 1)))
		for _, s := range list {
			converted, err := storeapi.ToSeries(s)
			require.NoError(t, err)
			names, chunks = append(names, converted.Labels.String()), chunks+len(s.Chunks)
		}
	}
}

func eq(name, value string) storepb.LabelMatcher {
	return storepb.LabelMatcher{Type: storepb.LabelMatcher_EQ, Name: name, Value: value}
}

func TestInfo(t *testing.T) {
	f := newFixture(t)
	info, err := infopb.NewInfoClient(f.conn).Info(t.Context(), &infopb.InfoRequest{})
	require.NoError(t, err)
	require.Equal(t, "[{[{replica 0} {tenant anonymous}]}]", fmt.Sprint(info.LabelSets))
	require.Equal(t, at(-time.Hour), info.Store.MinTime)
	require.True(t, info.Store.SupportsWithoutReplicaLabels)
	many := newFixture(t, func(f *fixture) { f.opts.Tenants = true })
	info, err = infopb.NewInfoClient(many.conn).Info(t.Context(), &infopb.InfoRequest{})
	require.NoError(t, err)
	require.Equal(t, "[{[{replica 0}]}]", fmt.Sprint(info.LabelSets), "tenants' names are nobody's business")
}

func TestSeries(t *testing.T) {
	f := newFixture(t)
	m := []storepb.LabelMatcher{eq("__name__", "m")}
	names, chunks, _, err := f.series(t, &storepb.SeriesRequest{Matchers: m})
	require.NoError(t, err)
	require.Len(t, names, 5)
	require.Equal(t, `{__name__="m", replica="0", replica_of="0", tenant="anonymous", zone="0"}`, names[0])
	require.IsIncreasing(t, names)
	require.Equal(t, 10, chunks, "of head and block")

	names, chunks, _, err = f.series(t, &storepb.SeriesRequest{Matchers: m, SkipChunks: true, ResponseBatchSize: 2, Limit: 3})
	require.NoError(t, err)
	require.Len(t, names, 3)
	require.Zero(t, chunks)

	// Without a label, the order is that of the others, and series that are the same then stay apart.
	names, _, _, err = f.series(t, &storepb.SeriesRequest{Matchers: m, WithoutReplicaLabels: []string{"replica", "zone"}, SkipChunks: true})
	require.NoError(t, err)
	require.Equal(t, []string{
		`{__name__="m", replica_of="0", tenant="anonymous"}`, `{__name__="m", replica_of="0", tenant="anonymous"}`, `{__name__="m", replica_of="0", tenant="anonymous"}`,
		`{__name__="m", replica_of="1", tenant="anonymous"}`, `{__name__="m", replica_of="1", tenant="anonymous"}`}, names)

	// External labels are matched as any others; those of the series come first.
	for _, c := range []struct {
		m    storepb.LabelMatcher
		want int
	}{
		{eq("tenant", "anonymous"), 6}, {eq("tenant", "b"), 0}, {eq("replica", "0"), 5}, {eq("replica", "own"), 1},
		{storepb.LabelMatcher{Type: storepb.LabelMatcher_NEQ, Name: "replica", Value: "0"}, 1},
		{storepb.LabelMatcher{Type: storepb.LabelMatcher_RE, Name: "replica", Value: "0|own"}, 6},
		{storepb.LabelMatcher{Type: storepb.LabelMatcher_NRE, Name: "zone", Value: "[1-4]"}, 2},
	} {
		names, _, _, err := f.series(t, &storepb.SeriesRequest{Matchers: []storepb.LabelMatcher{c.m, {Type: storepb.LabelMatcher_RE, Name: "__name__", Value: "m|h"}}, SkipChunks: true})
		require.NoError(t, err)
		require.Len(t, names, c.want, "%s", &c.m)
	}

	// Shards are disjoint and together all.
	total := 0
	for i := range int64(3) {
		names, _, _, err := f.series(t, &storepb.SeriesRequest{Matchers: m, ShardInfo: &storepb.ShardInfo{ShardIndex: i, TotalShards: 3, By: true, Labels: []string{"zone"}}})
		require.NoError(t, err)
		total += len(names)
	}
	require.Equal(t, 5, total)

	_, _, _, err = f.series(t, &storepb.SeriesRequest{Matchers: []storepb.LabelMatcher{{Type: storepb.LabelMatcher_RE, Name: "a", Value: "("}}})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	names, _, _, err = f.series(t, &storepb.SeriesRequest{Matchers: m, MinTime: at(-10 * time.Hour), MaxTime: at(-9 * time.Hour)})
	require.NoError(t, err)
	require.Empty(t, names)
	small := newFixture(t, func(f *fixture) { f.opts.MaxBytes = 10 })
	_, _, _, err = small.series(t, &storepb.SeriesRequest{Matchers: m})
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
}

func TestLabels(t *testing.T) {
	f := newFixture(t)
	client := storepb.NewStoreClient(f.conn)
	names := func(r storepb.LabelNamesRequest) []string {
		r.Start, r.End = at(-24*time.Hour), at(0)
		got, err := client.LabelNames(t.Context(), &r)
		require.NoError(t, err)
		return got.Names
	}
	require.Equal(t, []string{"__name__", "replica", "replica_of", "tenant", "zone"}, names(storepb.LabelNamesRequest{}))
	require.Equal(t, []string{"__name__", "replica", "tenant"}, names(storepb.LabelNamesRequest{Matchers: []storepb.LabelMatcher{eq("__name__", "h")}}))
	require.Equal(t, []string{"__name__"}, names(storepb.LabelNamesRequest{WithoutReplicaLabels: []string{"replica"}, Limit: 1}))
	require.Empty(t, names(storepb.LabelNamesRequest{Matchers: []storepb.LabelMatcher{eq("tenant", "b")}}))
	values := func(r storepb.LabelValuesRequest) []string {
		r.Start, r.End = at(-24*time.Hour), at(0)
		got, err := client.LabelValues(t.Context(), &r)
		require.NoError(t, err)
		return got.Values
	}
	require.Equal(t, []string{"0", "1"}, values(storepb.LabelValuesRequest{Label: "replica_of"}))
	require.Equal(t, []string{"0", "own"}, values(storepb.LabelValuesRequest{Label: "replica"}))
	require.Equal(t, []string{"anonymous"}, values(storepb.LabelValuesRequest{Label: "tenant"}))
	require.Empty(t, values(storepb.LabelValuesRequest{Label: "replica", WithoutReplicaLabels: []string{"replica"}}))
	_, err := client.LabelValues(t.Context(), &storepb.LabelValuesRequest{})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

// warner answers nothing, with a warning, or fails.
type warner struct {
	metrics.Source
	err error
}

func (w warner) SelectSeries(ctx context.Context, _ string, _ metrics.Select) iter.Seq2[*metrics.ChunkSeries, error] {
	return func(yield func(*metrics.ChunkSeries, error) bool) {
		if w.err != nil {
			yield(nil, w.err)
			return
		}
		metrics.AddWarning(ctx, errors.New("block 1 is damaged"))
	}
}

func TestPartialResponse(t *testing.T) {
	f := newFixture(t, func(f *fixture) { f.opts.Sources = append(f.opts.Sources, warner{}) })
	m := []storepb.LabelMatcher{eq("__name__", "m")}
	names, _, warnings, err := f.series(t, &storepb.SeriesRequest{Matchers: m})
	require.NoError(t, err)
	require.Len(t, names, 5)
	require.Equal(t, []string{"block 1 is damaged"}, warnings)
	for _, r := range []*storepb.SeriesRequest{{Matchers: m, PartialResponseStrategy: storepb.PartialResponseStrategy_ABORT}, {Matchers: m, PartialResponseDisabled: true}} {
		_, _, _, err = f.series(t, r)
		require.Equal(t, codes.Aborted, status.Code(err))
	}
	broken := newFixture(t, func(f *fixture) { f.opts.Sources = append(f.opts.Sources, warner{err: errors.New("disk on fire")}) })
	_, _, _, err = broken.series(t, &storepb.SeriesRequest{Matchers: m})
	require.Equal(t, codes.Internal, status.Code(err))
	require.ErrorContains(t, err, "disk on fire")
}

// One Hune is the store of another: what PromQL says over the wire is what it says here. One that is down
// is left out with a warning; what can't match isn't asked.
func TestHuneAsAStore(t *testing.T) {
	f := newFixture(t)
	down, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, down.Close())
	connect := func(addrs ...string) *storeapi.Client {
		endpoints := make([]metrics.StoreEndpoint, len(addrs))
		for i, a := range addrs {
			endpoints[i].Address = a
		}
		return newClient(t, nil, endpoints...)
	}
	client := connect(f.addr)
	e := metrics.NewEngine(metrics.EngineOptions{Config: metrics.DefaultConfig().Query, Logger: slog.New(slog.DiscardHandler)})
	run := func(expr string, sources ...metrics.Source) *metrics.Result {
		t.Helper()
		r, err := e.Run(t.Context(), tenant.Anonymous, &metrics.Query{Kind: metrics.Range, Expr: expr, Start: at(-time.Hour), End: at(0), Step: 30_000}, sources...)
		require.NoError(t, err)
		return r
	}
	r := run("m", client)
	require.Empty(t, r.Value.(promql.Matrix))
	require.Contains(t, r.Warnings.AsErrors()[0].Error(), "has not answered yet")
	client.Refresh(t.Context())
	for _, expr := range []string{"sum by (zone) (rate(m[5m]))", "sum without (replica, tenant) (m)", "histogram_quantile(0.9, sum(h))", "count by (zone) ({__name__=~\"m|h\"})", "max_over_time(sum(m)[10m:1m])"} {
		local, remote := run(expr, f.heads, f.store), run(expr, client)
		require.NotEmpty(t, local.Value.(promql.Matrix), expr)
		require.Equal(t, local.Value.String(), remote.Value.String(), expr)
		require.Equal(t, local.Warnings, remote.Warnings)
	}
	names, err := client.LabelNames(t.Context(), tenant.Anonymous, metrics.Select{Start: at(-time.Hour), End: at(0)})
	require.NoError(t, err)
	require.Equal(t, []string{"__name__", "replica", "replica_of", "tenant", "zone"}, names)
	values, err := client.LabelValues(t.Context(), tenant.Anonymous, "zone", metrics.Select{Start: at(-time.Hour), End: at(0), Limit: 2})
	require.NoError(t, err)
	require.Equal(t, []string{"0", "1"}, values)
	require.Empty(t, run("m{tenant=\"other\"}", client).Value.(promql.Matrix))
	count := 0
	for s, err := range client.SelectSeries(t.Context(), "b", metrics.Select{Matchers: []metrics.Matcher{{Name: "__name__", Value: "m"}}, Start: at(-time.Hour), End: at(0)}) {
		require.NoError(t, err)
		_ = s
		count++
	}
	require.Zero(t, count, "tenants are apart")

	both := connect(f.addr, down.Addr().String())
	both.Refresh(t.Context())
	r = run("sum(m)", both)
	require.NotEmpty(t, r.Value.(promql.Matrix))
	require.Len(t, r.Warnings, 1)
	require.Contains(t, r.Warnings.AsErrors()[0].Error(), down.Addr().String()+" is left out of the answer")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.LabelNames(ctx, tenant.Anonymous, metrics.Select{Start: at(-time.Hour), End: at(0)})
	require.ErrorIs(t, err, context.Canceled)
}

// Aggregates go over the wire as they are.
func TestAggregates(t *testing.T) {
	c := chunkenc.NewXORChunk()
	app, err := c.Appender()
	require.NoError(t, err)
	app.Append(1, 2)
	all, ok, err := storeapi.ToChunk(&storepb.AggrChunk{MinTime: 1, MaxTime: 1, Count: &storepb.Chunk{Data: c.Bytes()}, Max: &storepb.Chunk{Data: c.Bytes()}})
	require.NoError(t, err)
	require.True(t, ok)
	back, err := storeapi.FromChunk(all, []storepb.Aggr{storepb.Aggr_RAW, storepb.Aggr_COUNT, storepb.Aggr_SUM, storepb.Aggr_MAX})
	require.NoError(t, err)
	require.Equal(t, c.Bytes(), back.Count.Data)
	require.Equal(t, c.Bytes(), back.Max.Data)
	require.Nil(t, back.Sum)
	require.Nil(t, back.Raw)
	_, ok, err = storeapi.ToChunk(&storepb.AggrChunk{})
	require.NoError(t, err)
	require.False(t, ok)
	for _, bad := range []*storepb.AggrChunk{{Raw: &storepb.Chunk{Type: 9, Data: []byte{0, 0}}}, {Raw: &storepb.Chunk{Data: []byte{1}}}, {Sum: &storepb.Chunk{Type: 7, Data: []byte{0, 0}}}} {
		_, _, err = storeapi.ToChunk(bad)
		require.Error(t, err)
	}
}
