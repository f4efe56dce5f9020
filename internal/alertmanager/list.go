package alertmanager

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/matcher/compat"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
)

// GET /api/v2/alerts, the one answer of the API that is large: tens of thousands of alerts that pages and
// karma ask for every few seconds. It says what Alertmanager's own handler says (a test compares the two)
// at a third of its cost: no model, no reflection, no span for each alert.

// listQuery is what a request asks for.
type listQuery struct {
	filter, receivers           []*amlabels.Matcher
	receiver                    *regexp.Regexp
	active, silenced, inhibited bool
}

// parseListQuery reads the parameters. Errors are the user's; it returns false for what is left to
// Alertmanager's own handler: parameters that it refuses.
func parseListQuery(v url.Values) (q listQuery, ok bool, err error) {
	for name, to := range map[string]*bool{"active": &q.active, "silenced": &q.silenced, "inhibited": &q.inhibited, "unprocessed": new(bool)} {
		*to = true
		if text := v.Get(name); text != "" {
			b, err := strconv.ParseBool(text)
			if err != nil {
				return q, false, nil
			}
			*to = b
		}
	}
	if q.filter, err = matchers(v["filter"]); err != nil {
		return q, true, err
	}
	if text := v.Get("receiver"); text != "" {
		if q.receiver, err = regexp.Compile("^(?:" + text + ")$"); err != nil {
			return q, true, fmt.Errorf("failed to parse receiver param: %w", err)
		}
	}
	if q.receivers, err = matchers(v["receiver_matchers"]); err != nil {
		return q, true, fmt.Errorf("failed to parse receiver_matchers param: %w", err)
	}
	return q, true, nil
}

func matchers(texts []string) ([]*amlabels.Matcher, error) {
	var out []*amlabels.Matcher
	for _, text := range texts {
		m, err := compat.Matcher(text, "api")
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// listed serves GET /api/v2/alerts and hands everything else on.
func (i *instance) listed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/api/v2/alerts" {
			next.ServeHTTP(w, r)
			return
		}
		q, ok, err := parseListQuery(r.URL.Query())
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(err.Error())
			return
		}
		body, err := i.list(r.Context(), q)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			_ = json.NewEncoder(w).Encode(err.Error())
			return
		}
		_, _ = w.Write(body)
	})
}

// one is an alert of the answer.
type one struct {
	fp        model.Fingerprint
	alert     *alert.Alert
	status    alert.AlertStatus
	receivers []string
}

func (i *instance) list(ctx context.Context, q listQuery) ([]byte, error) {
	conf := i.current()
	route := dispatch.NewRoute(conf.Route, nil)
	receiverLabels := map[string]model.LabelSet{}
	for _, rc := range conf.Receivers {
		receiverLabels[rc.Name] = labelSet(rc.Labels)
	}
	now := time.Now()
	mark := marker.NewAlertMarker()
	marked := marker.WithContext(ctx, mark)
	inhibitor := i.inhibitor.Load()
	var found []one
	for _, a := range i.alerts.known.list() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if a.EndsAt.Before(now) && !a.EndsAt.IsZero() || !matches(q.filter, a.Labels) {
			continue
		}
		o := one{fp: a.Fingerprint(), alert: a}
		for _, r := range route.Match(a.Labels) {
			o.receivers = append(o.receivers, r.RouteOpts.Receiver)
		}
		if q.receiver != nil && !slices.ContainsFunc(o.receivers, q.receiver.MatchString) {
			continue
		}
		if len(q.receivers) > 0 && !slices.ContainsFunc(o.receivers, func(name string) bool { return matches(q.receivers, receiverLabels[name]) }) {
			continue
		}
		inhibitor.Mutes(marked, a.Labels)
		i.silencer.Mutes(marked, a.Labels)
		o.status = mark.Status(o.fp)
		if !q.active && o.status.State == alert.AlertStateActive || !q.silenced && len(o.status.SilencedBy) > 0 || !q.inhibited && len(o.status.InhibitedBy) > 0 {
			continue
		}
		found = append(found, o)
	}
	slices.SortFunc(found, func(x, y one) int { return cmp.Compare(x.fp, y.fp) })
	out := append(make([]byte, 0, 2+512*len(found)), '[')
	var e encoder
	for n := range found {
		if n > 0 {
			out = append(out, ',')
		}
		out = e.append(out, &found[n])
	}
	return append(out, ']', '\n'), nil
}

func matches(ms []*amlabels.Matcher, ls model.LabelSet) bool {
	for _, m := range ms {
		if !m.Matches(string(ls[model.LabelName(m.Name)])) {
			return false
		}
	}
	return true
}

// encoder writes alerts as Alertmanager's openapi.yaml has them.
type encoder struct{ names []string }

func (e *encoder) append(out []byte, o *one) []byte {
	a := o.alert
	out = e.labels(append(out, `{"annotations":`...), a.Annotations)
	out = instant(append(out, `,"endsAt":`...), a.EndsAt)
	out = text(append(out, `,"fingerprint":`...), o.fp.String())
	out = append(out, `,"receivers":[`...)
	for n, r := range o.receivers {
		if n > 0 {
			out = append(out, ',')
		}
		out = append(text(append(out, `{"name":`...), r), '}')
	}
	out = instant(append(out, `],"startsAt":`...), a.StartsAt)
	out = texts(append(out, `,"status":{"inhibitedBy":`...), o.status.InhibitedBy)
	out = texts(append(out, `,"mutedBy":[],"silencedBy":`...), o.status.SilencedBy)
	out = text(append(out, `,"state":`...), string(o.status.State))
	out = instant(append(out, `},"updatedAt":`...), a.UpdatedAt)
	if a.GeneratorURL != "" {
		out = text(append(out, `,"generatorURL":`...), a.GeneratorURL)
	}
	return append(e.labels(append(out, `,"labels":`...), a.Labels), '}')
}

func (e *encoder) labels(out []byte, ls model.LabelSet) []byte {
	e.names = e.names[:0]
	for name := range maps.Keys(ls) {
		e.names = append(e.names, string(name))
	}
	slices.Sort(e.names)
	out = append(out, '{')
	for n, name := range e.names {
		if n > 0 {
			out = append(out, ',')
		}
		out = text(append(text(out, name), ':'), string(ls[model.LabelName(name)]))
	}
	return append(out, '}')
}

func texts(out []byte, ss []string) []byte {
	out = append(out, '[')
	for n, s := range ss {
		if n > 0 {
			out = append(out, ',')
		}
		out = text(out, s)
	}
	return append(out, ']')
}

// instant writes a time with milliseconds, as go-openapi does.
func instant(out []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(out, '"'), "2006-01-02T15:04:05.000Z07:00"), '"')
}

// text writes a JSON string.
func text(out []byte, s string) []byte {
	for n := range len(s) {
		if c := s[n]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			var b bytes.Buffer
			_ = json.NewEncoder(&b).Encode(s) // a string can be encoded
			return append(out, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
		}
	}
	return append(append(append(out, '"'), s...), '"')
}
