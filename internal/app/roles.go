package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/collector"
	"github.com/hune-io/hune/internal/compactor"
	"github.com/hune-io/hune/internal/distributor"
	"github.com/hune-io/hune/internal/frontend"
	"github.com/hune-io/hune/internal/generator"
	"github.com/hune-io/hune/internal/ingester"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs/deletes"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/metrics"
	metricdeletes "github.com/hune-io/hune/internal/metrics/deletes"
	"github.com/hune-io/hune/internal/querier"
	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/s3"
	"github.com/hune-io/hune/internal/scheduler"
	"github.com/hune-io/hune/internal/scraper"
	"github.com/hune-io/hune/internal/store"
	"github.com/hune-io/hune/internal/telemetry"
	"github.com/hune-io/hune/internal/traces"
	tracedeletes "github.com/hune-io/hune/internal/traces/deletes"
	traceoverrides "github.com/hune-io/hune/internal/traces/overrides"
	"github.com/hune-io/hune/internal/traces/traceql"
	"github.com/hune-io/hune/internal/wal"
)

// role is one thing that this binary can be. Its constructor fills in its fields of App; the service
// that it returns, if any, is started after those of its needs and stopped before them.
type role struct {
	name  string
	needs []string
	inner bool // not for --role: a part that roles share
	make  func(a *App, ctx context.Context) (services.Service, error)
}

// roles is everything this binary can be. Order is irrelevant: needs decide it.
var roles = []role{
	{name: "cluster", inner: true, make: (*App).makeCluster},
	{name: "ring of ingester", inner: true, needs: []string{"cluster"}, make: ringOf("ingester")},
	{name: "ring of store", inner: true, needs: []string{"cluster"}, make: ringOf("store")},
	{name: "ring of ruler", inner: true, needs: []string{"cluster"}, make: ringOf("ruler")},
	{name: "ring of compactor", inner: true, needs: []string{"cluster"}, make: ringOf("compactor")},
	{name: "ring of scraper", inner: true, needs: []string{"cluster"}, make: ringOf("scraper")},
	{name: "elections", inner: true, needs: []string{"cluster"}, make: (*App).makeElections},
	{name: "ring of distributor", inner: true, needs: []string{"cluster"}, make: ringOf("distributor")},
	{name: "ring of generator", inner: true, needs: []string{"cluster"}, make: ringOf("generator")},
	{name: "limits", inner: true, make: (*App).makeLimits},
	{name: "s3", make: (*App).makeS3},
	{name: "bucket", inner: true, needs: []string{"s3"}, make: (*App).makeBucket},
	{name: "deletes", inner: true, needs: []string{"bucket"}, make: (*App).makeDeletes},
	{name: "results", inner: true, needs: []string{"cluster", "bucket"}, make: (*App).makeResults},
	{name: "peers", inner: true, needs: []string{"ring of store"}, make: (*App).makePeers},
	{name: "store", needs: []string{"bucket", "peers"}, make: (*App).makeStore},
	{name: "ingester", needs: []string{"ring of ingester", "limits", "bucket", "deletes", "results"}, make: (*App).makeIngester},
	{name: "overrides", inner: true, needs: []string{"limits", "bucket"}, make: (*App).makeOverrides},
	{name: "generator", needs: []string{"ring of generator", "limits", "overrides", "ingester"}, make: (*App).makeGenerator},
	{name: "distributor", needs: []string{"elections", "ring of distributor", "limits", "ingester", "generator"}, make: (*App).makeDistributor},
	{name: "scheduler", make: (*App).makeScheduler},
	{name: "endpoints", inner: true, needs: []string{"ring of ingester", "results"}, make: (*App).makeEndpoints},
	{name: "querier", needs: []string{"limits", "scheduler", "ingester", "store", "endpoints"}, make: (*App).makeQuerier},
	{name: "frontend", needs: []string{"limits", "overrides", "scheduler", "querier"}, make: (*App).makeFrontend},
	{name: "compactor", needs: []string{"limits", "bucket", "ring of compactor", "results"}, make: (*App).makeCompactor},
	{name: "history", inner: true, needs: []string{"distributor"}, make: (*App).makeHistory},
	{name: "alertmanager", needs: []string{"bucket", "history"}, make: (*App).makeAlertmanager},
	{name: "notifier", inner: true, make: (*App).makeNotifier},
	{name: "ruler", needs: []string{"ring of ruler", "bucket", "frontend", "distributor", "history", "alertmanager", "notifier"}, make: (*App).makeRuler},
	{name: "collector", needs: []string{"distributor"}, make: (*App).makeCollector},
	{name: "scraper", needs: []string{"ring of scraper", "distributor"}, make: (*App).makeScraper},
	{name: "ui", make: (*App).makeUI},
	{name: "server", inner: true, make: (*App).makeServer},
}

