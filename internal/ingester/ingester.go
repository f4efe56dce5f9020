// Package ingester is the ingester role: it keeps what was acknowledged until it is in the bucket.
//
// A push returns when the write-ahead log holding it is synced. From then on the data is answered
// from memory, later from a local block, until the block is verified in the bucket and stores have had time to
// find it. A restart replays the log; what a block already holds is not replayed.
//
// Metrics keep their log, head and blocks in the signal's own Prometheus TSDB (metrics.Heads);
// logs and traces share the machinery of this package (columnar).
package ingester

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/thanos-io/objstore"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/wal"
)

// Options are what the program gives an ingester. All fields are required unless said otherwise.
type Options struct {
	Config     Config
	WAL        wal.Config
	Dir        string // where logs and pending blocks live
	Bucket     objstore.Bucket
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	Entropy    io.Reader      // for block IDs; safe for concurrent use
	Metrics    *metrics.Heads // the ingester owns it from then on: it flushes and closes it
	LogHead    logs.HeadOptions
	TraceHead  func(tenant string) traces.HeadOptions
	// OnShipped is told of each block of logs or traces when it is safe in the bucket. Optional.
	OnShipped func(ctx context.Context, m block.Meta)
}

// Ingester is the role. It implements the Source interfaces of the three signals for the data that
// it holds; LogsExcept and TracesExcept answer for less, to those who read blocks themselves.
type Ingester struct {
	services.Service
	metrics.Source // of metrics.Heads

	opts     Options
	logs     *columnar[logs.Batch, logs.Part, logs.AppendResult]
	traces   *columnar[traces.Batch, traces.Part, traces.PushResult]
	logSrc   logs.Source
	traceSrc *traces.MergedSource
	tails    *tails
	stopping chan struct{}
}

// New opens the logs and replays them. The ingester is ready to be pushed to when it returns;
// starting it as a service starts the cutting and shipping of blocks.
func New(ctx context.Context, opts Options) (*Ingester, error) {
	i := &Ingester{Source: opts.Metrics, opts: opts, tails: newTails(opts.Config.TailBuffer, opts.Config.MaxTails),
		stopping: make(chan struct{})}
	labelled := func(s signal.Signal) prometheus.Registerer {
		return prometheus.WrapRegistererWith(prometheus.Labels{"signal": string(s)}, opts.Registerer)
	}
	var err error
	if i.logs, err = openColumnar(ctx, logsKind(opts), opts.Config.Logs, opts, newColumnarMetrics(labelled(signal.Logs))); err != nil {
		return nil, err
	}
	if i.traces, err = openColumnar(ctx, tracesKind(opts), opts.Config.Traces, opts, newColumnarMetrics(labelled(signal.Traces))); err != nil {
		return nil, errors.Join(err, i.logs.close())
	}
	i.logSrc, i.traceSrc = i.LogsExcept(nil), i.tracesExcept(nil)
	i.Service = services.NewBasicService(nil, i.run, i.stop).WithName("ingester")
	return i, nil
}

// LogsExcept is a source of the recent logs that are not in the given blocks, which the caller reads
// from the bucket: a block is kept here for a while after its upload, and is not to be read twice.
func (i *Ingester) LogsExcept(blocks []ulid.ULID) logs.Source {
	return logs.NewSource(func(_ context.Context, tenant string, _, _ int64) ([]logs.Part, error) {
		return i.logs.parts(tenant, blocks...), nil
	})
}

// TracesExcept is LogsExcept for traces.
func (i *Ingester) TracesExcept(blocks []ulid.ULID) traces.Source { return i.tracesExcept(blocks) }

func (i *Ingester) tracesExcept(blocks []ulid.ULID) *traces.MergedSource {
	return traces.NewSource(func(_ context.Context, tenant string, _, _ uint64) ([]traces.Part, error) {
		return i.traces.parts(tenant, blocks...), nil
	})
}

// PushMetrics stores a batch; what the TSDB refused is in the result.
func (i *Ingester) PushMetrics(ctx context.Context, tenant string, b *metrics.Batch) (metrics.PushResult, error) {
	return i.opts.Metrics.Append(ctx, tenant, b)
}

// PushLogs stores a batch whole or not at all.
func (i *Ingester) PushLogs(ctx context.Context, tenant string, b *logs.Batch) (logs.PushResult, error) {
	if _, err := i.logs.push(ctx, tenant, b); err != nil {
		return logs.PushResult{}, err
	}
	i.tails.publish(tenant, b)
	var r logs.PushResult
	for _, s := range b.Streams {
		r.Entries += len(s.Entries)
		for _, e := range s.Entries {
			r.Bytes += int64(len(e.Line))
		}
	}
	return r, nil
}

// PushTraces stores a batch. Spans of traces that are over their limits are refused, the rest is kept.
func (i *Ingester) PushTraces(ctx context.Context, tenant string, b *traces.Batch) (traces.PushResult, error) {
	return i.traces.push(ctx, tenant, b)
}

