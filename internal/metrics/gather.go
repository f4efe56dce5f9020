package metrics

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Gather collects a selection of a tenant from sources, merged and sorted by labels; aggregates of
// downsampled data stay as they are. It is an Unprocessable error when that takes more than budget bytes of
// chunks (0: no bound).
func Gather(ctx context.Context, tenant string, s Select, budget int64, sources ...Source) ([]ChunkSeries, error) {
	r := &querier{tenant: tenant, sources: sources, budget: budget, resolution: s.MaxResolution}
	found, err := r.fetch(ctx, s)
	if err == nil && s.Limit > 0 && len(found) > s.Limit {
		found = found[:s.Limit]
	}
	return found, err
}

// GatherLabels collects names of labels, or values of the one that is named, from sources, from all at the same time.
func GatherLabels(ctx context.Context, tenant, name string, s Select, sources ...Source) ([]string, error) {
	lists := make([][]string, len(sources))
	g, gctx := errgroup.WithContext(ctx)
	for i, src := range sources {
		g.Go(func() (err error) {
			if name == "" {
				lists[i], err = src.LabelNames(gctx, tenant, s)
			} else {
				lists[i], err = src.LabelValues(gctx, tenant, name, s)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return joinLabels(lists, s), nil
}

// AddWarning leaves a warning for the user of a query, if anyone listens: a source calls it when its answer
// is not whole.
func AddWarning(ctx context.Context, err error) { addWarning(ctx, err) }

// MergeSeries merges lists sorted by labels to one. The chunks of a series that several lists have are put
// together.
func MergeSeries(lists [][]ChunkSeries) []ChunkSeries { return mergeSeries(lists) }
