package column

import "github.com/hune-io/hune/internal/block"

// MatchFunc returns those of the rows in among for whose value f reports true. f is pure: it is called once
// for a Const, once for each entry of a Dict, else for the rows in among, and not always for two that are
// equal. A row of a Sparse column without a value isn't in the answer.
func (r *Reader) MatchFunc(c *Column, among Set, f func(value []byte) bool) Set {
	return r.findFunc(c, among, f).set
}

func (r *Reader) findFunc(c *Column, among Set, f func([]byte) bool) found {
	if among.IsNone() || c.Rows == 0 {
		return found{}
	}
	switch c.Kind {
	case Const:
		if f(c.Constant) {
			return found{set: among}
		}
		return found{}
	case Dict:
		return r.spread(c, r.findFunc(c.Values, All, f)).and(found{set: among})
	case Sparse:
		return r.inSparse(c, among, func(among Set) found { return r.findFunc(c.Values, among, f) })
	case Int:
		if !r.numbersAtHand(c) {
			return found{set: among, missing: true}
		}
		return found{set: r.testInts(c, among, f)}
	}
	if !r.atHandFor(c, among) {
		return found{set: among, missing: true}
	}
	return found{set: r.testValues(c, among, f)}
}

// inSparse answers for a Sparse column by asking ask for its values, of those that rows in among have.
func (r *Reader) inSparse(c *Column, among Set, ask func(among Set) found) found {
	if !r.atHand(c.Payload) {
		return found{set: among, missing: true}
	}
	return r.scatter(c, ask(gather(c, r.Present(c), among))).and(found{set: among})
}

// testValues rebuilds the values of the rows in among, which are at hand, and tests them.
func (r *Reader) testValues(c *Column, among Set, f func([]byte) bool) Set {
	var v block.Values
	r.Values(&v, c, among)
	rows := block.NewBitmap(c.Rows)
	if among.IsAll() {
		for i := range min(v.Len(), c.Rows) {
			if f(v.At(i)) {
				rows.Set(i)
			}
		}
		return SetOf(rows)
	}
	row := among.Bits().Next(0)
	for i := 0; i < v.Len() && row >= 0; i++ {
		if f(v.At(i)) {
			rows.Set(row)
		}
		row = among.Bits().Next(row + 1)
	}
	return SetOf(rows)
}

// atHandFor is allAtHand for what the rows in among are made of.
func (r *Reader) atHandFor(c *Column, among Set) bool {
	if c.Kind != Text || among.IsAll() {
		return r.allAtHand(c)
	}
	if !r.allAtHand(c.IDs) {
		return false
	}
	ok := true
	for k := range c.Templates {
		if c.Templates[k].Rows > 0 && !r.amongTemplate(c, k, among).IsNone() {
			ok = r.templateAtHand(c, k) && ok
		}
	}
	return ok
}

// amongTemplate returns which of the rows of template k are in among, in its own numbering. The template
// numbers are at hand, unless among is None or All.
func (r *Reader) amongTemplate(c *Column, k int, among Set) Set {
	if among.Bits() == nil || c.Templates[k].Rows == c.Rows {
		return among
	}
	return pick(among, r.TemplateRows(c, k))
}
