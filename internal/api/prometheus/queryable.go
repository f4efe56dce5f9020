package prometheus

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/hune-io/hune/internal/metrics"
)

// queryable shows the frontend to Prometheus's API as a storage: label questions, series and raw
// chunks are jobs.
type queryable struct{ api *API }

var _ storage.SampleAndChunkQueryable = queryable{}

func (q queryable) Querier(mint, maxt int64) (storage.Querier, error) {
	return querier{labelQuerier{q.api, mint, maxt}}, nil
}

func (q queryable) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	return chunkQuerier{labelQuerier{q.api, mint, maxt}}, nil
}

type labelQuerier struct {
	api        *API
	mint, maxt int64
}

func (q labelQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.ask(ctx, &metrics.Query{Kind: metrics.LabelValues, Label: name}, hints, ms)
}

func (q labelQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.ask(ctx, &metrics.Query{Kind: metrics.LabelNames}, hints, ms)
}

func (q labelQuerier) ask(ctx context.Context, mq *metrics.Query, hints *storage.LabelHints, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
	mq.Start, mq.End = q.mint, q.maxt
	if len(ms) > 0 {
		mq.Matchers = [][]metrics.Matcher{metrics.FromMatchers(ms)}
	}
	if hints != nil {
		mq.Limit = hints.Limit
	}
	optionsFrom(ctx).apply(mq)
	res, err := q.api.run(ctx, mq)
	if err != nil {
		return nil, nil, err
	}
	return res.Strings, res.Warnings, nil
}

// Close has nothing to do: nothing is open between questions.
func (labelQuerier) Close() error { return nil }

// selection is the query for a Select.
func (q labelQuerier) selection(kind metrics.QueryKind, hints *storage.SelectHints, ms []*labels.Matcher) *metrics.Query {
	mq := &metrics.Query{Kind: kind, Start: q.mint, End: q.maxt, Matchers: [][]metrics.Matcher{metrics.FromMatchers(ms)}}
	if hints != nil {
		mq.Start, mq.End, mq.Limit = hints.Start, hints.End, hints.Limit
	}
	return mq
}

type querier struct{ labelQuerier }

func (q querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	kind := metrics.Read
	if hints != nil && hints.Func == "series" {
		kind = metrics.SeriesKind
	}
	mq := q.selection(kind, hints, ms)
	optionsFrom(ctx).apply(mq)
	res, err := q.api.run(ctx, mq)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	if kind == metrics.Read {
		return metrics.NewRangeSeriesSet(res.Raw, mq.Start, mq.End, res.Warnings)
	}
	series := make([]metrics.ChunkSeries, len(res.Series))
	for i, ls := range res.Series {
		series[i].Labels = ls
	}
	return metrics.NewSeriesSet(series, res.Warnings)
}

type chunkQuerier struct{ labelQuerier }

func (q chunkQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	mq := q.selection(metrics.Read, hints, ms)
	res, err := q.api.run(ctx, mq)
	if err != nil {
		return storage.ErrChunkSeriesSet(err)
	}
	return metrics.NewChunkSeriesSet(res.Raw, mq.Start, mq.End, res.Warnings)
}
