package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/common/model"
	v1 "github.com/prometheus/prometheus/web/api/v1"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hune-io/hune/internal/api/alerting"
	alertapi "github.com/hune-io/hune/internal/api/alertmanager"
	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/api/complete"
	"github.com/hune-io/hune/internal/api/gather"
	"github.com/hune-io/hune/internal/api/jaeger"
	"github.com/hune-io/hune/internal/api/loki"
	"github.com/hune-io/hune/internal/api/otlp"
	"github.com/hune-io/hune/internal/api/prometheus"
	"github.com/hune-io/hune/internal/api/related"
	"github.com/hune-io/hune/internal/api/ruleconfig"
	"github.com/hune-io/hune/internal/api/tempo"
	"github.com/hune-io/hune/internal/api/zipkin"
	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/cache"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/ruler"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/telemetry"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
	ui "github.com/hune-io/hune/web/ui"

	"github.com/thanos-io/objstore"
)

// makeServer mounts what this process has to offer on the main port. It is made last and started
// last, so that nothing is asked before it can answer.
func (a *App) makeServer(context.Context) (services.Service, error) {
	a.systemMux = http.NewServeMux()
	a.system(a.systemMux)
	limits := body.Limits{Compressed: int64(a.cfg.HTTP.MaxBodyBytes), Decompressed: int64(a.cfg.HTTP.MaxDecompressedBytes),
		InFlight: body.NewBudget(int64(a.cfg.HTTP.MaxInFlightBytes))}
	if a.distributor != nil {
		a.mountWrites(limits)
	}
	if a.distributor != nil || a.frontend != nil || a.compactor != nil {
		if err := a.mountAPIs(limits); err != nil {
			return nil, err
		}
	}
	a.mountStoreAPI()
	whole := gather.New(gather.Options{Rulers: a.rings["ruler"].Others, Scrapers: a.rings["scraper"].Others})
	a.apis = a.tenancy.wrap(a.shared(a.toOwner(whole.Wrap(a.mux))))
	return a.server, nil
}

func (a *App) mountWrites(limits body.Limits) {
	a.otlp = otlp.New(otlp.Options{Pusher: a.distributor, Limits: limits})
	for path, h := range a.otlp.Routes() {
		// The Prometheus and Loki APIs serve these two: their clients expect their manners.
		if path != "/api/v1/otlp/v1/metrics" && path != "/otlp/v1/logs" {
			a.mux.Handle(path, h)
		}
	}
	a.otlp.RegisterGRPC(a.grpc)
	zipkin.New(zipkin.Options{Pusher: a.distributor, Limits: limits}).Register(a.mux)
	jaegerIngest := jaeger.NewIngest(a.distributor, limits)
	jaegerIngest.Register(a.mux)
	jaegerIngest.RegisterGRPC(a.grpc)
}

