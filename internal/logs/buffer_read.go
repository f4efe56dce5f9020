package logs

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// headView is what a select needs of one stream, copied under the lock.
type headView struct {
	labels labels.Labels
	sealed []*headChunk
	open   headChunk
	times  timeRange
	spans  []Span // the only times that are wanted; nil: all
}

// limited finds the spans of the streams, and leaves out those of which nothing is wanted.
func (q *selection) limited(views []headView) []headView {
	if len(q.spans) == 0 {
		return views
	}
	n := 0
	for _, v := range views {
		spans, whole := q.spansOf(v.labels)
		if whole || v.times.touch(spans, q.start, q.end) {
			v.spans = spans
			views[n] = v
			n++
		}
	}
	return views[:n]
}

// chunks calls f for each chunk of v that overlaps [start, end), in order of arrival.
func (v *headView) chunks(start, end int64, f func(seq int, c *headChunk)) {
	for i, c := range v.sealed {
		if c.overlaps(start, end) {
			f(i, c)
		}
	}
	if v.open.overlaps(start, end) {
		f(len(v.sealed), &v.open)
	}
}

// candidates returns the streams among which those that match ms are, sorted by labels: all, or those
// that have the rarest of the label values that ms asks for. The slice must not be changed.
func (h *buffer) candidates(ms matcherSet) []*headStream {
	list, found := h.rarest(ms)
	if !found {
		return h.ordered()
	}
	slices.SortFunc(list, compareStreams)
	return list
}

func compareStreams(a, b *headStream) int { return labels.Compare(a.labels, b.labels) }

func (h *buffer) rarest(ms matcherSet) (list []*headStream, found bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var numbers []uint32
	for _, m := range ms {
		if m.Type != labels.MatchEqual || m.Value == "" {
			continue
		}
		var n []uint32
		if l := h.labels[m.Name]; l != nil {
			n = l.streams[m.Value]
		}
		if !found || len(n) < len(numbers) {
			numbers, found = n, true
		}
	}
	if len(numbers) > len(h.streams)/4 {
		return nil, false // walking all of them, which are sorted already, is cheaper than sorting
	}
	list = make([]*headStream, len(numbers))
	for i, n := range numbers {
		list[i] = h.streams[n]
	}
	return list, found
}

// ordered returns all streams sorted by labels. It sorts those that are new since the last call.
func (h *buffer) ordered() []*headStream {
	h.mu.RLock()
	all := h.streams[:len(h.streams):len(h.streams)]
	h.mu.RUnlock()
	h.sortMu.Lock()
	defer h.sortMu.Unlock()
	if len(h.sorted) >= len(all) {
		return h.sorted
	}
	fresh := slices.Clone(all[len(h.sorted):])
	slices.SortFunc(fresh, compareStreams)
	merged := make([]*headStream, 0, len(all))
	old := h.sorted
	for len(old) > 0 && len(fresh) > 0 {
		if compareStreams(old[0], fresh[0]) < 0 {
			merged, old = append(merged, old[0]), old[1:]
		} else {
			merged, fresh = append(merged, fresh[0]), fresh[1:]
		}
	}
	h.sorted = append(append(merged, old...), fresh...)
	return h.sorted
}

// views returns the streams that match any of the sets and may have entries in [start, end), sorted
// by labels, and the names of metadata that they use.
func (h *buffer) views(sets []matcherSet, start, end int64) ([]headView, []string) {
	return h.snapshot(h.matching(sets), func(t timeRange) bool { return t.overlaps(start, end) })
}

// matching returns the streams that match any of the sets, sorted by labels.
func (h *buffer) matching(sets []matcherSet) []*headStream {
	matched := h.matchingOf(sets, h.candidates)
	if len(sets) > 1 {
		slices.SortFunc(matched, compareStreams)
	}
	return matched
}

// matchingUnordered is matching, but that the streams come in no particular order.
func (h *buffer) matchingUnordered(sets []matcherSet) []*headStream {
	return h.matchingOf(sets, func(ms matcherSet) []*headStream {
		if list, found := h.rarest(ms); found {
			return list
		}
		h.mu.RLock()
		defer h.mu.RUnlock()
		return h.streams[:len(h.streams):len(h.streams)]
	})
}

// matchingOf returns those of the candidates of each set that match it, each once.
func (h *buffer) matchingOf(sets []matcherSet, candidates func(matcherSet) []*headStream) []*headStream {
	// Matching runs without the lock: labels never change, and a regular expression over many
	// streams takes long.
	var matched []*headStream
	for i, set := range sets {
		for _, st := range candidates(set) {
			if set.matches(st.labels) && !matchesAny(sets[:i], st.labels) {
				matched = append(matched, st)
			}
		}
	}
	return matched
}

