package logs

import (
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// headLabels is which streams have which labels: by name, then value.
type headLabels map[string]*headLabel

// headLabel is one name.
type headLabel struct {
	streams map[string][]uint32 // value → indexes of streams, ascending
	values  []string            // in order of arrival; never changes below its length

	mu     sync.Mutex // of sorted; nothing else is sorted under it
	sorted []string   // the first len(sorted) of values, ascending; replaced, never changed
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
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sorted) < len(all) {
		fresh := slices.Clone(all[len(l.sorted):])
		sortStrings(fresh)
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
	has := h.streamsWithRows(start, end, sets)
	count := has.Count()
	h.mu.RLock()
	all := h.streams[:has.Len():has.Len()]
	label := h.labels[name]
	switch {
	case name == "" && count > 0:
		names := make([]string, 0, len(h.labels))
		for name, l := range h.labels {
			if l.any(has) {
				names = append(names, name)
			}
		}
		h.mu.RUnlock()
		slices.Sort(names)
		return names
	case name == "" || label == nil:
		h.mu.RUnlock()
		return nil
	case count < len(label.values)/fewStreams:
		// Fast path: looking at the streams that are left is cheaper than trying all values.
		h.mu.RUnlock()
		c := labelCollector{name: name}
		for i := has.Next(0); i >= 0; i = has.Next(i + 1) {
			c.add(all[i].labels)
		}
		return c.sorted()
	}
	values := make([]string, 0, len(label.streams))
	for value, list := range label.streams {
		if anyBelow(list, has) {
			values = append(values, value)
		}
	}
	h.mu.RUnlock()
	sortStrings(values)
	return values
}

// any reports whether a stream of the label is in has.
func (l *headLabel) any(has *block.Bitmap) bool {
	for _, list := range l.streams {
		if anyBelow(list, has) {
			return true
		}
	}
	return false
}

// anyBelow is anyOf for streams that ascend, of which has may not know the newest.
func anyBelow(streams []uint32, has *block.Bitmap) bool {
	for _, stream := range streams {
		if int(stream) >= has.Len() {
			break
		}
		if has.Get(int(stream)) {
			return true
		}
	}
	return false
}

// streamsWithRows returns the streams that match any of the sets and have rows in [start, end), by number.
func (h *buffer) streamsWithRows(start, end int64, sets []matcherSet) *block.Bitmap {
	every := slices.ContainsFunc(sets, func(set matcherSet) bool { return len(set) == 0 })
	var matched []*headStream
	if !every {
		matched = h.matchingUnordered(sets)
	}
	var unsure []*headStream
	h.mu.RLock()
	has := block.NewBitmap(len(h.streams))
	judge := func(i int) {
		switch t := h.spans[i]; {
		case t.touches(start, end):
			has.Set(i)
		case t.overlaps(start, end):
			unsure = append(unsure, h.streams[i])
		}
	}
	if every {
		for i := range h.spans {
			judge(i)
		}
	}
	for _, st := range matched {
		judge(int(st.number))
	}
	h.mu.RUnlock()
	views, _ := h.snapshot(unsure, func(timeRange) bool { return true })
	for i := range views {
		if views[i].hasRows(start, end) {
			has.Set(int(unsure[i].number))
		}
	}
	return has
}
