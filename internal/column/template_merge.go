package column

import "bytes"

// Lines of one kind make many templates where a word without digits changes: a host, a user, a state.
// Templates that are equal but for words are merged: words that take many values become slots.

const (
	mergeAbove = 8  // templates, of all
	groupKeep  = 12 // templates that a group may keep
)

// shape is a distinct form of lines, as the tokenizer saw it.
type shape struct {
	key   string
	hash  uint32
	rows  int
	vars  int      // slots of the key
	words [][2]int // where words are in the key, as skeleton found them
	out   int      // index in outs: the template that it goes to, -1: template 0
	plain bool     // the values of that template's slots are the variables
	parts []part   // where they are, if not
}

// out is a template that rows may go to.
type out struct {
	key  string
	rows int
}

// partKind says where the value of a slot is in a row.
type partKind uint8

const (
	partVar  partKind = iota // the variable v
	partWord                 // a word: n bytes, skip bytes behind the end of variable v
	partTail                 // all that follows variable v
)

// part leads to the value of a slot. Variable -1 stands for the beginning of the row.
type part struct {
	kind    partKind
	v       int32
	skip, n uint32
}

// of returns where the part is in a row whose variables are vars.
func (p *part) of(row extent, vars []extent) extent {
	if p.kind == partVar {
		return vars[p.v]
	}
	from := row.off
	if p.v >= 0 {
		from = vars[p.v].end()
	}
	if p.kind == partTail {
		return extent{from, row.end() - from}
	}
	return extent{from + p.skip, p.n}
}

// keepAll makes a template of each shape.
func (b *textBuilder) keepAll() {
	for i := range b.shapes {
		b.keep(&b.shapes[i])
	}
}

func (b *textBuilder) keep(s *shape) {
	s.out, s.plain = len(b.outs), true
	b.outs = append(b.outs, out{key: s.key, rows: s.rows})
}

// merge makes templates of the shapes, of those with equal skeletons together.
func (b *textBuilder) merge() {
	numbers := map[string]int{}
	var groups [][]*shape // in order of appearance
	var buf []byte
	b.words = b.words[:0]
	for i := range b.shapes {
		s := &b.shapes[i]
		buf, b.words = s.skeleton(buf[:0], b.words)
		g, ok := numbers[string(buf)]
		if !ok {
			g = len(groups)
			numbers[string(buf)] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], s)
	}
	for _, group := range groups {
		b.mergeGroup(group)
	}
}

// skeleton appends the key with a mark for each word, and notes the words, which it appends to all. JSON and logfmt
// keep their keys, so each is a skeleton of its own.
func (s *shape) skeleton(dst []byte, all [][2]int) ([]byte, [][2]int) {
	if modeOf(s.key) != Generic {
		return append(dst, s.key...), all
	}
	first := len(all)
	isWord := func(i int) bool { return tokenClasses[s.key[i]] != 0 && s.key[i] != placeholder }
	dst = append(dst, s.key[0])
	for i := 1; i < len(s.key); {
		if !isWord(i) {
			dst = append(dst, s.key[i])
			i++
			continue
		}
		j := i
		for j < len(s.key) && isWord(j) {
			j++
		}
		all = append(all, [2]int{i, j})
		dst = append(dst, wordMark)
		i = j
	}
	s.words = all[first:len(all):len(all)]
	return dst, all
}

func (s *shape) word(w int) string { return s.key[s.words[w][0]:s.words[w][1]] }

// mergeGroup makes templates of shapes that have words at the same places.
func (b *textBuilder) mergeGroup(group []*shape) {
	if len(group) <= groupKeep {
		for _, s := range group {
			b.keep(s)
		}
		return
	}
	variable := chooseWords(group)
	merged := map[string]int{}
	var key []byte
	for _, s := range group {
		key = s.merged(key[:0], variable)
		s.plain = len(s.parts) == s.vars
		o, ok := merged[string(key)]
		if !ok {
			o = len(b.outs)
			b.outs = append(b.outs, out{key: string(key)})
			merged[string(key)] = o
		}
		s.out = o
		b.outs[o].rows += s.rows
	}
}

// chooseWords says which words must become slots so that few enough templates are left: again and again
// the one that has the most values.
func chooseWords(group []*shape) (variable []bool) {
	variable = make([]bool, len(group[0].words))
	values := make([]int, len(variable))
	for w := range values {
		distinct := map[string]struct{}{}
		for _, s := range group {
			distinct[s.word(w)] = struct{}{}
		}
		values[w] = len(distinct)
	}
	for left := maxSlots - group[0].vars; left > 0 && countMerged(group, variable) > groupKeep; left-- {
		best := -1
		for w, n := range values {
			if !variable[w] && n > 1 && (best < 0 || n > values[best]) {
				best = w
			}
		}
		if best < 0 {
			break
		}
		variable[best] = true
	}
	return variable
}

// countMerged counts the templates that are left, up to groupKeep+1.
func countMerged(group []*shape, variable []bool) int {
	distinct := map[string]struct{}{}
	var buf []byte
	for _, s := range group {
		buf = buf[:0]
		for w, v := range variable {
			if !v {
				buf = append(append(buf, s.word(w)...), 0)
			}
		}
		distinct[string(buf)] = struct{}{}
		if len(distinct) > groupKeep {
			break
		}
	}
	return len(distinct)
}

// merged appends the key of the template that s goes to and sets the parts of its slots.
func (s *shape) merged(dst []byte, variable []bool) []byte {
	s.parts = s.parts[:0]
	v, since := int32(-1), 1 // the last variable, and where the text behind it begins
	at := 0
	for w, isSlot := range variable {
		if !isSlot {
			continue
		}
		word := s.words[w]
		dst, v, since = s.copyKey(dst, at, word[0], v, since)
		s.parts = append(s.parts, part{kind: partWord, v: v, skip: uint32(word[0] - since), n: uint32(word[1] - word[0])})
		dst = append(dst, placeholder)
		at = word[1]
	}
	dst, _, _ = s.copyKey(dst, at, len(s.key), v, since)
	return dst
}

// copyKey appends key[from:to], whose placeholders are parts.
func (s *shape) copyKey(dst []byte, from, to int, v int32, since int) ([]byte, int32, int) {
	text := []byte(s.key[from:to])
	for at := from; ; {
		i := bytes.IndexByte(text, placeholder)
		if i < 0 {
			break
		}
		v++
		s.parts = append(s.parts, part{kind: partVar, v: v})
		at += i + 1
		since = at
		text = text[i+1:]
	}
	return append(dst, s.key[from:to]...), v, since
}
