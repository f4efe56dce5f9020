package logql

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/column"
	"github.com/hune-io/hune/internal/logs"
)

// errRowByRow ends a scan that came upon a row with an error: which row is the first, only the order of
// time tells.
var errRowByRow = errors.New("rows must be read in order")

// anyOrder are the range operations for which the order of rows makes no difference.
var anyOrder = []string{
	OpRate, OpCount, OpBytes, OpBytesRate, OpAvg, OpSum, OpMin, OpMax, OpStdvar, OpStddev, OpQuantile, OpAbsent,
}

// scans reports whether n may be computed page by page.
func (ev *evaluator) scans(n *rangeNode) bool {
	return !ev.r.noPushdown && !n.doubled && slices.Contains(anyOrder, n.agg.Op) &&
		!slices.ContainsFunc(stagesOf(n.in), func(st Stage) bool { _, ok := st.(*Distinct); return ok })
}

// scanner computes a range aggregation page by page, several at once.
//
// The answer doesn't depend on which page is done first: what a page adds to a series is folded in the
// order of its rows; sums of different pages are added in an order of their own, see scanSeries.
type scanner struct {
	ev       *evaluator
	first    *extractor
	plan     *pushPlan
	columnar bool // samples come from columns where the plan is certain
	lengths  bool // samples are the lengths of lines
	exactSum bool // the fold gives the same in any order

	lines, bytes atomic.Int64 // rows that were looked at one by one

	mu     sync.Mutex
	idle   []*pageFolder
	series map[string]*scanSeries
	key    []byte
}

// scanSeries is a series while pages come in.
type scanSeries struct {
	labels  labels.Labels
	first   place
	buckets buckets
	joined  int      // so many are joined, the others came since
	counts  []uint64 // rows in no bucket yet, by window; see tally
}

// place is where a row stands in the order of rows: of time, stream, arrival.
type place struct {
	ts     int64
	stream labels.Labels
	row    int
}

func (p *place) compare(q *place) int {
	if c := cmp.Compare(p.ts, q.ts); c != 0 {
		return c
	}
	return cmp.Or(labels.Compare(p.stream, q.stream), cmp.Compare(p.row, q.row))
}

// scan computes the samples of the rows of sel, as x does row by row.
func (ev *evaluator) scan(x *extractor, sel logs.Select) ([]*extracted, error) {
	s := &scanner{ev: ev, first: x, series: map[string]*scanSeries{}}
	scope := pushScope{hints: x.set.hints}
	if u := x.e.Range.Unwrap; u != nil {
		scope.after = u.Filters
	}
	s.plan = newPushPlan(x.e.Range.Query.Stages, scope)
	s.columnar = s.plan.exact && (x.grouped() || s.plan.parser == nil)
	s.lengths = x.unwrap == nil && (x.e.Op == OpBytes || x.e.Op == OpBytesRate)
	s.exactSum = x.node.exact()
	err := ev.r.src.Scan(ev.r.ctx, ev.r.tenant, sel, s.visit)
	ev.r.res.Stats.LinesProcessed += s.lines.Load()
	ev.r.res.Stats.BytesProcessed += s.bytes.Load()
	if err == nil && ev.r.ctx.Err() != nil {
		err = context.Cause(ev.r.ctx)
	}
	if err != nil {
		return nil, err
	}
	return s.result(), nil
}

// exact reports whether samples fold to the same in any order, to the last bit.
func (n *rangeNode) exact() bool {
	switch n.agg.Op {
	case OpSum, OpAvg, OpStddev, OpStdvar:
		return false
	case OpRate:
		return n.agg.Range.Unwrap == nil
	}
	return true
}

// grouped reports whether series go by named labels only.
func (x *extractor) grouped() bool { return x.grouping != nil && !x.grouping.Without }

// visit folds one page.
func (s *scanner) visit(ctx context.Context, p *logs.Page) error {
	w, err := s.take()
	if err != nil {
		return err
	}
	if err := w.page(ctx, p); err != nil {
		return err
	}
	s.lines.Add(w.lines)
	s.bytes.Add(w.bytes)
	read := s.ev.r.stats.Snapshot()
	if err := s.ev.r.checkRead(max(read.LinesProcessed, s.lines.Load()), max(read.BytesProcessed, s.bytes.Load())); err != nil {
		return err
	}
	return s.give(w)
}

// take returns a folder for a page.
func (s *scanner) take() (*pageFolder, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		w := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return w, nil
	}
	x, err := newExtractor(s.ev.r, s.first.node)
	if err != nil {
		return nil, err
	}
	x.grid, x.offset, x.fold = s.first.grid, s.first.offset, s.first.fold
	return newPageFolder(s, x), nil
}

