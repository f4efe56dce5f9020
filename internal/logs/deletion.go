package logs

import (
	"context"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
)

// Deletion says which rows of a tenant somebody wants gone: those of the streams that match Matchers,
// with Start <= timestamp < End in nanoseconds, that pass Filters and, if there is one, the test.
type Deletion struct {
	ID         string
	Matchers   []Matcher
	Start, End int64
	Filters    []LineFilter
	// NewTest makes the test that decides about rows which everything above lets through, for the use
	// of one goroutine. Nil: there is nothing more to test.
	NewTest func() RowTest
}

// RowTest reports whether a row is among those to delete. It keeps nothing of its arguments.
type RowTest func(stream labels.Labels, ts int64, line []byte, md []Label) bool

// Deletions are the deletions of one tenant, compiled. They never change and are safe for concurrent
// use. A nil *Deletions deletes nothing.
type Deletions struct{ all []compiledDeletion }

type compiledDeletion struct {
	Deletion
	matchers matcherSet
	filters  []lineFilter
}

// CompileDeletions compiles deletions. The error names the first that makes no sense.
func CompileDeletions(list []Deletion) (*Deletions, error) {
	d := &Deletions{all: make([]compiledDeletion, len(list))}
	for i, one := range list {
		matchers, err := compileMatchers(one.Matchers)
		if err != nil {
			return nil, fmt.Errorf("deletion %s: %w", one.ID, err)
		}
		filters, err := compileFilters(one.Filters)
		if err != nil {
			return nil, fmt.Errorf("deletion %s: %w", one.ID, err)
		}
		d.all[i] = compiledDeletion{one, matchers, filters}
	}
	return d, nil
}

// Len returns how many deletions there are.
func (d *Deletions) Len() int {
	if d == nil {
		return 0
	}
	return len(d.all)
}

// IDs returns the IDs of the deletions, in the order in which they were given.
func (d *Deletions) IDs() []string {
	ids := make([]string, d.Len())
	for i := range ids {
		ids[i] = d.all[i].ID
	}
	return ids
}

// Overlapping returns the deletions that may concern rows from oldest to newest, both inclusive; nil
// if there are none.
func (d *Deletions) Overlapping(oldest, newest int64) *Deletions {
	return d.where(func(c *compiledDeletion) bool { return c.Start < c.End && oldest < c.End && newest >= c.Start })
}

// Without returns the deletions whose ID skip does not name; nil if there are none.
func (d *Deletions) Without(skip func(id string) bool) *Deletions {
	return d.where(func(c *compiledDeletion) bool { return !skip(c.ID) })
}

func (d *Deletions) where(keep func(*compiledDeletion) bool) *Deletions {
	if d == nil {
		return nil
	}
	out := &Deletions{}
	for i := range d.all {
		if keep(&d.all[i]) {
			out.all = append(out.all, d.all[i])
		}
	}
	if len(out.all) == 0 {
		return nil
	}
	return out
}

// concerning returns the deletions that a select may meet rows of.
func (d *Deletions) concerning(s Select) *Deletions {
	return d.where(func(c *compiledDeletion) bool {
		return s.Start < c.End && s.End > c.Start && !c.disjoint(s.Matchers)
	})
}

// disjoint reports whether no stream can match both c and the matchers, as far as that is easy to
// see: they ask for one value of a label that c excludes.
func (c *compiledDeletion) disjoint(ms []Matcher) bool {
	for _, m := range ms {
		if m.Type != labels.MatchEqual {
			continue
		}
		for _, own := range c.matchers {
			if own.Name == m.Name && !own.Matches(m.Value) {
				return true
			}
		}
	}
	return false
}

// Matched returns the IDs of the deletions of which p holds a row at least. It reads no more than it
// needs to know.
func (d *Deletions) Matched(ctx context.Context, p Part) ([]string, error) {
	oldest, newest := p.TimeRange()
	var ids []string
	for _, c := range d.Overlapping(oldest, newest).list() {
		has, err := c.matches(ctx, p)
		if err != nil {
			return nil, err
		}
		if has {
			ids = append(ids, c.ID)
		}
	}
	return ids, nil
}

func (d *Deletions) list() []compiledDeletion {
	if d == nil {
		return nil
	}
	return d.all
}

