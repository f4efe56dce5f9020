package zipkin

import (
	"sort"
	"strings"

	"github.com/hune-io/hune/internal/api/tracequery"
	"github.com/hune-io/hune/internal/traces"
)

// span is a span of Zipkin's version 2 in JSON. Times are Unix microseconds.
type span struct {
	TraceID        string            `json:"traceId"`
	ParentID       string            `json:"parentId,omitempty"`
	ID             string            `json:"id"`
	Kind           string            `json:"kind,omitempty"`
	Name           string            `json:"name,omitempty"`
	Timestamp      uint64            `json:"timestamp,omitempty"`
	Duration       uint64            `json:"duration,omitempty"`
	LocalEndpoint  *endpoint         `json:"localEndpoint,omitempty"`
	RemoteEndpoint *endpoint         `json:"remoteEndpoint,omitempty"`
	Annotations    []annotation      `json:"annotations,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
}

type endpoint struct {
	ServiceName string `json:"serviceName"`
}

type annotation struct {
	Timestamp uint64 `json:"timestamp"`
	Value     string `json:"value"`
}

// idText is a trace ID as Zipkin writes it: 16 digits if the upper half is zero, else 32.
func idText(id traces.ID) string {
	s := id.String()
	if s[:16] == "0000000000000000" {
		return s[16:]
	}
	return s
}

var kinds = [...]string{traces.KindServer: "SERVER", traces.KindClient: "CLIENT", traces.KindProducer: "PRODUCER", traces.KindConsumer: "CONSUMER"}

// spansOf tells a trace, in order of start.
func spansOf(t *traces.Trace) []span {
	list := append([]*traces.Span(nil), t.Spans...)
	sort.SliceStable(list, func(i, j int) bool { return list[i].Start < list[j].Start })
	out := make([]span, len(list))
	for i, s := range list {
		out[i] = spanOf(t.ID, s)
	}
	return out
}

func spanOf(id traces.ID, s *traces.Span) span {
	out := span{TraceID: idText(id), ID: s.ID.String(), Name: s.Name, Timestamp: s.Start / 1000, Tags: tagsOf(s)}
	if s.ParentID != (traces.SpanID{}) {
		out.ParentID = s.ParentID.String()
	}
	if int(s.Kind) < len(kinds) {
		out.Kind = kinds[s.Kind]
	}
	if s.End > s.Start {
		out.Duration = max((s.End-s.Start)/1000, 1) // zero means unknown
	}
	if s.Resource != nil && s.Resource.ServiceName != "" {
		out.LocalEndpoint = &endpoint{s.Resource.ServiceName}
	}
	for _, key := range peerKeys {
		if peer := out.Tags[key]; peer != "" {
			out.RemoteEndpoint = &endpoint{peer}
			delete(out.Tags, key)
		}
	}
	for i := range s.Events {
		out.Annotations = append(out.Annotations, annotation{s.Events[i].Time / 1000, eventText(&s.Events[i])})
	}
	return out
}

// eventText is an event as one text: its name, and its attributes as in a log line.
func eventText(e *traces.Event) string {
	var b strings.Builder
	b.WriteString(e.Name)
	for i := range e.Attributes {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(e.Attributes[i].Key + "=" + tracequery.Text(&e.Attributes[i]))
	}
	return b.String()
}

// tagsOf are the attributes of the span and of its resource as texts, the span's first, and what
// OTLP has fields for.
func tagsOf(s *traces.Span) map[string]string {
	tags := map[string]string{}
	add := func(attrs []traces.Attribute) {
		for i := range attrs {
			if _, there := tags[attrs[i].Key]; !there && attrs[i].Type != traces.TypeOpaque {
				tags[attrs[i].Key] = tracequery.Text(&attrs[i])
			}
		}
	}
	add(s.Attributes)
	if s.Resource != nil {
		add(s.Resource.Attributes)
		delete(tags, "service.name")
	}
	if s.Scope != nil && s.Scope.Name != "" {
		tags["otel.scope.name"] = s.Scope.Name
		if s.Scope.Version != "" {
			tags["otel.scope.version"] = s.Scope.Version
		}
	}
	switch s.Status {
	case traces.StatusOK:
		tags["otel.status_code"] = "OK"
	case traces.StatusError:
		tags["otel.status_code"] = "ERROR"
		if tags["error"] == "" {
			tags["error"] = s.StatusMessage
		}
		if tags["error"] == "" {
			tags["error"] = "true"
		}
	}
	return tags
}
