// Package app assembles the program: it makes the roles that the configuration asks for, gives each
// what it needs, starts them in order and stops them in the reverse order. It is the one place that
// knows them all.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	gokitlog "github.com/go-kit/log"
	"github.com/grafana/dskit/modules"
	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/prometheus/tsdb/fileutil"
	"github.com/thanos-io/objstore"
	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc"

	"github.com/hune-io/hune/internal/alertmanager"
	"github.com/hune-io/hune/internal/api/otlp"
	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/collector"
	"github.com/hune-io/hune/internal/compactor"
	"github.com/hune-io/hune/internal/config"
	"github.com/hune-io/hune/internal/distributor"
	"github.com/hune-io/hune/internal/frontend"
	"github.com/hune-io/hune/internal/generator"
	"github.com/hune-io/hune/internal/history"
	"github.com/hune-io/hune/internal/ingester"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs/deletes"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/metrics"
	metricdeletes "github.com/hune-io/hune/internal/metrics/deletes"
	"github.com/hune-io/hune/internal/metrics/storeapi"
	"github.com/hune-io/hune/internal/ownfile"
	"github.com/hune-io/hune/internal/ring"
	"github.com/hune-io/hune/internal/ruler"
	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/scheduler"
	"github.com/hune-io/hune/internal/scraper"
	"github.com/hune-io/hune/internal/store"
	"github.com/hune-io/hune/internal/telemetry"
	tracedeletes "github.com/hune-io/hune/internal/traces/deletes"
	traceoverrides "github.com/hune-io/hune/internal/traces/overrides"
)

// Options are what the surroundings give the program.
type Options struct {
	Log io.Writer // the program's own log
	// Load reads the configuration again, as the one that New was given was read. Nil: it can't be reloaded.
	Load func() (config.Config, error)
	// ConfigFile is the file that Load reads, looked at for changes; "" for none.
	ConfigFile string
	// Reload asks for a reload with each value: SIGHUP. May be nil.
	Reload <-chan os.Signal
}

// App is the assembled program. Fields below services are set by the roles' constructors, in the order
// of their needs; a role that doesn't run leaves its fields nil.
type App struct {
	cfg      config.Config // as it was at the start; reloader knows the one in force
	reloader *reloader
	asked    <-chan os.Signal // for a reload
	logger   *slog.Logger
	logLevel *slog.LevelVar
	registry *prometheus.Registry
	self     *telemetry.Self
	tenancy  tenancy
	server   *server
	mux      *http.ServeMux // the APIs
	apis     http.Handler   // mux, after each request got its tenant
	ui       http.Handler   // nil where the role ui doesn't run
	services map[string]services.Service
	manager  *services.Manager

	cluster        *ring.Cluster // nil: this process is alone
	rings          map[string]*ring.Ring
	elections      *ring.Elections // nil: this process is alone
	overrides      *limits.Overrides
	bucket         objstore.Bucket
	pages          *cache.Pages
	redis          *cache.Redis   // nil: none is configured
	results        *cache.Results // nil: answers are not shared
	ingester       *ingester.Ingester
	heads          *metrics.Heads
	blocks         *metrics.BlockStore
	store          *store.Store
	traceOverrides *traceoverrides.Store   // what tenants set for themselves
	traceLimits    *traceoverrides.Tenants // overrides with that
	traceDeletes   *tracedeletes.Book      // as deletes
	deletes        *deletes.Book           // of the bucket: what the compactor's process writes, the others read
	rules          *rules.Store            // of the bucket
	compactor      *compactor.Compactor
	generator      *generator.Generator
	distributor    *distributor.Distributor
	scheduler      *scheduler.Scheduler
	frontend       *frontend.Frontend
	logEngine      *logql.Engine
	logMemory      *logql.Memory // of all engines
	scraper        *scraper.Scraper
	collector      *collector.Collector
	grpc           *grpc.Server
	otlp           *otlp.Handler
	remoteWrite    http.Handler      // nil where no API runs
	systemMux      *http.ServeMux    // paths about the process, without a tenant
	lock           fileutil.Releaser // of the data folder
	history        *history.Log
	near           ruler.Near      // nil: this process can't answer by itself
	notifier       *ruler.External // nil: alerts go to the alertmanager of this process
	ruler          *ruler.Ruler
	alertmanager   *alertmanager.Alertmanager
	metricDeletes  *metricdeletes.Book // as deletes, for metrics
	endpoints      []*storeapi.Client  // other StoreAPI servers
	peers          metrics.Stores      // nil: the store of this process shares its blocks with no other
}

