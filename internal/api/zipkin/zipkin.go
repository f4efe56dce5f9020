// Package zipkin receives spans in Zipkin's formats, version 2 in JSON and protobuf at POST
// /api/v2/spans and version 1 in JSON and Thrift at POST /api/v1/spans, and answers Zipkin's query
// API over Hune's traces.
//
// Spans become OTLP by the collector's own translation, so that a span reads the same whether it
// came through a collector's Zipkin receiver or directly. Zipkin has no partial answer: 202 means
// that what could be read is stored, and the body of the answer names what could not.
package zipkin

import (
	"context"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// Pusher stores spans. The tenant is in ctx. Nothing of the batch is kept after the call returns.
type Pusher interface {
	PushTraces(ctx context.Context, b *traces.Batch) (traces.PushResult, error)
}

// Options are what a Handler needs.
type Options struct {
	Pusher Pusher
	Limits body.Limits // of bodies; zero means the defaults of package body
}

// Handler serves Zipkin's ingest API. Safe for concurrent use.
type Handler struct {
	pusher Pusher
	limits body.Limits
}

// New returns a Handler.
func New(o Options) *Handler { return &Handler{pusher: o.Pusher, limits: o.Limits} }

// Register adds the paths that take spans.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/v2/spans", h.serve(h.receive))
	mux.HandleFunc("POST /api/v1/spans", h.serve(h.receiveV1))
}

// serve answers for what takes a list of spans.
func (h *Handler) serve(receive func(*http.Request) (note string, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		note, err := receive(r)
		answer(w, note, err)
	}
}

func answer(w http.ResponseWriter, note string, err error) {
	if err != nil {
		if after := fault.RetryAfter(err); after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
		}
		http.Error(w, err.Error(), fault.Status(err))
		return
	}
	if note != "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(http.StatusAccepted)
	_, _ = fmt.Fprint(w, note) // the client has gone away: nobody is left to tell
}

// receive stores the spans of a request. The note says what of it was refused.
func (h *Handler) receive(r *http.Request) (note string, err error) {
	decode, err := decoderOf(r)
	if err != nil {
		return "", err
	}
	data, err := body.Read(r, h.limits)
	if err != nil {
		return "", err
	}
	defer data.Release()
	spans, bad, err := decode(data.Bytes())
	if err != nil {
		return "", err
	}
	otlp, sent, bad, err := translate(spans, bad)
	if err != nil {
		return "", err
	}
	return h.push(r.Context(), otlp, sent, bad)
}

// push stores spans in OTLP. The note names bad and what was rejected.
func (h *Handler) push(ctx context.Context, otlp []byte, sent int, bad []error) (note string, err error) {
	var result traces.PushResult
	if sent > 0 {
		if result, err = h.pusher.PushTraces(ctx, &traces.Batch{OTLP: otlp, Spans: sent}); err != nil {
			return "", err
		}
	}
	for _, rejected := range result.Rejected {
		bad = append(bad, fmt.Errorf("%d spans: %s", rejected.Count, rejected.Message))
	}
	note = summary(bad)
	if note != "" && result.Spans == 0 {
		return "", fault.Invalidf("%s", note)
	}
	return note, nil
}

// maxNamed is how many faults of a request are spelled out.
const maxNamed = 5

func summary(bad []error) string {
	if len(bad) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("some spans were not stored: ")
	for i, err := range bad {
		if i == maxNamed {
			fmt.Fprintf(&b, "; and %d more", len(bad)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(err.Error())
	}
	return b.String()
}

// decoderOf chooses by content type. JSON is the default: many reporters don't name it.
func decoderOf(r *http.Request) (func([]byte) (spanList, []error, error), error) {
	text := r.Header.Get("Content-Type")
	if text == "" {
		return decodeJSON, nil
	}
	media, _, err := mime.ParseMediaType(text)
	if err != nil {
		return nil, fault.Errorf(fault.Unsupported, "unsupported Content-Type %q: use application/json or application/x-protobuf", text)
	}
	switch media {
	case "application/json", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded":
		return decodeJSON, nil // what reporters and curl send with JSON
	case "application/x-protobuf", "application/protobuf":
		debug := r.Header.Get("X-B3-Flags") == "1"
		return func(data []byte) (spanList, []error, error) { return decodeProto(data, debug) }, nil
	}
	return nil, fault.Errorf(fault.Unsupported, "unsupported Content-Type %q: use application/json or application/x-protobuf", text)
}
