package logql

import (
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// NewDeletion makes a deletion of the rows in [start, end), in nanoseconds, that a log query lets pass
// all its stages. A query that asks for samples, or whose answer depends on what came before (distinct),
// is refused.
func NewDeletion(id, query string, start, end int64) (logs.Deletion, error) {
	q, err := ParseLogQuery(query)
	if err != nil {
		return logs.Deletion{}, err
	}
	for _, st := range q.Stages {
		if _, ok := st.(*Distinct); ok {
			return logs.Deletion{}, fault.Invalidf("stage '%s' can't tell what to delete", st)
		}
	}
	if _, err := compile(q.Stages); err != nil {
		return logs.Deletion{}, classed(err)
	}
	d := logs.Deletion{ID: id, Matchers: q.Matchers, Start: start, End: end, Filters: pushdown(q.Stages)}
	if len(d.Filters) < len(q.Stages) {
		d.NewTest = func() logs.RowTest { return newRowTest(q) }
	}
	return d, nil
}

// newRowTest returns a test that passes what the stages of q, which were compiled before, let pass.
func newRowTest(q *LogQuery) logs.RowTest {
	p, err := compile(q.Stages)
	if err != nil {
		return func(labels.Labels, int64, []byte, []logs.Label) bool { return false } // delete nothing in doubt
	}
	set := newLabelSet(logHints(p.filters))
	streams := map[string]*stream{}
	var key []byte
	return func(ls labels.Labels, ts int64, line []byte, md []logs.Label) bool {
		key = ls.Bytes(key[:0])
		s := streams[string(key)]
		if s == nil {
			if len(streams) >= maxLiveStreams {
				clear(streams)
			}
			s = newStream(uint32(len(streams)), ls.Copy())
			streams[string(key)] = s
		}
		set.reset(s, md)
		_, ok := p.run(ts, line, set)
		return ok
	}
}
