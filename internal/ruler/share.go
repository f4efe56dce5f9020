package ruler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/hune-io/hune/internal/ring"
	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
)

// Where several rulers run, each evaluates the groups that the ring gives it. What is pending or firing is
// in the series ALERTS_FOR_STATE, but the newest samples of those are in the memory of the ruler that is
// gone. So rulers tell each other what they hold at every poll, and who takes over a group restores `for`
// from what was heard last: an alert that became pending after that waits for longer by up to a poll.

// StatePath is where a ruler tells the others what it holds.
const StatePath = "/api/hune/v1/ruler/state"

const (
	// stateTimeout bounds how long another ruler is waited for.
	stateTimeout = 5 * time.Second
	// maxState bounds what another ruler may tell.
	maxState = 64 << 20
)

// groupState is what a ruler holds of a group with alerting rules. A later evaluation replaces an earlier
// one whole, whoever made it: an alert that it doesn't name has ended.
type groupState struct {
	Tenant    string        `json:"tenant"`
	Signal    signal.Signal `json:"signal"`
	File      string        `json:"file"`
	Group     string        `json:"group"`
	Evaluated int64         `json:"evaluated"` // ms
	Alerts    []activeAlert `json:"alerts,omitempty"`
}

type activeAlert struct {
	Labels   map[string]string `json:"labels"`
	ActiveAt int64             `json:"active_at"` // s
}

// groupKey names a group among those of all tenants.
type groupKey struct {
	tenant, signal, file, group string
}

func (s *groupState) key() groupKey {
	return groupKey{s.Tenant, string(s.Signal), s.File, s.Group}
}

// keepOwn leaves the groups that this process is to evaluate.
func (gs groups) keepOwn(r *ring.Ring) {
	if r == nil {
		return
	}
	for k, s := range gs {
		for file, list := range s {
			list = slices.DeleteFunc(slices.Clone(list), func(g rules.Group) bool {
				return !r.Owns(ring.Hash(k.tenant, string(k.signal), file, g.Name))
			})
			if s[file] = list; len(list) == 0 {
				delete(s, file)
			}
		}
		if len(s) == 0 {
			delete(gs, k)
		}
	}
}

// heard is what rulers hold, as far as it is known here. Safe for concurrent use.
type heard struct {
	mu     sync.Mutex
	states map[groupKey]*groupState
}

// note takes what is newer than what is known.
func (h *heard) note(states []*groupState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range states {
		if old := h.states[s.key()]; old == nil || old.Evaluated <= s.Evaluated {
			h.states[s.key()] = s
		}
	}
}

// forget drops what was evaluated before a time, in ms: nothing would be restored from it.
func (h *heard) forget(before int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, s := range h.states {
		if s.Evaluated < before {
			delete(h.states, k)
		}
	}
}

// all returns what is known, to be read alone.
func (h *heard) all() []*groupState {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*groupState, 0, len(h.states))
	for _, s := range h.states {
		out = append(out, s)
	}
	return out
}

// forState returns the alerts of a tenant that matchers of ALERTS_FOR_STATE fit, as series of one sample.
func (h *heard) forState(id string, start, end int64, ms []*labels.Matcher) promql.Matrix {
	var out promql.Matrix
	for _, s := range h.all() {
		if s.Tenant != id || s.Evaluated < start || s.Evaluated > end {
			continue
		}
		for _, a := range s.Alerts {
			b := labels.NewBuilder(labels.FromMap(a.Labels))
			ls := b.Set(model.MetricNameLabel, forStateMetric).Labels()
			if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(ls.Get(m.Name)) }) {
				out = append(out, promql.Series{Metric: ls, Floats: []promql.FPoint{{T: s.Evaluated, F: float64(a.ActiveAt)}}})
			}
		}
	}
	return out
}

// forStateMetric is the name of Prometheus's series with the time since when an alert is active.
const forStateMetric = "ALERTS_FOR_STATE"

// merge adds what was heard to what was stored: of one alert the newer counts, and what was heard where the stored series
// has ended, since a ruler ends its series when it hands a group over.
func merge(stored, told promql.Matrix) promql.Matrix {
	at := make(map[uint64]int, len(stored))
	for i, s := range stored {
		at[s.Metric.Hash()] = i
	}
	for _, t := range told {
		i, ok := at[t.Metric.Hash()]
		if !ok {
			at[t.Metric.Hash()] = len(stored)
			stored = append(stored, t)
			continue
		}
		old := stored[i].Floats
		if len(old) == 0 || old[len(old)-1].T <= t.Floats[0].T || value.IsStaleNaN(old[len(old)-1].F) {
			stored[i].Floats = t.Floats
		}
	}
	return stored
}

// holding returns what this process holds. A group whose state was not restored yet is left out: what others
// know of it is better.
func (r *Ruler) holding() (out []*groupState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, m := range r.managers {
		for _, g := range m.RuleGroups() {
			if s := stateOf(k, g); s != nil {
				out = append(out, s)
			}
		}
	}
	return out
}

func stateOf(k key, g *promrules.Group) *groupState {
	alerting := g.AlertingRules()
	if len(alerting) == 0 || g.GetLastEvaluation().IsZero() {
		return nil
	}
	s := &groupState{Tenant: k.tenant, Signal: k.signal, File: g.File(), Group: g.Name(), Evaluated: g.GetLastEvaluation().UnixMilli()}
	for _, rule := range alerting {
		if !rule.Restored() {
			return nil
		}
		rule.ForEachActiveAlert(func(a *promrules.Alert) {
			if a.State != promrules.StateInactive {
				s.Alerts = append(s.Alerts, activeAlert{a.Labels.Map(), a.ActiveAt.Unix()})
			}
		})
	}
	return s
}

// ServeState tells the other rulers what this one holds, and what it has heard of groups that it held or that others
// hold: one that has just come learns all from any.
func (r *Ruler) ServeState(w http.ResponseWriter, _ *http.Request) {
	r.heard.note(r.holding())
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(r.heard.all())
}

// listen asks the other rulers what they hold, all at once.
func (r *Ruler) listen(ctx context.Context) {
	if r.o.Ring == nil {
		return
	}
	r.heard.note(r.holding())
	r.heard.forget(time.Now().Add(-time.Duration(r.o.Config.ForOutageTolerance)).UnixMilli())
	var all sync.WaitGroup
	for _, addr := range r.o.Ring.Others() {
		all.Go(func() {
			states, err := ask(ctx, addr)
			if err != nil && ctx.Err() == nil {
				r.o.Logger.Warn("another ruler did not tell what it holds, what it told last counts", "member", addr, "err", err)
			}
			r.heard.note(states)
		})
	}
	all.Wait()
}

func ask(ctx context.Context, addr string) ([]*groupState, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+StatePath, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return nil, fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return decodeState(resp.Body)
}

// decodeState reads what another ruler tells.
func decodeState(from io.Reader) ([]*groupState, error) {
	var states []*groupState
	if err := json.NewDecoder(io.LimitReader(from, maxState)).Decode(&states); err != nil {
		return nil, fmt.Errorf("what it holds: %w", err)
	}
	if slices.Contains(states, nil) {
		return nil, errors.New("what it holds: a group is null")
	}
	return states, nil
}