// wantedRoles checks the roles asked for and resolves "all".
func wantedRoles(asked []string) ([]string, error) {
	var names, wanted []string
	for _, r := range roles {
		if !r.inner {
			names = append(names, r.name)
		}
	}
	for _, name := range asked {
		name = strings.TrimSpace(name)
		switch {
		case name == "all":
			wanted = append(wanted, names...)
		case slices.Contains(names, name):
			wanted = append(wanted, name)
		default:
			return nil, fmt.Errorf("unknown role %q: the roles are all, %s", name, strings.Join(names, ", "))
		}
	}
	if len(wanted) == 0 {
		return nil, fmt.Errorf("no role to run: the roles are all, %s", strings.Join(names, ", "))
	}
	slices.Sort(wanted)
	return slices.Compact(wanted), nil
}

func (a *App) makeLimits(context.Context) (_ services.Service, err error) {
	a.logMemory = logql.NewMemory(int64(a.cfg.Querier.LogsMemory))
	promauto.With(a.registry).NewGaugeFunc(prometheus.GaugeOpts{Name: "hune_logs_query_memory_bytes",
		Help: "What logs queries hold for their answers and while they compute."}, func() float64 { now, _ := a.logMemory.Held(); return float64(now) })
	a.overrides, err = limits.New(a.cfg.Limits, a.cfg.Overrides)
	return nil, err
}

func (a *App) makeS3(context.Context) (services.Service, error) {
	if a.cfg.S3.Listen == "" {
		return nil, nil
	}
	return s3.New(a.cfg.S3, a.cfg.Data, a.logger)
}

func (a *App) makeBucket(context.Context) (_ services.Service, err error) {
	if a.bucket, err = bucket.Open(a.cfg.Storage, a.cfg.Data, a.logger, a.registry); err != nil {
		return nil, fmt.Errorf("open the bucket: %w", err)
	}
	memory, err := cache.NewMemory(int64(a.cfg.Cache.Size), a.registry)
	if err != nil {
		return nil, err
	}
	a.deletes = deletes.New(deletes.Options{Bucket: a.bucket, Logger: a.logger, Registerer: a.registry, Now: time.Now})
	a.traceDeletes = tracedeletes.New(tracedeletes.Options{Bucket: a.bucket, Logger: a.logger, Registerer: a.registry, Now: time.Now, Find: a.findTraces})
	a.metricDeletes = metricdeletes.New(metricdeletes.Options{Bucket: a.bucket, Logger: a.logger, Registerer: a.registry, Now: time.Now})
	a.rules = rules.NewStore(a.bucket)
	if a.pages, err = cache.NewPages(bucket.Ranger{Bucket: a.bucket}, memory, a.registry); err != nil || !a.cfg.Cache.Redis.Enabled() {
		return nil, err
	}
	a.redis, err = cache.NewRedis(a.cfg.Cache.Redis, a.logger, a.registry)
	a.pages.Share(a.redis)
	return services.NewBasicService(nil, a.redis.Run, nil), err
}

