package conformance

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/hune-io/hune/internal/api/tempo"
	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/job"
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

func traceqlServer(parts ...traces.Part) http.Handler {
	source := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) { return parts, nil })
	mux := http.NewServeMux()
	tempo.New(tempo.Options{Runner: traceqlEngine{traceql.NewEngine(traceql.Options{}), source}}).Register(mux)
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
		TraceQLCheck(t, Handler(traceqlServer(head)))
	})
	t.Run("block", func(t *testing.T) {
		t.Parallel()
		head := traces.NewHead(traces.HeadOptions{})
		traceqlLoad(t, func(int) *traces.Head { return head })
		TraceQLCheck(t, Handler(traceqlServer(traceqlBlock(t, head))))
	})
	// Every fifth trace comes in two requests, so many are in both parts.
	t.Run("block and head", func(t *testing.T) {
		t.Parallel()
		older, newer := traces.NewHead(traces.HeadOptions{}), traces.NewHead(traces.HeadOptions{})
		traceqlLoad(t, func(n int) *traces.Head {
			if n%4 < 2 {
				return older
			}
			return newer
		})
		TraceQLCheck(t, Handler(traceqlServer(traceqlBlock(t, older), newer)))
	})
}
