// Package prometheus is the edge for Prometheus's protocols: the HTTP API v1, remote write 1.0 and
// 2.0, remote read, OTLP metrics at Prometheus's path, and federation.
//
// Queries go through Prometheus's own API code, so that parameters, answers and errors are its
// own; the engine and the storage below it are adapters that run each question as a job. What
// the library answers for one process instead of one tenant (metadata, status) is served here.
// The tenant is that of the request's context.
package prometheus

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/grafana/regexp"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/features"
	"github.com/prometheus/prometheus/util/notifications"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/metrics"
)

// Pusher takes the batches that this edge decodes, for the tenant of the context. The batch is
// the caller's again when PushMetrics returns.
type Pusher interface {
	PushMetrics(ctx context.Context, b *metrics.Batch) (metrics.PushResult, error)
}

// HeadStatus shows the databases of this process; *metrics.Heads implements it.
type HeadStatus interface {
	// Stats returns cardinalities and the number of chunks of a tenant's head, nil for a tenant without one.
	Stats(tenant, byLabel string, limit int) (*tsdb.Stats, int64, error)
	BlockMetas(tenant string) ([]tsdb.BlockMeta, error)
}

// Rules shows the rules of the tenant in a context.
type Rules interface {
	RulesOf(ctx context.Context) v1.RulesRetriever
}

// Options are what the program gives New. Runner and Logger are required.
type Options struct {
	Runner job.Runner // the frontend
	Pusher Pusher     // the distributor; nil: this process takes no writes

	Targets       v1.TargetRetriever       // the scraper; nil: no targets
	ScrapePools   v1.ScrapePoolsRetriever  // the scraper; nil: none
	Rules         Rules                    // nil: no rules
	Alertmanagers v1.AlertmanagerRetriever // nil: none
	Head          HeadStatus               // nil: status/tsdb says that there is none here
	Admin         Admin                    // nil: the admin API is disabled

	// Known returns the series that a tenant has; nil: their label sets are kept here for the next request, as for a
	// tenant whose series are not stored as they are written. Optional.
	Known func(tenant string) Known

	// Stores returns what the queries of a tenant read. Optional.
	Stores func(tenant string) []metrics.StoreStatus

	ConfigYAML  func() string // of status/config
	Flags       map[string]string
	Build       v1.PrometheusVersion
	RuntimeInfo func() (v1.RuntimeInfo, error)
	// Ready returns why the program can't answer yet; nil: it always can.
	Ready func() error

	// WholeAnswers makes it an error that a part of the data can't be had, where a query doesn't say otherwise.
	WholeAnswers  bool
	OTLP          metrics.OTLPConfig
	Limits        body.Limits   // of request bodies
	LookbackDelta time.Duration // for federation; 0: 5m
	// CORSOrigin matches the origins that browsers may call from. Nil matches none.
	CORSOrigin *regexp.Regexp
	// Features are the experimental parts of PromQL that are on, see metrics.QueryConfig.
	Features      []string
	ListenAddress string // for the global URLs of targets on this host
	ExternalURL   *url.URL

	Logger     *slog.Logger
	Registerer client.Registerer
	Now        func() time.Time // nil: time.Now
}

// Known finds series by their labels and the hash of these. It is closed before anything is written. *metrics.KnownSeries
// does.
type Known interface {
	// Labels returns the labels of a series that are equal to ls. They stay as they are; ls does not.
	Labels(hash uint64, ls labels.Labels) (labels.Labels, bool)
	Close()
}

// API serves the paths under /api/v1/ and /federate.
type API struct {
	opts   Options
	v1     *v1.API
	labels *labelCache
}

// noOrigin matches no origin at all.
var noOrigin = regexp.MustCompile(`^\b$`)

// The bounds of remote read, Prometheus's defaults: samples of an answer, requests at once, bytes of
// a streamed frame.
const (
	readSamples     = 5e7
	readConcurrency = 10
	readFrameBytes  = 1 << 20
)

