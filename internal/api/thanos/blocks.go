package thanos

import (
	"context"
	"math"

	"github.com/gogo/protobuf/proto"
	"github.com/gogo/protobuf/types"
	"github.com/oklog/ulid/v2"
	"github.com/thanos-io/thanos/pkg/store/hintspb"
	"github.com/thanos-io/thanos/pkg/store/storepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/metrics/storeapi"
	"github.com/hune-io/hune/internal/tenant"
)

// Blocks answers other stores of the cluster for blocks that they name. *metrics.BlockStore does.
type Blocks interface {
	SeriesOf(ctx context.Context, tenant string, s metrics.BlockSelect) ([]metrics.ChunkSeries, []ulid.ULID, error)
	LabelsOf(ctx context.Context, tenant, label string, s metrics.BlockSelect) ([]string, []ulid.ULID, error)
}

// asksForBlocks reports whether another store of the cluster asks.
func asksForBlocks(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, storeapi.BlocksHeader)) > 0
}

// blockSelection converts what such requests have in common. The hints are decoded into message, of which
// matchers returns those of blocks.
func (s *Server) blockSelection(ctx context.Context, ms []storepb.LabelMatcher, start, end, limit int64, hints *types.Any, message proto.Message,
	matchers func() []storepb.LabelMatcher,
) (id string, sel metrics.BlockSelect, err error) {
	if s.opts.Blocks == nil {
		return "", sel, status.Error(codes.Unimplemented, "the role store does not run in this process")
	}
	if id, err = tenant.FromContext(ctx); err != nil {
		return "", sel, status.Error(codes.InvalidArgument, err.Error())
	}
	sel.Select = metrics.Select{Start: start, End: end, Limit: int(min(max(limit, 0), math.MaxInt32))}
	if sel.Matchers, err = storeapi.ToMatchers(ms); err == nil {
		if err = types.UnmarshalAny(hints, message); err == nil {
			err = storeapi.ToBlocks(matchers(), &sel)
		}
	}
	if err != nil {
		return "", sel, status.Error(codes.InvalidArgument, err.Error())
	}
	return id, sel, nil
}

// blockSeries answers a request for series of blocks, and says of which blocks these are.
func (s *Server) blockSeries(r *storepb.SeriesRequest, stream storepb.Store_SeriesServer) error {
	var hints hintspb.SeriesRequestHints
	id, sel, err := s.blockSelection(stream.Context(), r.Matchers, r.MinTime, r.MaxTime, r.Limit, r.Hints, &hints,
		func() []storepb.LabelMatcher { return hints.BlockMatchers })
	if err != nil {
		return err
	}
	sel.SkipChunks = r.SkipChunks
	found, answered, err := s.opts.Blocks.SeriesOf(stream.Context(), id, sel)
	if err != nil {
		return asStatus(err)
	}
	if err := send(stream, found, r); err != nil {
		return err
	}
	var response hintspb.SeriesResponseHints
	for _, id := range answered {
		response.AddQueriedBlock(id)
	}
	// They come last: who has them has all.
	anything, err := types.MarshalAny(&response)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return stream.Send(storepb.NewHintsSeriesResponse(anything))
}

// blockNames answers a request for names of labels of blocks.
func (s *Server) blockNames(ctx context.Context, r *storepb.LabelNamesRequest) (*storepb.LabelNamesResponse, error) {
	var hints hintspb.LabelNamesRequestHints
	id, sel, err := s.blockSelection(ctx, r.Matchers, r.Start, r.End, r.Limit, r.Hints, &hints, func() []storepb.LabelMatcher { return hints.BlockMatchers })
	if err != nil {
		return nil, err
	}
	names, answered, err := s.opts.Blocks.LabelsOf(ctx, id, "", sel)
	if err != nil {
		return nil, asStatus(err)
	}
	var response hintspb.LabelNamesResponseHints
	for _, id := range answered {
		response.AddQueriedBlock(id)
	}
	anything, err := types.MarshalAny(&response)
	return &storepb.LabelNamesResponse{Names: names, Hints: anything}, err
}

// blockValues answers a request for values of a label of blocks.
func (s *Server) blockValues(ctx context.Context, r *storepb.LabelValuesRequest) (*storepb.LabelValuesResponse, error) {
	var hints hintspb.LabelValuesRequestHints
	id, sel, err := s.blockSelection(ctx, r.Matchers, r.Start, r.End, r.Limit, r.Hints, &hints, func() []storepb.LabelMatcher { return hints.BlockMatchers })
	if err != nil {
		return nil, err
	}
	values, answered, err := s.opts.Blocks.LabelsOf(ctx, id, r.Label, sel)
	if err != nil {
		return nil, asStatus(err)
	}
	var response hintspb.LabelValuesResponseHints
	for _, id := range answered {
		response.AddQueriedBlock(id)
	}
	anything, err := types.MarshalAny(&response)
	return &storepb.LabelValuesResponse{Values: values, Hints: anything}, err
}
