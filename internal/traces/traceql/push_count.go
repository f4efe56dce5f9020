package traceql

import (
	"math/bits"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/traces"
)

// maxSlots bounds what a groupFold counts in arrays: 16 MiB of histograms.
const maxSlots = 1 << 16

// groupFold counts the spans of one row group. What tells the labels of a span, its class and where that doesn't
// suffice its resource, has a number, its slot, so that counting is an addition to an array.
type groupFold struct {
	*foldGroups
	*pusher
	rows   traces.RowSet
	labels classLabels

	first   []int
	classes *traces.Codes
	ranks   []int64       // nil: classes tell
	base    []int         // of each class, its first slot
	classOf []int32       // of each slot
	mask    []bool        // classes that count, nil: bits or all
	bits    *block.Bitmap // spans that count, nil: mask or all
	groups  []*group      // by slot

	// What was counted of one step.
	counts   []uint32 // by slot
	hist     []slotHistogram
	touched  []int // slots that have spans
	promised []int // by step, spans that will be offered as exemplars
}

type slotHistogram [64]uint32

// run is rows whose spans all start in one step.
type run struct{ from, to, step int }

func (f *groupFold) fold() error {
	if err := f.open(); err != nil {
		return err
	}
	runs, timed, err := f.split()
	if err != nil {
		return err
	}
	if err := f.count(runs); err != nil {
		return err
	}
	return f.timed(timed)
}

func (f *groupFold) open() (err error) {
	if f.first, err = f.g.First(f.ctx); err != nil {
		return err
	}
	if f.classes, err = f.g.Classes(f.ctx); err != nil {
		return err
	}
	if f.labels.byRank {
		if f.ranks, err = f.g.Ranks(f.ctx); err != nil {
			return err
		}
	}
	slots := 0
	for class := range f.g.ClassCount() {
		f.base = append(f.base, slots)
		if slots++; f.ranks != nil {
			slots += len(f.g.Resources(class)) - 1
		}
		for len(f.classOf) < slots {
			f.classOf = append(f.classOf, int32(class))
		}
	}
	f.groups = make([]*group, slots)
	if f.mask = f.rows.ClassMask(); f.mask == nil && !f.rows.IsAll() {
		f.bits, err = f.g.Bits(f.ctx, f.rows)
	}
	return err
}

// has reports whether a span counts.
func (f *groupFold) has(row int) bool {
	if f.mask != nil {
		return f.mask[f.classes.At(row)]
	}
	return f.bits == nil || f.bits.Get(row)
}

func (f *groupFold) slot(row int) int {
	slot := f.base[f.classes.At(row)]
	if f.ranks != nil {
		slot += int(f.ranks[row])
	}
	return slot
}

// group returns the group of a slot.
func (f *groupFold) group(slot int) (*group, error) {
	if gr := f.groups[slot]; gr != nil {
		return gr, nil
	}
	class := int(f.classOf[slot])
	gr, err := f.acc.group(f.labels.values(class, slot-f.base[class]))
	f.groups[slot] = gr
	return gr, err
}

// split finds the rows whose spans' own starts don't matter, since their trace lies in one step. The traces
// left over are timed.
func (f *groupFold) split() (runs []run, timed []int, err error) {
	starts, ends, err := f.g.TraceTimes(f.ctx)
	if err != nil {
		return nil, nil, err
	}
	whole := (f.acc.isCount() || f.acc.isHistogram()) && len(f.groups) <= maxSlots
	step, after, until := -1, uint64(1), uint64(0) // what is in the step: (after, until]
	for t := range f.g.Traces() {
		if ends[t] <= f.w.from() || starts[t] > f.w.to() || f.g.Apart(t) {
			continue
		}
		from, to := f.first[t], f.first[t+1]
		f.seen.Traces++
		f.seen.Spans += int64(to - from)
		if starts[t] <= after || ends[t] > until { // traces come in order: few begin another step
			if step = f.w.at(starts[t]); step >= 0 {
				after, until = f.w.bounds(step)
			} else {
				after, until = 1, 0
			}
		}
		if !whole || step < 0 || ends[t] > until || f.offers(from, to, step) {
			timed = append(timed, t)
			continue
		}
		if n := len(runs); n > 0 && runs[n-1].to == from && runs[n-1].step == step {
			runs[n-1].to = to
			continue
		}
		runs = append(runs, run{from, to, step})
	}
	return runs, timed, nil
}

// offers reports whether the spans of a trace in one step shall be offered as exemplars.
func (f *groupFold) offers(from, to, step int) bool {
	x := f.acc.exemplars
	if x.left <= 0 || x.perStep[step] <= 0 {
		return false
	}
	if f.promised == nil {
		f.promised = make([]int, len(x.perStep))
	}
	if f.promised[step] >= x.perStep[step] {
		return false
	}
	n := 0
	for row := from; row < to; row++ {
		if f.has(row) {
			n++
		}
	}
	f.promised[step] += n
	return n > 0
}

