package traces

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/hune-io/hune/internal/fault"
)

// Limits bound what one span may be. Zero means the default.
type Limits struct {
	MaxSpanBytes      int    // of the encoded span; larger ones are refused. Default 4 MiB
	MaxAttributeBytes int    // longer keys and string values are cut at a rune. Default 2048
	MaxAttributes     int    // of a span, event, link, resource or scope; the rest is counted as dropped. Default 1024
	MaxEvents         int    // of a span, and as many links; the rest is counted as dropped. Default 10000
	Oldest, Newest    uint64 // spans that start before or after are refused, in Unix nanoseconds; zero: no bound
}

const (
	defaultMaxSpanBytes      = 4 << 20
	defaultMaxAttributeBytes = 2048
	defaultMaxAttributes     = 1024
	defaultMaxEvents         = 10000
	maxElements              = 1024 // of an array that can be searched
	maxValueDepth            = 64   // nesting of arrays and key/value lists in an attribute
)

// unlimited is for messages that were checked before: what Check let through is stored whole.
var unlimited = Limits{MaxSpanBytes: math.MaxInt, MaxAttributeBytes: math.MaxInt, MaxAttributes: math.MaxInt, MaxEvents: math.MaxInt}

func (l Limits) orDefault() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.MaxSpanBytes, defaultMaxSpanBytes)
	set(&l.MaxAttributeBytes, defaultMaxAttributeBytes)
	set(&l.MaxAttributes, defaultMaxAttributes)
	set(&l.MaxEvents, defaultMaxEvents)
	return l
}

// visitor receives what walker finds.
type visitor interface {
	// span gets a valid span. Unless the walker keeps, the span with all it points to (except
	// resource and scope) is valid until span returns.
	span(id ID, s *Span) error
	reject(reason, message string)
}

// walker walks an OTLP TracesData message once, span by span. Memory is that of one span, whatever
// the size of the request, unless keep is set.
type walker struct {
	limits Limits
	keep   bool // spans stay valid for ever
	// trusted: the message has passed Check, so its text is valid. count: nobody looks at attributes.
	trusted, count bool
	v              visitor

	repaired bool // something was changed: text made UTF-8, or cut or dropped by a limit

	spans  slab[Span]
	attrs  slab[Attribute]
	events slab[Event]
	links  slab[Link]

	// Of the span at hand, whose message is read once.
	spanAttrs []Attribute
	plain     Attribute   // scratch
	children  [2][]string // messages of events and links

	resources   *resourceCache // nil: none
	resource    *Resource
	resourceRaw string // the resource's message and schema URL, for interning
	resourceURL string
	scope       *Scope
	scopeRaw    string
	scopeURL    string
}

// refused is why a span is not valid.
type refused struct{ reason, message string }

func (r *refused) Error() string { return r.message }

// errTooDeep drops an attribute, which is then counted as OTLP counts what a sender dropped.
var errTooDeep = fmt.Errorf("attribute value is nested more than %d levels deep", maxValueDepth)

func refusef(reason, format string, args ...any) error {
	return &refused{reason, fmt.Sprintf(format, args...)}
}

func malformed(what string, err error) error {
	if _, ok := err.(*fault.Error); ok {
		return err
	}
	return fault.Invalidf("malformed OTLP traces: %s: %w", what, err)
}

// walk visits every span of data. The error is Invalid if data is not a TracesData message.
func (w *walker) walk(data string) error {
	c, f := cursor{s: data}, field{}
	for n := 0; c.next(&f); {
		if f.num != 1 || !c.want(&f, wireBytes) {
			continue
		}
		if err := w.resourceSpans(f.data); err != nil {
			return malformed(fmt.Sprintf("resource_spans[%d]", n), err)
		}
		n++
	}
	if c.err != nil {
		return malformed("traces_data", c.err)
	}
	return nil
}