// stopTimeout is how long a stop may take before what still runs is left behind. The promise to the
// outside is 10 s.
const stopTimeout = 9 * time.Second

// New makes everything and opens what is on disk, but serves nothing yet. Errors are one line each, for
// the person at the terminal.
func New(ctx context.Context, cfg config.Config, opts Options) (*App, error) {
	handler, level, err := telemetry.NewHandler(cfg.Log, opts.Log)
	if err != nil {
		return nil, err
	}
	// The embedded S3 server changes the working directory for a moment while it is made: nobody may
	// look for the data from where it stands then.
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", cfg.Data, err)
	}
	cfg.Data = data
	a := &App{cfg: cfg, asked: opts.Reload, logLevel: level, registry: prometheus.NewRegistry(), tenancy: tenancy{cfg.Multitenancy}, mux: http.NewServeMux()}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo())
	a.reloader = newReloader(cfg, opts, a.registry)
	host, _ := os.Hostname()
	a.self = telemetry.NewSelf(cfg.Telemetry, []attribute.KeyValue{
		attribute.String("service.name", "hune"), attribute.String("service.version", telemetry.Build().Version),
		attribute.String("service.instance.id", cfg.HTTP.Listen), attribute.String("host.name", host),
	}, a.registry)
	if cfg.Telemetry.Enabled {
		handler = telemetry.Tee(handler, a.self.Handler())
	}
	a.logger = slog.New(handler)

	if err := writable(cfg.Data); err != nil {
		return nil, err
	}
	if a.lock, _, err = fileutil.Flock(filepath.Join(cfg.Data, "lock")); err != nil {
		return nil, fmt.Errorf("data folder %s is in use by another hune", cfg.Data)
	}
	if err := a.listen(); err != nil {
		return nil, errors.Join(err, a.lock.Release())
	}
	if err := a.assemble(ctx); err != nil {
		_ = a.server.listener.Close()
		return nil, errors.Join(err, a.lock.Release())
	}
	return a, nil
}

func buildInfo() prometheus.Collector {
	b := telemetry.Build()
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hune_build_info", Help: "Which build this is; always 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": runtime.Version()}},
		func() float64 { return 1 })
}

