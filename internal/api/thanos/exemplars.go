package thanos

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/thanos-io/thanos/pkg/exemplars/exemplarspb"
	"github.com/thanos-io/thanos/pkg/metadata/metadatapb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/metrics/storeapi"
	"github.com/hune-io/hune/internal/tenant"
)

// Exemplars implements exemplarspb.ExemplarsServer: those of the series that the selectors of an expression select, with
// external labels.
func (s *Server) Exemplars(r *exemplarspb.ExemplarsRequest, stream exemplarspb.Exemplars_ExemplarsServer) error {
	id, err := tenant.FromContext(stream.Context())
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	expr, err := metrics.ParseQuery(r.Query)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	ctx, warnings := metrics.WithWarnings(stream.Context())
	var found []metrics.ExemplarSeries
	for _, set := range parser.ExtractSelectors(expr) {
		part, err := s.exemplarsOf(ctx, id, r.Start, r.End, set)
		if err != nil {
			return asStatus(err)
		}
		found = append(found, part...)
	}
	for _, w := range warnings().AsErrors() {
		if aborts(r.PartialResponseStrategy, false) {
			return status.Error(codes.Aborted, w.Error())
		}
		if err := stream.Send(exemplarspb.NewWarningExemplarsResponse(w)); err != nil {
			return err
		}
	}
	for _, e := range metrics.MergeExemplars(found) {
		if err := stream.Send(exemplarspb.NewExemplarsResponse(storeapi.FromExemplars(e))); err != nil {
			return err
		}
	}
	return nil
}

// exemplarsOf reads those of the series that one selector selects.
func (s *Server) exemplarsOf(ctx context.Context, id string, start, end int64, set []*labels.Matcher) (out []metrics.ExemplarSeries, err error) {
	sel := s.among(ctx, id, set)
	if len(sel.Matchers) == 0 {
		sel.Matchers = []metrics.Matcher{{Type: labels.MatchRegexp, Name: labels.MetricName, Value: ".+"}}
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, src := range sel.sources {
		found, err := src.Exemplars(ctx, id, start, end, [][]metrics.Matcher{sel.Matchers})
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			var ok bool
			if e.Labels, ok = sel.extend(e.Labels, b, nil); ok {
				out = append(out, e)
			}
		}
	}
	return out, nil
}

// metadataBatch bounds the metrics of one message: help may have a kilobyte.
const metadataBatch = 500

// MetricMetadata implements metadatapb.MetadataServer. As in Thanos a negative limit is none, and with 0 there is nothing.
func (s *Server) MetricMetadata(r *metadatapb.MetricMetadataRequest, stream metadatapb.Metadata_MetricMetadataServer) error {
	id, err := tenant.FromContext(stream.Context())
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if r.Limit == 0 {
		return nil
	}
	ctx, warnings := metrics.WithWarnings(stream.Context())
	all := map[string][]metadata.Metadata{}
	for _, src := range s.among(ctx, id, nil).sources {
		found, err := src.Metadata(ctx, id, r.Metric, int(max(r.Limit, 0)))
		if err != nil {
			return asStatus(err)
		}
		for name, list := range found {
			for _, m := range list {
				if !slices.Contains(all[name], m) {
					all[name] = append(all[name], m)
				}
			}
		}
	}
	for _, w := range warnings().AsErrors() {
		if aborts(r.PartialResponseStrategy, false) {
			return status.Error(codes.Aborted, w.Error())
		}
		if err := stream.Send(metadatapb.NewWarningMetadataResponse(w)); err != nil {
			return err
		}
	}
	for _, part := range storeapi.FromMetadata(all, metadataBatch) {
		if err := stream.Send(metadatapb.NewMetricMetadataResponse(part)); err != nil {
			return err
		}
	}
	return nil
}
