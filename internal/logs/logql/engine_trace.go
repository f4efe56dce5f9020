package logql

import (
	"context"
	"fmt"
	"iter"

	"github.com/hune-io/hune/internal/logs"
)

// traceRows answers with the entries that name a trace; without a query, with those of every stream.
func (r *run) traceRows() error {
	lq := &LogQuery{}
	if r.q.Expr != "" {
		var err error
		if lq, err = ParseLogQuery(r.q.Expr); err != nil {
			return err
		}
	}
	if r.q.TraceID == "" {
		return errorString("a trace ID is needed")
	}
	if r.q.Limit > r.limits.MaxEntries {
		return fmt.Errorf("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", r.q.Limit, r.limits.MaxEntries)
	}
	return r.logQuery(r.plan(lq).(*limitNode))
}

// traceSource leaves of a source the rows that name one trace. What it says about streams as a whole is
// as before: more than there is, never less.
type traceSource struct {
	logs.Source
	id string
}

// ofTrace returns src, or its rows of a trace if one is asked for.
func ofTrace(src logs.Source, id string) logs.Source {
	if id == "" {
		return src
	}
	return traceSource{src, id}
}

func (s traceSource) SelectRows(ctx context.Context, tenant string, sel logs.Select) iter.Seq2[*logs.Rows, error] {
	sel.TraceID = s.id
	return s.Source.SelectRows(ctx, tenant, sel)
}

func (s traceSource) Scan(ctx context.Context, tenant string, sel logs.Select, visit func(context.Context, *logs.Page) error) error {
	sel.TraceID = s.id
	return s.Source.Scan(ctx, tenant, sel, visit)
}
