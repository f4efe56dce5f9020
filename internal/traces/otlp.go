package traces

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sync"
)

// DecodeOTLP reads an OTLP TracesData message (protobuf; an ExportTraceServiceRequest is the same
// bytes) and returns its spans by trace, traces in the order in which they first appear. Spans that
// Check would refuse are left out; strings that are not UTF-8 are repaired. The result doesn't
// refer to data. The error is Invalid and says where the message is malformed.
func DecodeOTLP(data []byte) ([]*Trace, error) {
	c := collector{byID: make(map[ID]*Trace)}
	w := walker{limits: Limits{}.orDefault(), keep: true, v: &c}
	if err := w.walk(string(data)); err != nil {
		return nil, err
	}
	for _, t := range c.traces {
		t.normalize()
	}
	return c.traces, nil
}

type collector struct {
	traces []*Trace
	byID   map[ID]*Trace
}

func (c *collector) span(id ID, s *Span) error {
	t := c.byID[id]
	if t == nil {
		t = &Trace{ID: id}
		c.byID[id] = t
		c.traces = append(c.traces, t)
	}
	s.Order = uint32(len(t.Spans))
	t.Spans = append(t.Spans, s)
	return nil
}

func (c *collector) reject(string, string) {}

// normalize puts the spans in order of start and drops duplicates. Spans of equal start come in
// order of ID, so that the same spans make the same trace whatever way they came.
func (t *Trace) normalize() {
	if !slices.IsSortedFunc(t.Spans, compareSpans) {
		slices.SortStableFunc(t.Spans, compareSpans)
	}
	t.Spans = slices.CompactFunc(t.Spans, func(a, b *Span) bool { return compareSpans(a, b) == 0 })
}

func compareSpans(a, b *Span) int {
	if c := cmp.Compare(a.Start, b.Start); c != 0 {
		return c
	}
	if c := bytes.Compare(a.ID[:], b.ID[:]); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	return cmp.Compare(a.End, b.End)
}

// Bounds returns when the trace starts and ends. A span that ends before it starts ends at its start.
func (t *Trace) Bounds() (start, end uint64) {
	if t.Extract != nil {
		return t.Extract.Start, t.Extract.End
	}
	for i, s := range t.Spans {
		if i == 0 || s.Start < start {
			start = s.Start
		}
		end = max(end, s.Start, s.End)
	}
	return start, end
}

// JoinTraces makes one trace of the pieces of a trace. Nil pieces are skipped; it returns nil
// without any, and the piece itself if there is one. Pieces count as having arrived in the order in
// which they start; of equal spans the first piece's stays. The pieces stay as they are.
func JoinTraces(pieces ...*Trace) *Trace {
	found := slices.DeleteFunc(slices.Clone(pieces), func(p *Trace) bool { return p == nil })
	switch len(found) {
	case 0:
		return nil
	case 1:
		return found[0]
	}
	slices.SortStableFunc(found, func(a, b *Trace) int {
		startA, _ := a.Bounds()
		startB, _ := b.Bounds()
		return cmp.Compare(startA, startB)
	})
	n := 0
	for _, p := range found {
		n += len(p.Spans)
	}
	out := &Trace{ID: found[0].ID, Spans: make([]*Span, 0, n)}
	copies := make([]Span, n)
	order := uint32(0)
	for _, p := range found {
		next := order
		for _, s := range p.Spans {
			c := &copies[len(out.Spans)]
			*c = *s
			c.Order = addSaturated(order, s.Order)
			next = max(next, addSaturated(c.Order, 1))
			out.Spans = append(out.Spans, c)
		}
		order = next
	}
	out.normalize()
	return out
}

// Check walks a TracesData message as it came from a sender. Spans that can't be stored are refused
// one by one, the others are the batch: data itself where nothing had to be changed, so nothing is
// encoded again, else a new message without them, with text made valid UTF-8 and with what the
// limits leave of attributes, events and links. The error is Invalid, for a message that is
// malformed as a whole.
func Check(data []byte, limits Limits) (Batch, []Rejection, error) {
	c := checker{}
	w := checkers.Get().(*walker)
	defer w.release(&checkers)
	w.limits, w.v, w.count = limits.orDefault(), &c, true
	if err := w.walk(view(data)); err != nil {
		return Batch{}, nil, err
	}
	if len(c.rejections) == 0 && !w.repaired {
		return Batch{OTLP: data, Spans: c.spans}, nil, nil
	}
	var rw rewriter
	w.v, w.count = &rw, false
	if err := w.walk(view(data)); err != nil {
		return Batch{}, nil, err
	}
	return Batch{OTLP: rw.finish(), Spans: c.spans}, c.rejections, nil
}

// The walkers of Check and of heads are kept apart, since they know resources under different limits.
var (
	checkers = sync.Pool{New: newWalker}
	walkers  = sync.Pool{New: newWalker}
)

func newWalker() any { return &walker{resources: new(resourceCache)} }

