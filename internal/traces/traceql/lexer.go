package traceql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"
)

// SyntaxError is a query that is not TraceQL. Line and Col are where, from 1; Start and End are the
// bytes at fault (equal at the end of the text). Hint says what may have been meant, "" if nobody
// knows; it is not part of the text, which clients compare.
type SyntaxError struct {
	Line, Col  int
	Start, End int
	Msg, Hint  string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("parse error at line %d, col %d: %s", e.Line, e.Col, e.Msg)
}

// lexer cuts a query into tokens on demand.
type lexer struct {
	src       string
	off       int
	line, col int // of src[off:], col in characters
	multiline bool
}

func newLexer(src string) *lexer {
	return &lexer{src: src, line: 1, col: 1, multiline: strings.Contains(strings.TrimRightFunc(src, unicode.IsSpace), "\n")}
}

func (l *lexer) peek() rune {
	if l.off >= len(l.src) {
		return -1
	}
	r, _ := utf8.DecodeRuneInString(l.src[l.off:])
	return r
}

func (l *lexer) skip(n int) {
	for _, r := range l.src[l.off : l.off+n] {
		if r == '\n' {
			l.line, l.col = l.line+1, 1
		} else {
			l.col++
		}
	}
	l.off += n
}

func (l *lexer) errorf(t token, format string, args ...any) error {
	line := t.line
	// The reference reports line 0 where it had to look ahead. In a query of one line the number
	// tells nothing, so its text is kept; in a longer one the true line is worth more.
	if t.peeked && !l.multiline {
		line = 0
	}
	return &SyntaxError{Line: line, Col: t.col, Start: t.off, End: max(t.off, l.off), Msg: fmt.Sprintf(format, args...), Hint: l.hint(t)}
}

// next returns the next token, tokEOF at the end.
func (l *lexer) next() (token, error) {
	if err := l.skipSpace(); err != nil {
		return token{}, err
	}
	t := token{line: l.line, col: l.col, off: l.off}
	r := l.peek()
	switch {
	case r < 0:
		return t, nil
	case r == '"':
		return l.quoted(t)
	case r == '`':
		return l.raw(t)
	case r >= '0' && r <= '9', r == '.' && l.off+1 < len(l.src) && isDigit(l.src[l.off+1]):
		return l.number(t)
	case r == '.':
		l.skip(1)
		return l.attribute(t, ".")
	case r == '_' || unicode.IsLetter(r):
		return l.word(t)
	case r == '\'':
		return l.char(t), nil
	}
	rest := l.src[l.off:]
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			l.skip(len(op))
			t.kind, t.text, t.peeked = tokOp, op, len(op) > 1
			return t, nil
		}
	}
	n := utf8.RuneLen(r)
	if n < 0 || r == utf8.RuneError {
		n = 1
	}
	t.kind, t.text = tokIdentifier, rest[:n]
	l.skip(n)
	return t, nil
}

func (l *lexer) skipSpace() error {
	for l.off < len(l.src) {
		rest := l.src[l.off:]
		switch {
		case strings.HasPrefix(rest, "//"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			l.skip(n)
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				return l.errorf(token{line: l.line, col: l.col, off: l.off}, "comment not terminated")
			}
			l.skip(n + 4)
		default:
			r, n := utf8.DecodeRuneInString(rest)
			if !unicode.IsSpace(r) {
				return nil
			}
			l.skip(n)
		}
	}
	return nil
}

func (l *lexer) quoted(t token) (token, error) {
	rest := l.src[l.off:]
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '\n':
			return t, l.unterminated(t)
		case '"':
			s, err := strconv.Unquote(rest[:i+1])
			if err != nil {
				return t, l.errorf(t, "%v", err)
			}
			t.kind, t.text, t.str = tokString, rest[:i+1], s
			l.skip(i + 1)
			return t, nil
		}
	}
	return t, l.unterminated(t)
}

func (l *lexer) unterminated(t token) error {
	l.off = len(l.src)
	return l.errorf(t, "literal not terminated")
}

func (l *lexer) raw(t token) (token, error) {
	rest := l.src[l.off:]
	n := strings.IndexByte(rest[1:], '`')
	if n < 0 {
		return t, l.unterminated(t)
	}
	t.kind, t.text, t.str = tokString, rest[:n+2], strings.ReplaceAll(rest[1:n+1], "\r", "")
	l.skip(n + 2)
	return t, nil
}

