package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/testutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

// Prometheus's own suite for PromQL, on both engines, with our heads below, and with the blocks of the bucket.
func TestPromQLSuite(t *testing.T) {
	t.Cleanup(enableParser) // the suite turns the parser's switches off at its end
	for _, engine := range []string{PrometheusEngine, ThanosEngine} {
		for _, place := range []string{"head", "blocks"} {
			t.Run(engine+"/"+place, func(t *testing.T) {
				if place == "blocks" && testing.Short() {
					t.Skip("the second half of the suite takes long; -short leaves it out")
				}
				var e promql.QueryEngine = promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
				if engine == ThanosEngine {
					suite := newSuiteEngine(e)
					e = suite
					t.Cleanup(func() { require.Empty(t, suite.missed, "these are not in the suite any more") })
				}
				promqltest.RunBuiltinTestsWithStorage(inParallel{t}, e, func(tt testutil.T) storage.Storage {
					return newSuiteStorage(t, tt, place == "blocks")
				})
			})
		}
	}
}

// inParallel lets the files of the suite run at the same time. They wait until all have been begun, which is after the
// suite has turned the parser's switches on.
type inParallel struct{ *testing.T }

func (p inParallel) Run(name string, f func(*testing.T)) bool {
	return p.T.Run(name, func(t *testing.T) {
		t.Parallel()
		f(t)
	})
}

// tolerated are the queries of the suite whose answers by Thanos's engine differ, each with its reason.
var tolerated = map[string]string{
	// The suite wants names to be dropped at the end. Where that is turned on, Hune chooses Prometheus's engine.
	`label_replace(rate({env="1"}[10m]), "my_name", "rate_$1", "__name__", "(.+)")`:                            "delayed name removal",
	`label_replace(rate({env="1"}[10m]), "__name__", "rate_$1", "__name__", "(.+)")`:                           "delayed name removal",
	`label_join(rate({env="1"}[10m]), "my_name", "_", "__name__")`:                                             "delayed name removal",
	`label_join(rate({env="1"}[10m]), "__name__", "_", "__name__", "env")`:                                     "delayed name removal",
	`sum by (env) (rate({env="1"}[10m]))`:                                                                      "delayed name removal",
	`label_replace(sum by (__name__) (rate(metric_total{env="2"}[5m])), "__name__", "$1", "__name__", "(.+)")`: "delayed name removal",
	`sum by (__name__) (metric_total{env="1"} or rate(metric_total{env="2"}[5m]))`:                             "delayed name removal",
	`sum by (__name__) (rate(metric_total{env="2"}[5m]) or metric_total{env="1"})`:                             "delayed name removal",
	// Of the labels that Prometheus's feature type-and-unit-labels adds at scraping, which Hune doesn't have.
	`(http_requests_total{group="canary"} + 1) and http_requests_total{instance="0"}`: "__type__ and __unit__ are not left out of the matching of sets",
	`(http_requests_total{group="canary"} + 1) or http_requests_total{instance="1"}`:  "__type__ and __unit__ are not left out of the matching of sets",
}

var atModifier = regexp.MustCompile(` @ [0-9.]+`)

// suiteEngine is Engine as the suite wants it.
type suiteEngine struct {
	*Engine
	prometheus promql.QueryEngine
	mu         sync.Mutex
	missed     map[string]string // of tolerated, what was not asked
}

func newSuiteEngine(prometheus promql.QueryEngine) *suiteEngine {
	cfg := DefaultConfig().Query
	cfg.Features = []string{featureFunctions, featureDurations, featureExtendedRanges}
	cfg.MaxSamples = promqltest.DefaultMaxSamplesPerQuery
	return &suiteEngine{NewEngine(EngineOptions{Config: cfg, Logger: slog.New(slog.DiscardHandler)}), prometheus, sync.Mutex{}, maps.Clone(tolerated)}
}

func (e *suiteEngine) NewInstantQuery(ctx context.Context, s storage.Queryable, opts promql.QueryOpts, qs string, ts time.Time) (promql.Query, error) {
	if q, err := e.query(ctx, s, &Query{Kind: Instant, Expr: qs, Start: ts.UnixMilli(), End: ts.UnixMilli()}); q != nil || err != nil {
		return q, err
	}
	return e.prometheus.NewInstantQuery(ctx, s, opts, qs, ts)
}

