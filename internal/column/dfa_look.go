package column

import "regexp/syntax"

// behind says what stands before a position, where an instruction of the state will ask.
type behind uint8

const (
	behindStart behind = 1 << iota
	behindNewline
	behindWord
)

// The assertions that are decided by what stands before a position, and by both sides.
const (
	lookedBehind = syntax.EmptyBeginText | syntax.EmptyBeginLine
	lookedAround = lookedBehind | syntax.EmptyEndText | syntax.EmptyEndLine | syntax.EmptyWordBoundary | syntax.EmptyNoWordBoundary
)

const endOfValue rune = -1

func behindRune(r rune) behind {
	switch {
	case r == '\n':
		return behindNewline
	case syntax.IsWordChar(r):
		return behindWord
	}
	return 0
}

// lookBehind returns the assertions that hold because of what stands before.
func (b behind) lookBehind() syntax.EmptyOp {
	switch {
	case b&behindStart != 0:
		return syntax.EmptyBeginText | syntax.EmptyBeginLine
	case b&behindNewline != 0:
		return syntax.EmptyBeginLine
	}
	return 0
}

// lookAhead returns all assertions that hold between what stands before and next.
func lookAhead(b behind, next rune) syntax.EmptyOp {
	look := b.lookBehind()
	switch next {
	case endOfValue:
		look |= syntax.EmptyEndText | syntax.EmptyEndLine
	case '\n':
		look |= syntax.EmptyEndLine
	}
	if b&behindWord != 0 != syntax.IsWordChar(next) {
		return look | syntax.EmptyWordBoundary
	}
	return look | syntax.EmptyNoWordBoundary
}

// marks is a set of instructions in the order in which they were met.
type marks struct {
	list, stack []uint32
	met         []uint32 // of each instruction: the round in which it was visited
	round       uint32
}

// reset empties m, for a program of n instructions.
func (m *marks) reset(n int) {
	if len(m.met) < n || m.round == ^uint32(0) {
		m.met, m.round = make([]uint32, n), 0
	}
	m.list = m.list[:0]
	m.round++
}

// visit reports whether pc is met for the first time.
func (m *marks) visit(pc uint32) bool {
	if m.met[pc] == m.round {
		return false
	}
	m.met[pc] = m.round
	return true
}

// add puts pc on the list.
func (m *marks) add(pc uint32) {
	if m.visit(pc) {
		m.list = append(m.list, pc)
	}
}
