package logql

import (
	"github.com/hune-io/hune/internal/logs"
)

// bytesPerSecond is how many bytes of lines a query gets through, about: a filter on columns in a single job
// on two cores. It is only for the estimate that explain shows; see docs/operations.md for how it was measured.
const bytesPerSecond = 1e9

// estimate answers what the query would look at, for each of its log queries and range aggregations.
func (r *run) estimate(p planNode) error {
	selects, err := r.selects(p)
	if err != nil {
		return err
	}
	for _, sel := range selects {
		e, err := r.src.Estimate(r.ctx, r.tenant, sel)
		if err != nil {
			return err
		}
		if r.q.Explain {
			found, err := r.src.Extents(r.ctx, r.tenant, sel.Start, sel.End, sel.Matchers)
			if err != nil {
				return err
			}
			e.Streams = int64(len(found))
		}
		r.res.Estimates = append(r.res.Estimates, e)
	}
	return nil
}

// selects is what a plan asks of the source.
func (r *run) selects(p planNode) ([]logs.Select, error) {
	if n, ok := p.(*limitNode); ok {
		return []logs.Select{r.selectOf(n)}, nil
	}
	g, err := r.gridOf()
	if err != nil {
		return nil, err
	}
	ev := &evaluator{r: r, grid: g}
	var out []logs.Select
	for _, n := range leavesOf[*rangeNode](p) {
		out = append(out, ev.selectOf(n))
	}
	return out, nil
}

// explain answers with the plan.
func (r *run) explain(p planNode) error {
	if err := r.estimate(p); err != nil {
		return err
	}
	r.res.Plan, r.res.Estimates = explained(p, r.res.Estimates), nil
	return nil
}

// explained is a plan with the sum of its estimates.
func explained(p planNode, estimates []logs.Estimate) *logs.Plan {
	var sum logs.Estimate
	streams := int64(0)
	for _, e := range estimates {
		sum.Add(e)
		streams = max(streams, e.Streams)
	}
	jobs := int64(1)
	if merges := leavesOf[*mergeNode](p); len(merges) > 0 {
		jobs = 0
		for _, m := range merges {
			jobs += int64(len(m.pieces) * m.shards)
		}
	}
	return &logs.Plan{Text: planText(p), Tree: planTree(p), Estimate: logs.PlanEstimate{Blocks: sum.Blocks, Pages: sum.Pages, Streams: streams,
		Lines: sum.Rows, Bytes: sum.Bytes, StoredBytes: sum.StoredBytes, Jobs: jobs, Seconds: float64(sum.Bytes) / bytesPerSecond}}
}
