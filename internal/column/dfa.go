package column

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// A dfa runs a program over bytes. It makes its states when they are first reached, up to a limit, and
// remembers the steps between them. It is used by one goroutine.
//
// A state says where in the program a match may be, as of the last whole rune, and the bytes of a rune
// that have come since. So the meaning is that of Go's regexp: a byte that belongs to no valid rune is
// U+FFFD, one rune for each such byte.
type dfa struct {
	prog   *program
	states []dfaState
	known  map[string]int32
	steps  []int32 // of state s and class k: steps[s*classes+k], -1 where not known yet
	room   int     // instructions that new states may have together
	full   bool    // a limit was hit: answers don't count any more

	// Scratch of a step.
	set, next marks
	key       []byte
}

// The first states are sinks: no byte leads out of them.
const (
	dfaAccept = 0 // there is a match, whatever follows
	dfaReject = 1 // there is none, whatever follows
	dfaFull   = 2 // a limit was hit: see full
	dfaSinks  = 3
)

// A dfa of as many states as this holds a few megabytes. An expression that needs more is matched by
// other means.
const (
	dfaMaxStates = 2000
	dfaMaxRoom   = 1 << 19
)

type dfaState struct {
	at     []uint32 // instructions that match a rune, and assertions on what follows; ascending
	looks  bool     // some are assertions
	behind behind   // 0 unless looks
	rune   partial
	end    int8 // whether a value that ends here matches: 1 yes, -1 no, 0 not known yet
}

func newDFA(p *program) *dfa {
	d := &dfa{prog: p, known: map[string]int32{}, room: dfaMaxRoom}
	d.states = make([]dfaState, dfaSinks, 16)
	d.states[dfaAccept].end, d.states[dfaReject].end, d.states[dfaFull].end = 1, -1, -1
	for s := range int32(dfaSinks) {
		for range p.classes {
			d.steps = append(d.steps, s)
		}
	}
	return d
}

// start returns the state before the first byte.
func (d *dfa) start() int32 {
	d.next.reset(len(d.prog.inst))
	if d.follow(&d.next, d.prog.start, behindStart.lookBehind(), lookedBehind) {
		return dfaAccept
	}
	return d.state(behindStart, partial{})
}

// run returns the state after the bytes of b.
func run[T ~string | ~[]byte](d *dfa, s int32, b T) int32 {
	classes := d.prog.classes
	for i := 0; i < len(b) && s >= dfaSinks; i++ {
		k := d.prog.classOf[b[i]]
		t := d.steps[int(s)*classes+int(k)]
		if t < 0 {
			t = d.step(s, k)
		}
		s = t
	}
	return s
}

// matches reports whether a value that ends in state s matches.
func (d *dfa) matches(s int32) bool {
	st := &d.states[s]
	if st.end == 0 {
		st.end = -1
		if d.endsIn(s) {
			d.states[s].end = 1
		}
	}
	return d.states[s].end > 0
}

// step makes the step from state s by a byte of class k.
func (d *dfa) step(s int32, k uint8) int32 {
	t := d.makeStep(s, d.prog.classBytes[k])
	d.steps[int(s)*d.prog.classes+int(k)] = t
	return t
}

func (d *dfa) makeStep(s int32, c byte) int32 {
	st := d.states[s]
	w := walk{at: st.at, behind: st.behind, looks: st.looks}
	if st.rune.left > 0 {
		if c >= st.rune.lo && c <= st.rune.hi {
			r := d.prog.continueRune(st.rune, c)
			if r.left > 0 {
				return d.keep(w, r)
			}
			return d.finish(d.advance(w, r.min))
		}
		for range st.rune.seen { // The rune breaks off: each of its bytes is a rune by itself.
			w = d.advance(w, utf8.RuneError)
		}
	}
	if c < utf8.RuneSelf {
		return d.finish(d.advance(w, rune(c)))
	}
	if r := d.prog.beginRune(c); r.left > 0 {
		return d.keep(w, r)
	}
	return d.finish(d.advance(w, utf8.RuneError))
}

// walk is a state on the way: whole runes only.
type walk struct {
	at       []uint32
	looks    bool
	behind   behind
	accepted bool
}

// advance goes over one rune.
func (d *dfa) advance(w walk, r rune) walk {
	if w.accepted {
		return w
	}
	at := w.at
	if w.looks {
		d.set.reset(len(d.prog.inst))
		if d.resolve(w, lookAhead(w.behind, r)) {
			return walk{accepted: true}
		}
		at = d.set.list
	}
	next := behindRune(r)
	look := next.lookBehind()
	d.next.reset(len(d.prog.inst))
	for _, pc := range at {
		in := &d.prog.inst[pc]
		if in.Op != syntax.InstEmptyWidth && in.MatchRune(r) && d.follow(&d.next, in.Out, look, lookedBehind) {
			return walk{accepted: true}
		}
	}
	if !d.prog.anchored && d.follow(&d.next, d.prog.start, look, lookedBehind) {
		return walk{accepted: true}
	}
	at = slices.Clone(d.next.list)
	return walk{at: at, looks: d.anyLooks(at), behind: next}
}

// resolve collects in d.set where w is once all that its assertions ask is known, and reports whether
// that is a match.
func (d *dfa) resolve(w walk, look syntax.EmptyOp) bool {
	for _, pc := range w.at {
		if d.follow(&d.set, pc, look, lookedAround) {
			return true
		}
	}
	return false
}

