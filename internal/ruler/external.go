package ruler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/notifier"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sync/errgroup"
)

// AlertingConfig is the section `alerting` of a prometheus.yml, as it is: Alertmanagers elsewhere that
// alerts are sent to, instead of the one in this process.
type AlertingConfig struct {
	// AlertRelabelConfigs change the labels of alerts before they are sent. Default none.
	AlertRelabelConfigs yaml.Node `yaml:"alert_relabel_configs"`
	// Alertmanagers are where to send alerts: static_configs, discovery, scheme, path_prefix, authentication. Default none: the one
	// in this process.
	Alertmanagers yaml.Node `yaml:"alertmanagers"`

	dir string // that paths are relative to
}

// MarshalYAML leaves absent sections out, which yaml can't write.
func (c AlertingConfig) MarshalYAML() (any, error) {
	out := map[string]*yaml.Node{}
	for name, n := range map[string]*yaml.Node{"alert_relabel_configs": &c.AlertRelabelConfigs, "alertmanagers": &c.Alertmanagers} {
		if present(n) {
			out[name] = n
		}
	}
	return out, nil
}

func present(n *yaml.Node) bool { return n.Kind != 0 && n.Tag != "!!null" }

// Validate reads the section as Prometheus would.
func (c AlertingConfig) Validate() error {
	_, err := c.load(nil)
	return err
}

var lineOf = regexp.MustCompile(`line \d+: `)

// load returns a configuration of Prometheus with the section and external labels in it.
func (c AlertingConfig) load(external map[string]string) (*promconfig.Config, error) {
	doc := map[string]any{"alerting": c}
	if len(external) > 0 {
		doc["global"] = map[string]any{"external_labels": external}
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("alerting: %w", err)
	}
	cfg, err := promconfig.Load(string(text), slog.New(slog.DiscardHandler))
	if err != nil {
		// Lines are those of a text that the user never saw.
		text := lineOf.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: unmarshal errors:\n"), "")
		return nil, errors.New("alerting: " + strings.Join(strings.Fields(text), " "))
	}
	if c.dir != "" {
		cfg.AlertingConfig.SetDirectory(c.dir)
	}
	return cfg, nil
}

// External reports whether alerts are sent elsewhere.
func (c AlertingConfig) External() bool {
	return present(&c.Alertmanagers) && len(c.Alertmanagers.Content) > 0
}

// externalQueue bounds the alerts that wait to be sent, as Prometheus's --alertmanager.notification-queue-capacity.
const externalQueue = 10_000

// External sends alerts to Alertmanagers elsewhere, by Prometheus's notifier: all of them get every alert.
type External struct {
	services.Service

	notifier  *notifier.Manager
	discovery *discovery.Manager
	cancel    context.CancelFunc
}

// NewExternal reads the section. Nothing is sent until the service runs.
func NewExternal(c AlertingConfig, externalLabels map[string]string, logger *slog.Logger, reg prometheus.Registerer) (*External, error) {
	cfg, err := c.load(externalLabels)
	if err != nil {
		return nil, err
	}
	e := &External{notifier: notifier.NewManager(&notifier.Options{QueueCapacity: externalQueue, DrainOnShutdown: true, MaxBatchSize: notifier.DefaultMaxBatchSize,
		ExternalLabels: cfg.GlobalConfig.ExternalLabels, RelabelConfigs: cfg.AlertingConfig.AlertRelabelConfigs, Registerer: reg}, model.UTF8Validation, logger)}
	// The scraper's discovery has the metrics of these names.
	unseen := prometheus.NewRegistry()
	sd, err := discovery.CreateAndRegisterSDMetrics(unseen)
	if err != nil {
		return nil, fmt.Errorf("alerting: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	if e.discovery = discovery.NewManager(ctx, logger, unseen, sd, discovery.Name("notify"), discovery.Updatert(time.Second)); e.discovery == nil {
		cancel()
		return nil, errors.New("alerting: register the metrics of service discovery")
	}
	if err := e.notifier.ApplyConfig(cfg); err != nil {
		cancel()
		return nil, fmt.Errorf("alerting: %w", err)
	}
	found := map[string]discovery.Configs{}
	for name, a := range cfg.AlertingConfig.AlertmanagerConfigs.ToMap() {
		found[name] = a.ServiceDiscoveryConfigs
	}
	if err := e.discovery.ApplyConfig(found); err != nil {
		cancel()
		return nil, fmt.Errorf("alerting: %w", err)
	}
	e.Service = services.NewBasicService(nil, e.run, nil)
	return e, nil
}

func (e *External) run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error {
		if err := e.discovery.Run(); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
	g.Go(func() error { e.notifier.Run(e.discovery.SyncCh()); return nil })
	<-ctx.Done()
	e.notifier.Stop() // sends what waits
	e.cancel()
	return g.Wait()
}

// SendAlerts implements Sender. Alerts wait in a bounded queue; the oldest are dropped and counted
// (prometheus_notifications_dropped_total) when nobody takes them.
func (e *External) SendAlerts(_ context.Context, _ string, alerts []Alert) error {
	out := make([]*notifier.Alert, len(alerts))
	for i, a := range alerts {
		out[i] = &notifier.Alert{Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: a.GeneratorURL}
	}
	e.notifier.Send(out...)
	return nil
}

// Alertmanagers implements v1.AlertmanagerRetriever.
func (e *External) Alertmanagers() []*url.URL { return e.notifier.Alertmanagers() }

// DroppedAlertmanagers implements v1.AlertmanagerRetriever.
func (e *External) DroppedAlertmanagers() []*url.URL { return e.notifier.DroppedAlertmanagers() }
