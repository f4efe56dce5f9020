package zipkin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/zipkin/zipkinv2"
	"github.com/openzipkin/zipkin-go/model"
	"github.com/openzipkin/zipkin-go/proto/zipkin_proto3"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hune-io/hune/internal/fault"
)

// spanList is decoded spans. Each is decoded alone, so that a bad one costs only itself.
type spanList []*model.SpanModel

// decodeJSON reads an array of spans. bad names the elements that aren't spans; the error is for a
// body that isn't an array.
func decodeJSON(data []byte) (spans spanList, bad []error, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		if err == nil {
			err = fmt.Errorf("want an array, got %v", t)
		}
		return nil, nil, invalidJSON(d, err)
	}
	for i := 0; d.More(); i++ {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, nil, invalidJSON(d, err)
		}
		span, err := decodeSpan(raw)
		if err != nil {
			bad = append(bad, fmt.Errorf("span %d: %w", i, err))
			continue
		}
		spans = append(spans, span)
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, invalidJSON(d, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, invalidJSON(d, errors.New("data after the array of spans"))
	}
	return spans, bad, nil
}

// decodeSpan reads one span. Zipkin's own decoder panics on some input, such as a null among the
// annotations: that is an error here.
func decodeSpan(raw []byte) (span *model.SpanModel, err error) {
	defer func() {
		if p := recover(); p != nil {
			span, err = nil, errors.New("not a Zipkin span")
		}
	}()
	span = new(model.SpanModel)
	if err := json.Unmarshal(raw, span); err != nil {
		return nil, err
	}
	return span, checkSpan(span)
}

func invalidJSON(d *json.Decoder, err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fault.Invalidf("malformed Zipkin JSON near byte %d: %w", d.InputOffset(), err)
}

func checkSpan(s *model.SpanModel) error {
	if s.TraceID.Empty() {
		return errors.New("traceId is missing or zero")
	}
	return nil
}

// decodeProto reads a ListOfSpans message of zipkin.proto3.
func decodeProto(data []byte, debug bool) (spans spanList, bad []error, err error) {
	for i, rest := 0, data; len(rest) > 0; {
		num, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			return nil, nil, fault.Invalidf("malformed Zipkin protobuf at byte %d: %w", len(data)-len(rest), protowire.ParseError(n))
		}
		f := rest[:n]
		rest = rest[n:]
		if num != 1 {
			continue
		}
		// The field alone is a list of one span.
		one, err := zipkin_proto3.ParseSpans(f, debug)
		if err == nil && len(one) == 1 {
			err = checkSpan(one[0])
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("span %d: %w", i, err))
		} else {
			spans = append(spans, one...)
		}
		i++
	}
	return spans, bad, nil
}

// translate makes an OTLP TracesData message of the spans and adds to bad those that can't be told
// in OTLP.
func translate(spans spanList, bad []error) (otlp []byte, sent int, _ []error, err error) {
	td, err := toTraces(spans)
	if err != nil {
		// The translation stops at the first fault: go one by one to keep the others.
		td = ptrace.NewTraces()
		for _, s := range spans {
			one, err := toTraces(spanList{s})
			if err != nil {
				bad = append(bad, fmt.Errorf("span %s: %w", s.ID, err))
				continue
			}
			one.ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
		}
	}
	if sent = td.SpanCount(); sent == 0 {
		return nil, 0, bad, nil
	}
	otlp, err = (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("encode translated Zipkin spans: %w", err)
	}
	return otlp, sent, bad, nil
}

// toTraces is the collector's translation. It was written for its own receiver's input: a panic is
// an error of the spans.
func toTraces(spans spanList) (td ptrace.Traces, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("can't be translated to OTLP")
		}
	}()
	return zipkinv2.ToTranslator{}.ToTraces(spans)
}
