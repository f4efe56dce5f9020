package traceql

import "github.com/hune-io/hune/internal/traces"

// exemplars hands out a budget of exemplars evenly over the steps, first come first served.
type exemplars struct {
	left    int
	perStep []int // what each step may still take
}

func newExemplars(budget, steps int) *exemplars {
	x := &exemplars{left: budget}
	if budget > 0 {
		x.perStep = make([]int, steps)
		for i := range x.perStep {
			x.perStep[i] = (budget + steps - 1) / steps
		}
	}
	return x
}

func (x *exemplars) offer(g *group, e *spanEnv, step int, v float64) {
	if x.left <= 0 || x.perStep[step] <= 0 {
		return
	}
	x.left--
	x.perStep[step]--
	g.steps = append(g.steps, step)
	g.exemplars = append(g.exemplars, traces.Exemplar{
		T: int64(e.span.Start / 1e6), V: v,
		Labels: []traces.Attribute{
			stringValue(trimID(e.view.trace.ID.String())).attribute("trace:id"),
			stringValue(e.span.ID.String()).attribute("span:id"),
		},
	})
}