// SelectRows implements logs.Source.
func (i *Ingester) SelectRows(ctx context.Context, tenant string, s logs.Select) iter.Seq2[*logs.Rows, error] {
	return i.logSrc.SelectRows(ctx, tenant, s)
}

// Series implements logs.Source.
func (i *Ingester) Series(ctx context.Context, tenant string, start, end int64, matchers [][]logs.Matcher) ([]labels.Labels, error) {
	return i.logSrc.Series(ctx, tenant, start, end, matchers)
}

// Volume implements logs.Source.
func (i *Ingester) Volume(ctx context.Context, tenant string, q logs.VolumeQuery) ([]logs.Volume, error) {
	return i.logSrc.Volume(ctx, tenant, q)
}

// Scan implements logs.Source.
func (i *Ingester) Scan(ctx context.Context, tenant string, s logs.Select, visit func(context.Context, *logs.Page) error) error {
	return i.logSrc.Scan(ctx, tenant, s, visit)
}

// Extents implements logs.Source.
func (i *Ingester) Extents(ctx context.Context, tenant string, start, end int64, matchers []logs.Matcher) ([]logs.Extent, error) {
	return i.logSrc.Extents(ctx, tenant, start, end, matchers)
}

// Estimate implements logs.Source.
func (i *Ingester) Estimate(ctx context.Context, tenant string, s logs.Select) (logs.Estimate, error) {
	return i.logSrc.Estimate(ctx, tenant, s)
}

// TraceByID implements traces.Source.
func (i *Ingester) TraceByID(ctx context.Context, tenant string, id traces.ID, start, end uint64) (*traces.Trace, error) {
	return i.traceSrc.TraceByID(ctx, tenant, id, start, end)
}

// SelectTraces implements traces.Source.
func (i *Ingester) SelectTraces(ctx context.Context, tenant string, s traces.Select) iter.Seq2[*traces.Trace, error] {
	return i.traceSrc.SelectTraces(ctx, tenant, s)
}

// Pieces lists the traces that the heads and recent blocks have a piece of.
func (i *Ingester) Pieces(ctx context.Context, tenant string, start, end uint64) iter.Seq2[traces.Piece, error] {
	return i.traceSrc.Pieces(ctx, tenant, start, end)
}

// Tags implements traces.Source.
func (i *Ingester) Tags(ctx context.Context, tenant string, scope traces.TagScope, start, end uint64) (map[traces.TagScope][]string, error) {
	return i.traceSrc.Tags(ctx, tenant, scope, start, end)
}

// TagValues implements traces.Source.
func (i *Ingester) TagValues(ctx context.Context, tenant string, scope traces.TagScope, key string, start, end uint64, limit int) ([]traces.Attribute, error) {
	return i.traceSrc.TagValues(ctx, tenant, scope, key, start, end, limit)
}

// Flush cuts the heads of the tenants, or without any those of all, uploads every block and returns when all of
// it is in the bucket.
func (i *Ingester) Flush(ctx context.Context, tenants ...string) error {
	return errors.Join(
		flushColumnar(ctx, i.logs, tenants),
		flushColumnar(ctx, i.traces, tenants),
		wrap("flush metrics", i.opts.Metrics.Flush(ctx, tenants...)),
	)
}

func flushColumnar[B, P, R any](ctx context.Context, c *columnar[B, P, R], tenants []string) error {
	var errs []error
	for _, t := range c.all() {
		if len(tenants) == 0 || slices.Contains(tenants, t.tenant) {
			errs = append(errs, c.cut(ctx, t))
		}
	}
	return errors.Join(append(errs, c.ship(ctx))...)
}

// run cuts and ships until the service is stopped. Cutting does not wait for the bucket: a slow one
// must not make heads fill up.
func (i *Ingester) run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { i.logs.cutLoop(ctx); return nil })
	g.Go(func() error { i.traces.cutLoop(ctx); return nil })
	g.Go(func() error { i.logs.sealLoop(ctx); return nil })
	g.Go(func() error { i.traces.sealLoop(ctx); return nil })
	g.Go(func() error { i.shipLoop(ctx); return nil })
	return g.Wait()
}

func (i *Ingester) shipLoop(ctx context.Context) {
	ticker := time.NewTicker(time.Duration(i.opts.Config.CheckInterval))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := i.shipAll(ctx); err != nil && ctx.Err() == nil {
				i.opts.Logger.Error("shipping blocks failed, will be tried again", "err", err)
			}
		}
	}
}

func (i *Ingester) shipAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(i.opts.Config.UploadTimeout))
	defer cancel()
	now := i.opts.Now()
	return errors.Join(i.logs.ship(ctx), i.traces.ship(ctx), i.logs.forget(now), i.traces.forget(now))
}

// stop ends tails and closes the logs. Heads stay in the log: the next start replays them.
func (i *Ingester) stop(error) error {
	close(i.stopping)
	return errors.Join(
		wrap("close the log of logs", i.logs.close()),
		wrap("close the log of traces", i.traces.close()),
		wrap("close metrics", i.opts.Metrics.Close()),
	)
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
