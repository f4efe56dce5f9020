package logql

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// Draft is what can be told of a query while someone types it.
type Draft struct {
	// Expr is the tree as far as it goes; nil where nothing could be read. What is missing is left out: a
	// missing argument is a *LogQuery without matchers, a missing window is 0.
	Expr Expr
	// Faults are in the order of the text. A query without any is one that Parse takes.
	Faults []Fault
	// Wants is what may come at the cursor, in no order of importance.
	Wants []Want
	// Prefix is what of it is typed already; From and To is the text that it would replace, in bytes.
	Prefix   string
	From, To int
	// Selector is the text of the selector that the cursor is in or behind, as far as it is complete: `{app="a"}`.
	// Asking for labels, values and fields with it narrows the answer. Empty before the first selector.
	Selector string
}

// Fault is something wrong with a query.
type Fault struct {
	Msg string
	// Hint says what might have been meant; empty where nobody knows.
	Hint      string
	From, To  int // bytes of the text
	Line, Col int // of From, from 1, in characters
}

// WantKind is a class of what may come.
type WantKind string

// The classes. Text and Label are set where they are named.
const (
	WantWord        WantKind = "word"         // Text: an operator, a bracket or a word of the language
	WantFunction    WantKind = "function"     // Text: a name that a parenthesis follows
	WantStage       WantKind = "stage"        // Text: the word of a stage
	WantStreamLabel WantKind = "stream_label" // a label of streams, in a selector
	WantStreamValue WantKind = "stream_value" // Label: a value of this label, quoted
	WantField       WantKind = "field"        // a label of entries: of streams, metadata, or from the line
	WantFieldValue  WantKind = "field_value"  // Label: a value of this field, quoted
	WantNumber      WantKind = "number"
	WantDuration    WantKind = "duration"
	WantBytes       WantKind = "bytes"
	WantWindow      WantKind = "window" // a duration in brackets
	WantText        WantKind = "text"   // Text: what the quoted text is, such as regexp, pattern or template
)

// Want is something that may come at the cursor.
type Want struct {
	Kind  WantKind
	Text  string
	Label string
}

// maxFaults bounds how many faults of one query are told.
const maxFaults = 20

// ParseTolerant reads a query that may be unfinished or wrong. cursor is a byte offset; one outside the text is taken
// for its nearest end. It never fails.
func ParseTolerant(text string, cursor int) Draft {
	var d Draft
	cursor = min(max(cursor, 0), len(text))
	for cursor > 0 && cursor < len(text) && !utf8.RuneStart(text[cursor]) {
		cursor--
	}
	if len(text) >= maxQuery {
		_, err := parseExpr(text)
		d.Faults = []Fault{faultOf(err, text, 0)}
		return d
	}
	d.read(text)
	d.complete(text, cursor)
	return d
}

// read fills in the tree and the faults.
func (d *Draft) read(text string) {
	p := parser{tokens: lex(text), text: text, draft: &draft{}}
	d.Expr = p.whole()
	d.Faults = p.draft.faults
	if e, err := Parse(text); err == nil {
		d.Expr, d.Faults = e, nil
	} else if len(d.Faults) == 0 {
		d.Faults = []Fault{faultOf(err, text, len(text))}
	}
}

// complete fills in what may come at the cursor: what the parser looks for when the text ends there.
func (d *Draft) complete(text string, cursor int) {
	tokens := lex(text[:cursor])
	n := len(tokens) - 1 // without the end, or the fault that stands for it
	d.From, d.To = cursor, cursor
	end, inWindow := tokens[n], false
	switch flag := flagLen(text[:cursor]); {
	case end.kind == tokError:
		// What isn't closed before the cursor is what is being typed.
		d.From = end.offset
		inWindow = text[end.offset] == '['
	case inComment(text[:cursor]):
		return
	case flag > 0:
		d.From = cursor - flag
	case n > 0 && endsAt(&tokens[n-1], text[:cursor]) && isTyped(&tokens[n-1]):
		d.From = tokens[n-1].offset
	}
	for n > 0 && tokens[n-1].offset >= d.From {
		n--
	}
	d.Prefix = text[d.From:cursor]
	if d.Prefix != "" && strings.Contains("\"`[", d.Prefix[:1]) {
		d.Prefix = d.Prefix[1:]
	}
	d.To = tokenEnd(text, d.From, cursor)
	tokens = append(slices.Clip(tokens[:n]), token{kind: tokEOF, offset: d.From})
	p := parser{tokens: tokens, text: text[:d.From], draft: &draft{}}
	p.whole()
	d.Wants = p.draft.wants
	if p.draft.selected {
		d.Selector = (&LogQuery{Matchers: p.draft.selector}).String()
	}
	if inWindow {
		d.Wants = []Want{{Kind: WantDuration}}
		d.From++
		if d.To > d.From && text[d.To-1] == ']' {
			d.To--
		}
	}
}

// flagLen returns the length of the beginning of a flag that text ends with: --, --str.
func flagLen(text string) int {
	word := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz-")
	if flag := text[len(word):]; strings.HasPrefix(flag, "--") && strings.HasSuffix(word, " ") {
		return len(flag)
	}
	return 0
}

// isTyped reports whether t may be going on: a word or a number, but no symbol.
func isTyped(t *token) bool {
	switch t.kind {
	case tokIdent, tokNumber, tokDuration, tokBytes, tokFlag:
		return true
	case tokKey, tokBad:
		return identLen(t.str) > 0 || t.str == "!"
	}
	return false
}

// endsAt reports whether t is the end of text, with nothing behind it.
func endsAt(t *token, text string) bool {
	return len(text) > 0 && len(lex(text[t.offset:])) == 2 && strings.TrimRight(text, " \t\r\n") == text
}

// inComment reports whether the last line of text, which is complete otherwise, has a comment.
func inComment(text string) bool {
	l := lexer{in: text, line: 1, col: 1}
	for {
		at := l.pos
		l.skipSpace()
		if l.pos == len(text) {
			return strings.Contains(text[at:], "#") && !strings.HasSuffix(text, "\n")
		}
		if t := l.next(); t.kind == tokEOF || t.kind == tokError {
			return false
		}
	}
}

// tokenEnd returns where the token that starts at from ends, or the cursor if that is behind it.
func tokenEnd(text string, from, cursor int) int {
	l := lexer{in: text, pos: from, line: 1, col: 1}
	if from >= len(text) || from == cursor {
		return cursor
	}
	t := l.next()
	if t.kind == tokError {
		return cursor
	}
	return max(cursor, l.pos)
}

// faultOffset returns the place of err; end is where the parser was if err doesn't say.
func faultOffset(err error, end int) int {
	var e *ParseError
	if errors.As(err, &e) && e.Col > 0 {
		return e.Offset
	}
	return end
}

// faultOf places err, as faultOffset does.
func faultOf(err error, text string, end int) Fault {
	var e *ParseError
	if !errors.As(err, &e) {
		e = &ParseError{Msg: err.Error()}
	}
	f := Fault{Msg: e.Msg, Hint: e.Hint, From: faultOffset(err, end)}
	f.To = f.From
	f.Line, f.Col = position(text, f.From)
	if f.From < len(text) {
		f.To = max(tokenEnd(text, f.From, f.From+1), f.From+1)
		for f.To < len(text) && !utf8.RuneStart(text[f.To]) {
			f.To++
		}
	}
	return f
}

// position returns the line and column of a byte offset.
func position(text string, offset int) (line, col int) {
	before := text[:min(offset, len(text))]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1
}
