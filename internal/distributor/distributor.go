// Package distributor stands between the protocols and the ingesters: it checks every write against
// the tenant's limits, completes it, and hands on what is left.
//
// A bad record never takes a good one with it. Records that break a limit are left out, counted in
// hune_discarded_total and named in the result, with the texts that clients of Prometheus, Loki
// and Tempo know; the rest of the batch goes on. Only a rate limit, a missing tenant or a failing
// ingester refuse a whole batch.
//
// A nil error means that the ingester has acknowledged: what was not rejected is in its
// write-ahead log, synced. The distributor itself keeps nothing and has no queue. Acknowledged spans are
// shown to an Observer, which derives metrics from them.
package distributor

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// Ingester takes what passed the checks. A nil error means that the batch is synced, apart from
// what the result says was rejected. It keeps nothing of the batch after it returns.
type Ingester interface {
	PushMetrics(ctx context.Context, tenant string, b *metrics.Batch) (metrics.PushResult, error)
	PushLogs(ctx context.Context, tenant string, b *logs.Batch) (logs.PushResult, error)
	PushTraces(ctx context.Context, tenant string, b *traces.Batch) (traces.PushResult, error)
}

// Observer sees the spans that an ingester has acknowledged, before they are replicated: once. It must not
// block, and keeps nothing of the batch.
type Observer interface {
	Observe(tenant string, b *traces.Batch)
}

// Options are what a Distributor needs.
type Options struct {
	Limits     *limits.Overrides
	Ingester   Ingester
	Spans      Observer    // nil: nobody looks
	Elections  Elections   // nil: this process elects replicas alone
	Deltas     DeltaOwners // nil: this process adds up all increments
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: the metrics are not registered
	Now        func() time.Time      // nil: time.Now
	Discarded  *limits.Discarded     // nil: one of its own, registered with Registerer

	OTLPMetrics metrics.OTLPConfig // how OTLP metrics become series; the zero value is the default
	OTLPLogs    logs.OTLPOptions   // how OTLP logs become streams; Now is set for each push
}

// Distributor checks and forwards writes. Safe for concurrent use.
type Distributor struct {
	limits    *limits.Overrides
	ingester  Ingester
	spans     Observer
	logger    *slog.Logger
	now       func() time.Time
	discarded *limits.Discarded
	metrics   *instruments
	buckets   map[signal.Signal]*buckets

	ha          *haTracker
	deltas      *deltas
	deltaOwners DeltaOwners
	streams     *activeStreams
	streamRates *buckets // by tenant and stream
	enrichers   enrichers

	otlpMetrics metrics.OTLPConfig
	otlpLogs    logs.OTLPOptions
}

// New returns a Distributor.
func New(o Options) *Distributor {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OTLPMetrics.TranslationStrategy == "" {
		o.OTLPMetrics.TranslationStrategy = metrics.DefaultOTLPConfig().TranslationStrategy
	}
	if o.Discarded == nil {
		o.Discarded = limits.NewDiscarded(o.Registerer)
	}
	d := &Distributor{
		limits: o.Limits, ingester: o.Ingester, spans: o.Spans, logger: o.Logger, now: o.Now,
		discarded: o.Discarded,
		metrics:   newInstruments(o.Registerer),
		buckets:   make(map[signal.Signal]*buckets, len(signal.All)),
		enrichers: newEnrichers(),
		streams:   newActiveStreams(), streamRates: newBuckets(), ha: newHATracker(o.Registerer, o.Elections), deltas: newDeltas(o.Registerer), deltaOwners: o.Deltas,

		otlpMetrics: o.OTLPMetrics, otlpLogs: o.OTLPLogs,
	}
	for _, s := range signal.All {
		d.buckets[s] = newBuckets()
	}
	return d
}

// write is one push on its way through the checks.
type write struct {
	signal   signal.Signal
	tenant   string
	limits   *limits.Limits
	now      time.Time
	start    time.Time
	rejected rejections
}

// begin finds out whose write it is. An error is fit for the client.
func (d *Distributor) begin(ctx context.Context, s signal.Signal) (*write, error) {
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, errTenant(err)
	}
	now := d.now()
	return &write{signal: s, tenant: id, limits: d.limits.For(id), now: now, start: now}, nil
}

// end counts what was left out, whoever left it out.
func (d *Distributor) end(w *write) {
	for i := range w.rejected {
		r := &w.rejected[i]
		d.discarded.Add(w.signal, r.reason, w.tenant, r.count)
	}
	d.metrics.duration.WithLabelValues(string(w.signal)).Observe(d.now().Sub(w.start).Seconds())
}

type instruments struct {
	records  *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newInstruments(reg prometheus.Registerer) *instruments {
	m := &instruments{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hune_distributor_received_total",
			Help: "Samples, log lines and spans that passed the checks, by signal.",
		}, []string{"signal"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hune_distributor_received_bytes_total",
			Help: "Bytes of log lines with their metadata and of OTLP spans that passed the checks, by signal.",
		}, []string{"signal"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:                        "hune_distributor_push_duration_seconds",
			Help:                        "Time from the decoded batch to the synced write-ahead log, by signal.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, []string{"signal"}),
	}
	if reg != nil {
		reg.MustRegister(m.records, m.bytes, m.duration)
	}
	return m
}
