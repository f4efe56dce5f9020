// Package alertmanager is Alertmanager as a role, made of its own packages: routes, grouping,
// inhibition, silences, receivers, templates, API version 2 and gossip are its own, so that
// configuration files, amtool and Grafana work as they are.
//
// There is one for each tenant that has alerts or a configuration. What differs from Alertmanager is
// where its state is: every silence, every notification and every alert is in a synced log on disk
// before it is acknowledged or counts as sent, so that a kill loses none and repeats none. Silences and
// notification log are copied to the bucket as well.
//
//	PUT alerts ──► log ──► memory ──► dispatcher ──► inhibition, silences, times ──► receiver
//	                                                                  notification log ──► log, gossip
package alertmanager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/cluster"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/thanos-io/objstore"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/history"
	"github.com/hune-io/hune/internal/tenant"
)

// Options are what an Alertmanager needs.
type Options struct {
	Config      Config
	Dir         string // of the state
	Bucket      objstore.Bucket
	History     Recorder
	ExternalURL *url.URL // for links in notifications
	Logger      *slog.Logger
	Registerer  prometheus.Registerer
}

// Alertmanager is the role as a service.
type Alertmanager struct {
	services.Service

	o        Options
	name     string // of this member
	peer     *cluster.Peer
	fallback atomic.Pointer[configuration]
	duration *prometheus.HistogramVec
	reloaded struct{ ok, at prometheus.Gauge }

	life   context.Context // of instances
	cancel context.CancelFunc
	loops  sync.WaitGroup

	mu        sync.Mutex
	instances map[string]*entry
	stopped   bool
}

// entry is an instance that is there or is being made.
type entry struct {
	ready chan struct{}
	*instance
	err error
}

// New reads the configuration and opens the state of the tenants that have one. Gossip begins when the
// service starts.
func New(ctx context.Context, o Options) (_ *Alertmanager, err error) {
	m := &Alertmanager{o: o, instances: map[string]*entry{}, name: o.Config.Cluster.Name}
	if m.name == "" {
		if m.name, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("alertmanager.cluster.name is not set, and the host has no name: %w", err)
		}
	}
	reg := promauto.With(o.Registerer)
	m.duration = reg.NewHistogramVec(prometheus.HistogramOpts{Name: "alertmanager_http_request_duration_seconds",
		Help: "Time that requests of the Alertmanager API take.", Buckets: prometheus.DefBuckets}, []string{"handler", "method", "code"})
	m.reloaded.ok = reg.NewGauge(prometheus.GaugeOpts{Name: "alertmanager_config_last_reload_successful",
		Help: "Whether the last attempt to read alertmanager.config_file succeeded."})
	m.reloaded.at = reg.NewGauge(prometheus.GaugeOpts{Name: "alertmanager_config_last_reload_success_timestamp_seconds",
		Help: "When alertmanager.config_file was last put into force."})
	conf, err := loadFile(o.Config.ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("alertmanager.config_file: %w", err)
	}
	m.setFallback(conf)
	if err := m.openCluster(); err != nil {
		return nil, err
	}
	m.life, m.cancel = context.WithCancel(context.Background())
	if err := m.openKnown(ctx); err != nil {
		return nil, errors.Join(err, m.stop(nil))
	}
	m.Service = services.NewBasicService(m.start, m.run, m.stop)
	return m, nil
}

func (m *Alertmanager) setFallback(conf *configuration) {
	m.fallback.Store(conf)
	m.reloaded.ok.Set(1)
	m.reloaded.at.SetToCurrentTime()
}

func (m *Alertmanager) openCluster() (err error) {
	c := m.o.Config.Cluster
	if c.Listen == "" {
		return nil
	}
	tls, err := cluster.GetTLSTransportConfig(c.TLSConfigFile)
	if err != nil {
		return fmt.Errorf("alertmanager.cluster.tls_config_file: %w", err)
	}
	m.peer, err = cluster.Create(m.o.Logger, m.o.Registerer, c.Listen, c.Advertise, c.Peers, true, time.Duration(c.PushPullInterval), time.Duration(c.GossipInterval),
		cluster.DefaultTCPTimeout, cluster.DefaultResolvePeersTimeout, cluster.DefaultProbeTimeout, cluster.DefaultProbeInterval, tls, true, c.Label, "")
	if err != nil {
		return fmt.Errorf("alertmanager.cluster: %w", err)
	}
	return nil
}

// openKnown opens the instances of tenants that have state on disk.
func (m *Alertmanager) openKnown(ctx context.Context) error {
	dirs, err := filepath.Glob(filepath.Join(m.o.Dir, "*", "wal"))
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, dir := range dirs {
		id := filepath.Base(filepath.Dir(dir))
		if tenant.Validate(id) != nil {
			continue
		}
		g.Go(func() error {
			_, err := m.instance(ctx, id)
			return err
		})
	}
	return g.Wait()
}

