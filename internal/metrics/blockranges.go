package metrics

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
)

// RangeReader reads ranges of objects by their names from the root of the bucket: n bytes from off on,
// fewer only if the object ends there. Nobody writes to the result.
type RangeReader interface {
	ReadRange(ctx context.Context, name string, off, n int64) ([]byte, error)
}

const (
	// maxGap is how many unwanted bytes between two wanted ranges are read rather than to send another
	// request: one costs object storage as much as reading some hundred kilobytes, but what is read is
	// also held.
	maxGap = 64 << 10

	// maxRead bounds one request, so that several go on at the same time.
	maxRead = 4 << 20

	// readers is how many requests one selection has under way for one block.
	readers = 8
)

// span is a wanted range of an object; data are its bytes once read, fewer if the object ends before.
type span struct {
	off, n int64
	data   []byte
}

// readSpans reads the ranges, of which near ones share a request. It sorts spans by offset.
func readSpans(ctx context.Context, r RangeReader, name string, spans []*span) error {
	slices.SortFunc(spans, func(a, b *span) int { return cmp.Compare(a.off, b.off) })
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for len(spans) > 0 {
		run, off, end := joined(spans)
		spans = spans[len(run):]
		g.Go(func() error {
			buf, err := r.ReadRange(gctx, name, off, end-off)
			if err != nil {
				return err
			}
			for _, s := range run {
				from := min(s.off-off, int64(len(buf)))
				to := min(s.off+s.n-off, int64(len(buf)))
				s.data = buf[from:to:to]
			}
			return nil
		})
	}
	return g.Wait()
}

// joined returns the first spans that one request reads, and its range.
func joined(spans []*span) (run []*span, off, end int64) {
	off, end = spans[0].off, spans[0].off+spans[0].n
	n := 1
	for ; n < len(spans); n++ {
		to := max(end, spans[n].off+spans[n].n)
		if spans[n].off-end > maxGap || to-off > maxRead {
			break
		}
		end = to
	}
	return spans[:n], off, end
}

// joinedBytes is how much readSpans reads, and a selection therefore holds.
func joinedBytes(spans []*span) (n int64) {
	slices.SortFunc(spans, func(a, b *span) int { return cmp.Compare(a.off, b.off) })
	for len(spans) > 0 {
		run, off, end := joined(spans)
		spans, n = spans[len(run):], n+end-off
	}
	return n
}
