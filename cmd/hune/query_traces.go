package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// tracesFlags are what the traces command has beyond the others.
type tracesFlags struct {
	*queryFlags
	explain bool
	output  string
	raw     bool
}

func newQueryTraces(q *queryFlags) *cobra.Command {
	f := &tracesFlags{queryFlags: q}
	c := q.command("traces EXPR|TRACE-ID", "Run a TraceQL search or metrics query, or show one trace", f.run)
	fl := c.Flags()
	fl.BoolVar(&f.explain, "explain", false, "print how the query would be run and what is in its range, without running it")
	fl.StringVarP(&f.output, "output", "o", "table", "what is printed: table, raw (IDs of traces, IDs of the spans of a trace, or values only) or json (as the server answers)")
	return c
}

func (f *tracesFlags) run(ctx context.Context, w io.Writer, expr string) (err error) {
	if f.raw, err = f.setOutput(f.output); err != nil {
		return err
	}
	if id, err := traces.ParseID(expr); err == nil {
		if f.explain {
			return errors.New("--explain: only searches and metrics queries can be explained")
		}
		return f.oneTrace(ctx, w, id)
	}
	q, err := traceql.ParseOnly(expr)
	if err == nil && q.IsMetrics() {
		err = f.metricsOf(ctx, w, expr)
	} else {
		err = f.search(ctx, w, expr)
	}
	var faults []queryFault
	for _, fault := range traceql.Faults(expr) {
		faults = append(faults, queryFault{fault.Start, fault.End, fault.Hint})
	}
	return pointTo(err, expr, faults)
}

func (f *tracesFlags) search(ctx context.Context, w io.Writer, expr string) error {
	start, end, _, err := f.timeRange()
	if err != nil {
		return err
	}
	params := url.Values{"q": {expr}, "limit": {strconv.Itoa(f.limit)},
		"start": {strconv.FormatInt(start.Unix(), 10)}, "end": {strconv.FormatInt(end.Unix()+1, 10)}}
	if f.explain {
		var e explanation
		return f.explained(ctx, w, "/api/search", params, &e, &e)
	}
	var a struct {
		Traces []struct {
			TraceID, RootServiceName, RootTraceName, StartTimeUnixNano string
			DurationMs                                                 int64
			SpanSets                                                   []struct{ Matched int }
		}
	}
	if ok, err := f.fetch(ctx, w, "/api/search", params, &a); !ok {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if !f.raw {
		fmt.Fprintln(tw, "START\tTRACE\tSERVICE\tNAME\tDURATION\tMATCHED")
	}
	for _, t := range a.Traces {
		if f.raw {
			fmt.Fprintln(tw, t.TraceID)
			continue
		}
		ns, _ := strconv.ParseInt(t.StartTimeUnixNano, 10, 64)
		matched := 0
		for _, s := range t.SpanSets {
			matched += s.Matched
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%d\n", time.Unix(0, ns).Format(timeFormat), t.TraceID, t.RootServiceName,
			t.RootTraceName, time.Duration(t.DurationMs)*time.Millisecond, matched)
	}
	return tw.Flush()
}

// traceSample is a sample in an answer: what is zero is left out there. A number that JSON has none for is text.
type traceSample struct {
	TimestampMs string
	Value       any
}

func (s *traceSample) text() string {
	switch v := s.Value.(type) {
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		return v
	}
	return "0"
}

// metricsOf prints the series of a metrics query: over the range by steps, or of the range as a whole.
func (f *tracesFlags) metricsOf(ctx context.Context, w io.Writer, expr string) error {
	start, end, step, err := f.timeRange()
	if err != nil {
		return err
	}
	params := url.Values{"q": {expr}, "start": {strconv.FormatInt(start.UnixNano(), 10)}, "end": {strconv.FormatInt(end.UnixNano(), 10)}}
	path := "/api/metrics/query"
	if !f.instant {
		path = "/api/metrics/query_range"
		params.Set("step", step.String())
	}
	if f.explain {
		var e explanation
		return f.explained(ctx, w, path, params, &e, &e)
	}
	var a struct {
		Series []struct {
			PromLabels string
			Samples    []traceSample
			Value      any // of the range as a whole
		}
	}
	if ok, err := f.fetch(ctx, w, path, params, &a); !ok {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, s := range a.Series {
		if f.instant {
			s.Samples = []traceSample{{strconv.FormatInt(end.UnixMilli(), 10), s.Value}}
		}
		for i := range s.Samples {
			if f.raw {
				fmt.Fprintln(tw, s.Samples[i].text())
				continue
			}
			ms, _ := strconv.ParseInt(s.Samples[i].TimestampMs, 10, 64)
			fmt.Fprintf(tw, "%s\t%s\t%s\n", time.UnixMilli(ms).Format(timeFormat), s.PromLabels, s.Samples[i].text())
		}
	}
	return tw.Flush()
}
