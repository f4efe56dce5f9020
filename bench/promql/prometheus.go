package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/hune-io/hune/internal/metrics"
)

// seriesSet is the series of a measurement, each with its next sample.
type seriesSet struct {
	batch []metrics.Series
	refs  []storage.SeriesRef // of the library's TSDB
	speed []float64
}

func makeSeries(n int) *seriesSet {
	s := &seriesSet{refs: make([]storage.SeriesRef, n), speed: make([]float64, n)}
	for i := range n {
		s.speed[i] = float64(i%97 + 1)
		s.batch = append(s.batch, metrics.Series{Labels: labels.FromStrings("__name__", "http_requests_total", "cluster", "eu-west-1",
			"instance", fmt.Sprintf("10.%d.%d.%d:9090", i>>16, i>>8&255, i&255), "job", fmt.Sprintf("job-%d", i%20), "method", "GET",
			"namespace", "checkout", "pod", fmt.Sprintf("checkout-7d9f8b6c5-%06d", i), "status", "200"), Samples: make([]metrics.Sample, 1)})
	}
	return s
}

// advance gives each series its sample at t: counters that grow unevenly.
func (s *seriesSet) advance(t int64) {
	for i := range s.batch {
		p := &s.batch[i].Samples[0]
		p.T = t
		p.V += s.speed[i] + float64((t/1000+int64(i)*7)%13)
	}
}

// theirs is the engine and the TSDB of the Prometheus library.
type theirs struct {
	db     *tsdb.DB
	engine *promql.Engine
}

func openTheirs(dir string) (*theirs, error) {
	o := tsdb.DefaultOptions()
	o.MinBlockDuration, o.MaxBlockDuration = (24 * time.Hour).Milliseconds(), (24 * time.Hour).Milliseconds()
	o.RetentionDuration = 0
	db, err := tsdb.Open(dir, slog.New(slog.DiscardHandler), nil, o, nil)
	if err != nil {
		return nil, err
	}
	return &theirs{db, promql.NewEngine(promql.EngineOpts{MaxSamples: 1 << 40, Timeout: 10 * time.Minute, LookbackDelta: 5 * time.Minute, EnableAtModifier: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 }})}, nil
}

func (p *theirs) append(s *seriesSet) error {
	app := p.db.Appender(context.Background())
	for i := range s.batch {
		sample := s.batch[i].Samples[0]
		ref, err := app.Append(s.refs[i], s.batch[i].Labels, sample.T, sample.V)
		if err != nil {
			return err
		}
		s.refs[i] = ref
	}
	return app.Commit()
}

// flush makes a block of what is in memory.
func (p *theirs) flush() error {
	h := p.db.Head()
	return p.db.CompactHead(tsdb.NewRangeHead(h, h.MinTime(), h.MaxTime()))
}

func (p *theirs) query(ctx context.Context, q *metrics.Query) (promql.Matrix, error) {
	query, err := p.engine.NewRangeQuery(ctx, p.db, nil, q.Expr, time.UnixMilli(q.Start), time.UnixMilli(q.End), time.Duration(q.Step)*time.Millisecond)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	res := query.Exec(ctx)
	if res.Err != nil {
		return nil, res.Err
	}
	m, err := res.Matrix()
	// The points go back to a pool when the query is closed.
	out := make(promql.Matrix, len(m))
	for i, s := range m {
		out[i] = promql.Series{Metric: s.Metric, Floats: append([]promql.FPoint(nil), s.Floats...)}
	}
	return out, err
}
