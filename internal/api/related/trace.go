package related

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/traces"
)

// ofTrace answers about a trace. One that is not stored may still have logs.
func (a *API) ofTrace(ctx context.Context, tenant, text string, limit int) (*Answer, error) {
	id, err := traces.ParseID(text)
	if err != nil {
		return nil, invalid("trace", err)
	}
	res, err := a.runTraces(ctx, tenant, &traces.Query{Kind: traces.ByID, ID: id})
	if err != nil {
		return nil, err
	}
	out := newAnswer()
	if res.Trace != nil && len(res.Trace.Spans) > 0 {
		describe(out, res.Trace, limit)
	}
	return out, a.logsOfTrace(ctx, tenant, id, limit, out)
}

// logsOfTrace finds the lines that name a trace, wherever the ID stands and whenever they were written.
func (a *API) logsOfTrace(ctx context.Context, tenant string, id traces.ID, limit int, out *Answer) error {
	now := a.opts.Now()
	l := &out.Logs
	l.Start, l.End = utc(now.Add(-time.Hour)), utc(now)
	if out.Trace != nil {
		l.Start, l.End = out.Trace.Start.Add(-around), out.Trace.End.Add(around)
	}
	l.Expr = `{service_name=~".+"} | trace_id=` + strconv.Quote(id.String())
	if limit == 0 {
		return nil
	}
	res, err := a.runLogs(ctx, tenant, &logs.Query{Kind: logs.TraceRows, TraceID: id.String(),
		Start: 0, End: now.Add(time.Hour).UnixNano(), Direction: logs.Forward, Limit: limit})
	if err != nil {
		return err
	}
	n := 0
	for _, s := range res.Streams {
		stream := Stream{Stream: s.Labels.Map(), Values: make([][2]string, 0, len(s.Entries))}
		for i := range s.Entries {
			e := &s.Entries[i]
			stream.Values = append(stream.Values, [2]string{strconv.FormatInt(e.Timestamp, 10), e.Line})
		}
		n += len(s.Entries)
		l.Streams = append(l.Streams, stream)
	}
	l.Truncated = n >= limit
	return nil
}

// describe fills in what the spans of a trace say.
func describe(out *Answer, t *traces.Trace, limit int) {
	start, end := t.Bounds()
	s := &TraceSummary{TraceID: t.ID.String(), Start: at(start), End: at(end), Spans: len(t.Spans)}
	out.Trace = s
	ids := map[traces.SpanID]bool{}
	for _, span := range t.Spans {
		ids[span.ID] = true
	}
	groups := map[string]*group{}
	for _, span := range t.Spans {
		if span.Status == traces.StatusError {
			s.Errors++
		}
		if (span.ParentID == traces.SpanID{} || s.RootTraceName == "" && !ids[span.ParentID]) {
			s.RootTraceName, s.RootServiceName = span.Name, serviceOf(span)
		}
		g := groupOf(groups, span.Resource)
		g.spans++
		g.start, g.end = min(g.start, span.Start), max(g.end, span.End)
	}
	for _, g := range groups {
		out.Resources = append(out.Resources, g.who.resource(g.spans, at(g.start), at(g.end)))
	}
	slices.SortFunc(out.Resources, func(a, b Resource) int {
		return cmp.Or(cmp.Compare(a.ServiceName, b.ServiceName), cmp.Compare(a.Logs.Expr, b.Logs.Expr), cmp.Compare(b.Spans, a.Spans))
	})
	for _, span := range t.Spans[:min(limit, len(t.Spans))] {
		from, to := at(span.Start), at(max(span.Start, span.End))
		out.Spans = append(out.Spans, Span{SpanID: span.ID.String(), Name: span.Name, ServiceName: serviceOf(span), Start: from, End: to,
			Logs: Query{Expr: groupOf(groups, span.Resource).who.logQL(), Start: from.Add(-slack), End: to.Add(slack)}})
	}
	g := groupOf(groups, t.Spans[0].Resource)
	out.Traces.Query = g.who.traces(s.Start, s.End)
}

// group is the spans of resources that are known by the same.
type group struct {
	who        identity
	spans      int
	start, end uint64
}

func groupOf(groups map[string]*group, r *traces.Resource) *group {
	who := identityOf(r)
	key := who.key()
	g := groups[key]
	if g == nil {
		g = &group{who: who, start: 1<<64 - 1}
		groups[key] = g
	}
	return g
}

func serviceOf(s *traces.Span) string {
	if s.Resource == nil {
		return ""
	}
	return s.Resource.ServiceName
}

// How much earlier and later others are looked for: clocks differ, lines are written after the fact, and a
// rate needs some minutes.
const (
	slack  = time.Second
	around = 5 * time.Minute
)

func at(nanos uint64) time.Time { return utc(time.Unix(0, int64(nanos))) }

func utc(t time.Time) time.Time { return t.UTC() }