func (a *App) mountAPIs(limits body.Limits) error {
	var runner job.Runner = absent{"frontend"}
	if a.frontend != nil {
		runner = a.frontend
	}
	build := telemetry.Build()
	lokiOptions := loki.Options{Runner: runner, BodyLimits: limits, Limits: a.lokiLimits,
		Version: loki.BuildInfo{Version: build.Version, Revision: build.Revision, GoVersion: build.GoVersion}}
	if a.distributor != nil {
		lokiOptions.Pusher = a.distributor
		lokiOptions.OTLPLogs = http.HandlerFunc(a.otlp.ServeLokiLogs)
	}
	if a.ingester != nil {
		lokiOptions.Tailer = a.ingester
	}
	if a.compactor != nil {
		lokiOptions.Deleter = a.deletes
	}
	if a.rules != nil {
		lokiOptions.Rules = a.rules
	}
	if a.ruler != nil {
		lokiOptions.RuleStates = a.ruler
	}
	lokiAPI := loki.New(lokiOptions)
	lokiAPI.Register(a.mux)
	a.server.onStop = append(a.server.onStop, lokiAPI.Stop)
	tempoOptions := tempo.Options{Runner: runner, Logger: a.logger, Version: build.Version, Revision: build.Revision, BuildDate: build.Time}
	if a.traceOverrides != nil {
		tempoOptions.Overrides = a.traceOverrides
	}
	if a.compactor != nil && a.scheduler != nil {
		tempoOptions.Deleter = a.traceDeletes
	}
	tempoAPI := tempo.New(tempoOptions)
	tempoAPI.Register(a.mux)
	tempoAPI.RegisterGRPC(a.grpc)
	jaegerAPI := jaeger.New(jaeger.Options{Runner: runner, Logger: a.logger})
	jaegerAPI.Register(a.mux, "/jaeger")
	jaegerAPI.RegisterGRPC(a.grpc)
	zipkin.NewQuery(zipkin.QueryOptions{Runner: runner, Logger: a.logger}).Register(a.mux)
	complete.Register(a.mux)
	related.New(related.Options{Runner: runner, Logger: a.logger}).Register(a.mux)
	alertingOptions := alerting.Options{}
	if a.alertmanager != nil {
		alertapi.New(a.alertmanager).Register(a.mux)
		alertingOptions.Routes = a.alertmanager
	}
	if a.ruler != nil {
		alertingOptions.Rules = a.ruler
	}
	alertingOptions.External = a.notifier != nil
	alerting.New(alertingOptions).Register(a.mux)

	external, err := a.externalURL()
	if err != nil {
		return err
	}
	started := time.Now()
	promOptions := prometheus.Options{
		Runner: runner, ConfigYAML: a.promConfig, Flags: map[string]string{"data": a.cfg.Data, "http": a.cfg.HTTP.Listen},
		Build: v1.PrometheusVersion{Version: build.Version, Revision: build.Revision, BuildDate: build.Time, GoVersion: build.GoVersion},
		RuntimeInfo: func() (v1.RuntimeInfo, error) {
			host, cwd := hostAndFolder()
			return v1.RuntimeInfo{StartTime: started, ServerTime: time.Now(), Hostname: host, CWD: cwd, GoroutineCount: runtime.NumGoroutine(),
				GOMAXPROCS: runtime.GOMAXPROCS(0), StorageRetention: a.cfg.Retention.Metrics.String(), ReloadConfigSuccess: a.reloader.ok.Load(), LastConfigTime: time.UnixMilli(a.reloader.at.Load())}, nil
		},
		OTLP: a.cfg.Metrics.OTLP, Limits: limits, LookbackDelta: time.Duration(a.cfg.Metrics.Query.LookbackDelta),
		Features: a.cfg.Metrics.Query.Features, WholeAnswers: !a.cfg.Metrics.Query.PartialResponse,
		ListenAddress: a.server.addr(), ExternalURL: external, Logger: a.logger, Registerer: a.registry,
		Stores: a.metricStores,
	}
	if a.heads != nil {
		promOptions.Head, promOptions.Known = a.heads, a.knownSeries
	}
	if a.cfg.Metrics.AdminAPI && a.compactor != nil {
		promOptions.Admin = metricsAdmin{a}
	}
	if a.distributor != nil {
		promOptions.Pusher = a.distributor
	}
	if a.scraper != nil {
		promOptions.Targets, promOptions.ScrapePools = a.scraper, a.scraper
	}
	if a.ruler != nil {
		promOptions.Rules = ofTenant{a.ruler}
		promOptions.Alertmanagers = embedded{external}
	}
	if a.notifier != nil {
		promOptions.Alertmanagers = a.notifier
	}
	prom := prometheus.New(promOptions)
	prom.Register(a.mux)
	a.mountMimir(limits)
	a.remoteWrite = prom.RemoteWrite()
	return nil
}

// knownSeries are those that a tenant has in its head. Where pairs are deduplicated these are others than the ones that are
// written.
func (a *App) knownSeries(id string) prometheus.Known {
	if a.overrides.For(id).Metrics.AcceptHASamples {
		return nil
	}
	return a.heads.Known(id)
}

// mountMimir mounts what rule editors of Grafana expect of a Mimir: groups of rules at /config/v1/rules, and under
// /mimir the rest of the metrics API beside them. Only there does the build info say that rules can be set:
// at the root Grafana would take the whole for a Mimir.
func (a *App) mountMimir(limits body.Limits) {
	const base = "/mimir/prometheus"
	if a.rules != nil {
		config := ruleconfig.New(ruleconfig.Options{Store: a.rules, Signals: []signal.Signal{signal.Metrics, signal.Logs, signal.Traces}, Check: ruler.Check, BodyLimits: limits})
		for pattern, h := range config.Routes("/config/v1/rules", base+"/config/v1/rules") {
			a.mux.Handle(pattern, h)
		}
	}
	a.mux.Handle(base+"/api/v1/", http.StripPrefix(base, a.mux))
	a.mux.HandleFunc("GET "+base+"/api/v1/status/buildinfo", func(w http.ResponseWriter, _ *http.Request) {
		build := telemetry.Build()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"application": "Grafana Mimir", "version": build.Version,
			"revision": build.Revision, "goVersion": build.GoVersion, "features": map[string]string{"ruler_config_api": "true", "alertmanager_config_api": "true"}}})
	})
}