// release gives the walker back without what it refers to.
func (w *walker) release(to *sync.Pool) {
	w.reset()
	clear(w.spanAttrs[:cap(w.spanAttrs)])
	clear(w.children[0][:cap(w.children[0])])
	clear(w.children[1][:cap(w.children[1])])
	*w = walker{spans: w.spans, attrs: w.attrs, events: w.events, links: w.links, spanAttrs: w.spanAttrs, children: w.children, resources: w.resources}
	to.Put(w)
}

type checker struct {
	spans      int
	rejections []Rejection
}

func (c *checker) span(ID, *Span) error {
	c.spans++
	return nil
}

// reject counts by reason and keeps the first message of each.
func (c *checker) reject(reason, message string) {
	for i := range c.rejections {
		if c.rejections[i].Reason == reason {
			c.rejections[i].Count++
			return
		}
	}
	c.rejections = append(c.rejections, Rejection{Reason: reason, Message: message, Count: 1})
}

// rewriter encodes the valid spans of a walk again, in their order.
type rewriter struct {
	out      []byte
	resource *Resource
	scope    *Scope
	resAt    int
	scopeAt  int
}

func (r *rewriter) reject(string, string) {}

func (r *rewriter) span(id ID, s *Span) error {
	if s.Resource != r.resource {
		r.closeResource()
		r.resource = s.Resource
		r.out, r.resAt = beginMessage(r.out, 1)
		r.out = appendResource(r.out, s.Resource)
	}
	if s.Scope != r.scope {
		r.closeScope()
		r.scope = s.Scope
		r.out, r.scopeAt = beginMessage(r.out, 2)
		r.out = appendScope(r.out, s.Scope)
	}
	var at int
	r.out, at = beginMessage(r.out, 2)
	r.out = endMessage(appendSpan(r.out, id, s), at)
	return nil
}

func (r *rewriter) closeScope() {
	if r.scope != nil {
		r.out = endMessage(r.out, r.scopeAt)
		r.scope = nil
	}
}

func (r *rewriter) closeResource() {
	r.closeScope()
	if r.resource != nil {
		r.out = endMessage(r.out, r.resAt)
		r.resource = nil
	}
}

func (r *rewriter) finish() []byte {
	r.closeResource()
	return r.out
}

// ToOTLP encodes a trace as an OTLP TracesData message. Spans of equal resources and scopes are
// together even if they came in different requests.
func ToOTLP(t *Trace) []byte { return AppendOTLP(nil, t) }

// AppendOTLP appends the TracesData message of a trace. Messages of several traces one after the
// other are one message with all of them.
func AppendOTLP(dst []byte, t *Trace) []byte {
	if t == nil {
		return dst
	}
	for _, g := range groupSpans(t) {
		var resAt, scopeAt, at int
		dst, resAt = beginMessage(dst, 1)
		dst = append(dst, g.head...)
		for _, s := range g.scopes {
			dst, scopeAt = beginMessage(dst, 2)
			dst = append(dst, s.head...)
			for _, span := range s.spans {
				dst, at = beginMessage(dst, 2)
				dst = endMessage(appendSpan(dst, t.ID, span), at)
			}
			dst = endMessage(dst, scopeAt)
		}
		dst = endMessage(dst, resAt)
	}
	return dst
}

type resourceGroup struct {
	head   string // the encoded resource
	scopes []*scopeGroup
}

type scopeGroup struct {
	head  string
	spans []*Span
}

// groupSpans groups by what resources and scopes say, not by pointer: pieces of a trace that come
// from several blocks have their own copies.
func groupSpans(t *Trace) []*resourceGroup {
	type key struct {
		r *Resource
		s *Scope
	}
	var groups []*resourceGroup
	seen := make(map[key]*scopeGroup)
	for _, span := range t.Spans {
		k := key{span.Resource, span.Scope}
		g := seen[k]
		if g == nil {
			g = findGroup(&groups, string(appendResource(nil, k.r)), string(appendScope(nil, k.s)))
			seen[k] = g
		}
		g.spans = append(g.spans, span)
	}
	return groups
}

func findGroup(groups *[]*resourceGroup, resource, scope string) *scopeGroup {
	i := slices.IndexFunc(*groups, func(g *resourceGroup) bool { return g.head == resource })
	if i < 0 {
		i = len(*groups)
		*groups = append(*groups, &resourceGroup{head: resource})
	}
	r := (*groups)[i]
	for _, s := range r.scopes {
		if s.head == scope {
			return s
		}
	}
	r.scopes = append(r.scopes, &scopeGroup{head: scope})
	return r.scopes[len(r.scopes)-1]
}

// appendResource appends the resource and schema_url fields of ResourceSpans.
func appendResource(dst []byte, r *Resource) []byte {
	if r == nil {
		return dst
	}
	dst, at := beginMessage(dst, 1)
	dst = appendAttributes(dst, 1, r.Attributes)
	dst = appendVarintField(dst, 2, uint64(r.DroppedAttributesCount))
	dst = endMessage(dst, at)
	return appendStringField(dst, 3, r.SchemaURL)
}

