package logql

import (
	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// pageNumbers are the samples of the rows of a page.
type pageNumbers struct {
	rows   []float64  // by row
	has    column.Set // rows that have a sample
	unsure column.Set // rows that the pipeline has to look at: what they have isn't a number
}

// lengthsOf returns how long the lines are.
func lengthsOf(r *column.Reader, lines *column.Column) pageNumbers {
	lengths := r.ValueLengths(lines)
	out := pageNumbers{rows: make([]float64, len(lengths)), has: column.All}
	for i, n := range lengths {
		out.rows[i] = float64(n)
	}
	return out
}

// columnNumbers are the samples of the values of a column.
type columnNumbers struct {
	all         []float64
	has, unsure column.Set
}

// numbers takes the samples out of a label.
func (v *pageView) numbers(r *column.Reader, name string, plainNumber bool, parse func(string) (float64, error)) pageNumbers {
	at := v.label(name)
	if at.unclear || at.parsed == nil && v.plan.parser != nil && !v.plan.parser.needless {
		return pageNumbers{unsure: column.All}
	}
	n := newNumberer(v, r, parse, plainNumber)
	n.parsed(at)
	if at.metadata != nil {
		n.metadata(at.metadata)
	}
	if at.runs != nil {
		n.runs(at)
	}
	return n.out
}

type numberer struct {
	v           *pageView
	r           *column.Reader
	plainNumber bool // parse is parseNumber
	parse       func(string) (float64, error)
	out         pageNumbers
	columns     map[columnReading]columnNumbers
	shared      bool         // out.rows is of a column: don't write
	vals        block.Values // scratch
}

func newNumberer(v *pageView, r *column.Reader, parse func(string) (float64, error), plainNumber bool) *numberer {
	return &numberer{v: v, r: r, plainNumber: plainNumber, parse: parse, columns: map[columnReading]columnNumbers{}}
}

// own makes out.rows a slice of its own.
func (n *numberer) own() []float64 {
	if n.out.rows == nil || n.shared {
		rows := make([]float64, n.v.page.Rows)
		copy(rows, n.out.rows)
		n.out.rows, n.shared = rows, false
	}
	return n.out.rows
}

func (n *numberer) parsed(at *pageLabel) {
	lines := n.v.lines
	var has, doubt []templateRows
	from := make([]column.Placed[float64], len(at.parsed))
	for k, o := range at.parsed {
		t := &lines.Templates[k]
		if t.Rows == 0 {
			continue
		}
		switch o.kind {
		case undecided, always: // an empty text is no number
			doubt = append(doubt, templateRows{k, -1, column.All})
		case inSlot:
			c := n.column(t.Slots[o.slot].Values(), o.how)
			has = append(has, templateRows{k, o.slot, c.has})
			doubt = append(doubt, templateRows{k, o.slot, c.unsure})
			from[k] = column.Placed[float64]{Slot: o.slot, Vals: c.all}
			if t.Rows == n.v.page.Rows {
				n.out.rows, n.shared = c.all, true // Fast path: the column is that of all rows.
			}
		}
	}
	if len(has) > 0 && !n.shared {
		column.Spread(n.r, lines, n.own(), from)
	}
	n.out.has, n.out.unsure = n.v.spread(n.r, has), n.v.spread(n.r, doubt)
}

func (n *numberer) metadata(c *column.Column) {
	here := n.r.Present(c)
	vals := c
	if c.Kind == column.Sparse {
		vals = c.Values
	}
	nums := n.column(vals, reading{})
	rows := n.own()
	has, doubt := block.NewBitmap(len(rows)), block.NewBitmap(len(rows))
	i := 0
	for row := range rows {
		if !here.Has(row) || i >= vals.Rows {
			continue
		}
		rows[row] = nums.all[i]
		if nums.has.Has(i) {
			has.Set(row)
		}
		if nums.unsure.Has(i) {
			doubt.Set(row)
		}
		i++
	}
	n.replace(here, column.SetOf(has), column.SetOf(doubt))
}

func (n *numberer) runs(at *pageLabel) {
	rows := n.own()
	here, has, doubt := block.NewBitmap(len(rows)), block.NewBitmap(len(rows)), block.NewBitmap(len(rows))
	for i, run := range n.v.page.Runs {
		if !at.hasRun[i] {
			continue
		}
		here.SetRange(run.First, run.First+run.Rows)
		x, err := n.parse(at.runs[i])
		if err != nil {
			doubt.SetRange(run.First, run.First+run.Rows)
			continue
		}
		has.SetRange(run.First, run.First+run.Rows)
		for row := run.First; row < run.First+run.Rows; row++ {
			rows[row] = x
		}
	}
	n.replace(column.SetOf(here), column.SetOf(has), column.SetOf(doubt))
}

// replace takes what is known of the rows of here from has and unsure.
func (n *numberer) replace(here, has, unsure column.Set) {
	rest := here.Not()
	n.out.has = n.out.has.And(rest).Or(has)
	n.out.unsure = n.out.unsure.And(rest).Or(unsure)
}

func (n *numberer) column(c *column.Column, how reading) columnNumbers {
	key := columnReading{c, how}
	if known, ok := n.columns[key]; ok {
		return known
	}
	out := n.read(c, how)
	n.columns[key] = out
	return out
}

func (n *numberer) read(c *column.Column, how reading) columnNumbers {
	if n.plainNumber && how.plain(c) {
		if vals, ok := n.r.Numbers(c); ok {
			return columnNumbers{all: vals, has: column.All}
		}
	}
	out := columnNumbers{all: make([]float64, c.Rows)}
	has, doubt := block.NewBitmap(c.Rows), block.NewBitmap(c.Rows)
	switch c.Kind {
	case column.Const:
		x, there := n.value(c.Constant, how)
		for i := range out.all {
			out.all[i] = x
		}
		mark(has, doubt, there, 0, c.Rows)
	case column.Dict:
		entries := n.column(c.Values, how)
		for i, e := range n.r.Codes(c)[:c.Rows] {
			out.all[i] = entries.all[e]
			if entries.has.Has(int(e)) {
				has.Set(i)
			} else if entries.unsure.Has(int(e)) {
				doubt.Set(i)
			}
		}
	default:
		rest := column.All
		if c.Kind == column.Text && n.plainNumber {
			rest = n.decimals(c, out.all)
		}
		if rest.IsNone() {
			out.has = column.All
			return out
		}
		for row := range c.Rows {
			if !rest.Has(row) {
				has.Set(row)
			}
		}
		n.convert(c, how, rest, func(i int, x float64, there presence) {
			out.all[i] = x
			mark(has, doubt, there, i, i+1)
		})
	}
	out.has, out.unsure = column.SetOf(has), column.SetOf(doubt)
	return out
}

// convert converts the values of the rows in among one by one.
func (n *numberer) convert(c *column.Column, how reading, among column.Set, yield func(i int, x float64, there presence)) {
	n.vals.Reset()
	n.r.Values(&n.vals, c, among)
	bits := among.Bits()
	row := 0
	for i := range min(n.vals.Len(), c.Rows) {
		if bits != nil {
			if row = bits.Next(row); row < 0 {
				return
			}
		}
		x, there := n.value(n.vals.At(i), how)
		yield(row, x, there)
		row++
	}
}

func mark(has, doubt *block.Bitmap, there presence, from, to int) {
	switch there {
	case isThere:
		has.SetRange(from, to)
	case isUnsure:
		doubt.SetRange(from, to)
	}
}

// value converts a value. One that doesn't convert is unsure.
func (n *numberer) value(raw []byte, how reading) (float64, presence) {
	text, there := how.text(n.v.set, raw)
	if there != isThere {
		return 0, there
	}
	x, err := n.parse(text)
	if err != nil {
		return 0, isUnsure
	}
	return x, isThere
}
