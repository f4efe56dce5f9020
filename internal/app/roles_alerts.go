package app

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/alertmanager"
	"github.com/hune-io/hune/internal/history"
	"github.com/hune-io/hune/internal/ruler"
)

// makeHistory keeps what happens to alerts as logs.
func (a *App) makeHistory(context.Context) (services.Service, error) {
	a.history = history.New(history.Options{Pusher: a.distributor, Logger: a.logger, Registerer: a.registry, Now: time.Now})
	return a.history, nil
}

func (a *App) makeAlertmanager(ctx context.Context) (_ services.Service, err error) {
	external, err := a.externalURL()
	if err != nil {
		return nil, err
	}
	a.alertmanager, err = alertmanager.New(ctx, alertmanager.Options{Config: a.cfg.Alertmanager, Dir: filepath.Join(a.cfg.Data, "alertmanager"), Bucket: a.bucket,
		History: a.history, ExternalURL: external, Logger: a.logger, Registerer: a.registry})
	if err != nil {
		return nil, err
	}
	return a.alertmanager, nil
}

// makeNotifier sends alerts to Alertmanagers elsewhere, where some are named.
func (a *App) makeNotifier(context.Context) (_ services.Service, err error) {
	rules, alerting, err := a.cfg.Ruling()
	if err != nil || !alerting.External() {
		return nil, err
	}
	a.notifier, err = ruler.NewExternal(alerting, rules.ExternalLabels, a.logger, a.registry)
	return a.notifier, err
}

func (a *App) makeRuler(context.Context) (_ services.Service, err error) {
	external, err := a.externalURL()
	if err != nil {
		return nil, err
	}
	var sender ruler.Sender = alertSink{a.alertmanager}
	switch {
	case a.notifier != nil:
		sender = a.notifier
	case a.rings["ruler"] != nil && a.cfg.Alertmanager.Cluster.Listen != "":
		sender = everyMember{sender, a.rings["ruler"].Others, a.logger}
	}
	cfg, _, err := a.cfg.Ruling()
	if err != nil {
		return nil, err
	}
	a.ruler, err = ruler.New(ruler.Options{Config: cfg, Runner: a.frontend, Near: a.near, Pusher: a.distributor, Store: a.rules, Alerts: sender,
		History: a.history, ExternalURL: external, Tenant: a.cfg.Telemetry.Tenant, Ring: a.rings["ruler"], Logger: a.logger, Registerer: a.registry})
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	a.rules.OnChange(a.ruler.Changed)
	return a.ruler, nil
}

// alertSink hands the ruler's alerts to the alertmanager of this process.
type alertSink struct{ to *alertmanager.Alertmanager }

func (s alertSink) SendAlerts(ctx context.Context, tenantID string, alerts []ruler.Alert) error {
	out := make([]*alert.Alert, len(alerts))
	now := time.Now()
	for i, a := range alerts {
		out[i] = &alert.Alert{UpdatedAt: now, Alert: model.Alert{Labels: labelSet(a.Labels), Annotations: labelSet(a.Annotations),
			StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: a.GeneratorURL}}
	}
	return s.to.Put(ctx, tenantID, out)
}

func labelSet(ls labels.Labels) model.LabelSet {
	out := make(model.LabelSet, ls.Len())
	ls.Range(func(l labels.Label) { out[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
	return out
}