// instance returns a tenant's, made now if there is none yet.
func (m *Alertmanager) instance(ctx context.Context, id string) (*instance, error) {
	m.mu.Lock()
	if m.stopped {
		m.mu.Unlock()
		return nil, errStopped
	}
	e, ok := m.instances[id]
	if !ok {
		e = &entry{ready: make(chan struct{})}
		m.instances[id] = e
	}
	m.mu.Unlock()
	if ok {
		select {
		case <-e.ready:
			return e.instance, e.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	// Who asked first makes it for all: its leaving must not fail the others.
	ctx = context.WithoutCancel(ctx)
	conf, err := m.tenantConfig(ctx, id)
	if err != nil {
		m.o.Logger.Warn("the tenant's alertmanager configuration can't be used, that of the file is", "tenant", id, "err", err)
		conf = m.fallback.Load()
	}
	e.instance, e.err = newInstance(ctx, m, id, conf)
	m.mu.Lock()
	if e.err != nil {
		e.err = fmt.Errorf("alertmanager of tenant %s: %w", id, e.err)
		delete(m.instances, id) // the next one tries again
	} else if !m.stopped {
		m.loops.Go(func() { e.run(m.life, m.copyState) })
	}
	m.mu.Unlock()
	close(e.ready)
	return e.instance, e.err
}

// Handler returns the API of a tenant, at /api/v2/….
func (m *Alertmanager) Handler(ctx context.Context, id string) (http.Handler, error) {
	i, err := m.instance(ctx, id)
	if err != nil {
		return nil, err
	}
	return i.handler, nil
}

// Put takes alerts of a tenant's rules. When it returns nil they are on disk.
func (m *Alertmanager) Put(ctx context.Context, id string, alerts []*alert.Alert) error {
	i, err := m.instance(ctx, id)
	if err != nil {
		return err
	}
	return i.alerts.Put(ctx, alerts...)
}

// Reload reads a configuration file and puts it into force for all tenants without one of their own. With
// an error the old one stays everywhere.
func (m *Alertmanager) Reload(file string) error {
	conf, err := loadFile(file)
	if old := m.fallback.Load(); err == nil && conf.source == old.source {
		m.setFallback(old)
		return nil
	}
	if err == nil {
		err = m.useFallback(conf, file)
	}
	if err != nil {
		m.reloaded.ok.Set(0)
		return fmt.Errorf("alertmanager.config_file: %w", err)
	}
	return nil
}

func (m *Alertmanager) useFallback(conf *configuration, file string) error {
	old := m.fallback.Load()
	m.setFallback(conf)
	for _, i := range m.all() {
		if i.current().own {
			continue
		}
		if err := i.apply(conf); err != nil { // as in New, before anything was changed
			m.fallback.Store(old)
			return err
		}
		i.history.Record(i.tenant, history.Event{Event: history.ConfigApplied, Result: "applied", File: file})
	}
	return nil
}

// use puts a tenant's configuration into force.
func (m *Alertmanager) use(ctx context.Context, id string, conf *configuration) error {
	i, err := m.instance(ctx, id)
	if err != nil {
		return err
	}
	if now := i.current(); now == conf || now.own == conf.own && now.source == conf.source {
		return nil
	}
	if err := i.apply(conf); err != nil {
		return err
	}
	i.history.Record(id, history.Event{Event: history.ConfigApplied, Result: "applied"})
	return nil
}

func (m *Alertmanager) all() []*instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*instance, 0, len(m.instances))
	for _, e := range m.instances {
		select {
		case <-e.ready:
			if e.err == nil {
				out = append(out, e.instance)
			}
		default:
		}
	}
	return out
}

func (m *Alertmanager) start(context.Context) error {
	if m.peer == nil {
		return nil
	}
	c := m.o.Config.Cluster
	if err := m.peer.Join(time.Duration(c.ReconnectInterval), time.Duration(c.ReconnectTimeout)); err != nil {
		m.o.Logger.Warn("no other alertmanager was reached yet", "err", err)
	}
	m.loops.Go(func() {
		ctx, cancel := context.WithTimeout(m.life, time.Duration(c.SettleTimeout))
		defer cancel()
		m.peer.Settle(ctx, 10*time.Duration(c.GossipInterval))
	})
	return nil
}

// run looks for configurations that other processes wrote.
func (m *Alertmanager) run(ctx context.Context) error {
	m.poll(ctx)
	tick := time.NewTicker(time.Duration(m.o.Config.PollInterval))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			m.poll(ctx)
		}
	}
}

func (m *Alertmanager) poll(ctx context.Context) {
	ids, err := m.configured(ctx)
	if err != nil {
		if ctx.Err() == nil {
			m.o.Logger.Warn("alertmanager configurations of tenants can't be listed", "err", err)
		}
		return
	}
	for _, i := range m.all() {
		ids = append(ids, i.tenant) // whose configuration may be gone
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] || tenant.Validate(id) != nil {
			continue
		}
		seen[id] = true
		conf, err := m.tenantConfig(ctx, id)
		if err == nil {
			err = m.use(ctx, id, conf)
		}
		if err != nil && ctx.Err() == nil {
			m.o.Logger.Warn("the tenant's alertmanager configuration can't be used, the one in force stays", "tenant", id, "err", err)
		}
	}
}

// leaveTimeout bounds the goodbye to other members.
const leaveTimeout = 3 * time.Second

// stop ends everything; the state is on disk then.
func (m *Alertmanager) stop(error) error {
	m.mu.Lock()
	m.stopped = true
	m.mu.Unlock()
	m.cancel()
	m.loops.Wait()
	var errs []error
	for _, i := range m.all() {
		errs = append(errs, i.stop(context.Background()))
	}
	if m.peer != nil {
		if err := m.peer.Leave(leaveTimeout); err != nil {
			m.o.Logger.Warn("leaving the other alertmanagers", "err", err)
		}
	}
	return errors.Join(errs...)
}
