// Package ruler is the rulers of Prometheus, Thanos and Loki as a role: recording and alerting rules in
// PromQL, LogQL and TraceQL, by Prometheus's own rule manager.
//
// There is one manager for each tenant and signal. Expressions are asked of the frontend; what they
// record, and the series ALERTS and ALERTS_FOR_STATE, are metrics of the tenant, from which the state of
// `for` is restored after a restart.
//
// Where several rulers share a ring, each evaluates the groups that are its own, and hears from the others what they
// hold, to go on with it when they are gone.
//
//	files, API ──► groups ──► rule managers ──► frontend
//	                               ├──► metrics (recorded series, ALERTS)
//	                               ├──► alertmanager
//	                               └──► history ({hune="alerts"})
package ruler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/hune-io/hune/internal/history"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/ring"
	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
)

// Recorder keeps the history of alerts.
type Recorder interface {
	Record(tenant string, e history.Event)
}

// Store keeps the groups that tenants set.
type Store interface {
	Tenants(ctx context.Context) ([]string, error)
	List(ctx context.Context, tenant string, s signal.Signal, namespace string) ([]rules.Stored, error)
}

// Options are what a Ruler needs.
type Options struct {
	Config      Config
	Runner      job.Runner // the frontend
	Near        Near       // asked first; optional
	Pusher      Pusher
	Store       Store
	Alerts      Sender
	History     Recorder
	ExternalURL *url.URL
	Tenant      string     // whose the rule files are
	Ring        *ring.Ring // of rulers that share the groups; nil: this one has all
	Logger      *slog.Logger
	Registerer  prometheus.Registerer
}

// Ruler is the role as a service.
type Ruler struct {
	services.Service

	o        Options
	metrics  *promrules.Metrics
	reloaded struct{ ok, at prometheus.Gauge }
	wake     chan struct{}

	reading sync.Mutex
	known   map[string]decoded // rule files as they were last read, by name

	load  sync.Mutex // one load at a time
	globs []string   // of rule files
	files groups     // that are in force

	heard heard // from other rulers

	mu       sync.Mutex
	managers map[key]*manager
}

// manager is the rules of one key and what evaluates them.
type manager struct {
	*promrules.Manager
	steady *steadyGroups
	loader *loader
	cancel context.CancelFunc
	done   chan struct{}
}

// New reads the rule files; a fault in them is an error. Nothing is evaluated until the service runs.
func New(o Options) (*Ruler, error) {
	if o.Tenant == "" {
		o.Tenant = tenant.Anonymous
	}
	r := &Ruler{o: o, wake: make(chan struct{}, 1), managers: map[key]*manager{}, heard: heard{states: map[groupKey]*groupState{}}}
	o.Ring.OnChange(func() { r.Changed("") })
	reg := promauto.With(o.Registerer)
	r.metrics = promrules.NewGroupMetrics(o.Registerer)
	r.reloaded.ok = reg.NewGauge(prometheus.GaugeOpts{Name: "hune_rules_last_load_successful", Help: "Whether the last reading of all rules succeeded."})
	r.reloaded.at = reg.NewGauge(prometheus.GaugeOpts{Name: "hune_rules_last_load_success_timestamp_seconds", Help: "When all rules were last read."})
	var err error
	r.globs = o.Config.Files
	if r.files, err = r.readFiles(r.globs); err != nil {
		return nil, err
	}
	r.Service = services.NewBasicService(nil, r.run, r.stop)
	return r, nil
}

// Changed has the groups of the API read again soon.
func (r *Ruler) Changed(string) {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Reload reads the rule files that globs name. With an error those in force stay.
func (r *Ruler) Reload(ctx context.Context, globs []string) error {
	r.load.Lock()
	defer r.load.Unlock()
	found, err := r.readFiles(globs)
	if err != nil {
		return err
	}
	r.globs, r.files = globs, found
	return r.apply(ctx)
}

// poll looks at the files that were last named, and at the groups of the API.
func (r *Ruler) poll(ctx context.Context) error {
	r.load.Lock()
	defer r.load.Unlock()
	found, err := r.readFiles(r.globs)
	if err != nil {
		return err
	}
	r.files = found
	r.listen(ctx)
	return r.apply(ctx)
}

func (r *Ruler) run(ctx context.Context) error {
	tick := time.NewTicker(time.Duration(r.o.Config.PollInterval))
	defer tick.Stop()
	var told string
	for {
		// What is wrong is told once, not at every poll.
		text := ""
		if err := r.poll(ctx); err != nil && ctx.Err() == nil {
			text = err.Error()
			if text != told {
				r.o.Logger.Error("rules can't be read, those in force stay", "err", err)
			}
		}
		told = text
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.wake:
		}
	}
}

// apply brings the managers in line with the files and the groups of the API. load is held.
func (r *Ruler) apply(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			r.reloaded.ok.Set(0)
			return
		}
		r.reloaded.ok.Set(1)
		r.reloaded.at.SetToCurrentTime()
	}()
	wanted := groups{}
	if r.o.Config.Defaults {
		wanted.addDefaults(r.o.Tenant, time.Duration(r.o.Config.EvaluationInterval))
	}
	for k, s := range r.files {
		for file, gs := range s {
			for _, g := range gs {
				wanted.add(k.tenant, file, g, k.interval)
			}
		}
	}
	if err := r.readStore(ctx, wanted); err != nil {
		return err
	}
	wanted.keepOwn(r.o.Ring)
	var errs []error
	for k, s := range wanted {
		errs = append(errs, r.update(k, s))
	}
	r.mu.Lock()
	var gone []*manager
	for k, m := range r.managers {
		if wanted[k] == nil {
			gone = append(gone, m)
			delete(r.managers, k)
		}
	}
	r.mu.Unlock()
	for _, m := range gone {
		errs = append(errs, m.Update(time.Duration(r.o.Config.EvaluationInterval), nil, labels.EmptyLabels(), "", nil))
		m.end()
	}
	return errors.Join(errs...)
}

