package jaeger

import (
	"encoding/hex"
	"sort"
	"strconv"

	"github.com/hune-io/hune/internal/api/tracequery"
	"github.com/hune-io/hune/internal/traces"
)

// The shapes of version 2. Times are Unix microseconds.

type jsonTrace struct {
	TraceID   string                 `json:"traceID"`
	Spans     []jsonSpan             `json:"spans"`
	Processes map[string]jsonProcess `json:"processes"`
	Warnings  []string               `json:"warnings"`
}

type jsonSpan struct {
	TraceID       string          `json:"traceID"`
	SpanID        string          `json:"spanID"`
	Flags         uint32          `json:"flags,omitempty"`
	OperationName string          `json:"operationName"`
	References    []jsonReference `json:"references"`
	StartTime     uint64          `json:"startTime"`
	Duration      uint64          `json:"duration"`
	Tags          []jsonTag       `json:"tags"`
	Logs          []jsonLog       `json:"logs"`
	ProcessID     string          `json:"processID"`
	Warnings      []string        `json:"warnings"`
}

type jsonReference struct {
	RefType string `json:"refType"`
	TraceID string `json:"traceID"`
	SpanID  string `json:"spanID"`
}

type jsonTag struct {
	Key   string `json:"key"`
	Type  string `json:"type"`
	Value any    `json:"value"`
}

type jsonLog struct {
	Timestamp uint64    `json:"timestamp"`
	Fields    []jsonTag `json:"fields"`
}

type jsonProcess struct {
	ServiceName string    `json:"serviceName"`
	Tags        []jsonTag `json:"tags"`
}

// idText is a trace ID as Jaeger writes it: 16 digits if the upper half is zero, else 32.
func idText(id traces.ID) string {
	s := id.String()
	if s[:16] == "0000000000000000" {
		return s[16:]
	}
	return s
}

// traceJSON tells a trace. Spans of one resource share a process.
func traceJSON(t *traces.Trace) jsonTrace {
	out := jsonTrace{TraceID: idText(t.ID), Spans: make([]jsonSpan, 0, len(t.Spans)), Processes: map[string]jsonProcess{}}
	spans := append([]*traces.Span(nil), t.Spans...)
	sort.SliceStable(spans, func(i, j int) bool { return spans[i].Start < spans[j].Start })
	names := map[*traces.Resource]string{}
	for _, s := range spans {
		p, ok := names[s.Resource]
		if !ok {
			p = "p" + strconv.Itoa(len(names)+1)
			names[s.Resource] = p
			out.Processes[p] = processJSON(s.Resource)
		}
		out.Spans = append(out.Spans, spanJSON(t.ID, s, p))
	}
	return out
}

func processJSON(r *traces.Resource) jsonProcess {
	p := jsonProcess{Tags: []jsonTag{}}
	if r == nil {
		return p
	}
	p.ServiceName = r.ServiceName
	for i := range r.Attributes {
		if r.Attributes[i].Key != "service.name" {
			p.Tags = append(p.Tags, tagJSON(&r.Attributes[i]))
		}
	}
	return p
}

func spanJSON(id traces.ID, s *traces.Span, process string) jsonSpan {
	out := jsonSpan{
		TraceID: idText(id), SpanID: s.ID.String(), Flags: s.Flags & 0xff, OperationName: s.Name, StartTime: s.Start / 1000,
		ProcessID: process, References: []jsonReference{}, Logs: []jsonLog{}, Tags: tagsJSON(s.Attributes),
	}
	if s.End > s.Start {
		out.Duration = (s.End - s.Start) / 1000
	}
	if s.ParentID != (traces.SpanID{}) {
		out.References = append(out.References, jsonReference{"CHILD_OF", idText(id), s.ParentID.String()})
	}
	for _, l := range s.Links {
		out.References = append(out.References, jsonReference{"FOLLOWS_FROM", idText(l.TraceID), l.SpanID.String()})
	}
	for i := range s.Events {
		e := &s.Events[i]
		fields := tagsJSON(e.Attributes)
		if e.Name != "" {
			fields = append([]jsonTag{text("event", e.Name)}, fields...)
		}
		out.Logs = append(out.Logs, jsonLog{e.Time / 1000, fields})
	}
	out.Tags = append(out.Tags, fieldTags(s)...)
	return out
}

var kinds = [...]string{traces.KindInternal: "internal", traces.KindServer: "server", traces.KindClient: "client",
	traces.KindProducer: "producer", traces.KindConsumer: "consumer"}

// fieldTags are the tags for what OTLP has fields for and Jaeger has not.
func fieldTags(s *traces.Span) (out []jsonTag) {
	if s.Scope != nil && s.Scope.Name != "" {
		out = append(out, text("otel.scope.name", s.Scope.Name))
		if s.Scope.Version != "" {
			out = append(out, text("otel.scope.version", s.Scope.Version))
		}
	}
	if k := int(s.Kind); k > 0 && k < len(kinds) {
		out = append(out, text("span.kind", kinds[k]))
	}
	switch s.Status {
	case traces.StatusOK:
		out = append(out, text("otel.status_code", "OK"))
	case traces.StatusError:
		out = append(out, text("otel.status_code", "ERROR"), jsonTag{"error", "bool", true})
	}
	if s.StatusMessage != "" {
		out = append(out, text("otel.status_description", s.StatusMessage))
	}
	if s.TraceState != "" {
		out = append(out, text("w3c.tracestate", s.TraceState))
	}
	return out
}

func text(k, v string) jsonTag { return jsonTag{k, "string", v} }

func tagsJSON(attrs []traces.Attribute) []jsonTag {
	out := make([]jsonTag, 0, len(attrs)+4)
	for i := range attrs {
		out = append(out, tagJSON(&attrs[i]))
	}
	return out
}

// tagJSON tells an attribute. Jaeger has no lists: they are texts. Numbers that JSON has no form
// for are texts too.
func tagJSON(a *traces.Attribute) jsonTag {
	switch a.Type {
	case traces.TypeInt:
		return jsonTag{a.Key, "int64", a.Int}
	case traces.TypeFloat:
		if a.Float-a.Float == 0 {
			return jsonTag{a.Key, "float64", a.Float}
		}
	case traces.TypeBool:
		return jsonTag{a.Key, "bool", a.Int != 0}
	case traces.TypeOpaque:
		return jsonTag{a.Key, "binary", hex.EncodeToString(a.Raw)}
	}
	return text(a.Key, tracequery.Text(a))
}
