// Package traces is the traces signal: spans grouped by trace, the in-memory head, the columnar
// block and what both answer. TraceQL is in traces/traceql, on top of it.
package traces

import (
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"strings"
)

// ID is a trace ID, most significant byte first.
type ID [16]byte

// SpanID is a span ID; all zero means none.
type SpanID [8]byte

// String returns all 32 hexadecimal digits in lower case.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the ID is all zero, which OTLP calls invalid.
func (id ID) IsZero() bool { return id == ID{} }

// String returns all 16 hexadecimal digits in lower case.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads 1 to 32 hexadecimal digits; short forms are padded with zeros on the left.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) > 32 {
		return id, fmt.Errorf("trace IDs can't be larger than 128 bits")
	}
	if s == "" {
		return id, fmt.Errorf("trace ID is empty")
	}
	if _, err := hex.Decode(id[:], []byte(strings.Repeat("0", 32-len(s))+s)); err != nil {
		return id, fmt.Errorf("trace IDs can only contain hex characters: invalid character in %q", s)
	}
	return id, nil
}

// Batch is one write of one tenant: an OTLP TracesData message in protobuf, checked by the
// distributor (IDs have their lengths, limits hold). The receiver keeps nothing of it after the
// call returns. The bytes are what the write-ahead log keeps, so that nothing is encoded twice.
type Batch struct {
	OTLP  []byte
	Spans int
}

// PushResult says what of a batch was stored.
type PushResult struct {
	Spans    int
	Rejected []Rejection
}

// Rejection is a group of spans refused for one reason. Reason is a short machine word
// (invalid_trace_id, trace_too_large, rate_limited, …); Message is for the sender.
type Rejection struct {
	Reason  string
	Message string
	Count   int
}

// Kind is the OTLP span kind.
type Kind uint8

// The kinds, numbered as in OTLP.
const (
	KindUnspecified Kind = iota
	KindInternal
	KindServer
	KindClient
	KindProducer
	KindConsumer
)

// Status is the OTLP status code: unset, ok or error, numbered as in OTLP.
type Status uint8

// The status codes.
const (
	StatusUnset Status = iota
	StatusOK
	StatusError
)

// ValueType is the type of an attribute value.
type ValueType uint8

// The types. Opaque is what TraceQL can't search but trace answers must return unchanged: nested,
// mixed or empty arrays, key/value lists, bytes and values that are not set.
const (
	TypeString ValueType = iota
	TypeInt
	TypeFloat
	TypeBool
	TypeStringArray
	TypeIntArray
	TypeFloatArray
	TypeBoolArray
	TypeOpaque
)

// Attribute is one key with its value. Which fields hold the value depends on Type: Str; Int (also
// bool, as 0 and 1); Float; Array (its elements, all of the element type); Raw (Opaque: the OTLP
// AnyValue message in protobuf).
type Attribute struct {
	Key   string
	Type  ValueType
	Str   string
	Int   int64
	Float float64
	Array []Attribute // elements, without keys
	Raw   []byte
}

// Resource is what a span's resource says. Spans of one resource share the pointer.
type Resource struct {
	Attributes             []Attribute
	DroppedAttributesCount uint32
	SchemaURL              string
	ServiceName            string // of service.name, empty if absent or not a string
}

// Scope is the instrumentation scope. Spans of one scope share the pointer.
type Scope struct {
	Name, Version          string
	Attributes             []Attribute
	DroppedAttributesCount uint32
	SchemaURL              string
}

// Event is a timed event of a span. Time is Unix nanoseconds.
type Event struct {
	Time                   uint64
	Name                   string
	Attributes             []Attribute
	DroppedAttributesCount uint32
}

// Link points to another span.
type Link struct {
	TraceID                ID
	SpanID                 SpanID
	TraceState             string
	Attributes             []Attribute
	DroppedAttributesCount uint32
	Flags                  uint32
}

