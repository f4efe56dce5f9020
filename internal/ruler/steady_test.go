package ruler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/history"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
)

// stage is what a group of rules plays on: vectors that a test sets, and all that the rules do.
type stage struct {
	quiet bool // what is done is not noted

	mu       sync.Mutex
	vectors  map[string]promql.Vector // by the name of their series; what rules record replaces them
	fails    map[string]error
	asked    int
	recorded []string
	sent     []string
	calls    int // in which alerts were sent
	events   []string
}

func newStage() *stage {
	return &stage{vectors: map[string]promql.Vector{}, fails: map[string]error{}}
}

// Run implements job.Runner.
func (s *stage) Run(_ context.Context, j job.Job) (job.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if err := s.fails[j.Metrics.Expr]; err != nil {
		return job.Result{}, err
	}
	return job.Result{Metrics: &metrics.Result{Value: slices.Clone(s.vectors[j.Metrics.Expr])}}, nil
}

// PushMetrics implements Pusher.
func (s *stage) PushMetrics(_ context.Context, b *metrics.Batch) (metrics.PushResult, error) {
	for _, one := range b.Series {
		for _, p := range one.Samples {
			s.record(one.Labels, p.T, p.V)
		}
		for _, p := range one.Histograms {
			s.record(one.Labels, p.T, p.FH.Sum)
		}
	}
	return metrics.PushResult{}, nil
}

