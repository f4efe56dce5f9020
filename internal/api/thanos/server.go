// Package thanos is the edge for Thanos's StoreAPI and its kin for exemplars and metadata: a Thanos Querier, or another Hune,
// can use this process as one of its stores. It answers from the heads and blocks of the process, with the external labels of the
// blocks that Hune ships (tenant, replica and those of the configuration) on every series that has no such
// label of its own.
//
// Other members of the cluster, which read the bucket themselves, are answered from the heads alone, and without those
// labels; or from the blocks alone that they name, which this process has open.
//
// The tenant is that of the request's context. Info is asked without one.
package thanos

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/thanos-io/thanos/pkg/exemplars/exemplarspb"
	"github.com/thanos-io/thanos/pkg/info/infopb"
	"github.com/thanos-io/thanos/pkg/metadata/metadatapb"
	"github.com/thanos-io/thanos/pkg/rules/rulespb"
	"github.com/thanos-io/thanos/pkg/store/labelpb"
	"github.com/thanos-io/thanos/pkg/store/storepb"
	"github.com/thanos-io/thanos/pkg/targets/targetspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/metrics/storeapi"
	"github.com/hune-io/hune/internal/tenant"
)

// Options are what the program gives New.
type Options struct {
	Sources []metrics.Source
	// Heads are those of them that answer to other members of the cluster: what is not in the bucket yet.
	Heads []metrics.Source
	// Blocks answers to the other members for single blocks. Nil: this process has none open.
	Blocks Blocks
	// Rules and Targets are Prometheus's API about the rules that this process evaluates and the targets that it scrapes. Nil: it has
	// none, and the service isn't there.
	Rules, Targets http.Handler
	// MinTime returns the start of the oldest data, in milliseconds; false: there are none.
	MinTime func() (int64, bool)
	// External returns the external labels of a tenant's blocks, without a tenant those that all have.
	External func(tenant string) labels.Labels
	// Tenants says that requests name their tenant: what Info tells to anybody has no tenant's name then.
	Tenants bool
	// MaxBytes bounds the chunks of one answer. 0 is no bound.
	MaxBytes int64
}

// Server implements the services thanos.Store, thanos.Exemplars, thanos.Metadata and thanos.info.Info, and has those of thanos.Rules
// and thanos.Targets.
type Server struct{ opts Options }

var (
	_ storepb.StoreServer         = (*Server)(nil)
	_ infopb.InfoServer           = (*Server)(nil)
	_ exemplarspb.ExemplarsServer = (*Server)(nil)
	_ metadatapb.MetadataServer   = (*Server)(nil)
)

// New returns a server.
func New(opts Options) *Server { return &Server{opts} }

// Register adds the services to a gRPC server.
func (s *Server) Register(g *grpc.Server) {
	storepb.RegisterStoreServer(g, s)
	infopb.RegisterInfoServer(g, s)
	exemplarspb.RegisterExemplarsServer(g, s)
	metadatapb.RegisterMetadataServer(g, s)
	if s.opts.Rules != nil {
		rulespb.RegisterRulesServer(g, rulesServer{s})
	}
	if s.opts.Targets != nil {
		targetspb.RegisterTargetsServer(g, targetsServer{s})
	}
}

// Info implements infopb.InfoServer.
func (s *Server) Info(_ context.Context, _ *infopb.InfoRequest) (*infopb.InfoResponse, error) {
	id := ""
	if !s.opts.Tenants {
		id = tenant.Anonymous
	}
	mint := int64(math.MaxInt64)
	if t, ok := s.opts.MinTime(); ok {
		mint = t
	}
	sets := labelpb.ZLabelSetsFromPromLabels(s.opts.External(id))
	info := &infopb.InfoResponse{LabelSets: sets, ComponentType: "store", Store: &infopb.StoreInfo{
		MinTime: mint, MaxTime: math.MaxInt64, SupportsSharding: true, SupportsWithoutReplicaLabels: true,
		TsdbInfos: []infopb.TSDBInfo{{Labels: sets[0], MinTime: mint, MaxTime: math.MaxInt64}},
	}, Exemplars: &infopb.ExemplarsInfo{MinTime: math.MinInt64, MaxTime: math.MaxInt64}, MetricMetadata: &infopb.MetricMetadataInfo{}}
	if s.opts.Rules != nil {
		info.Rules = &infopb.RulesInfo{}
	}
	if s.opts.Targets != nil {
		info.Targets = &infopb.TargetsInfo{}
	}
	return info, nil
}

