package traceql

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Completion is what may stand at the cursor of a query that may be unfinished. Fixed words come as
// Choices. What only the data knows comes as a wish: Names and Scope for names of attributes,
// Values for the values of one.
type Completion struct {
	Start, End int // the bytes that a choice replaces: the word under the cursor, empty between words
	Choices    []Choice
	Names      bool   // names of attributes may stand here, those of Scope
	Scope      Scope  // with Names; ScopeNone: every scope, the name with its scope in front
	Values     string // the attribute, as TraceQL, whose values may stand here; "" if none may
	Number     bool   // a number or a duration may stand here
	Filter     string // the complete conditions beside the cursor, to ask the data with; "" if none
}

// Choice is a word of the language. Kind is scope, intrinsic, operator, function, value, hint or
// punctuation.
type Choice struct{ Text, Kind string }

// Fault is something wrong in a query, in the bytes from Start to End.
type Fault struct {
	Start, End int
	Msg, Hint  string
}

// Faults returns what is wrong with a query, in the order of the text: where it stops being
// TraceQL, and of filters after that place those that are wrong in themselves. Types are checked
// once the syntax is right; such a fault covers the whole text.
func Faults(text string) []Fault {
	_, err := Parse(text)
	if err == nil {
		return nil
	}
	var se *SyntaxError
	if !errors.As(err, &se) {
		return []Fault{{Start: 0, End: len(text), Msg: err.Error()}}
	}
	out := []Fault{{se.Start, se.End, se.Msg, se.Hint}}
	for at, looked := se.End, 0; len(out) < maxFaults && looked < maxFiltersLooked; looked++ {
		open := strings.IndexByte(text[at:], '{')
		if open < 0 {
			return out
		}
		at += open
		p := &parser{lex: newLexer(text[at:])}
		err := p.advance()
		if err == nil {
			_, err = p.filter()
		}
		if errors.As(err, &se) {
			out = append(out, Fault{at + se.Start, at + se.End, se.Msg, se.Hint})
			at += max(se.End, 1)
			continue
		}
		at += max(p.tok.off, 1)
	}
	return out
}

const (
	maxFaults        = 10  // how many faults of one query are worth telling
	maxFiltersLooked = 200 // how many filters are looked at for more than the first fault
)

// Complete looks at text as far as the cursor (a byte offset; what is outside of the text counts as
// its end). It takes any text.
func Complete(text string, cursor int) Completion {
	if cursor < 0 || cursor > len(text) {
		cursor = len(text)
	}
	c := &completer{stack: []frame{{kind: framePipeline}}}
	out := Completion{Start: cursor, End: cursor}
	l := newLexer(text[:cursor])
	for {
		t, err := l.next()
		if err != nil {
			c.inText(&out, text, t.off, cursor)
			return out
		}
		if t.kind == tokEOF {
			break
		}
		if l.off == cursor && isWord(t) {
			c.underCursor(&out, text, t, cursor)
			return out
		}
		if t.isOp("{") {
			c.filterAt = t.off
		}
		c.feed(t)
	}
	c.suggest(&out)
	out.Filter = c.filter(text, cursor)
	return out
}

// isWord reports whether t may still be growing as it is typed.
func isWord(t token) bool {
	switch t.kind {
	case tokKeyword, tokScope:
		return true
	case tokIdentifier:
		r, _ := utf8.DecodeRuneInString(t.text)
		return r == '_' || unicode.IsLetter(r)
	}
	return false
}

// underCursor completes the word t, which ends at the cursor.
func (c *completer) underCursor(out *Completion, text string, t token, cursor int) {
	grows := func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	out.Start = t.off
	if t.kind == tokScope {
		grows = attributeRune
		out.Start = t.off + len(t.text)
		c.suggest(out)
		if out.Names {
			out.Choices, out.Values, out.Number = nil, "", false
			out.Scope = storedAttribute(t).Scope
		}
	} else {
		c.suggest(out)
	}
	out.End = cursor + len(text[cursor:]) - len(strings.TrimLeftFunc(text[cursor:], grows))
	out.Filter = c.filter(text, cursor)
}

// inText completes an unfinished literal or name in quotes that began at off.
func (c *completer) inText(out *Completion, text string, off, cursor int) {
	if off >= len(text) || text[off] != '"' && text[off] != '`' {
		return
	}
	c.suggest(out)
	out.Choices, out.Names, out.Number = nil, false, false
	out.Start = off
	if end := strings.IndexByte(text[cursor:], text[off]); end >= 0 {
		out.End = cursor + end + 1
	} else {
		out.End = len(text)
	}
	out.Filter = c.filter(text, cursor)
}

// filter returns the complete conditions of the filter that the cursor is in, without the one that
// it is on.
func (c *completer) filter(text string, cursor int) string {
	if !c.inFilter() {
		return ""
	}
	var kept []string
	for _, p := range completeConditions(text[c.filterAt:]) {
		part := text[c.filterAt+p.start : c.filterAt+p.end]
		if cursor > c.filterAt+p.start && cursor <= c.filterAt+p.end {
			continue
		}
		if _, err := Parse("{ " + part + " }"); err == nil {
			kept = append(kept, part)
		}
	}
	if len(kept) == 0 {
		return ""
	}
	return "{ " + strings.Join(kept, " && ") + " }"
}
