package column

import (
	"bytes"
	"unicode/utf8"

	"github.com/hune-io/hune/internal/block"
)

// Op says how a value has a needle.
type Op uint8

// The ops.
const (
	Contains Op = iota
	Prefix
	Suffix
	Equal
)

// Match returns the rows of c whose value contains, begins with, ends with or is needle. Exact. A row of a
// Sparse column without a value is never among them. An empty needle is contained in every value.
func (r *Reader) Match(c *Column, op Op, needle []byte) Set {
	return r.find(c, newNeedle(op, needle, false)).set
}

// MatchFold is Match without regard to case, as (?i) of Go's regexp has it: k matches the Kelvin sign, too.
// Bytes of needle that are not UTF-8 match themselves.
func (r *Reader) MatchFold(c *Column, op Op, needle []byte) Set {
	if isASCII(needle) {
		return r.find(c, newNeedle(op, needle, true)).set
	}
	return r.findFunc(c, All, func(v []byte) bool { return testFold(op, v, needle) }).set
}

// searcher is what a Reader keeps for searches.
type searcher struct {
	answers  map[question]Set
	texts    map[question]*textSearch
	regexps  map[regexpQuestion][]found
	forms    map[*Column][]form
	values   map[*Column]*block.Values
	automata map[*Regexp]*dfa
}

// question is what an answer was for: alternatives and templates ask the same of a column again and again.
type question struct {
	c    *Column
	op   Op
	fold bool
	text string
	// apart is as in textSearch.
	apart bool
}

// regexpQuestion is likewise what answers for the templates of c were for.
type regexpQuestion struct {
	c  *Column
	re *Regexp
}

func (n needle) question(c *Column) question {
	return question{c: c, op: n.op, fold: n.fold, text: string(n.text)}
}

// needle is a text, or a part of it that one slot must have, and how.
type needle struct {
	op   Op
	text []byte // lower case where fold
	fold bool   // the text is of ASCII
	// wide: fold, and there is a k or an s, which matches runes of more than one byte.
	wide bool
}

func newNeedle(op Op, text []byte, fold bool) needle {
	if !fold {
		return needle{op: op, text: text}
	}
	low := make([]byte, len(text))
	lower(low, text)
	return needle{op: op, text: low, fold: true, wide: bytes.ContainsAny(low, "ks")}
}

// with returns the part text of n with an op of its own. Where n is wide, the part is taken to be.
func (n needle) with(op Op, text []byte) needle {
	n.op, n.text = op, text
	return n
}

// test reports whether v has the needle.
func (n needle) test(v []byte) bool {
	if n.fold {
		return testFold(n.op, v, n.text)
	}
	switch n.op {
	case Contains:
		return bytes.Contains(v, n.text)
	case Prefix:
		return bytes.HasPrefix(v, n.text)
	case Suffix:
		return bytes.HasSuffix(v, n.text)
	}
	return bytes.Equal(v, n.text)
}

// isWide reports whether values with such bytes may have the needle in other bytes than its own but for
// the case of ASCII.
func (n needle) isWide(chars Charset) bool { return n.wide && chars&High != 0 }

// possible reports whether, by its stamps, c can have a value with the needle.
func (n needle) possible(c *Column) bool {
	if c.Kind == Const {
		return n.test(c.Constant)
	}
	return n.possibleFor(&c.Stamp)
}

// possibleFor reports whether values of which s is known can have the needle.
func (n needle) possibleFor(s *Stamp) bool {
	switch {
	case len(n.text) > s.MaxLen:
		return false
	case n.isWide(s.Chars):
		return true
	case n.op == Equal && len(n.text) < s.MinLen:
		return false
	}
	return n.within(s.Chars, s.Run)
}

// within reports whether the text, which isn't wide for chars, is of chars and has no longer run of letters
// and digits than that.
func (n needle) within(chars Charset, longest int) bool {
	run := 0
	for _, b := range n.text {
		if !n.inside(b, chars) {
			return false
		}
		if run++; !isAlnum(b) {
			run = 0
		}
		if run > longest {
			return false
		}
	}
	return true
}

// inside reports whether b, or with fold its other case, is of chars.
func (n needle) inside(b byte, chars Charset) bool {
	return charsets[b]&chars != 0 || n.fold && b >= 'a' && b <= 'z' && charsets[b-'a'+'A']&chars != 0
}

