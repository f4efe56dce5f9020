package alertmanager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/api"
	"github.com/prometheus/alertmanager/cluster"
	"github.com/prometheus/alertmanager/config/receiver"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/route"

	"github.com/hune-io/hune/internal/tenant"
)

// instance is the Alertmanager of one tenant: silences, notification log and alerts, which live as long
// as it, and what a configuration makes of them, which a new configuration replaces.
type instance struct {
	tenant  string
	cfg     Config
	logger  *slog.Logger
	history Recorder
	url     *url.URL
	peer    *cluster.Peer

	journal     *journal
	notified    *nflog.Log
	silences    *silence.Silences
	silencer    *silence.Silencer
	muted       marker.GroupMarker
	alerts      *alerts
	api         *api.API
	upstream    http.Handler // Alertmanager's own API
	handler     http.Handler
	pipeline    *notify.PipelineBuilder
	dispatching *dispatch.DispatcherMetrics
	started     time.Time

	mu     sync.Mutex // one apply at a time
	active *configuration
	// integrations are the names of those of each receiver that a route uses; guarded by mu.
	integrations map[string][]string
	dispatcher   atomic.Pointer[dispatch.Dispatcher]
	inhibitor    atomic.Pointer[inhibit.Inhibitor]
	running      sync.WaitGroup

	wake   chan struct{} // something was announced to the journal
	copied []byte        // what was last copied to the bucket
}

// newInstance restores a tenant's state from disk, or from what was copied to the bucket if there is
// nothing on disk, and puts conf into force.
func newInstance(ctx context.Context, m *Alertmanager, id string, conf *configuration) (_ *instance, err error) {
	registered := &registered{Registerer: m.o.Registerer}
	reg := prometheus.WrapRegistererWith(prometheus.Labels{"tenant": id}, registered)
	i := &instance{tenant: id, cfg: m.o.Config, logger: m.o.Logger.With("tenant", id), history: m.o.History, url: m.o.ExternalURL, peer: m.peer,
		muted: marker.NewGroupMarker(), started: time.Now(), wake: make(chan struct{}, 1)}
	if i.journal, err = openJournal(filepath.Join(m.o.Dir, id, "wal"), i.logger); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			registered.unregister() // the next attempt registers anew
			err = errors.Join(err, i.journal.close())
		}
	}()
	retention := time.Duration(i.cfg.Retention)
	if i.notified, err = nflog.New(nflog.Options{Retention: retention, Logger: i.logger, Metrics: reg}); err != nil {
		return nil, err
	}
	i.silences, err = silence.New(silence.Options{Retention: retention, Logger: i.logger, Metrics: reg,
		Limits: silence.Limits{MaxSilences: func() int { return i.cfg.MaxSilences }, MaxSilenceSizeBytes: func() int { return int(i.cfg.MaxSilenceSize) }}})
	if err != nil {
		return nil, err
	}
	restored, err := i.restore(ctx, m)
	if err != nil {
		return nil, err
	}
	i.announce(reg)
	i.silencer = silence.NewSilencer(i.silences, i.logger, eventrecorder.Recorder{})
	known := newKnown(i.silencer, i.cfg.MaxAlerts)
	provider, err := mem.NewAlerts(context.Background(), time.Duration(i.cfg.GCInterval), 0, known, i.logger, eventrecorder.Recorder{}, reg, featurecontrol.NoopFlags{})
	if err != nil {
		return nil, err
	}
	i.alerts = &alerts{Alerts: provider, journal: i.journal, known: known}
	if err = i.alerts.Alerts.Put(ctx, restored...); err != nil {
		return nil, err
	}
	known.markSaved(restored)
	if err = i.newAPI(reg, m.duration); err != nil {
		return nil, err
	}
	i.pipeline = notify.NewPipelineBuilder(reg, byReceiver{}, eventrecorder.Recorder{})
	i.dispatching = dispatch.NewDispatcherMetrics(false, reg, featurecontrol.NoopFlags{})
	return i, i.apply(conf)
}

// byReceiver counts notifications by receiver, so that the one that is down can be told from its neighbours.
type byReceiver struct{ featurecontrol.NoopFlags }

// EnableReceiverNamesInMetrics implements featurecontrol.Flagger.
func (byReceiver) EnableReceiverNamesInMetrics() bool { return true }

