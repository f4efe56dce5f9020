package traceql

import (
	"strings"

	"github.com/hune-io/hune/internal/traces"
)

// Query is a parsed query. Its String is TraceQL again and parses to an equal Query.
type Query struct {
	Pipeline Pipeline
	Metrics  *Metrics      // nil for a search
	Second   []SecondStage // after Metrics
	Hints    []Hint
}

// Pipeline is a list of stages, never empty.
type Pipeline []Stage

// Stage maps the span sets of a trace to other span sets.
type Stage interface {
	String() string
	stage()
}

// Filter keeps the spans for which Expr is true; a nil Expr keeps all: { }.
type Filter struct{ Expr Expr }

// SetOp combines two span set expressions: && || or a structural operator. Operands are Filter,
// SetOp or Wrapped.
type SetOp struct {
	Op   string
	L, R Stage
}

// Wrapped is a pipeline in parentheses used as an operand or a stage.
type Wrapped struct{ Pipeline Pipeline }

// GroupBy splits span sets by the value of an expression.
type GroupBy struct{ Expr Expr }

// Coalesce joins all span sets of a trace.
type Coalesce struct{}

// Select adds attributes to the answer.
type Select struct{ Attrs []Expr }

// ScalarFilter keeps span sets for which a comparison of aggregates is true.
type ScalarFilter struct {
	Op   string
	L, R Scalar
}

func (*Filter) stage()       {}
func (*SetOp) stage()        {}
func (*Wrapped) stage()      {}
func (*GroupBy) stage()      {}
func (*Coalesce) stage()     {}
func (*Select) stage()       {}
func (*ScalarFilter) stage() {}

// Scalar is a number of a span set.
type Scalar interface {
	String() string
	scalar()
}

// Aggregate is count() or min, max, avg, sum of an expression over the spans of a set.
type Aggregate struct {
	Fn  string
	Arg Expr // nil for count
}

// ScalarLiteral is a number in a scalar expression.
type ScalarLiteral struct{ Value Value }

// ScalarOp is arithmetic on scalars.
type ScalarOp struct {
	Op   string
	L, R Scalar
}

// ScalarPipeline is a pipeline in parentheses that ends in a scalar.
type ScalarPipeline struct {
	Pipeline Pipeline
	Scalar   Scalar
}

func (*Aggregate) scalar()      {}
func (*ScalarLiteral) scalar()  {}
func (*ScalarOp) scalar()       {}
func (*ScalarPipeline) scalar() {}

// Expr is an expression over one span.
type Expr interface {
	String() string
	expr()
}

// Binary is an operation on two expressions.
type Binary struct {
	Op   string
	L, R Expr
}

// Unary is "-" or "!".
type Unary struct {
	Op string
	X  Expr
}

// Literal is a constant.
type Literal struct{ Value Value }

// Attribute refers to a stored attribute (Name in Scope) or an intrinsic.
type Attribute struct {
	Intrinsic Intrinsic // IntrinsicNone for stored attributes
	Scope     Scope
	Name      string
	Parent    bool // of the span's parent, nil where the trace has none
}

func (*Binary) expr()    {}
func (*Unary) expr()     {}
func (*Literal) expr()   {}
func (*Attribute) expr() {}

// Metrics is the metrics function of a query.
type Metrics struct {
	Fn        string
	Attr      *Attribute // of *_over_time functions, nil for rate, count_over_time and compare
	Quantiles []float64
	By        []*Attribute
	// Compare only: the selection, the values to keep per attribute, and an optional time range of
	// the selection in Unix nanoseconds.
	Selection  *Filter
	Top        int
	Start, End int64
}

// SecondStage works on the series of a metrics query: topk and bottomk keep N series per step,
// a comparison keeps samples.
type SecondStage struct {
	Op    string // topk, bottomk, or a comparison operator
	N     int
	Value Value
}

// Hint is one setting in with(…).
type Hint struct {
	Name  string
	Value Value
}

// Scope says where a stored attribute stands.
type Scope uint8

// The scopes. ScopeNone is ".name": the span's attribute, else the resource's.
const (
	ScopeNone Scope = iota
	ScopeSpan
	ScopeResource
	ScopeEvent
	ScopeLink
	ScopeInstrumentation
)

var scopeNames = [...]string{"", "span", "resource", "event", "link", "instrumentation"}

// String returns the name of the scope as a query has it; ScopeNone has none.
func (s Scope) String() string { return scopeNames[s] }

func (s Scope) tagScope() traces.TagScope { return traces.TagScope(scopeNames[s]) }

// Intrinsic is a property that every span, trace, event or link has.
type Intrinsic uint8