func (c *compiledDeletion) matches(ctx context.Context, p Part) (bool, error) {
	// Fast path: the index says that no such stream is there.
	found, err := p.Series(ctx, c.Start, c.End, [][]Matcher{c.Matchers})
	if err != nil || len(found) == 0 {
		return false, err
	}
	sel := Select{Matchers: c.Matchers, Start: c.Start, End: c.End, Direction: Forward, Filters: c.Filters}
	if c.NewTest == nil {
		sel.Limit = 1
	}
	test := (&Deletions{all: []compiledDeletion{*c}}).newTester()
	for rows, err := range p.SelectRows(ctx, sel) {
		if err != nil {
			return false, err
		}
		test.begin(rows.Streams)
		for i := range rows.Timestamps {
			if test.deletesRow(rows, i) {
				return true, nil
			}
		}
	}
	return false, context.Cause(ctx)
}

// tester tests rows against deletions. It is used by one goroutine.
type tester struct {
	rules   []rule
	current []testedStream // by number of the stream in the rows
	number  uint32         // of the batch at hand
	streams []labels.Labels
}

// rule is a deletion with a test of its own.
type rule struct {
	*compiledDeletion
	test RowTest
}

// testedStream is what is known of a number of a stream. Sources mostly keep their numbers, but may
// give them another meaning with each batch.
type testedStream struct {
	labels labels.Labels
	rules  []*rule // whose matchers match
	batch  uint32  // in which this was found true; 0: never
}

func (d *Deletions) newTester() *tester {
	t := &tester{}
	for i := range d.list() {
		r := rule{compiledDeletion: &d.all[i]}
		if r.NewTest != nil {
			r.test = r.NewTest()
		}
		t.rules = append(t.rules, r)
	}
	return t
}

// begin begins a batch of rows, whose streams are numbers in streams.
func (t *tester) begin(streams []labels.Labels) {
	t.number++
	t.streams = streams
	if n := len(streams); n > len(t.current) {
		t.current = append(t.current, make([]testedStream, n-len(t.current))...)
	}
}

// deletesRow reports whether row i of the batch at hand is deleted.
func (t *tester) deletesRow(rows *Rows, i int) bool {
	s := t.stream(rows.Stream[i])
	if len(s.rules) == 0 {
		return false
	}
	var md []Label
	if rows.Metadata != nil {
		md = rows.Metadata[i]
	}
	return s.deletes(rows.Timestamps[i], rows.Lines[i], md)
}

func (s *testedStream) deletes(ts int64, line []byte, md []Label) bool {
	for _, r := range s.rules {
		if r.deletes(s.labels, ts, line, md) {
			return true
		}
	}
	return false
}

func (t *tester) stream(number uint32) *testedStream {
	s := &t.current[number]
	if s.batch == t.number {
		return s
	}
	ls := t.streams[number]
	if s.batch == 0 || !labels.Equal(s.labels, ls) {
		s.labels, s.rules = ls.Copy(), nil
		for i := range t.rules {
			if t.rules[i].matchers.matches(ls) {
				s.rules = append(s.rules, &t.rules[i])
			}
		}
	}
	s.batch = t.number
	return s
}

// deletes reports whether a row of a stream that matches is deleted.
func (r *rule) deletes(ls labels.Labels, ts int64, line []byte, md []Label) bool {
	if ts < r.Start || ts >= r.End {
		return false
	}
	for i := range r.filters {
		if !r.filters[i].passes(line) {
			return false
		}
	}
	return r.test == nil || r.test(ls, ts, line, md)
}

// Remover applies deletions to the rows of a Compaction, stream by stream. It is used by one goroutine.
type Remover struct {
	test   *tester
	stream *testedStream
}

// Remover returns one for d, which may be nil.
func (d *Deletions) Remover() *Remover { return &Remover{test: d.newTester()} }

// Touches reports whether a row of a stream from oldest to newest, both inclusive, may be deleted.
func (r *Remover) Touches(stream labels.Labels, oldest, newest int64) bool {
	for _, rule := range r.of(stream).rules {
		if oldest < rule.End && newest >= rule.Start {
			return true
		}
	}
	return false
}

// Deletes reports whether a row is deleted.
func (r *Remover) Deletes(stream labels.Labels, ts int64, line []byte, md []Label) bool {
	return r.of(stream).deletes(ts, line, md)
}

func (r *Remover) of(stream labels.Labels) *testedStream {
	if r.stream == nil || !labels.Equal(r.stream.labels, stream) {
		r.test.begin([]labels.Labels{stream})
		r.stream = r.test.stream(0)
	}
	return r.stream
}
