package thanos

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	prommeta "github.com/prometheus/prometheus/model/metadata"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/exemplars/exemplarspb"
	"github.com/thanos-io/thanos/pkg/info/infopb"
	"github.com/thanos-io/thanos/pkg/metadata/metadatapb"
	"github.com/thanos-io/thanos/pkg/store/storepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/metrics/storeapi"
	"github.com/hune-io/hune/internal/tenant"
)

// described is a series with an exemplar and a description.
func described(zone, trace, help string) *metrics.Batch {
	return &metrics.Batch{Series: []metrics.Series{{Labels: labels.FromStrings("__name__", "m", "zone", zone),
		Samples:   []metrics.Sample{{T: at(-time.Minute), V: 1}},
		Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", trace), Value: 2, Ts: at(-time.Minute), HasTs: true}},
		Metadata:  &prommeta.Metadata{Type: "gauge", Help: help, Unit: "bytes"}}}}
}

// exemplars asks with Thanos's own client and returns the series, each with the traces of its exemplars, and warnings.
func (f *fixture) exemplars(ctx context.Context, query string, s storepb.PartialResponseStrategy) (found map[string]string, warnings []string, err error) {
	stream, err := exemplarspb.NewExemplarsClient(f.conn).Exemplars(ctx, &exemplarspb.ExemplarsRequest{Query: query, Start: at(-time.Hour), End: at(0), PartialResponseStrategy: s})
	found = map[string]string{}
	for err == nil {
		var r *exemplarspb.ExemplarsResponse
		if r, err = stream.Recv(); err != nil {
			break
		}
		if w := r.GetWarning(); w != "" {
			warnings = append(warnings, w)
		}
		if d := r.GetData(); d != nil {
			for _, e := range d.Exemplars {
				found[storeapi.ToLabels(d.SeriesLabels.Labels).String()] += e.Labels.Labels[0].Value + " "
			}
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return found, warnings, err
}

// A Thanos Querier gets exemplars with external labels, and drops of its question what is said of these.
func TestExemplars(t *testing.T) {
	f := newFixture(t)
	_, err := f.heads.Append(t.Context(), tenant.Anonymous, described("1", "t1", "help"))
	require.NoError(t, err)
	one := map[string]string{`{__name__="m", replica="0", tenant="anonymous", zone="1"}`: "t1 "}
	for query, want := range map[string]map[string]string{
		`m`:                            one,
		`sum(rate(m{zone="1"}[5m]))`:   one,
		`m{tenant="anonymous"}`:        one,
		`{tenant="anonymous"}`:         one,
		`{zone="1"} + {zone=~"1|2"}`:   one,
		`m{tenant="else"}`:             {},
		`m{replica!="0"} + m{zone=""}`: {},
		`other`:                        {},
		`1`:                            {},
	} {
		got, warnings, err := f.exemplars(t.Context(), query, storepb.PartialResponseStrategy_WARN)
		require.NoError(t, err, query)
		require.Empty(t, warnings, query)
		require.Equal(t, want, got, query)
	}
	_, _, err = f.exemplars(t.Context(), "m{", storepb.PartialResponseStrategy_WARN)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

// metadata asks with Thanos's own client.
func (f *fixture) metadata(ctx context.Context, r *metadatapb.MetricMetadataRequest) (map[string][]metadatapb.Meta, error) {
	stream, err := metadatapb.NewMetadataClient(f.conn).MetricMetadata(ctx, r)
	out := map[string][]metadatapb.Meta{}
	for err == nil {
		var m *metadatapb.MetricMetadataResponse
		if m, err = stream.Recv(); err != nil {
			break
		}
		for name, entry := range m.GetMetadata().Metadata {
			out[name] = append(out[name], entry.Metas...)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return out, err
}

func TestMetricMetadata(t *testing.T) {
	f := newFixture(t)
	b := described("1", "t1", "help")
	b.Series = append(b.Series, metrics.Series{Labels: labels.FromStrings("__name__", "z"), Metadata: &prommeta.Metadata{Type: "counter", Help: "of z"}})
	_, err := f.heads.Append(t.Context(), tenant.Anonymous, b)
	require.NoError(t, err)
	m, z := []metadatapb.Meta{{Type: "gauge", Help: "help", Unit: "bytes"}}, []metadatapb.Meta{{Type: "counter", Help: "of z"}}
	for _, c := range []struct {
		metric string
		limit  int32
		want   map[string][]metadatapb.Meta
	}{
		{"", -1, map[string][]metadatapb.Meta{"m": m, "z": z}},
		{"", 1, map[string][]metadatapb.Meta{"m": m}},
		{"", 0, map[string][]metadatapb.Meta{}},
		{"z", -1, map[string][]metadatapb.Meta{"z": z}},
		{"other", -1, map[string][]metadatapb.Meta{}},
	} {
		got, err := f.metadata(t.Context(), &metadatapb.MetricMetadataRequest{Metric: c.metric, Limit: c.limit})
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%q, %d", c.metric, c.limit)
	}
	info, err := infopb.NewInfoClient(f.conn).Info(t.Context(), &infopb.InfoRequest{})
	require.NoError(t, err)
	require.Equal(t, &infopb.ExemplarsInfo{MinTime: math.MinInt64, MaxTime: math.MaxInt64}, info.Exemplars)
	require.NotNil(t, info.MetricMetadata)
}

// beside asks sources for exemplars and metadata, as the engine does for users.
func beside(t *testing.T, id string, query *metrics.Query, sources ...metrics.Source) (*metrics.Result, error) {
	t.Helper()
	e := metrics.NewEngine(metrics.EngineOptions{Config: metrics.DefaultConfig().Query, Logger: slog.New(slog.DiscardHandler)})
	return e.Run(t.Context(), id, query, sources...)
}

// Exemplars and metadata of other servers are in answers, with their external labels; a server that is gone is a warning, or an
// error where an answer must be whole.
func TestExemplarsOfEndpoints(t *testing.T) {
	far := newFixture(t)
	_, err := far.heads.Append(t.Context(), tenant.Anonymous, described("1", "t1", "far"))
	require.NoError(t, err)
	lost := newFixture(t, func(f *fixture) {
		_, err := f.heads.Append(t.Context(), tenant.Anonymous, described("1", "t2", "lost"))
		require.NoError(t, err)
	})
	client := newClient(t, nil, metrics.StoreEndpoint{Address: far.addr}, metrics.StoreEndpoint{Address: lost.addr})
	client.Refresh(t.Context())
	q := func(expr string) *metrics.Query {
		return &metrics.Query{Kind: metrics.Exemplars, Expr: expr, Start: at(-time.Hour), End: at(0)}
	}
	r, err := beside(t, tenant.Anonymous, q(`m{tenant="anonymous"}`), client)
	require.NoError(t, err)
	require.Empty(t, r.Warnings)
	require.Len(t, r.Exemplars, 1, "of two servers that say of themselves that they are the same")
	require.Equal(t, labels.FromStrings("__name__", "m", "replica", "0", "tenant", "anonymous", "zone", "1"), r.Exemplars[0].Labels)
	require.Len(t, r.Exemplars[0].Exemplars, 2)
	require.Equal(t, labels.FromStrings("trace_id", "t1"), r.Exemplars[0].Exemplars[0].Labels)

	before := far.asked.Load()
	r, err = beside(t, tenant.Anonymous, q(`m{tenant="else"}`), client)
	require.NoError(t, err)
	require.Empty(t, r.Exemplars)
	require.Equal(t, before, far.asked.Load(), "its labels can't match: it isn't asked")

	r, err = beside(t, tenant.Anonymous, &metrics.Query{Kind: metrics.Metadata}, far.heads, client)
	require.NoError(t, err)
	require.Equal(t, []prommeta.Metadata{{Type: "gauge", Help: "far", Unit: "bytes"}, {Type: "gauge", Help: "lost", Unit: "bytes"}}, r.Metadata["m"])

	gone := newClient(t, nil, metrics.StoreEndpoint{Address: far.addr}, metrics.StoreEndpoint{Address: nobody})
	gone.Refresh(t.Context())
	for _, query := range []*metrics.Query{q("m"), {Kind: metrics.Metadata, Metric: "m"}} {
		r, err = beside(t, tenant.Anonymous, query, gone)
		require.NoError(t, err)
		require.ErrorContains(t, r.Warnings.AsErrors()[0], "store endpoint "+nobody+" is left out of the answer")
		require.Equal(t, 1, len(r.Exemplars)+len(r.Metadata))
		query.WholeAnswer = true
		_, err = beside(t, tenant.Anonymous, query, gone)
		require.ErrorContains(t, err, "partial_response=false")
	}
}

// Members show each other's exemplars and metadata as they were written.
func TestExemplarsOfMembers(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	a, b := newMember(t, bkt), newMember(t, bkt)
	push(t, a, "x", described("1", "t1", "one"))
	push(t, b, "x", described("1", "t2", "two"))
	a.knows(b)
	r, err := beside(t, "x", &metrics.Query{Kind: metrics.Exemplars, Expr: "m", Start: at(-time.Hour), End: at(0)}, a.heads, a.store, a.client)
	require.NoError(t, err)
	require.Empty(t, r.Warnings)
	require.Len(t, r.Exemplars, 1)
	require.Equal(t, labels.FromStrings("__name__", "m", "zone", "1"), r.Exemplars[0].Labels)
	require.Len(t, r.Exemplars[0].Exemplars, 2)
	r, err = beside(t, "x", &metrics.Query{Kind: metrics.Metadata}, a.heads, a.store, a.client)
	require.NoError(t, err)
	require.Len(t, r.Metadata["m"], 2)
	r, err = beside(t, "y", &metrics.Query{Kind: metrics.Metadata}, a.heads, a.store, a.client)
	require.NoError(t, err)
	require.Empty(t, r.Metadata, "of another tenant")

	b.stop()
	r, err = beside(t, "x", &metrics.Query{Kind: metrics.Metadata}, a.heads, a.store, a.client)
	require.NoError(t, err)
	require.Len(t, r.Metadata["m"], 1)
	require.ErrorContains(t, r.Warnings.AsErrors()[0], "cluster member "+b.addr+" is left out of the answer")
}
