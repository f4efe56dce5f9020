package column

import (
	"strings"
)

// splitKey returns the pieces of a template's key, which alias it.
func splitKey(key string) []string {
	key = key[1:]
	pieces := make([]string, 0, strings.Count(key, string(rune(placeholder)))+1)
	for {
		i := strings.IndexByte(key, placeholder)
		if i < 0 {
			return append(pieces, key)
		}
		pieces = append(pieces, key[:i])
		key = key[i+1:]
	}
}

// fieldsOf returns the fields of a JSON or logfmt template, whose pieces are joined by placeholders, or
// false where they don't follow the grammar. The Paths alias text.
func fieldsOf(mode Mode, text string, slots int) ([]Field, bool) {
	var p fieldParser
	return p.parse(mode, text, slots)
}

// fieldParser reads the static text of templates, one after another.
type fieldParser struct {
	text   string
	at     int
	slots  int
	path   []string
	fields []Field

	names []string // slab of Paths
}

func (p *fieldParser) parse(mode Mode, text string, slots int) ([]Field, bool) {
	p.text, p.at, p.slots, p.path, p.fields = text, 0, 0, p.path[:0], make([]Field, 0, slots)
	ok := false
	switch mode {
	case JSON:
		ok = p.object(0) && p.at == len(text)
	case Logfmt:
		ok = p.pairs()
	}
	return p.fields, ok && p.slots == slots
}

// next consumes c if it comes next.
func (p *fieldParser) next(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *fieldParser) skipSpace() { p.at = skipSpace(p.text, p.at) }

// value consumes a placeholder, in quotes or not.
func (p *fieldParser) value(path []string) bool {
	quoted := p.next('"')
	if !p.next(placeholder) || quoted && !p.next('"') {
		return false
	}
	p.fields = append(p.fields, Field{Path: path, Slot: p.slots, Quoted: quoted})
	p.slots++
	return true
}

// object consumes a JSON object, the one that p.path leads to.
func (p *fieldParser) object(depth int) bool {
	if depth > maxObjectDepth || !p.next('{') {
		return false
	}
	p.skipSpace()
	if p.next('}') {
		if depth > 0 {
			p.fields = append(p.fields, Field{Path: p.keep(p.path), Slot: -1})
		}
		return true
	}
	for p.member(depth) {
		p.skipSpace()
		if p.next('}') {
			return true
		}
		if !p.next(',') {
			return false
		}
		p.skipSpace()
	}
	return false
}

// member consumes a key, a colon and what belongs to the key.
func (p *fieldParser) member(depth int) bool {
	if p.at == len(p.text) || p.text[p.at] != '"' {
		return false
	}
	end := stringEnd(p.text, p.at+1)
	if end < 0 || end-p.at > maxKeyLen {
		return false
	}
	p.path = append(p.path, p.text[p.at+1:end-1])
	p.at = end
	p.skipSpace()
	if !p.next(':') {
		return false
	}
	p.skipSpace()
	ok := false
	if p.at < len(p.text) && p.text[p.at] == '{' {
		ok = p.object(depth + 1)
	} else {
		ok = p.value(p.keep(p.path))
	}
	p.path = p.path[:len(p.path)-1]
	return ok
}

// keep copies a path into the slab.
func (p *fieldParser) keep(path []string) []string {
	if len(p.names)+len(path) > cap(p.names) {
		p.names = make([]string, 0, max(namesAtOnce, len(path)))
	}
	n := len(p.names)
	p.names = append(p.names, path...)
	return p.names[n:len(p.names):len(p.names)]
}

// namesAtOnce is the length of a slab: the keys of a few lines.
const namesAtOnce = 32

// pairs consumes logfmt.
func (p *fieldParser) pairs() bool {
	p.at = skipBlanks(p.text, 0)
	for p.at < len(p.text) {
		key := p.at
		for p.at < len(p.text) && p.text[p.at] > ' ' && p.text[p.at] != '=' && p.text[p.at] != '"' {
			p.at++
		}
		p.path = append(p.path[:0], p.text[key:p.at])
		if p.at == key || p.at-key > maxKeyLen || !p.next('=') || !p.value(p.keep(p.path)) {
			return false
		}
		if p.at < len(p.text) && p.text[p.at] != ' ' {
			return false
		}
		p.at = skipBlanks(p.text, p.at)
	}
	return len(p.fields) >= 2
}

// makeTemplate builds the form of a template from its key.
func makeTemplate(key string, rows int) Template {
	t := Template{Mode: modeOf(key), Rows: rows, Pieces: splitKey(key)}
	if n := len(t.Pieces) - 1; n > 0 {
		t.Slots = make([]Slot, n)
	}
	for i := range t.Slots {
		t.Slots[i].Shared = -1
	}
	if t.Mode != Generic {
		t.Fields, _ = fieldsOf(t.Mode, key[1:], len(t.Slots))
	}
	return t
}

// wholeTemplate is template 0.
func wholeTemplate(rows int, values *Column) Template {
	return Template{Mode: Whole, Rows: rows, Pieces: []string{"", ""}, Slots: []Slot{{Column: values, Shared: -1}}}
}
