package traceql

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// explain answers with how q would be answered: steps from the last one down, and what the source has in its range.
func (e *Engine) explain(ctx context.Context, tenant string, q *traces.Query, src traces.Source) (*traces.Result, error) {
	expr := q.Expr
	if expr == "" && q.Kind == traces.Search {
		expr = "{ }"
	}
	p, err := parseProgram(expr)
	if err != nil {
		return nil, err
	}
	var steps []string
	start, end := q.Start, q.End
	switch q.Kind {
	case traces.Search:
		steps = e.explainSearch(p, q)
	case traces.MetricsRange, traces.MetricsInstant:
		if steps, start, end, err = e.explainMetrics(p, q); err != nil {
			return nil, err
		}
	default:
		return nil, fault.Invalidf("only searches and metrics queries can be explained")
	}
	steps = append(steps, "match "+p.query.Pipeline.String(), p.need.scanned())
	var text strings.Builder
	for depth, step := range steps {
		if depth > 0 {
			text.WriteString(strings.Repeat("  ", depth-1) + "└ ")
		}
		text.WriteString(step + "\n")
	}
	estimate, err := traces.EstimateOf(ctx, src, tenant, start, end)
	return &traces.Result{Plan: &traces.Plan{Text: text.String(), Estimate: estimate}}, err
}

// inJobs returns the plan of a query that is cut into pieces, of which some begin at once.
func inJobs(p *traces.Plan, pieces []*traces.Query, first int) *traces.Plan {
	if len(pieces) < 2 {
		return p
	}
	out := &traces.Plan{Estimate: p.Estimate}
	for _, q := range pieces {
		out.Jobs = append(out.Jobs, traces.Range{Start: q.Start, End: q.End})
	}
	var text strings.Builder
	fmt.Fprintf(&text, "merge jobs=%d by=time first=%d\n", len(pieces), min(first, len(pieces)))
	indent := "└ "
	for line := range strings.Lines(p.Text) {
		text.WriteString(indent + line)
		indent = "  "
	}
	out.Text = text.String()
	return out
}

func (e *Engine) explainSearch(p *program, q *traces.Query) []string {
	limit, spans := searchLimits(q)
	answer := shownOf(p.query)
	built := "traces"
	if newSearchGroups(p, answer, spans) != nil {
		built = "shown"
	}
	var names []string
	for i := range answer.attrs {
		names = append(names, answer.attrs[i].key)
	}
	return []string{fmt.Sprintf("search limit=%d spans=%d build=%s show=[%s]", limit, spans, built, strings.Join(names, ", "))}
}

// explainMetrics also returns the range whose spans are looked at.
func (e *Engine) explainMetrics(p *program, q *traces.Query) (steps []string, start, end uint64, err error) {
	w, err := windowOf(p, q)
	if err != nil {
		return nil, 0, 0, err
	}
	acc, err := newAccumulator(p, w, e.opts.MaxSeries, 0)
	if err != nil {
		return nil, 0, 0, err
	}
	from := "spans"
	if newFold(p, acc, w, nil, nil) != nil {
		from = "columns"
	}
	for i := len(p.query.Second) - 1; i >= 0; i-- {
		steps = append(steps, strings.TrimLeft(p.query.Second[i].String(), " |"))
	}
	count := fmt.Sprintf("%s from=%s", p.query.Metrics, from)
	if q.Kind == traces.MetricsRange {
		count += " step=" + time.Duration(q.Step).String()
	}
	if spansAlone(p.query) {
		count += " pieces=apart"
	}
	return append(steps, count), w.from() + 1, w.to(), nil
}

// scanned says what is asked of the source.
func (n *need) scanned() string {
	if n.id != "" {
		return "trace " + n.id
	}
	if n.needs == nil {
		return "scan columns=*"
	}
	var columns []string
	for k := range n.needs.Attributes {
		columns = append(columns, string(k.Scope)+"."+k.Key)
	}
	slices.Sort(columns)
	for _, more := range []struct {
		on   bool
		name string
	}{{n.needs.Texts, "messages"}, {n.needs.Events, "events"}, {n.needs.Links, "links"}} {
		if more.on {
			columns = append(columns, more.name)
		}
	}
	return "scan columns=[" + strings.Join(columns, ", ") + "]"
}
