package traces

import (
	"errors"
	"fmt"
	"math"

	"github.com/hune-io/hune/internal/fault"
)

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