// give takes the samples of a page over from w.
func (s *scanner) give(w *pageFolder) error {
	for _, e := range w.touched {
		e.buckets = e.buckets.joined(w.x.fold, nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range w.touched {
		if err := s.add(e); err != nil {
			return err
		}
		e.counts = e.counts[:0]
		w.take(e)
	}
	w.reset()
	s.idle = append(s.idle, w)
	return nil
}

// The memory that a folder uses again: so many series with so many buckets, some 11 MB.
const (
	maxSpare        = 32
	maxSpareBuckets = 4096
)

// take takes the memory of the buckets of e, which were copied.
func (w *pageFolder) take(e *extracted) {
	if n := cap(e.buckets); n > 0 && n <= maxSpareBuckets && len(w.spare) < maxSpare {
		clear(e.buckets)
		w.spare = append(w.spare, e.buckets[:0])
	}
	e.buckets = nil
}

// add takes over the samples of a series. s.mu must be held.
func (s *scanner) add(e *extracted) error {
	m := e.merged
	held, bytes := 0, int64(0)
	if m == nil {
		s.key = e.labels.Bytes(s.key[:0])
		if m = s.series[string(s.key)]; m == nil {
			m = &scanSeries{labels: e.labels, first: e.first}
			m.first.stream = m.first.stream.Copy()
			s.series[string(s.key)] = m
			held, bytes = held+seriesWeight, bytes+seriesBytes+2*int64(len(s.key))
		}
		e.merged = m
	}
	if e.first.compare(&m.first) < 0 {
		m.first = e.first
		m.first.stream = m.first.stream.Copy()
	}
	for i := range e.buckets {
		n := len(e.buckets[i].acc.values)
		held, bytes = held+n, bytes+int64(n)*sampleBytes
	}
	grown := m.add(e.buckets, s.first.fold, s.exactSum)
	if len(e.counts) > 0 {
		if m.counts == nil {
			m.counts = make([]uint64, s.first.grid.n)
			bytes += countBytes * int64(len(m.counts))
		}
		grown += m.count(e)
	}
	held, bytes = held+grown, bytes+int64(grown)*bucketBytes
	return s.ev.r.hold(held, bytes)
}

// add takes b over, whose memory it uses, and returns by how much the number of buckets grew.
//
// Where the fold gives the same in any order, what has its bucket already goes there, and others are joined
// when there are enough of them. Sums of floats wait for the end, where all are there and can be put in order; they are at most
// as many as pages that reach into a bucket.
func (m *scanSeries) add(b buckets, f *fold, exact bool) int {
	before := len(m.buckets)
	if exact && before == 0 {
		m.joined = len(b)
	} else if exact {
		b = m.buckets[:m.joined].merge(f, b)
	}
	m.buckets = append(m.buckets, b...)
	if exact && len(m.buckets) > 2*m.joined+64 {
		m.buckets = m.buckets.joined(f, nil)
		m.joined = len(m.buckets)
	}
	return len(m.buckets) - before
}

func (s *scanner) result() []*extracted {
	all := make([]*scanSeries, 0, len(s.series))
	for _, m := range s.series {
		m.bucketCounts(s.first.grid)
		all = append(all, m)
	}
	return inOrder(all, s.first.fold)
}

// inOrder returns series in the order of their first rows, as the rows in order would.
func inOrder(all []*scanSeries, f *fold) []*extracted {
	slices.SortFunc(all, func(a, b *scanSeries) int {
		return cmp.Or(a.first.compare(&b.first), labels.Compare(a.labels, b.labels))
	})
	out := make([]*extracted, len(all))
	for i, m := range all {
		out[i] = &extracted{labels: m.labels, first: m.first, buckets: m.buckets.joined(f, compareAccs)}
	}
	return out
}

// compareAccs orders sums so that they always add up in the same order. Those that are equal are so in all
// that counts.
func compareAccs(a, b *acc) int {
	return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.n, b.n),
		cmp.Compare(math.Float64bits(a.sum), math.Float64bits(b.sum)), cmp.Compare(math.Float64bits(a.extra), math.Float64bits(b.extra)))
}

// pageFolder folds pages, one at a time.
type pageFolder struct {
	s       *scanner
	x       *extractor
	touched []*extracted // of the page at hand
	spare   []buckets    // memory of earlier pages
	streams map[string]*stream
	nothing *stream // has no labels
	key     []byte
	at      place // of the row at hand

	lines, bytes int64
}

func newPageFolder(s *scanner, x *extractor) *pageFolder {
	w := &pageFolder{s: s, x: x, streams: map[string]*stream{}, nothing: &stream{id: math.MaxUint32}}
	x.touched = w.touch
	return w
}

// maxFolderSeries bounds what a folder remembers of the series of earlier pages.
const maxFolderSeries = 20_000

