package ruler

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/util/teststorage"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/history"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
)

// world is what is around a ruler: a database of Prometheus that it asks and records to, and ears for
// what it tells.
type world struct {
	t       *testing.T
	storage *teststorage.TestStorage
	engine  *promql.Engine

	mu      sync.Mutex
	fail    error // of every query
	alerts  []Alert
	events  []history.Event
	logs    []string      // LogQL asked
	times   []int64       // that metrics were asked about, in ms
	hold    chan struct{} // what is asked waits for it, if set
	pushes  int
	refused struct { // a series that can't be stored, and why
		name string
		err  error
	}
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, storage: teststorage.New(t), engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})}
	t.Cleanup(func() { _ = w.storage.Close() })
	return w
}

// Run implements job.Runner.
func (w *world) Run(ctx context.Context, j job.Job) (job.Result, error) {
	w.mu.Lock()
	err := w.fail
	if j.Logs != nil {
		w.logs = append(w.logs, j.Logs.Expr)
	}
	if j.Metrics != nil {
		w.times = append(w.times, j.Metrics.Start)
	}
	hold := w.hold
	w.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if err != nil {
		return job.Result{}, err
	}
	if j.Metrics == nil {
		return job.Result{}, errors.New("there are metrics alone")
	}
	q, err := w.engine.NewInstantQuery(ctx, w.storage, nil, j.Metrics.Expr, time.UnixMilli(j.Metrics.Start))
	if err != nil {
		return job.Result{}, err
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return job.Result{}, res.Err
	}
	switch v := res.Value.(type) { // the engine takes its memory back
	case promql.Vector:
		return job.Result{Metrics: &metrics.Result{Value: append(promql.Vector(nil), v...)}}, nil
	case promql.Matrix:
		out := make(promql.Matrix, len(v))
		for i, s := range v {
			out[i] = promql.Series{Metric: s.Metric, Floats: append([]promql.FPoint(nil), s.Floats...)}
		}
		return job.Result{Metrics: &metrics.Result{Value: out}}, nil
	}
	return job.Result{Metrics: &metrics.Result{Value: res.Value}}, nil
}

// PushMetrics implements Pusher.
func (w *world) PushMetrics(ctx context.Context, b *metrics.Batch) (metrics.PushResult, error) {
	w.mu.Lock()
	w.pushes++
	refused := w.refused
	w.mu.Unlock()
	for _, s := range b.Series {
		if refused.err != nil && s.Labels.Get(labels.MetricName) == refused.name {
			return metrics.PushResult{}, refused.err
		}
	}
	app := w.storage.Appender(ctx)
	for _, s := range b.Series {
		for _, p := range s.Samples {
			if _, err := app.Append(0, s.Labels, p.T, p.V); err != nil {
				return metrics.PushResult{Rejected: []metrics.Rejection{{Reason: "x", Message: err.Error(), Count: 1}}}, app.Rollback()
			}
		}
	}
	return metrics.PushResult{}, app.Commit()
}

// writes returns how often something was stored, or was to be.
func (w *world) writes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pushes
}

// refuse lets writes of a series fail.
func (w *world) refuse(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused.name, w.refused.err = name, err
}

// value is what a series holds at a time.
func (w *world) value(name string, at time.Time) float64 {
	w.t.Helper()
	res, err := w.Run(w.t.Context(), job.Job{Metrics: &metrics.Query{Expr: name, Start: at.UnixMilli()}})
	require.NoError(w.t, err)
	v, ok := res.Metrics.Value.(promql.Vector)
	require.True(w.t, ok && len(v) == 1, "%s: %v", name, res.Metrics.Value)
	return v[0].F
}

// SendAlerts implements Sender.
func (w *world) SendAlerts(_ context.Context, _ string, alerts []Alert) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.alerts = append(w.alerts, alerts...)
	return nil
}

// Record implements Recorder.
func (w *world) Record(_ string, e history.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *world) setFail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = err
}

// states returns the changes of an alert, in order.
func (w *world) states(name string) (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.AlertName == name {
			out = append(out, e.State)
		}
	}
	return out
}

func (w *world) sent(name string) (out []Alert) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.alerts {
		if a.Labels.Get("alertname") == name {
			out = append(out, a)
		}
	}
	return out
}

// set gives a series a value now.
func (w *world) set(series string, v float64) {
	w.t.Helper()
	app := w.storage.Appender(w.t.Context())
	_, err := app.Append(0, labels.FromStrings("__name__", series, "job", "a"), time.Now().UnixMilli(), v)
	require.NoError(w.t, err)
	require.NoError(w.t, app.Commit())
}