func (w *walker) resourceSpans(data string) error {
	// The resource may stand after its spans: look for it first.
	w.resource, w.resourceRaw, w.resourceURL = nil, "", ""
	c, f := cursor{s: data}, field{}
	var resource Resource
	for c.next(&f) {
		switch f.num {
		case 1:
			if !c.want(&f, wireBytes) {
				break
			}
			read := w.resourceMessage
			if w.resourceRaw == "" {
				read = w.resourceOf
			}
			if err := read(f.data, &resource); err != nil {
				return fmt.Errorf("resource: %w", err)
			}
			w.resourceRaw += f.data // a second one is merged, as protobuf says
		case 3:
			if c.want(&f, wireBytes) {
				resource.SchemaURL = w.text(f.data)
				w.resourceURL = f.data
			}
		}
	}
	if c.err != nil {
		return c.err
	}
	for i := range resource.Attributes {
		if a := &resource.Attributes[i]; a.Key == "service.name" && a.Type == TypeString {
			resource.ServiceName = a.Str
			break
		}
	}
	w.resource = &resource
	c = cursor{s: data}
	for n := 0; c.next(&f); {
		if f.num != 2 || !c.want(&f, wireBytes) {
			continue
		}
		if err := w.scopeSpans(f.data); err != nil {
			return fmt.Errorf("scope_spans[%d]: %w", n, err)
		}
		n++
	}
	return c.err
}

func (w *walker) resourceMessage(data string, r *Resource) error {
	attrs, over, err := w.attributes(data, 1, true)
	if err != nil {
		return err
	}
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		if f.num == 2 && c.want(&f, wireVarint) {
			r.DroppedAttributesCount = uint32(f.val)
		}
	}
	if r.Attributes == nil {
		r.Attributes = attrs
	} else {
		r.Attributes = append(r.Attributes, attrs...)
	}
	r.DroppedAttributesCount = addSaturated(r.DroppedAttributesCount, over)
	return c.err
}

func (w *walker) scopeSpans(data string) error {
	w.scopeRaw, w.scopeURL = "", ""
	c, f := cursor{s: data}, field{}
	var scope Scope
	for c.next(&f) {
		switch f.num {
		case 1:
			if !c.want(&f, wireBytes) {
				break
			}
			if err := w.scopeMessage(f.data, &scope); err != nil {
				return fmt.Errorf("scope: %w", err)
			}
			w.scopeRaw += f.data
		case 3:
			if c.want(&f, wireBytes) {
				scope.SchemaURL = w.text(f.data)
				w.scopeURL = f.data
			}
		}
	}
	if c.err != nil {
		return c.err
	}
	w.scope = &scope
	c = cursor{s: data}
	for n := 0; c.next(&f); {
		if f.num != 2 || !c.want(&f, wireBytes) {
			continue
		}
		if err := w.one(f.data); err != nil {
			return fmt.Errorf("spans[%d]: %w", n, err)
		}
		n++
	}
	return c.err
}

func (w *walker) scopeMessage(data string, s *Scope) error {
	attrs, over, err := w.attributes(data, 3, true)
	if err != nil {
		return err
	}
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		switch f.num {
		case 1:
			if c.want(&f, wireBytes) {
				s.Name = w.text(f.data)
			}
		case 2:
			if c.want(&f, wireBytes) {
				s.Version = w.text(f.data)
			}
		case 4:
			if c.want(&f, wireVarint) {
				s.DroppedAttributesCount = uint32(f.val)
			}
		}
	}
	s.Attributes = append(s.Attributes, attrs...)
	s.DroppedAttributesCount = addSaturated(s.DroppedAttributesCount, over)
	return c.err
}

// one walks one span and hands it to the visitor.
func (w *walker) one(data string) error {
	if !w.keep {
		w.reset()
	}
	if len(data) > w.limits.MaxSpanBytes {
		w.v.reject("span_too_large", fmt.Sprintf("span of %d bytes is larger than the limit of %d bytes", len(data), w.limits.MaxSpanBytes))
		return nil
	}
	s := &w.spans.alloc(1)[0]
	id, err := w.spanMessage(data, s)
	if err == nil {
		err = w.valid(id, s)
	}
	if err != nil {
		var r *refused
		if errors.As(err, &r) {
			w.v.reject(r.reason, r.message)
			return nil
		}
		return err
	}
	s.Resource, s.Scope = w.resource, w.scope
	return w.v.span(id, s)
}

// reset takes back the memory of the last span.
func (w *walker) reset() {
	w.spans.reset()
	w.attrs.reset()
	w.events.reset()
	w.links.reset()
}

func (w *walker) valid(id ID, s *Span) error {
	switch {
	case id.IsZero():
		return refusef("invalid_trace_id", "span %q has a trace ID of zeros", s.Name)
	case s.ID == SpanID{}:
		return refusef("invalid_span_id", "span %q of trace %s has a span ID of zeros", s.Name, id)
	case s.Start > math.MaxInt64 || s.End > math.MaxInt64:
		return refusef("invalid_timestamp", "span %q of trace %s has a time after the year 2262", s.Name, id)
	case s.Start < w.limits.Oldest:
		return refusef("too_old", "span %q of trace %s starts before the oldest time that is accepted", s.Name, id)
	case w.limits.Newest != 0 && s.Start > w.limits.Newest:
		return refusef("too_far_in_future", "span %q of trace %s starts after the latest time that is accepted", s.Name, id)
	}
	return nil
}