func (w *pageFolder) reset() {
	w.lines, w.bytes = 0, 0
	clear(w.touched)
	w.touched = w.touched[:0]
	if len(w.x.series) > maxFolderSeries || len(w.streams) > maxFolderSeries {
		clear(w.x.series)
		clear(w.x.byRow)
		clear(w.streams)
	}
	w.x.order = w.x.order[:0]
}

// touch notes that the row at w.at is of series e.
func (w *pageFolder) touch(e *extracted) {
	if len(e.buckets) == 0 && len(e.counts) == 0 {
		w.touched = append(w.touched, e)
		if n := len(w.spare); n > 0 {
			e.buckets, w.spare = w.spare[n-1], w.spare[:n-1]
		}
		e.first = w.at
		return
	}
	if w.at.ts <= e.first.ts && w.at.compare(&e.first) < 0 {
		e.first = w.at
	}
}

func (w *pageFolder) page(ctx context.Context, p *logs.Page) error {
	if !p.HasColumns() || !w.s.columnar && !w.s.plan.narrows() {
		return w.rows(ctx, p, p.Among)
	}
	v := newPageView(w.s.plan, p)
	if w.s.columnar && !w.s.lengths {
		if done, err := w.whole(ctx, v); done || err != nil {
			return err
		}
	}
	if err := v.open(ctx); err != nil {
		return err
	}
	var found verdicts
	if err := p.Ask(ctx, func(r *column.Reader) { found = v.judge(r, w.s.columnar) }); err != nil {
		return ofSource(err)
	}
	rest := found.unsure
	if !w.s.columnar {
		rest = rest.Or(found.pass)
	} else if !found.pass.IsNone() {
		doubtful, err := w.columns(ctx, v, found.pass)
		if err != nil {
			return err
		}
		rest = rest.Or(doubtful)
	}
	if rest.IsNone() {
		return nil
	}
	if w.s.columnar && w.bare(v) {
		return w.eachRow(ctx, p, rest, p.EachBare)
	}
	return w.rows(ctx, p, rest)
}

// bare reports whether metadata make no difference to the samples of a page: none is of a label that the query names,
// or moves one that it names out of the parser's way.
func (w *pageFolder) bare(v *pageView) bool {
	if _, overflow := v.page.MetadataKeys(); overflow || !w.x.grouped() {
		return false
	}
	concerns := func(name string) bool {
		found, _ := v.inMetadata(name)
		if base, ok := strings.CutSuffix(name, extractedSuffix); ok && !found {
			found, _ = v.inMetadata(base)
		}
		return found
	}
	if u := w.x.e.Range.Unwrap; u != nil && concerns(u.Label) {
		return false
	}
	return !slices.ContainsFunc(w.x.grouping.Labels, concerns) && !slices.ContainsFunc(w.s.plan.filters, func(f pushFilter) bool {
		return f.any(func(l *pushLeaf) bool { return concerns(l.name) })
	})
}

// rows folds the rows of among one by one.
func (w *pageFolder) rows(ctx context.Context, p *logs.Page, among column.Set) error {
	return w.eachRow(ctx, p, among, p.Each)
}

// eachOf is Page.Each or Page.EachBare.
type eachOf func(ctx context.Context, among column.Set, yield func(stream uint32, ts int64, line []byte, md []logs.Label) bool) error

func (w *pageFolder) eachRow(ctx context.Context, p *logs.Page, among column.Set, each eachOf) error {
	var failed error
	streams := map[uint32]*stream{}
	w.at.row = -1
	n := 0
	err := each(ctx, among, func(stream uint32, ts int64, line []byte, md []logs.Label) bool {
		base := streams[stream]
		if base == nil {
			base = w.stream(p.Streams[stream])
			streams[stream] = base
		}
		if w.at.row++; among.Bits() != nil {
			w.at.row = among.Bits().Next(w.at.row)
		}
		w.at.ts, w.at.stream = ts, p.Streams[stream]
		w.lines++
		w.bytes += int64(len(line))
		if n++; n%1024 == 0 && ctx.Err() != nil {
			failed = ofSource(context.Cause(ctx)) // it may be what another page ended the scan with
			return false
		}
		if _, err := w.x.row(base, ts, line, md); err != nil {
			failed = errRowByRow
			return false
		}
		return true
	})
	return firstError(ofSource(err), failed)
}

// stream finds the stream with labels ls.
func (w *pageFolder) stream(ls labels.Labels) *stream {
	w.key = ls.Bytes(w.key[:0])
	s := w.streams[string(w.key)]
	if s == nil {
		s = newStream(uint32(len(w.streams)), ls.Copy())
		w.streams[string(w.key)] = s
	}
	return s
}
