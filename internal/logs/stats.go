package logs

import (
	"context"
	"sync/atomic"
)

// Stats counts what a query cost while it runs. The parts that it reads add to the Stats of their
// context. Safe for concurrent use; a nil *Stats counts nothing.
type Stats struct {
	blocks, pages, bytesRead, rangeReads, lines, lineBytes atomic.Int64
}

type statsKey struct{}

// WithStats returns a context whose queries are counted in the returned Stats.
func WithStats(ctx context.Context) (context.Context, *Stats) {
	s := new(Stats)
	return context.WithValue(ctx, statsKey{}, s), s
}

// StatsFrom returns the Stats of ctx, or nil.
func StatsFrom(ctx context.Context) *Stats {
	s, _ := ctx.Value(statsKey{}).(*Stats)
	return s
}

// Snapshot returns the counts so far; what is not about reading is left zero.
func (s *Stats) Snapshot() QueryStats {
	if s == nil {
		return QueryStats{}
	}
	return QueryStats{
		Blocks: s.blocks.Load(), Pages: s.pages.Load(), BytesRead: s.bytesRead.Load(), RangeReads: s.rangeReads.Load(),
		LinesProcessed: s.lines.Load(), BytesProcessed: s.lineBytes.Load(),
	}
}

// Add adds counts that were collected elsewhere, such as by a remote part.
func (s *Stats) Add(q QueryStats) {
	if s == nil {
		return
	}
	s.blocks.Add(q.Blocks)
	s.pages.Add(q.Pages)
	s.bytesRead.Add(q.BytesRead)
	s.rangeReads.Add(q.RangeReads)
	s.lines.Add(q.LinesProcessed)
	s.lineBytes.Add(q.BytesProcessed)
}

// read counts requests to a bucket and what they fetched.
func (s *Stats) read(requests, bytes int64) {
	if s == nil {
		return
	}
	s.rangeReads.Add(requests)
	s.bytesRead.Add(bytes)
}