// makeDeletes has a process that keeps recent data, and no blocks, hear of requests to delete: its heads are asked by others,
// and hide what is deleted themselves. Where there is a store it reads the requests before its blocks.
func (a *App) makeDeletes(context.Context) (services.Service, error) {
	read := func(ctx context.Context) error {
		if a.store != nil {
			return nil
		}
		tenants, err := block.Tenants(ctx, a.bucket)
		for _, d := range []store.Deletes{a.deletes, a.traceDeletes, a.metricDeletes} {
			if err == nil {
				err = d.Refresh(ctx, tenants)
			}
		}
		if err != nil && ctx.Err() == nil {
			a.logger.Error("reading requests to delete failed, will be tried again", "err", err)
		}
		return nil
	}
	return services.NewTimerService(time.Duration(a.cfg.Store.PollInterval), read, read, nil).WithName("deletes"), nil
}

func (a *App) makeStore(ctx context.Context) (_ services.Service, err error) {
	a.blocks, err = metrics.NewBlockStore(metrics.BlockStoreOptions{Dir: filepath.Join(a.cfg.Data, "store", "metrics"), Config: a.cfg.Metrics.Store,
		Bucket: a.bucket, Pages: a.pages, Deleted: a.metricDeletes.Active, Stores: a.peers, Logger: a.logger, Registerer: a.registry})
	if err != nil {
		return nil, fmt.Errorf("open the block store: %w", err)
	}
	a.store = store.New(a.cfg.Store, a.bucket, a.blocks, a.logger, a.registry)
	a.store.Follow(a.deletes, a.traceDeletes, a.metricDeletes)
	return a.store, nil
}

func (a *App) makeIngester(ctx context.Context) (services.Service, error) {
	dir := filepath.Join(a.cfg.Data, "ingester")
	heads, err := metrics.OpenHeads(ctx, metrics.HeadOptions{Dir: filepath.Join(dir, "metrics"), Config: a.cfg.Metrics, Bucket: a.bucket,
		Logger: a.logger, Registerer: a.registry, SyncAlways: a.cfg.WAL.Sync == wal.SyncAlways, SyncInterval: time.Duration(a.cfg.WAL.SyncInterval),
		Deleted: a.metricDeletes.Active, MaxSeries: func(id string) int { return a.overrides.For(id).Metrics.MaxSeriesPerTenant }})
	if err != nil {
		return nil, fmt.Errorf("open the heads of metrics: %w", err)
	}
	a.heads = heads
	a.ingester, err = ingester.New(ctx, ingester.Options{Config: a.cfg.Ingester, WAL: a.cfg.WAL, Dir: dir, Bucket: a.bucket,
		Logger: a.logger, Registerer: a.registry, Now: time.Now, Entropy: &ulid.LockedMonotonicReader{MonotonicReader: ulid.Monotonic(rand.Reader, 0)},
		Metrics: heads, TraceHead: a.traceHead, OnShipped: func(_ context.Context, m block.Meta) {
			if a.store != nil {
				a.store.Added(m)
			}
		}})
	return a.ingester, err
}

// makeOverrides follows what tenants set for themselves.
func (a *App) makeOverrides(context.Context) (services.Service, error) {
	a.traceOverrides = traceoverrides.New(a.bucket, time.Now)
	a.traceLimits = traceoverrides.NewTenants(a.traceOverrides, a.overrides, a.logger)
	refresh := func(ctx context.Context) error {
		tenants, err := block.Tenants(ctx, a.bucket)
		if err == nil {
			err = a.traceLimits.Refresh(ctx, tenants)
		}
		if err != nil && ctx.Err() == nil {
			a.logger.Error("reading tenants' overrides failed, will be tried again", "err", err)
		}
		return nil
	}
	return services.NewTimerService(time.Duration(a.cfg.Store.PollInterval), refresh, refresh, nil).WithName("overrides"), nil
}

