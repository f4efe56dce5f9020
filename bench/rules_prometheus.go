package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/notifier"
	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/hune-io/hune/bench/internal/process"
)

// alertSink stands for an Alertmanager: it takes all alerts, and counts them.
type alertSink struct {
	*httptest.Server
	alerts atomic.Int64
}

func newAlertSink() *alertSink {
	s := &alertSink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.alerts.Add(int64(bytes.Count(body, []byte(`"startsAt"`))))
	}))
	return s
}

func (s *alertSink) addr() string { return strings.TrimPrefix(s.URL, "http://") }

// prometheusServer is Prometheus's database, engine and notifier in this process.
type prometheusServer struct {
	*tsdb.DB
	engine   *promql.Engine
	notifier *notifier.Manager
	notified chan struct{} // closed when the notifier has ended
	sink     *alertSink
	sent     atomic.Int64
}

// notifierQueue holds the alerts of a whole evaluation: Prometheus spreads its groups over the interval, here one follows the
// other.
const notifierQueue = 100_000

func openPrometheus(dir string, sink *alertSink) (*prometheusServer, error) {
	logger := slog.New(slog.DiscardHandler)
	cfg, err := promconfig.Load("alerting: {alertmanagers: [{static_configs: [{targets: ['"+sink.addr()+"']}]}]}", logger)
	if err != nil {
		return nil, err
	}
	n := notifier.NewManager(&notifier.Options{QueueCapacity: notifierQueue, MaxBatchSize: notifier.DefaultMaxBatchSize, Registerer: prometheus.NewRegistry()}, model.UTF8Validation, logger)
	if err := n.ApplyConfig(cfg); err != nil {
		return nil, err
	}
	db, err := tsdb.Open(dir, logger, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		return nil, err
	}
	p := &prometheusServer{DB: db, notifier: n, notified: make(chan struct{}), sink: sink,
		engine: promql.NewEngine(promql.EngineOpts{Logger: logger, MaxSamples: 50e6, Timeout: 2 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true})}
	found := make(chan map[string][]*targetgroup.Group, 1)
	found <- map[string][]*targetgroup.Group{"config-0": {{Targets: []model.LabelSet{{model.AddressLabel: model.LabelValue(sink.addr())}}}}}
	go func() {
		defer close(p.notified)
		n.Run(found)
	}()
	return p, nil
}

// Close ends the notifier and closes the database.
func (p *prometheusServer) Close() error {
	p.notifier.Stop()
	<-p.notified
	return p.DB.Close()
}

func (p *prometheusServer) sendRuleSeries(series int, from, to time.Time) error {
	for t := from; t.Before(to); t = t.Add(ruleStep) {
		app := p.Appender(context.Background())
		for i := range series {
			ls, v := ruleSeries(i)
			if _, err := app.Append(0, ls, t.UnixMilli(), v); err != nil {
				return errors.Join(err, app.Rollback())
			}
		}
		if err := app.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// evaluate returns the processor time of one evaluation of rules, with that of sending the alerts.
func (p *prometheusServer) evaluate(file, text string, at time.Time) (time.Duration, error) {
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return 0, err
	}
	external := &url.URL{Scheme: "http", Host: "prometheus:9090"}
	send := promrules.SendAlerts(p.notifier, external.String())
	m := promrules.NewManager(&promrules.ManagerOptions{NameValidationScheme: model.UTF8Validation, ExternalURL: external, Context: context.Background(),
		QueryFunc: promrules.EngineQueryFunc(p.engine, p), Appendable: p, Queryable: p,
		NotifyFunc: func(ctx context.Context, expr string, alerts ...*promrules.Alert) {
			p.sent.Add(int64(len(alerts)))
			send(ctx, expr, alerts...)
		},
		Logger: slog.New(slog.DiscardHandler), ResendDelay: ruleInterval, OutageTolerance: time.Hour, MaxConcurrentEvals: 4, ConcurrentEvalsEnabled: true})
	groups, errs := m.LoadGroups(ruleInterval, labels.EmptyLabels(), "", nil, false, file)
	if len(errs) > 0 {
		return 0, errors.Join(errs...)
	}
	for _, g := range groups {
		for _, r := range g.AlertingRules() {
			r.SetRestored(true)
		}
	}
	if err := p.round(groups, at); err != nil {
		return 0, err
	}
	before := process.OwnCPU()
	for n := range measuredRounds {
		if err := p.round(groups, at.Add(time.Duration(1+n)*ruleInterval)); err != nil {
			return 0, err
		}
	}
	used := process.OwnCPU() - before
	for _, g := range groups {
		for _, r := range g.Rules() {
			if err := r.LastError(); err != nil {
				return 0, fmt.Errorf("rule %s in Prometheus: %w", r.Name(), err)
			}
		}
	}
	return used / measuredRounds, nil
}

// round evaluates each group once, as the manager does, and waits until the alerts are with the sink.
func (p *prometheusServer) round(groups map[string]*promrules.Group, at time.Time) error {
	received, sent := p.sink.alerts.Load(), p.sent.Load()
	for _, g := range groups {
		promrules.DefaultEvalIterationFunc(context.Background(), g, at)
	}
	want := received + p.sent.Load() - sent
	for began := time.Now(); p.sink.alerts.Load() < want; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			return fmt.Errorf("%d of %d alerts of Prometheus reached the sink", p.sink.alerts.Load()-received, want-received)
		}
	}
	return nil
}
