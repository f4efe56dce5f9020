package logql

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// partial answers with the samples of the one range aggregation of a plan, as far as this job's rows go.
func (ev *evaluator) partial(p planNode) error {
	all := leavesOf[*rangeNode](p)
	if len(all) != 1 {
		return fault.Errorf(fault.Internal, "a partial answer of a query with %d range aggregations", len(all))
	}
	found, err := ev.samples(all[0])
	if err != nil {
		return err
	}
	out := &logs.Partial{Series: make([]logs.PartialSeries, len(found))}
	for i, s := range found {
		out.Series[i] = logs.PartialSeries{Labels: s.labels, First: logs.RowPlace{Timestamp: s.first.ts, Stream: s.first.stream, Row: s.first.row},
			Buckets: make([]logs.PartialBucket, len(s.buckets))}
		for k := range s.buckets {
			out.Series[i].Buckets[k] = s.buckets[k].partial()
		}
		s.buckets = nil
	}
	ev.r.res.Partial = out
	return nil
}

func (b *bucket) partial() logs.PartialBucket {
	a := &b.acc
	return logs.PartialBucket{First: b.lo, Last: b.hi, Fold: logs.Fold{Count: a.n, Sum: a.sum, Extra: a.extra, FirstValue: a.first, LastValue: a.last,
		From: a.from, To: a.to, Values: a.values}}
}

func bucketOf(p *logs.PartialBucket) bucket {
	f := &p.Fold
	return bucket{lo: p.First, hi: p.Last, acc: acc{n: f.Count, sum: f.Sum, extra: f.Extra, first: f.FirstValue, last: f.LastValue,
		from: f.From, to: f.To, values: f.Values}}
}

// leaf sets what q asks for to the samples of n: with the sum that it groups for, which says what parsers look
// for. A parser that AutoFields put in has no text, so the job puts it in again.
func (n *rangeNode) leaf(q *logs.Query) {
	agg, isAuto := *n.agg, func(s Stage) bool { p, ok := s.(*Parser); return ok && p.Kind == parseAuto }
	stages := agg.Range.Query.Stages
	if q.AutoFields = slices.ContainsFunc(stages, isAuto); q.AutoFields {
		agg.Range.Query = &LogQuery{Matchers: agg.Range.Query.Matchers, Stages: slices.DeleteFunc(slices.Clone(stages), isAuto)}
	}
	if n.around != nil {
		q.Expr = (&VectorAgg{Op: AggSum, Grouping: n.around, Expr: &agg}).String()
		return
	}
	q.Expr = agg.String()
}

// merge has jobs make the samples of n.
func (ev *evaluator) merge(n *rangeNode, m *mergeNode) ([]*extracted, error) {
	r, f := ev.r, foldOf(n.agg)
	t := &seriesMerger{r: r, fold: &f, exact: n.exact(), series: map[string]*scanSeries{}}
	_, byStream := n.cuttable()
	t.inOrder = !byStream
	job := *r.q
	n.leaf(&job)
	err := r.jobs(m, job, func(int) int { return r.split.atOnce() }, t.take)
	if err != nil {
		return nil, err
	}
	return t.result(), nil
}

// atOnce is how many jobs of a query run at once.
func (s Split) atOnce() int { return max(s.MaxJobs, 1) }

// seriesMerger merges partial series.
type seriesMerger struct {
	r       *run
	fold    *fold
	exact   bool
	inOrder bool // folds of one bucket merge in the order in which they come
	series  map[string]*scanSeries
	key     []byte
}

