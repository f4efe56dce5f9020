package jaeger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/jaegertracing/jaeger-idl/model/v1"
	"github.com/jaegertracing/jaeger-idl/proto-gen/api_v2"
	thriftjaeger "github.com/jaegertracing/jaeger-idl/thrift-gen/jaeger"
	translator "github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/jaeger"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/api/rpc"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// Pusher stores spans. The tenant is in ctx. Nothing of the batch is kept after the call returns.
type Pusher interface {
	PushTraces(ctx context.Context, b *traces.Batch) (traces.PushResult, error)
}

// Ingest takes spans of Jaeger's clients: Thrift over HTTP and gRPC. They become OTLP by the
// collector's own translation, so that a span reads the same whether it came through a collector's
// Jaeger receiver or directly. Safe for concurrent use.
type Ingest struct {
	pusher Pusher
	limits body.Limits
}

// NewIngest returns an Ingest. Zero limits are the defaults of package body.
func NewIngest(p Pusher, l body.Limits) *Ingest { return &Ingest{p, l} }

// Register adds POST /api/traces. To read, the path does not exist: Jaeger's search is elsewhere, and
// clients of Tempo, whose path it resembles, know 404.
func (i *Ingest) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/traces", i.serveThrift)
	mux.HandleFunc("GET /api/traces", http.NotFound)
}

// RegisterGRPC adds jaeger.api_v2.CollectorService.
func (i *Ingest) RegisterGRPC(r grpc.ServiceRegistrar) {
	rpc.NewService("jaeger.api_v2.CollectorService").Unary("PostSpans", i.postSpans).Register(r)
}

var thriftTypes = map[string]bool{"application/x-thrift": true, "application/vnd.apache.thrift.binary": true}

// serveThrift takes a Batch of jaeger.thrift in the binary protocol.
func (i *Ingest) serveThrift(w http.ResponseWriter, r *http.Request) {
	if err := i.thrift(r); err != nil {
		if after := fault.RetryAfter(err); after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
		}
		http.Error(w, err.Error(), fault.Status(err))
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (i *Ingest) thrift(r *http.Request) error {
	text := r.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(text); err != nil || !thriftTypes[media] {
		return fault.Errorf(fault.Unsupported, "unsupported Content-Type %q: use application/x-thrift", text)
	}
	data, err := body.Read(r, i.limits)
	if err != nil {
		return err
	}
	defer data.Release()
	batch, err := decodeThrift(r.Context(), data.Bytes())
	if err != nil {
		return err
	}
	return i.push(r.Context(), func() (ptrace.Traces, error) { return translator.ThriftToTraces(batch) })
}

// decodeThrift reads a Batch.
func decodeThrift(ctx context.Context, data []byte) (batch *thriftjaeger.Batch, err error) {
	defer func() {
		if p := recover(); p != nil {
			batch, err = nil, fault.Invalidf("malformed Jaeger Thrift: not a batch of spans")
		}
	}()
	wrap := func(err error) error {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fault.Invalidf("malformed Jaeger Thrift: %w", err)
	}
	if err := body.CheckThrift(ctx, data, thrift.STRUCT); err != nil {
		return nil, wrap(err)
	}
	batch = thriftjaeger.NewBatch()
	if err := batch.Read(ctx, body.Thrift(data)); err != nil {
		return nil, wrap(err)
	}
	if batch.Process == nil {
		return nil, fault.Invalidf("malformed Jaeger Thrift: the batch names no process")
	}
	return batch, nil
}

// minSpan is the least size of a span in protobuf: its trace ID of 16 bytes with key and length. What
// is shorter is no span, and costs a hundred times its size once it is decoded.
const minSpan = 18

// postSpans takes a PostSpansRequest and answers a PostSpansResponse, which has no fields.
func (i *Ingest) postSpans(ctx context.Context, req []byte) ([]byte, error) {
	batch, err := decodeProto(req)
	if err != nil {
		return nil, err
	}
	return nil, i.push(ctx, func() (ptrace.Traces, error) { return translator.ProtoToTraces([]*model.Batch{batch}) })
}

func decodeProto(req []byte) (*model.Batch, error) {
	n := 0
	err := rpc.Fields(req, func(f rpc.Field) error {
		if f.Number != 1 {
			return nil
		}
		return rpc.Fields(f.Bytes, func(g rpc.Field) error {
			if g.Number == 1 {
				if len(g.Bytes) < minSpan {
					return fault.Invalidf("span %d is too short to have a trace ID", n)
				}
				n++
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	var m api_v2.PostSpansRequest
	if err := m.Unmarshal(req); err != nil {
		return nil, fault.Invalidf("malformed Jaeger protobuf: %w", err)
	}
	for k, s := range m.Batch.Spans {
		if s.Process == nil && m.Batch.Process == nil {
			return nil, fault.Invalidf("span %d names no process", k)
		}
	}
	return &m.Batch, nil
}

// push translates and stores. Jaeger has no partial answer: it is an error if nothing was stored.
func (i *Ingest) push(ctx context.Context, translate func() (ptrace.Traces, error)) error {
	td, err := guarded(translate)
	if err != nil {
		return fault.Invalidf("spans of Jaeger can't be told in OTLP: %w", err)
	}
	n := td.SpanCount()
	if n == 0 {
		return nil
	}
	otlp, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	if err != nil {
		return fmt.Errorf("encode translated Jaeger spans: %w", err)
	}
	res, err := i.pusher.PushTraces(ctx, &traces.Batch{OTLP: otlp, Spans: n})
	if err != nil {
		return err
	}
	if res.Spans == 0 && len(res.Rejected) > 0 {
		return fault.Invalidf("%d spans: %s", res.Rejected[0].Count, res.Rejected[0].Message)
	}
	return nil
}

// guarded turns a panic of the translation, which was written for its own receiver's input, into an
// error of the spans.
func guarded(translate func() (ptrace.Traces, error)) (td ptrace.Traces, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("unexpected structure")
		}
	}()
	return translate()
}