// ruler runs a ruler on rule files of this text; the file's name is returned, too.
func (w *world) ruler(text string, change ...func(*Options)) (*Ruler, string) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "rules.yml")
	require.NoError(w.t, os.WriteFile(file, []byte(text), 0o600))
	cfg := DefaultConfig()
	cfg.Defaults, cfg.Files = false, []string{file}
	cfg.EvaluationInterval, cfg.PollInterval, cfg.ResendDelay = model.Duration(50*time.Millisecond), model.Duration(time.Hour), model.Duration(time.Millisecond)
	store := rules.NewStore(objstore.NewInMemBucket())
	o := Options{Config: cfg, Runner: w, Pusher: w, Store: store, Alerts: w, History: w, ExternalURL: &url.URL{Scheme: "http", Host: "hune"},
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
	for _, f := range change {
		f(&o)
	}
	r, err := New(o)
	require.NoError(w.t, err)
	store.OnChange(r.Changed)
	require.NoError(w.t, services.StartAndAwaitRunning(w.t.Context(), r))
	w.t.Cleanup(func() { _ = services.StopAndAwaitTerminated(context.Background(), r) })
	return r, file
}

// soon waits for a condition.
func soon(t *testing.T, f func() bool, what ...any) {
	t.Helper()
	require.Eventually(t, f, 20*time.Second, 10*time.Millisecond, what...)
}

func TestLifeOfAnAlert(t *testing.T) {
	w := newWorld(t)
	w.set("load", 7)
	r, _ := w.ruler(`groups: [{name: g, labels: {team: x}, rules: [
		{record: load:double, expr: load * 2},
		{alert: High, expr: 'load:double > 10', annotations: {summary: 'load {{ $value }} in {{ $externalLabels.cluster }}, of {{ query "load" | first | value }}'}}]}]`,
		func(o *Options) { o.Config.ExternalLabels = map[string]string{"cluster": "eu"} })
	soon(t, func() bool { return len(w.sent("High")) > 0 })
	a := w.sent("High")[0]
	require.Equal(t, `{alertname="High", job="a", team="x"}`, a.Labels.String())
	require.Equal(t, "load 14 in eu, of 7", a.Annotations.Get("summary"))
	require.Equal(t, "http://hune/ui/explore/metrics?m=load%3Adouble+%3E+10", a.GeneratorURL)
	require.True(t, a.EndsAt.After(time.Now()))
	w.set("load", 1)
	soon(t, func() bool { as := w.sent("High"); return !as[len(as)-1].EndsAt.After(time.Now()) }, "it ends")
	require.Equal(t, []string{"firing", "inactive"}, w.states("High"))
	groups := r.Groups("anonymous", signal.Metrics)
	require.Len(t, groups, 1)
	require.Equal(t, promrules.HealthGood, groups[0].Rules()[1].Health())
	require.Empty(t, r.Groups("other", signal.Metrics))
}

func TestPendingAlertsThatEnd(t *testing.T) {
	w := newWorld(t)
	w.set("load", 7)
	w.ruler(`groups: [{name: g, rules: [{alert: Slow, expr: load > 5, for: 1h}]}]`)
	soon(t, func() bool { return len(w.states("Slow")) == 1 })
	w.set("load", 1)
	soon(t, func() bool { return len(w.states("Slow")) == 2 })
	require.Equal(t, []string{"pending", "inactive"}, w.states("Slow"))
	require.Empty(t, w.sent("Slow"))
}

func TestKeepFiringFor(t *testing.T) {
	w := newWorld(t)
	w.set("load", 7)
	r, _ := w.ruler(`groups: [{name: g, rules: [{alert: Long, expr: load > 5, keep_firing_for: 1h}, {alert: Short, expr: load > 5}]}]`)
	soon(t, func() bool { return len(w.sent("Long")) > 0 && len(w.sent("Short")) > 0 })
	w.set("load", 1)
	soon(t, func() bool { return len(w.states("Short")) == 2 })
	alerts := r.Groups("anonymous", signal.Metrics)[0].AlertingRules()[0].ActiveAlerts()
	require.Len(t, alerts, 1)
	require.Equal(t, promrules.StateFiring, alerts[0].State)
	require.False(t, alerts[0].KeepFiringSince.IsZero())
	require.Equal(t, []string{"firing"}, w.states("Long"))
}

func TestQueryOffset(t *testing.T) {
	w := newWorld(t)
	before := time.Now().UnixMilli()
	w.ruler(`groups: [{name: g, query_offset: 10m, rules: [{alert: Old, expr: load > 5}]}]`)
	soon(t, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.times) > 2 })
	after := time.Now().UnixMilli()
	w.mu.Lock()
	defer w.mu.Unlock()
	offset := (10 * time.Minute).Milliseconds()
	// An evaluation's time is that of its slot of the interval, which may have begun before.
	require.GreaterOrEqual(t, w.times[0], before-offset-1000)
	require.LessOrEqual(t, w.times[2], after-offset)
}

func TestMissedEvaluationsAreCounted(t *testing.T) {
	w := newWorld(t)
	hold := make(chan struct{})
	w.hold = hold
	reg := prometheus.NewRegistry()
	w.ruler(`groups: [{name: g, rules: [{alert: Slow, expr: vector(1)}]}]`, func(o *Options) { o.Registerer = reg })
	var began time.Time
	soon(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if began.IsZero() && len(w.times) > 0 {
			began = time.Now()
		}
		return !began.IsZero() && time.Since(began) > 6*50*time.Millisecond
	})
	w.mu.Lock()
	w.hold = nil
	w.mu.Unlock()
	close(hold)
	soon(t, func() bool {
		families, err := reg.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == "prometheus_rule_group_iterations_missed_total" {
				return f.Metric[0].GetCounter().GetValue() >= 4
			}
		}
		return false
	})
	soon(t, func() bool { return len(w.sent("Slow")) > 0 }, "it goes on")
}