// The intrinsics.
const (
	IntrinsicNone Intrinsic = iota
	IntrinsicName
	IntrinsicStatus
	IntrinsicStatusMessage
	IntrinsicKind
	IntrinsicDuration
	IntrinsicChildCount
	IntrinsicParent
	IntrinsicTraceDuration
	IntrinsicRootName
	IntrinsicRootService
	IntrinsicNestedSetLeft
	IntrinsicNestedSetRight
	IntrinsicNestedSetParent
	IntrinsicSpanID
	IntrinsicParentID
	IntrinsicTraceID
	IntrinsicEventName
	IntrinsicEventTimeSinceStart
	IntrinsicLinkTraceID
	IntrinsicLinkSpanID
	IntrinsicInstrumentationName
	IntrinsicInstrumentationVersion
)

// intrinsics has the name of each intrinsic as printed and its type.
var intrinsics = [...]struct {
	name string
	kind Kind
}{
	IntrinsicName:                   {"name", KindString},
	IntrinsicStatus:                 {"status", KindStatus},
	IntrinsicStatusMessage:          {"statusMessage", KindString},
	IntrinsicKind:                   {"kind", KindSpanKind},
	IntrinsicDuration:               {"duration", KindDuration},
	IntrinsicChildCount:             {"span:childCount", KindInt},
	IntrinsicParent:                 {"parent", KindString},
	IntrinsicTraceDuration:          {"traceDuration", KindDuration},
	IntrinsicRootName:               {"rootName", KindString},
	IntrinsicRootService:            {"rootServiceName", KindString},
	IntrinsicNestedSetLeft:          {"nestedSetLeft", KindInt},
	IntrinsicNestedSetRight:         {"nestedSetRight", KindInt},
	IntrinsicNestedSetParent:        {"nestedSetParent", KindInt},
	IntrinsicSpanID:                 {"span:id", KindString},
	IntrinsicParentID:               {"span:parentID", KindString},
	IntrinsicTraceID:                {"trace:id", KindString},
	IntrinsicEventName:              {"event:name", KindString},
	IntrinsicEventTimeSinceStart:    {"event:timeSinceStart", KindDuration},
	IntrinsicLinkTraceID:            {"link:traceID", KindString},
	IntrinsicLinkSpanID:             {"link:spanID", KindString},
	IntrinsicInstrumentationName:    {"instrumentation:name", KindString},
	IntrinsicInstrumentationVersion: {"instrumentation:version", KindString},
}

// bareIntrinsics and scopedIntrinsics map the spellings to intrinsics; the order of the latter is
// the one in which syntax errors list them.
var (
	bareIntrinsics = map[string]Intrinsic{
		"name": IntrinsicName, "status": IntrinsicStatus, "statusMessage": IntrinsicStatusMessage,
		"kind": IntrinsicKind, "duration": IntrinsicDuration, "childCount": IntrinsicChildCount,
		"parent": IntrinsicParent, "traceDuration": IntrinsicTraceDuration, "rootName": IntrinsicRootName,
		"rootServiceName": IntrinsicRootService, "nestedSetLeft": IntrinsicNestedSetLeft,
		"nestedSetRight": IntrinsicNestedSetRight, "nestedSetParent": IntrinsicNestedSetParent,
	}
	scopedIntrinsics = map[string][]struct {
		word string
		is   Intrinsic
	}{
		"span:": {{"duration", IntrinsicDuration}, {"childCount", IntrinsicChildCount}, {"name", IntrinsicName},
			{"kind", IntrinsicKind}, {"status", IntrinsicStatus}, {"statusMessage", IntrinsicStatusMessage},
			{"id", IntrinsicSpanID}, {"parentID", IntrinsicParentID}},
		"trace:": {{"duration", IntrinsicTraceDuration}, {"rootName", IntrinsicRootName},
			{"rootService", IntrinsicRootService}, {"id", IntrinsicTraceID}},
		"event:":           {{"name", IntrinsicEventName}, {"timeSinceStart", IntrinsicEventTimeSinceStart}},
		"link:":            {{"traceID", IntrinsicLinkTraceID}, {"spanID", IntrinsicLinkSpanID}},
		"instrumentation:": {{"name", IntrinsicInstrumentationName}, {"version", IntrinsicInstrumentationVersion}},
	}
)

// isServiceName reports whether a is resource.service.name, which every span has: one without the
// attribute has the empty text.
func (a *Attribute) isServiceName() bool {
	return a.Scope == ScopeResource && a.Name == "service.name" && !a.Parent
}

// IsMetrics reports whether the query ends in a metrics function.
func (q *Query) IsMetrics() bool { return q.Metrics != nil }

// Hint returns the value of a hint, nil if it isn't given.
func (q *Query) Hint(name string) Value {
	for _, h := range q.Hints {
		if h.Name == name {
			return h.Value
		}
	}
	return Value{}
}

// structural reports whether op relates spans by their place in the tree.
func structural(op string) bool { return op != "&&" && op != "||" }

func quoteName(name string) string {
	plain := name != ""
	for _, r := range name {
		plain = plain && attributeRune(r)
	}
	if plain {
		return name
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}