func (s *stage) record(ls labels.Labels, t int64, v float64) {
	if s.quiet {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprint(v)
	if value.IsStaleNaN(v) {
		text = "stale"
	}
	s.recorded = append(s.recorded, fmt.Sprintf("%s %d %s", ls, t, text))
	if name := ls.Get(labels.MetricName); name == "recorded" {
		others := slices.DeleteFunc(slices.Clone(s.vectors[name]), func(x promql.Sample) bool { return labels.Equal(x.Metric, ls) })
		if !value.IsStaleNaN(v) {
			others = append(others, promql.Sample{Metric: ls, T: t, F: v})
		}
		s.vectors[name] = others
	}
}

// SendAlerts implements Sender.
func (s *stage) SendAlerts(_ context.Context, _ string, alerts []Alert) error {
	if s.quiet {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	for _, a := range alerts {
		s.sent = append(s.sent, fmt.Sprintf("%s %s %s..%s %s", a.Labels, a.Annotations, a.StartsAt, a.EndsAt, a.GeneratorURL))
	}
	return nil
}

// Record implements Recorder.
func (s *stage) Record(_ string, e history.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf("%+v", e))
}

// did returns what was done since it was last asked, in an order of its own.
func (s *stage) did() (recorded, sent, events []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	recorded, sent, events = s.recorded, s.sent, s.events
	s.recorded, s.sent, s.events = nil, nil, nil
	for _, list := range [][]string{recorded, sent, events} {
		slices.Sort(list)
	}
	return recorded, sent, events
}

// troupe evaluates the groups of one manager, of this package or, upstream, of Prometheus.
type troupe struct {
	*stage
	upstream bool
	manager  *manager
	changes  *changes
	group    *promrules.Group
}

func newTroupe(upstream bool) *troupe {
	s := newStage()
	cfg := DefaultConfig()
	cfg.ExternalLabels = map[string]string{"cluster": "eu", "empty": ""}
	r := &Ruler{o: Options{Config: cfg, Runner: s, Pusher: s, Alerts: s, History: s, ExternalURL: &url.URL{Scheme: "http", Host: "hune", Path: "/x"}, Logger: slog.New(slog.DiscardHandler)},
		metrics: promrules.NewGroupMetrics(prometheus.NewRegistry())}
	k := key{tenant: "a", signal: signal.Metrics}
	m := r.newManager(k)
	if upstream {
		// As it comes from Prometheus.
		o := &promrules.ManagerOptions{NameValidationScheme: model.UTF8Validation, ExternalURL: r.o.ExternalURL, NotifyFunc: r.notify(k), Context: context.Background(),
			QueryFunc:  Query(s, "a", signal.Metrics, 0, time.Minute),
			Appendable: appendable{s, k.tenant}, Logger: r.o.Logger, ResendDelay: time.Duration(cfg.ResendDelay), GroupLoader: m.loader, Metrics: r.metrics,
			MaxConcurrentEvals: 4, ConcurrentEvalsEnabled: true}
		m.Manager = promrules.NewManager(o)
	}
	return &troupe{stage: s, upstream: upstream, manager: m,
		changes: &changes{r: r, tenant: "a", steady: m.steady, now: time.Now, pending: map[*promrules.AlertingRule]map[uint64]labels.Labels{}}}
}

// play makes a group the one that is evaluated. It goes on with the state of the one before.
func (p *troupe) play(t require.TestingT, g rules.Group) {
	p.manager.loader.source = source{"file": {g}}
	groups, errs := p.manager.LoadGroups(time.Minute, labels.FromMap(p.changes.r.o.Config.ExternalLabels), p.changes.r.o.ExternalURL.String(), nil, false, "file")
	require.Empty(t, errs)
	for _, loaded := range groups {
		if p.group != nil {
			loaded.CopyState(p.group)
		}
		p.group = loaded
	}
	p.manager.steady.keep([]*promrules.Group{p.group})
}

func (p *troupe) evaluate(at time.Time) {
	if !p.upstream {
		p.changes.iterate(context.Background(), p.group, at)
		return
	}
	promrules.DefaultEvalIterationFunc(context.Background(), p.group, at)
	for _, rule := range p.group.Rules() {
		if alerting, ok := rule.(*promrules.AlertingRule); ok {
			p.changes.record(p.group, alerting, at)
		}
	}
}

func (p *troupe) restored() {
	for _, rule := range p.group.AlertingRules() {
		rule.SetRestored(true)
	}
}

// state is all that can be seen of the rules.
func (p *troupe) state(t require.TestingT) []string {
	var out []string
	for _, rule := range p.group.Rules() {
		out = append(out, fmt.Sprintf("%s %s %v", rule.Name(), rule.Health(), rule.LastError()))
		if alerting, ok := rule.(*promrules.AlertingRule); ok {
			var alerts []string
			alerting.ForEachActiveAlert(func(a *promrules.Alert) { alerts = append(alerts, fmt.Sprintf("%+v", *a)) })
			slices.Sort(alerts)
			out = append(out, alerts...)
			require.False(t, alerting.GetEvaluationTimestamp().IsZero())
		}
	}
	m := p.changes.r.metrics
	for name, v := range map[string]*prometheus.CounterVec{"evaluations": m.EvalTotal, "failures": m.EvalFailures} {
		out = append(out, fmt.Sprintf("%s %v", name, numberOf(t, v.WithLabelValues("file;g"))))
	}
	out = append(out, fmt.Sprintf("samples %v", numberOf(t, m.GroupSamples.WithLabelValues("file;g"))))
	slices.Sort(out[len(out)-3:])
	return out
}

// The templates of labels and annotations: what is plain, what follows from the sample, what doesn't, and what fails.
var texts = []string{"page", "", "a } b", `{{ "" }}`, "{{ $value }}", "{{ .Value | humanize }}/{{ humanize1024 $value }}", "{{ $labels.instance }} {{ $labels.nothing }}", "{{ $labels }}",
	"{{ $externalLabels.cluster }} {{ $externalURL }} {{ externalURL }}{{ pathPrefix }}", `{{ if gt $value 2.0 }}high{{ else }}low{{ end }}`, `{{ query "other" | first | value }}`,
	`{{ range query "other" | sortByLabel "instance" }}{{ .Labels.instance }}={{ .Value }} {{ end }}`, "{{ now | toTime }}", `{{ define "x" }}in{{ end }}{{ template "x" }}`, `{{ template "x" }}`,
	"{{ .Nothing.At.All }}", "{{ $unknown }}", "{{ if }}", `{{ first (query "none") }}`, `{{ reReplaceAll "o(.)" "$1" $labels.instance | title }}`, `{{ reReplaceAll "(" "" "" }}`,
	`{{- printf "%.1f" $value -}} x`, `{{ $labels.instance | stripPort | toUpper }} {{ humanizeDuration $value }} {{ humanizePercentage $value }}`, `{{ "a" | parseDuration }}`,
	`{{ tableLink "up" }} {{ graphLink "up" }} {{ args 1 $value }} {{ urlQueryEscape "a b" }}`}

// drawRule draws a rule. Those that stand before the recording rule don't read what it records: whether they find it is
// chance.
func drawRule(t *rapid.T, exprs []string) rules.Rule {
	text := rapid.SampledFrom(texts)
	few := func(names ...string) map[string]string {
		out := map[string]string{}
		for _, name := range names {
			if rapid.Bool().Draw(t, "has "+name) {
				out[name] = text.Draw(t, name)
			}
		}
		return out
	}
	durations := rapid.SampledFrom([]model.Duration{0, 0, model.Duration(time.Minute), model.Duration(5 * time.Minute)})
	return rules.Rule{Alert: rapid.SampledFrom([]string{"A", "B"}).Draw(t, "alert"), Expr: rapid.SampledFrom(exprs).Draw(t, "expr"),
		For: durations.Draw(t, "for"), KeepFiringFor: durations.Draw(t, "keep"), Labels: few("severity", "instance"), Annotations: few("summary", "text")}
}

func drawGroup(t *rapid.T) rules.Group {
	g := rules.Group{Name: "g", Limit: rapid.SampledFrom([]int{0, 0, 0, 2}).Draw(t, "limit")}
	if rapid.Bool().Draw(t, "offset") {
		d := model.Duration(time.Minute)
		g.QueryOffset = &d
	}
	exprs := []string{"one", "two"}
	for range rapid.IntRange(1, 4).Draw(t, "rules") {
		if len(exprs) == 2 && rapid.IntRange(0, 3).Draw(t, "records") == 0 {
			g.Rules = append(g.Rules, rules.Rule{Record: "recorded", Expr: "basis"})
			exprs = append(exprs, "recorded")
			continue
		}
		g.Rules = append(g.Rules, drawRule(t, exprs))
	}
	return g
}

func drawVector(t *rapid.T, name string) promql.Vector {
	var out promql.Vector
	for _, instance := range []string{"foo:1", "bar", ""} {
		v := rapid.SampledFrom([]float64{-1, -1, 0, 1, 1, 1, 3, 1500, math.NaN(), math.Inf(1)}).Draw(t, name)
		if v < 0 {
			continue
		}
		s := promql.Sample{Metric: labels.FromMap(map[string]string{labels.MetricName: name, "instance": instance, "job": "j"}), F: v}
		if v == 3 && rapid.Bool().Draw(t, "histogram") {
			s.F, s.H = 0, tsdbutil.GenerateTestFloatHistogram(1)
		}
		out = append(out, s)
	}
	return rapid.Permutation(out).Draw(t, "order")
}

// Whatever becomes of rules, series and times, all that can be seen is what Prometheus's rule manager does.
func TestSteadyRulesAreThoseOfPrometheus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		both := []*troupe{newTroupe(false), newTroupe(true)}
		each := func(f func(p *troupe)) {
			for _, p := range both {
				f(p)
			}
		}
		g := drawGroup(t)
		each(func(p *troupe) { p.play(t, g) })
		at := time.Unix(1_700_000_000, 500).UTC()
		restored := rapid.IntRange(0, 2).Draw(t, "restored")
		for turn := range rapid.IntRange(1, 12).Draw(t, "turns") {
			if turn == restored {
				each((*troupe).restored)
			}
			switch rapid.IntRange(0, 11).Draw(t, "happens") {
			case 0:
				g = drawGroup(t)
				each(func(p *troupe) { p.play(t, g); p.restored() })
			case 1:
				name, err := rapid.SampledFrom([]string{"one", "two", "other", "basis"}).Draw(t, "fails"), errors.New("no answer")
				each(func(p *troupe) { p.fails[name] = err })
			case 2:
				each(func(p *troupe) { clear(p.fails) })
			case 3, 4, 5:
				name := rapid.SampledFrom([]string{"one", "two", "other", "basis"}).Draw(t, "changes")
				v := drawVector(t, name)
				each(func(p *troupe) { p.vectors[name] = v })
			case 6:
				at = at.Add(20 * time.Minute)
			}
			at = at.Add(rapid.SampledFrom([]time.Duration{30 * time.Second, time.Minute, 2 * time.Minute}).Draw(t, "later"))
			each(func(p *troupe) { p.evaluate(at) })
			require.Equal(t, both[1].state(t), both[0].state(t), "turn %d", turn)
			recorded, sent, events := both[1].did()
			gotRecorded, gotSent, gotEvents := both[0].did()
			require.Equal(t, recorded, gotRecorded, "turn %d", turn)
			require.Equal(t, sent, gotSent, "turn %d", turn)
			require.Equal(t, events, gotEvents, "turn %d", turn)
		}
	})
}