// makeGenerator derives metrics from what the distributor shows it, and writes them by way of the same distributor,
// which is made after it and stops being asked before it.
func (a *App) makeGenerator(context.Context) (services.Service, error) {
	a.generator = generator.New(generator.Options{Config: a.cfg.Traces.Generator, Limits: a.traceLimits, Pusher: derivedSink{a},
		Logger: a.logger, Registerer: a.registry, Now: time.Now, Share: a.sharedTraces()})
	return a.generator, nil
}

// derivedSink stores derived metrics as any others.
type derivedSink struct{ a *App }

func (s derivedSink) PushMetrics(ctx context.Context, b *metrics.Batch) (metrics.PushResult, error) {
	if s.a.distributor == nil {
		return metrics.PushResult{}, errors.New("the role distributor does not run in this process")
	}
	return s.a.distributor.PushMetrics(ctx, b)
}

func (a *App) makeDistributor(context.Context) (services.Service, error) {
	opts := distributor.Options{Limits: a.overrides, Ingester: written{a.ingester, a}, Spans: a.generator, Logger: a.logger, Registerer: a.registry,
		OTLPMetrics: a.cfg.Metrics.OTLP}
	if a.elections != nil {
		opts.Elections = a.elections
	}
	r := a.rings["distributor"]
	if r != nil {
		opts.Deltas = distributor.DeltaClient{HTTP: http.DefaultClient, Place: a.elsewhereOf(r)}
	}
	a.distributor = distributor.New(opts)
	r.OnChange(a.distributor.DeltaOwnersChanged)
	a.elections.OnLearn(a.distributor.LearnElections)
	return nil, nil
}

func (a *App) makeScheduler(context.Context) (services.Service, error) {
	a.scheduler = scheduler.New(a.cfg.Scheduler, a.registry)
	return services.NewIdleService(nil, func(error) error { a.scheduler.Close(); return nil }), nil
}

func (a *App) makeQuerier(context.Context) (services.Service, error) {
	a.logEngine = logql.NewEngine(logql.Options{Limits: a.logLimits, Memory: a.logMemory})
	engine := metrics.NewEngine(metrics.EngineOptions{Config: a.cfg.Metrics.Query, Logger: a.logger, Registerer: a.registry})
	a.near = a.makeNear(engine)
	return querier.New(querier.Options{Config: a.cfg.Querier, Queue: a.scheduler, Ingester: a.ingester, Store: a.store, Remote: a.remoteMetrics(),
		Blocks: blockOpener{a.bucket, a.pages}, Deleted: a.deletes.Active, DeletedTraces: a.traceDeletes.Hidden,
		Damaged: func(object string) {
			if a.compactor != nil {
				a.compactor.Suspect(object)
			}
		},
		Metrics: engine, Logs: a.logEngine, Traces: traceql.NewEngine(traceql.Options{}),
		Logger: a.logger, Registerer: a.registry}), nil
}

func (a *App) makeFrontend(context.Context) (services.Service, error) {
	a.frontend = frontend.New(frontend.Options{Config: a.cfg.Frontend, Next: a.scheduler,
		Logs: logql.NewEngine(logql.Options{Limits: a.logLimits, Memory: a.logMemory}), Traces: traceql.NewEngine(traceql.Options{}), Limits: a.overrides, Logger: a.logger, Registerer: a.registry, Now: time.Now,
		Deleted: a.deletes.Changes, MetricsWindow: a.metricsWindow(), MetricsResults: a.results, MetricsDeleted: a.metricsDeleted()})
	return nil, nil
}

