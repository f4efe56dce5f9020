package logs

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// headLabels is which streams have which labels: by name, then value.
type headLabels map[string]*headLabel

// headLabel is one name.
type headLabel struct {
	streams map[string][]uint32 // value → indexes of streams, ascending
	values  []string            // in order of arrival; never changes below its length
	sorted  []string            // the first len(sorted) of values, ascending; replaced, never changed. sortMu guards it.
}

// labelOverhead is what a value of a label costs beyond what is counted otherwise.
const labelOverhead = 112

// add notes stream number, and returns what memory that takes beyond its share of streamOverhead.
func (l headLabels) add(ls labels.Labels, number uint32) (size int64) {
	ls.Range(func(one labels.Label) {
		n := l[one.Name]
		if n == nil {
			n = &headLabel{streams: map[string][]uint32{}}
			l[one.Name] = n
		}
		list, ok := n.streams[one.Value]
		if !ok {
			n.values = append(n.values, one.Value)
			size += labelOverhead
		}
		n.streams[one.Value] = append(list, number)
	})
	return size
}

// sortedValues returns the values of a label, ascending. It sorts those that are new since the last call.
func (h *buffer) sortedValues(name string) []string {
	h.mu.RLock()
	l := h.labels[name]
	var all []string
	if l != nil {
		all = l.values[:len(l.values):len(l.values)]
	}
	h.mu.RUnlock()
	if l == nil {
		return nil
	}
	h.sortMu.Lock()
	defer h.sortMu.Unlock()
	if len(l.sorted) < len(all) {
		fresh := slices.Sorted(slices.Values(all[len(l.sorted):]))
		l.sorted = mergeStrings(l.sorted, fresh)
	}
	return l.sorted
}

// mergeStrings merges two ascending lists into a new one, in which each string is once.
func mergeStrings(a, b []string) []string {
	out := make([]string, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			out, a = append(out, a[0]), a[1:]
		case a[0] > b[0]:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// strings returns the names of the labels of streams that match any of the sets and have rows in
// [start, end), or with a name the values that it has there, ascending.
func (h *buffer) strings(start, end int64, sets []matcherSet, name string) []string {
	if len(sets) != 1 || len(sets[0]) > 0 || !h.within(start, end) {
		return h.matchingStrings(start, end, sets, name)
	}
	if name != "" {
		return slices.Clone(h.sortedValues(name))
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	names := make([]string, 0, len(h.labels))
	for name := range h.labels {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// within reports whether every stream has rows in [start, end).
func (h *buffer) within(start, end int64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.times.inside(start, end) && h.filled == len(h.streams)
}

// matchingStrings looks at each stream that may match.
func (h *buffer) matchingStrings(start, end int64, sets []matcherSet, name string) []string {
	c := labelCollector{name: name}
	var unsure []*headStream
	matched := h.matchingUnordered(sets)
	h.mu.RLock()
	for _, st := range matched {
		switch {
		case st.times.touches(start, end):
			c.add(st.labels)
		case st.times.overlaps(start, end):
			unsure = append(unsure, st)
		}
	}
	h.mu.RUnlock()
	views, _ := h.snapshot(unsure, func(timeRange) bool { return true })
	for i := range views {
		if views[i].hasRows(start, end) {
			c.add(views[i].labels)
		}
	}
	return c.sorted()
}