// endsIn reports whether a value that ends in state s, which is no sink, matches.
func (d *dfa) endsIn(s int32) bool {
	st := d.states[s]
	w := walk{at: st.at, behind: st.behind, looks: st.looks}
	if st.rune.left > 0 {
		for range st.rune.seen {
			w = d.advance(w, utf8.RuneError)
		}
	}
	if w.accepted || !w.looks {
		return w.accepted
	}
	d.set.reset(len(d.prog.inst))
	return d.resolve(w, lookAhead(w.behind, endOfValue))
}

// keep returns the state of w with r begun.
func (d *dfa) keep(w walk, r partial) int32 {
	if w.accepted {
		return dfaAccept
	}
	d.next.reset(len(d.prog.inst))
	for _, pc := range w.at {
		d.next.add(pc)
	}
	return d.state(w.behind, r)
}

// finish returns the state of w.
func (d *dfa) finish(w walk) int32 { return d.keep(w, partial{}) }

// maxReached bounds how many states reach looks at.
const maxReached = 32

// reach returns the states that a value of c leads to from s. It reports false if they are too many, or
// if visit, unless that is nil, reports false for one.
func (d *dfa) reach(s int32, c *Column, visit func(int32) bool) (reached []int32, ok bool) {
	add := func(t int32) bool {
		if slices.Contains(reached, t) {
			return true
		}
		reached = append(reached, t)
		return len(reached) <= maxReached && (visit == nil || visit(t))
	}
	if c.Stamp.MinLen == 0 && !add(s) {
		return nil, false
	}
	for depth, level := 0, []int32{s}; depth < c.Stamp.MaxLen && len(level) > 0; depth++ {
		before := len(reached)
		for _, from := range level {
			if from < dfaSinks {
				continue
			}
			for k, chars := range d.prog.classChars {
				if chars&c.Stamp.Chars == 0 {
					continue
				}
				t := d.steps[int(from)*d.prog.classes+k]
				if t < 0 {
					if len(d.states) > dfaMaxStates/2 {
						return nil, false // room is left for what values really lead to
					}
					t = d.step(from, uint8(k))
				}
				if !add(t) {
					return nil, false
				}
			}
		}
		level = reached[before:]
	}
	return reached, true
}

// skip returns the state after a slot and the static text behind it, if that is the same whatever the
// value of the slot; at the end of a row, if the answer is the same.
func (d *dfa) skip(s int32, c *Column, static string, last bool) (next int32, ok bool) {
	if s < dfaSinks {
		return s, true
	}
	next = -1
	_, ok = d.reach(s, c, func(t int32) bool {
		t = run(d, t, static)
		if next < 0 {
			next = t
		}
		return t == next || last && d.matches(t) == d.matches(next)
	})
	return next, ok && next >= 0
}

func (d *dfa) anyLooks(at []uint32) bool {
	for _, pc := range at {
		if d.prog.inst[pc].Op == syntax.InstEmptyWidth {
			return true
		}
	}
	return false
}

// state returns the number of the state with the instructions in d.next.
func (d *dfa) state(b behind, r partial) int32 {
	at := d.next.list
	if len(at) == 0 && d.prog.anchored {
		return dfaReject
	}
	slices.Sort(at)
	looks := d.anyLooks(at)
	if !looks {
		b = 0
	}
	key := append(d.key[:0], byte(b), r.seen, r.left, r.lo, r.hi)
	key = binary.LittleEndian.AppendUint32(key, uint32(r.min))
	key = binary.LittleEndian.AppendUint32(key, uint32(r.max))
	for _, pc := range at {
		key = binary.AppendUvarint(key, uint64(pc))
	}
	d.key = key
	if s, ok := d.known[string(key)]; ok {
		return s
	}
	if len(d.states) >= dfaMaxStates || d.room < len(at) {
		d.full = true
		return dfaFull
	}
	d.room -= len(at)
	s := int32(len(d.states))
	d.known[string(key)] = s
	d.states = append(d.states, dfaState{at: slices.Clone(at), looks: looks, behind: b, rune: r})
	for range d.prog.classes {
		d.steps = append(d.steps, -1)
	}
	return s
}

// follow adds to m the instructions that are reached from pc without going over a rune. have are the
// assertions that hold, of those that are decided; an instruction that asserts more is kept for later.
// It reports whether a match is reached.
func (d *dfa) follow(m *marks, pc uint32, have, decided syntax.EmptyOp) bool {
	m.stack = append(m.stack[:0], pc)
	for len(m.stack) > 0 {
		pc := m.stack[len(m.stack)-1]
		m.stack = m.stack[:len(m.stack)-1]
		if !m.visit(pc) {
			continue
		}
		in := &d.prog.inst[pc]
		switch in.Op {
		case syntax.InstMatch:
			return true
		case syntax.InstAlt, syntax.InstAltMatch:
			m.stack = append(m.stack, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			m.stack = append(m.stack, in.Out)
		case syntax.InstEmptyWidth:
			asks := syntax.EmptyOp(in.Arg)
			switch {
			case asks&decided&^have != 0:
			case asks&^decided != 0:
				m.list = append(m.list, pc)
			default:
				m.stack = append(m.stack, in.Out)
			}
		case syntax.InstFail:
		default:
			m.list = append(m.list, pc)
		}
	}
	return false
}
