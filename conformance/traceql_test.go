package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/hune-io/hune/internal/api/tempo"
	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/frontend"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// traceqlEngine runs jobs on one source without a network in between.
type traceqlEngine struct {
	engine *traceql.Engine
	source traces.Source
}

func (r traceqlEngine) Run(ctx context.Context, j job.Job) (job.Result, error) {
	res, err := r.engine.Run(ctx, j.Tenant, j.Traces, r.source)
	return job.Result{Traces: res}, err
}

// traceqlLoad appends the data set to heads: request n to the one that pick returns.
func traceqlLoad(t testing.TB, pick func(n int) *traces.Head) {
	t.Helper()
	spans, n := 0, 0
	for line, err := range TraceQLDataset() {
		if err != nil {
			t.Fatal(err)
		}
		req := ptraceotlp.NewExportRequest()
		if err := req.UnmarshalJSON(line); err != nil {
			t.Fatal(err)
		}
		raw, err := req.MarshalProto()
		if err != nil {
			t.Fatal(err)
		}
		batch, rejected, err := traces.Check(raw, traces.Limits{})
		if err != nil || len(rejected) > 0 {
			t.Fatal(rejected, err)
		}
		res, err := pick(n).Append(&batch)
		if err != nil {
			t.Fatal(err)
		}
		spans += res.Spans
		n++
	}
	if spans != 38_839 {
		t.Fatalf("loaded %d spans, want 38839", spans)
	}
}

// traceqlFolder reads a block from its folder.
type traceqlFolder string

func (dir traceqlFolder) ReadRange(_ context.Context, name string, off, n int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(string(dir), name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	_, err = f.ReadAt(b, off)
	return b, err
}

func traceqlBlock(t testing.TB, head *traces.Head) *traces.Block {
	t.Helper()
	dir := t.TempDir()
	var meta block.Meta
	if err := head.WriteBlock(t.Context(), dir, &meta); err != nil {
		t.Fatal(err)
	}
	r, err := block.Open(t.Context(), traceqlFolder(dir), block.DataFile, meta.Data.Size, block.ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := traces.OpenBlock(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// traceqlPieces cuts every query that can be cut into the same number of jobs.
type traceqlPieces struct {
	*traceql.Engine
	pieces int
	merged *atomic.Int64 // queries that were more than one job
}

func (p traceqlPieces) Coordinate(ctx context.Context, tenant string, q *traces.Query, _ traceql.Split, ask traceql.Ask) (*traces.Result, error) {
	r, err := p.Engine.Coordinate(ctx, tenant, q, traceql.Split{Pieces: p.pieces, MaxJobs: 4}, ask)
	if err == nil && r.Inspected.TotalJobs > 1 {
		p.merged.Add(1)
	}
	return r, err
}

// traceqlFrontend is a frontend before next that cuts queries.
func traceqlFrontend(t testing.TB, next job.Runner, c frontend.TracesCoordinator) job.Runner {
	l := limits.DefaultConfig()
	l.Queries = limits.QueryLimits{}
	overrides, err := limits.New(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	return frontend.New(frontend.Options{Config: frontend.DefaultConfig(), Next: next, Logs: logql.NewEngine(logql.Options{}), Traces: c, Limits: overrides,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now})
}

func traceqlOver(parts []traces.Part) job.Runner {
	source := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return parts, nil })
	return traceqlEngine{traceql.NewEngine(traceql.Options{}), source}
}

func traceqlServer(runner job.Runner) http.Handler {
	mux := http.NewServeMux()
	tempo.New(tempo.Options{Runner: runner}).Register(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(tenant.NewContext(r.Context(), tenant.Anonymous)))
	})
}

// TestTraceQL replays what Tempo answered against the engine over memory and over blocks: where the
// spans are must not show.
func TestTraceQL(t *testing.T) {
	t.Run("head", func(t *testing.T) {
		t.Parallel()
		head := traces.NewHead(traces.HeadOptions{})
		traceqlLoad(t, func(int) *traces.Head { return head })
		TraceQLCheck(t, Handler(traceqlServer(traceqlOver([]traces.Part{head}))))
	})
	t.Run("block", func(t *testing.T) {
		t.Parallel()
		head := traces.NewHead(traces.HeadOptions{})
		traceqlLoad(t, func(int) *traces.Head { return head })
		TraceQLCheck(t, Handler(traceqlServer(traceqlOver([]traces.Part{traceqlBlock(t, head)}))))
	})
	// Every fifth trace comes in two requests, so many are in both parts.
	t.Run("block and head", func(t *testing.T) {
		t.Parallel()
		TraceQLCheck(t, Handler(traceqlServer(traceqlOver(traceqlInTwo(t)))))
	})
	for _, pieces := range []int{1, 7} {
		t.Run(fmt.Sprintf("frontend, %d pieces", pieces), func(t *testing.T) {
			t.Parallel()
			c := traceqlPieces{traceql.NewEngine(traceql.Options{}), pieces, new(atomic.Int64)}
			TraceQLCheck(t, Handler(traceqlServer(traceqlFrontend(t, traceqlOver(traceqlInTwo(t)), c))))
			if n := c.merged.Load(); (n > 0) != (pieces > 1) {
				t.Errorf("%d queries were merged from jobs", n)
			}
		})
	}
}

// traceqlInTwo is the data set in a block and a head.
func traceqlInTwo(t testing.TB) []traces.Part {
	older, newer := traces.NewHead(traces.HeadOptions{}), traces.NewHead(traces.HeadOptions{})
	traceqlLoad(t, func(n int) *traces.Head {
		if n%4 < 2 {
			return older
		}
		return newer
	})
	return []traces.Part{traceqlBlock(t, older), newer}
}
