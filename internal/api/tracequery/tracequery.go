// Package tracequery asks for traces as the APIs of Jaeger and Zipkin do: services, their
// operations, who calls whom, and whole traces that match. Everything is a TraceQL query that the
// runner answers; the protocols translate what comes back.
package tracequery

import (
	"context"
	"errors"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// Range is a range in Unix nanoseconds; both zero: any time.
type Range struct{ Start, End uint64 }

// Reader asks questions of the tenant in the context. Safe for concurrent use.
type Reader struct {
	Runner   job.Runner
	MaxSpans int64 // of the traces of one answer together; default 500,000
}

func (r Reader) maxSpans() int64 {
	if r.MaxSpans > 0 {
		return r.MaxSpans
	}
	return maxSpans
}

func (r Reader) run(ctx context.Context, q *traces.Query) (*traces.Result, error) {
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	res, err := r.Runner.Run(ctx, job.Job{Tenant: id, Traces: q})
	if err != nil {
		return nil, err
	}
	if res.Traces == nil {
		return nil, errors.New("traces query has no traces result")
	}
	return res.Traces, nil
}

// Trace returns a trace, nil if it is not there.
func (r Reader) Trace(ctx context.Context, id traces.ID, in Range) (*traces.Trace, error) {
	res, err := r.run(ctx, &traces.Query{Kind: traces.ByID, ID: id, Start: in.Start, End: in.End})
	if err != nil || res.Trace == nil || len(res.Trace.Spans) == 0 {
		return nil, err
	}
	return res.Trace, nil
}

const (
	fetchConcurrency = 4       // how many traces are read at once for one answer
	maxSpans         = 500_000 // how many spans the traces of one answer may have together
)

// Traces returns those of the traces that are there, in the order of ids.
func (r Reader) Traces(ctx context.Context, ids []traces.ID, in Range) ([]*traces.Trace, error) {
	list := make([]*traces.Trace, len(ids))
	var spans atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchConcurrency)
	for i, id := range ids {
		g.Go(func() (err error) {
			if list[i], err = r.Trace(ctx, id, in); err != nil || list[i] == nil {
				return err
			}
			if spans.Add(int64(len(list[i].Spans))) > r.maxSpans() {
				return fault.Errorf(fault.Unprocessable, "the traces have more than %d spans together: ask for fewer", r.maxSpans())
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []*traces.Trace
	for _, t := range list {
		if t != nil {
			out = append(out, t)
		}
	}
	return out, nil
}

// Find returns whole traces that match a TraceQL query, newest first, at most limit.
func (r Reader) Find(ctx context.Context, expr string, in Range, limit int) ([]*traces.Trace, error) {
	res, err := r.run(ctx, &traces.Query{Kind: traces.Search, Expr: expr, Start: in.Start, End: in.End, Limit: limit, SpansPerSpanSet: 1})
	if err != nil {
		return nil, err
	}
	ids := make([]traces.ID, len(res.Found))
	for i := range res.Found {
		ids[i] = res.Found[i].ID
	}
	return r.Traces(ctx, ids, Range{})
}

// Values returns the distinct texts of an attribute on the spans that a filter leaves, sorted. The
// empty text is none.
func (r Reader) Values(ctx context.Context, tag, filter string, in Range) ([]string, error) {
	res, err := r.run(ctx, &traces.Query{Kind: traces.TagValues, Tag: tag, Expr: filter, Start: in.Start, End: in.End})
	if err != nil {
		return nil, err
	}
	out := []string{}
	for i := range res.Values {
		if text := Text(&res.Values[i]); text != "" {
			out = append(out, text)
		}
	}
	sort.Strings(out)
	return out, nil
}

// Services returns the names of services, sorted.
func (r Reader) Services(ctx context.Context, in Range) ([]string, error) {
	return r.Values(ctx, "resource.service.name", "", in)
}

// Operation is a name of spans with their kind, in the words of TraceQL: server, client, ….
type Operation struct{ Name, Kind string }

// Operations returns what spans of a service are called, sorted; of every service if it is empty.
func (r Reader) Operations(ctx context.Context, service string, in Range) ([]Operation, error) {
	filter := "{ }"
	if service != "" {
		filter = "{ " + Service(service) + " }"
	}
	series, err := r.counts(ctx, filter+" | count_over_time() by (name, kind)", in)
	if err != nil {
		return nil, err
	}
	out := make([]Operation, 0, len(series))
	for _, s := range series {
		out = append(out, Operation{s.labels[0], s.labels[1]})
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Name != out[j].Name {
			return out[i].Name < out[j].Name
		}
		return out[i].Kind < out[j].Kind
	})
	return out, nil
}

// Dependency is how often spans of Child had a parent in another service, Parent.
type Dependency struct {
	Parent, Child string
	Calls, Errors uint64
}

// Dependencies returns the calls between services, sorted. Both spans must have arrived.
func (r Reader) Dependencies(ctx context.Context, in Range) ([]Dependency, error) {
	series, err := r.counts(ctx, "{ parent.resource.service.name != nil } | count_over_time() by (parent.resource.service.name, resource.service.name, status)", in)
	if err != nil {
		return nil, err
	}
	at := map[[2]string]int{}
	out := []Dependency{}
	for _, s := range series {
		parent, child := s.labels[0], s.labels[1]
		if parent == child || parent == "" || child == "" {
			continue
		}
		key := [2]string{parent, child}
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, Dependency{Parent: parent, Child: child})
		}
		out[i].Calls += s.count
		if s.labels[2] == "error" {
			out[i].Errors += s.count
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Parent != out[j].Parent {
			return out[i].Parent < out[j].Parent
		}
		return out[i].Child < out[j].Child
	})
	return out, nil
}

type counted struct {
	labels []string
	count  uint64
}

// counts runs a metrics query over the range as one step. Without a range it covers all time.
func (r Reader) counts(ctx context.Context, expr string, in Range) ([]counted, error) {
	q := &traces.Query{Kind: traces.MetricsInstant, Expr: expr, Start: in.Start, End: in.End}
	if in.End == 0 {
		q.End = 1<<63 - 1
	}
	res, err := r.run(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []counted
	for _, s := range res.Series {
		if len(s.Samples) == 0 || s.Samples[0].V <= 0 {
			continue
		}
		c := counted{count: uint64(s.Samples[0].V)}
		for i := range s.Labels {
			c.labels = append(c.labels, Text(&s.Labels[i]))
		}
		out = append(out, c)
	}
	return out, nil
}

// Text is an attribute's value as text. Lists are in brackets; what is opaque has none.
func Text(a *traces.Attribute) string {
	switch a.Type {
	case traces.TypeString:
		return a.Str
	case traces.TypeInt:
		return strconv.FormatInt(a.Int, 10)
	case traces.TypeFloat:
		return strconv.FormatFloat(a.Float, 'g', -1, 64)
	case traces.TypeBool:
		return strconv.FormatBool(a.Int != 0)
	case traces.TypeOpaque:
		return ""
	}
	parts := make([]string, len(a.Array))
	for i := range a.Array {
		parts[i] = Text(&a.Array[i])
		if a.Array[i].Type == traces.TypeString {
			parts[i] = strconv.Quote(parts[i])
		}
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// Service is the condition that a span is of a service.
func Service(name string) string { return "resource.service.name = " + Quote(name) }

// Quote prints a text as TraceQL.
func Quote(s string) string { return strconv.Quote(s) }

// Name prints the name of an attribute as TraceQL, for use after a scope.
func Name(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Tag is the condition that a span, its resource or one of its events has an attribute whose value
// reads like value, whatever its type. Tags that other systems keep for what OTLP has fields for
// are asked of these.
func Tag(key, value string) string {
	switch key {
	case "":
		return "false" // nothing is called so, and TraceQL has no way to say it
	case "error":
		switch value {
		case "true":
			return "status = error"
		case "false":
			return "status != error"
		}
	case "span.kind":
		switch v := strings.ToLower(value); v {
		case "server", "client", "producer", "consumer", "internal":
			return "kind = " + v
		}
	case "otel.status_code":
		switch v := strings.ToLower(value); v {
		case "ok", "error", "unset":
			return "status = " + v
		}
	}
	literals := []string{Quote(value)}
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > -1<<63 {
		literals = append(literals, strconv.FormatInt(n, 10))
	} else if f, err := strconv.ParseFloat(value, 64); err == nil && strings.Contains(value, ".") && f-f == 0 {
		literals = append(literals, value)
	}
	if value == "true" || value == "false" {
		literals = append(literals, value)
	}
	var alternatives []string
	for _, scope := range []string{"span", "resource", "event"} {
		for _, l := range literals {
			alternatives = append(alternatives, scope+"."+Name(key)+" = "+l)
		}
	}
	return "(" + strings.Join(alternatives, " || ") + ")"
}

// Duration is a condition on the length of a span in nanoseconds; op is >= or <=.
func Duration(op string, ns int64) string {
	return "duration " + op + " " + strconv.FormatInt(ns, 10) + "ns"
}

// All joins conditions that one span must meet into a filter.
func All(conditions []string) string {
	if len(conditions) == 0 {
		return "{ }"
	}
	return "{ " + strings.Join(conditions, " && ") + " }"
}

// Keys returns the names of span attributes, sorted.
func (r Reader) Keys(ctx context.Context) ([]string, error) {
	res, err := r.run(ctx, &traces.Query{Kind: traces.Tags, Scope: "span"})
	if err != nil {
		return nil, err
	}
	return append([]string{}, res.Tags["span"]...), nil
}
