package traces

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"strings"
)

// Part is some traces of one tenant in one place: a head, a block, or what stands for an ingester.
// Safe for concurrent use. A block's answers never change; a head's grow.
type Part interface {
	// TimeRange returns the earliest start and the latest end of its spans, zeros if it has none.
	TimeRange() (start, end uint64)
	// TraceByID returns what the part has of a trace, nil if nothing.
	TraceByID(ctx context.Context, id ID) (*Trace, error)
	// SelectTraces is Source.SelectTraces for the one tenant.
	SelectTraces(ctx context.Context, s Select) iter.Seq2[*Trace, error]
	// Pieces lists every trace that the part has a piece of, in order of ID, each ID once.
	Pieces(ctx context.Context) iter.Seq2[Piece, error]
	// Tags returns the attribute keys by scope (never "" or intrinsic) of the spans in the range; a
	// part may also name keys that only others of its spans have.
	Tags(ctx context.Context, scope TagScope, start, end uint64) (map[TagScope][]string, error)
	// TagValues is Source.TagValues for the one tenant, with the same freedom.
	TagValues(ctx context.Context, scope TagScope, key string, start, end uint64, limit int) ([]Attribute, error)
}

// Piece says that a part holds spans of a trace, and their earliest start and latest end.
type Piece struct {
	ID         ID
	Start, End uint64
}

// The scopes of attributes.
const (
	ScopeSpan            TagScope = "span"
	ScopeResource        TagScope = "resource"
	ScopeEvent           TagScope = "event"
	ScopeLink            TagScope = "link"
	ScopeInstrumentation TagScope = "instrumentation"
	ScopeIntrinsic       TagScope = "intrinsic"
)

// attributeScopes are the scopes that attributes stand in, in the order in which answers list them.
var attributeScopes = [...]TagScope{ScopeSpan, ScopeResource, ScopeEvent, ScopeLink, ScopeInstrumentation}

// The intrinsics whose values TagValues lists. Status and kind are numbers in spans but names here.
const (
	intrinsicName          = "name"
	intrinsicStatus        = "status"
	intrinsicKind          = "kind"
	intrinsicStatusMessage = "statusMessage"
	intrinsicRootName      = "rootName"
	intrinsicRootService   = "rootServiceName"
	intrinsicEventName     = "event:name"
	intrinsicScopeName     = "instrumentation:name"
	intrinsicScopeVersion  = "instrumentation:version"
)

// canonicalIntrinsic maps the scoped spelling of an intrinsic to the bare one that we use.
func canonicalIntrinsic(key string) string {
	switch key {
	case "span:name":
		return intrinsicName
	case "span:status":
		return intrinsicStatus
	case "span:kind":
		return intrinsicKind
	case "span:statusMessage":
		return intrinsicStatusMessage
	case "trace:rootName":
		return intrinsicRootName
	case "trace:rootService":
		return intrinsicRootService
	}
	return key
}

func compareIDs(a, b ID) int { return bytes.Compare(a[:], b[:]) }

// hasID reports whether the sorted ids have id.
func hasID(ids []ID, id ID) bool {
	_, ok := slices.BinarySearchFunc(ids, id, compareIDs)
	return ok
}

// values collects distinct attribute values up to a limit.
type values struct {
	limit  int
	closed bool // takes no more
	seen   map[valueKey]struct{}
	list   []Attribute
}

type valueKey struct {
	typ ValueType
	num uint64
	str string
}

func newValues(limit int) *values { return &values{limit: limit, seen: make(map[valueKey]struct{})} }

func (v *values) full() bool { return v.closed || v.limit > 0 && len(v.list) >= v.limit }

// add adds a value, or the elements of an array. What can't be searched isn't listed.
func (v *values) add(a *Attribute) {
	k := valueKey{typ: a.Type}
	switch a.Type {
	case TypeString:
		k.str = a.Str
	case TypeInt, TypeBool:
		k.num = uint64(a.Int)
	case TypeFloat:
		k.num = floatBits(a.Float)
	case TypeOpaque:
		return
	default:
		for i := range a.Array {
			v.add(&a.Array[i])
		}
		return
	}
	if _, ok := v.seen[k]; ok || v.full() {
		return
	}
	k.str = strings.Clone(k.str) // it may be a view of a page
	v.seen[k] = struct{}{}
	v.list = append(v.list, Attribute{Type: a.Type, Str: k.str, Int: a.Int, Float: a.Float})
}

func (v *values) addText(s string) { v.add(&Attribute{Type: TypeString, Str: s}) }

func (v *values) addAll(attrs []Attribute, key string) {
	for i := range attrs {
		if attrs[i].Key == key {
			v.add(&attrs[i])
		}
	}
}