func (w *walker) spanMessage(data string, s *Span) (ID, error) {
	var id ID
	c, f := cursor{s: data}, field{}
	var bad error // a wrong ID makes the span invalid, not the request: read on to the end
	var droppedAttributes, droppedEvents, droppedLinks uint32
	attributes := 0
	w.spanAttrs, w.children[0], w.children[1] = w.spanAttrs[:0], w.children[0][:0], w.children[1][:0]
	for {
		// Fast path: most fields of most spans are short attributes.
		if rest := c.s; len(rest) > 2 && rest[0] == 9<<3|wireBytes && rest[1] < 0x80 && len(rest) >= 2+int(rest[1]) {
			n := 2 + int(rest[1])
			c.s = rest[n:]
			if err := w.spanAttribute(rest[2:n], attributes, s); err != nil {
				return id, err
			}
			attributes++
			continue
		}
		if !c.next(&f) {
			break
		}
		switch f.num {
		case 1, 2, 3, 4, 5, 9, 11, 13, 15:
			c.want(&f, wireBytes)
		case 6, 10, 12, 14:
			c.want(&f, wireVarint)
		case 7, 8:
			c.want(&f, wireFixed64)
		case 16:
			c.want(&f, wireFixed32)
		}
		if c.err != nil {
			break
		}
		switch f.num {
		case 1:
			bad = firstError(bad, readID(id[:], f.data, "invalid_trace_id", "trace ID"))
		case 2:
			bad = firstError(bad, readID(s.ID[:], f.data, "invalid_span_id", "span ID"))
		case 3:
			s.TraceState = w.text(f.data)
		case 4:
			bad = firstError(bad, readID(s.ParentID[:], f.data, "invalid_parent_span_id", "parent span ID"))
		case 5:
			s.Name = w.text(f.data)
		case 6:
			if s.Kind = KindUnspecified; f.val <= uint64(KindConsumer) {
				s.Kind = Kind(f.val)
			}
		case 7:
			s.Start = f.val
		case 8:
			s.End = f.val
		case 9:
			if err := w.spanAttribute(f.data, attributes, s); err != nil {
				return id, err
			}
			attributes++
		case 10:
			droppedAttributes = uint32(f.val)
		case 11:
			w.children[0] = append(w.children[0], f.data)
		case 12:
			droppedEvents = uint32(f.val)
		case 13:
			w.children[1] = append(w.children[1], f.data)
		case 14:
			droppedLinks = uint32(f.val)
		case 15:
			if err := w.status(f.data, s); err != nil {
				return id, fmt.Errorf("status: %w", err)
			}
		case 16:
			s.Flags = uint32(f.val)
		}
	}
	if c.err != nil {
		return id, c.err
	}
	if n := len(w.spanAttrs); w.keep {
		s.Attributes = w.attrs.alloc(n)
		copy(s.Attributes, w.spanAttrs)
	} else if n > 0 {
		s.Attributes = w.spanAttrs[:n:n]
	}
	refusal, err := w.spanChildren(s)
	if err != nil {
		return id, err
	}
	bad = firstError(bad, refusal)
	s.DroppedAttributes = addSaturated(s.DroppedAttributes, droppedAttributes)
	s.DroppedEvents = addSaturated(s.DroppedEvents, droppedEvents)
	s.DroppedLinks = addSaturated(s.DroppedLinks, droppedLinks)
	return id, bad
}

// spanAttribute reads attribute number n of a span.
func (w *walker) spanAttribute(data string, n int, s *Span) error {
	if n >= w.limits.MaxAttributes {
		s.DroppedAttributes = addSaturated(s.DroppedAttributes, 1)
		w.repaired = true
		return nil
	}
	if w.count && plainKeyValue(data, &w.plain) && w.fits(&w.plain) {
		return nil
	}
	w.spanAttrs = append(w.spanAttrs, Attribute{})
	a := &w.spanAttrs[len(w.spanAttrs)-1]
	if plainKeyValue(data, a) && w.fits(a) {
		return nil
	}
	*a = Attribute{}
	switch err := w.keyValue(data, a, false); {
	case errors.Is(err, errTooDeep):
		w.spanAttrs = w.spanAttrs[:len(w.spanAttrs)-1]
		s.DroppedAttributes = addSaturated(s.DroppedAttributes, 1)
		w.repaired = true
	case err != nil:
		return fmt.Errorf("attributes[%d]: %w", n, err)
	}
	return nil
}

