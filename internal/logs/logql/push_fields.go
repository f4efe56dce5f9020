package logql

import (
	"slices"
	"strings"

	"github.com/hune-io/hune/internal/column"
)

// origin says where the rows of a template have a label that a parser finds.
type origin struct {
	kind originKind
	slot int
	how  reading
}

type originKind uint8

const (
	nowhere   originKind = iota
	inSlot               // in the slot's column
	always               // every row has it, empty
	undecided            // the rows are not alike
)

// originOf finds the label of t that goes by one of names. A parser takes the first of several fields.
func (p *pushParser) originOf(t *column.Template, names []string) origin {
	switch {
	case !p.readable(t):
		return origin{kind: undecided}
	case len(p.exprs) > 0:
		return p.exprOrigin(t, names)
	}
	found := origin{}
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Slot < 0 && (t.Mode == column.JSON || !p.keepEmpty) || !isNamed(f.Path, names) {
			continue
		}
		if found.kind != nowhere {
			return origin{kind: undecided}
		}
		if f.Slot < 0 {
			return origin{kind: always}
		}
		found = origin{kind: inSlot, slot: f.Slot, how: reading{mode: t.Mode, quoted: f.Quoted, keepEmpty: p.keepEmpty}}
		if found.how.sure(t.Slots[f.Slot].Values()) {
			return found // the fields behind it don't count
		}
	}
	return found
}

// readable reports whether the parser reads the rows of t, and surely finds no fault in them. Escapes in keys may be
// bad ones; with expressions, the line must begin with the object.
func (p *pushParser) readable(t *column.Template) bool {
	switch {
	case p.auto && (t.Mode == column.JSON) != isObject(t.Pieces[0]), !p.auto && t.Mode != p.mode:
		return false
	case t.Mode == column.Logfmt:
		return t.Pieces[0] != "" || !p.auto
	case t.Mode != column.JSON:
		return false
	}
	for i := range t.Fields {
		for _, key := range t.Fields[i].Path {
			if strings.IndexByte(key, '\\') >= 0 {
				return false
			}
		}
	}
	return len(p.exprs) == 0 || strings.HasPrefix(t.Pieces[0], "{")
}

func (p *pushParser) exprOrigin(t *column.Template, names []string) origin {
	found := origin{}
	for i := range p.exprs {
		e := &p.exprs[i]
		if !slices.Contains(names, e.label) {
			continue
		}
		o := p.fieldAt(t, e.path)
		if found.kind != nowhere {
			return origin{kind: undecided}
		}
		found = o
	}
	return found
}

// fieldAt finds the field of a path. A path that the line lacks makes an empty label.
func (p *pushParser) fieldAt(t *column.Template, path []string) origin {
	found := origin{kind: always}
	for i := range t.Fields {
		f := &t.Fields[i]
		if t.Mode == column.Logfmt && sanitizeKey(f.Path[0]) != path[0] ||
			t.Mode == column.JSON && (len(f.Path) < len(path) || !slices.Equal(f.Path[:len(path)], path)) {
			continue
		}
		if found.kind != always || len(f.Path) > len(path) || f.Slot < 0 && p.mode == column.JSON {
			return origin{kind: undecided} // several, or an object
		}
		if f.Slot < 0 {
			return origin{kind: undecided}
		}
		found = origin{kind: inSlot, slot: f.Slot, how: reading{mode: p.mode, quoted: f.Quoted, expr: true}}
	}
	return found
}

// isNamed reports whether the field of path makes a label of one of names.
func isNamed(path, names []string) bool {
	for _, n := range names {
		if makesLabel(path, n) {
			return true
		}
	}
	return false
}

// makesLabel reports whether a parser makes label of the keys of path: as labelSet.sanitized has it of the
// keys joined by _.
func makesLabel(path []string, label string) bool {
	rest, simple := label, true
	for i, key := range path {
		simple = simple && key != "" && isWord(key)
		if i > 0 {
			var ok bool
			if rest, ok = strings.CutPrefix(rest, "_"); !ok {
				rest = "\x00" // matches no key
			}
		}
		if after, ok := strings.CutPrefix(rest, key); ok {
			rest = after
		} else {
			rest = "\x00"
		}
	}
	if simple && !isDigit(path[0][0]) {
		return rest == "" // Fast path: nothing to replace.
	}
	parts := make([]string, 0, len(path))
	for _, key := range path {
		if key = strings.TrimSpace(key); key != "" {
			parts = append(parts, key)
		}
	}
	name := sanitizeKey(strings.Join(parts, "_"))
	return name != "" && name == label
}

// isWord reports whether s is of letters, digits and _ only.
func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
