package logql

import (
	"strings"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// pageCodes is a label as numbers: rows of one value have one code. Code 0 is a row without the label, code
// i the value values[i-1].
type pageCodes struct {
	rows   []uint32 // by row; nil: all rows have code one
	one    uint32
	values []string
	unsure column.Set
}

func (c *pageCodes) at(row int) uint32 {
	if c.rows == nil {
		return c.one
	}
	return c.rows[row]
}

// value returns what a code stands for, and whether it is a value.
func (c *pageCodes) value(code uint32) (string, bool) {
	if code == 0 {
		return "", false
	}
	return c.values[code-1], true
}

// coder makes pageCodes.
type coder struct {
	v       *pageView
	r       *column.Reader
	out     *pageCodes
	byValue map[string]uint32
	columns map[columnReading]valueCodes
	doubt   *block.Bitmap
}

type columnReading struct {
	c   *column.Column
	how reading
}

// valueCodes are the codes of the values of a column.
type valueCodes struct {
	all   []uint32 // nil: every value has code one
	one   uint32
	doubt bool // there is doubtful among them
}

func (c valueCodes) at(i int) uint32 {
	if c.all == nil {
		return c.one
	}
	return c.all[i]
}

// doubtful is the code of a value that the pipeline has to read.
const doubtful = ^uint32(0)

func newCoder(v *pageView, r *column.Reader) *coder {
	return &coder{v: v, r: r, out: &pageCodes{}, byValue: map[string]uint32{}, columns: map[columnReading]valueCodes{}}
}

// codes returns a label of all rows.
func (v *pageView) codes(r *column.Reader, name string) *pageCodes {
	at := v.label(name)
	c := newCoder(v, r)
	out := c.out
	if at.unclear {
		out.unsure = column.All
		return out
	}
	switch {
	case at.parsed != nil:
		c.parsed(at)
	case v.plan.parser != nil && !v.plan.parser.needless:
		out.unsure = column.All
		return out
	}
	if at.metadata != nil {
		c.metadata(at.metadata)
	}
	if at.runs != nil {
		c.runs(at)
	}
	if c.doubt != nil {
		out.unsure = column.SetOf(c.doubt)
	}
	return out
}

func (c *coder) code(value string) uint32 {
	if k, ok := c.byValue[value]; ok {
		return k
	}
	value = strings.Clone(value)
	c.out.values = append(c.out.values, value)
	k := uint32(len(c.out.values))
	c.byValue[value] = k
	return k
}

// fill makes room for a code of each row.
func (c *coder) fill() []uint32 {
	if c.out.rows == nil {
		c.out.rows = c.r.Scratch(c.v.page.Rows)
		for i := range c.out.rows {
			c.out.rows[i] = c.out.one
		}
	}
	return c.out.rows
}

func (c *coder) runs(at *pageLabel) {
	if len(at.runs) == 1 {
		c.out.rows, c.out.one, c.doubt = nil, c.code(at.runs[0]), nil
		return
	}
	rows := c.fill()
	for i, run := range c.v.page.Runs {
		if !at.hasRun[i] {
			continue
		}
		k := c.code(at.runs[i])
		for row := run.First; row < run.First+run.Rows; row++ {
			rows[row] = k
		}
	}
}

func (c *coder) metadata(col *column.Column) {
	has := c.r.Present(col)
	vals := col
	if col.Kind == column.Sparse {
		vals = col.Values
	}
	codes := c.column(vals, reading{})
	if has.IsAll() && codes.all == nil {
		c.out.rows, c.out.one = nil, codes.one
		return
	}
	if has.IsAll() && len(codes.all) == c.v.page.Rows {
		delete(c.columns, columnReading{vals, reading{}}) // the codes are the rows' own from now on
		c.out.rows = codes.all
		return
	}
	rows := c.fill()
	i := 0
	for row := range rows {
		if has.Has(row) && i < vals.Rows {
			rows[row] = codes.at(i)
			i++
		}
	}
}

// parsed takes the codes of the label that the parser finds.
func (c *coder) parsed(at *pageLabel) {
	lines := c.v.lines
	if k, o := c.onlyTemplate(at); k >= 0 {
		codes := c.origin(k, o)
		if codes.all == nil && !codes.doubt {
			c.out.one = codes.one
			return
		}
	}
	rows, doubt := c.fill(), false
	from := make([]column.Placed[uint32], len(at.parsed))
	for k, o := range at.parsed {
		if lines.Templates[k].Rows == 0 || o.kind == nowhere {
			continue
		}
		codes := c.origin(k, o)
		doubt = doubt || codes.doubt
		if codes.all == nil {
			from[k] = column.Placed[uint32]{Slot: -1, Vals: []uint32{codes.one}}
		} else {
			from[k] = column.Placed[uint32]{Slot: o.slot, Vals: codes.all}
		}
	}
	column.Spread(c.r, lines, rows, from)
	if doubt {
		c.takeDoubtful(rows)
	}
}

// takeDoubtful notes the rows whose code is doubtful.
func (c *coder) takeDoubtful(rows []uint32) {
	c.doubt = block.NewBitmap(len(rows))
	for row, code := range rows {
		if code == doubtful {
			c.doubt.Set(row)
			rows[row] = 0
		}
	}
}

// onlyTemplate returns the one template that rows are of, or -1.
func (c *coder) onlyTemplate(at *pageLabel) (int, origin) {
	for k := range at.parsed {
		if c.v.lines.Templates[k].Rows == c.v.page.Rows {
			return k, at.parsed[k]
		}
	}
	return -1, origin{}
}

func (c *coder) origin(k int, o origin) valueCodes {
	switch o.kind {
	case inSlot:
		return c.column(c.v.lines.Templates[k].Slots[o.slot].Values(), o.how)
	case always:
		return valueCodes{one: c.code("")}
	case undecided:
		return valueCodes{one: doubtful, doubt: true}
	}
	return valueCodes{}
}

// column returns the codes of the values of col.
func (c *coder) column(col *column.Column, how reading) valueCodes {
	key := columnReading{col, how}
	if known, ok := c.columns[key]; ok {
		return known
	}
	out := c.read(col, how)
	c.columns[key] = out
	return out
}

func (c *coder) read(col *column.Column, how reading) valueCodes {
	switch col.Kind {
	case column.Const:
		k := c.codeOf(col.Constant, how)
		return valueCodes{one: k, doubt: k == doubtful}
	case column.Dict:
		entries := c.column(col.Values, how)
		if entries.all == nil {
			return entries
		}
		out := valueCodes{all: c.r.Scratch(col.Rows), doubt: entries.doubt}
		for i, e := range c.r.Codes(col)[:col.Rows] {
			out.all[i] = entries.all[e]
		}
		return out
	}
	var vals block.Values
	c.r.Values(&vals, col, column.All)
	out := valueCodes{all: make([]uint32, col.Rows)}
	for i := range min(vals.Len(), col.Rows) {
		out.all[i] = c.codeOf(vals.At(i), how)
		out.doubt = out.doubt || out.all[i] == doubtful
	}
	return out
}

func (c *coder) codeOf(raw []byte, how reading) uint32 {
	text, there := how.text(c.v.set, raw)
	switch there {
	case isMissing:
		return 0
	case isUnsure:
		return doubtful
	}
	return c.code(text)
}
