package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hune-io/hune/internal/logs/logql"
)

// logsFlags are what the logs command has beyond the others.
type logsFlags struct {
	*queryFlags
	tail, explain, forward, autoFields, noColor bool
	output, color                               string
	delay                                       time.Duration
}

func newQueryLogs(q *queryFlags) *cobra.Command {
	f := &logsFlags{queryFlags: q}
	c := q.command("logs EXPR", "Run a LogQL query, or follow one", f.run)
	fl := c.Flags()
	fl.BoolVarP(&f.tail, "tail", "f", false, "print entries as they come in, after the last --limit of the range")
	fl.DurationVar(&f.delay, "delay-for", 0, "with --tail: hold entries back for this `time`, at most 5s, so that late ones get in order")
	fl.BoolVar(&f.explain, "explain", false, "print how the query would be run and what it would read, without running it")
	fl.BoolVar(&f.forward, "forward", false, "take the oldest entries of the range, not the newest")
	fl.BoolVar(&f.autoFields, "auto-fields", false, "know the fields of JSON and logfmt lines without a parser stage")
	fl.StringVarP(&f.output, "output", "o", "table", "what is printed: table, raw (lines or values only) or json (as the server answers)")
	fl.StringVar(&f.color, "color", "auto", "colours in tables: auto (on a terminal, unless NO_COLOR is set), always or never")
	fl.BoolVar(&f.noColor, "no-color", false, "the same as --color=never")
	for _, other := range []string{"explain", "forward"} {
		c.MarkFlagsMutuallyExclusive("tail", other)
	}
	return c
}

func (f *logsFlags) run(ctx context.Context, w io.Writer, expr string) error {
	p, err := f.printer(w)
	if err != nil {
		return err
	}
	if f.tail && f.instant {
		return errors.New("--tail follows a query, --instant evaluates it once")
	}
	if f.tail {
		err = f.follow(ctx, p, expr)
	} else {
		err = f.ask(ctx, w, p, expr)
	}
	return pointOut(err, expr)
}

// printer checks the flags that say how to print.
func (f *logsFlags) printer(w io.Writer) (*linePrinter, error) {
	raw, err := f.setOutput(f.output)
	if err != nil {
		return nil, err
	}
	terminal := isTerminal(w)
	p := &linePrinter{w: w, raw: raw, terminal: terminal}
	switch {
	case f.noColor || f.color == "never":
	case f.color == "always":
		p.color = true
	case f.color == "auto":
		p.color = terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	default:
		return nil, fmt.Errorf("--color: %q is none of auto, always and never", f.color)
	}
	return p, nil
}

// isTerminal reports whether w is a terminal, as far as a character device is one.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (f *logsFlags) ask(ctx context.Context, w io.Writer, p *linePrinter, expr string) error {
	start, end, step, err := f.timeRange()
	if err != nil {
		return err
	}
	path, params := "/loki/api/v1/query_range", url.Values{"query": {expr}, "limit": {strconv.Itoa(f.limit)}}
	if f.instant {
		path = "/loki/api/v1/query"
		params.Set("time", strconv.FormatInt(end.UnixNano(), 10))
	} else {
		params.Set("start", strconv.FormatInt(start.UnixNano(), 10))
		params.Set("end", strconv.FormatInt(end.UnixNano(), 10))
		params.Set("step", strconv.FormatFloat(step.Seconds(), 'f', -1, 64))
	}
	if f.forward {
		params.Set("direction", "forward")
	}
	if f.autoFields {
		params.Set("hune_auto_fields", "true")
	}
	if f.explain {
		var a struct {
			Data explanation `json:"data"`
		}
		return f.explained(ctx, w, path, params, &a, &a.Data)
	}
	var a sampleAnswer
	if ok, err := f.fetch(ctx, w, path, params, &a); !ok {
		return err
	}
	switch {
	case a.Data.ResultType == "streams":
		return p.streams(a.Data.Result)
	case p.raw:
		return printValues(w, a)
	}
	return printSamples(w, a)
}

// printValues prints the values of samples only.
func printValues(w io.Writer, a sampleAnswer) error {
	var series []sampleSeries
	if a.Data.ResultType == "scalar" {
		var v []any
		if err := json.Unmarshal(a.Data.Result, &v); err != nil {
			return err
		}
		series = []sampleSeries{{Value: v}}
	} else if err := json.Unmarshal(a.Data.Result, &series); err != nil {
		return err
	}
	for _, s := range series {
		for _, p := range append(s.Values, s.Value) {
			if len(p) != 2 {
				continue
			}
			if _, err := fmt.Fprintln(w, p[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// logStream is a stream of entries in an answer or a frame.
type logStream struct {
	Stream map[string]string   `json:"stream"`
	Values [][]json.RawMessage `json:"values"`
}

// logLine is one entry, ready to be printed.
type logLine struct {
	ns     int64
	stream map[string]string
	line   string
}

// linesOf returns the entries of streams in time order, oldest first, so that the newest stand next to the prompt.
func linesOf(streams []logStream) ([]logLine, error) {
	var all []logLine
	for _, s := range streams {
		for _, v := range s.Values {
			if len(v) < 2 {
				continue
			}
			var at, line string
			if err := errors.Join(json.Unmarshal(v[0], &at), json.Unmarshal(v[1], &line)); err != nil {
				return nil, fmt.Errorf("entry in the answer: %w", err)
			}
			ns, err := strconv.ParseInt(at, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("timestamp %q in the answer: %w", at, err)
			}
			all = append(all, logLine{ns, s.Stream, line})
		}
	}
	slices.SortStableFunc(all, func(a, b logLine) int { return cmp.Compare(a.ns, b.ns) })
	return all, nil
}

// pointOut adds the query to the error of a server that doesn't understand it, with a mark under each place that is
// wrong and what might have been meant there.
func pointOut(err error, expr string) error {
	var faults []queryFault
	for _, f := range logql.ParseTolerant(expr, len(expr)).Faults {
		faults = append(faults, queryFault{f.From, f.To, f.Hint})
	}
	return pointTo(err, expr, faults)
}