// restore reads the journal, or the bucket's copy where the disk has nothing.
func (i *instance) restore(ctx context.Context, m *Alertmanager) ([]*alert.Alert, error) {
	found, err := i.journal.replay(ctx, i.notified, i.silences)
	if err != nil {
		return nil, err
	}
	if copies, err := m.copies(ctx, i.tenant); err != nil {
		i.logger.Warn("the copy of the state in the bucket can't be read", "err", err)
	} else {
		for _, c := range copies { // what is known already changes nothing
			if err := errors.Join(i.notified.Merge(c.Notified), i.silences.Merge(c.Silences)); err != nil {
				i.logger.Warn("the copy of the state in the bucket is damaged", "err", err)
			}
		}
	}
	return restore(found).revived(time.Now(), time.Duration(i.cfg.GCInterval)), nil
}

// announce connects the state to the journal and the cluster.
func (i *instance) announce(reg prometheus.Registerer) {
	send := map[byte]func([]byte){kindNotified: func([]byte) {}, kindSilence: func([]byte) {}}
	if i.peer != nil {
		// The keys are those of Alertmanager for the tenant that one without tenants has.
		suffix := ":" + i.tenant
		if i.tenant == tenant.Anonymous {
			suffix = ""
		}
		send[kindNotified] = i.peer.AddState("nfl"+suffix, i.notified, reg).Broadcast
		send[kindSilence] = i.peer.AddState("sil"+suffix, i.silences, reg).Broadcast
	}
	hook := func(kind byte) func([]byte) {
		return func(b []byte) {
			i.journal.announced(kind, b)
			send[kind](b)
			select {
			case i.wake <- struct{}{}:
			default:
			}
		}
	}
	i.notified.SetBroadcast(hook(kindNotified))
	i.silences.SetBroadcast(hook(kindSilence))
}

func (i *instance) newAPI(reg prometheus.Registerer, duration *prometheus.HistogramVec) (err error) {
	var peer cluster.ClusterPeer // nil, not a nil peer
	if i.peer != nil {
		peer = i.peer
	}
	i.api, err = api.New(api.Options{Alerts: i.alerts, Silences: i.silences, GroupMutedFunc: i.muted.Muted, Peer: peer, Concurrency: i.cfg.Concurrency,
		Logger: i.logger, Registry: reg, RequestDuration: duration,
		GroupFunc: func(ctx context.Context, routes func(*dispatch.Route) bool, alerts func(*alert.Alert, time.Time) bool) (dispatch.AlertGroups, map[model.Fingerprint][]string, error) {
			return i.dispatcher.Load().Groups(ctx, routes, alerts)
		}})
	if err != nil {
		return err
	}
	i.upstream = i.api.Register(route.New(), "/")
	i.handler = i.acknowledged(i.listed(i.upstream))
	return nil
}

// apply puts a configuration into force. If it can't be, the one in force stays.
func (i *instance) apply(conf *configuration) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	tmpl, err := conf.templates(i.url)
	if err != nil {
		return err
	}
	routes := dispatch.NewRoute(conf.Route, nil)
	used := map[string]bool{}
	routes.Walk(func(r *dispatch.Route) { used[r.RouteOpts.Receiver] = true })
	receivers, names := map[string][]notify.Integration{}, map[string][]string{}
	for _, rc := range conf.Receivers {
		if !used[rc.Name] {
			continue
		}
		made, err := receiver.BuildReceiverIntegrations(rc, tmpl, i.logger)
		if err != nil {
			return fmt.Errorf("receiver %q: %w", rc.Name, err)
		}
		for n := range made {
			names[rc.Name] = append(names[rc.Name], made[n].Name())
			made[n] = i.recorded(rc.Name, made[n])
		}
		receivers[rc.Name] = made
	}
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, t := range conf.MuteTimeIntervals {
		intervals[t.Name] = t.TimeIntervals
	}
	for _, t := range conf.TimeIntervals {
		intervals[t.Name] = t.TimeIntervals
	}

	// From here on nothing fails.
	i.halt()
	inhibitor := inhibit.NewInhibitor(i.alerts, conf.InhibitRules, i.logger, eventrecorder.Recorder{})
	var peer notify.Peer
	if i.peer != nil {
		peer = i.peer
	}
	stages := i.pipeline.New(receivers, i.wait, inhibitor, i.silencer, timeinterval.NewIntervener(intervals), i.muted, durable{i.notified, i.journal}, peer)
	i.api.Update(conf.Config, func(ctx context.Context, ls model.LabelSet) {
		i.inhibitor.Load().Mutes(ctx, ls)
		i.silencer.Mutes(ctx, ls)
	})
	dispatcher := dispatch.NewDispatcher(i.alerts, routes, stages, i.muted, i.timeout, dispatchMaintenance, nil, i.logger, eventrecorder.Recorder{}, i.dispatching, tmpl)
	// The inhibitor first, so that nobody is told of what it will hold back.
	i.running.Go(inhibitor.Run)
	inhibitor.WaitForLoading()
	i.inhibitor.Store(inhibitor)
	i.running.Go(func() { dispatcher.Run(i.started) })
	dispatcher.WaitForLoading()
	i.dispatcher.Store(dispatcher)
	i.active, i.integrations = conf, names
	return nil
}

