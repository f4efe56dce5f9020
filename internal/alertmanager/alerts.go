package alertmanager

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/provider"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/fault"
)

// alerts are a tenant's alerts: Alertmanager's provider in memory, behind the log. An alert that Put
// returned nil for is back after a kill.
//
// Senders repeat their alerts every minute or so to keep them from ending. Such a repetition is not
// written to disk unless what is there would have the alert end too early.
type alerts struct {
	*mem.Alerts
	journal *journal
	known   *known
}

// known counts the alerts in memory and holds them for compaction. It is the callback of the provider,
// which it hands on to the silencer.
type known struct {
	*silence.Silencer
	max int

	mu    sync.Mutex
	all   map[model.Fingerprint]*alert.Alert
	saved map[model.Fingerprint]time.Time // what the log says about the end
}

func newKnown(s *silence.Silencer, limit int) *known {
	return &known{Silencer: s, max: limit, all: map[model.Fingerprint]*alert.Alert{}, saved: map[model.Fingerprint]time.Time{}}
}

// PostStore is called by the provider after it took an alert.
func (k *known) PostStore(a *alert.Alert, existing bool) {
	k.mu.Lock()
	k.all[a.Fingerprint()] = a
	k.mu.Unlock()
	k.Silencer.PostStore(a, existing)
}

// PostDelete is called by the provider when it drops an alert that ended.
func (k *known) PostDelete(a *alert.Alert) {
	k.mu.Lock()
	delete(k.all, a.Fingerprint())
	delete(k.saved, a.Fingerprint())
	k.mu.Unlock()
	k.Silencer.PostDelete(a)
}

// list returns the alerts in memory.
func (k *known) list() []*alert.Alert {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]*alert.Alert, 0, len(k.all))
	for _, a := range k.all {
		out = append(out, a)
	}
	return out
}

// keyed is an alert with its fingerprint, which takes a while to compute.
type keyed struct {
	fp    model.Fingerprint
	alert *alert.Alert
}

// sorted returns the alerts in memory by their fingerprints.
func (k *known) sorted() []keyed {
	k.mu.Lock()
	out := make([]keyed, 0, len(k.all))
	for fp, a := range k.all {
		out = append(out, keyed{fp, a})
	}
	k.mu.Unlock()
	slices.SortFunc(out, func(x, y keyed) int { return cmp.Compare(x.fp, y.fp) })
	return out
}

// admit returns the alerts for which there is room, and of them those that the log has to know.
func (k *known) admit(in []*alert.Alert) (fit, unsaved []*alert.Alert) {
	k.mu.Lock()
	defer k.mu.Unlock()
	room := k.max - len(k.all)
	fresh := map[model.Fingerprint]bool{}
	for _, a := range in {
		fp := a.Fingerprint()
		old, ok := k.all[fp]
		if !ok && !fresh[fp] {
			if room == 0 {
				continue
			}
			room--
			fresh[fp] = true
		}
		fit = append(fit, a)
		if old == nil || k.mustSave(old, a) {
			unsaved = append(unsaved, a)
		}
	}
	return fit, unsaved
}

// mustSave reports whether a tells more than the log has: something else than a later end, or an end so
// much later that half of what the sender gave the alert is gone in the log.
func (k *known) mustSave(old, a *alert.Alert) bool {
	if a.Resolved() != old.Resolved() || !a.StartsAt.Equal(old.StartsAt) || !a.Annotations.Equal(old.Annotations) || a.GeneratorURL != old.GeneratorURL {
		return true
	}
	return a.EndsAt.Sub(k.saved[a.Fingerprint()]) > a.EndsAt.Sub(a.UpdatedAt)/2
}

func (k *known) markSaved(as []*alert.Alert) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range as {
		k.saved[a.Fingerprint()] = a.EndsAt
	}
}

// Put takes alerts. Those for which there is no room are refused by an error, after the others were taken.
func (a *alerts) Put(ctx context.Context, in ...*alert.Alert) error {
	fit, unsaved := a.known.admit(in)
	if len(unsaved) > 0 {
		if err := a.journal.appendAlerts(ctx, unsaved); err != nil {
			return err
		}
		a.known.markSaved(unsaved)
	}
	if err := a.Alerts.Put(ctx, fit...); err != nil {
		return err
	}
	if n := len(in) - len(fit); n > 0 {
		return fault.Errorf(fault.RateLimited, "%d of %d alerts were refused: the tenant has reached its limit of %d alerts (alertmanager.max_alerts)", n, len(in), a.known.max)
	}
	return nil
}

// restore collects alerts of the log, the youngest version of each.
type restore map[string]*alert.Alert

func (r restore) add(body []byte) error {
	var saved []savedAlert
	if err := json.Unmarshal(body, &saved); err != nil {
		return err
	}
	for _, s := range saved {
		a := s.load()
		key := a.Fingerprint().String()
		if old, ok := r[key]; !ok || !a.UpdatedAt.Before(old.UpdatedAt) {
			r[key] = a
		}
	}
	return nil
}

// revived returns what of the restored alerts is still to be told about. Nobody could keep an alert
// going while this process was down: one that had not ended when it was last heard of gets as much time
// from now as its sender gave it then.
func (r restore) revived(now time.Time, keepResolved time.Duration) []*alert.Alert {
	var out []*alert.Alert
	for _, a := range r {
		switch {
		case a.EndsAt.After(a.UpdatedAt):
			a.EndsAt = now.Add(a.EndsAt.Sub(a.UpdatedAt))
			a.UpdatedAt = now
		case now.Sub(a.EndsAt) > keepResolved:
			continue
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(x, y *alert.Alert) int { return x.StartsAt.Compare(y.StartsAt) })
	return out
}

func save(a *alert.Alert) savedAlert {
	return savedAlert{Labels: plain(a.Labels), Annotations: plain(a.Annotations), StartsAt: a.StartsAt, EndsAt: a.EndsAt, UpdatedAt: a.UpdatedAt,
		URL: a.GeneratorURL, Timeout: a.Timeout}
}

func (s savedAlert) load() *alert.Alert {
	return &alert.Alert{Alert: model.Alert{Labels: labelSet(s.Labels), Annotations: labelSet(s.Annotations), StartsAt: s.StartsAt, EndsAt: s.EndsAt,
		GeneratorURL: s.URL}, UpdatedAt: s.UpdatedAt, Timeout: s.Timeout}
}

func plain(ls model.LabelSet) map[string]string {
	out := make(map[string]string, len(ls))
	for n, v := range ls {
		out[string(n)] = string(v)
	}
	return out
}

func labelSet(ls map[string]string) model.LabelSet {
	out := make(model.LabelSet, len(ls))
	for n, v := range ls {
		out[model.LabelName(n)] = model.LabelValue(v)
	}
	return out
}

var _ provider.Alerts = (*alerts)(nil)
