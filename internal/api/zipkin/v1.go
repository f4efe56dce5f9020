package zipkin

import (
	"errors"
	"fmt"
	"mime"
	"net/http"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/zipkin/zipkinv1"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
)

// receiveV1 stores the spans of version 1. Halves of a span, as client and server sent them, are
// spans of their own that share an ID.
func (h *Handler) receiveV1(r *http.Request) (note string, err error) {
	text := r.Header.Get("Content-Type")
	media := "application/json"
	if text != "" {
		if media, _, err = mime.ParseMediaType(text); err != nil {
			media = ""
		}
	}
	data, err := body.Read(r, h.limits)
	if err != nil {
		return "", err
	}
	defer data.Release()
	var td ptrace.Traces
	switch media {
	case "application/json", "text/plain":
		td, err = unmarshalV1(zipkinv1.NewJSONTracesUnmarshaler(false), data.Bytes())
	case "application/x-thrift", "application/vnd.apache.thrift.binary":
		if err = body.CheckThrift(r.Context(), data.Bytes(), thrift.LIST); err == nil {
			td, err = unmarshalV1(zipkinv1.NewThriftTracesUnmarshaler(), data.Bytes())
		}
	default:
		return "", fault.Errorf(fault.Unsupported, "unsupported Content-Type %q: use application/json or application/x-thrift", text)
	}
	if err != nil {
		return "", fault.Invalidf("malformed Zipkin spans of version 1: %w", err)
	}
	if td.SpanCount() == 0 {
		return "", nil
	}
	otlp, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	if err != nil {
		return "", fmt.Errorf("encode translated Zipkin spans: %w", err)
	}
	return h.push(r.Context(), otlp, td.SpanCount(), nil)
}

// unmarshalV1 is the collector's translation. It was written for its own receiver's input: a panic
// is an error of the spans.
func unmarshalV1(u ptrace.Unmarshaler, data []byte) (td ptrace.Traces, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("unexpected structure")
		}
	}()
	return u.UnmarshalTraces(data)
}