// Span is one span. Times are Unix nanoseconds, as sent (End may be before Start).
//
// Order is the span's place in the order of arrival within its trace: siblings and roots are
// numbered by it in TraceQL's nested sets, and the last root that arrived names the trace. Where it
// is equal (zero if a source doesn't know), the order of start decides.
type Span struct {
	Order                                          uint32
	ID, ParentID                                   SpanID
	Name                                           string
	Kind                                           Kind
	Status                                         Status
	StatusMessage                                  string
	TraceState                                     string
	Flags                                          uint32
	Start, End                                     uint64
	Attributes                                     []Attribute
	Events                                         []Event
	Links                                          []Link
	DroppedAttributes, DroppedEvents, DroppedLinks uint32
	Resource                                       *Resource
	Scope                                          *Scope
}

// Trace is the spans of one trace that a source has, without duplicates (equal ID, kind, start and
// end), in order of start.
type Trace struct {
	ID    ID
	Spans []*Span
	// Extract is set where Spans are not all of the trace's: only a question whose GroupFilter says which spans
	// match gets such traces.
	Extract *Extract
}

// Select asks a source for traces that overlap [Start, End] in nanoseconds (both zero: any time).
// Conditions are permission to leave out traces that can't match: without any, all are wanted.
// A yielded trace always has all spans that the source holds of it.
type Select struct {
	Start, End uint64
	// Whole, where set, is the range of the query of which this is a piece: pieces of traces are looked for around all of it.
	Whole         *Range
	Conditions    []Condition
	AllConditions bool // a trace needs to meet every condition (somewhere), else any

	// Also are traces to yield if they are there, whatever their time and conditions, sorted. It is
	// how a reader of several sources gets all pieces of a trace that is spread over them.
	Also []ID

	// Except are traces that are not to be yielded, whatever else is said of them.
	Except *IDSet

	// Needs says what of the traces is looked at, nil: everything. A source may give more.
	Needs *Needs

	// Groups, where set, decides about traces that stand in columns, instead of the conditions: a source may
	// ask it about a row group, and answer with those of its traces that it returns. What isn't in columns
	// is answered by the conditions, and the traces of Also in any case.
	Groups GroupFilter
	// Fold says that Groups counts what it sees: it must be asked about a row group once.
	Fold bool
	// Alone says that Groups, and who gets the traces, look at each span alone. A source that has a trace in pieces
	// may answer them like traces, as long as no span is in two of them.
	Alone bool
}

// GroupFilter answers for whole row groups. It is called by one goroutine at a time.
type GroupFilter interface {
	// Group returns the traces of the row group that are to be answered. It is called once for each row group
	// that overlaps the range, and may keep nothing of g. What it says about the traces that are Apart doesn't
	// matter: they have pieces elsewhere and are answered whole.
	Group(ctx context.Context, g *RowGroup) (Chosen, error)
}

// Condition is a simple test on one attribute or intrinsic of some span of a trace, as plain data:
// a source that knows no span can pass it may skip the trace.
type Condition struct {
	Scope   string // "span", "resource", "event", "link", "instrumentation", "" (any), "intrinsic"
	Key     string // attribute key or the name of the intrinsic: name, status, kind, duration
	Op      string // = != > >= < <= =~ !~ or "exists"
	Operand Attribute
}

// TagScope selects attributes by where they stand: resource, span, event, link, instrumentation, intrinsic, or
// "" for all.
type TagScope string

// Source answers for the traces of one place. Safe for concurrent use.
//
// SelectTraces yields newest first by the start of the earliest span in the source; the first
// error ends the sequence; a trace may be kept by the caller.
type Source interface {
	TraceByID(ctx context.Context, tenant string, id ID, start, end uint64) (*Trace, error) // nil when absent
	SelectTraces(ctx context.Context, tenant string, s Select) iter.Seq2[*Trace, error]
	// Tags returns the attribute keys seen in the range, by scope (never "" or intrinsic).
	Tags(ctx context.Context, tenant string, scope TagScope, start, end uint64) (map[TagScope][]string, error)
	// TagValues returns distinct values of an attribute ("" scope: of all scopes) or intrinsic, at most limit (0: all).
	TagValues(ctx context.Context, tenant string, scope TagScope, key string, start, end uint64, limit int) ([]Attribute, error)
}

// QueryKind says which question a Query asks.
type QueryKind string