// New returns the API.
func New(opts Options) *API {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.CORSOrigin == nil {
		opts.CORSOrigin = noOrigin
	}
	if opts.LookbackDelta <= 0 {
		opts.LookbackDelta = 5 * time.Minute
	}
	if opts.RuntimeInfo == nil {
		start := opts.Now()
		opts.RuntimeInfo = func() (v1.RuntimeInfo, error) { return v1.RuntimeInfo{StartTime: start, ServerTime: opts.Now()}, nil }
	}
	a := &API{opts: opts, labels: newLabelCache(maxCachedLabels)}
	build := opts.Build
	a.v1 = v1.NewAPI(engine{a}, queryable{a}, nil, nil,
		func(context.Context) v1.ScrapePoolsRetriever { return a.scrapePools() },
		func(context.Context) v1.TargetRetriever { return a.targets() },
		func(context.Context) v1.AlertmanagerRetriever { return a.alertmanagers() },
		func() config.Config { return config.DefaultConfig },
		opts.Flags, a.globalURL(), a.whenReady, noDatabase{}, "", false, opts.Logger,
		a.rules,
		readSamples, readConcurrency, readFrameBytes, false, opts.CORSOrigin,
		opts.RuntimeInfo, &build,
		func() []notifications.Notification { return []notifications.Notification{} },
		func() (<-chan notifications.Notification, func(), bool) { return nil, nil, false },
		client.NewRegistry(), opts.Registerer, nil,
		false, nil, false, false, false, false, opts.LookbackDelta, false, false,
		overrideStatus, featureRegistry(opts.Features))
	return a
}

// featureRegistry lists the parts of PromQL that there are, with whether they are on.
func featureRegistry(enabled []string) features.Collector {
	r := features.NewRegistry()
	parser.RegisterFeatures(r)
	metrics.ReportFeatures(enabled, func(function bool, name string, on bool) {
		if function {
			r.Set(features.PromQLFunctions, name, on)
			return
		}
		r.Set(features.PromQL, name, on)
	}, func(operator string, on bool) { r.Set(features.PromQLOperators, operator, on) })
	return r
}

func (a *API) globalURL() v1.GlobalURLOptions {
	o := v1.GlobalURLOptions{ListenAddress: a.opts.ListenAddress, Host: a.opts.ListenAddress, Scheme: "http"}
	if u := a.opts.ExternalURL; u != nil {
		o.Host, o.Scheme = u.Host, u.Scheme
	}
	return o
}

// Register adds the routes to mux. Each is bound to its methods, so that other protocols can have
// the other methods of the same path.
func (a *API) Register(mux *http.ServeMux) {
	router := route.New()
	a.v1.Register(router.WithPrefix("/api/v1"))
	for _, path := range []string{"query", "query_range", "labels", "series"} {
		mux.Handle("GET /api/v1/"+path, withOptions(router))
		mux.Handle("POST /api/v1/"+path, withOptions(router))
		mux.Handle("OPTIONS /api/v1/"+path, router)
	}
	mux.Handle("GET /api/v1/label/{name}/values", withOptions(router))
	mux.Handle("OPTIONS /api/v1/label/{name}/values", router)
	mux.Handle("GET /api/v1/query_exemplars", withOptions(a.whenReady(a.exemplars)))
	mux.Handle("POST /api/v1/query_exemplars", withOptions(a.whenReady(a.exemplars)))
	mux.Handle("OPTIONS /api/v1/query_exemplars", router)
	for _, path := range []string{"format_query", "parse_query"} {
		mux.Handle("GET /api/v1/"+path, router)
		mux.Handle("POST /api/v1/"+path, router)
		mux.Handle("OPTIONS /api/v1/"+path, router)
	}
	for _, path := range []string{
		"scrape_pools", "targets", "targets/metadata", "targets/relabel_steps", "alertmanagers",
		"alerts", "rules", "features", "notifications", "notifications/live",
		"status/runtimeinfo", "status/buildinfo", "status/flags", "status/walreplay",
	} {
		mux.Handle("GET /api/v1/"+path, router)
		mux.Handle("OPTIONS /api/v1/"+path, router)
	}
	mux.HandleFunc("POST /api/v1/alerts", alertsGone)
	mux.Handle("POST /api/v1/read", router)
	a.registerAdmin(mux, router)
	mux.HandleFunc("GET /api/v1/stores", a.whenReady(a.stores))
	mux.Handle("GET /api/v1/metadata", withOptions(a.whenReady(a.metadata)))
	mux.HandleFunc("GET /api/v1/status/config", a.whenReady(a.statusConfig))
	mux.HandleFunc("GET /api/v1/status/tsdb", a.whenReady(a.statusTSDB))
	mux.HandleFunc("GET /api/v1/status/tsdb/blocks", a.whenReady(a.statusBlocks))
	a.registerCardinality(mux)
	mux.HandleFunc("GET /federate", a.whenReady(a.federate))
	if a.opts.Pusher == nil {
		return
	}
	for _, path := range []string{"write", "push", "receive"} {
		mux.HandleFunc("POST /api/v1/"+path, a.whenReady(a.write))
	}
	mux.HandleFunc("POST /api/v1/otlp/v1/metrics", a.whenReady(a.otlp))
}