func (t *seriesMerger) take(_ int, res *logs.Result) (bool, error) {
	if res.Partial == nil {
		return false, fault.Errorf(fault.Internal, "a job answered without its part")
	}
	for i := range res.Partial.Series {
		if err := t.add(&res.Partial.Series[i]); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (t *seriesMerger) add(p *logs.PartialSeries) error {
	first := place{p.First.Timestamp, p.First.Stream, p.First.Row}
	t.key = p.Labels.Bytes(t.key[:0])
	m, held, bytes := t.series[string(t.key)], 0, int64(0)
	if m == nil {
		m = &scanSeries{labels: p.Labels, first: first}
		t.series[string(t.key)] = m
		held, bytes = seriesWeight, seriesBytes+2*int64(len(t.key))
	}
	if first.compare(&m.first) < 0 {
		m.first = first
	}
	b := make(buckets, len(p.Buckets))
	for i := range b {
		b[i] = bucketOf(&p.Buckets[i])
		held, bytes = held+len(b[i].acc.values), bytes+int64(len(b[i].acc.values))*sampleBytes
	}
	grown := m.add(b, t.fold, t.exact)
	return t.r.hold(held+grown, bytes+int64(grown)*bucketBytes)
}

func (t *seriesMerger) result() []*extracted {
	all := make([]*scanSeries, 0, len(t.series))
	for _, m := range t.series {
		if t.inOrder {
			m.buckets = m.buckets.joined(t.fold, nil)
		}
		all = append(all, m)
	}
	return inOrder(all, t.fold)
}

// mergeEntries has jobs find the entries of n. The first ones show how many there are to a piece, so few run
// at once until it turns out that many are needed.
func (r *run) mergeEntries(n *limitNode, m *mergeNode) error {
	t := &entryMerger{r: r, limit: n.limit, shards: m.shards, direction: n.direction, streams: map[string]int{}}
	most := r.split.atOnce()
	atOnce := func(done int) int { return min(max(m.shards, 2*done), most) }
	job := *r.q
	job.Limit = n.limit
	err := r.jobs(m, job, atOnce, t.take)
	r.res.Stats.EntriesReturned = int64(t.count)
	return err
}

// entryMerger merges partial entries.
type entryMerger struct {
	r         *run
	limit     int
	shards    int
	direction logs.Direction
	count     int
	parts     []*logs.Result // of the piece at hand
	streams   map[string]int // by final labels: index in the answer
}

func (t *entryMerger) take(_ int, res *logs.Result) (bool, error) {
	if res.Partial == nil {
		return false, fault.Errorf(fault.Internal, "a job answered without its part")
	}
	if t.parts = append(t.parts, res); len(t.parts) < t.shards {
		return true, nil
	}
	err := t.merge()
	t.parts = t.parts[:0]
	return t.count < t.limit, err
}

// merge takes the entries of a piece over, in order.
func (t *entryMerger) merge() error {
	names := make([][]int, len(t.parts)) // by stream of a part: index in the answer, +1
	for i, p := range t.parts {
		names[i] = make([]int, len(p.Streams))
	}
	at := make([]int, len(t.parts))
	for t.count < t.limit {
		best := -1
		for i, p := range t.parts {
			if at[i] < len(p.Partial.Entries) && (best < 0 || t.before(&p.Partial.Entries[at[i]], &t.parts[best].Partial.Entries[at[best]])) {
				best = i
			}
		}
		if best < 0 {
			return nil
		}
		e := &t.parts[best].Partial.Entries[at[best]]
		at[best]++
		name := &names[best][e.Stream]
		size := entryBytes + int64(len(e.Entry.Line))
		if *name == 0 {
			ls := t.parts[best].Streams[e.Stream].Labels
			*name = t.stream(ls) + 1
			size += seriesBytes + int64(ls.ByteSize())
		}
		if err := t.r.hold(0, size); err != nil {
			return err
		}
		s := &t.r.res.Streams[*name-1]
		s.Entries = append(s.Entries, e.Entry)
		t.count++
	}
	return nil
}

// before is the order of rows. A stream is in one part only, so no two are equal.
func (t *entryMerger) before(a, b *logs.PartialEntry) bool {
	if a.Entry.Timestamp != b.Entry.Timestamp {
		return (a.Entry.Timestamp < b.Entry.Timestamp) == (t.direction == logs.Forward)
	}
	return labels.Compare(a.Origin, b.Origin) < 0
}

func (t *entryMerger) stream(ls labels.Labels) int {
	key := string(ls.Bytes(nil))
	i, ok := t.streams[key]
	if !ok {
		i = len(t.r.res.Streams)
		t.streams[key] = i
		t.r.res.Streams = append(t.r.res.Streams, logs.StreamResult{Labels: ls})
	}
	return i
}

// partialSize returns the memory of a partial answer.
func partialSize(p *logs.Partial) int64 {
	n := int64(len(p.Entries)) * entryBytes
	for i := range p.Entries {
		n += int64(len(p.Entries[i].Entry.Line))
	}
	n += int64(len(p.Series)) * seriesBytes
	for i := range p.Series {
		n += int64(len(p.Series[i].Buckets)) * bucketBytes
		for k := range p.Series[i].Buckets {
			n += int64(len(p.Series[i].Buckets[k].Fold.Values)) * sampleBytes
		}
	}
	return n
}
