package alertmanager

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/matcher/compat"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
)

// GET /api/v2/alerts, the one answer of the API that is large: tens of thousands of alerts that pages and
// karma ask for every few seconds. It says what Alertmanager's own handler says (a test compares the two)
// at a third of its cost: no model, no reflection, no span for each alert; on all processors.

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
		pieces, err := i.list(r.Context(), q)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			_ = json.NewEncoder(w).Encode(err.Error())
			return
		}
		for _, p := range pieces {
			if _, err := w.Write(p); err != nil {
				return
			}
		}
	})
}

// one is an alert of the answer.
type one struct {
	fp        model.Fingerprint
	alert     *alert.Alert
	status    alert.AlertStatus
	receivers []string
}

// shares is how many processors an answer is made on, and smallShare how many alerts are too few for one more.
var shares = runtime.GOMAXPROCS(0)

const smallShare = 500

// list returns the answer in pieces.
func (i *instance) list(ctx context.Context, q listQuery) ([][]byte, error) {
	l := i.newLister(q)
	all := i.alerts.known.sorted()
	n := max(1, min(shares, len(all)/smallShare))
	out := make([][]byte, n)
	g, ctx := errgroup.WithContext(ctx)
	for k := range n {
		g.Go(func() (err error) {
			out[k], err = l.list(ctx, all[k*len(all)/n:(k+1)*len(all)/n])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return joined(out), nil
}

// joined makes one JSON array of pieces, each of which is alerts separated by commas, or nothing.
func joined(pieces [][]byte) [][]byte {
	out := [][]byte{[]byte("[")}
	for _, p := range pieces {
		if len(p) == 0 {
			continue
		}
		if len(out) > 1 {
			out = append(out, []byte(","))
		}
		out = append(out, p)
	}
	return append(out, []byte("]\n"))
}

// lister lists alerts for one request. Its parts are safe for concurrent use.
type lister struct {
	q         listQuery
	now       time.Time
	route     *dispatch.Route
	receivers map[string]model.LabelSet // the labels of receivers by name
	silencer  *silence.Silencer
	inhibitor *inhibit.Inhibitor
	targets   []amlabels.Matchers // of the rules of inhibition: what none matches isn't inhibited
}

func (i *instance) newLister(q listQuery) *lister {
	conf := i.current()
	l := &lister{q: q, now: time.Now(), route: dispatch.NewRoute(conf.Route, nil), receivers: map[string]model.LabelSet{}, silencer: i.silencer, inhibitor: i.inhibitor.Load()}
	for _, rc := range conf.Receivers {
		l.receivers[rc.Name] = labelSet(rc.Labels)
	}
	for _, r := range conf.InhibitRules {
		l.targets = append(l.targets, inhibit.NewInhibitRule(r).TargetMatchers)
	}
	return l
}

// list writes those of the alerts that are asked for.
func (l *lister) list(ctx context.Context, all []keyed) ([]byte, error) {
	mark := marker.NewAlertMarker()
	marked := marker.WithContext(ctx, mark)
	var out []byte
	var e encoder
	for n, k := range all {
		if n%100 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		o := one{fp: k.fp, alert: k.alert}
		if !l.wants(&o) {
			continue
		}
		if slices.ContainsFunc(l.targets, func(m amlabels.Matchers) bool { return m.Matches(k.alert.Labels) }) {
			l.inhibitor.Mutes(marked, k.alert.Labels)
		}
		l.silencer.Mutes(marked, k.alert.Labels)
		o.status = mark.Status(k.fp)
		if !l.q.active && o.status.State == alert.AlertStateActive || !l.q.silenced && len(o.status.SilencedBy) > 0 || !l.q.inhibited && len(o.status.InhibitedBy) > 0 {
			continue
		}
		if len(out) > 0 {
			out = append(out, ',')
		} else {
			out = make([]byte, 0, 512*(len(all)-n))
		}
		out = e.append(out, &o)
	}
	return out, nil
}

// wants reports whether the request is about an alert, whatever its status, and finds its receivers.
func (l *lister) wants(o *one) bool {
	a := o.alert
	if a.EndsAt.Before(l.now) && !a.EndsAt.IsZero() || !matches(l.q.filter, a.Labels) {
		return false
	}
	for _, r := range l.route.Match(a.Labels) {
		o.receivers = append(o.receivers, r.RouteOpts.Receiver)
	}
	if l.q.receiver != nil && !slices.ContainsFunc(o.receivers, l.q.receiver.MatchString) {
		return false
	}
	return len(l.q.receivers) == 0 || slices.ContainsFunc(o.receivers, func(name string) bool { return matches(l.q.receivers, l.receivers[name]) })
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
	out = append(out, `,"fingerprint":"`...)
	out = append(fingerprint(out, o.fp), '"')
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

// fingerprint writes 16 hexadecimal digits.
func fingerprint(out []byte, fp model.Fingerprint) []byte {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], uint64(fp))
	return hex.AppendEncode(out, raw[:])
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
