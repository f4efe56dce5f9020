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
	run    int     // no piece has a longer run of letters and digits
	pieces []string
	fields []Field
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
	for _, p := range x.pieces {
		for i, run := 0, 0; i < len(p); i++ {
			x.chars |= charsets[p[i]]
			if run++; !isAlnum(p[i]) {
				run = 0
			}
			x.run = max(x.run, run)
		}
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
			n += 16 + len(p)
		}
	}
	return n
}
