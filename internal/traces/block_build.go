package traces

import "context"

// position is where the next span of a walk over a row group finds its values: by column the values
// already used (0: rest columns), and the same for child tables and raw parents.
type position struct {
	columns       []uint32
	rest          [tagPlaces]uint32
	events, links int
	parents       int
}

// build decodes the group and yields the traces that want picks, newest first, until yield returns
// false. Each trace is made of its own memory when it is its turn.
func (g *group) build(ctx context.Context, want func(trace int) bool, yield func(*Trace) bool) error {
	e, err := g.decode(ctx)
	if err != nil {
		return err
	}
	// The columns say only how many values stand before a span, so walk forwards once and remember
	// where the wanted traces begin.
	type mark struct {
		trace int
		at    position
	}
	var marks []mark
	at := position{columns: make([]uint32, len(g.dir.columns)+1)}
	for t := range g.dir.traces {
		if want(t) {
			m := mark{t, at}
			m.at.columns = append([]uint32(nil), at.columns...)
			marks = append(marks, m)
		}
		for row := g.traceRows[t]; row < g.traceRows[t+1]; row++ {
			g.skip(e, row, &at)
		}
	}
	for i := len(marks) - 1; i >= 0; i-- {
		b := spanBuilder{g: g, e: e, at: marks[i].at}
		if !yield(b.trace(marks[i].trace)) {
			return nil
		}
	}
	return nil
}

func (g *group) skip(e *everything, row int, at *position) {
	g.skipShape(onSpan, row, at)
	for range g.counts[0][row] {
		g.skipShape(onEvent, at.events, at)
		at.events++
	}
	for range g.counts[1][row] {
		g.skipShape(onLink, at.links, at)
		at.links++
	}
	if e.parent[row] == -1 {
		at.parents++
	}
}

func (g *group) skipShape(place, row int, at *position) {
	for _, c := range g.shapes[g.shape[place][row]] {
		if c == 0 {
			at.rest[place]++
		} else {
			at.columns[c]++
		}
	}
}

// spanBuilder makes the spans of one trace.
type spanBuilder struct {
	g     *group
	e     *everything
	at    position
	attrs slab[Attribute]
}

func (b *spanBuilder) trace(t int) *Trace {
	g := b.g
	first, end := g.traceRows[t], g.traceRows[t+1]
	out := &Trace{ID: ID(g.traceIDs[16*t:]), Spans: make([]*Span, end-first)}
	spans := make([]Span, end-first)
	for i := range spans {
		b.span(&spans[i], first, first+i, g.traceStart[t])
		out.Spans[i] = &spans[i]
	}
	return out
}

func (b *spanBuilder) span(s *Span, first, row int, traceStart uint64) {
	e := b.e
	s.ID = SpanID(e.spanIDs[8*row:])
	switch p := e.parent[row]; {
	case p == -1:
		s.ParentID = SpanID(e.parentRaw[8*b.at.parents:])
		b.at.parents++
	case p > 0:
		s.ParentID = SpanID(e.spanIDs[8*(first+int(p)-1):])
	}
	s.Name, s.StatusMessage, s.TraceState = e.name.at(row), e.message.at(row), e.state.at(row)
	s.Kind, s.Status, s.Flags = Kind(e.kind[row]), Status(e.status[row]), uint32(e.flags[row])
	s.Order = uint32(int64(row-first) + e.order[row])
	s.Start = traceStart + uint64(e.start[row])
	s.End = s.Start + uint64(e.duration[row])
	s.DroppedAttributes, s.DroppedEvents, s.DroppedLinks = uint32(e.droppedA[row]), uint32(e.droppedE[row]), uint32(e.droppedL[row])
	s.Resource, s.Scope = e.resources[e.resource[row]], e.scopes[e.scope[row]]
	s.Attributes = b.attributes(onSpan, row)
	if n := b.g.counts[0][row]; n > 0 {
		s.Events = make([]Event, n)
		for i := range s.Events {
			b.event(&s.Events[i], s.Start)
		}
	}
	if n := b.g.counts[1][row]; n > 0 {
		s.Links = make([]Link, n)
		for i := range s.Links {
			b.link(&s.Links[i])
		}
	}
}

func (b *spanBuilder) event(ev *Event, start uint64) {
	i := b.at.events
	b.at.events++
	ev.Time, ev.Name = start+uint64(b.e.eventTime[i]), b.e.eventName.at(i)
	ev.DroppedAttributesCount = uint32(b.e.eventDropped[i])
	ev.Attributes = b.attributes(onEvent, i)
}

func (b *spanBuilder) link(l *Link) {
	i := b.at.links
	b.at.links++
	l.TraceID, l.SpanID = ID(b.e.linkTraceIDs[16*i:]), SpanID(b.e.linkSpanIDs[8*i:])
	l.TraceState = b.e.linkState.at(i)
	l.DroppedAttributesCount, l.Flags = uint32(b.e.linkDropped[i]), uint32(b.e.linkFlags[i])
	l.Attributes = b.attributes(onLink, i)
}

func (b *spanBuilder) attributes(place, row int) []Attribute {
	shape := b.g.shapes[b.g.shape[place][row]]
	attrs := b.attrs.alloc(len(shape))
	for i, c := range shape {
		if c == 0 {
			attrs[i] = b.e.rest[place][b.at.rest[place]]
			b.at.rest[place]++
			continue
		}
		b.e.columns[c-1].get(int(b.at.columns[c]), &attrs[i], b.attrs.alloc)
		b.at.columns[c]++
	}
	return attrs
}