// selection is a request on its way to the sources.
type selection struct {
	tenant   string
	sources  []metrics.Source
	external labels.Labels
	metrics.Select
	after []*labels.Matcher // of external labels: asked when those are there
}

// selection converts what requests have in common. Errors are statuses.
func (s *Server) selection(ctx context.Context, ms []storepb.LabelMatcher, start, end, limit int64) (*selection, error) {
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	matchers, err := storeapi.ToMatchers(ms)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	compiled, err := metrics.ToMatchers(matchers)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	out := s.among(ctx, id, compiled)
	out.Start, out.End = start, end
	if limit > 0 {
		out.Limit = int(min(limit, math.MaxInt32))
	}
	return out, nil
}

// among says where to look for series of a tenant that pass the matchers, and by which of these.
func (s *Server) among(ctx context.Context, id string, ms []*labels.Matcher) *selection {
	out := &selection{tenant: id, sources: s.opts.Sources, external: s.opts.External(id)}
	if len(metadata.ValueFromIncomingContext(ctx, storeapi.HeadsHeader)) > 0 {
		out.sources, out.external = s.opts.Heads, labels.EmptyLabels()
	}
	for _, m := range ms {
		v := out.external.Get(m.Name)
		if v != "" {
			out.after = append(out.after, m)
		}
		// What series without the label have passes: those with one of their own are asked afterwards.
		if v == "" || !m.Matches(v) {
			out.Matchers = append(out.Matchers, metrics.FromMatchers([]*labels.Matcher{m})...)
		}
	}
	return out
}

// extend adds external labels and takes replica labels away; false says that the series is not wanted.
func (sel *selection) extend(ls labels.Labels, b *labels.Builder, without []string) (labels.Labels, bool) {
	b.Reset(ls)
	sel.external.Range(func(l labels.Label) {
		if !ls.Has(l.Name) {
			b.Set(l.Name, l.Value)
		}
	})
	for _, m := range sel.after {
		if !m.Matches(b.Get(m.Name)) {
			return ls, false
		}
	}
	b.Del(without...)
	return b.Labels(), true
}

var shardBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 100); return &b }}

// Series implements storepb.StoreServer.
func (s *Server) Series(r *storepb.SeriesRequest, stream storepb.Store_SeriesServer) error {
	if asksForBlocks(stream.Context()) {
		return s.blockSeries(r, stream)
	}
	sel, err := s.selection(stream.Context(), r.Matchers, r.MinTime, r.MaxTime, 0)
	if err != nil {
		return err
	}
	sel.SkipChunks, sel.MaxResolution = r.SkipChunks, r.MaxResolutionWindow
	ctx, warnings := metrics.WithWarnings(stream.Context())
	found, err := metrics.Gather(ctx, sel.tenant, sel.Select, s.opts.MaxBytes, sel.sources...)
	if err != nil {
		return asStatus(err)
	}
	for _, w := range warnings().AsErrors() {
		if aborts(r.PartialResponseStrategy, r.PartialResponseDisabled) {
			return status.Error(codes.Aborted, w.Error())
		}
		if err := stream.Send(storepb.NewWarnSeriesResponse(w)); err != nil {
			return err
		}
	}
	shard := r.ShardInfo.Matcher(&shardBuffers)
	defer shard.Close()
	b := labels.NewBuilder(labels.EmptyLabels())
	wanted := found[:0]
	for _, f := range found {
		var ok bool
		if f.Labels, ok = sel.extend(f.Labels, b, r.WithoutReplicaLabels); ok && shard.MatchesZLabels(storeapi.FromLabels(f.Labels)) {
			wanted = append(wanted, f)
		}
	}
	// Labels that came or went may have changed the order.
	slices.SortStableFunc(wanted, func(a, b metrics.ChunkSeries) int { return labels.Compare(a.Labels, b.Labels) })
	if r.Limit > 0 && int64(len(wanted)) > r.Limit {
		wanted = wanted[:r.Limit]
	}
	return send(stream, wanted, r)
}

