package column

import "strings"

// A shape that few rows have doesn't pay for the columns of a template. Where many rows are of such
// shapes, they are cut behind a beginning that enough of them share: the rest of the line is one slot.

// headDepths are the numbers of slots that such a beginning may have, the longest first.
var headDepths = [...]int{12, 8, 6, 5, 4, 3, 2, 1}

// rareValues is rareBelow for what isn't whole lines: fewer values can't make a Text column.
const rareValues = 5

// rareBelow is the number of rows below which a template is dropped: a slot takes about ten bytes of the
// directory, which every reader of the page has to decode. Measured on pages of 10 to 27,000 lines: templates
// of fewer rows make pages larger.
func (b *textBuilder) rareBelow() int {
	switch {
	case b.grain > lineGrain:
		return rareValues
	case len(b.rows) <= 20000:
		return 3
	}
	return 6
}

// rest counts the rows that would be left for template 0.
func (b *textBuilder) rest() int {
	n := len(b.rows)
	for i := range b.outs {
		if b.outs[i].rows >= b.rareBelow() {
			n -= b.outs[i].rows
		}
	}
	return n
}

func (b *textBuilder) isRare(s *shape) bool {
	return b.outs[s.out].rows < b.rareBelow() && modeOf(s.key) == Generic
}

// shareHeads moves rare shapes of whole lines to templates of a common beginning and a tail.
func (b *textBuilder) shareHeads() {
	n := len(b.rows)
	if rest := b.rest(); b.grain != lineGrain || rest <= n/50 || rest <= 64 {
		return
	}
	counts := map[string]int{}
	for i := range b.shapes {
		if s := &b.shapes[i]; b.isRare(s) {
			for _, d := range headDepths {
				if h, ok := s.head(d); ok {
					counts[h] += s.rows
				}
			}
		}
	}
	enough := max(16, n/1000)
	heads := map[string]int{}
	for i := range b.shapes {
		s := &b.shapes[i]
		if !b.isRare(s) {
			continue
		}
		for _, d := range headDepths {
			h, ok := s.head(d)
			if !ok || counts[h] < enough {
				continue
			}
			o, ok := heads[h]
			if !ok {
				o = len(b.outs)
				heads[h] = o
				b.outs = append(b.outs, out{key: h + string(rune(placeholder))})
			}
			b.moveTo(s, o, d)
			break
		}
	}
}

// moveTo gives the rows of s to template o: d variables and a tail.
func (b *textBuilder) moveTo(s *shape, o, d int) {
	b.outs[s.out].rows -= s.rows
	b.outs[o].rows += s.rows
	s.out, s.plain = o, false
	s.parts = make([]part, d+1)
	for v := range d {
		s.parts[v].v = int32(v)
	}
	s.parts[d] = part{kind: partTail, v: int32(d - 1)}
}

// head returns the key up to and with the d-th slot, or false where it has fewer.
func (s *shape) head(d int) (string, bool) {
	if s.vars < d {
		return "", false
	}
	at := 0
	for range d {
		at += strings.IndexByte(s.key[at:], placeholder) + 1
	}
	return s.key[:at], true
}
