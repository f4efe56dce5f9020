package column

import (
	"bytes"
	"slices"
	"strings"

	"github.com/hune-io/hune/internal/block"
)

// form is a template as a search sees it: what all rows have in common, constant slots included, and the
// slots between.
type form struct {
	template *Template
	static   []string // one more than slots
	slots    []int    // of the template
	unread   bool     // some columns of slots have not been read: see expandUnread
	folded   []string // static without regard to case, made when first needed
}

// form returns the form of template k, which is made once.
func (r *Reader) form(c *Column, k int) *form {
	forms := r.search.forms[c]
	if forms == nil {
		forms = make([]form, len(c.Templates))
		if r.search.forms == nil {
			r.search.forms = map[*Column][]form{}
		}
		r.search.forms[c] = forms
	}
	if forms[k].template == nil {
		forms[k] = newForm(&c.Templates[k])
	}
	return &forms[k]
}

func newForm(t *Template) form {
	variable := 0
	for s := range t.Slots {
		if t.Slots[s].Values().Kind != Const {
			variable++
		}
	}
	x := form{template: t, static: t.Pieces, slots: make([]int, 0, variable)}
	if variable < len(t.Slots) {
		x.static = make([]string, 0, variable+1)
		x.joinConstants()
		return x
	}
	for s := range t.Slots {
		x.slots = append(x.slots, s)
	}
	return x
}

// joinConstants fills static and slots for a template with constant slots.
func (x *form) joinConstants() {
	t := x.template
	static := t.Pieces[0]
	for s := range t.Slots {
		if c := t.Slots[s].Values(); c.Kind == Const {
			static += string(c.Constant) + t.Pieces[s+1]
			continue
		}
		x.static = append(x.static, static)
		x.slots = append(x.slots, s)
		static = t.Pieces[s+1]
	}
	x.static = append(x.static, static)
}

// staticFor returns the static texts in the form in which n is compared with them.
func (x *form) staticFor(n needle) []string {
	if !n.fold {
		return x.static
	}
	if x.folded == nil {
		x.folded = make([]string, len(x.static))
		for i, s := range x.static {
			low := []byte(s)
			lower(low, low)
			// The runes beyond ASCII that fold to a letter of ASCII.
			low = bytes.ReplaceAll(low, []byte("\u212a"), []byte("k"))
			x.folded[i] = string(bytes.ReplaceAll(low, []byte("\u017f"), []byte("s")))
		}
	}
	return x.folded
}

// slotNeedle is what a slot must have.
type slotNeedle struct {
	slot int
	needle
}

// The limits of an expansion. Beyond them the rows are rebuilt.
const (
	maxAlternatives = 256
	maxExpandSteps  = 1 << 14
	// maxUnread is the limit for expandUnread. Beyond it reading the columns is quicker: most of so many
	// alternatives turn out to be none then.
	maxUnread = 4
)

// expansion is a needle in a template, as a choice of alternatives, each of which asks something of some
// slots. A row has the needle if and only if it satisfies one of them, or all is set.
type expansion struct {
	form   *form
	static []string
	needle needle
	text   string        // of needle
	toEnd  bool          // the needle must end with the row
	apart  bool          // needles that lie in a shared column entirely are left out
	slots  *block.Bitmap // nil, or the triples of all slots

	alternatives [][]slotNeedle
	space        []slotNeedle // slab of alternatives, and of what they begin with
	all          bool         // every row has the needle
	over         bool         // a limit was hit
	steps        int
}

// expand finds all ways in which the needle can lie in a row; apart leaves those out in which all of it is in a shared
// column.
func expand(f *form, n needle, apart bool, slots *block.Bitmap) expansion {
	x := expansion{form: f, apart: apart, slots: slots, static: f.staticFor(n), needle: n, text: string(n.text), toEnd: n.op == Suffix || n.op == Equal}
	if n.op == Prefix || n.op == Equal {
		x.atStatic(0, n.text, nil)
		return x
	}
	for i := range x.static {
		if x.all || x.over {
			break
		}
		x.beginInStatic(i)
		if i < len(f.slots) {
			x.beginInSlot(i)
		}
	}
	return x
}

// expandUnread is expand for a template of which columns have not been read: slots that are constant are as any
// others, and what is known of their parts has to do. It reports false where too little is known.
func expandUnread(t *Template, n needle, apart bool, slots *block.Bitmap) (x expansion, ok bool) {
	var last *slotPart
	may, count := false, 0
	for s := range t.Slots {
		p := t.Slots[s].part
		if p != last {
			may, last = p == nil || n.possibleFor(&p.stamp) && n.mayBeIn(slots, p.stamp.Chars), p
		}
		if may {
			count++
		}
	}
	if count > maxUnread {
		x.all = n.op == Contains && !n.fold && slices.ContainsFunc(t.Pieces, func(p string) bool { return strings.Contains(p, string(n.text)) })
		return x, x.all
	}
	f := &form{template: t, static: t.Pieces, slots: make([]int, len(t.Slots)), unread: true}
	for s := range f.slots {
		f.slots[s] = s
	}
	x = expand(f, n, apart, slots)
	return x, !x.over
}

