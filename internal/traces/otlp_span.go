package traces

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// This file reads the message of a span, with its events and links.

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
