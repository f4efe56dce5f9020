package column

import "encoding/binary"

// Most JSON and logfmt lines are of a form that was seen before. knownForms remembers the forms of lines, from
// page to page, as a tree: an edge is a piece of static text and what kind of slot follows it, or that the line
// ends there. Where a line leads from the root to an end, comparing the pieces has found the slots that the
// tokenizer would find, for a third of the work: static text is not looked at byte by byte, and no key is
// built and hashed. At most one edge of a place takes a line: the text before a slot says what kind it is of.
//
// Generic lines are not remembered. Their forms differ in words, of which a place may have hundreds; looking
// these up costs as much as the tokenizer.
type knownForms struct {
	places []uint32 // the first edge of each; places 0 and 1 are the roots
	edges  []knownEdge
	ends   []knownEnd
	size   int // bytes of texts and keys
	round  uint32
}

// knownEdge is a piece of static text and what follows it.
type knownEdge struct {
	head, mask uint64 // its first bytes, at most eight
	text       string
	follows    slotKind
	next       uint32 // the place behind the slot, or the end
	sibling    uint32 // the next edge of the same place; 0: none
}

// knownEnd is a form.
type knownEnd struct {
	key   string
	round uint32 // in which it was interned
	shape uint32 // as this
}

// slotKind is how the end of a slot is found.
type slotKind uint8

const (
	noSlot     slotKind = iota // the line ends
	stringSlot                 // in quotes
	valueSlot                  // JSON: a number, a word, an array
	bareSlot                   // logfmt
)

// Limits of what is remembered, a few megabytes.
const (
	maxKnownEdges = 1 << 14
	maxKnownSize  = 1 << 20
	maxPlaceEdges = 16 // of a place: they are tried one by one
)

// begin begins a round: shapes have new numbers from now on. Where there is no more room, all is forgotten.
func (f *knownForms) begin() {
	if f.places == nil || len(f.edges) >= maxKnownEdges || f.size >= maxKnownSize {
		*f = knownForms{places: make([]uint32, 2), edges: make([]knownEdge, 1), round: f.round}
	}
	f.round++
}

// root returns the place where lines of a mode begin.
func root(mode Mode) uint32 { return uint32(mode - JSON) }

// find appends the slots of the line s to t.vars and returns its form, or nil where it has none that is known.
func (f *knownForms) find(t *tokenizer, s extent) *knownEnd {
	if len(f.ends) == 0 || s.n < 2 {
		return nil
	}
	if t.data[s.off] == '{' && t.data[s.end()-1] == '}' {
		return f.walk(t, JSON, s)
	}
	return f.walk(t, Logfmt, s)
}

func (f *knownForms) walk(t *tokenizer, mode Mode, s extent) *knownEnd {
	b, known := t.data[:s.end()], len(t.vars)
	place, i := root(mode), int(s.off)
	for {
		e, to := f.match(b, i, place)
		if e == nil {
			t.vars = t.vars[:known]
			return nil
		}
		if e.follows == noSlot {
			return &f.ends[e.next]
		}
		from := i + len(e.text)
		t.vars = append(t.vars, extent{uint32(from), uint32(to - from)})
		i, place = to, e.next
	}
}

// match returns the edge that b[i:] takes at place, and the end of the slot behind it; nil: none. The edge
// becomes the first that is tried: lines of a form come in groups.
func (f *knownForms) match(b []byte, i int, place uint32) (*knownEdge, int) {
	word := wordAt(b, i)
	before := uint32(0)
	for at := f.places[place]; at != 0; {
		e := &f.edges[at]
		from := i + len(e.text)
		if word&e.mask == e.head && from <= len(b) && string(b[i:from]) == e.text {
			if to := slotEnd(b, from, e.follows); to >= 0 {
				if before != 0 {
					f.edges[before].sibling, e.sibling, f.places[place] = e.sibling, f.places[place], at
				}
				return e, to
			}
		}
		before, at = at, e.sibling
	}
	return nil, 0
}

// wordAt returns up to eight bytes from i on, the first the lowest.
func wordAt[T ~string | ~[]byte](b T, i int) uint64 {
	var word [8]byte
	copy(word[:], b[i:])
	return binary.LittleEndian.Uint64(word[:])
}

// slotEnd returns where the slot ends that begins at b[from], or -1 where there is none of the kind. noSlot is
// where b ends.
func slotEnd(b []byte, from int, kind slotKind) int {
	switch kind {
	case stringSlot:
		return max(jsonString(b, from-1), 0) - 1
	case valueSlot:
		if from < len(b) && b[from] != '"' && b[from] != '{' {
			return jsonValue(b, from, 0)
		}
	case bareSlot:
		if from == len(b) || b[from] != '"' {
			return logfmtBare(b, from)
		}
	case noSlot:
		if from == len(b) {
			return from
		}
	}
	return -1
}

// learn remembers the form of the line s, whose slots the tokenizer found, if it is of JSON or logfmt.
func (f *knownForms) learn(data []byte, s extent, vars []extent, key string) {
	mode := modeOf(key)
	if mode == Generic {
		return
	}
	place, at := root(mode), s.off
	for _, v := range vars {
		text, follows := data[at:v.off], bareSlot
		switch {
		case len(text) > 0 && text[len(text)-1] == '"':
			follows = stringSlot
		case mode == JSON:
			follows = valueSlot
		}
		e := f.edge(place, text, follows)
		if e == nil {
			return
		}
		if e.next == 0 {
			e.next = uint32(len(f.places))
			f.places = append(f.places, 0)
		}
		place, at = e.next, v.end()
	}
	known := len(f.edges)
	if e := f.edge(place, data[at:s.end()], noSlot); len(f.edges) > known {
		e.next = uint32(len(f.ends))
		f.ends = append(f.ends, knownEnd{key: key})
		f.size += len(key)
	}
}

// edge finds or makes an edge of place, or returns nil where there is no room for it.
func (f *knownForms) edge(place uint32, text []byte, follows slotKind) *knownEdge {
	n := 0
	for at := f.places[place]; at != 0; at = f.edges[at].sibling {
		if e := &f.edges[at]; e.follows == follows && e.text == string(text) {
			return e
		}
		n++
	}
	if n == maxPlaceEdges || len(f.edges) >= maxKnownEdges || f.size >= maxKnownSize {
		return nil
	}
	e := knownEdge{head: wordAt(text, 0), mask: ^uint64(0), text: string(text), follows: follows, sibling: f.places[place]}
	if len(text) < 8 {
		e.mask = 1<<(8*len(text)) - 1
	}
	f.places[place] = uint32(len(f.edges))
	f.edges = append(f.edges, e)
	f.size += len(text)
	return &f.edges[len(f.edges)-1]
}