// snapshot copies the state of those of the streams whose times are wanted.
func (h *buffer) snapshot(streams []*headStream, wanted func(timeRange) bool) ([]headView, []string) {
	views := make([]headView, 0, len(streams))
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, st := range streams {
		if wanted(st.times) {
			views = append(views, headView{st.labels, st.sealed[:len(st.sealed):len(st.sealed)], st.open, st.times, nil})
		}
	}
	return views, h.names.list[:len(h.names.list):len(h.names.list)]
}

func matchesAny(sets []matcherSet, ls labels.Labels) bool {
	return slices.ContainsFunc(sets, func(set matcherSet) bool { return set.matches(ls) })
}

// SelectRows implements Part.
func (h *buffer) SelectRows(ctx context.Context, s Select) iter.Seq2[*Rows, error] {
	return func(yield func(*Rows, error) bool) {
		q, err := compileSelect(ctx, s)
		if err != nil {
			yield(nil, err)
			return
		}
		views, names := h.views([]matcherSet{q.matchers}, q.start, q.end)
		views = q.limited(q.shard.views(views))
		streams := make([]labels.Labels, len(views))
		var pieces []piece
		for i := range views {
			streams[i] = views[i].labels
			views[i].chunks(q.start, q.end, func(seq int, c *headChunk) {
				pieces = append(pieces, c.piece(uint32(i), uint32(seq), names, views[i].spans))
			})
		}
		mergePieces(ctx, q, streams, pieces, 0, yield)
	}
}

// piece makes the snapshot c a piece of a select.
func (c *headChunk) piece(stream, seq uint32, names []string, spans []Span) piece {
	return piece{timeRange: c.timeRange, open: func(_ context.Context, q *selection) ([]run, error) {
		r, ok := c.narrowed(q, stream, seq, names, spans)
		if !ok {
			return nil, nil
		}
		if q.limit > 0 && len(r.ts) > q.limit {
			r.cut(q.direction, q.limit)
		}
		return []run{r}, nil
	}}
}

// narrowed returns the rows of c that q asks for, in order, and whether there are any. They are in spans, unless
// these are nil.
func (c *headChunk) narrowed(q *selection, stream, seq uint32, names []string, spans []Span) (run, bool) {
	r := c.run(stream, seq, names)
	lo, hi := q.window(r.ts)
	r.ts = r.ts[lo:hi]
	if r.rows != nil {
		r.rows = r.rows[lo:hi]
	} else {
		r.first = lo
	}
	if spans != nil {
		r.keepSpans(spans)
	}
	return r, q.filter(&r)
}

// run returns all rows of c in order of time, then of arrival.
func (c *headChunk) run(stream, seq uint32, names []string) run {
	data := &columns{ends: c.ends, lines: c.lines}
	if len(c.metadataAt) > 0 {
		data.metadata = &packedMetadata{c.metadataAt, c.metadata, names}
	}
	r := run{stream: stream, seq: seq, ts: c.ts, data: data}
	if !c.unsorted {
		return r
	}
	r.rows = make([]uint32, len(c.ts))
	for i := range r.rows {
		r.rows[i] = uint32(i)
	}
	slices.SortStableFunc(r.rows, func(a, b uint32) int { return cmp.Compare(c.ts[a], c.ts[b]) })
	r.ts = make([]int64, len(c.ts))
	for i, row := range r.rows {
		r.ts[i] = c.ts[row]
	}
	return r
}

// count returns how many rows of c lie in [start, end).
func (c *headChunk) count(start, end int64) int {
	if c.inside(start, end) {
		return len(c.ts)
	}
	n := 0
	for _, t := range c.ts {
		if t >= start && t < end {
			n++
		}
	}
	return n
}

// Series implements Part.
func (h *buffer) Series(_ context.Context, start, end int64, matchers [][]Matcher) ([]labels.Labels, error) {
	sets, err := compileMatcherSets(matchers)
	if err != nil {
		return nil, err
	}
	has := h.streamsWithRows(start, end, sets)
	out := make([]labels.Labels, 0, has.Count())
	if 4*cap(out) > has.Len() {
		// Fast path: walking all streams, which stay sorted, is cheaper than sorting these.
		for _, st := range h.ordered() {
			if int(st.number) < has.Len() && has.Get(int(st.number)) {
				out = append(out, st.labels)
			}
		}
		return out, nil
	}
	h.mu.RLock()
	all := h.streams[:has.Len():has.Len()]
	h.mu.RUnlock()
	for i := has.Next(0); i >= 0; i = has.Next(i + 1) {
		out = append(out, all[i].labels)
	}
	slices.SortFunc(out, labels.Compare)
	return out, nil
}

func (v *headView) hasRows(start, end int64) bool {
	if v.times.touches(start, end) {
		return true
	}
	n := 0
	v.chunks(start, end, func(_ int, c *headChunk) { n += c.count(start, end) })
	return n > 0
}
