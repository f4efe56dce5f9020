package related

import (
	"context"
	"time"

	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/traces"
)

// ofLogs answers about the resource that writes a stream, about a time.
func (a *API) ofLogs(ctx context.Context, tenant, selector string, when time.Time, limit int) (*Answer, error) {
	who, err := identityOfStream(selector, func(s string) ([]logs.Matcher, error) { return logql.ParseMatchers(s, false) })
	if err != nil {
		return nil, err
	}
	out := newAnswer()
	when = utc(when)
	out.Logs.Query = Query{Expr: selector, Start: when.Add(-around), End: when.Add(around)}
	out.Traces.Query = who.traces(when, when)
	if len(who) == 0 {
		return out, nil
	}
	out.Resources = append(out.Resources, who.resource(0, when, when))
	if limit == 0 {
		return out, nil
	}
	q := &out.Traces.Query
	res, err := a.runTraces(ctx, tenant, &traces.Query{Kind: traces.Search, Expr: q.Expr, Start: uint64(max(0, q.Start.UnixNano())),
		End: uint64(max(1, q.End.UnixNano())), Limit: limit, SpansPerSpanSet: 1})
	if err != nil {
		return nil, err
	}
	for _, f := range res.Found {
		out.Traces.Found = append(out.Traces.Found, Found{TraceID: f.ID.String(), RootServiceName: f.RootServiceName, RootTraceName: f.RootTraceName,
			Start: at(f.Start), DurationMs: int64(f.Duration / uint64(time.Millisecond))})
	}
	out.Traces.Truncated = len(res.Found) >= limit
	return out, nil
}
