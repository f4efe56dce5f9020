package logql

import (
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// verdicts are what is known of rows, or of the values of a column: those in pass pass, those in unsure have
// to be looked at, the others don't pass. The sets are apart.
type verdicts struct{ pass, unsure column.Set }

// all returns verdicts of which every row is alike.
func allOf(v verdict) verdicts {
	switch v {
	case passes:
		return verdicts{pass: column.All}
	case unsure:
		return verdicts{unsure: column.All}
	}
	return verdicts{}
}

type verdict uint8

const (
	fails verdict = iota
	passes
	unsure
)

// among takes the rows outside of set from o.
func (v verdicts) among(set column.Set, o verdicts) verdicts {
	rest := set.Not()
	return verdicts{v.pass.And(set).Or(o.pass.And(rest)), v.unsure.And(set).Or(o.unsure.And(rest))}
}

// memoKey is a question to a column. Templates share columns.
type memoKey struct {
	leaf *pushLeaf
	c    *column.Column
	how  reading
}

// judge returns which rows of the page pass. exact is as for pushLine.rows; without it rows that don't pass
// may be among those that do.
func (v *pageView) judge(r *column.Reader, exact bool) verdicts {
	clear(v.memo) // what was found out on incomplete data
	among := v.page.Among
	for i := range v.plan.lines {
		l := &v.plan.lines[i]
		if l.label != "" && v.hasLabel(l.label) {
			continue
		}
		if among = l.rows(r, v.lines, among, exact); among.IsNone() {
			return verdicts{}
		}
	}
	out := verdicts{pass: column.All}
	if _, overflow := v.page.MetadataKeys(); overflow {
		return verdicts{unsure: among}
	}
	if len(v.plan.filters) > 0 || exact {
		out.unsure = v.unread(r)
	}
	for _, f := range v.plan.filters {
		if out.unsure.IsAll() {
			break
		}
		one := v.node(r, f.pushNode, f.early)
		out.pass = out.pass.And(one.pass)
		out.unsure = out.unsure.Or(one.unsure)
	}
	out.unsure = out.unsure.And(among)
	out.pass = out.pass.And(among)
	if !out.unsure.IsNone() {
		out.pass = out.pass.And(out.unsure.Not())
	}
	return out
}

// hasLabel reports whether a stream or metadata of the page have the label.
func (v *pageView) hasLabel(name string) bool {
	l := v.label(name)
	_, overflow := v.page.MetadataKeys()
	return l.runs != nil || l.metadata != nil || overflow
}

func (v *pageView) node(r *column.Reader, n *pushNode, early bool) verdicts {
	if n.leaf != nil {
		return v.leaf(r, n.leaf, early)
	}
	left, right := v.node(r, n.left, early), v.node(r, n.right, early)
	out := verdicts{unsure: left.unsure.Or(right.unsure)}
	if n.or {
		out.pass = left.pass.Or(right.pass)
	} else {
		out.pass = left.pass.And(right.pass)
	}
	return out
}

func (v *pageView) leaf(r *column.Reader, l *pushLeaf, early bool) verdicts {
	if l.text != nil && (l.name == errorLabel || l.name == errorDetailsLabel) {
		return allOf(v.test(l, "", isMissing)) // text filters see the row's error here, whatever fields there are
	}
	at := v.label(l.name)
	if at.unclear {
		return allOf(unsure)
	}
	out := v.parsedLeaf(r, l, at, early)
	if at.metadata != nil {
		has := r.Present(at.metadata)
		out = v.columnLeaf(r, l, at.metadata, reading{}).among(has, out)
	}
	if at.runs != nil {
		out = v.runLeaf(l, at, out)
	}
	return out
}

// runLeaf takes the verdicts of rows whose streams have the label from these.
func (v *pageView) runLeaf(l *pushLeaf, at *pageLabel, others verdicts) verdicts {
	has, pass, doubt := block.NewBitmap(v.page.Rows), block.NewBitmap(v.page.Rows), block.NewBitmap(v.page.Rows)
	for i, run := range v.page.Runs {
		if !at.hasRun[i] {
			continue
		}
		has.SetRange(run.First, run.First+run.Rows)
		switch v.test(l, at.runs[i], isThere) {
		case passes:
			pass.SetRange(run.First, run.First+run.Rows)
		case unsure:
			doubt.SetRange(run.First, run.First+run.Rows)
		}
	}
	return verdicts{column.SetOf(pass), column.SetOf(doubt)}.among(column.SetOf(has), others)
}

// parsedLeaf judges the label that the parser finds.
func (v *pageView) parsedLeaf(r *column.Reader, l *pushLeaf, at *pageLabel, early bool) verdicts {
	without := v.test(l, "", isMissing)
	if at.parsed == nil {
		if p := v.plan.parser; p == nil || p.needless {
			return allOf(without)
		}
		return allOf(unsure)
	}
	var pass, doubt []templateRows
	for k, o := range at.parsed {
		t := &v.lines.Templates[k]
		if t.Rows == 0 {
			continue
		}
		one := allOf(without)
		slot := -1
		switch {
		case o.kind == undecided || early && o.kind != nowhere:
			one = allOf(unsure)
		case o.kind == always:
			one = allOf(v.test(l, "", isThere))
		case o.kind == inSlot:
			slot = o.slot
			one = v.columnLeaf(r, l, t.Slots[slot].Values(), o.how)
		}
		pass = append(pass, templateRows{k, slot, one.pass})
		doubt = append(doubt, templateRows{k, slot, one.unsure})
	}
	return verdicts{v.spread(r, pass), v.spread(r, doubt)}
}

// columnLeaf judges the values of a column.
func (v *pageView) columnLeaf(r *column.Reader, l *pushLeaf, c *column.Column, how reading) verdicts {
	key := memoKey{l, c, how}
	if known, ok := v.memo[key]; ok {
		return known
	}
	out := v.askColumn(r, l, c, how)
	v.memo[key] = out
	return out
}

func (v *pageView) askColumn(r *column.Reader, l *pushLeaf, c *column.Column, how reading) verdicts {
	plain := how.plain(c)
	if plain {
		if set, ok := v.askPlain(r, l, c); ok {
			return verdicts{pass: set}
		}
	}
	if l.number != nil && c.Kind == column.Text {
		return v.askNumbers(r, l, c, how)
	}
	judge := func(raw []byte) verdict {
		text, there := how.text(v.set, raw)
		return v.test(l, text, there)
	}
	kept := r.MatchFunc(c, column.All, func(raw []byte) bool { return judge(raw) != fails })
	if plain && !l.converts {
		return verdicts{pass: kept}
	}
	doubt := r.MatchFunc(c, kept, func(raw []byte) bool { return judge(raw) == unsure })
	if doubt.IsNone() {
		return verdicts{pass: kept}
	}
	return verdicts{kept.And(doubt.Not()), doubt}
}

// askPlain answers what a column can answer by itself.
func (v *pageView) askPlain(r *column.Reader, l *pushLeaf, c *column.Column) (column.Set, bool) {
	switch {
	case l.number != nil:
		return r.MatchNumber(c, column.All, comparisons[l.number.Op], l.number.Value)
	case l.text != nil && c.Kind != column.Sparse && l.text.Type == labels.MatchEqual:
		return r.Match(c, column.Equal, []byte(l.text.Value)), true
	case l.text != nil && c.Kind != column.Sparse && l.text.Type == labels.MatchNotEqual:
		return r.Match(c, column.Equal, []byte(l.text.Value)).Not(), true
	}
	return column.None, false
}

// askNumbers compares numbers that are stored as text.
func (v *pageView) askNumbers(r *column.Reader, l *pushLeaf, c *column.Column, how reading) verdicts {
	n := newNumberer(v, r, parseNumber, true)
	nums := n.column(c, how)
	pass := block.NewBitmap(c.Rows)
	for i, x := range nums.all {
		if holds(l.number.Op, x, l.number.Value) && nums.has.Has(i) {
			pass.Set(i)
		}
	}
	return verdicts{column.SetOf(pass), nums.unsure}
}

var comparisons = map[string]column.Comparison{
	"<": column.Less, "<=": column.LessOrEqual, ">": column.Greater, ">=": column.GreaterOrEqual, "==": column.Same, "!=": column.Different,
}

// test asks the filter itself about a row with, or without, the label.
func (v *pageView) test(l *pushLeaf, text string, there presence) verdict {
	s := v.set
	s.changes, s.err, s.details = s.changes[:0], "", ""
	switch there {
	case isUnsure:
		return unsure
	case isThere:
		s.changes = append(s.changes, change{name: l.name, value: text, from: fromParser})
	}
	keep := l.test.keep(s)
	switch {
	case s.err != "":
		return unsure
	case keep:
		return passes
	}
	return fails
}
