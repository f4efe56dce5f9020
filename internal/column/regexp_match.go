package column

import (
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// runRegexp runs the automaton of re over the rows in among, or, if that grows beyond its limits, re as Go
// has it over the rebuilt values.
func (r *Reader) runRegexp(c *Column, among Set, re *Regexp) found {
	d := r.automaton(re)
	if !d.full {
		if f, ok := r.runDFA(c, among, re, d); ok {
			return f
		}
	}
	f := findNeeded(re, among, c.Rows, func(i, j int) found { return r.find(c, re.needles[i][j]) })
	if f.missing || f.isNone() {
		return f
	}
	return r.findFunc(c, f.set, re.Match)
}

// runDFA returns those of the rows in among whose value matches. It reports false if the automaton is full.
func (r *Reader) runDFA(c *Column, among Set, re *Regexp, d *dfa) (f found, ok bool) {
	switch c.Kind {
	case Dict:
		f, ok = r.runDFA(c.Values, All, re, d)
		return r.spread(c, f).and(found{set: among}), ok
	case Sparse:
		f = r.inSparse(c, among, func(among Set) found {
			f, _ := r.runDFA(c.Values, among, re, d)
			return f
		})
		return f, !d.full
	case Text:
		return r.runText(c, among, re, d)
	}
	start := d.start()
	f = r.findFunc(c, among, func(v []byte) bool {
		return d.matches(run(d, start, v))
	})
	return f, !d.full
}

func (r *Reader) runText(c *Column, among Set, re *Regexp, d *dfa) (f found, ok bool) {
	if among.Bits() != nil && !r.allAtHand(c.IDs) {
		return found{set: among, missing: true}, true
	}
	x := regexpSearch{r: r, c: c, re: re, d: d}
	for i, any := range re.needles {
		x.needs = append(x.needs, nil)
		for _, n := range any {
			x.needs[i] = append(x.needs[i], r.textSearch(c, n, false))
		}
	}
	answers := r.regexpAnswers(c, re, among)
	for k := range answers {
		if !answers[k].missing {
			continue
		}
		rows := r.amongTemplate(c, k, among)
		if rows.IsNone() {
			answers[k] = found{}
			continue
		}
		if answers[k] = x.template(k, rows); d.full {
			return found{}, false
		}
	}
	return r.assemble(c, answers).and(found{set: among}), true
}

// regexpAnswers returns what is known so far for each template of c: nothing, unless an earlier round asked
// the same.
func (r *Reader) regexpAnswers(c *Column, re *Regexp, among Set) []found {
	q := regexpQuestion{c, re}
	answers := r.search.regexps[q]
	if answers == nil || !among.IsAll() {
		answers = make([]found, len(c.Templates))
		for k := range answers {
			answers[k].missing = c.Templates[k].Rows > 0
		}
		if among.IsAll() {
			if r.search.regexps == nil {
				r.search.regexps = map[regexpQuestion][]found{}
			}
			r.search.regexps[q] = answers
		}
	}
	return answers
}

// regexpSearch is the search for an expression in a Text column.
type regexpSearch struct {
	r     *Reader
	c     *Column
	re    *Regexp
	d     *dfa
	needs [][]*textSearch // what the expression needs
}

// template returns those of the rows of template k in among that match.
func (x *regexpSearch) template(k int, among Set) found {
	if t := &x.c.Templates[k]; t.partly() && x.impossible(k) {
		return found{} // Fast path: nothing of the slots is read.
	}
	w := templateWalk{r: x.r, c: x.c, k: k, form: x.r.form(x.c, k), d: x.d}
	s, i := w.runTogether()
	if i == len(w.form.slots) || s < dfaSinks {
		if x.d.matches(s) {
			return found{set: among}
		}
		return found{}
	}
	f := findNeeded(x.re, among, x.c.Templates[k].Rows, func(i, j int) found { return x.needs[i][j].template(k) })
	if f.missing || f.isNone() {
		return f
	}
	w.begin(f.set, s)
	return w.runRows(i)
}

// impossible reports whether no row of template k can have what the expression needs, as far as that is known of
// columns that have not been read.
func (x *regexpSearch) impossible(k int) bool {
	for _, any := range x.needs {
		if !slices.ContainsFunc(any, func(s *textSearch) bool { return s.maybe(k) }) {
			return true
		}
	}
	return false
}

// templateWalk runs a dfa over the rows of a template: all at once as long as they are in one state, then
// each by itself.
type templateWalk struct {
	r    *Reader
	c    *Column
	k    int
	form *form
	d    *dfa

	// The rows of which no answer is known yet, and the state of each.
	rows   []uint32
	states []int32
	hits   *block.Bitmap
}

// runTogether walks as far as all rows are in one state. It returns that and the slot that is to come.
func (w *templateWalk) runTogether() (s int32, i int) {
	s = run(w.d, w.d.start(), w.form.static[0])
	for ; i < len(w.form.slots) && s >= dfaSinks; i++ {
		next, same := w.d.skip(s, w.column(i), w.form.static[i+1], w.isLast(i))
		if !same {
			break
		}
		s = next
	}
	return s, i
}

func (w *templateWalk) column(i int) *Column {
	return w.c.Templates[w.k].Slots[w.form.slots[i]].Values()
}

func (w *templateWalk) isLast(i int) bool { return i == len(w.form.slots)-1 }

// begin makes the rows in among the ones to walk, in state s.
func (w *templateWalk) begin(among Set, s int32) {
	n := w.c.Templates[w.k].Rows
	w.hits = block.NewBitmap(n)
	w.rows = make([]uint32, 0, among.Count(n))
	for j := range n {
		if among.Has(j) {
			w.rows = append(w.rows, uint32(j))
		}
	}
	w.states = make([]int32, len(w.rows))
	for i := range w.states {
		w.states[i] = s
	}
}

// runRows walks from slot i on. It returns those of the rows that match, or anything if the automaton is
// full.
func (w *templateWalk) runRows(i int) found {
	for ; i < len(w.form.slots) && len(w.rows) > 0 && !w.d.full; i++ {
		if !w.runSlot(i) {
			w.wantAhead(i)
			for _, j := range w.rows {
				w.hits.Set(int(j))
			}
			return found{set: SetOf(w.hits), missing: true}
		}
	}
	for i, s := range w.states {
		if w.d.matches(s) {
			w.hits.Set(int(w.rows[i]))
		}
	}
	return found{set: SetOf(w.hits)}
}

// runSlot walks over slot i and the static text after it. It reports false, with nothing done, if the
// values of the slot are needed and not at hand.
func (w *templateWalk) runSlot(i int) bool {
	x := slotWalk{d: w.d, column: w.column(i), static: w.form.static[i+1], last: w.isLast(i)}
	if !w.needsSlot(&x) {
		x.values = func(int) []byte { return nil }
	} else if !w.open(i, &x) {
		return false
	}
	kept := 0
	for n, j := range w.rows {
		s := x.next(w.states[n], int(j))
		switch s {
		case dfaAccept:
			w.hits.Set(int(j))
		case dfaReject:
		default:
			w.rows[kept], w.states[kept] = j, s
			kept++
		}
		if w.d.full {
			return true
		}
	}
	w.rows, w.states = w.rows[:kept], w.states[:kept]
	return true
}

// needsSlot reports whether the values of the slot make a difference to any row.
func (w *templateWalk) needsSlot(x *slotWalk) bool {
	last := int32(-1)
	for _, s := range w.states {
		if s != last && !x.memo(s).skip {
			return true
		}
		last = s
	}
	return false
}

// wantAhead notes what slot i, which isn't at hand, and the slots after it need in whatever states the rows
// may come to, so that one more request will do.
func (w *templateWalk) wantAhead(i int) {
	states := map[int32]bool{}
	for _, s := range w.states {
		states[s] = true
	}
	for ; i < len(w.form.slots) && len(states) > 0; i++ {
		c, static := w.column(i), w.form.static[i+1]
		next, needed := map[int32]bool{}, false
		for s := range states {
			if t, same := w.d.skip(s, c, static, w.isLast(i)); same {
				next[t] = t >= dfaSinks
				continue
			}
			needed = true
			reached, ok := w.d.reach(s, c, nil)
			if !ok {
				next = nil // too many: see what the values are first
				break
			}
			for _, t := range reached {
				next[run(w.d, t, static)] = true
			}
		}
		if needed {
			w.r.allAtHand(c)
		}
		states = next
		for s := range int32(dfaSinks) {
			delete(states, s)
		}
		if len(states) > maxReached {
			return
		}
	}
}