// writable makes the data folder and tries to write to it, so that the fault is named now and not by
// the first role that trips over it.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("data folder %s: %w", dir, plainPathError(err))
	}
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("data folder %s is not writable: %w", dir, plainPathError(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func plainPathError(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// maxGRPCMessage bounds a message on the main port; several may be decoded at once on one connection.
const maxGRPCMessage = 16 << 20

// listen opens the main port and prepares what it serves. Until the APIs are mounted requests wait in
// the listener's backlog.
func (a *App) listen() error {
	tracer := a.self.TracerProvider().Tracer("hune/http")
	observe := newObserve(a.logger, tracer, a.registry)
	a.grpc = grpc.NewServer(grpc.UnaryInterceptor(a.tenancy.unary), grpc.StreamInterceptor(a.tenancy.stream),
		grpc.MaxRecvMsgSize(int(min(a.cfg.HTTP.MaxBodyBytes, maxGRPCMessage))))
	var err error
	a.server, err = newServer(a.cfg.HTTP.Listen, a.grpc, observe.wrap(http.HandlerFunc(a.route)), a.logger)
	return err
}

// assemble makes the roles asked for and what they need.
func (a *App) assemble(ctx context.Context) error {
	m := modules.NewManager(gokitlog.NewNopLogger())
	for _, r := range roles {
		m.RegisterModule(r.name, func() (services.Service, error) { return r.make(a, ctx) })
	}
	for _, r := range roles {
		if err := m.AddDependency(r.name, r.needs...); err != nil {
			return err
		}
	}
	wanted, err := wantedRoles(a.cfg.Roles)
	if err != nil {
		return err
	}
	// The port opens last and closes first: requests under way still find every role.
	if err := m.AddDependency("server", wanted...); err != nil {
		return err
	}
	made, err := m.InitModuleServices("server")
	if err != nil {
		return plainModuleError(err)
	}
	a.services = made
	all := make([]services.Service, 0, len(made))
	for _, s := range made {
		all = append(all, s)
	}
	a.manager, err = services.NewManager(all...)
	return err
}

// plainModuleError drops the words that the module manager puts before the role's own error.
func plainModuleError(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		if !strings.HasPrefix(inner.Error(), "error initialising module") {
			return inner
		}
	}
	return err
}

// Run serves until ctx is done, then stops in order. It returns the first error of a role that
// failed, or nil after an orderly stop.
func (a *App) Run(ctx context.Context) error {
	if err := a.manager.StartAsync(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	failed := make(chan error, 1)
	a.manager.AddListener(services.NewManagerListener(nil, nil, func(s services.Service) {
		select {
		case failed <- s.FailureCase():
		default:
		}
	}))
	started := time.Now()
	err := a.awaitHealthy(ctx)
	if err == nil && ctx.Err() == nil {
		if err = a.cluster.Activate(ctx); ctx.Err() != nil {
			err = nil // stopped while starting
		}
	}
	if err == nil && ctx.Err() == nil {
		if a.cfg.Telemetry.Enabled && a.distributor != nil {
			a.self.Start(a.selfSink())
		}
		for _, text := range a.cfg.Warnings() {
			a.logger.Warn("configuration", "warning", text)
		}
		unwatch := a.watch(ctx)
		_ = ownfile.GiveBack() // where that isn't possible the pages stay
		a.logger.Info("hune is ready", "http", a.server.addr(), "data", a.cfg.Data, "version", telemetry.Build().Version, "duration", time.Since(started))
		select {
		case <-ctx.Done():
			a.logger.Info("stopping")
		case err = <-failed:
			a.logger.Error("a role failed, stopping", "err", err)
		}
		unwatch()
	}
	return errors.Join(err, a.stop())
}

// watch follows the configuration until ctx is done or the function that it returns is called, which waits.
func (a *App) watch(ctx context.Context) func() {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { a.watchConfig(ctx, a.asked) })
	return func() { cancel(); done.Wait() }
}

// awaitHealthy waits for every role to run.
func (a *App) awaitHealthy(ctx context.Context) error {
	err := a.manager.AwaitHealthy(ctx)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return nil // stopped while starting
	}
	for _, s := range a.manager.ServicesByState()[services.Failed] {
		if cause := s.FailureCase(); cause != nil {
			return cause
		}
	}
	return err
}

func (a *App) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	selfErr := a.self.Stop(ctx)
	if err := a.cluster.Leave(ctx); err != nil {
		a.logger.Warn("the others were not told that this process leaves, they will notice", "err", err)
	}
	a.manager.StopAsync()
	err := a.manager.AwaitStopped(ctx)
	if a.bucket != nil {
		err = errors.Join(err, a.bucket.Close())
	}
	err = errors.Join(err, a.lock.Release())
	if ctx.Err() != nil {
		return fmt.Errorf("stop took longer than %s; what was acknowledged is in the write-ahead log", stopTimeout)
	}
	if selfErr != nil {
		a.logger.Debug("own telemetry was not sent whole", "err", selfErr)
	}
	return err
}

// notReady says why requests would fail, or "".
func (a *App) notReady() string {
	if a.manager == nil || !a.server.ready.Load() {
		return "starting or stopping"
	}
	for name, s := range a.services {
		if st := s.State(); st != services.Running {
			return fmt.Sprintf("%s is %s", name, st)
		}
	}
	return ""
}

// Addr is the address of the main port, useful when the configured port was 0.
func (a *App) Addr() string { return a.server.addr() }
