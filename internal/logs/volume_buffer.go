package logs

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"
)

// volumeStreams is how many streams are looked at before writers get a turn.
const volumeStreams = 1024

// Volume implements Part.
func (h *buffer) Volume(ctx context.Context, q VolumeQuery) ([]Volume, error) {
	set, err := compileMatchers(q.Matchers)
	if err != nil {
		return nil, err
	}
	matched, sums := h.matchingUnordered([]matcherSet{set}), newVolumeSums(&q)
	var unsure []*headStream
	for len(matched) > 0 {
		n := min(len(matched), volumeStreams)
		unsure = unsure[:0]
		h.mu.RLock()
		for _, st := range matched[:n] {
			switch t := h.spans[st.number]; {
			case t.overlaps(q.Start, q.End) && q.whole(t):
				st.addTo(sums)
			case t.overlaps(q.Start, q.End):
				unsure = append(unsure, st)
			}
		}
		h.mu.RUnlock()
		views, _ := h.snapshot(unsure, func(timeRange) bool { return true })
		for i := range views {
			views[i].addTo(sums)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		matched = matched[n:]
	}
	return sums.answer(), nil
}

// ofStream returns the groups of a stream in memory.
func (s *volumeSums) ofStream(ls labels.Labels) []*Volume {
	return s.of(func() labels.Labels { return ls }, func(i int) string { return ls.Get(s.q.By[i]) })
}

// addTo adds all of the stream, which is in one step. The buffer's lock must be held.
func (st *headStream) addTo(sums *volumeSums) {
	bytes, pages := int64(0), int64(len(st.sealed))
	for _, c := range st.sealed {
		bytes += c.rawBytes()
	}
	if len(st.open.ts) > 0 {
		bytes += st.open.rawBytes()
		pages++
	}
	for _, g := range sums.ofStream(st.labels) {
		g.Pages += pages
		g.add(sums.q.step(st.times.min), int64(st.rows), bytes)
	}
}

// rawBytes is what lines and metadata of c have together.
func (c *headChunk) rawBytes() int64 { return int64(len(c.lines)) + c.metadataSize }

// addTo adds what of the stream is in the range.
func (v *headView) addTo(sums *volumeSums) {
	q := sums.q
	groups := sums.ofStream(v.labels)
	v.chunks(q.Start, q.End, func(_ int, c *headChunk) {
		ts := c.ts
		if c.unsorted {
			ts = c.run(0, 0, nil).ts
		}
		found := false
		q.cut(ts, func(step, rows int) {
			found = true
			for _, g := range groups {
				g.add(step, int64(rows), c.rawBytes()*int64(rows)/int64(len(ts)))
			}
		})
		if found {
			for _, g := range groups {
				g.Pages++
			}
		}
	})
}