// appendScope appends the scope and schema_url fields of ScopeSpans.
func appendScope(dst []byte, s *Scope) []byte {
	if s == nil {
		return dst
	}
	dst, at := beginMessage(dst, 1)
	dst = appendStringField(dst, 1, s.Name)
	dst = appendStringField(dst, 2, s.Version)
	dst = appendAttributes(dst, 3, s.Attributes)
	dst = appendVarintField(dst, 4, uint64(s.DroppedAttributesCount))
	dst = endMessage(dst, at)
	return appendStringField(dst, 3, s.SchemaURL)
}

func appendSpan(dst []byte, id ID, s *Span) []byte {
	dst = appendBytesField(dst, 1, id[:])
	dst = appendBytesField(dst, 2, s.ID[:])
	dst = appendStringField(dst, 3, s.TraceState)
	if s.ParentID != (SpanID{}) {
		dst = appendBytesField(dst, 4, s.ParentID[:])
	}
	dst = appendStringField(dst, 5, s.Name)
	dst = appendVarintField(dst, 6, uint64(s.Kind))
	dst = appendFixed64Field(dst, 7, s.Start)
	dst = appendFixed64Field(dst, 8, s.End)
	dst = appendAttributes(dst, 9, s.Attributes)
	dst = appendVarintField(dst, 10, uint64(s.DroppedAttributes))
	var at int
	for i := range s.Events {
		dst, at = beginMessage(dst, 11)
		dst = endMessage(appendEvent(dst, &s.Events[i]), at)
	}
	dst = appendVarintField(dst, 12, uint64(s.DroppedEvents))
	for i := range s.Links {
		dst, at = beginMessage(dst, 13)
		dst = endMessage(appendLink(dst, &s.Links[i]), at)
	}
	dst = appendVarintField(dst, 14, uint64(s.DroppedLinks))
	if s.Status != StatusUnset || s.StatusMessage != "" {
		dst, at = beginMessage(dst, 15)
		dst = appendStringField(dst, 2, s.StatusMessage)
		dst = endMessage(appendVarintField(dst, 3, uint64(s.Status)), at)
	}
	return appendFixed32Field(dst, 16, s.Flags)
}

func appendEvent(dst []byte, e *Event) []byte {
	dst = appendFixed64Field(dst, 1, e.Time)
	dst = appendStringField(dst, 2, e.Name)
	dst = appendAttributes(dst, 3, e.Attributes)
	return appendVarintField(dst, 4, uint64(e.DroppedAttributesCount))
}

func appendLink(dst []byte, l *Link) []byte {
	dst = appendBytesField(dst, 1, l.TraceID[:])
	dst = appendBytesField(dst, 2, l.SpanID[:])
	dst = appendStringField(dst, 3, l.TraceState)
	dst = appendAttributes(dst, 4, l.Attributes)
	dst = appendVarintField(dst, 5, uint64(l.DroppedAttributesCount))
	return appendFixed32Field(dst, 6, l.Flags)
}

func appendAttributes(dst []byte, num int, attrs []Attribute) []byte {
	for i := range attrs {
		a := &attrs[i]
		var at, valueAt int
		dst, at = beginMessage(dst, num)
		dst = appendStringField(dst, 1, a.Key)
		dst, valueAt = beginMessage(dst, 2)
		dst = endMessage(AppendValue(dst, a), valueAt)
		dst = endMessage(dst, at)
	}
	return dst
}

// AppendValue appends the OTLP AnyValue message of a's value.
func AppendValue(dst []byte, a *Attribute) []byte {
	switch a.Type {
	case TypeString:
		// A oneof is written even if it holds the zero value.
		dst = binary.AppendUvarint(appendKey(dst, 1, wireBytes), uint64(len(a.Str)))
		return append(dst, a.Str...)
	case TypeBool:
		return binary.AppendUvarint(appendKey(dst, 2, wireVarint), uint64(a.Int))
	case TypeInt:
		return binary.AppendUvarint(appendKey(dst, 3, wireVarint), uint64(a.Int))
	case TypeFloat:
		return binary.LittleEndian.AppendUint64(appendKey(dst, 4, wireFixed64), math.Float64bits(a.Float))
	case TypeStringArray, TypeIntArray, TypeFloatArray, TypeBoolArray:
		dst, at := beginMessage(dst, 5)
		for i := range a.Array {
			var elementAt int
			dst, elementAt = beginMessage(dst, 1)
			dst = endMessage(AppendValue(dst, &a.Array[i]), elementAt)
		}
		return endMessage(dst, at)
	}
	return append(dst, a.Raw...)
}

// AppendResourceSpans appends the field of a TracesData message that holds the spans of traces which have one
// resource and one scope.
func AppendResourceSpans(dst []byte, r *Resource, s *Scope, traces []*Trace) []byte {
	dst, resAt := beginMessage(dst, 1)
	dst = appendResource(dst, r)
	dst, scopeAt := beginMessage(dst, 2)
	dst = appendScope(dst, s)
	for _, t := range traces {
		for _, span := range t.Spans {
			var at int
			dst, at = beginMessage(dst, 2)
			dst = endMessage(appendSpan(dst, t.ID, span), at)
		}
	}
	return endMessage(endMessage(dst, scopeAt), resAt)
}
