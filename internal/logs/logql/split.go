package logql

import (
	"context"
	"math"
	"slices"

	"github.com/hune-io/hune/internal/logs"
)

// Split says into how many jobs a query is cut. The zero Split cuts nothing.
type Split struct {
	JobBytes  int64 // of lines and metadata that a job is to look at, about
	MaxShards int   // of streams
	MaxJobs   int   // of one query at once
	// Pieces and Shards, where they are set, are what every query that can be is cut into.
	Pieces, Shards int
}

// Ask runs a job. It is called from several goroutines at once.
type Ask func(ctx context.Context, q *logs.Query) (*logs.Result, error)

// What bounds how a query is cut: how many pieces of time there may be, how short one may be, and how much of
// the work may be done twice. A page at the border of two pieces is opened for both.
const (
	maxPieces   = 128
	leastPiece  = 60_000_000_000 // nanoseconds
	maxOverhead = 0.15
)

// fixed reports whether numbers of pieces and shards are given.
func (s Split) fixed() bool { return s.Pieces > 0 && s.Shards > 0 }

// numbers returns into how many pieces and shards rows of the times [from, to) are cut: into as many jobs as
// their bytes are worth, in the way that has least work done twice; into fewer where that is too much.
func (s Split) numbers(e logs.Estimate, from, to int64, byStream bool) (pieces, shards int) {
	switch {
	case s.fixed() && byStream:
		return s.Pieces, s.Shards
	case s.fixed():
		return s.Pieces, 1
	case s.JobBytes <= 0 || e.Bytes <= s.JobBytes:
		return 1, 1
	}
	mostPieces := int(min(maxPieces, max((to-from)/leastPiece, 1)))
	mostShards := 1
	if byStream {
		mostShards = int(max(1, min(int64(s.MaxShards), e.Streams)))
	}
	for jobs := (e.Bytes + s.JobBytes - 1) / s.JobBytes; jobs > 1; jobs = jobs * 3 / 4 {
		pieces, shards = 1, 1
		best := math.Inf(1)
		for n := 1; n <= mostShards; n++ {
			p := int(min((jobs+int64(n)-1)/int64(n), int64(mostPieces)))
			// Jobs that are larger or smaller than they should be count, too.
			off := float64(jobs) / float64(p*n)
			cost := twice(e, from, to, p, n)
			if sum := cost + max(off, 1/off); cost <= maxOverhead && sum < best {
				best, pieces, shards = sum, p, n
			}
		}
		if pieces*shards > 1 {
			return pieces, shards
		}
	}
	return 1, 1
}

// twice returns how much is done more than once, as a share of all: pages at the borders of pieces of time,
// and pages with streams of several shards.
func twice(e logs.Estimate, from, to int64, pieces, shards int) float64 {
	if e.Pages == 0 {
		return 0
	}
	pages := float64(e.Pages)
	openAtOnce := min(e.PageSeconds/(float64(to-from)/1e9), pages)
	return float64(pieces-1)*openAtOnce/pages + min(float64(shards), max(float64(e.Runs)/pages, 1)) - 1
}

// cutTime cuts [from, to) into n pieces, or as many as there are nanoseconds. Where a step is given, they are
// cut at multiples of it from anchor on, so that samples of one evaluation time are not split, if the step is short enough.
func cutTime(from, to int64, n int, anchor, step int64) []timePiece {
	width := max((to-from)/int64(n), 1)
	out := make([]timePiece, 0, n)
	for at := from; at < to; {
		end := at + width
		if step > 0 && step <= width {
			end = max(anchor+floorTo(end-anchor, step), at+1)
		}
		if len(out) == n-1 || end > to {
			end = to
		}
		out = append(out, timePiece{at, end})
		at = end
	}
	return out
}

// cuttable reports whether rows of n may be given to jobs by time, and by stream.
func (n *rangeNode) cuttable() (byTime, byStream bool) {
	if n.doubled || slices.ContainsFunc(stagesOf(n.in), isDistinct) {
		return false, false
	}
	// First and last values and counters follow each other in time: pieces of time do, too. Of streams that
	// make one series, rows of one instant would have to be put in order again.
	return true, slices.Contains(anyOrder, n.agg.Op)
}

// cuttable: what is kept depends on what was kept before with an interval and with distinct. What the source
// can stop by itself reads little.
func (n *limitNode) cuttable() bool {
	return n.interval == 0 && !scanOf(n).limited && !slices.ContainsFunc(stagesOf(n.in), isDistinct)
}

func isDistinct(st Stage) bool {
	_, ok := st.(*Distinct)
	return ok
}

// cut puts merge nodes into a plan. estimates are of its range aggregations, or of its log query.
func (r *run) cut(p planNode, s Split, g grid, estimates []logs.Estimate) planNode {
	if n, ok := p.(*limitNode); ok {
		return r.cutEntries(n, s, estimates)
	}
	if !mayCut(p) {
		return p
	}
	ev := &evaluator{r: r, grid: g}
	merges, jobs := map[planNode]*mergeNode{}, 0
	all := leavesOf[*rangeNode](p)
	for i, n := range all {
		sel, e := ev.selectOf(n), logs.Estimate{}
		if i < len(estimates) {
			e = estimates[i]
		}
		_, byStream := n.cuttable()
		pieces, shards := s.numbers(e, sel.Start, sel.End, byStream)
		anchor := g.start - n.agg.Range.Offset.Nanoseconds() + 1
		merges[n] = &mergeNode{in: n.in, pieces: cutTime(sel.Start, sel.End, pieces, anchor, g.step), shards: shards}
		jobs += pieces * shards
	}
	if jobs == len(all) && !s.fixed() {
		return p // one job can do all of them
	}
	return rewrite(p, func(n planNode) planNode {
		if m := merges[n]; m != nil {
			return n.over([]planNode{m})
		}
		return n
	})
}

func (r *run) cutEntries(n *limitNode, s Split, estimates []logs.Estimate) planNode {
	if !n.cuttable() {
		return n
	}
	sel, e := r.selectOf(n), logs.Estimate{}
	if len(estimates) > 0 {
		e = estimates[0]
	}
	// Pieces of time let a query stop when it has enough; shards only help where pieces can't be short enough.
	pieces, shards := s.numbers(e, sel.Start, sel.End, s.fixed() || sel.End-sel.Start < 2*leastPiece)
	if pieces*shards == 1 && !s.fixed() {
		return n
	}
	cut := cutTime(sel.Start, sel.End, pieces, 0, 0)
	if n.direction == logs.Backward {
		slices.Reverse(cut)
	}
	return n.over([]planNode{&mergeNode{in: n.in, pieces: cut, shards: shards}})
}

// mayCut reports whether any part of a plan may be given to several jobs.
func mayCut(p planNode) bool {
	if n, ok := p.(*limitNode); ok {
		return n.cuttable()
	}
	all := leavesOf[*rangeNode](p)
	return len(all) > 0 && !slices.ContainsFunc(all, func(n *rangeNode) bool { byTime, _ := n.cuttable(); return !byTime })
}