func (a *App) makeCompactor(context.Context) (services.Service, error) {
	retention, err := compactor.NewLogRetention(a.overrides, a.cfg.Retention)
	if err != nil {
		return nil, err
	}
	traceRetention, err := compactor.NewTraceRetention(a.overrides, a.cfg.Retention)
	if err != nil {
		return nil, err
	}
	a.compactor = compactor.New(compactor.Options{Config: a.cfg.Compactor, Retention: a.cfg.Retention, LogRetention: retention.Of,
		MetricsRetention: a.cfg.Retention.MetricsRetention(a.overrides), Deletes: a.deletes, MetricsDeletes: a.metricDeletes, TraceDeletes: a.traceDeletes,
		Settled: a.logsSettled, MetricsSettled: a.metricsSettled, TracesSettled: a.tracesSettled, TraceRetention: traceRetention.Of,
		Owns: a.compacts(), Dir: filepath.Join(a.cfg.Data, "compactor"), Bucket: a.bucket, Logger: a.logger, Registerer: a.registry, Now: time.Now,
		Added: func(m block.Meta) {
			if a.store != nil {
				a.store.Added(m)
			}
		},
		Changed: func(ctx context.Context) {
			if a.store == nil {
				return
			}
			if err := a.store.Refresh(ctx); err != nil {
				a.logger.Warn("listing blocks after a compaction failed, the next poll will do it", "err", err)
			}
		}})
	a.rings["compactor"].OnChange(a.compactor.OwnersChanged)
	return a.compactor, nil
}

// logsSettled reports whether all logs of a tenant that were acknowledged before a time are in the
// bucket alone. Ingesters of other processes can't be asked: after a few times as long as they keep a
// row it is so unless their uploads fail.
func (a *App) logsSettled(tenant string, before time.Time) bool {
	if (a.ingester == nil || a.cluster != nil) && time.Since(before) <= a.elsewhere(a.cfg.Ingester.Logs) {
		return false
	}
	return a.ingester == nil || a.ingester.LogsSettled(tenant, before)
}

func (a *App) elsewhere(c ingester.HeadConfig) time.Duration {
	return 4 * (time.Duration(c.MaxHeadAge) + time.Duration(c.KeepAfterUpload) + time.Duration(a.cfg.Ingester.UploadTimeout))
}

// tracesSettled is logsSettled for traces.
func (a *App) tracesSettled(tenant string, before time.Time) bool {
	if (a.ingester == nil || a.cluster != nil) && time.Since(before) <= a.elsewhere(a.cfg.Ingester.Traces) {
		return false
	}
	return a.ingester == nil || a.ingester.TracesSettled(tenant, before)
}

// findTraces answers which traces a request to delete is about, whatever the limits on the tenant's queries.
func (a *App) findTraces(ctx context.Context, tenant, query string, start, end uint64, limit int) ([]traces.ID, error) {
	q := &traces.Query{Kind: traces.SearchIDs, Expr: query, Start: start, End: end, Limit: limit}
	r, err := a.scheduler.Run(ctx, job.Job{Tenant: tenant, Traces: q})
	if err != nil {
		return nil, err
	}
	return r.Traces.IDs, nil
}

func (a *App) makeCollector(context.Context) (_ services.Service, err error) {
	if !a.cfg.Collector.Enabled {
		return nil, nil
	}
	a.collector, err = collector.New(collector.Options{Config: a.cfg.Collector, Pusher: a.distributor, Logger: a.logger, Registerer: a.registry,
		OTLPGRPC: a.cfg.OTLP.GRPCListen, OTLPHTTP: a.cfg.OTLP.HTTPListen, Multitenancy: a.cfg.Multitenancy, Tenant: a.cfg.Telemetry.Tenant,
		Version: telemetry.Build().Version})
	return a.collector, err
}

func (a *App) makeScraper(context.Context) (_ services.Service, err error) {
	self := a.server.addr()
	if a.cluster != nil {
		self = a.cluster.Self() // each may listen on 0.0.0.0, and what they say of themselves must differ
	}
	a.scraper, err = scraper.New(scraper.Options{Config: a.cfg.Scraping(), Pusher: a.distributor, Self: self, Tenant: a.cfg.Telemetry.Tenant, Ring: a.rings["scraper"],
		Logger: a.logger, Registerer: a.registry})
	return a.scraper, err
}
