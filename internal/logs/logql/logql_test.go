package logql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// TestLanguage runs the files in testdata. Commands:
//
//	parse                    each line is a query; prints it, or the error
//	pretty                   the query over several lines
//	clear, load              fill the store (see memory.load)
//	eval [range=0s..1m] [step=10s] [at=1m] [limit=n] [direction=forward] [interval=10s] [auto]
//	                         runs the query; at= makes it an instant query, auto knows fields without a parser
//	plan [range=…] [step=…] [at=…] [limit=…] [direction=…] [interval=…] [pieces=n] [shards=n]
//	                         prints the plan, cut into so many parts
func TestLanguage(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".test") {
			t.Skip("not a test file: fuzz seeds live here too")
		}
		m := &memory{batch: 3}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "parse":
				var b strings.Builder
				for q := range strings.SplitSeq(d.Input, "\n") {
					b.WriteString(parsed(t, q) + "\n")
				}
				return b.String()
			case "pretty":
				e, err := Parse(d.Input)
				if err != nil {
					return err.Error() + "\n"
				}
				return Pretty(e) + "\n"
			case "clear":
				m.rows = nil
				return ""
			case "load":
				m.load(t, d.Input)
				return ""
			case "eval":
				return evaluate(t, m, d)
			case "plan":
				return plan(t, d)
			}
			return "unknown command\n"
		})
	})
}

// parsed prints q and checks that the print parses to the same.
func parsed(t *testing.T, q string) string {
	e, err := Parse(q)
	if err != nil {
		if fault.ClassOf(err) != fault.Invalid {
			t.Errorf("%q: class of %v is not Invalid", q, err)
		}
		return err.Error()
	}
	again, err := Parse(e.String())
	if err != nil || again.String() != e.String() {
		t.Errorf("%q prints as %q, which is %v, %v", q, e, again, err)
	}
	return e.String()
}

// plan prints the plan of a query.
func plan(t *testing.T, d *datadriven.TestData) string {
	var s Split
	args := d.CmdArgs
	d.CmdArgs = nil
	for _, a := range args {
		switch a.Key {
		case "pieces":
			s.Pieces, _ = strconv.Atoi(a.Vals[0])
		case "shards":
			s.Shards, _ = strconv.Atoi(a.Vals[0])
		default:
			d.CmdArgs = append(d.CmdArgs, a)
		}
	}
	r := NewEngine(Options{}).newRun(t.Context(), "t", queryOf(t, d))
	expr, err := Parse(r.q.Expr)
	if err == nil {
		err = r.check(expr)
	}
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	p := r.plan(expr)
	if s.fixed() {
		g, err := r.gridFor(p)
		if err != nil {
			return "error: " + err.Error() + "\n"
		}
		p = r.cut(p, s, g, nil)
	}
	return planText(p)
}

func evaluate(t *testing.T, m *memory, d *datadriven.TestData) string {
	res, err := NewEngine(Options{}).Run(context.Background(), "t", queryOf(t, d), m)
	if err != nil {
		return "error: " + strings.TrimRight(err.Error(), "\n") + "\n"
	}
	return printResult(res)
}

// queryOf reads the arguments of a command.
func queryOf(t *testing.T, d *datadriven.TestData) *logs.Query {
	q := &logs.Query{Kind: logs.Range, Expr: d.Input, Limit: 100, Direction: logs.Forward, End: int64(time.Hour)}
	for _, a := range d.CmdArgs {
		v := ""
		if len(a.Vals) > 0 {
			v = a.Vals[0]
		}
		switch a.Key {
		case "range":
			from, to, _ := strings.Cut(v, "..")
			q.Start, q.End = int64(duration(t, from)), int64(duration(t, to))
		case "step":
			q.Step = int64(duration(t, v))
		case "interval":
			q.Interval = int64(duration(t, v))
		case "at":
			q.Kind = logs.Instant
			q.Start, q.End = int64(duration(t, v)), int64(duration(t, v))
		case "auto":
			q.AutoFields = true
		case "limit":
			q.Limit, _ = strconv.Atoi(v)
		case "direction":
			if v == "backward" {
				q.Direction = logs.Backward
			}
		default:
			t.Fatalf("unknown argument %s", a.Key)
		}
	}
	return q
}

func printResult(res *logs.Result) string {
	var b strings.Builder
	at := func(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }
	for _, s := range res.Streams {
		b.WriteString(labelText(s.Labels) + "\n")
		for _, e := range s.Entries {
			fmt.Fprintf(&b, "  %s %s\n", time.Duration(e.Timestamp), strings.ReplaceAll(e.Line, "\n", "\\n"))
		}
	}
	for _, s := range res.Matrix {
		b.WriteString(labelText(s.Labels))
		for _, p := range s.Points {
			fmt.Fprintf(&b, " %s=%v", at(p.T), p.V)
		}
		b.WriteString("\n")
	}
	for _, s := range res.Vector {
		fmt.Fprintf(&b, "%s %v\n", labelText(s.Labels), s.V)
	}
	if res.Scalar != nil {
		fmt.Fprintf(&b, "%v\n", res.Scalar.V)
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func labelText(ls labels.Labels) string {
	var parts []string
	ls.Range(func(l labels.Label) { parts = append(parts, l.Name+"="+strconv.Quote(l.Value)) })
	return "{" + strings.Join(parts, ", ") + "}"
}
