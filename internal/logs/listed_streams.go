package logs

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// listedStreams are streams in memory with what leads to them by label, as postings do in a block.
type listedStreams struct {
	labelSets
	names []valueList // ascending by name
}

// valueList is the values of a label and the streams that have them.
type valueList struct {
	name    string
	values  []string // ascending
	starts  []uint32 // value i is of streams[starts[i]:starts[i+1]], which ascend
	streams []uint32
}

// What lists take in memory for each label of a stream, and for each value of a label.
const (
	listedLabelSize = 4
	listedValueSize = 20
)

// valueLister collects the values of a label, in order of arrival.
type valueLister struct {
	numbers map[string]uint32
	values  []string
	of      []uint32 // number of the value, by element of streams
	streams []uint32
}

func (l *valueLister) add(stream uint32, value string) {
	// Fast path: streams are in order, so that values come in runs.
	n := len(l.of)
	if n == 0 || l.values[l.of[n-1]] != value {
		number, ok := l.numbers[value]
		if !ok {
			number = uint32(len(l.values))
			l.numbers[value], l.values = number, append(l.values, value)
		}
		l.of = append(l.of, number)
	} else {
		l.of = append(l.of, l.of[n-1])
	}
	l.streams = append(l.streams, stream)
}

// list sorts what was collected.
func (l *valueLister) list(name string) valueList {
	out := valueList{name: name, values: slices.Clone(l.values), starts: make([]uint32, len(l.values)+1), streams: make([]uint32, len(l.streams))}
	sortStrings(out.values)
	rank := make([]uint32, len(l.values)) // by number
	for i, v := range out.values {
		rank[l.numbers[v]] = uint32(i)
	}
	for _, number := range l.of {
		out.starts[rank[number]+1]++
	}
	for i := range out.values {
		out.starts[i+1] += out.starts[i]
	}
	next := slices.Clone(out.starts)
	for k, number := range l.of {
		at := &next[rank[number]]
		out.streams[*at] = l.streams[k]
		*at++
	}
	return out
}

// listStreams makes the lists of streams, which ascend.
func listStreams(sets []labels.Labels) *listedStreams {
	byName := map[string]*valueLister{}
	for i, ls := range sets {
		ls.Range(func(l labels.Label) {
			n := byName[l.Name]
			if n == nil {
				n = &valueLister{numbers: map[string]uint32{}}
				byName[l.Name] = n
			}
			n.add(uint32(i), l.Value)
		})
	}
	s := &listedStreams{labelSets: sets, names: make([]valueList, 0, len(byName))}
	for name, l := range byName {
		s.names = append(s.names, l.list(name))
	}
	slices.SortFunc(s.names, func(a, b valueList) int { return compareStrings(a.name, b.name) })
	return s
}

// size is what the lists hold in memory, about.
func (s *listedStreams) size() (n int64) {
	for i := range s.names {
		n += int64(len(s.names[i].streams))*listedLabelSize + int64(len(s.names[i].values))*listedValueSize
	}
	return n
}

// list returns the values of a label; none if no stream has it.
func (s *listedStreams) list(name string) *valueList {
	i, ok := slices.BinarySearchFunc(s.names, name, func(l valueList, name string) int { return compareStrings(l.name, name) })
	if !ok {
		return new(valueList)
	}
	return &s.names[i]
}

// of returns the streams that have value i.
func (l *valueList) of(i int) []uint32 { return l.streams[l.starts[i]:l.starts[i+1]] }

// find returns the streams that match all of the matchers.
func (s *listedStreams) find(set matcherSet) (*block.Bitmap, error) {
	found := block.NewBitmap(len(s.labelSets))
	found.SetAll()
	one := block.NewBitmap(len(s.labelSets))
	for _, m := range cheapestFirst(set) {
		list := s.list(m.Name)
		if searchCost(m) > 0 && found.Count() < len(list.values)/fewStreams {
			// Fast path: looking at the streams that are left is cheaper than trying all values.
			for i := found.Next(0); i >= 0; i = found.Next(i + 1) {
				if !m.Matches(s.labelSets[i].Get(m.Name)) {
					found.Unset(i)
				}
			}
			continue
		}
		one.Reset(len(s.labelSets))
		if err := list.find(m, one); err != nil {
			return nil, err
		}
		found.And(one)
	}
	return found, nil
}

// find sets the streams that match m in the empty set out. A matcher that matches a missing label finds all
// streams but those with a value that doesn't match.
func (l *valueList) find(m *labels.Matcher, out *block.Bitmap) error {
	absent := m.Matches("")
	if absent {
		var err error
		if m, err = m.Inverse(); err != nil {
			return err
		}
	}
	if values, ok := listedValues(m); ok {
		for _, v := range values {
			if i, ok := slices.BinarySearch(l.values, v); ok {
				l.set(i, out)
			}
		}
	} else {
		for i, v := range l.values {
			if m.Matches(v) {
				l.set(i, out)
			}
		}
	}
	if absent {
		out.Not()
	}
	return nil
}

func (l *valueList) set(i int, out *block.Bitmap) {
	for _, stream := range l.of(i) {
		out.Set(int(stream))
	}
}

// strings implements streamList.
func (s *listedStreams) strings(has *block.Bitmap, name string) []string {
	count := has.Count()
	if name == "" {
		out := make([]string, 0, len(s.names))
		for i := range s.names {
			if count == len(s.labelSets) || anyOf(s.names[i].streams, has) {
				out = append(out, s.names[i].name)
			}
		}
		return out
	}
	list := s.list(name)
	switch {
	case count == len(s.labelSets):
		return slices.Clone(list.values)
	case count < len(list.values)/fewStreams:
		return s.labelSets.strings(has, name)
	}
	out := make([]string, 0, min(count, len(list.values)))
	for i, v := range list.values {
		if anyOf(list.of(i), has) {
			out = append(out, v)
		}
	}
	return out
}

// anyOf reports whether any of the streams is in has.
func anyOf(streams []uint32, has *block.Bitmap) bool {
	return slices.ContainsFunc(streams, func(stream uint32) bool { return has.Get(int(stream)) })
}