// found is what is known of an answer. Where missing, a payload isn't at hand: the true answer is some of
// the rows in set. That none is true stands, whatever is missing.
type found struct {
	set     Set
	missing bool
}

// unknown is found where nothing is known.
var unknown = found{set: All, missing: true}

func (f found) and(o found) found {
	f.set = f.set.And(o.set)
	f.missing = (f.missing || o.missing) && !f.set.IsNone()
	return f
}

func (f found) or(o found) found {
	if f.isAll() || o.isAll() {
		return found{set: All}
	}
	return found{set: f.set.Or(o.set), missing: f.missing || o.missing}
}

func (f found) isNone() bool { return f.set.IsNone() }
func (f found) isAll() bool  { return f.set.IsAll() && !f.missing }

// find answers for a column: by its stamps if they suffice, else by its kind.
func (r *Reader) find(c *Column, n needle) found {
	if c.Rows == 0 || !n.possible(c) || r.lacks(c, n) {
		return found{}
	}
	if c.Kind == Const || len(n.text) == 0 && n.op != Equal && c.Kind != Sparse {
		return found{set: All}
	}
	q := n.question(c)
	if set, ok := r.search.answers[q]; ok {
		return found{set: set}
	}
	f := r.findByKind(c, n)
	if !f.missing {
		if r.search.answers == nil {
			r.search.answers = map[question]Set{}
		}
		r.search.answers[q] = f.set
	}
	return f
}

func (r *Reader) findByKind(c *Column, n needle) found {
	switch c.Kind {
	case Int:
		return r.findInt(c, n)
	case Hex:
		return r.findHex(c, n)
	case Raw:
		return r.findRaw(c, n)
	case Text:
		return r.textSearch(c, n, n.op == Contains && c.sharedCount() > 0).find()
	case Dict:
		return r.spread(c, r.find(c.Values, n))
	case Sparse:
		return r.scatter(c, r.find(c.Values, n))
	}
	return found{}
}

// spread turns what was found of the entries of a Dict into the rows of c.
func (r *Reader) spread(c *Column, f found) found {
	switch {
	case f.missing:
		return unknown
	case f.set.Bits() == nil:
		return f
	case !r.atHand(c.Payload):
		return unknown
	}
	return found{set: r.selectCodes(c, f.set.Bits())}
}

// scatter turns what was found of the values of a Sparse column into the rows of c.
func (r *Reader) scatter(c *Column, f found) found {
	switch {
	case f.missing:
		return unknown
	case f.isNone():
		return f
	case !r.atHand(c.Payload):
		return unknown
	}
	present := r.Present(c)
	if f.set.IsAll() || present.Bits() == nil {
		return found{set: present.And(f.set)}
	}
	rows, i := block.NewBitmap(c.Rows), 0
	for row := present.Bits().Next(0); row >= 0; row = present.Bits().Next(row + 1) {
		if i < c.Values.Rows && f.set.Has(i) {
			rows.Set(row)
		}
		i++
	}
	return found{set: SetOf(rows)}
}

// gather is the inverse of scatter: which of the values of a Sparse column the rows in among have.
func gather(c *Column, present, among Set) Set {
	if among.IsAll() || present.Bits() == nil {
		return among
	}
	values, i := block.NewBitmap(c.Values.Rows), 0
	for row := present.Bits().Next(0); row >= 0 && i < c.Values.Rows; row = present.Bits().Next(row + 1) {
		if among.Has(row) {
			values.Set(i)
		}
		i++
	}
	return SetOf(values)
}

// atHand reports whether the bytes of p are, and notes their blobs as wanted if not.
func (r *Reader) atHand(p Payload) bool {
	_, ok := r.payload(p)
	return ok
}

// allAtHand is atHand for everything that a value of c may be made of.
func (r *Reader) allAtHand(c *Column) bool {
	ok := c.Kind == Const || c.Kind == Text || r.numbersAtHand(c)
	for _, sub := range []*Column{c.Values, c.Lengths, c.IDs} {
		if sub != nil && !r.allAtHand(sub) {
			ok = false
		}
	}
	for i := range c.sharedCount() {
		ok = r.allAtHand(c.sharedColumn(i)) && ok
	}
	for k := range c.Templates {
		for s := range c.Templates[k].Slots {
			if slot := &c.Templates[k].Slots[s]; slot.Shared < 0 {
				ok = r.allAtHand(slot.Values()) && ok
			}
		}
	}
	return ok
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