// update gives a manager its groups; a new manager starts to evaluate.
func (r *Ruler) update(k key, s source) error {
	r.mu.Lock()
	m, ok := r.managers[k]
	if !ok {
		m = r.newManager(k)
		r.managers[k] = m
	}
	r.mu.Unlock()
	if reflect.DeepEqual(m.loader.source, s) {
		return nil
	}
	old := m.loader.source
	m.loader.source = s
	c := r.o.Config
	watch := &changes{r: r, tenant: k.tenant, steady: m.steady, now: time.Now, pending: map[*promrules.AlertingRule]map[uint64]labels.Labels{}}
	err := m.Update(time.Duration(c.EvaluationInterval), s.files(), labels.FromMap(c.ExternalLabels), r.o.ExternalURL.String(), watch.iterate)
	if err != nil {
		m.loader.source = old
		return fmt.Errorf("rules of tenant %s about %s: %w", k.tenant, k.signal, err)
	}
	m.steady.keep(m.RuleGroups())
	if !ok {
		go func() {
			defer close(m.done)
			m.Run()
		}()
	}
	return nil
}

func (r *Ruler) newManager(k key) *manager {
	ctx, cancel := context.WithCancel(context.Background())
	m := &manager{loader: &loader{signal: k.signal}, cancel: cancel, done: make(chan struct{})}
	c := r.o.Config
	query := Query(r.o.Runner, k.tenant, k.signal, k.interval, time.Duration(c.QueryTimeout))
	if k.signal == signal.Metrics && r.o.Near != nil {
		query = nearOr(r.o.Near, k.tenant, query)
	}
	ask := func(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
		before(ctx, expr)
		return query(ctx, expr, at)
	}
	askOnce := func(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
		if a, ok := answered(ctx, expr); ok {
			return a.vector, a.err
		}
		return ask(ctx, expr, at)
	}
	options := &promrules.ManagerOptions{
		NameValidationScheme: model.UTF8Validation,
		ExternalURL:          r.o.ExternalURL, QueryFunc: askOnce, NotifyFunc: r.notify(k), Context: ctx,
		Appendable: appendable{r.o.Pusher, k.tenant}, Queryable: queryable{r, k.tenant},
		Logger:          r.o.Logger.With("tenant", k.tenant, "signal", k.signal),
		OutageTolerance: time.Duration(c.ForOutageTolerance), ForGracePeriod: time.Duration(c.ForGracePeriod), ResendDelay: time.Duration(c.ResendDelay),
		GroupLoader: m.loader, DefaultRuleQueryOffset: func() time.Duration { return time.Duration(c.QueryOffset) },
		MaxConcurrentEvals: c.MaxConcurrentEvals, ConcurrentEvalsEnabled: true, Metrics: r.metrics,
		RestoreNewRuleGroups: r.o.Ring != nil, // it may have been another's
	}
	if k.signal != signal.Metrics {
		options.RuleDependencyController = Independent{}
	}
	m.Manager = promrules.NewManager(options) // gives the options their controller
	m.steady = &steadyGroups{RuleConcurrencyController: options.RuleConcurrencyController, ask: ask, metrics: r.metrics, make: r.steadyRules(k, options),
		deliver: func(ctx context.Context, alerts []Alert) { r.deliver(ctx, k, alerts) }, groups: map[*promrules.Group]*steadyGroup{}}
	options.RuleConcurrencyController = m.steady
	return m
}

// Independent says of rules that none reads what another records: those about logs and traces don't read
// metrics.
type Independent struct{}

// AnalyseRules implements rules.RuleDependencyController.
func (Independent) AnalyseRules(rs []promrules.Rule) {
	for _, r := range rs {
		r.SetDependentRules([]promrules.Rule{})
		r.SetDependencyRules([]promrules.Rule{})
	}
}

// Update replaces the manager's groups. It waits for those that are evaluated, which the manager ends between two rules:
// meanwhile it gets all rules.
func (m *manager) Update(interval time.Duration, files []string, external labels.Labels, externalURL string, iterate promrules.GroupEvalIterationFunc) error {
	m.steady.paused.Store(true)
	defer m.steady.paused.Store(false)
	return m.Manager.Update(interval, files, external, externalURL, iterate)
}

// end stops a manager and waits for it.
func (m *manager) end() {
	m.cancel()
	m.Stop()
	<-m.done
}

func (r *Ruler) stop(error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all sync.WaitGroup
	for _, m := range r.managers {
		all.Go(m.end)
	}
	all.Wait()
	return nil
}

// Groups returns the groups of a tenant that are asked of a signal, by file and name.
func (r *Ruler) Groups(id string, s signal.Signal) []*promrules.Group {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*promrules.Group
	for k, m := range r.managers {
		if k.tenant == id && k.signal == s {
			out = append(out, m.RuleGroups()...)
		}
	}
	slices.SortFunc(out, func(x, y *promrules.Group) int {
		if x.File() != y.File() {
			if x.File() < y.File() {
				return -1
			}
			return 1
		}
		if x.Name() < y.Name() {
			return -1
		}
		return 1
	})
	return out
}

// Shown is groups as Prometheus's API shows them.
type Shown []*promrules.Group

// RuleGroups implements v1.RulesRetriever.
func (s Shown) RuleGroups() []*promrules.Group { return s }

// AlertingRules implements v1.RulesRetriever.
func (s Shown) AlertingRules() (out []*promrules.AlertingRule) {
	for _, g := range s {
		out = append(out, g.AlertingRules()...)
	}
	return out
}
