package logs

import (
	"encoding/binary"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// VolumeQuery asks how much the streams that match all Matchers hold in [Start, End), in nanoseconds.
type VolumeQuery struct {
	Matchers   []Matcher
	Start, End int64
	// Step, where set, asks how much of it falls into each step of so many nanoseconds from Start on, too.
	Step int64
	// Groups says which streams are added up.
	Groups VolumeGroups
	// By are the labels that GroupLabels and GroupNames are about, ascending, each once.
	By []string
	// Only leaves the groups with these labels; nil leaves all. A question for steps is asked about few groups.
	Only []labels.Labels
}

// VolumeGroups says which streams are added up in an answer about volumes.
type VolumeGroups int

// The ways to group streams.
const (
	GroupStreams VolumeGroups = iota // each stream is a group
	GroupLabels                      // streams with the same values of By
	GroupNames                       // streams that have a label of that name, one of By or any: {name=""}
)

// Volume is what a group of streams holds in a range of time. Entries are exact; bytes are taken in proportion
// where a page is only partly in the range or the step.
type Volume struct {
	Labels  labels.Labels // of the group
	Entries int64
	Bytes   int64 // of lines and metadata, uncompressed
	Pages   int64
	// Steps are the bytes of step First and those after it, where steps were asked for.
	First int
	Steps []int64
}

func (v *Volume) add(step int, rows, bytes int64) {
	v.Entries += rows
	v.Bytes += bytes
	if step < 0 {
		return
	}
	switch {
	case len(v.Steps) == 0:
		v.First = step
		v.Steps = append(v.Steps, 0)
	case step < v.First:
		v.Steps = slices.Insert(v.Steps, 0, make([]int64, v.First-step)...)
		v.First = step
	}
	for step >= v.First+len(v.Steps) {
		v.Steps = append(v.Steps, 0)
	}
	v.Steps[step-v.First] += bytes
}

// join adds what another part has of the group.
func (v *Volume) join(o *Volume) {
	v.Pages += o.Pages
	v.add(-1, o.Entries, o.Bytes)
	for i, bytes := range o.Steps {
		v.add(o.First+i, 0, bytes)
		v.Bytes -= bytes // counted above
	}
}

// steps returns in which step t is, which lies in the range; -1 where there are none.
func (q *VolumeQuery) step(t int64) int {
	if q.Step <= 0 {
		return -1
	}
	return int(uint64(t-q.Start) / uint64(q.Step))
}

// whole reports whether all of t is in one step of the range.
func (q *VolumeQuery) whole(t timeRange) bool {
	return t.inside(q.Start, q.End) && (q.Step <= 0 || q.step(t.min) == q.step(t.max))
}

// cut calls f for each step with how many of ts, which ascend, are in it.
func (q *VolumeQuery) cut(ts []int64, f func(step, rows int)) {
	lo, _ := slices.BinarySearch(ts, q.Start)
	hi, _ := slices.BinarySearch(ts, q.End)
	for lo < hi {
		step, next := q.step(ts[lo]), hi
		if end := q.Start + int64(step+1)*q.Step; step >= 0 && end > q.Start && end < q.End {
			n, _ := slices.BinarySearch(ts[lo:hi], end)
			next = lo + n
		}
		f(step, next-lo)
		lo = next
	}
}

// volumeSums adds up volumes by group. Not safe for concurrent use.
type volumeSums struct {
	q      *VolumeQuery
	groups []*Volume
	places map[string]*Volume // nil: not wanted
	only   map[string]struct{}
	key    []byte
	found  []*Volume
}

func newVolumeSums(q *VolumeQuery) *volumeSums {
	s := &volumeSums{q: q, places: map[string]*Volume{}}
	if q.Only == nil {
		return s
	}
	s.only = make(map[string]struct{}, len(q.Only))
	for _, ls := range q.Only {
		s.only[string(ls.Bytes(nil))] = struct{}{}
	}
	return s
}

// of returns the groups of a stream. The slice is valid until the next call.
func (s *volumeSums) of(ls func() labels.Labels, values func(i int) string) []*Volume {
	s.found, s.key = s.found[:0], s.key[:0]
	switch s.q.Groups {
	case GroupLabels:
		for i := range s.q.By {
			v := values(i)
			s.key = append(binary.AppendUvarint(s.key, uint64(len(v))), v...)
		}
		s.take(func() labels.Labels { return s.groupLabels(values) })
	case GroupNames:
		ls().Range(func(l labels.Label) {
			if len(s.q.By) == 0 || slices.Contains(s.q.By, l.Name) {
				s.key = append(s.key[:0], l.Name...)
				s.take(func() labels.Labels { return nameOnly(l.Name) })
			}
		})
	default:
		s.key = ls().Bytes(s.key)
		s.take(ls)
	}
	return s.found
}

// take puts the group of the key into found, unless it isn't wanted.
func (s *volumeSums) take(ls func() labels.Labels) {
	g, ok := s.places[string(s.key)]
	if !ok {
		made, wanted := ls(), s.only == nil
		if !wanted {
			_, wanted = s.only[string(made.Bytes(nil))]
		}
		if wanted {
			g = &Volume{Labels: made}
			s.groups = append(s.groups, g)
		}
		s.places[string(s.key)] = g
	}
	if g != nil {
		s.found = append(s.found, g)
	}
}

func (s *volumeSums) groupLabels(values func(i int) string) labels.Labels {
	b := labels.NewScratchBuilder(len(s.q.By))
	for i, name := range s.q.By {
		if v := values(i); v != "" {
			b.Add(name, v)
		}
	}
	return b.Labels()
}

// nameOnly is {name=""}, which is how a volume by label names it.
func nameOnly(name string) labels.Labels {
	b := labels.NewScratchBuilder(1)
	b.Add(name, "")
	return b.Labels()
}

// answer returns the groups with rows.
func (s *volumeSums) answer() []Volume {
	out := make([]Volume, 0, len(s.groups))
	for _, g := range s.groups {
		if g.Entries > 0 {
			out = append(out, *g)
		}
	}
	return out
}