// send streams the series, several in a message where the client wants it.
func send(stream storepb.Store_SeriesServer, list []metrics.ChunkSeries, r *storepb.SeriesRequest) error {
	size := int(min(max(r.ResponseBatchSize, 1), maxBatch))
	for part := range slices.Chunk(list, size) {
		batch := make([]*storepb.Series, len(part))
		for i, s := range part {
			m := &storepb.Series{Labels: storeapi.FromLabels(s.Labels)}
			for _, c := range s.Chunks {
				chunk, err := storeapi.FromChunk(c, r.Aggregates)
				if err != nil {
					return status.Error(codes.Internal, fmt.Sprintf("series %s: %v", s.Labels, err))
				}
				m.Chunks = append(m.Chunks, chunk)
			}
			batch[i] = m
		}
		response := storepb.NewBatchResponse(batch)
		if size == 1 {
			response = storepb.NewSeriesResponse(batch[0])
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
	return nil
}

// maxBatch bounds the series of one message, whatever a client asks for.
const maxBatch = 1024

func aborts(s storepb.PartialResponseStrategy, disabled bool) bool {
	return disabled || s == storepb.PartialResponseStrategy_ABORT
}

// LabelNames implements storepb.StoreServer.
func (s *Server) LabelNames(ctx context.Context, r *storepb.LabelNamesRequest) (*storepb.LabelNamesResponse, error) {
	if asksForBlocks(ctx) {
		return s.blockNames(ctx, r)
	}
	sel, err := s.selection(ctx, r.Matchers, r.Start, r.End, 0)
	if err != nil {
		return nil, err
	}
	ctx, warnings := metrics.WithWarnings(ctx)
	names, err := metrics.GatherLabels(ctx, sel.tenant, "", sel.Select, sel.sources...)
	if err != nil {
		return nil, asStatus(err)
	}
	texts, err := partial(warnings().AsErrors(), aborts(r.PartialResponseStrategy, r.PartialResponseDisabled))
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		sel.external.Range(func(l labels.Label) { names = append(names, l.Name) })
	}
	return &storepb.LabelNamesResponse{Names: tidy(names, r.WithoutReplicaLabels, r.Limit), Warnings: texts}, nil
}

// LabelValues implements storepb.StoreServer.
func (s *Server) LabelValues(ctx context.Context, r *storepb.LabelValuesRequest) (*storepb.LabelValuesResponse, error) {
	if r.Label == "" {
		return nil, status.Error(codes.InvalidArgument, "label name parameter cannot be empty")
	}
	if asksForBlocks(ctx) {
		return s.blockValues(ctx, r)
	}
	if slices.Contains(r.WithoutReplicaLabels, r.Label) {
		return &storepb.LabelValuesResponse{}, nil
	}
	sel, err := s.selection(ctx, r.Matchers, r.Start, r.End, 0)
	if err != nil {
		return nil, err
	}
	ctx, warnings := metrics.WithWarnings(ctx)
	values, err := metrics.GatherLabels(ctx, sel.tenant, r.Label, sel.Select, sel.sources...)
	if err != nil {
		return nil, asStatus(err)
	}
	if v := sel.external.Get(r.Label); v != "" && !slices.ContainsFunc(sel.after, func(m *labels.Matcher) bool { return m.Name == r.Label && !m.Matches(v) }) {
		// It has the value where there is any series.
		names, err := metrics.GatherLabels(ctx, sel.tenant, "", sel.Select, sel.sources...)
		if err != nil {
			return nil, asStatus(err)
		}
		if len(names) > 0 {
			values = append(values, v)
		}
	}
	texts, err := partial(warnings().AsErrors(), aborts(r.PartialResponseStrategy, r.PartialResponseDisabled))
	if err != nil {
		return nil, err
	}
	return &storepb.LabelValuesResponse{Values: tidy(values, nil, r.Limit), Warnings: texts}, nil
}

// partial returns warnings as text, or as the error that a client wants of them.
func partial(warnings []error, abort bool) (texts []string, err error) {
	for _, w := range warnings {
		if abort {
			return nil, status.Error(codes.Aborted, w.Error())
		}
		texts = append(texts, w.Error())
	}
	return texts, nil
}

// tidy sorts names and leaves out what is not wanted.
func tidy(names, without []string, limit int64) []string {
	names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(without, n) })
	slices.Sort(names)
	names = slices.Compact(names)
	if limit > 0 && int64(len(names)) > limit {
		names = names[:limit]
	}
	return names
}

// asStatus gives errors of the sources their gRPC code.
func asStatus(err error) error {
	code := codes.Internal
	switch fault.ClassOf(err) {
	case fault.Invalid:
		code = codes.InvalidArgument
	case fault.Unprocessable, fault.TooLarge, fault.RateLimited:
		code = codes.ResourceExhausted
	case fault.Unavailable:
		code = codes.Unavailable
	case fault.Timeout:
		code = codes.DeadlineExceeded
	case fault.Canceled:
		code = codes.Canceled
	}
	return status.Error(code, err.Error())
}
