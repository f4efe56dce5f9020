package logql

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// classedSource gives the errors of a source a class, Internal where they have none, so that they are
// told from those of the query, which are the user's.
type classedSource struct{ src logs.Source }

func ofSource(err error) error {
	var e *fault.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return fault.New(fault.ClassOf(err), err)
}

func (s classedSource) SelectRows(ctx context.Context, tenant string, sel logs.Select) iter.Seq2[*logs.Rows, error] {
	rows := s.src.SelectRows(ctx, tenant, sel)
	return func(yield func(*logs.Rows, error) bool) {
		for r, err := range rows {
			if !yield(r, ofSource(err)) {
				return
			}
		}
	}
}

func (s classedSource) Series(ctx context.Context, tenant string, start, end int64, matchers [][]logs.Matcher) ([]labels.Labels, error) {
	found, err := s.src.Series(ctx, tenant, start, end, matchers)
	return found, ofSource(err)
}

// LabelStrings implements logs.LabelSource.
func (s classedSource) LabelStrings(ctx context.Context, tenant string, start, end int64, matchers [][]logs.Matcher, name string) ([]string, error) {
	found, err := logs.LabelStrings(ctx, s.src, tenant, start, end, matchers, name)
	return found, ofSource(err)
}

func (s classedSource) Volume(ctx context.Context, tenant string, q logs.VolumeQuery) ([]logs.Volume, error) {
	found, err := s.src.Volume(ctx, tenant, q)
	return found, ofSource(err)
}

func (s classedSource) Scan(ctx context.Context, tenant string, sel logs.Select, visit func(context.Context, *logs.Page) error) error {
	// Errors of visit are the query's own and come back as they are; what else ends the scan is the
	// source's.
	var visited atomic.Pointer[error]
	err := s.src.Scan(ctx, tenant, sel, func(ctx context.Context, p *logs.Page) error {
		err := visit(ctx, p)
		if err != nil {
			visited.CompareAndSwap(nil, &err)
		}
		return err
	})
	if first := visited.Load(); first != nil {
		return *first
	}
	return ofSource(err)
}

func (s classedSource) Extents(ctx context.Context, tenant string, start, end int64, matchers []logs.Matcher) ([]logs.Extent, error) {
	found, err := s.src.Extents(ctx, tenant, start, end, matchers)
	return found, ofSource(err)
}

func (s classedSource) Estimate(ctx context.Context, tenant string, sel logs.Select) (logs.Estimate, error) {
	e, err := s.src.Estimate(ctx, tenant, sel)
	return e, ofSource(err)
}
