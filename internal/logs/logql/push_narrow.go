package logql

import (
	"context"

	"github.com/hune-io/hune/internal/column"
	"github.com/hune-io/hune/internal/logs"
)

// narrow returns what Select.Narrow is for the stages of a query: nil where columns are no help.
func (r *run) narrow(stages []Stage, h *hints) func(context.Context, *logs.Page) (column.Set, error) {
	if r.noPushdown {
		return nil
	}
	plan := newPushPlan(stages, pushScope{hints: h})
	if !plan.narrows() {
		return nil
	}
	return func(ctx context.Context, p *logs.Page) (column.Set, error) {
		if !p.HasColumns() {
			return p.Among, nil
		}
		v := newPageView(plan, p)
		if err := v.open(ctx); err != nil {
			return column.None, err
		}
		var found verdicts
		err := p.Ask(ctx, func(r *column.Reader) { found = v.judge(r, false) })
		return found.pass.Or(found.unsure), err
	}
}
