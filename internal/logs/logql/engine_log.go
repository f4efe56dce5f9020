package logql

import (
	"github.com/hune-io/hune/internal/logs"
)

const defaultLimit = 100

// logQuery answers with entries.
func (r *run) logQuery(n *limitNode) error {
	if m, ok := n.in.(*mergeNode); ok {
		return r.mergeEntries(n, m)
	}
	sel, stages := r.selectOf(n), stagesOf(n.in)
	p, err := compile(stages)
	if err != nil {
		if any, serr := r.anyStream(sel); any || serr != nil {
			return firstError(serr, err)
		}
		return nil
	}
	sel.Narrow = r.narrow(stages, logHints(p.filters))
	c := newCollector(p, r.res, n.limit)
	c.budget, c.interval, c.direction = r.budget, n.interval.Nanoseconds(), n.direction
	if r.q.Partial {
		c.partial = &logs.Partial{}
		r.res.Partial = c.partial
	}
	if err := newRowReader(r).each(sel, c.row); err != nil {
		return err
	}
	r.res.Stats.EntriesReturned = int64(c.count)
	r.res.Stats.PostFilterLines += int64(c.count)
	return nil
}

// selectOf is what a log query asks of the source.
func (r *run) selectOf(n *limitNode) logs.Select {
	scan := scanOf(n)
	end := r.q.End
	if end == r.q.Start {
		end++
	}
	sel := logs.Select{Matchers: scan.matchers, Start: r.q.Start, End: end, Direction: n.direction, Filters: scan.filters, Shard: r.q.Shard}
	sel.Expect = n.limit
	if scan.limited {
		sel.Limit = n.limit
	}
	return r.within(sel)
}

// within leaves of sel the rows that the query is a job for.
func (r *run) within(sel logs.Select) logs.Select {
	if r.q.RowsEnd != 0 {
		sel.Start, sel.End = max(sel.Start, r.q.RowsStart), min(sel.End, r.q.RowsEnd)
	}
	return sel
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// collector runs rows through a pipeline and groups what stays by final label set.
type collector struct {
	budget    *budget // nil: nothing is counted
	p         *pipeline
	set       *labelSet
	res       *logs.Result
	limit     int
	count     int
	interval  int64
	direction logs.Direction
	last      int64
	classes   map[string]*entryClass // by what made the labels
	streams   map[string]int         // by final labels: index in res.Streams
	key       []byte
	partial   *logs.Partial // entries go here, in order
}

// entryClass is what entries with the same origin of labels share.
type entryClass struct {
	stream           int
	metadata, parsed []logs.Label
}

func newCollector(p *pipeline, res *logs.Result, limit int) *collector {
	return &collector{p: p, set: newLabelSet(logHints(p.filters)), res: res, limit: limit,
		classes: map[string]*entryClass{}, streams: map[string]int{}}
}

func (c *collector) row(base *stream, ts int64, line []byte, md []logs.Label) (bool, error) {
	c.set.reset(base, md)
	line, ok := c.p.run(ts, line, c.set)
	if !ok || c.tooSoon(ts) {
		return true, nil
	}
	c.last = ts
	class, size := c.class()
	if c.budget != nil {
		if err := c.budget.hold(0, size+entryBytes+int64(len(line))); err != nil {
			return false, err
		}
	}
	e := logs.ResultEntry{Timestamp: ts, Line: string(line), Metadata: class.metadata, Parsed: class.parsed}
	if c.partial != nil {
		c.partial.Entries = append(c.partial.Entries, logs.PartialEntry{Origin: base.labels, Stream: class.stream, Entry: e})
	} else {
		st := &c.res.Streams[class.stream]
		st.Entries = append(st.Entries, e)
	}
	c.count++
	return c.count < c.limit, nil
}

// tooSoon reports whether interval leaves this entry out.
func (c *collector) tooSoon(ts int64) bool {
	if c.interval == 0 || c.count == 0 {
		return false
	}
	if c.direction == logs.Forward {
		return ts < c.last+c.interval
	}
	return ts > c.last-c.interval
}

// class returns the class of the row at hand, and what was allocated for it.
func (c *collector) class() (_ *entryClass, size int64) {
	c.key = c.set.appendKey(c.key[:0])
	if class, ok := c.classes[string(c.key)]; ok {
		return class, 0
	}
	class := &entryClass{}
	class.metadata, class.parsed = c.set.snapshot()
	final := c.set.final()
	name := make([]byte, 0, 256)
	for _, l := range final {
		name = appendText(appendText(name, l.Name), l.Value)
	}
	i, ok := c.streams[string(name)]
	if !ok {
		i = len(c.res.Streams)
		c.res.Streams = append(c.res.Streams, logs.StreamResult{Labels: c.set.makeLabels(final)})
		c.streams[string(name)] = i
	}
	class.stream = i
	c.classes[string(c.key)] = class
	return class, seriesBytes + 2*int64(len(c.key)+len(name))
}
