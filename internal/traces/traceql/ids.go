package traceql

import (
	"context"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// CheckSearch reports what is wrong with a query that is to find traces.
func CheckSearch(expr string) error {
	_, err := searchProgram(expr)
	return err
}

func searchProgram(expr string) (*program, error) {
	if expr == "" {
		return nil, fault.Invalidf("query not set")
	}
	p, err := parseProgram(expr)
	if err != nil {
		return nil, err
	}
	if p.query.Metrics != nil {
		return nil, fault.Invalidf("%s counts spans: only a query that finds traces is supported", expr)
	}
	return p, nil
}

// searchIDs finds the traces that a search for the same finds. Where the columns say which spans match, nothing
// else is read.
func (e *Engine) searchIDs(ctx context.Context, tenant string, q *traces.Query, src traces.Source) (*traces.Result, error) {
	p, err := searchProgram(q.Expr)
	if err != nil {
		return nil, err
	}
	if f := newSearchGroups(p, shownOf(p.query), 1); f != nil {
		p.need.groups = f
	}
	result, env := &traces.Result{}, &spanEnv{}
	err = e.scan(ctx, tenant, src, p.need, q.Start, q.End, &result.Inspected, func(v *traceView) (bool, error) {
		if v.trace.Extract == nil {
			sets, err := p.run(env, v)
			if err != nil {
				return false, evalError(err)
			}
			if len(sets) == 0 {
				return true, nil
			}
		}
		if q.Limit > 0 && len(result.IDs) == q.Limit {
			return false, fault.Errorf(fault.Unprocessable, "the query finds more than %d traces: narrow its time range or its conditions", q.Limit)
		}
		result.IDs = append(result.IDs, v.trace.ID)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}