// spanChildren reads the events and links that were found. refusal says that the span is not valid.
func (w *walker) spanChildren(s *Span) (refusal, err error) {
	events, links := w.children[0], w.children[1]
	if limit := w.limits.MaxEvents; len(events) > limit {
		s.DroppedEvents, events, w.repaired = uint32(len(events)-limit), events[:limit], true
	}
	if limit := w.limits.MaxEvents; len(links) > limit {
		s.DroppedLinks, links, w.repaired = uint32(len(links)-limit), links[:limit], true
	}
	s.Events, s.Links = w.events.alloc(len(events)), w.links.alloc(len(links))
	for i, data := range events {
		if err := w.event(data, &s.Events[i]); err != nil {
			return nil, fmt.Errorf("events[%d]: %w", i, err)
		}
	}
	for i, data := range links {
		err := w.link(data, &s.Links[i])
		if _, ok := err.(*refused); ok {
			refusal = firstError(refusal, err)
		} else if err != nil {
			return nil, fmt.Errorf("links[%d]: %w", i, err)
		}
	}
	return refusal, nil
}

func (w *walker) event(data string, e *Event) error {
	attrs, over, err := w.attributes(data, 3, false)
	if err != nil {
		return err
	}
	e.Attributes, e.DroppedAttributesCount = attrs, over
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		switch f.num {
		case 1:
			if c.want(&f, wireFixed64) {
				e.Time = f.val
			}
		case 2:
			if c.want(&f, wireBytes) {
				e.Name = w.text(f.data)
			}
		case 4:
			if c.want(&f, wireVarint) {
				e.DroppedAttributesCount = addSaturated(e.DroppedAttributesCount, uint32(f.val))
			}
		}
	}
	return c.err
}

func (w *walker) link(data string, l *Link) error {
	attrs, over, err := w.attributes(data, 4, false)
	if err != nil {
		return err
	}
	l.Attributes, l.DroppedAttributesCount = attrs, over
	c, f := cursor{s: data}, field{}
	var bad error
	for c.next(&f) {
		switch f.num {
		case 1:
			if c.want(&f, wireBytes) {
				bad = firstError(bad, readID(l.TraceID[:], f.data, "invalid_link", "trace ID of a link"))
			}
		case 2:
			if c.want(&f, wireBytes) {
				bad = firstError(bad, readID(l.SpanID[:], f.data, "invalid_link", "span ID of a link"))
			}
		case 3:
			if c.want(&f, wireBytes) {
				l.TraceState = w.text(f.data)
			}
		case 5:
			if c.want(&f, wireVarint) {
				l.DroppedAttributesCount = addSaturated(l.DroppedAttributesCount, uint32(f.val))
			}
		case 6:
			if c.want(&f, wireFixed32) {
				l.Flags = uint32(f.val)
			}
		}
	}
	if c.err != nil {
		return c.err
	}
	return bad
}

func (w *walker) status(data string, s *Span) error {
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		switch f.num {
		case 2:
			if c.want(&f, wireBytes) {
				s.StatusMessage = w.text(f.data)
			}
		case 3:
			if c.want(&f, wireVarint) {
				if s.Status = StatusUnset; f.val <= uint64(StatusError) {
					s.Status = Status(f.val)
				}
			}
		}
	}
	return c.err
}

// text returns s as valid UTF-8.
func (w *walker) text(s string) string {
	if w.trusted || utf8.ValidString(s) {
		return s
	}
	w.repaired = true
	return strings.ToValidUTF8(s, "\uFFFD")
}

// cut shortens s to the limit for attributes, at the start of a rune.
func (w *walker) cut(s string) string {
	n := w.limits.MaxAttributeBytes
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	w.repaired = true
	return s[:n]
}

// readID copies an ID of the right length. An empty one is left zero, as if it was not sent.
func readID(dst []byte, data, reason, what string) error {
	clear(dst)
	if len(data) == 0 {
		return nil
	}
	if len(data) != len(dst) {
		return refusef(reason, "%s has %d bytes, must have %d", what, len(data), len(dst))
	}
	copy(dst, data)
	return nil
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// addSaturated adds without wrapping around.
func addSaturated(a, b uint32) uint32 {
	if a > math.MaxUint32-b {
		return math.MaxUint32
	}
	return a + b
}