// char reads '…', which the language doesn't have, as one unknown identifier so that the error
// shows the whole of it.
func (l *lexer) char(t token) token {
	rest := l.src[l.off:]
	n := strings.IndexAny(rest[1:], "'\n") + 2
	if n < 2 || rest[n-1] == '\n' {
		n = 1
	}
	t.kind, t.text = tokIdentifier, rest[:n]
	l.skip(n)
	return t
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func digits(s string, i int) int {
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}

// number reads integers, floats and durations (1h30m, 1.5s, 2d).
func (l *lexer) number(t token) (token, error) {
	rest := l.src[l.off:]
	i := digits(rest, 0)
	float := false
	if i < len(rest) && rest[i] == '.' {
		if j := digits(rest, i+1); j > i+1 || i > 0 {
			float, i = true, j
		}
	}
	if i < len(rest) && (rest[i] == 'e' || rest[i] == 'E') {
		j := i + 1
		if j < len(rest) && (rest[j] == '+' || rest[j] == '-') {
			j++
		}
		if k := digits(rest, j); k > j {
			float, i = true, k
		}
	}
	unit := i
	for i < len(rest) {
		r, n := utf8.DecodeRuneInString(rest[i:])
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '.' {
			break
		}
		i += n
	}
	t.text = rest[:i]
	l.skip(i)
	if i > unit {
		d, err := parseDuration(t.text)
		if err != nil {
			return t, l.errorf(t, "%v", err)
		}
		t.kind, t.num = tokDuration, int64(d)
		return t, nil
	}
	var err error
	if float {
		t.kind = tokFloat
		t.flt, err = strconv.ParseFloat(t.text, 64)
	} else {
		t.kind = tokInt
		var n int
		n, err = strconv.Atoi(t.text)
		t.num = int64(n)
	}
	if err != nil {
		return t, l.errorf(t, "%v", err)
	}
	return t, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil {
		return d, nil
	}
	if m, merr := model.ParseDuration(s); merr == nil { // days, weeks, years
		return time.Duration(m), nil
	}
	return 0, err
}

// word reads a keyword, a scope with its attribute name, or an unknown word.
func (l *lexer) word(t token) (token, error) {
	rest := l.src[l.off:]
	i := 0
	for i < len(rest) {
		r, n := utf8.DecodeRuneInString(rest[i:])
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		i += n
	}
	w := rest[:i]
	if i < len(rest) {
		switch {
		case rest[i] == '.' && w == "parent":
			for _, s := range []string{"parent.span.", "parent.resource."} {
				if strings.HasPrefix(rest, s) {
					l.skip(len(s))
					return l.attribute(t, s)
				}
			}
			fallthrough
		case rest[i] == '.' && dotScopes[w]:
			l.skip(i + 1)
			return l.attribute(t, rest[:i+1])
		case rest[i] == ':' && colonScopes[w]:
			l.skip(i + 1)
			t.kind, t.text = tokOp, rest[:i+1]
			return t, nil
		}
	}
	l.skip(i)
	t.text, t.kind = w, tokIdentifier
	if keywords[w] {
		t.kind = tokKeyword
	}
	return t, nil
}

var (
	errUnclosedName = errors.New(`unexpected EOF, expecting "`)
	errNameEscape   = errors.New("invalid escape sequence")
)

// attribute reads the name after a scope: up to white space or an operator, with parts in double
// quotes where the name itself holds such characters.
func (l *lexer) attribute(t token, scope string) (token, error) {
	t.kind, t.text = tokScope, scope
	name, n, err := attributeName(l.src[l.off:])
	if err != nil {
		t.peeked = true
		return t, l.errorf(t, "%v", err)
	}
	t.str = name
	l.skip(n)
	return t, nil
}

func attributeName(s string) (name string, n int, err error) {
	plain := true
	var b strings.Builder
	for n < len(s) {
		r, w := utf8.DecodeRuneInString(s[n:])
		if r == '"' {
			if plain {
				b.WriteString(s[:n])
				plain = false
			}
			if w, err = quotedName(&b, s[n:]); err != nil {
				return "", 0, err
			}
		} else if !attributeRune(r) {
			break
		} else if !plain {
			b.WriteString(s[n : n+w])
		}
		n += w
	}
	if plain {
		return s[:n], n, nil
	}
	return b.String(), n, nil
}

func quotedName(b *strings.Builder, s string) (int, error) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1, nil
		case '\\':
			i++
			if i >= len(s) {
				return 0, errUnclosedName
			}
			if s[i] != '"' && s[i] != '\\' {
				return 0, errNameEscape
			}
		}
		b.WriteByte(s[i])
	}
	return 0, errUnclosedName
}

// attributeRune reports whether r may stand in an attribute's name without quotes.
func attributeRune(r rune) bool {
	switch r {
	case '{', '}', '(', ')', '=', '~', '!', '<', '>', '&', '|', '^', ',', '"':
		return false
	}
	return !unicode.IsSpace(r)
}
