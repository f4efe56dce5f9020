// Package querier is the querier role: it takes query jobs from the scheduler and runs each with its
// signal's engine over everything there is: what ingesters still hold and the blocks in the bucket.
//
// Ingesters go on answering for a block for a while after it is in the bucket, so nothing is missed
// between the two. They are told which blocks the query reads from the bucket and leave those out, so
// nothing is read or counted twice. Rows that several blocks hold are deduplicated by the signal.
package querier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/alecthomas/units"
	"github.com/grafana/dskit/services"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
)

// Config is the user's settings of the querier.
type Config struct {
	// Concurrency is how many jobs run at once. Default 0: four for each processor, at least 8.
	Concurrency int `yaml:"concurrency"`
	// MaxOpenBlocks is how many blocks of each signal keep their index in memory. Default 512.
	MaxOpenBlocks int `yaml:"max_open_blocks"`
	// LogsMemory bounds what all logs queries of the process hold together for their answers and while they
	// compute, in bytes. A query that would go beyond it is answered 503. Default 2GiB; 0 is no bound.
	LogsMemory units.Base2Bytes `yaml:"logs_memory"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{MaxOpenBlocks: 512, LogsMemory: 2 * units.GiB} }

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.Concurrency < 0 || c.LogsMemory < 0 || c.MaxOpenBlocks <= 0 {
		return errors.New("concurrency and logs_memory must not be negative and max_open_blocks must be positive")
	}
	return nil
}

// Ingester is what the querier asks of ingesters: recent data.
type Ingester interface {
	metrics.Source
	// LogsExcept and TracesExcept answer for what is not in the given blocks. The latter's source
	// should have the method Pieces of traces.MergedSource, see traces.PartOf.
	LogsExcept(blocks []ulid.ULID) logs.Source
	TracesExcept(blocks []ulid.ULID) traces.Source
}

// Store is what the querier asks of stores.
type Store interface {
	metrics.Source
	// Blocks returns the blocks of logs or traces that overlap [start, end] in nanoseconds.
	Blocks(ctx context.Context, tenant string, s signal.Signal, start, end int64) ([]block.Meta, error)
}

// BlockOpener reads the blocks that the store names.
type BlockOpener interface {
	Open(ctx context.Context, m block.Meta) (*block.Reader, error)
	// Ranges reads parts of blocks that aren't open.
	Ranges() block.RangeReader
	// IsGone reports whether an error of Open or of the reader says that the block was deleted.
	IsGone(err error) bool
}

// MetricsEngine, LogsEngine and TracesEngine run the query languages over sources.
type (
	MetricsEngine interface {
		Run(ctx context.Context, tenant string, q *metrics.Query, sources ...metrics.Source) (*metrics.Result, error)
	}
	LogsEngine interface {
		Run(ctx context.Context, tenant string, q *logs.Query, src logs.Source) (*logs.Result, error)
	}
	TracesEngine interface {
		Run(ctx context.Context, tenant string, q *traces.Query, src traces.Source) (*traces.Result, error)
	}
)

// Options are what the program gives a querier; all are required but Deleted, DeletedTraces and Damaged.
type Options struct {
	Config   Config
	Queue    job.Queue
	Ingester Ingester
	Store    Store
	Blocks   BlockOpener
	// Remote are servers outside of Hune that hold metrics, too. Optional.
	Remote  []metrics.Source
	Metrics MetricsEngine
	Logs    LogsEngine
	Traces  TracesEngine
	// Deleted returns the rows of a tenant's logs that are stored and must not be seen; nil if there
	// are none.
	Deleted func(tenant string) *logs.Deletions
	// DeletedTraces returns the traces of a tenant that are stored and must not be seen; nil if there are none.
	DeletedTraces func(tenant string) *traces.IDSet
	// Damaged is told of objects that a query found to be corrupt, by name.
	Damaged    func(object string)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Querier is the role.
type Querier struct {
	services.Service
	opts   Options
	logs   logs.Source
	traces traces.Source
	panics prometheus.Counter
}

// New returns a querier; starting it as a service starts its workers.
func New(opts Options) *Querier {
	q := &Querier{opts: opts, panics: promauto.With(opts.Registerer).NewCounter(prometheus.CounterOpts{
		Name: "hune_querier_panics_total", Help: "Query jobs that ended in a panic: bugs of ours."})}
	q.logs = q.logsSource()
	q.traces = q.tracesSource()
	if opts.DeletedTraces != nil {
		q.traces = traces.Hide(q.traces, opts.DeletedTraces)
	}
	q.Service = services.NewBasicService(nil, q.run, nil).WithName("querier")
	return q
}

func (q *Querier) run(ctx context.Context) error {
	workers := q.opts.Config.Concurrency
	if workers == 0 {
		workers = max(8, 4*runtime.GOMAXPROCS(0))
	}
	var g errgroup.Group
	for range workers {
		g.Go(func() error {
			for {
				jobCtx, ticket, err := q.opts.Queue.Take(ctx)
				if err != nil {
					return nil // stopping
				}
				r, err := q.Run(jobCtx, ticket.Job)
				q.opts.Queue.Finish(ticket.ID, r, err)
			}
		})
	}
	return g.Wait()
}

// Run implements job.Runner. A panic of an engine fails its own query only.
//
// Answers about logs and traces say what was read from the bucket for them: bytes and requests. What
// the page cache had costs nothing, and a page that another query was fetching already is counted
// there alone, so the sum over all queries is what the bucket was asked for.
func (q *Querier) Run(ctx context.Context, j job.Job) (r job.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			q.panics.Inc()
			q.opts.Logger.Error("query panicked", "tenant", j.Tenant, "panic", p, "stack", string(debug.Stack()))
			r, err = job.Result{}, fmt.Errorf("internal error: the query panicked: %v", p)
		}
	}()
	if err := ctx.Err(); err != nil {
		return job.Result{}, err
	}
	started := time.Now()
	var read bucket.Counter
	ctx = bucket.NewContext(ctx, &read)
	switch {
	case j.Metrics != nil:
		r.Metrics, err = q.opts.Metrics.Run(ctx, j.Tenant, j.Metrics, append([]metrics.Source{q.opts.Ingester, q.opts.Store}, q.opts.Remote...)...)
	case j.Logs != nil:
		if r.Logs, err = q.opts.Logs.Run(ctx, j.Tenant, j.Logs, q.logs); err == nil {
			r.Logs.Stats.ExecNanoseconds = int64(time.Since(started))
			r.Logs.Stats.BytesRead = read.Bytes()
			r.Logs.Stats.RangeReads = read.Requests()
		}
	case j.Traces != nil:
		if r.Traces, err = q.opts.Traces.Run(ctx, j.Tenant, j.Traces, q.traces); err == nil {
			r.Traces.Inspected.Bytes += read.Bytes()
			r.Traces.Inspected.RangeReads += read.Requests()
		}
	default:
		err = errors.New("empty query job")
	}
	var damage *block.CorruptionError
	if q.opts.Damaged != nil && errors.As(err, &damage) {
		q.opts.Damaged(damage.Block)
	}
	if err != nil && q.opts.Blocks.IsGone(err) {
		// It was there when it was opened. The next list of the store won't have it.
		return job.Result{}, &fault.Error{Class: fault.Unavailable, Reason: "block_deleted", RetryAfter: time.Second,
			Err: fmt.Errorf("a block was deleted during the query, try again: %w", err)}
	}
	return r, err
}