// dispatchMaintenance is how often empty groups are dropped.
const dispatchMaintenance = 30 * time.Second

// recorded wraps an integration so that the history learns of its attempts.
func (i *instance) recorded(receiver string, in notify.Integration) notify.Integration {
	n := recorded{Notifier: &in, tenant: i.tenant, receiver: receiver, integration: in.Name(), history: i.history}
	return notify.NewIntegration(n, &in, in.Name(), in.Index(), receiver)
}

// wait is how long this member lets those before it notify first.
func (i *instance) wait() time.Duration {
	if i.peer == nil {
		return 0
	}
	return time.Duration(i.peer.Position()) * time.Duration(i.cfg.Cluster.PeerTimeout)
}

func (i *instance) timeout(d time.Duration) time.Duration {
	return max(d, notify.MinTimeout) + i.wait()
}

// halt stops what a configuration runs.
func (i *instance) halt() {
	if old := i.inhibitor.Load(); old != nil {
		old.Stop()
	}
	if old := i.dispatcher.Load(); old != nil {
		old.Stop()
	}
	i.running.Wait()
}

// run writes down what is announced and keeps the state small until ctx ends.
func (i *instance) run(ctx context.Context, copyState func(context.Context, *instance) error) {
	tick := time.NewTicker(time.Duration(i.cfg.MaintenanceInterval))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.wake:
			if err := i.journal.flush(ctx); err != nil && ctx.Err() == nil {
				i.logger.Error("the state of the alertmanager is not on disk", "err", err)
			}
		case <-tick.C:
			i.maintain(ctx, copyState)
		}
	}
}

// maintain drops what is past its retention, writes the state anew and copies it to the bucket.
func (i *instance) maintain(ctx context.Context, copyState func(context.Context, *instance) error) {
	_, nerr := i.notified.GC()
	_, serr := i.silences.GC()
	if err := errors.Join(nerr, serr, i.compact(ctx)); err != nil {
		i.logger.Error("maintenance of the alertmanager's state", "err", err)
	}
	if err := copyState(ctx, i); err != nil {
		i.logger.Warn("the state of the alertmanager was not copied to the bucket, the next maintenance will", "err", err)
	}
}

func (i *instance) compact(ctx context.Context) error {
	notified, err := i.notified.MarshalBinary()
	if err != nil {
		return err
	}
	silences, err := i.silences.MarshalBinary()
	if err != nil {
		return err
	}
	list := i.alerts.known.list()
	if err := i.journal.compact(ctx, notified, silences, list); err != nil {
		return err
	}
	i.alerts.known.markSaved(list)
	return nil
}

// stop ends everything of the tenant.
func (i *instance) stop(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.halt()
	i.alerts.Close()
	return errors.Join(i.journal.flush(ctx), i.compact(ctx), i.journal.close())
}

// registered remembers what was registered by way of it.
type registered struct {
	prometheus.Registerer
	all []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (r *registered) Register(c prometheus.Collector) error {
	err := r.Registerer.Register(c)
	if err == nil {
		r.all = append(r.all, c)
	}
	return err
}

// MustRegister implements prometheus.Registerer.
func (r *registered) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

func (r *registered) unregister() {
	for _, c := range r.all {
		r.Unregister(c)
	}
}
