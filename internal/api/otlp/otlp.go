// Package otlp is the OTLP receiver of the main port: HTTP (protobuf and JSON) and gRPC for all
// three signals, as the OTLP specification 1.x describes them.
//
// A success means that the data is in the write-ahead log, synced. Records that were refused are
// told in partial_success when others were stored, and are a 400 (InvalidArgument) when nothing
// was. Errors are google.rpc.Status messages in the encoding of the request. What may succeed later
// is answered 429 or 503 with Retry-After, or ResourceExhausted and Unavailable with RetryInfo.
//
// A request that can't be decoded safely (nested too deep, too many records for its bytes) is
// refused before it is decoded.
package otlp

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/traces"
)

// Pusher stores what was received. The tenant is in ctx. Nothing of the arguments is kept after the
// call returns.
type Pusher interface {
	PushOTLPMetrics(ctx context.Context, md pmetric.Metrics) (metrics.PushResult, error)
	PushOTLPLogs(ctx context.Context, ld plog.Logs) (logs.PushResult, error)
	// PushTraces takes the protobuf of a request as it came, unchecked.
	PushTraces(ctx context.Context, b *traces.Batch) (traces.PushResult, error)
}

// Options are what a Handler needs.
type Options struct {
	Pusher Pusher
	Limits body.Limits // of HTTP bodies; zero means the defaults of package body
}

// Handler serves OTLP. Safe for concurrent use.
type Handler struct {
	pusher Pusher
	limits body.Limits
}

// New returns a Handler.
func New(o Options) *Handler { return &Handler{pusher: o.Pusher, limits: o.Limits} }

// Routes returns the handlers by path. They answer methods other than POST themselves.
func (h *Handler) Routes() map[string]http.Handler {
	metrics, logs, traces := http.HandlerFunc(h.ServeMetrics), http.HandlerFunc(h.ServeLogs), http.HandlerFunc(h.ServeTraces)
	return map[string]http.Handler{
		"/v1/metrics":             metrics,
		"/v1/logs":                logs,
		"/v1/traces":              traces,
		"/otlp/v1/metrics":        metrics, // Mimir
		"/otlp/v1/traces":         traces,
		"/otlp/v1/logs":           http.HandlerFunc(h.ServeLokiLogs),
		"/api/v1/otlp/v1/metrics": metrics, // Prometheus
	}
}

// outcome is what a push did, whatever the signal.
type outcome struct {
	accepted, rejected int
	message            string
}

// maxMessages bounds how many reasons one answer lists.
const maxMessages = 10

func (o *outcome) reject(count int, message string, n int) {
	o.rejected += count
	switch {
	case n == 0:
		o.message = message
	case n < maxMessages:
		o.message += "; " + message
	}
}

// err is the error of a request of which nothing was stored because it was all wrong, or nil.
func (o *outcome) err() error {
	if o.accepted == 0 && o.rejected > 0 {
		return fault.Errorf(fault.Invalid, "all %d records were rejected: %s", o.rejected, o.message)
	}
	return nil
}

func (h *Handler) pushMetrics(ctx context.Context, md pmetric.Metrics) (outcome, error) {
	var o outcome
	points := md.DataPointCount()
	if points == 0 {
		return o, nil
	}
	r, err := h.pusher.PushOTLPMetrics(ctx, md)
	if err != nil {
		return o, err
	}
	o.accepted = r.Samples + r.Histograms
	for i, x := range r.Rejected {
		o.reject(x.Count, x.Message, i)
	}
	// One data point of a histogram is many samples: the protocol counts points.
	o.rejected = min(o.rejected, points)
	return o, o.err()
}

func (h *Handler) pushLogs(ctx context.Context, ld plog.Logs) (outcome, error) {
	var o outcome
	if ld.LogRecordCount() == 0 {
		return o, nil
	}
	r, err := h.pusher.PushOTLPLogs(ctx, ld)
	if err != nil {
		return o, err
	}
	o.accepted = r.Entries
	for i, x := range r.Rejected {
		o.reject(x.Count, x.Message, i)
	}
	return o, o.err()
}

func (h *Handler) pushTraces(ctx context.Context, request []byte) (outcome, error) {
	var o outcome
	if len(request) == 0 {
		return o, nil
	}
	r, err := h.pusher.PushTraces(ctx, &traces.Batch{OTLP: request})
	if err != nil {
		return o, err
	}
	o.accepted = r.Spans
	for i, x := range r.Rejected {
		o.reject(x.Count, x.Message, i)
	}
	return o, o.err()
}

// retryable makes errors of ours and unclassed ones Unavailable. OTLP clients drop the data on a 500 or
// an INTERNAL, but nothing was wrong with it.
func retryable(err error) error {
	if fault.ClassOf(err) == fault.Internal {
		return &fault.Error{Class: fault.Unavailable, Reason: "internal", Err: err}
	}
	return err
}

func malformed(what string, err error) error {
	return fault.Invalidf("malformed OTLP %s: %s", what, clean(err.Error()))
}

// clean makes decoder errors fit for an answer: they may quote the input, which may be anything.
func clean(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(fmt.Sprint(s), "\uFFFD")
}
