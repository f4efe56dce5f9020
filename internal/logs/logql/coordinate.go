package logql

import (
	"context"
	"errors"
	"time"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/inturn"
	"github.com/hune-io/hune/internal/logs"
)

// Coordinate answers q by jobs: one, or as many as s says, of which it merges the answers. They are the same
// as those of Run but for the last digits of sums of fractions. When ctx ends or an answer is complete, the
// contexts of jobs that still run end.
//
// What a job sees as the user's fault may depend on which rows it is given, so where a shard of streams
// answers with such an error, the piece of time is done once more without shards.
func (e *Engine) Coordinate(ctx context.Context, tenant string, q *logs.Query, s Split, ask Ask) (*logs.Result, error) {
	if q.Kind != logs.Range && q.Kind != logs.Instant || s.JobBytes <= 0 && !s.fixed() {
		return ask(ctx, q)
	}
	started := time.Now()
	r := e.newRun(ctx, tenant, q)
	r.ask, r.split = ask, s
	defer r.close()
	res, err := r.coordinate()
	if err != nil {
		return nil, classed(err)
	}
	res.Stats.ExecNanoseconds = time.Since(started).Nanoseconds()
	res.Stats.MemoryBytes = max(res.Stats.MemoryBytes, r.peak.Load())
	return res, nil
}

func (r *run) coordinate() (*logs.Result, error) {
	if err := r.checkLength(); err != nil {
		return nil, err
	}
	expr, err := r.parse()
	if err != nil {
		return nil, err
	}
	p := r.plan(expr)
	if !r.q.Explain && !mayCut(p) {
		return r.ask(r.ctx, r.q)
	}
	g, err := r.gridFor(p)
	if err != nil {
		return nil, err
	}
	estimates, err := r.askEstimates()
	if err != nil {
		return nil, err
	}
	p = r.cut(p, r.split, g, estimates)
	merges := leavesOf[*mergeNode](p)
	switch {
	case r.q.Explain:
		r.res.Plan = explained(p, estimates)
		return r.res, nil
	case len(merges) == 0:
		return r.ask(r.ctx, r.q)
	}
	for _, m := range merges {
		r.res.Stats.Pieces += int64(len(m.pieces))
		r.res.Stats.Shards = max(r.res.Stats.Shards, int64(m.shards))
	}
	if n, ok := p.(*limitNode); ok {
		err = r.logQuery(n)
	} else {
		err = r.sampleQuery(expr, p)
	}
	return r.res, err
}

// gridFor returns the evaluation times of a plan that makes samples.
func (r *run) gridFor(p planNode) (grid, error) {
	if _, ok := p.(*limitNode); ok {
		return grid{}, nil
	}
	return r.gridOf()
}

func (r *run) askEstimates() ([]logs.Estimate, error) {
	if r.split.fixed() && !r.q.Explain {
		return nil, nil
	}
	q := *r.q
	q.Estimate = true
	res, err := r.ask(r.ctx, &q)
	if err != nil {
		return nil, err
	}
	return res.Estimates, nil
}

// jobs runs the jobs of a merge, and hands their answers to take in order: piece by piece, and of each the
// shards. take returns false when it wants no more. atOnce says how many may run when so many are done.
func (r *run) jobs(m *mergeNode, base logs.Query, atOnce func(done int) int, take func(piece int, res *logs.Result) (more bool, err error)) error {
	base.Partial = true
	query := func(i, shards int) *logs.Query {
		q, piece := base, m.pieces[i/m.shards]
		q.RowsStart, q.RowsEnd = piece.from, piece.to
		if shards > 1 {
			q.Shard = logs.Shard{Index: i % shards, Of: shards}
		}
		return &q
	}
	ask := func(ctx context.Context, i int) (*logs.Result, error) {
		res, err := r.ask(ctx, query(i, m.shards))
		if err != nil && m.shards > 1 && dependsOnRows(err) {
			if _, whole := r.ask(ctx, query(i, 1)); whole != nil {
				err = whole
			}
		}
		if err == nil && res.Partial != nil {
			err = r.hold(0, partialSize(res.Partial)) // until it is merged
		}
		return res, err
	}
	return inturn.Run(r.ctx, len(m.pieces)*m.shards, atOnce, ask, func(i int, res *logs.Result) (bool, error) {
		r.res.Stats.Add(res.Stats)
		r.res.Stats.Jobs++
		if res.Partial != nil {
			r.release(0, partialSize(res.Partial))
		}
		if err := r.checkRead(r.res.Stats.LinesProcessed, r.res.Stats.BytesProcessed); err != nil {
			return false, err
		}
		return take(i/m.shards, res)
	})
}

// dependsOnRows reports whether err is of a row that a query came upon.
func dependsOnRows(err error) bool {
	var e *fault.Error
	return fault.ClassOf(err) == fault.Invalid && !(errors.As(err, &e) && e.Reason == readLimit)
}
