package logql

import (
	"context"
	"math"
	"strings"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// wholeFold answers for a page of which every row is meant, is of one window and of one series: the usual
// page, since a page holds seconds of a busy stream and a window is minutes. What matters then is how many
// values of a column pass, or what they add up to, and not which rows they are of: neither timestamps nor
// the templates of the rows are read. Where all rows count, the page isn't even opened. A few odd rows, which
// the parser may find a fault in, go through the pipeline.
type wholeFold struct {
	w      *pageFolder
	v      *pageView
	filter *pushLeaf // nil: every row passes
	label  *pageLabel

	odd   []bool       // by template: its rows are odd; nil: none is
	lines block.Values // of the odd rows
	known bool         // the columns are enough for the others
	n     int          // those of them that pass
	acc   acc
}

// whole folds the page if it is such a page, and reports whether it was.
func (w *pageFolder) whole(ctx context.Context, v *pageView) (done bool, err error) {
	f := &wholeFold{w: w, v: v}
	lo, hi, ok := f.window()
	if !ok || lo > hi {
		return ok, nil // no window holds a row of it
	}
	if f.needsColumns() {
		if err := v.open(ctx); err != nil {
			return false, err
		}
	}
	if !f.oneSeries() || !f.plan() {
		return false, nil
	}
	if f.label == nil && f.odd == nil {
		f.read(nil)
	} else if err := v.page.Ask(ctx, f.read); err != nil {
		return false, ofSource(err)
	}
	if !f.known {
		return false, nil
	}
	if f.n > 0 {
		f.fold(lo, hi)
	}
	return true, f.oddRows()
}

// oddRows sends the odd rows through the pipeline. What the label and the series are is the same for every
// stream of the page, whatever metadata there are, so any one stands for theirs.
func (f *wholeFold) oddRows() error {
	w, run := f.w, f.v.page.Runs[0]
	if f.lines.Len() == 0 {
		return nil
	}
	base := w.stream(f.v.page.Streams[run.Stream])
	w.at = place{ts: run.Oldest, stream: f.v.page.Streams[run.Stream]}
	for i := range f.lines.Len() {
		line := f.lines.At(i)
		w.lines++
		w.bytes += int64(len(line))
		if _, err := w.x.row(base, run.Oldest, line, nil); err != nil {
			return errRowByRow
		}
	}
	return nil
}

// fold adds what the columns gave to the series of the page.
func (f *wholeFold) fold(lo, hi int) {
	w, v := f.w, f.v
	first, last := f.times()
	w.at = place{ts: first, stream: v.page.Streams[v.page.Runs[0].Stream]}
	s := f.series()
	w.touch(s)
	f.acc.n, f.acc.from, f.acc.to = float64(f.n), first, last
	s.buckets.addAll(w.x.fold, lo, hi, &f.acc)
}

// window returns the windows of the page's rows, if all have the same.
func (f *wholeFold) window() (lo, hi int, ok bool) {
	if !f.v.page.Among.IsAll() {
		return 0, 0, false
	}
	first, last := f.times()
	x := f.w.x
	lo, hi = x.grid.steps(first + x.offset)
	l, h := x.grid.steps(last + x.offset)
	return lo, hi, lo == l && hi == h
}

func (f *wholeFold) times() (first, last int64) {
	first, last = math.MaxInt64, math.MinInt64
	for _, r := range f.v.page.Runs {
		first, last = min(first, r.Oldest), max(last, r.Newest)
	}
	return first, last
}

// needsColumns reports whether what the index says of the page isn't enough.
func (f *wholeFold) needsColumns() bool {
	plan := f.v.plan
	return len(plan.lines) > 0 || len(plan.filters) > 0 || f.w.x.unwrap != nil || plan.parser != nil && !plan.parser.needless
}

// oneSeries reports whether labels of streams alone, and the same ones for all rows, say what the series
// is.
func (f *wholeFold) oneSeries() bool {
	x, p := f.w.x, f.v.page
	keys, overflow := p.MetadataKeys()
	if overflow && f.needsColumns() {
		return false
	}
	if !x.grouped() {
		return len(p.Runs) == 1 && len(keys) == 0 && !overflow
	}
	for _, name := range x.grouping.Labels {
		found, _ := f.v.inMetadata(name)
		if found || overflow || strings.HasSuffix(name, extractedSuffix) {
			return false
		}
		at := f.v.label(name)
		for i := range p.Runs {
			switch {
			case at.runs == nil && len(at.parsed) == 0:
			case at.runs == nil || !at.hasRun[i] || at.runs[i] != at.runs[0]:
				return false
			}
		}
	}
	return true
}

// plan reports whether the question is of the simple kind: at most one filter, or an unwrap, on a field that
// every row is known to have or to lack.
func (f *wholeFold) plan() bool {
	plan, x := f.v.plan, f.w.x
	if len(plan.lines) > 0 || len(plan.filters) > 1 || len(plan.filters) == 1 && x.unwrap != nil {
		return false
	}
	name := ""
	if len(plan.filters) == 1 {
		one := plan.filters[0]
		if one.early || one.leaf == nil || one.leaf.name == errorLabel || one.leaf.name == errorDetailsLabel {
			return false
		}
		f.filter, name = one.leaf, one.leaf.name
	} else if x.unwrap != nil {
		name = x.e.Range.Unwrap.Label
	}
	if p := plan.parser; p != nil && !p.needless {
		if f.v.lines.Kind != column.Text {
			return false
		}
		if !f.findOdd(p) {
			return false
		}
	}
	if name == "" {
		return true
	}
	f.label = f.v.label(name)
	return !f.label.unclear && f.label.metadata == nil && f.label.runs == nil && f.label.parsed != nil
}

// oddShare bounds the odd rows to one in so many. More are quicker on the way of other pages, which looks at
// rows once.
const oddShare = 16

// findOdd marks the templates whose rows the parser may find a fault in, and reports whether they are few.
func (f *wholeFold) findOdd(p *pushParser) bool {
	n := 0
	for k := range f.v.lines.Templates {
		t := &f.v.lines.Templates[k]
		if t.Rows == 0 || p.readable(t) {
			continue
		}
		if n += t.Rows; n*oddShare > f.v.page.Rows {
			return false
		}
		if f.odd == nil {
			f.odd = make([]bool, len(f.v.lines.Templates))
		}
		f.odd[k] = true
	}
	return true
}

// counts reports whether the rows of template k are answered for by columns.
func (f *wholeFold) counts(k int) bool {
	return f.v.lines.Templates[k].Rows > 0 && (f.odd == nil || !f.odd[k])
}

// read counts or adds up. It may be called again when more of the page is at hand.
func (f *wholeFold) read(r *column.Reader) {
	clear(f.v.memo) // what was found out on incomplete data
	f.known, f.n, f.acc = true, 0, acc{}
	f.lines.Reset()
	for k, odd := range f.odd {
		if odd {
			r.TemplateValues(&f.lines, f.v.lines, k)
		}
	}
	if f.label == nil {
		f.n = f.v.page.Rows - f.lines.Len()
		ones(&f.acc, f.n)
		return
	}
	if !f.columnsWhole() {
		f.known = false
		return
	}
	if f.filter == nil && !f.wantColumns(r) {
		return
	}
	seen := map[*column.Column]bool{}
	numbers := newNumberer(f.v, r, f.w.x.unwrap, f.unwrapsPlain())
	for k, o := range f.label.parsed {
		t := &f.v.lines.Templates[k]
		if !f.counts(k) {
			continue
		}
		var c *column.Column
		if o.kind == inSlot {
			if c = t.Slots[o.slot].Values(); seen[c] {
				continue // what templates share holds the values of all of them
			}
			seen[c] = true
		}
		if f.filter != nil {
			f.count(r, t.Rows, c, o)
		} else {
			f.add(numbers, c, o)
		}
		if !f.known {
			return
		}
	}
	if f.filter != nil {
		ones(&f.acc, f.n)
	}
}

// wantColumns notes all of the label's columns as wanted, so that they are read at once, and reports whether
// they are at hand.
func (f *wholeFold) wantColumns(r *column.Reader) bool {
	ready := true
	for k, o := range f.label.parsed {
		if f.counts(k) && o.kind == inSlot {
			ready = r.Want(f.v.lines.Templates[k].Slots[o.slot].Values()) && ready
		}
	}
	return ready
}

// columnsWhole reports whether the label's columns hold its values and no others: where templates share a
// column, each of them must have the label there.
func (f *wholeFold) columnsWhole() bool {
	rows := map[*column.Column]int{}
	for k, o := range f.label.parsed {
		if t := &f.v.lines.Templates[k]; f.counts(k) && o.kind == inSlot {
			rows[t.Slots[o.slot].Values()] += t.Rows
		}
	}
	for c, n := range rows {
		if c.Rows != n {
			return false
		}
	}
	return true
}

func (f *wholeFold) unwrapsPlain() bool {
	u := f.w.x.e.Range.Unwrap
	return u != nil && u.Conversion == ""
}

// ones is the fold of n samples of 1.
func ones(a *acc, n int) {
	a.sum, a.first, a.last = float64(n), 1, 1
}

// count adds how many of the values of c, or of the rows of a template without the label, pass.
func (f *wholeFold) count(r *column.Reader, rows int, c *column.Column, o origin) {
	var found verdicts
	switch o.kind {
	case undecided:
		f.known = false
		return
	case inSlot:
		rows = c.Rows
		found = f.v.columnLeaf(r, f.filter, c, o.how)
	case always:
		found = allOf(f.v.test(f.filter, "", isThere))
	default:
		found = allOf(f.v.test(f.filter, "", isMissing))
	}
	if !found.unsure.IsNone() {
		f.known = false
		return
	}
	f.n += found.pass.Count(rows)
}

// add folds the values of c.
func (f *wholeFold) add(numbers *numberer, c *column.Column, o origin) {
	if o.kind == nowhere {
		return // no sample
	}
	if o.kind != inSlot {
		f.known = false
		return
	}
	nums := numbers.column(c, o.how)
	if !nums.has.IsAll() {
		f.known = false
		return
	}
	fold := f.w.x.fold
	for _, x := range nums.all {
		fold.add(&f.acc, x)
	}
	f.n += len(nums.all)
}

// series finds the series of the page.
func (f *wholeFold) series() *extracted {
	x, p := f.w.x, f.v.page
	run := p.Runs[0]
	if !x.grouped() {
		x.set.reset(f.w.stream(p.Streams[run.Stream]), nil)
	} else {
		x.set.reset(f.w.nothing, nil)
		for _, name := range x.grouping.Labels {
			if at := f.v.label(name); at.runs != nil {
				x.set.set(fromParser, name, at.runs[0])
			}
		}
	}
	s, _ := x.find()
	return s
}
