// Package history keeps what happened to alerts as lines of the log stream {hune="alerts"} of the
// tenant that they belong to: every change of state, every notification with its receiver and
// result, every silence. It can be asked with LogQL, kept and put on a dashboard like any other log.
//
// A line is JSON, one object an event, with the keys of Event:
//
//	{"event":"notification","alertname":"DiskFull","receiver":"team","integration":"webhook","result":"sent","alerts":3,…}
package history

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/tenant"
)

// StreamLabel and StreamValue name the stream.
const (
	StreamLabel = "hune"
	StreamValue = "alerts"
)

// The kinds of events.
const (
	StateChange    = "state"           // of an alert of a rule: inactive, pending, firing
	Notification   = "notification"    // an attempt to tell a receiver
	SilenceSet     = "silence_set"     // created or changed
	SilenceExpired = "silence_expired" // ended by somebody
	ConfigApplied  = "config"          // a new configuration of the Alertmanager came into force, or was refused
)

// Event is one line. Empty fields are left out.
type Event struct {
	Event string `json:"event"`
	// AlertName is the alert's name where the event is about one, or about a group that has one.
	AlertName string            `json:"alertname,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`

	// Of state changes.
	From  string `json:"from,omitempty"`
	State string `json:"state,omitempty"`
	Group string `json:"rule_group,omitempty"`
	File  string `json:"file,omitempty"`
	Value string `json:"value,omitempty"` // of the expression

	// Of notifications.
	Receiver    string `json:"receiver,omitempty"`
	Integration string `json:"integration,omitempty"` // webhook, email, …
	Result      string `json:"result,omitempty"`      // sent, failed, gave_up
	Reason      string `json:"reason,omitempty"`      // why it was sent
	Error       string `json:"error,omitempty"`
	GroupKey    string `json:"group_key,omitempty"`
	Alerts      int    `json:"alerts,omitempty"`
	Firing      int    `json:"firing,omitempty"`
	Resolved    int    `json:"resolved,omitempty"`
	Duration    string `json:"duration,omitempty"`

	// Of silences.
	Silence  string `json:"silence,omitempty"`
	Matchers string `json:"matchers,omitempty"`
	Author   string `json:"author,omitempty"`
	Comment  string `json:"comment,omitempty"`
	EndsAt   string `json:"ends_at,omitempty"`
}

// Pusher stores logs. The tenant is in the context.
type Pusher interface {
	PushLogs(ctx context.Context, b *logs.Batch) (logs.PushResult, error)
}

// Options are what a Log needs.
type Options struct {
	Pusher     Pusher
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// maxWaiting bounds the events that wait to be stored; maxBatch those stored at once.
const (
	maxWaiting = 20_000
	maxBatch   = 1_000
)

// pushTimeout bounds one write.
const pushTimeout = 10 * time.Second

// Log writes events, as a service. Until it runs they wait.
type Log struct {
	services.Service

	o       Options
	dropped prometheus.Counter

	mu      sync.Mutex
	waiting []waiting
	wake    chan struct{}
}

type waiting struct {
	tenant string
	at     time.Time
	line   string
}

// New returns a log.
func New(o Options) *Log {
	l := &Log{o: o, wake: make(chan struct{}, 1),
		dropped: promauto.With(o.Registerer).NewCounter(prometheus.CounterOpts{Name: "hune_alert_history_dropped_total",
			Help: "Lines of the stream {hune=\"alerts\"} that could not be stored."})}
	l.Service = services.NewBasicService(nil, l.run, l.drain)
	return l
}

// Record stores an event soon. It never waits: what finds no room is counted and dropped, since an
// alert must not be held up by its history.
func (l *Log) Record(tenantID string, e Event) {
	line, err := json.Marshal(e)
	if err != nil { // strings and numbers alone: can't be
		l.dropped.Inc()
		return
	}
	l.mu.Lock()
	if len(l.waiting) >= maxWaiting {
		l.mu.Unlock()
		l.dropped.Inc()
		return
	}
	l.waiting = append(l.waiting, waiting{tenantID, l.o.Now(), string(line)})
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Log) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
			l.flush(ctx)
		}
	}
}

// drain stores what is left at the stop: the role that stores logs is stopped after this one.
func (l *Log) drain(error) error {
	l.flush(context.Background())
	return nil
}

// flush stores everything that waits.
func (l *Log) flush(ctx context.Context) {
	for {
		batch, tenantID := l.take()
		if len(batch) == 0 {
			return
		}
		pushCtx, cancel := context.WithTimeout(tenant.NewContext(ctx, tenantID), pushTimeout)
		res, err := l.o.Pusher.PushLogs(pushCtx, &logs.Batch{Streams: []logs.Stream{{Labels: streamLabels, Entries: batch}}})
		cancel()
		if err != nil {
			l.dropped.Add(float64(len(batch)))
			l.o.Logger.Warn("history of alerts was not stored", "tenant", tenantID, "events", len(batch), "err", err)
			continue
		}
		for _, r := range res.Rejected {
			l.dropped.Add(float64(r.Count))
			l.o.Logger.Warn("history of alerts was not stored whole", "tenant", tenantID, "events", r.Count, "reason", r.Message)
		}
	}
}

var streamLabels = labels.FromStrings(StreamLabel, StreamValue, "service_name", "hune")

// take removes the oldest events of one tenant, up to a batch.
func (l *Log) take() ([]logs.Entry, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return nil, ""
	}
	id := l.waiting[0].tenant
	var batch []logs.Entry
	rest := l.waiting[:0]
	for _, w := range l.waiting {
		if w.tenant == id && len(batch) < maxBatch {
			batch = append(batch, logs.Entry{Timestamp: w.at.UnixNano(), Line: w.line})
			continue
		}
		rest = append(rest, w)
	}
	clear(l.waiting[len(rest):])
	l.waiting = rest
	return batch, id
}