func numberOf(t require.TestingT, m prometheus.Metric) float64 {
	var out dto.Metric
	require.NoError(t, m.Write(&out))
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}

// A rule that stays as it is, is evaluated here; any change leaves it to the manager for that turn and the next.
func TestWhatIsSteady(t *testing.T) {
	p := newTroupe(false)
	p.play(t, rules.Group{Name: "g", Rules: []rules.Rule{
		{Record: "recorded", Expr: "basis"},
		{Alert: "A", Expr: "one", Labels: map[string]string{"severity": "{{ if gt $value 5.0 }}high{{ else }}low{{ end }}"}, Annotations: map[string]string{"text": "{{ $value }}"}},
		{Alert: "B", Expr: "recorded"},
	}})
	p.restored()
	at := time.Unix(1_700_000_000, 0)
	sample := func(instance string, v float64) promql.Sample {
		return promql.Sample{Metric: labels.FromStrings(labels.MetricName, "one", "instance", instance), F: v}
	}
	for _, turn := range []struct {
		name   string
		vector promql.Vector
		here   bool
	}{
		{"the first is the manager's", nil, false},
		{"nothing fires", nil, true},
		{"two fire", promql.Vector{sample("a", 1), sample("b", 1)}, false},
		{"they stay", promql.Vector{sample("a", 1), sample("b", 1)}, true},
		{"in another order", promql.Vector{sample("b", 1), sample("a", 1)}, true},
		{"with other values", promql.Vector{sample("a", 2), sample("b", 3)}, true},
		{"a label follows from the value", promql.Vector{sample("a", 2), sample("b", 7)}, false},
		{"and stays", promql.Vector{sample("a", 2), sample("b", 7)}, true},
		{"one ends", promql.Vector{sample("a", 2)}, false},
		{"the other stays", promql.Vector{sample("a", 2)}, true},
		{"another takes its place", promql.Vector{sample("c", 2)}, false},
	} {
		at = at.Add(time.Minute)
		p.vectors["one"], p.vectors["basis"] = turn.vector, promql.Vector{{Metric: labels.EmptyLabels(), F: 1}}
		asked := p.asked
		p.evaluate(at)
		require.Equal(t, turn.here, p.changes.steady.of(p.group).rules[1].done, turn.name)
		require.Equal(t, 3, p.asked-asked, "%s: each query is asked once", turn.name)
	}
	require.True(t, p.changes.steady.of(p.group).rules[2].done, "it reads what a rule before it records")
	p.manager.steady.paused.Store(true)
	p.evaluate(at.Add(time.Minute))
	require.False(t, p.changes.steady.of(p.group).rules[2].done, "groups are replaced")
	require.NoError(t, p.manager.Update(time.Minute, nil, labels.EmptyLabels(), "", nil))
	require.False(t, p.manager.steady.paused.Load())
	p.manager.steady.keep(nil)
	require.Empty(t, p.manager.steady.groups)
}

