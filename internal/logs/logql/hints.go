package logql

import (
	"slices"
	"strings"
)

// hints tell parsers what of a line is worth parsing.
//
// They change answers, not only speed: a label that nobody needs is not parsed, so a fault behind it
// is never seen, and a filter on a parsed label refuses the line while it is parsed. Loki's users
// rely on both without knowing, so the rules are kept: which labels are required follows from the
// grouping and from what later stages read, and with a grouping by labels no filter is asked early.
type hints struct {
	none     bool     // no label is needed: parsers do nothing
	required []string // nil: all
	filters  []hintFilter
	preserve bool // the query asks for __error__: samples with errors are welcome
}

type hintFilter struct {
	name   string
	filter labelPredicate
}

// accepts reports whether the filter on name, if any, lets the row pass.
func (h *hints) accepts(name string, s *labelSet) bool {
	for i := range h.filters {
		if h.filters[i].name == name {
			return h.filters[i].filter.keep(s)
		}
	}
	return true
}

func (h *hints) wants(name string) bool {
	return h.required == nil || slices.Contains(h.required, name)
}

// wantsPrefix reports whether a label that starts with prefix may be required.
func (h *hints) wantsPrefix(prefix []byte) bool {
	if h.required == nil {
		return true
	}
	p := view(prefix)
	for _, r := range h.required {
		if strings.HasPrefix(r, p) {
			return true
		}
	}
	return false
}

// logHints are the hints of a log query: every label is shown.
func logHints(filters []hintFilter) *hints { return &hints{filters: filters} }

// sampleHints are the hints of a metric query. grouping is nil when all labels are kept.
func sampleHints(filters []hintFilter, needed []string, grouping *Grouping, unwrap string) *hints {
	h := &hints{filters: filters}
	var names []string
	add := func(more ...string) {
		for _, n := range more {
			if n == "" {
				continue
			}
			names = append(names, n)
			if base, ok := strings.CutSuffix(n, extractedSuffix); ok {
				names = append(names, base)
			}
		}
	}
	add(needed...)
	if grouping != nil {
		add(grouping.Labels...)
	}
	add(unwrap)
	slices.Sort(names)
	names = slices.Compact(names)
	h.preserve = slices.Contains(names, errorLabel)
	switch {
	case grouping == nil || grouping.Without:
	case len(names) == 0:
		h.none = true
	default:
		h.required = names
		if len(grouping.Labels) > 0 {
			h.filters = nil
		}
	}
	return h
}
