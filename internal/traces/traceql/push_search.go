package traceql

import (
	"context"

	"github.com/hune-io/hune/internal/traces"
)

// searchGroups is the traces.GroupFilter of searches whose answer is one set of spans for each trace. Where the
// columns say exactly which spans these are, only those that are shown are built.
type searchGroups struct {
	stages      []execStage
	show        int
	serviceOnly bool // of resources only the service is shown
}

// newSearchGroups returns the filter for a query, or nil if its answers take whole traces.
func newSearchGroups(p *program, answer *shown, show int) *searchGroups {
	if !oneSet(p.stages) || !answer.ofSpans() {
		return nil
	}
	return &searchGroups{p.stages, show, !answer.ofResources()}
}

// Group implements traces.GroupFilter.
func (f *searchGroups) Group(ctx context.Context, g *traces.RowGroup) (traces.Chosen, error) {
	p := pusher{ctx: ctx, g: g}
	b, err := p.stages(f.stages, everything)
	if err != nil {
		return traces.Chosen{}, err
	}
	c, err := chooseTraces(ctx, g, b)
	if err != nil || len(c.Traces) == 0 || !b.exact || g.Twins() {
		return c, err
	}
	c.Show, c.ServiceOnly = f.show, f.serviceOnly
	c.Matched, err = g.Bits(ctx, b.rows)
	return c, err
}

// oneSet reports whether stages make one set of spans of a trace, about which they say nothing.
func oneSet(stages []execStage) bool {
	for _, s := range stages {
		ok := false
		switch s := s.(type) {
		case allStage, coalesceStage, filterStage:
			ok = true
		case subStage:
			ok = oneSet(s)
		case *unionStage:
			ok = oneSet([]execStage{s.l, s.r})
		case *structuralStage:
			ok = oneSet([]execStage{s.l, s.r})
		}
		if !ok {
			return false
		}
	}
	return true
}

// ofSpans reports whether what is shown of a span can be read from the span alone.
func (s *shown) ofSpans() bool {
	for i := range s.attrs {
		switch n := s.attrs[i].node.(type) {
		case serviceNode, *attrNode:
		case intrinsicNode:
			switch Intrinsic(n) {
			case IntrinsicName, IntrinsicStatus, IntrinsicKind, IntrinsicStatusMessage, IntrinsicEventName,
				IntrinsicEventTimeSinceStart, IntrinsicLinkTraceID, IntrinsicLinkSpanID,
				IntrinsicInstrumentationName, IntrinsicInstrumentationVersion:
			default:
				return false
			}
		default:
			return false
		}
	}
	return true
}

// ofResources reports whether something beside the service is shown of resources.
func (s *shown) ofResources() bool {
	for i := range s.attrs {
		if a, ok := s.attrs[i].node.(*attrNode); ok && (a.scope == ScopeResource || a.scope == ScopeNone) {
			return true
		}
	}
	return false
}

// extractDescriber is describe for traces of which the source says what matched.
type extractDescriber struct {
	answer *shown
	env    *spanEnv
	sets   cutter[traces.SpanSet]
	spans  cutter[traces.FoundSpan]
	known  [alikeSlots]shownAlike
	next   int // the slot that is taken next when all are
}

func (d *extractDescriber) describe(v *traceView) traces.FoundTrace {
	x := v.trace.Extract
	f := foundTrace(v)
	f.Services = x.Services
	f.SpanSets = d.sets.cut(1)
	set := &f.SpanSets[0]
	set.Matched, set.Spans = uint32(x.Matched), d.spans.cut(len(v.spans))
	for i, s := range v.spans {
		known := d.alike(s)
		if known == nil {
			d.env.set(v, i)
			set.Spans[i] = d.answer.found(d.env)
			continue
		}
		if known.like == nil {
			d.env.set(v, i)
			known.like, known.shown = s, d.answer.found(d.env)
		}
		set.Spans[i] = traces.FoundSpan{ID: s.ID, Name: known.shown.Name, Start: s.Start, Duration: uint64(spanDuration(s)), Attributes: known.shown.Attributes}
	}
	return f
}

// shownAlike is what is shown of spans like one.
type shownAlike struct {
	like  *traces.Span
	shown traces.FoundSpan
}

// alikeSlots is for how many kinds of spans an extractDescriber remembers what is shown of them.
const alikeSlots = 16

// alike returns what is known of spans that are like s in all that an answer shows of a span by itself, see ofSpans: they
// share their attributes then. Nil for one with events or links.
func (d *extractDescriber) alike(s *traces.Span) *shownAlike {
	if len(s.Events)+len(s.Links) > 0 {
		return nil
	}
	for i := range d.known {
		k := &d.known[i]
		if k.like == nil {
			return k
		}
		if o := k.like; sameAttributes(o.Attributes, s.Attributes) && o.Name == s.Name && o.Kind == s.Kind && o.Status == s.Status &&
			o.StatusMessage == s.StatusMessage && o.Resource == s.Resource && o.Scope == s.Scope {
			return k
		}
	}
	k := &d.known[d.next%alikeSlots]
	d.next++
	*k = shownAlike{}
	return k
}

// sameAttributes reports whether two spans share their attributes, or have none.
func sameAttributes(a, b []traces.Attribute) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// cutter cuts slices from larger ones, which answers with many small parts are kept in.
type cutter[T any] struct{ rest []T }

// cutterSize is how many elements a cutter gets memory for at once.
const cutterSize = 64

// cut returns n zero elements.
func (c *cutter[T]) cut(n int) []T {
	if n > len(c.rest) {
		c.rest = make([]T, max(n, cutterSize))
	}
	out := c.rest[:n:n]
	c.rest = c.rest[n:]
	return out
}
