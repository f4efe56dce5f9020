package traces

// Needs says what of spans a question looks at, beside IDs, times, name, kind, status, resource and scope,
// which are always there. A source may give more. A nil *Needs is everything.
type Needs struct {
	Attributes map[NeedKey]struct{} // of spans, events and links
	Texts      bool                 // status message and trace state
	Events     bool
	Links      bool
}

// NeedKey is an attribute of spans, events or links.
type NeedKey struct {
	Scope TagScope
	Key   string
}

// place reports whether anything of spans, events or links is needed.
func (n *Needs) place(place int) bool {
	return n == nil || place == onSpan || place == onEvent && n.Events || place == onLink && n.Links
}

// column reports whether an attribute column is needed.
func (n *Needs) column(c *columnDef) bool {
	if n == nil {
		return true
	}
	_, ok := n.Attributes[NeedKey{placeScopes[c.place], c.key}]
	return ok && n.place(c.place)
}

// rest reports whether attributes without a column are needed.
func (n *Needs) rest(place int) bool {
	if n == nil {
		return true
	}
	for k := range n.Attributes {
		if k.Scope == placeScopes[place] {
			return n.place(place)
		}
	}
	return false
}
