package unittest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/ruler"
	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
)

// groups are the groups of the rule files, by signal and file.
type groups map[signal.Signal]map[string][]rules.Group

// load reads the rule files.
func (f *File) load() (groups, error) {
	out := groups{}
	var errs []error
	for _, name := range f.RuleFiles {
		content, err := os.ReadFile(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		file, faults := rules.DecodeFile(content, ruler.Check)
		for _, err := range faults {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		if len(faults) > 0 {
			continue
		}
		for _, g := range file.Groups {
			if g.Signal == signal.Traces {
				errs = append(errs, fmt.Errorf("%s: group %q: rules about traces can't be tested", name, g.Name))
				continue
			}
			if out[g.Signal] == nil {
				out[g.Signal] = map[string][]rules.Group{}
			}
			out[g.Signal][name] = append(out[g.Signal][name], g)
		}
	}
	return out, errors.Join(errs...)
}

// queryTimeout bounds one evaluation.
const queryTimeout = time.Minute

// run runs one test and returns what is wrong.
func (t *Test) run(f *File, loaded groups) (faults []error) {
	interval := t.Interval
	if interval == 0 {
		interval = f.EvaluationInterval
	}
	start := time.Unix(0, 0).UTC()
	if !t.StartTimestamp.IsZero() {
		start = t.StartTimestamp.Time
	}
	var load strings.Builder
	fmt.Fprintf(&load, "load %s\n", interval)
	for _, s := range t.InputSeries {
		fmt.Fprintf(&load, "  %s %s\n", s.Series, s.Values)
	}
	suite, err := promqltest.NewLazyLoader(load.String(), promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true, StartTime: t.StartTimestamp.Time})
	if err != nil {
		return []error{err}
	}
	defer func() {
		if err := suite.Close(); err != nil {
			faults = append(faults, err)
		}
	}()
	suite.SubqueryInterval = time.Duration(f.EvaluationInterval)
	lines, err := newLines(t.InputLogs, start)
	if err != nil {
		return []error{err}
	}
	all, errs := t.groups(f, loaded, suite, lines, time.Duration(interval))
	if len(errs) > 0 {
		return errs
	}
	faults = t.evaluate(f, all, suite, start)
	same := equal(f.FuzzyCompare)
	promQuery := promrules.EngineQueryFunc(suite.QueryEngine(), suite.Storage())
	for _, of := range []struct {
		tests []ExprTest
		query promrules.QueryFunc
	}{{t.PromQL, promQuery}, {t.LogQL, ruler.Query(lines, tenantID, signal.Logs, 0, queryTimeout)}} {
		for i := range of.tests {
			if err := of.tests[i].check(suite.Context(), of.query, start, same); err != nil {
				faults = append(faults, err)
			}
		}
	}
	return faults
}

// groups makes the groups of both signals, in the order asked for.
func (t *Test) groups(f *File, loaded groups, suite *promqltest.LazyLoader, lines *lines, interval time.Duration) ([]*promrules.Group, []error) {
	var all []*promrules.Group
	for _, s := range []signal.Signal{signal.Metrics, signal.Logs} {
		options := &promrules.ManagerOptions{NameValidationScheme: model.UTF8Validation, Appendable: suite.Storage(), Queryable: suite.Storage(), Context: context.Background(),
			NotifyFunc: func(context.Context, string, ...*promrules.Alert) {}, Logger: slog.New(slog.DiscardHandler), GroupLoader: ruler.Loader(s, loaded[s]),
			QueryFunc: promrules.EngineQueryFunc(suite.QueryEngine(), suite.Storage())}
		if s == signal.Logs {
			options.QueryFunc = ruler.Query(lines, tenantID, s, 0, queryTimeout)
			options.RuleDependencyController = ruler.Independent{}
		}
		var files []string
		for name := range loaded[s] {
			files = append(files, name)
		}
		slices.Sort(files)
		made, errs := promrules.NewManager(options).LoadGroups(interval, labels.FromMap(t.ExternalLabels), t.ExternalURL, nil, false, files...)
		if len(errs) > 0 {
			return nil, errs
		}
		for _, g := range made {
			all = append(all, g)
		}
	}
	order := func(g *promrules.Group) int { return max(0, slices.Index(f.GroupEvalOrder, g.Name())) }
	slices.SortFunc(all, func(x, y *promrules.Group) int {
		return cmp.Or(cmp.Compare(order(x), order(y)), strings.Compare(x.File(), y.File()), strings.Compare(x.Name(), y.Name()))
	})
	for _, g := range all {
		for _, r := range g.AlertingRules() {
			r.SetRestored(true) // so that ALERTS is there from the first evaluation on
		}
	}
	return all, nil
}

// evaluate evaluates the groups over time, and compares alerts where a test asks for them. An expected time
// between two evaluations is that of the one before.
func (t *Test) evaluate(f *File, all []*promrules.Group, suite *promqltest.LazyLoader, start time.Time) (faults []error) {
	interval := time.Duration(f.EvaluationInterval)
	for i, a := range t.Alerts {
		if a.AlertName == "" {
			return []error{fmt.Errorf("alert_rule_test %d at %s has no alertname", i, a.EvalTime)}
		}
	}
	for at := start; !at.After(start.Add(t.end())); at = at.Add(interval) {
		var failed []error
		suite.WithSamplesTill(at, func(err error) {
			if err != nil {
				failed = append(failed, err)
				return
			}
			for _, g := range all {
				g.Eval(suite.Context(), at)
				for _, r := range g.Rules() {
					if err := r.LastError(); err != nil {
						failed = append(failed, fmt.Errorf("rule %s at %s: %w", r.Name(), model.Duration(at.Sub(start)), err))
					}
				}
			}
		})
		if len(failed) > 0 {
			return append(faults, failed...)
		}
		for _, a := range t.Alerts {
			if after := time.Duration(a.EvalTime) - at.Sub(start); after >= 0 && after < interval {
				if err := a.check(all); err != nil {
					faults = append(faults, err)
				}
			}
		}
	}
	return faults
}

// check compares the firing alerts of a name.
func (a *AlertTest) check(all []*promrules.Group) error {
	var got, want []string
	for _, g := range all {
		for _, r := range g.AlertingRules() {
			if r.Name() != a.AlertName {
				continue
			}
			for _, alert := range r.ActiveAlerts() {
				if alert.State == promrules.StateFiring {
					got = append(got, shown(alert.Labels, alert.Annotations))
				}
			}
		}
	}
	for _, e := range a.Expected {
		ls := map[string]string{labels.AlertName: a.AlertName}
		for n, v := range e.Labels {
			ls[n] = v
		}
		want = append(want, shown(labels.FromMap(ls), labels.FromMap(e.Annotations)))
	}
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("alertname: %s, time: %s,\n    exp: %s\n    got: %s", a.AlertName, a.EvalTime, listed(want), listed(got))
}

func shown(ls, annotations labels.Labels) string {
	return "Labels:" + ls.String() + " Annotations:" + annotations.String()
}

func listed(all []string) string {
	if len(all) == 0 {
		return "[]"
	}
	return strings.Join(all, "\n         ")
}

// equal compares two values; fuzzy takes neighbours as equal.
func equal(fuzzy bool) func(x, y float64) bool {
	return func(x, y float64) bool {
		return x == y || math.IsNaN(x) && math.IsNaN(y) || fuzzy && (math.Nextafter(x, math.Inf(-1)) == y || math.Nextafter(x, math.Inf(1)) == y)
	}
}

// sample is one of an answer.
type sample struct {
	labels    string
	value     float64
	histogram string
}

// String shows it as Prometheus's tests do.
func (s sample) String() string {
	if s.histogram != "" {
		return s.labels + " " + s.histogram
	}
	return fmt.Sprintf("%s %v", s.labels, s.value)
}

func (e *ExprTest) check(ctx context.Context, query promrules.QueryFunc, start time.Time, same func(x, y float64) bool) error {
	fail := func(err error) error { return fmt.Errorf("expr: %q, time: %s: %w", e.Expr, e.EvalTime, err) }
	v, err := query(ctx, e.Expr, start.Add(time.Duration(e.EvalTime)))
	if err != nil {
		return fail(err)
	}
	var got, want []sample
	for _, s := range v {
		got = append(got, sample{s.Metric.String(), s.F, promqltest.HistogramTestExpression(s.H)})
	}
	for _, x := range e.Expected {
		ls, err := parser.ParseMetric(x.Labels)
		if err != nil {
			return fail(fmt.Errorf("labels %q: %w", x.Labels, err))
		}
		var h *histogram.FloatHistogram
		if x.Histogram != "" {
			if _, values, err := parser.ParseSeriesDesc("{} " + x.Histogram); err != nil || len(values) != 1 || values[0].Histogram == nil {
				return fail(fmt.Errorf("%q is not one histogram: %w", x.Histogram, err))
			} else {
				h = values[0].Histogram
			}
		}
		want = append(want, sample{ls.String(), x.Value, promqltest.HistogramTestExpression(h)})
	}
	order := func(x, y sample) int { return strings.Compare(x.labels, y.labels) }
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if slices.EqualFunc(want, got, func(x, y sample) bool {
		return x.labels == y.labels && x.histogram == y.histogram && (x.histogram != "" || same(x.value, y.value))
	}) {
		return nil
	}
	return fmt.Errorf("expr: %q, time: %s,\n    exp: %v\n    got: %v", e.Expr, e.EvalTime, want, got)
}

// tenantID is whose the lines are.
const tenantID = "test"

// lines answers LogQL over the lines of a test.
type lines struct {
	engine *logql.Engine
	source logs.Source
}

func newLines(streams []Stream, start time.Time) (*lines, error) {
	batch := &logs.Batch{}
	for _, s := range streams {
		ls, err := parser.ParseMetric(s.Stream)
		if err != nil {
			return nil, fmt.Errorf("input_logs: stream %q: %w", s.Stream, err)
		}
		out := logs.Stream{Labels: ls}
		for _, l := range s.Lines {
			if l.Times > 1 && l.Every <= 0 {
				return nil, fmt.Errorf("input_logs: stream %q: %d times %q need every, the time between them", s.Stream, l.Times, l.Line)
			}
			var metadata []logs.Label
			for n, v := range l.Metadata {
				metadata = append(metadata, logs.Label{Name: n, Value: v})
			}
			slices.SortFunc(metadata, func(x, y logs.Label) int { return strings.Compare(x.Name, y.Name) })
			for i := range max(1, l.Times) {
				at := start.Add(time.Duration(l.At) + time.Duration(i)*time.Duration(l.Every))
				out.Entries = append(out.Entries, logs.Entry{Timestamp: at.UnixNano(), Line: l.Line, Metadata: metadata})
			}
		}
		batch.Streams = append(batch.Streams, out)
	}
	head := logs.NewHead(logs.HeadOptions{})
	head.Append(batch)
	return &lines{logql.NewEngine(logql.Options{}), logs.NewSource(func(context.Context, string, int64, int64) ([]logs.Part, error) {
		return []logs.Part{head}, nil
	})}, nil
}

// Run implements job.Runner.
func (l *lines) Run(ctx context.Context, j job.Job) (job.Result, error) {
	if j.Logs == nil {
		return job.Result{}, errors.New("only logs can be asked")
	}
	res, err := l.engine.Run(ctx, j.Tenant, j.Logs, l.source)
	return job.Result{Logs: res}, err
}
