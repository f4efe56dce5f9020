package logql

import (
	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// Numbers with more and less digits behind the point aren't integers of one scale: they are stored as text,
// with a template of two slots and the point between. Their floats are made of the slots.

// maxExactDigits is how many digits a decimal number may have so that its digits and the power of ten under
// them are exact as floats: their quotient is rounded once, as strconv does.
const maxExactDigits = 15

// decimals fills in the values of a Text column that are decimal numbers by their template. It returns the
// rows of the others.
func (n *numberer) decimals(c *column.Column, all []float64) column.Set {
	rest, others := block.NewBitmap(c.Rows), 0
	for k := range c.Templates {
		t := &c.Templates[k]
		if t.Rows == 0 {
			continue
		}
		rows := n.r.TemplateRows(c, k)
		if n.decimalsOf(c, k, rows, all) {
			continue
		}
		others += t.Rows
		for _, row := range rows {
			rest.Set(int(row))
		}
	}
	if others == c.Rows {
		return column.All
	}
	return column.SetOf(rest)
}

// decimalsOf fills in the numbers of a template of c, whose rows are rows, or reports false if the template
// doesn't say that they are numbers.
func (n *numberer) decimalsOf(c *column.Column, k int, rows []uint32, all []float64) bool {
	t := &c.Templates[k]
	for i, p := range t.Pieces {
		if p != "" && !(p == "." && i == 1 && len(t.Slots) == 2) {
			return false
		}
	}
	switch len(t.Slots) {
	case 1:
		vals, ok := n.r.Numbers(t.Slots[0].Values())
		if ok {
			put(all, rows, inTemplate(t, n.r.SlotRows(c, k, 0), vals))
		}
		return ok
	case 2:
		return t.Pieces[1] == "." && n.fractions(c, k, rows, all)
	}
	return false
}

// put puts the values of a template's rows where they belong; nil rows are all rows.
func put(all []float64, rows []uint32, vals []float64) {
	if rows == nil {
		copy(all, vals)
		return
	}
	for j, row := range rows {
		all[row] = vals[j]
	}
}

// inTemplate returns the values of a slot's column by number of the template's row.
func inTemplate[T any](t *column.Template, places []uint32, vals []T) []T {
	if places == nil {
		return vals
	}
	out := make([]T, t.Rows)
	for j := range out {
		out[j] = vals[places[j]]
	}
	return out
}

// fractions fills in the numbers that are a slot of integers, a point, and a slot of digits.
func (n *numberer) fractions(c *column.Column, k int, rows []uint32, all []float64) bool {
	t := &c.Templates[k]
	whole, part := t.Slots[0].Values(), t.Slots[1].Values()
	switch {
	case whole.Kind != column.Int || whole.Int.Form != column.Decimal || whole.Int.Scale != 0 || whole.Stamp.Min < 0:
		return false
	case part.Stamp.Chars != column.Digits || part.Stamp.MinLen == 0:
		return false
	case whole.Stamp.MaxLen+part.Stamp.MaxLen > maxExactDigits:
		return false
	}
	wholes := inTemplate(t, n.r.SlotRows(c, k, 0), n.r.Int64s(whole))
	places := n.r.SlotRows(c, k, 1)
	var codes []uint32 // of a Dict: which of parts
	if part.Kind == column.Dict {
		codes, part = inTemplate(t, places, n.r.Codes(part)), part.Values
		places = nil
	}
	parts := inTemplate(t, places, n.digits(part))
	for j := range t.Rows {
		row, p := j, digitRun{}
		if rows != nil {
			row = int(rows[j])
		}
		if codes != nil {
			p = parts[codes[j]]
		} else {
			p = parts[j]
		}
		all[row] = float64(wholes[j]*p.power+p.value) / float64(p.power)
	}
	return true
}

// digitRun is decimal digits: their value, and ten to the power of their number.
type digitRun struct{ value, power int64 }

// digits reads the values of a column that are digits, as its stamp says.
func (n *numberer) digits(c *column.Column) []digitRun {
	out := make([]digitRun, c.Rows)
	n.vals.Reset()
	n.r.Values(&n.vals, c, column.All)
	for i := range out {
		d := digitRun{0, 1}
		if i < n.vals.Len() {
			for _, b := range n.vals.At(i) {
				d.value, d.power = d.value*10+int64(b-'0'), d.power*10
			}
		}
		out[i] = d
	}
	return out
}