// An alert that is kept firing and comes back has its whole keep_firing_for again when it is gone once more.
func TestKeptAlertsThatComeBack(t *testing.T) {
	both := []*troupe{newTroupe(false), newTroupe(true)}
	at := time.Unix(1_700_000_000, 0)
	for turn, fires := range []bool{true, true, false, false, true, true, false, false, true, false, false, false, false, false} {
		at = at.Add(time.Minute)
		for _, p := range both {
			if turn == 0 {
				p.play(t, rules.Group{Name: "g", Rules: []rules.Rule{{Alert: "A", Expr: "one", KeepFiringFor: model.Duration(3 * time.Minute)}}})
				p.restored()
			}
			p.vectors["one"] = nil
			if fires {
				p.vectors["one"] = promql.Vector{{F: 1}}
			}
			p.evaluate(at)
		}
		require.Equal(t, both[1].state(t), both[0].state(t), "turn %d", turn)
	}
}

// Alerts that were told of before go together, those that are new at once.
func TestRepeatsGoTogether(t *testing.T) {
	p := newTroupe(false)
	g := rules.Group{Name: "g"}
	for i := range 3 {
		g.Rules = append(g.Rules, rules.Rule{Alert: fmt.Sprintf("A%d", i), Expr: "one"})
	}
	p.play(t, g)
	p.restored()
	at := time.Unix(1_700_000_000, 0)
	for i := range maxResent/3 + 1 {
		p.vectors["one"] = append(p.vectors["one"], promql.Sample{Metric: labels.FromStrings("i", fmt.Sprint(i)), F: 1})
	}
	n := 3 * len(p.vectors["one"])
	for _, turn := range []struct {
		later       time.Duration
		sent, calls int
	}{{0, n, 3}, {time.Minute, 0, 0}, {time.Second, n, 2}, {time.Minute, 0, 0}} {
		at = at.Add(turn.later)
		p.calls = 0
		p.evaluate(at)
		_, sent, _ := p.did()
		require.Len(t, sent, turn.sent)
		require.Equal(t, turn.calls, p.calls)
	}
}