// embedded shows that alerts go to the alertmanager of this process.
type embedded struct{ url *url.URL }

// Alertmanagers implements v1.AlertmanagerRetriever.
func (e embedded) Alertmanagers() []*url.URL {
	return []*url.URL{e.url.JoinPath("api", "v2", "alerts")}
}

// DroppedAlertmanagers implements v1.AlertmanagerRetriever.
func (embedded) DroppedAlertmanagers() []*url.URL { return nil }

// ofTenant shows Prometheus's API the rules of who asks.
type ofTenant struct{ ruler *ruler.Ruler }

// RulesOf implements prometheus.Rules.
func (o ofTenant) RulesOf(ctx context.Context) v1.RulesRetriever {
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return ruler.Shown(nil)
	}
	return ruler.Shown(o.ruler.Groups(id, signal.Metrics))
}

func (a *App) externalURL() (*url.URL, error) {
	text := a.cfg.HTTP.ExternalURL
	if text == "" {
		text = "http://" + a.server.addr()
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("http.external_url: %q is not a URL", text)
	}
	return u, nil
}

// promConfig is what /api/v1/status/config shows: the whole configuration, without secrets.
func (a *App) promConfig() string {
	text, err := a.configText()
	if err != nil {
		return "# " + err.Error()
	}
	return string(text)
}

// makeUI mounts the page.
func (a *App) makeUI(context.Context) (services.Service, error) {
	a.ui = ui.Handler(ui.Options{BasePath: "/ui/", Version: telemetry.Build().Version, Tenant: tenant.Anonymous, Multitenancy: a.cfg.Multitenancy,
		OTLPGRPC: a.cfg.OTLP.GRPCListen, OTLPHTTP: a.cfg.OTLP.HTTPListen})
	return nil, nil
}

// route sends a request to the page, to the paths about the process, or to the APIs.
func (a *App) route(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case a.ui != nil && (path == "/" || path == "/ui"):
		http.Redirect(w, r, "/ui/", http.StatusFound)
	case a.ui != nil && strings.HasPrefix(path, "/ui/"):
		r.Pattern = "/ui/"
		a.ui.ServeHTTP(w, r)
	default:
		if _, pattern := a.systemMux.Handler(r); pattern != "" {
			a.systemMux.ServeHTTP(w, r)
			return
		}
		// What clients ask before they know of tenants.
		if noTenant[path] {
			r = r.WithContext(tenant.NewContext(r.Context(), tenant.Anonymous))
			a.mux.ServeHTTP(w, r)
			return
		}
		a.apis.ServeHTTP(w, r)
	}
}

