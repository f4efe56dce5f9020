package alertmanager

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/history"
)

// Recorder keeps the history of alerts.
type Recorder interface {
	Record(tenant string, e history.Event)
}

// recorded tells the history about every attempt of one integration.
type recorded struct {
	notify.Notifier
	tenant, receiver, integration string
	history                       Recorder
}

// Notify hands the alerts on and records what came of it.
func (r recorded) Notify(ctx context.Context, alerts ...*alert.Alert) (retry bool, err error) {
	start := time.Now()
	retry, err = r.Notifier.Notify(ctx, alerts...)
	e := history.Event{Event: history.Notification, Receiver: r.receiver, Integration: r.integration, Alerts: len(alerts),
		Result: "sent", Duration: time.Since(start).Round(time.Microsecond).String()}
	switch {
	case err != nil && retry:
		e.Result = "failed" // and will be tried again
	case err != nil:
		e.Result = "gave_up"
	}
	if err != nil {
		e.Error = notify.RedactURL(err).Error()
	}
	for _, a := range alerts {
		if a.Resolved() {
			e.Resolved++
		} else {
			e.Firing++
		}
	}
	e.AlertName = nameOf(alerts)
	if reason, ok := notify.NotificationReason(ctx); ok {
		e.Reason = reason.String()
	}
	e.GroupKey, _ = notify.GroupKey(ctx)
	if group, ok := notify.GroupLabels(ctx); ok {
		e.Labels = plain(group)
	}
	r.history.Record(r.tenant, e)
	return retry, err
}

// maxNames bounds the names listed in one event.
const maxNames = 20

// nameOf returns the names of alerts, each once, in the order of the alerts.
func nameOf(alerts []*alert.Alert) string {
	var names []string
	seen := map[string]bool{}
	for _, a := range alerts {
		name := string(a.Labels[model.AlertNameLabel])
		if name == "" || seen[name] {
			continue
		}
		if len(names) == maxNames {
			names = append(names, "…")
			break
		}
		seen[name] = true
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// durable is the notification log, which returns from Log when the entry is on disk: who was told is
// not told again after a kill.
type durable struct {
	entries *nflog.Log
	journal *journal
}

// Query returns what a receiver was told.
func (d durable) Query(params ...nflog.QueryParam) ([]*nflogpb.Entry, error) {
	return d.entries.Query(params...)
}

// Log keeps that a receiver was told.
func (d durable) Log(r *nflogpb.Receiver, gkey string, firing, resolved []uint64, store *nflog.Store, expiry time.Duration) error {
	if err := d.entries.Log(r, gkey, firing, resolved, store, expiry); err != nil {
		return err
	}
	return d.journal.flush(context.Background())
}