func TestAFailingQueryStopsNothingElse(t *testing.T) {
	w := newWorld(t)
	w.set("load", 7)
	r, _ := w.ruler(`groups: [{name: g, rules: [
		{alert: Broken, expr: 'load / on (job) group_left () (load or label_replace(load, "x", "y", "", ""))'},
		{alert: Fine, expr: load > 5},
		{alert: Many, expr: 'vector(1) or label_replace(vector(1), "x", "y", "", "")'}], limit: 1}]`)
	soon(t, func() bool { return len(w.sent("Fine")) > 0 })
	g := r.Groups("anonymous", signal.Metrics)[0]
	soon(t, func() bool {
		return g.Rules()[0].Health() == promrules.HealthBad && g.Rules()[2].Health() == promrules.HealthBad
	})
	require.ErrorContains(t, g.Rules()[0].LastError(), "duplicate")
	require.ErrorContains(t, g.Rules()[2].LastError(), "exceeded limit of 1 with 2 alerts")
	w.setFail(errors.New("the frontend is away"))
	soon(t, func() bool { return g.Rules()[1].Health() == promrules.HealthBad })
	w.setFail(nil)
	soon(t, func() bool { return g.Rules()[1].Health() == promrules.HealthGood })
}

func TestAFileThatBecomesBadChangesNothing(t *testing.T) {
	w := newWorld(t)
	r, file := w.ruler(`groups: [{name: g, rules: [{alert: A, expr: vector(1)}]}]`)
	soon(t, func() bool { return len(w.sent("A")) > 0 })
	require.NoError(t, os.WriteFile(file, []byte("groups:\n- name: g\n  rules:\n  - alert: B\n    expr: vector(\n"), 0o600))
	err := r.Reload(t.Context(), []string{file})
	require.ErrorContains(t, err, file+`: 5:11: group "g", rule 0, "B": could not parse expression`)
	require.Len(t, r.Groups("anonymous", signal.Metrics), 1)
	require.Equal(t, "A", r.Groups("anonymous", signal.Metrics)[0].Rules()[0].Name())

	require.NoError(t, os.WriteFile(file, []byte(`groups: [{name: g, rules: [{alert: B, expr: vector(1)}]}]`), 0o600))
	require.NoError(t, r.Reload(t.Context(), []string{file}))
	require.InDelta(t, 1, testutil.ToFloat64(r.reloaded.ok), 0)
	soon(t, func() bool { return len(w.sent("B")) > 0 })

	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, r.Reload(t.Context(), []string{file}))
	require.Empty(t, r.Groups("anonymous", signal.Metrics))

	o := r.o
	require.NoError(t, os.WriteFile(file, []byte("groups: [{nam: g}]"), 0o600))
	o.Registerer = prometheus.NewRegistry()
	_, err = New(o)
	require.ErrorContains(t, err, "field nam not found", "nothing starts with bad rules")
}

func TestGroupsOfTheAPI(t *testing.T) {
	w := newWorld(t)
	r, _ := w.ruler("groups: []")
	store, ok := r.o.Store.(*rules.Store)
	require.True(t, ok)
	group := func(name, expr string) rules.Group {
		return rules.Group{Name: name, Rules: []rules.Rule{{Alert: name, Expr: expr}}}
	}
	require.NoError(t, store.Put(t.Context(), "a", signal.Metrics, "ns", group("OfA", "vector(1)")))
	require.NoError(t, store.Put(t.Context(), "a", signal.Logs, "ns", group("OfLogs", `sum(count_over_time({a="b"}[1m]))`)))
	soon(t, func() bool { return len(w.sent("OfA")) > 0 && len(r.Groups("a", signal.Logs)) == 1 })
	require.Equal(t, "ns", r.Groups("a", signal.Metrics)[0].File())
	soon(t, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.logs) > 0 })
	require.Equal(t, `sum(count_over_time({a="b"}[1m]))`, w.logs[0])
	require.Equal(t, `sum(count_over_time({a="b"}[1m]))`, r.Groups("a", signal.Logs)[0].Rules()[0].Query().String())
	require.NoError(t, store.Delete(t.Context(), "a", signal.Metrics, "ns", "OfA"))
	soon(t, func() bool { return len(r.Groups("a", signal.Metrics)) == 0 })
	require.Len(t, r.Groups("a", signal.Logs), 1)
}

func TestLabelName(t *testing.T) {
	for in, want := range map[string]string{"resource.service.name": "resource_service_name", "a9": "a9", "9a": "_a", "é": "__", "": ""} {
		require.Equal(t, want, labelName(in))
	}
}
