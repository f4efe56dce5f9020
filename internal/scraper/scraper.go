// Package scraper is Prometheus's scrape manager and service discovery as a role: the sections
// `global` and `scrape_configs` of a prometheus.yml work as they are.
//
// Each scrape is one batch and one push, so that a scrape is stored whole or reported as failed. The
// samples are those that Prometheus would store: up and scrape_* series, staleness markers for what
// has disappeared, exemplars, native histograms, start timestamps and metadata.
package scraper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/util/logging"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/ring"
	"github.com/hune-io/hune/internal/tenant"
)

// Options are what a Scraper needs.
type Options struct {
	Config     Config
	Pusher     Pusher
	Logger     *slog.Logger
	Registerer prometheus.Registerer // for prometheus_target_* and prometheus_sd_*; nil: not registered
	Self       string                // address of this process's /metrics, "" for none
	Tenant     string                // owner of what is scraped; "" means tenant.Anonymous
	Ring       *ring.Ring            // of scrapers that share the targets; nil: this one has all
}

// Scraper is the role as a service. It implements what Prometheus's API needs to show targets
// (TargetRetriever and ScrapePoolsRetriever of web/api/v1).
type Scraper struct {
	services.Service

	self       string
	logger     *slog.Logger
	scrape     *scrape.Manager
	discovery  *discovery.Manager
	registered *registered
	cancel     context.CancelFunc // ends discovery
	ring       *ring.Ring         // nil: nobody shares, or by scrape_shards
	moved      chan struct{}      // the ring has changed
	addsSelf   atomic.Bool        // the job that scrapes this process was added

	mu  sync.Mutex // one Reload at a time
	cfg *promconfig.Config
}

// discoveryInterval is how long new targets wait to be scraped, twice. Prometheus waits 5 s for large
// clusters; a second is what makes the first page of a fresh Hune show data at once.
const discoveryInterval = time.Second

// New reads and checks the configuration. Nothing is scraped until the service starts.
func New(o Options) (*Scraper, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if o.Tenant == "" {
		o.Tenant = tenant.Anonymous
	}
	s := &Scraper{self: o.Self, logger: o.Logger, registered: &registered{Registerer: o.Registerer}}
	var err error
	if s.cfg, err = o.Config.load(o.Self, o.Logger); err != nil {
		return nil, err
	}
	s.addsSelf.Store(o.Config.addsSelf)
	if o.Config.ScrapeShards <= 1 {
		s.ring, s.moved = o.Ring, make(chan struct{}, 1)
		s.ring.OnChange(func() {
			select {
			case s.moved <- struct{}{}:
			default:
			}
		})
	}
	s.scrape, err = scrape.NewManager(&scrape.Options{
		AppendMetadata:                    true,
		EnableStartTimestampZeroIngestion: true,
		DiscoveryReloadInterval:           model.Duration(discoveryInterval),
	}, o.Logger, logging.NewJSONFileLogger, newAppendable(o.Pusher, o.Tenant, o.Logger, time.Now), s.registered)
	if err != nil {
		return nil, fmt.Errorf("scraper: %w", err)
	}
	sd, err := discovery.CreateAndRegisterSDMetrics(s.registered)
	if err != nil {
		s.registered.undo()
		return nil, fmt.Errorf("scraper: %w", err)
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.discovery = discovery.NewManager(ctx, o.Logger, s.registered, sd, discovery.Name("scrape"), discovery.Updatert(discoveryInterval))
	if s.discovery == nil {
		s.cancel()
		s.registered.undo()
		return nil, errors.New("scraper: register the metrics of service discovery")
	}
	s.Service = services.NewBasicService(nil, s.run, s.stop).WithName("scraper")
	return s, nil
}

func (s *Scraper) run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error {
		if err := s.discovery.Run(); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
	found := s.discovery.SyncCh()
	sharing, unshare := context.WithCancel(context.WithoutCancel(ctx))
	defer unshare()
	if s.ring != nil {
		mine := make(chan targets)
		g.Go(func() error { s.shared(sharing, s.discovery.SyncCh(), mine); return nil })
		found = mine
	}
	g.Go(func() error { return s.scrape.Run(found) })
	s.mu.Lock()
	err := s.apply(s.cfg)
	s.mu.Unlock()
	if err == nil {
		<-ctx.Done()
	}
	// Targets first: a discovery that ends would look like targets that are gone.
	s.scrape.Stop()
	unshare()
	s.cancel()
	if gerr := g.Wait(); err == nil {
		err = gerr
	}
	return err
}

func (s *Scraper) stop(error) error {
	s.cancel()
	s.registered.undo()
	return nil
}

// registered remembers what was registered, because not everything that the libraries register can
// be unregistered through them.
type registered struct {
	prometheus.Registerer
	collectors []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (r *registered) Register(c prometheus.Collector) error {
	err := r.Registerer.Register(c)
	if err == nil {
		r.collectors = append(r.collectors, c)
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

func (r *registered) undo() {
	for _, c := range r.collectors {
		r.Unregister(c)
	}
	r.collectors = nil
}

// apply makes both managers follow cfg. s.mu must be held.
func (s *Scraper) apply(cfg *promconfig.Config) error {
	jobs, err := cfg.GetScrapeConfigs()
	if err != nil {
		return fmt.Errorf("scrape_configs: %w", err)
	}
	found := make(map[string]discovery.Configs, len(jobs))
	for _, job := range jobs {
		found[job.JobName] = job.ServiceDiscoveryConfigs
	}
	if err := s.scrape.ApplyConfig(cfg); err != nil {
		return fmt.Errorf("scrape_configs: %w", err)
	}
	if err := s.discovery.ApplyConfig(found); err != nil {
		return fmt.Errorf("scrape_configs: %w", err)
	}
	return nil
}

// Reload changes to another configuration, or to none of it: after an error the old one is in
// force. Targets that both have go on undisturbed.
func (s *Scraper) Reload(c Config) error {
	next, err := c.load(s.self, s.logger)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.State() == services.Running {
		if err := s.apply(next); err != nil {
			return errors.Join(err, s.apply(s.cfg))
		}
	}
	s.cfg = next
	s.addsSelf.Store(c.addsSelf)
	return nil
}

// ConfigText is the configuration in force as a prometheus.yml, with defaults and without secrets.
func (s *Scraper) ConfigText() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.String()
}

// TargetsActive returns the targets that are scraped, by job.
func (s *Scraper) TargetsActive() map[string][]*scrape.Target { return s.scrape.TargetsActive() }

// TargetsDropped returns the targets that relabelling dropped, by job.
func (s *Scraper) TargetsDropped() map[string][]*scrape.Target { return s.scrape.TargetsDropped() }

// TargetsDroppedCounts returns how many targets relabelling dropped, by job; TargetsDropped may
// hold fewer.
func (s *Scraper) TargetsDroppedCounts() map[string]int { return s.scrape.TargetsDroppedCounts() }

// ScrapePools returns the names of the jobs.
func (s *Scraper) ScrapePools() []string { return s.scrape.ScrapePools() }

// ScrapePoolConfig returns the configuration of a job.
func (s *Scraper) ScrapePoolConfig(job string) (*promconfig.ScrapeConfig, error) {
	return s.scrape.ScrapePoolConfig(job)
}