// shared tells apart what two protocols send to one path: Loki and Cortex both once took writes at
// /api/prom/push.
func (a *App) shared(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/prom/push" && loki.IsRemoteWrite(r) && a.remoteWrite != nil {
			a.remoteWrite.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// noTenant are API paths that hold no tenant's data.
var noTenant = map[string]bool{"/api/v1/status/buildinfo": true, "/loki/api/v1/status/buildinfo": true, "/api/status/buildinfo": true,
	"/api/echo": true, "/api/v1/status/runtimeinfo": true, "/api/v1/status/flags": true}

// blockOpener reads blocks of logs and traces from the bucket through the page cache.
type blockOpener struct {
	bucket objstore.Bucket
	pages  *cache.Pages
}

func (o blockOpener) Open(ctx context.Context, m block.Meta) (*block.Reader, error) {
	return block.Open(ctx, o.pages, m.DataPath(), m.Data.Size, block.ReaderOptions{})
}

func (o blockOpener) Ranges() block.RangeReader { return o.pages }

func (o blockOpener) IsGone(err error) bool { return fault.ClassOf(err) == fault.NotFound }

var _ block.RangeReader = bucket.Ranger{}

// absent answers for a role that this process doesn't run.
type absent struct{ role string }

func (r absent) Run(context.Context, job.Job) (job.Result, error) {
	return job.Result{}, fault.Errorf(fault.NotFound, "the role %s does not run in this process", r.role)
}

// logLimits are a tenant's limits as the LogQL engine wants them.
func (a *App) logLimits(id string) logql.Limits {
	q := a.overrides.For(id).Queries
	return logql.Limits{MaxSeries: q.MaxSeries, MaxEntries: q.MaxEntries, MaxPoints: q.MaxPoints, MaxLength: time.Duration(q.MaxLogsLength), MaxBytes: int64(q.MaxBytes),
		MaxLines: q.MaxLines, MaxSamples: q.MaxSamples, MaxMemory: int64(q.MaxMemory)}
}

// lokiLimits are a tenant's limits under Loki's names.
func (a *App) lokiLimits(id string) loki.Limits {
	l := a.overrides.For(id)
	g, q := &l.Logs, &l.Queries
	out := loki.Limits{
		IngestionRateMB: float64(g.IngestionRate) / (1 << 20), IngestionBurstSizeMB: float64(g.IngestionBurst) / (1 << 20),
		MaxLineSize: loki.Size(g.MaxLineSize), MaxLineSizeTruncate: g.MaxLineSizeTruncate,
		MaxLabelNamesPerSeries: g.MaxLabelNamesPerSeries, MaxLabelNameLength: g.MaxLabelNameLength, MaxLabelValueLength: g.MaxLabelValueLength,
		AllowStructuredMetadata: true, MaxStructuredMetadataSize: loki.Size(g.MaxStructuredMetadataSize), MaxStructuredMetadataCount: g.MaxStructuredMetadataEntriesCount,
		RejectOldSamples: l.MaxAge > 0, RejectOldSamplesMaxAge: l.MaxAge, CreationGracePeriod: l.CreationGracePeriod,
		DiscoverServiceName: []string{}, DiscoverLogLevels: g.DiscoverLogLevels, LogLevelFields: logs.DefaultEnrichOptions().LevelFields,
		MaxEntries: q.MaxEntries, MaxQuerySeries: q.MaxSeries, MaxQueryLength: q.MaxLogsLength, MaxQueryLookback: q.MaxLookback,
		MaxQueryBytesRead: loki.Size(q.MaxBytes), QueryTimeout: q.Timeout, MaxConcurrentTails: a.cfg.Ingester.MaxTails, VolumeEnabled: true,
		RetentionPeriod: model.Duration(a.logRetention(l)), RetentionStream: []loki.StreamRetention{}, DeletionMode: "filter-and-delete",
	}
	if g.DiscoverServiceName {
		out.DiscoverServiceName = logs.DefaultServiceNameLabels
	}
	for _, r := range g.RetentionStream {
		out.RetentionStream = append(out.RetentionStream, loki.StreamRetention{Period: r.Period, Priority: r.Priority, Selector: r.Selector})
	}
	return out
}

// logRetention is how long logs of a tenant are kept that no rule names.
func (a *App) logRetention(l *limits.Limits) time.Duration {
	if l.Logs.RetentionPeriod > 0 {
		return time.Duration(l.Logs.RetentionPeriod)
	}
	return time.Duration(a.cfg.Retention.Logs)
}

// traceHead are a tenant's limits as the head of traces wants them.
func (a *App) traceHead(id string) traces.HeadOptions {
	t := a.overrides.For(id).Traces
	return traces.HeadOptions{MaxTraceSpans: t.MaxTraceSpans, MaxTraceBytes: int(t.MaxTraceBytes)}
}

// selfSink gives the program's own telemetry to its distributor.
func (a *App) selfSink() telemetry.Sink { return selfSink{a} }

type selfSink struct{ a *App }

func (s selfSink) context(ctx context.Context) context.Context {
	return tenant.NewContext(ctx, s.a.cfg.Telemetry.Tenant)
}

func (s selfSink) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	_, err := s.a.distributor.PushOTLPLogs(s.context(ctx), ld)
	return err
}

func (s selfSink) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	_, err := s.a.distributor.PushOTLPTraces(s.context(ctx), td)
	return err
}
