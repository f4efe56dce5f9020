package traces

import "fmt"

// This file rebuilds events and links.

func (r *spanReader) openEvents() {
	if !r.needs.place(onEvent) {
		return
	}
	n := r.entry.events
	r.counts[onEvent] = r.children(fixEvents, n)
	r.shape[onEvent] = r.childShapes(fixEventShape, n)
	r.eventTime, r.eventDropped, r.eventName = r.numbers(fixEventTime), r.numbers(fixEventDropped), r.texts(fixEventName)
}

func (r *spanReader) openLinks() {
	if !r.needs.place(onLink) {
		return
	}
	n := r.entry.links
	r.counts[onLink] = r.children(fixLinks, n)
	r.shape[onLink] = r.childShapes(fixLinkShape, n)
	r.linkTraceID, r.linkSpanID, r.linkState = r.texts(fixLinkTraceID), r.texts(fixLinkSpanID), r.texts(fixLinkState)
	r.linkDropped, r.linkFlags = r.numbers(fixLinkDropped), r.numbers(fixLinkFlags)
}

// childCounts returns the number of events or links of each span, which must be so many together.
func (g *group) childCounts(fix, want int) ([]int64, error) {
	counts := g.ints(fix, g.entry.spans)
	if !g.inRange(fix, want+1) {
		return nil, g.corrupt("events and links", errStamp)
	}
	sum := int64(0)
	for _, n := range counts {
		sum += n
	}
	if sum != int64(want) {
		return nil, g.corrupt("events and links", fmt.Errorf("spans have %d, the row group has %d", sum, want))
	}
	return counts, nil
}

func (r *spanReader) children(fix, want int) []int64 {
	counts, err := r.childCounts(fix, want)
	if err != nil && r.err == nil {
		r.err = err
	}
	return counts
}

func (r *spanReader) childShapes(fix, n int) []int64 {
	if !r.inRange(fix, max(1, len(r.dir.shapes))) && r.err == nil {
		r.err = r.corrupt("shapes", errStamp)
	}
	return r.ints(fix, n)
}

// childrenOf returns the first event or link of a span, and how many it has. Rows must ascend.
func (r *spanReader) childrenOf(place, row int) (from, n int) {
	c := &r.childAt[place]
	for ; c.span < row; c.span++ {
		c.child += int(r.counts[place][c.span])
	}
	return c.child, int(r.counts[place][row])
}

func (r *spanReader) events(row int, s *Span, alloc func(int) []Attribute) {
	if r.counts[onEvent] == nil {
		return
	}
	from, n := r.childrenOf(onEvent, row)
	if n == 0 {
		return
	}
	r.advance(onEvent, from)
	s.Events = make([]Event, n)
	for i := range s.Events {
		e := &s.Events[i]
		e.Time = s.Start + uint64(r.eventTime.at(from+i))
		e.Name = r.eventName.at(from + i)
		e.DroppedAttributesCount = uint32(r.eventDropped.at(from + i))
		e.Attributes = r.take(onEvent, 0, alloc)
	}
}

func (r *spanReader) links(row int, s *Span, alloc func(int) []Attribute) {
	if r.counts[onLink] == nil {
		return
	}
	from, n := r.childrenOf(onLink, row)
	if n == 0 {
		return
	}
	r.advance(onLink, from)
	s.Links = make([]Link, n)
	for i := range s.Links {
		l := &s.Links[i]
		copy(l.TraceID[:], r.linkTraceID.at(from+i))
		copy(l.SpanID[:], r.linkSpanID.at(from+i))
		l.TraceState = r.linkState.at(from + i)
		l.DroppedAttributesCount, l.Flags = uint32(r.linkDropped.at(from+i)), uint32(r.linkFlags.at(from+i))
		l.Attributes = r.take(onLink, 0, alloc)
	}
}
