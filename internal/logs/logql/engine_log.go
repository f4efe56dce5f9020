package logql

import (
	"github.com/hune-io/hune/internal/logs"
)

const defaultLimit = 100

// logQuery answers with entries.
func (r *run) logQuery(lq *LogQuery) error {
	limit := r.q.Limit
	if limit <= 0 {
		limit = min(defaultLimit, r.limits.MaxEntries)
	}
	end := r.q.End
	if end == r.q.Start {
		end++
	}
	sel := logs.Select{
		Matchers: lq.Matchers, Start: r.q.Start, End: end, Direction: r.q.Direction, Filters: pushdown(lq.Stages),
	}
	if keepsAll(lq.Stages) && r.q.Interval == 0 {
		sel.Limit = limit
	}
	p, err := compile(lq.Stages)
	if err != nil {
		if any, serr := r.anyStream(sel); any || serr != nil {
			return firstError(serr, err)
		}
		return nil
	}
	sel.Narrow = r.narrow(lq.Stages, logHints(p.filters))
	c := newCollector(p, r.res, limit)
	c.interval, c.direction = r.q.Interval, r.q.Direction
	if err := newRowReader(r).each(sel, c.row); err != nil {
		return err
	}
	r.res.Stats.EntriesReturned = int64(c.count)
	return nil
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
	class := c.class()
	st := &c.res.Streams[class.stream]
	st.Entries = append(st.Entries, logs.ResultEntry{Timestamp: ts, Line: string(line), Metadata: class.metadata, Parsed: class.parsed})
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

func (c *collector) class() *entryClass {
	c.key = c.set.appendKey(c.key[:0])
	if class, ok := c.classes[string(c.key)]; ok {
		return class
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
	return class
}
