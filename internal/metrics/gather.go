package metrics

import (
	"context"
	"slices"
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

// GatherLabels collects names of labels, or values of the one that is named, from sources.
func GatherLabels(ctx context.Context, tenant, name string, s Select, sources ...Source) ([]string, error) {
	var all []string
	for _, src := range sources {
		var found []string
		var err error
		if name == "" {
			found, err = src.LabelNames(ctx, tenant, s)
		} else {
			found, err = src.LabelValues(ctx, tenant, name, s)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if s.Limit > 0 && len(all) > s.Limit {
		all = all[:s.Limit]
	}
	return all, nil
}

// AddWarning leaves a warning for the user of a query, if anyone listens: a source calls it when its answer
// is not whole.
func AddWarning(ctx context.Context, err error) { addWarning(ctx, err) }

// MergeSeries merges lists sorted by labels to one. The chunks of a series that several lists have are put
// together.
func MergeSeries(lists [][]ChunkSeries) []ChunkSeries { return mergeSeries(lists) }