// A group of a hundred rules of which each has two alerts.
func BenchmarkFiringRules(b *testing.B) {
	g := rules.Group{Name: "g"}
	for i := range 100 {
		g.Rules = append(g.Rules, rules.Rule{Alert: fmt.Sprintf("Load%d", i), Expr: "one", Labels: map[string]string{"severity": "page"},
			Annotations: map[string]string{"summary": "load of {{ $labels.instance }} is {{ $value }}"}})
	}
	for _, bench := range []struct {
		name     string
		upstream bool
		step     float64
	}{{"here, the values stay", false, 0}, {"here, the values change", false, 1}, {"Prometheus, the values stay", true, 0}, {"Prometheus, the values change", true, 1}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			p := newTroupe(bench.upstream)
			p.quiet = true
			p.play(b, g)
			p.restored()
			at, v := time.Unix(1_700_000_000, 0), 200.0
			for range 3 {
				p.vectors["one"] = promql.Vector{{Metric: labels.FromStrings("instance", "a"), F: v}, {Metric: labels.FromStrings("instance", "b"), F: v}}
				p.evaluate(at)
				at = at.Add(time.Minute)
			}
			for b.Loop() {
				v += bench.step
				p.vectors["one"] = promql.Vector{{Metric: labels.FromStrings("instance", "a"), F: v}, {Metric: labels.FromStrings("instance", "b"), F: v}}
				p.evaluate(at)
				at = at.Add(time.Minute)
			}
		})
	}
}
