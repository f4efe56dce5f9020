package traces

import (
	"context"

	"github.com/hune-io/hune/internal/block"
)

// spansPerChunk returns how many spans of each chunk some traces have.
func (g *group) spansPerChunk(traces []int) []int {
	out := make([]int, chunkCount(g.entry.spans))
	for _, t := range traces {
		for row := g.first[t]; row < g.first[t+1]; {
			c := row / chunkSpans
			to := min(g.first[t+1], (c+1)*chunkSpans)
			out[c] += to - row
			row = to
		}
	}
	return out
}

// SpanTimes calls visit for the spans of some traces, which ascend, with their start and, if durations are asked
// for, their duration; zero for one that ends before it starts. What visit was called with is wrong if an error comes in
// the end.
func (r *RowGroup) SpanTimes(ctx context.Context, traces []int, durations bool, visit func(row int, start uint64, duration int64)) error {
	g := r.g
	if len(traces) == 0 {
		return nil
	}
	if err := g.tree(ctx); err != nil {
		return err
	}
	times := chunkTimes{group: g, durations: durations, chunk: -1}
	if err := times.load(ctx, g.spansPerChunk(traces)); err != nil {
		return err
	}
	var up []uint64
	for _, t := range traces {
		up = append(up[:0], g.starts[t])
		for row := g.first[t]; row < g.first[t+1]; row++ {
			if err := times.turn(row / chunkSpans); err != nil {
				return err
			}
			depth := g.depths.At(row)
			at := up[depth] + uint64(times.start.At(row%chunkSpans))
			up = append(up[:depth+1], at)
			ns := int64(0)
			if durations {
				ns = times.duration.At(row % chunkSpans)
			}
			visit(row, at, max(ns, 0))
		}
	}
	return times.failure()
}

// chunkTimes reads starts, and if asked for durations, of chunks: in pieces where few are wanted.
type chunkTimes struct {
	*group
	durations       bool
	views           []*chunkView // nil: none
	chunk           int          // at hand
	start, duration block.IntsView
	pieces          [2]block.PieceReader
}

// load reads what is needed of so many spans of each chunk.
func (t *chunkTimes) load(ctx context.Context, perChunk []int) (err error) {
	if t.views, err = t.viewChunks(ctx, perChunk); err != nil {
		return err
	}
	var own []int
	for c, n := range perChunk {
		if n == 0 || t.views != nil && t.views[c] != nil {
			continue
		}
		own = append(own, t.dir.chunkBlob(c))
		if t.durations {
			own = append(own, t.dir.chunkBlob(c)+1)
		}
	}
	return t.group.load(ctx, nil, own...)
}

// turn begins with another chunk.
func (t *chunkTimes) turn(chunk int) (err error) {
	if chunk == t.chunk {
		return nil
	}
	t.chunk = chunk
	if t.views != nil && t.views[chunk] != nil {
		v := t.views[chunk]
		t.start = v.starts.View(&t.pieces[0], v.views, v.at)
		t.duration = v.viewDurations(t.group, chunk, &t.pieces[1])
		return nil
	}
	if t.start, err = t.viewChunk(&t.start, chunk, 0); err == nil && t.durations {
		t.duration, err = t.viewChunk(&t.duration, chunk, 1)
	}
	return err
}

func (t *chunkTimes) failure() error {
	for i := range t.pieces {
		if err := t.pieces[i].Err(); err != nil {
			return t.corrupt("times", err)
		}
	}
	return nil
}

// Durations calls visit for the spans of ranges of rows, which ascend, with the first of some rows and their
// durations as they are stored: below zero for a span that ends before it starts.
func (r *RowGroup) Durations(ctx context.Context, ranges [][2]int, visit func(from int, durations []int64) error) error {
	g := r.g
	var own []int
	last := -1
	for _, rows := range ranges {
		for c := max(rows[0]/chunkSpans, last+1); c <= (rows[1]-1)/chunkSpans; c++ {
			own = append(own, g.dir.chunkBlob(c)+1)
			last = c
		}
	}
	if err := g.load(ctx, nil, own...); err != nil {
		return err
	}
	chunk := -1
	var list []int64
	for _, rows := range ranges {
		for from := rows[0]; from < rows[1]; {
			if c := from / chunkSpans; c != chunk {
				var err error
				if list, err = g.chunkInts(list, c, 1); err != nil {
					return err
				}
				chunk = c
			}
			to := min(rows[1], (chunk+1)*chunkSpans)
			if err := visit(from, list[from-chunk*chunkSpans:to-chunk*chunkSpans]); err != nil {
				return err
			}
			from = to
		}
	}
	return nil
}