// addResource adds the values of an attribute of a resource. One without service.name has it empty, as in queries.
func (v *values) addResource(r *Resource, key string) {
	v.addAll(r.Attributes, key)
	if key == serviceName && r.ServiceName == "" {
		v.addText("")
	}
}

const serviceName = "service.name"

// sorted returns the values by type, then in their natural order, without keys.
func (v *values) sorted() []Attribute {
	slices.SortFunc(v.list, compareValues)
	return v.list
}

// addTrace adds the values that a trace has for an attribute or intrinsic.
func (v *values) addTrace(t *Trace, scope TagScope, key string) {
	if scope == ScopeIntrinsic {
		v.addIntrinsics(t, key)
		return
	}
	on := func(s TagScope) bool { return scope == s || scope == "" }
	for _, s := range t.Spans {
		if on(ScopeSpan) {
			v.addAll(s.Attributes, key)
		}
		if on(ScopeResource) && s.Resource != nil {
			v.addResource(s.Resource, key)
		}
		if on(ScopeInstrumentation) && s.Scope != nil {
			v.addAll(s.Scope.Attributes, key)
		}
		if on(ScopeEvent) {
			for i := range s.Events {
				v.addAll(s.Events[i].Attributes, key)
			}
		}
		if on(ScopeLink) {
			for i := range s.Links {
				v.addAll(s.Links[i].Attributes, key)
			}
		}
	}
}

func (v *values) addIntrinsics(t *Trace, key string) {
	switch key {
	case intrinsicRootName, intrinsicRootService:
		if root := t.root(); root != nil {
			if key == intrinsicRootName {
				v.addText(root.Name)
			} else if root.Resource != nil {
				v.addText(root.Resource.ServiceName)
			}
		}
		return
	}
	for _, s := range t.Spans {
		switch key {
		case intrinsicName:
			v.addText(s.Name)
		case intrinsicStatus:
			v.addText(statusNames[s.Status])
		case intrinsicKind:
			v.addText(kindNames[s.Kind])
		case intrinsicStatusMessage:
			if s.StatusMessage != "" {
				v.addText(s.StatusMessage)
			}
		case intrinsicEventName:
			for i := range s.Events {
				v.addText(s.Events[i].Name)
			}
		case intrinsicScopeName:
			if s.Scope != nil && s.Scope.Name != "" {
				v.addText(s.Scope.Name)
			}
		case intrinsicScopeVersion:
			if s.Scope != nil && s.Scope.Version != "" {
				v.addText(s.Scope.Version)
			}
		}
	}
}

// root returns the span that names the trace: of the spans without a parent the last to arrive.
func (t *Trace) root() *Span {
	var root *Span
	for _, s := range t.Spans {
		if s.ParentID == (SpanID{}) && (root == nil || s.Order > root.Order) {
			root = s
		}
	}
	return root
}

// tagSet collects attribute keys by scope.
type tagSet map[TagScope]map[string]struct{}

func (ts tagSet) add(scope TagScope, key string) {
	m := ts[scope]
	if m == nil {
		m = make(map[string]struct{})
		ts[scope] = m
	}
	m[key] = struct{}{}
}

func (ts tagSet) addAll(scope TagScope, attrs []Attribute) {
	for i := range attrs {
		ts.add(scope, attrs[i].Key)
	}
}

// addResource adds the keys of a resource, which always has service.name.
func (ts tagSet) addResource(r *Resource) {
	ts.addAll(ScopeResource, r.Attributes)
	ts.add(ScopeResource, serviceName)
}

// addTrace adds the keys of a trace.
func (ts tagSet) addTrace(t *Trace) {
	for _, s := range t.Spans {
		ts.addAll(ScopeSpan, s.Attributes)
		if s.Resource != nil {
			ts.addResource(s.Resource)
		}
		if s.Scope != nil {
			ts.addAll(ScopeInstrumentation, s.Scope.Attributes)
		}
		for i := range s.Events {
			ts.addAll(ScopeEvent, s.Events[i].Attributes)
		}
		for i := range s.Links {
			ts.addAll(ScopeLink, s.Links[i].Attributes)
		}
	}
}

// sorted returns the keys of the scope wanted ("": all) in order.
func (ts tagSet) sorted(want TagScope) map[TagScope][]string {
	out := make(map[TagScope][]string)
	for scope, keys := range ts {
		if want != "" && want != scope {
			continue
		}
		list := make([]string, 0, len(keys))
		for k := range keys {
			list = append(list, k)
		}
		slices.Sort(list)
		out[scope] = list
	}
	return out
}