// The kinds of traces queries.
const (
	ByID           QueryKind = "trace_by_id"
	Search         QueryKind = "search"
	Tags           QueryKind = "tags"
	TagValues      QueryKind = "tag_values"
	MetricsRange   QueryKind = "metrics_range"
	MetricsInstant QueryKind = "metrics_instant"
	// SearchIDs finds what Search does, at most Limit traces, and answers their IDs alone. More are an error.
	SearchIDs QueryKind = "search_ids"
)

// Range is a range of time in nanoseconds, both ends in it. Both zero is any time, a zero End alone is open.
type Range struct{ Start, End uint64 }

// Query is one traces question as plain data, small enough to be a job. Times are nanoseconds.
type Query struct {
	Kind            QueryKind
	ID              ID
	Expr            string // TraceQL
	Start, End      uint64
	Step            uint64
	Limit           int
	SpansPerSpanSet int
	Scope           TagScope
	Tag             string // TagValues: as written in the request, v2: TraceQL attribute, v1: bare key
	TagV1           bool
	Exemplars       int
	Explain         bool // of a search or metrics query: answer with the Plan alone
	// Whole, where set, is the range of the query that this one is a piece of. Traces are put together and judged as
	// that query does it. A search finds those that start in [Start, End], and the oldest piece, whose Start is that
	// of the whole, also those that began before.
	Whole *Range
	// CutAbove, where it isn't 0, allows to answer with the Estimate alone, if the query may look at more spans.
	CutAbove int64
}

// Result is the answer to a Query; which fields are set depends on its kind.
type Result struct {
	Trace     *Trace // ByID; nil when absent
	Found     []FoundTrace
	Tags      map[TagScope][]string
	Values    []Attribute
	Series    []SampleSeries
	IDs       []ID // SearchIDs, in no particular order
	Plan      *Plan
	Estimate  *Estimate // where Query.CutAbove asked for it and the rest is not answered
	Inspected Inspected
}

// FoundTrace is one trace of a search answer.
type FoundTrace struct {
	ID              ID
	RootServiceName string
	RootTraceName   string
	Start           uint64 // of the earliest span
	Duration        uint64 // to the latest end
	SpanSets        []SpanSet
	Services        []ServiceStats // by name
}

// ServiceStats counts the spans of one service in a trace.
type ServiceStats struct {
	Service       string
	Spans, Errors uint32
}

// SpanSet is the spans that matched together. Matched counts all, Spans holds the first few.
type SpanSet struct {
	Spans      []FoundSpan
	Matched    uint32
	Attributes []Attribute
}

// FoundSpan is one span of a span set with the attributes that the query named.
type FoundSpan struct {
	ID         SpanID
	Name       string // set only if the query selected it
	Start      uint64
	Duration   uint64
	Attributes []Attribute
}

// SampleSeries is one series of a TraceQL metrics answer.
type SampleSeries struct {
	Labels    []Attribute
	Samples   []Sample
	Exemplars []Exemplar // at most Query.Exemplars in all series together
}

// Exemplar is one span that stands for others of its series: T in Unix milliseconds, V its value
// (seconds for durations), Labels at least "trace:id".
type Exemplar struct {
	Labels []Attribute
	T      int64
	V      float64
}

// Sample is a point: T in Unix milliseconds. Missing marks a step without a value.
type Sample struct {
	T       int64
	V       float64
	Missing bool
}

// Inspected says what a query cost.
type Inspected struct {
	Traces, Spans int64
	Blocks        int64
	Bytes         int64
	RangeReads    int64
	// Jobs were done of the TotalJobs that the query was cut into; both are 0 where it wasn't cut.
	Jobs, TotalJobs int64
}

// Add adds what another query or job cost. The numbers of jobs stay as they are.
func (i *Inspected) Add(o *Inspected) {
	i.Traces += o.Traces
	i.Spans += o.Spans
	i.Blocks += o.Blocks
	i.Bytes += o.Bytes
	i.RangeReads += o.RangeReads
}

// JobCounts returns how many jobs were done of how many: one of one where a query wasn't cut.
func (i *Inspected) JobCounts() (done, total int64) {
	if i.TotalJobs == 0 {
		return 1, 1
	}
	return i.Jobs, i.TotalJobs
}
