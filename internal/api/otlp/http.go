package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"mime"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/proto"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/limits"
)

// encoding is how a request is written, and so its answer.
type encoding int

const (
	protobuf encoding = iota
	jsonText
)

func (e encoding) contentType() string {
	if e == jsonText {
		return "application/json"
	}
	return "application/x-protobuf"
}

// message is one of pdata's responses.
type message interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

// ServeMetrics takes an ExportMetricsServiceRequest.
func (h *Handler) ServeMetrics(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, func(ctx context.Context, e encoding, data []byte) (message, error) {
		req := pmetricotlp.NewExportRequest()
		if err := decode("metrics", e, data, limits.CheckOTLPMetrics, req.UnmarshalProto, req.UnmarshalJSON); err != nil {
			return nil, err
		}
		o, err := h.pushMetrics(ctx, req.Metrics())
		return metricsResponse(o), err
	})
}

// ServeLogs takes an ExportLogsServiceRequest.
func (h *Handler) ServeLogs(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, h.logs)
}

// ServeLokiLogs is ServeLogs with Loki's answer to a complete success, 204 without a body.
func (h *Handler) ServeLokiLogs(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, func(ctx context.Context, e encoding, data []byte) (message, error) {
		m, err := h.logs(ctx, e, data)
		if resp, ok := m.(plogotlp.ExportResponse); ok && err == nil && resp.PartialSuccess().RejectedLogRecords() == 0 {
			return nil, nil
		}
		return m, err
	})
}

func (h *Handler) logs(ctx context.Context, e encoding, data []byte) (message, error) {
	req := plogotlp.NewExportRequest()
	if err := decode("logs", e, data, limits.CheckOTLPLogs, req.UnmarshalProto, req.UnmarshalJSON); err != nil {
		return nil, err
	}
	o, err := h.pushLogs(ctx, req.Logs())
	return logsResponse(o), err
}

// ServeTraces takes an ExportTraceServiceRequest. Protobuf goes on as it came: its bytes are what
// the write-ahead log keeps.
func (h *Handler) ServeTraces(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, func(ctx context.Context, e encoding, data []byte) (message, error) {
		if e == jsonText {
			req := ptraceotlp.NewExportRequest()
			if err := decode("traces", e, data, nil, nil, req.UnmarshalJSON); err != nil {
				return nil, err
			}
			var err error
			if data, err = req.MarshalProto(); err != nil {
				return nil, err
			}
		}
		o, err := h.pushTraces(ctx, data)
		return tracesResponse(o), err
	})
}

func decode(what string, e encoding, data []byte, check, fromProto, fromJSON func([]byte) error) error {
	if e == protobuf {
		if err := check(data); err != nil {
			return err
		}
		if err := fromProto(data); err != nil {
			return malformed(what+" protobuf", err)
		}
		return nil
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil // an empty body is an empty request in either encoding
	}
	if err := limits.CheckOTLPJSON(data); err != nil {
		return err
	}
	if err := fromJSON(data); err != nil {
		return malformed(what+" JSON", err)
	}
	return nil
}

// serve reads the request, lets do handle it and writes the answer. A nil message is a 204.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, do func(context.Context, encoding, []byte) (message, error)) {
	e, ok := requestEncoding(r)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeStatus(w, e, http.StatusMethodNotAllowed, fault.Errorf(fault.NotYet, "method %s is not allowed here: use POST", r.Method))
		return
	}
	if !ok {
		writeError(w, e, fault.Errorf(fault.Unsupported, "unsupported Content-Type %q: use application/x-protobuf or application/json",
			clean(r.Header.Get("Content-Type"))))
		return
	}
	b, err := body.Read(r, h.limits)
	if err != nil {
		writeError(w, e, err)
		return
	}
	defer b.Release()
	m, err := do(r.Context(), e, b.Bytes())
	switch {
	case err != nil:
		writeError(w, e, err)
	case m == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		writeMessage(w, e, m)
	}
}

// requestEncoding reads the content type. A wrong one is answered in JSON, which people can read.
func requestEncoding(r *http.Request) (encoding, bool) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return jsonText, false
	}
	switch mediaType {
	case "application/x-protobuf", "application/protobuf":
		return protobuf, true
	case "application/json":
		return jsonText, true
	}
	return jsonText, false
}

func writeMessage(w http.ResponseWriter, e encoding, m message) {
	marshal := m.MarshalProto
	if e == jsonText {
		marshal = m.MarshalJSON
	}
	data, err := marshal()
	if err != nil {
		writeError(w, e, err)
		return
	}
	write(w, e, http.StatusOK, data)
}

func writeError(w http.ResponseWriter, e encoding, err error) {
	err = retryable(err)
	if wait := fault.RetryAfter(err); wait > 0 {
		// Whole seconds, rounded up: earlier is refused again.
		w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(float64(wait)/float64(time.Second))), 10))
	}
	writeStatus(w, e, fault.Status(err), err)
}

// writeStatus writes err as a google.rpc.Status.
func writeStatus(w http.ResponseWriter, e encoding, code int, err error) {
	s := fault.GRPCStatus(err).Proto()
	var data []byte
	if e == jsonText {
		data, err = json.Marshal(struct {
			Code    int32  `json:"code"`
			Message string `json:"message"`
		}{s.GetCode(), s.GetMessage()})
	} else {
		data, err = proto.Marshal(s)
	}
	if err != nil {
		w.WriteHeader(code) // proto refuses text that is not UTF-8: the code says what matters
		return
	}
	write(w, e, code, data)
}

func write(w http.ResponseWriter, e encoding, code int, data []byte) {
	w.Header().Set("Content-Type", e.contentType())
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(code)
	_, _ = w.Write(data) // the client is gone if this fails
}

func metricsResponse(o outcome) message {
	m := pmetricotlp.NewExportResponse()
	if o.rejected > 0 {
		m.PartialSuccess().SetRejectedDataPoints(int64(o.rejected))
		m.PartialSuccess().SetErrorMessage(o.message)
	}
	return m
}

func logsResponse(o outcome) message {
	m := plogotlp.NewExportResponse()
	if o.rejected > 0 {
		m.PartialSuccess().SetRejectedLogRecords(int64(o.rejected))
		m.PartialSuccess().SetErrorMessage(o.message)
	}
	return m
}

func tracesResponse(o outcome) message {
	m := ptraceotlp.NewExportResponse()
	if o.rejected > 0 {
		m.PartialSuccess().SetRejectedSpans(int64(o.rejected))
		m.PartialSuccess().SetErrorMessage(o.message)
	}
	return m
}
