package logql

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// How many bytes of lines a processor gets through in a second, about: where columns tell, and where lines are
// rebuilt and go through the stages. For the estimate that explain shows only. Measured on the json and logfmt
// sets by go run ./bench/logs -part dashboards: counts and quantiles of fields, and bytes_over_time.
const (
	columnBytesPerSecond = 1e9
	lineBytesPerSecond   = 250e6
)

// seconds returns how long what an estimate is of may take, one job after the other on one processor.
func seconds(p planNode, estimates []logs.Estimate) float64 {
	speeds := []float64{lineBytesPerSecond}
	if n, ok := p.(*limitNode); ok {
		if newPushPlan(stagesOf(n.in), pushScope{hints: logHints(nil)}).narrows() || len(scanOf(n).filters) > 0 {
			speeds[0] = columnBytesPerSecond // few rows are left
		}
	} else {
		speeds = speeds[:0]
		for _, n := range leavesOf[*rangeNode](p) {
			speeds = append(speeds, n.bytesPerSecond())
		}
	}
	sum := 0.0
	for i, e := range estimates {
		sum += float64(e.Bytes) / speeds[min(i, len(speeds)-1)]
	}
	return sum
}

func (n *rangeNode) bytesPerSecond() float64 {
	x, err := newExtractor(nil, n)
	if err != nil || !slices.Contains(anyOrder, n.agg.Op) || n.doubled || n.agg.Op == OpBytes || n.agg.Op == OpBytesRate {
		return lineBytesPerSecond
	}
	if p := newPushPlan(stagesOf(n.in), pushScope{hints: x.set.hints}); !p.exact || !x.grouped() && p.parser != nil {
		return lineBytesPerSecond
	}
	return columnBytesPerSecond
}

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
			e.Streams = 0
			for i := range found {
				if i == 0 || !labels.Equal(found[i-1].Labels, found[i].Labels) {
					e.Streams++
				}
			}
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
		Lines: sum.Rows, Bytes: sum.Bytes, StoredBytes: sum.StoredBytes, Jobs: jobs, Seconds: seconds(p, estimates)}}
}
