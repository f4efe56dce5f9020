package alertmanager

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/common/model"
)

// Route is a node of the routing tree with what it inherits, and whether an alert ends there.
type Route struct {
	Matchers            []string `json:"matchers"` // all must match; none matches everything
	Receiver            string   `json:"receiver"`
	Integrations        []string `json:"integrations"` // of the receiver: webhook, email, …; none tells nobody
	GroupBy             []string `json:"group_by"`     // "..." groups by all labels
	GroupWait           string   `json:"group_wait"`
	GroupInterval       string   `json:"group_interval"`
	RepeatInterval      string   `json:"repeat_interval"`
	Continue            bool     `json:"continue"`
	MuteTimeIntervals   []string `json:"mute_time_intervals,omitempty"`
	ActiveTimeIntervals []string `json:"active_time_intervals,omitempty"`
	Matched             bool     `json:"matched"` // an alert of the labels that were asked about is sent from here
	Routes              []*Route `json:"routes"`
}

// Routes returns the routing tree in force for a tenant, and the receivers that an alert of these labels
// gets to, in the order of the tree.
func (m *Alertmanager) Routes(ctx context.Context, id string, ls model.LabelSet) (*Route, []string, error) {
	i, err := m.instance(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	tree := dispatch.NewRoute(i.active.Route, nil)
	matched := map[*dispatch.Route]bool{}
	receivers := []string{}
	for _, r := range tree.Match(ls) {
		matched[r] = true
		if !slices.Contains(receivers, r.RouteOpts.Receiver) {
			receivers = append(receivers, r.RouteOpts.Receiver)
		}
	}
	return shownRoute(tree, matched, i.integrations), receivers, nil
}

func shownRoute(r *dispatch.Route, matched map[*dispatch.Route]bool, integrations map[string][]string) *Route {
	o := &r.RouteOpts
	out := &Route{Matchers: []string{}, Receiver: o.Receiver, Integrations: append([]string{}, integrations[o.Receiver]...), GroupBy: []string{},
		GroupWait: duration(o.GroupWait), GroupInterval: duration(o.GroupInterval), RepeatInterval: duration(o.RepeatInterval),
		Continue: r.Continue, MuteTimeIntervals: o.MuteTimeIntervals, ActiveTimeIntervals: o.ActiveTimeIntervals, Matched: matched[r], Routes: []*Route{}}
	for _, m := range r.Matchers {
		out.Matchers = append(out.Matchers, m.String())
	}
	if o.GroupByAll {
		out.GroupBy = append(out.GroupBy, "...")
	} else {
		for _, name := range slices.Sorted(maps.Keys(o.GroupBy)) {
			out.GroupBy = append(out.GroupBy, string(name))
		}
	}
	for _, child := range r.Routes {
		out.Routes = append(out.Routes, shownRoute(child, matched, integrations))
	}
	return out
}

func duration(d time.Duration) string { return model.Duration(d).String() }
