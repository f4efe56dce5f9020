package logql

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// brokenSource fails every question.
type brokenSource struct{ err error }

func (s brokenSource) SelectRows(context.Context, string, logs.Select) iter.Seq2[*logs.Rows, error] {
	return func(yield func(*logs.Rows, error) bool) { yield(nil, s.err) }
}

func (s brokenSource) Series(context.Context, string, int64, int64, [][]logs.Matcher) ([]labels.Labels, error) {
	return nil, s.err
}

func (s brokenSource) Volume(context.Context, string, logs.VolumeQuery) ([]logs.Volume, error) {
	return nil, s.err
}

func (s brokenSource) Scan(context.Context, string, logs.Select, func(context.Context, *logs.Page) error) error {
	return s.err
}

func (s brokenSource) Extents(context.Context, string, int64, int64, []logs.Matcher) ([]logs.Extent, error) {
	return nil, s.err
}

func (s brokenSource) Estimate(context.Context, string, logs.Select) (logs.Estimate, error) {
	return logs.Estimate{}, s.err
}

// A broken disk is not the user's fault: clients retry a 500 and give up at a 400.
func TestErrorsOfTheSourceKeepTheirClass(t *testing.T) {
	for _, c := range []struct {
		err  error
		want fault.Class
	}{
		{errors.New("checksum mismatch"), fault.Internal},
		{fmt.Errorf("read page: %w", context.Canceled), fault.Canceled},
		{fmt.Errorf("read page: %w", context.DeadlineExceeded), fault.Timeout},
		{fmt.Errorf("read page: %w", fault.Errorf(fault.Unavailable, "bucket is down")), fault.Unavailable},
	} {
		for _, q := range []logs.Query{
			{Kind: logs.Range, Expr: `{app="a"}`, Limit: 10},
			{Kind: logs.Range, Expr: `{app="a"} | json`, Limit: 10},
			{Kind: logs.Range, Expr: `sum(rate({app="a"}[1m]))`, Step: 1e9},
			{Kind: logs.Instant, Expr: `sum(rate({app="a"}[1m]))`},
			{Kind: logs.LabelNames},
			{Kind: logs.SeriesKind, Match: []string{`{app="a"}`}},
			{Kind: logs.StatsKind, Expr: `{app="a"}`},
			{Kind: logs.VolumeKind, Expr: `{app="a"}`},
			{Kind: logs.DetectedLabels},
			{Kind: logs.DetectedFields, Expr: `{app="a"}`, LineLimit: 10, Limit: 10},
			{Kind: logs.Patterns, Expr: `{app="a"}`, Step: 1e9},
		} {
			q.Start, q.End = 1e9, 60e9
			_, err := NewEngine(Options{}).Run(t.Context(), "a", &q, brokenSource{c.err})
			require.ErrorIs(t, err, c.err, "%s %s", q.Kind, q.Expr)
			require.Equal(t, c.want, fault.ClassOf(err), "%s %s", q.Kind, q.Expr)
		}
	}
}