// alertsGone answers what once was Alertmanager's way in, as Alertmanager does since it is closed.
func alertsGone(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "version 1 of the Alertmanager API is gone: send alerts to /api/v2/alerts", http.StatusGone)
}

// RemoteWrite returns the handler of remote write, for paths that it shares with another protocol.
func (a *API) RemoteWrite() http.Handler { return a.whenReady(a.write) }

// whenReady answers 503 with the reason while the program starts.
func (a *API) whenReady(next http.HandlerFunc) http.HandlerFunc {
	if a.opts.Ready == nil {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if err := a.opts.Ready(); err != nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "Service Unavailable: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		next(w, r)
	}
}

// overrideStatus takes the status from the class of an error where it has one. The first argument
// has a type of the library that can't be named.
func overrideStatus[N any](_ N, err error) (int, bool) {
	var classed *fault.Error
	if errors.As(err, &classed) && classed.Class != fault.Internal {
		return fault.Status(classed), true
	}
	return 0, false
}

func (a *API) scrapePools() v1.ScrapePoolsRetriever {
	if a.opts.ScrapePools != nil {
		return a.opts.ScrapePools
	}
	return nothing{}
}

func (a *API) targets() v1.TargetRetriever {
	if a.opts.Targets != nil {
		return a.opts.Targets
	}
	return nothing{}
}

func (a *API) alertmanagers() v1.AlertmanagerRetriever {
	if a.opts.Alertmanagers != nil {
		return a.opts.Alertmanagers
	}
	return nothing{}
}

func (a *API) rules(ctx context.Context) v1.RulesRetriever {
	if a.opts.Rules != nil {
		return a.opts.Rules.RulesOf(ctx)
	}
	return nothing{}
}

// nothing answers for the roles that don't run in this process.
type nothing struct{}

func (nothing) ScrapePools() []string                      { return []string{} }
func (nothing) TargetsActive() map[string][]*scrape.Target { return nil }
func (nothing) TargetsDropped() map[string][]*scrape.Target {
	return nil
}
func (nothing) TargetsDroppedCounts() map[string]int { return map[string]int{} }
func (nothing) ScrapePoolConfig(pool string) (*config.ScrapeConfig, error) {
	return nil, errors.New("scrape pool not found: " + pool)
}
func (nothing) Alertmanagers() []*url.URL            { return nil }
func (nothing) DroppedAlertmanagers() []*url.URL     { return nil }
func (nothing) RuleGroups() []*rules.Group           { return nil }
func (nothing) AlertingRules() []*rules.AlertingRule { return nil }

// noDatabase stands where Prometheus's API expects its one database. Its administration and its status
// are served by handlers of ours, which know the tenant.
type noDatabase struct{}

var errNoDatabase = errors.New("there is no single database here")

func (noDatabase) CleanTombstones() error { return errNoDatabase }
func (noDatabase) Delete(context.Context, int64, int64, ...*labels.Matcher) error {
	return errNoDatabase
}
func (noDatabase) Snapshot(string, bool) error                    { return errNoDatabase }
func (noDatabase) Stats(string, int) (*tsdb.Stats, error)         { return nil, errNoDatabase }
func (noDatabase) BlockMetas() ([]tsdb.BlockMeta, error)          { return nil, errNoDatabase }
func (noDatabase) WALReplayStatus() (tsdb.WALReplayStatus, error) { return tsdb.WALReplayStatus{}, nil }
