package related

import "time"

// Answer is what is related. Lists are never null; times are RFC 3339 in UTC with nanoseconds.
type Answer struct {
	Trace     *TraceSummary `json:"trace"` // null where the trace is not stored, or logs were asked about
	Resources []Resource    `json:"resources"`
	Spans     []Span        `json:"spans"` // the first of them, in order of start
	Logs      Logs          `json:"logs"`
	Traces    Traces        `json:"traces"`
}

// TraceSummary is the trace that was asked about.
type TraceSummary struct {
	TraceID         string    `json:"traceID"`
	RootServiceName string    `json:"rootServiceName"`
	RootTraceName   string    `json:"rootTraceName"`
	Start           time.Time `json:"start"`
	End             time.Time `json:"end"`
	Spans           int       `json:"spans"`
	Errors          int       `json:"errors"`
}

// Query is a query that is ready to run, with its range. Expr is empty where the resource has nothing that the
// other signal knows it by.
type Query struct {
	Expr  string    `json:"expr"`
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Metric is a query of a metric of a resource: series, requests, errors, latency, inbound, outbound.
type Metric struct {
	Name string `json:"name"`
	Query
}

// Resource is who took part, with what it is known by.
type Resource struct {
	ServiceName string            `json:"serviceName"`
	Attributes  map[string]string `json:"attributes"`
	Spans       int               `json:"spans"`
	Logs        Query             `json:"logs"`   // LogQL
	Traces      Query             `json:"traces"` // TraceQL
	Metrics     []Metric          `json:"metrics"`
}

// Span is a span with the query of what its resource logged meanwhile.
type Span struct {
	SpanID      string    `json:"spanID"`
	Name        string    `json:"name"`
	ServiceName string    `json:"serviceName"`
	Start       time.Time `json:"start"`
	End         time.Time `json:"end"`
	Logs        Query     `json:"logs"`
}

// Logs are lines that name the trace, oldest first, as Loki answers them: values are [nanoseconds, line].
type Logs struct {
	Query
	Streams   []Stream `json:"streams"`
	Truncated bool     `json:"truncated"` // there may be more than limit
}

// Stream is lines of one stream.
type Stream struct {
	Stream map[string]string `json:"stream"`
	Values [][2]string       `json:"values"`
}

// Traces are traces in which the resource took part about that time, newest first.
type Traces struct {
	Query
	Found     []Found `json:"found"`
	Truncated bool    `json:"truncated"`
}

// Found is one of them.
type Found struct {
	TraceID         string    `json:"traceID"`
	RootServiceName string    `json:"rootServiceName"`
	RootTraceName   string    `json:"rootTraceName"`
	Start           time.Time `json:"start"`
	DurationMs      int64     `json:"durationMs"`
}

func newAnswer() *Answer {
	return &Answer{Resources: []Resource{}, Spans: []Span{}, Logs: Logs{Streams: []Stream{}}, Traces: Traces{Found: []Found{}}}
}