// count counts the spans of runs.
func (f *groupFold) count(runs []run) error {
	f.counts = make([]uint32, len(f.groups))
	if counted, err := f.countBytes(runs); counted || err != nil {
		return err
	}
	if f.acc.isCount() {
		for i, r := range runs {
			f.countRows(r.from, r.to)
			if i+1 == len(runs) || runs[i+1].step != r.step {
				if err := f.flush(r.step); err != nil {
					return err
				}
			}
		}
		return nil
	}
	f.acc.seconds = true
	f.hist = make([]slotHistogram, len(f.groups))
	ranges := make([][2]int, len(runs))
	for i, r := range runs {
		ranges[i] = [2]int{r.from, r.to}
	}
	last, at := -1, 0
	err := f.g.Durations(f.ctx, ranges, func(from int, list []int64) error {
		for runs[at].to <= from {
			at++
		}
		if step := runs[at].step; step != last {
			if err := f.flush(last); err != nil {
				return err
			}
			last = step
		}
		f.countDurations(from, list)
		return nil
	})
	if err != nil {
		return err
	}
	return f.flush(last)
}

// slotOf returns the slot of a span, which touched has from now on. ok is false for one that doesn't count.
func (f *groupFold) slotOf(row int) (slot int, ok bool) {
	class := f.classes.At(row)
	if f.mask != nil && !f.mask[class] || f.bits != nil && !f.bits.Get(row) {
		return 0, false
	}
	slot = f.base[class]
	if f.ranks != nil {
		slot += int(f.ranks[row])
	}
	if f.counts[slot] == 0 {
		f.touched = append(f.touched, slot)
	}
	f.counts[slot]++
	return slot, true
}

func (f *groupFold) countRows(from, to int) {
	for row := from; row < to; row++ {
		f.slotOf(row)
	}
}

func (f *groupFold) countDurations(from int, list []int64) {
	for i, ns := range list {
		if ns < 2 { // see histogram
			continue
		}
		if slot, ok := f.slotOf(from + i); ok {
			f.hist[slot][bits.Len64(uint64(ns-1))]++
		}
	}
}

// flush adds what was counted to the groups.
func (f *groupFold) flush(step int) error {
	for _, slot := range f.touched {
		gr, err := f.group(slot)
		if err != nil {
			return err
		}
		if f.hist == nil {
			gr.sums[step] += float64(f.counts[slot])
		} else {
			if gr.hist[step] == nil {
				gr.hist[step] = &histogram{}
			}
			for b, n := range &f.hist[slot] {
				if n > 0 {
					gr.hist[step][b] += float64(n)
				}
			}
			f.hist[slot] = slotHistogram{}
		}
		f.counts[slot] = 0
	}
	f.touched = f.touched[:0]
	return nil
}

// timed counts the spans of traces, each in the step that it starts in.
func (f *groupFold) timed(list []int) error {
	var failed error
	isHistogram, isCount := f.acc.isHistogram(), f.acc.isCount()
	err := f.g.SpanTimes(f.ctx, list, !isCount, func(row int, start uint64, ns int64) {
		step := f.w.at(start)
		if step < 0 || failed != nil || !f.has(row) {
			return
		}
		bucket := -1
		if isHistogram {
			if bucket = log2Bucket(durationValue(ns)); bucket < 0 {
				return
			}
		}
		gr, err := f.group(f.slot(row))
		if err != nil {
			failed = err
			return
		}
		value := 0.0
		switch {
		case isCount:
			gr.sums[step]++
		case bucket >= 0:
			if gr.hist[step] == nil {
				gr.hist[step] = &histogram{}
			}
			gr.hist[step][bucket]++
			value = metricValue(durationValue(ns))
		default:
			value = metricValue(durationValue(ns))
			gr.observe(f.acc.fn, step, value)
		}
		f.acc.seconds = f.acc.seconds || !isCount
		failed = f.exemplar(gr, row, step, start, value)
	})
	if err != nil {
		return err
	}
	return failed
}

// exemplar offers a span.
func (f *groupFold) exemplar(gr *group, row, step int, start uint64, value float64) error {
	x := f.acc.exemplars
	if x.left <= 0 || x.perStep[step] <= 0 {
		return nil
	}
	trace, span, err := f.g.SpanID(f.ctx, row)
	if err != nil {
		return err
	}
	x.offer(gr, &spanEnv{view: &traceView{trace: &traces.Trace{ID: trace}}, span: &traces.Span{ID: span, Start: start}}, step, value)
	return nil
}