func (e *suiteEngine) NewRangeQuery(ctx context.Context, s storage.Queryable, opts promql.QueryOpts, qs string, start, end time.Time, step time.Duration) (promql.Query, error) {
	q, err := e.query(ctx, s, &Query{Kind: Range, Expr: qs, Start: start.UnixMilli(), End: end.UnixMilli(), Step: step.Milliseconds()})
	if q != nil || err != nil {
		return q, err
	}
	return e.prometheus.NewRangeQuery(ctx, s, opts, qs, start, end, step)
}

// query is what Engine does for q; nil where it would choose Prometheus's engine.
func (e *suiteEngine) query(ctx context.Context, s storage.Queryable, q *Query) (promql.Query, error) {
	expr, err := ParseQuery(q.Expr)
	if err != nil {
		return nil, err
	}
	// The suite asks each query once more with its time behind an @.
	plain := atModifier.ReplaceAllString(expr.String(), "")
	if tolerated[plain] != "" {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.missed, plain)
		return nil, nil
	}
	if err := e.features.check(expr); err != nil {
		return nil, err
	}
	chosen, err := e.choose(q, expr)
	if err != nil || chosen == PrometheusEngine {
		return nil, err
	}
	run, err := s.Querier(0, 0)
	if err != nil {
		return nil, err
	}
	return e.newQuery(ctx, chosen, q, run.(*querier))
}

// suiteStorage is Heads and BlockStore as the storage of the suite.
type suiteStorage struct {
	t      testutil.T
	heads  *Heads
	store  *BlockStore
	blocks bool // answer from blocks only
}

func newSuiteStorage(t *testing.T, tt testutil.T, blocks bool) *suiteStorage {
	bkt := objstore.NewInMemBucket()
	opts := testHeadOptions(t, t.TempDir(), bkt)
	// The suite loads data from 1970 on, whatever it loaded before.
	opts.Config.BlockRange = model.Duration(10000 * time.Hour)
	opts.Config.OutOfOrderWindow = model.Duration(100000 * time.Hour)
	opts.SyncAlways = false
	return &suiteStorage{t: tt, heads: openTestHeads(t, opts), store: newTestStore(t, bkt), blocks: blocks}
}

func (s *suiteStorage) Appender(context.Context) storage.Appender { return &suiteAppender{s: s} }
func (s *suiteStorage) StartTime() (int64, error)                 { return 0, nil }

func (s *suiteStorage) Close() error {
	return s.heads.Close()
}

func (s *suiteStorage) ChunkQuerier(int64, int64) (storage.ChunkQuerier, error) {
	return nil, errors.ErrUnsupported
}

func (s *suiteStorage) Querier(mint, maxt int64) (storage.Querier, error) {
	q := &querier{tenant: "suite", sources: []Source{s.heads}, mint: mint, maxt: maxt}
	if s.blocks {
		q.sources = []Source{s.store}
	}
	return q, nil
}

type suiteAppender struct {
	storage.Appender // nil: the suite uses no other methods
	s                *suiteStorage
	b                Batch
}

func (a *suiteAppender) Append(_ storage.SeriesRef, ls labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	s := a.series(ls)
	s.Samples = append(s.Samples, Sample{T: t, V: v})
	return 0, nil
}

func (a *suiteAppender) AppendHistogram(_ storage.SeriesRef, ls labels.Labels, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	s := a.series(ls)
	s.Histograms = append(s.Histograms, HistogramSample{T: t, H: h, FH: fh})
	return 0, nil
}

func (a *suiteAppender) AppendExemplar(storage.SeriesRef, labels.Labels, exemplar.Exemplar) (storage.SeriesRef, error) {
	return 0, nil
}

func (a *suiteAppender) UpdateMetadata(storage.SeriesRef, labels.Labels, metadata.Metadata) (storage.SeriesRef, error) {
	return 0, nil
}

// series begins a new entry whenever the series changes, so that floats and histograms of one
// series keep their order.
func (a *suiteAppender) series(ls labels.Labels) *Series {
	a.b.Series = append(a.b.Series, Series{Labels: ls})
	return &a.b.Series[len(a.b.Series)-1]
}

func (a *suiteAppender) Commit() error {
	r, err := a.s.heads.Append(context.Background(), "suite", &a.b)
	if err != nil || len(r.Rejected) > 0 {
		return errors.Join(err, fmt.Errorf("rejected: %v", r.Rejected))
	}
	if !a.s.blocks {
		return nil
	}
	require.NoError(a.s.t, a.s.heads.Flush(context.Background()))
	return a.s.store.Refresh(context.Background())
}

func (*suiteAppender) Rollback() error { return nil }