// beginInStatic finds the ways in which the needle begins in static text i.
func (x *expansion) beginInStatic(i int) {
	p, text := x.static[i], x.text
	last := i == len(x.form.slots)
	if x.toEnd && last {
		if strings.HasSuffix(p, text) {
			x.emit(nil)
		}
		return
	}
	if !x.toEnd && strings.Contains(p, text) {
		x.emit(nil)
		return
	}
	if last {
		return
	}
	for from := max(0, len(p)-len(text)+1); from < len(p); from++ {
		if tail := p[from:]; tail[0] == text[0] && text[:len(tail)] == tail {
			x.atSlot(i, x.needle.text[len(tail):], nil)
		}
	}
	if x.toEnd && len(text) <= len(p) && strings.HasSuffix(p, text) {
		x.atSlot(i, nil, nil) // all slots that follow may be empty
	}
}

// beginInSlot finds the ways in which the needle begins in slot i.
func (x *expansion) beginInSlot(i int) {
	text := x.needle.text
	if !x.toEnd && !(x.apart && x.form.template.Slots[x.form.slots[i]].Shared >= 0) {
		if n := x.needle.with(Contains, text); x.possible(i, n) {
			x.emit(x.with(nil, slotNeedle{x.form.slots[i], n}))
		}
	}
	x.splits(i, text, 1, func(head, rest []byte) {
		if len(rest) == 0 && !x.toEnd {
			return // it lies in the slot entirely
		}
		if n := x.needle.with(Suffix, head); x.possible(i, n) {
			x.atStatic(i+1, rest, x.with(nil, slotNeedle{x.form.slots[i], n}))
		}
	})
}

// stamp returns what is known of the values of slot i.
func (x *expansion) stamp(i int) *Stamp {
	s := &x.form.template.Slots[x.form.slots[i]]
	if x.form.unread && s.part != nil && !s.part.isRead.Load() {
		return &s.part.stamp
	}
	return &s.Values().Stamp
}

// possible reports whether slot i can have n.
func (x *expansion) possible(i int, n needle) bool {
	s := &x.form.template.Slots[x.form.slots[i]]
	if x.form.unread && s.part != nil && !s.part.isRead.Load() {
		return n.possibleFor(&s.part.stamp) && n.mayBeIn(x.slots, s.part.stamp.Chars)
	}
	c := s.Values()
	return n.possible(c) && n.mayBeIn(x.slots, c.Stamp.Chars)
}

// atStatic goes on with text at the beginning of static text i, given what is asked so far.
func (x *expansion) atStatic(i int, text []byte, asked []slotNeedle) {
	p := x.static[i]
	if !x.toEnd && len(text) <= len(p) {
		if p[:len(text)] == string(text) {
			x.emit(asked)
		}
		return
	}
	if len(text) < len(p) || string(text[:len(p)]) != p {
		return
	}
	text = text[len(p):]
	if i < len(x.form.slots) {
		x.atSlot(i, text, asked)
	} else if len(text) == 0 {
		x.emit(asked)
	}
}

// atSlot goes on with text at the beginning of slot i.
func (x *expansion) atSlot(i int, text []byte, asked []slotNeedle) {
	if x.steps++; x.steps > maxExpandSteps {
		x.over = true
	}
	if x.all || x.over {
		return
	}
	stamp, slot := x.stamp(i), x.form.slots[i]
	if !x.toEnd {
		if len(text) == 0 {
			x.emit(asked)
			return
		}
		if n := x.needle.with(Prefix, text); x.possible(i, n) {
			x.emit(x.with(asked, slotNeedle{slot, n}))
		}
	}
	least := stamp.MinLen
	if x.needle.isWide(stamp.Chars) {
		least = 0 // values are longer than what matches them
	}
	x.splits(i, text, least, func(head, rest []byte) {
		if len(rest) == 0 && !x.toEnd {
			return // as prefix, above
		}
		if n := x.needle.with(Equal, head); x.possible(i, n) {
			x.atStatic(i+1, rest, x.with(asked, slotNeedle{slot, n}))
		}
	})
}

// splits calls f with each way to split text into a head of at least least bytes that slot i may end with
// and a rest that agrees with what follows.
func (x *expansion) splits(i int, text []byte, least int, f func(head, rest []byte)) {
	stamp, next := x.stamp(i), x.static[i+1]
	wide := x.needle.isWide(stamp.Chars)
	run := 0
	for l := 0; l <= min(len(text), stamp.MaxLen) && !x.all && !x.over; l++ {
		if l > 0 && !wide {
			// A longer head has these bytes, too: no value has them, so the search ends.
			b := text[l-1]
			if run++; !isAlnum(b) {
				run = 0
			}
			if run > stamp.Run || !x.needle.inside(b, stamp.Chars) {
				return
			}
		}
		if l < least {
			continue
		}
		rest := text[l:]
		if n := min(len(rest), len(next)); string(rest[:n]) == next[:n] && (!x.toEnd || len(rest) >= len(next)) {
			f(text[:l], rest)
		}
	}
}

// with returns asked and one more, leaving asked as it is.
func (x *expansion) with(asked []slotNeedle, n slotNeedle) []slotNeedle {
	from := len(x.space)
	if cap(x.space)-from <= len(asked) {
		from, x.space = 0, make([]slotNeedle, 0, len(asked)+min(64, 2*cap(x.space)+2))
	}
	x.space = append(append(x.space, asked...), n)
	return x.space[from:len(x.space):len(x.space)]
}

// emit adds an alternative.
func (x *expansion) emit(asked []slotNeedle) {
	switch {
	case len(asked) == 0:
		x.all = true
	case len(x.alternatives) == maxAlternatives || x.form.unread && len(x.alternatives) == maxUnread:
		x.over = true
	default:
		x.alternatives = append(x.alternatives, asked)
	}
}
