package logs

import (
	"context"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// batch is rows of a Head that were sealed: encoded pages in memory.
type batch struct {
	pageSet
	pages memoryPages
	size  int64 // memory
}

// sealBuffer encodes the rows of b, which must not be appended to any more.
func sealBuffer(ctx context.Context, b *buffer, o BlockOptions) (*batch, error) {
	o.setDefaults()
	w := &pageWriter{options: o.balanced(b.raw)}
	if err := b.writeRows(ctx, w); err != nil {
		return nil, err
	}
	w.end()
	streams := listStreams(w.streams)
	out := &batch{pages: w.pages}
	out.pageSet = pageSet{name: "(recent)", streams: streams, index: pageIndex{times: noTime}, store: out.pages, find: streams.find, filled: true}
	out.size = int64(len(w.streams))*24 + streams.size()
	for i := range w.pages {
		out.index.add(w.pages[i].entry)
		out.size += w.pages[i].size()
	}
	return out, nil
}

// balanced returns options under which size bytes make pages of equal length, rather than full ones and a
// rest.
func (o BlockOptions) balanced(size int64) BlockOptions {
	if n := (size + int64(o.PageBytes) - 1) / int64(o.PageBytes); n > 1 {
		// Pages end between rows, and before large streams: some room lets them end near the even share.
		o.PageBytes = min(o.PageBytes, int(size/n)+int(size/n)/16)
	}
	return o
}

// writeRows writes all rows: streams in order of labels, the rows of each in order of time, then of
// arrival.
func (h *buffer) writeRows(ctx context.Context, w *pageWriter) error {
	views, names := h.snapshot(h.ordered(), func(t timeRange) bool { return t.min <= t.max })
	for i := range views {
		v := &views[i]
		var chunks []*headChunk
		size := int64(0)
		for _, c := range append(v.sealed, &v.open) {
			if len(c.ts) > 0 {
				size += int64(len(c.lines)) + c.metadataSize
				chunks = append(chunks, c)
			}
		}
		w.stream(v.labels, size)
		if inOrder(chunks) {
			for _, c := range chunks {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				w.addChunk(c, names)
			}
		} else if err := w.addMerged(ctx, v.labels, chunks, names); err != nil {
			return err
		}
	}
	return nil
}

// addMerged adds the rows of chunks, which are in any order, to the stream that was begun last.
func (w *pageWriter) addMerged(ctx context.Context, ls labels.Labels, chunks []*headChunk, names []string) (err error) {
	pieces := make([]piece, len(chunks))
	for seq, c := range chunks {
		pieces[seq] = piece{timeRange: c.timeRange, open: func(context.Context, *selection) ([]run, error) {
			return []run{c.run(0, uint32(seq), names)}, nil
		}}
	}
	mergePieces(ctx, &selection{direction: Forward}, []labels.Labels{ls}, pieces, 0, func(rows *Rows, e error) bool {
		if err = e; err != nil {
			return false
		}
		for j, ts := range rows.Timestamps {
			w.add(ts, rows.Lines[j], rows.Metadata[j])
		}
		return true
	})
	return err
}

// lookup finds rows in batches, for entries that arrive late. It keeps the page that it looked at last:
// late entries come in groups, such as a batch that is sent again.
type lookup struct {
	batch *batch
	page  int
	ts    []int64
	open  *Page
}

// holds reports whether b has e in the stream with labels ls.
func (l *lookup) holds(b *batch, ls labels.Labels, e *Entry) bool {
	if e.Timestamp < b.index.times.min || e.Timestamp > b.index.times.max {
		return false
	}
	i, ok := sort.Find(b.streams.len(), func(i int) int { return labels.Compare(ls, b.streams.at(i)) })
	if !ok {
		return false
	}
	stream := uint32(i)
	for n := range b.index.pages {
		first := 0
		for _, r := range b.index.pages[n].runs {
			if r.stream == stream && e.Timestamp >= r.min && e.Timestamp <= r.max && l.inRun(b, n, first, first+int(r.rows), e) {
				return true
			}
			first += int(r.rows)
		}
	}
	return false
}

func (l *lookup) inRun(b *batch, page, lo, hi int, e *Entry) bool {
	ctx := context.Background()
	if l.batch != b || l.page != page {
		p := b.page(page, nil)
		ts, err := p.Timestamps(ctx)
		if err != nil {
			return false // not reached: memory that was written a moment ago can be read
		}
		*l = lookup{b, page, ts, p}
	}
	at, ok := slices.BinarySearch(l.ts[lo:hi], e.Timestamp)
	if !ok {
		return false
	}
	same := block.NewBitmap(l.open.Rows)
	for row := lo + at; row < hi && l.ts[row] == e.Timestamp; row++ {
		same.Set(row)
	}
	found := false
	_ = l.open.Each(ctx, column.SetOf(same), func(_ uint32, _ int64, line []byte, md []Label) bool {
		found = string(line) == e.Line && slices.Equal(md, e.Metadata)
		return !found
	})
	return found
}
