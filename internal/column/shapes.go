package column

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/hune-io/hune/internal/block"
)

// Shapes is the static text of the templates of some pages, each once: the pages of a stream have nearly the
// same. Their directories name it by number. For writing the zero value is empty; what DecodeShapes returned
// is only read, by any number of goroutines.
//
//	uvarint   number of shapes, and for each
//	          byte mode; uvarint length, pieces with a placeholder between
type Shapes struct {
	list    []staticShape
	numbers map[string]int // by mode and text, while writing
	texts   []string       // the same in order
	size    int            // bytes of texts
}

// staticShape is what pages share of a template.
type staticShape struct {
	mode   Mode
	chars  Charset // of the pieces
	pieces []string
	runs   []pieceRuns
	fields []Field
}

// pieceRuns is how long runs of letters and digits are in a piece: at its beginning, at its end, and the longest.
type pieceRuns struct{ first, last, longest uint16 }

func runsOf(p string) (r pieceRuns) {
	run := uint16(0)
	for i := range len(p) {
		if !isAlnum(p[i]) {
			if int(run) == i {
				r.first = run
			}
			run = 0
			continue
		}
		run++
		r.longest = max(r.longest, run)
	}
	if r.last = run; int(run) == len(p) {
		r.first = run
	}
	return r
}

// longestRun returns a bound of the runs in rows, given stamps of the slots. It takes the longest run of a slot to be
// at its edge.
func (x *staticShape) longestRun(slot func(i int) *Stamp) (longest int) {
	run := 0 // what may precede without a break
	for i, p := range x.runs {
		longest = max(longest, run+int(p.first), int(p.longest))
		if int(p.first) == len(x.pieces[i]) {
			run += int(p.first)
		} else {
			run = int(p.last)
		}
		if i == len(x.runs)-1 {
			break
		}
		s := slot(i)
		longest = max(longest, run+s.Run)
		if s.Run >= s.MinLen {
			run += s.Run
		} else {
			run = s.Run
		}
	}
	return longest
}

// number returns the number of a template, which is made at its first use.
func (s *Shapes) number(t *Template) int {
	text := string(rune(t.Mode)) + strings.Join(t.Pieces, string(rune(placeholder)))
	n, ok := s.numbers[text]
	if !ok {
		if s.numbers == nil {
			s.numbers = map[string]int{}
		}
		n = len(s.texts)
		s.numbers[text] = n
		s.texts = append(s.texts, text)
		s.size += len(text)
	}
	return n
}

// Len returns how long what AppendTo appends is, about.
func (s *Shapes) Len() int { return s.size + 2*len(s.texts) }

// AppendTo appends the shapes of the pages that AppendPage was called for.
func (s *Shapes) AppendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.texts)))
	for _, text := range s.texts {
		dst = append(dst, text[0])
		dst = block.AppendPrefixed(dst, text[1:])
	}
	return dst
}

// DecodeShapes reads what AppendTo wrote, from bytes that may be hostile.
func DecodeShapes(d *block.Decoder) (*Shapes, error) {
	s := &Shapes{list: make([]staticShape, d.Count(block.MaxRows, 2))}
	var fields fieldParser
	for i := range s.list {
		x := &s.list[i]
		x.mode = Mode(d.Byte())
		text := d.String()
		if d.Err() != nil {
			break
		}
		if !x.set(&fields, text) {
			d.Failf("shape %d of mode %d with %d bytes", i, x.mode, len(text))
		}
	}
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("shapes: %w", err)
	}
	return s, nil
}

// set cuts text into the pieces of x. It reports false if they are not those of a template.
func (x *staticShape) set(fields *fieldParser, text string) bool {
	x.pieces = strings.Split(text, string(rune(placeholder)))
	slots := len(x.pieces) - 1
	if x.mode == Whole || x.mode > Logfmt || slots > maxSlots || len(text)-slots > maxStaticLen {
		return false
	}
	x.runs = make([]pieceRuns, len(x.pieces))
	for i, p := range x.pieces {
		for k := range len(p) {
			x.chars |= charsets[p[k]]
		}
		x.runs[i] = runsOf(p)
	}
	ok := true
	if x.mode != Generic {
		x.fields, ok = fields.parse(x.mode, text, slots)
	}
	return ok
}

// Memory is what the shapes hold, about, in bytes.
func (s *Shapes) Memory() int {
	n := 0
	for i := range s.list {
		x := &s.list[i]
		n += 80 + 64*len(x.fields)
		for _, p := range x.pieces {
			n += 16 + 6 + len(p)
		}
	}
	return n
}
