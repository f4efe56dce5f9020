package conformance

import (
	"context"
	"net/http"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/hune-io/hune/internal/api/tempo"
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

// traceqlLoad fills a head with the data set.
func traceqlLoad(t testing.TB) *traces.Head {
	t.Helper()
	head := traces.NewHead(traces.HeadOptions{})
	spans := 0
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
		res, err := head.Append(&batch)
		if err != nil {
			t.Fatal(err)
		}
		spans += res.Spans
	}
	if spans != 38_839 {
		t.Fatalf("loaded %d spans, want 38839", spans)
	}
	return head
}

func traceqlServer(t testing.TB) http.Handler {
	head := traceqlLoad(t)
	source := traces.NewSource(func(context.Context, string, uint64, uint64) ([]traces.Part, error) {
		return []traces.Part{head}, nil
	})
	mux := http.NewServeMux()
	tempo.New(tempo.Options{Runner: traceqlEngine{traceql.NewEngine(traceql.Options{}), source}}).Register(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(tenant.NewContext(r.Context(), tenant.Anonymous)))
	})
}

// TestTraceQL replays what Tempo answered against the engine over a head.
func TestTraceQL(t *testing.T) {
	TraceQLCheck(t, TraceQLHandler(traceqlServer(t)))
}
