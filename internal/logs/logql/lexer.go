package logql

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/common/model"
)

type tokenKind uint8

const (
	tokEOF      tokenKind = iota
	tokIdent              // a label name
	tokString             // str is unquoted
	tokNumber             // str is as written
	tokDuration           // dur
	tokBytes              // bytes
	tokRange              // [5m]: dur
	tokFlag               // --strict
	tokKey                // keyword, operator, punctuation or function name: str
	tokBad                // a character that no token starts with
	tokError              // str is what is wrong
)

// token is a piece of the query. line and col count from 1.
type token struct {
	kind      tokenKind
	str       string
	dur       time.Duration
	bytes     uint64
	offset    int
	line, col int
}

// name is how the token is called in error messages.
func (t token) name() string {
	switch t.kind {
	case tokEOF:
		return "$end"
	case tokIdent, tokBad:
		return "IDENTIFIER"
	case tokString:
		return "STRING"
	case tokNumber:
		return "NUMBER"
	case tokDuration:
		return "DURATION"
	case tokBytes:
		return "BYTES"
	case tokRange:
		return "RANGE"
	case tokFlag:
		return "FUNCTION_FLAG"
	}
	return t.str
}

// keywords can't be label names. Words that are functions only before a parenthesis are in functions. All
// are known in any case of letters: SUM BY (a), AND.
var keywords = map[string]bool{
	"and": true, "or": true, "unless": true, "by": true, "without": true, "on": true, "ignoring": true,
	"group_left": true, "group_right": true, "bool": true, "offset": true, "json": true, "logfmt": true,
	"regexp": true, "pattern": true, "unpack": true, "unwrap": true, "line_format": true, "label_format": true,
	"decolorize": true, "drop": true, "keep": true,
}

var functions = functionNames()

func functionNames() map[string]bool {
	m := map[string]bool{
		"label_replace": true, "vector": true, "variants": true, "ip": true,
		"bytes": true, "duration": true, "duration_seconds": true,
	}
	for _, op := range rangeOps {
		m[op] = true
	}
	for _, op := range vectorOps {
		m[op] = true
	}
	return m
}

// symbols, longest first.
var symbols = [...]string{
	"|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=",
	"|", "=", ">", "<", "+", "-", "*", "/", "%", "^", "(", ")", "{", "}", ",", ".",
}

type lexer struct {
	in        string
	pos       int
	line, col int
}

// lex cuts the whole query into tokens. It stops at the first lexical fault, which is the last
// token then, so that an earlier fault in the grammar is reported first.
func lex(in string) []token {
	l := lexer{in: in, line: 1, col: 1}
	out := make([]token, 0, len(in)/4+2)
	for {
		t := l.next()
		out = append(out, t)
		if t.kind == tokEOF || t.kind == tokError {
			return out
		}
	}
}

// advance moves n bytes on.
func (l *lexer) advance(n int) {
	for _, r := range l.in[l.pos : l.pos+n] {
		if r == '\n' {
			l.line++
			l.col = 1
		} else {
			l.col++
		}
	}
	l.pos += n
}

func (l *lexer) skipSpace() {
	for l.pos < len(l.in) {
		switch c := l.in[l.pos]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			l.advance(1)
		case c == '#':
			n := strings.IndexByte(l.in[l.pos:], '\n')
			if n < 0 {
				n = len(l.in) - l.pos
			}
			l.advance(n)
		default:
			return
		}
	}
}

func (l *lexer) next() token {
	l.skipSpace()
	t := token{offset: l.pos, line: l.line, col: l.col}
	if l.pos >= len(l.in) {
		return t
	}
	rest := l.in[l.pos:]
	switch c := rest[0]; {
	case c == '"' || c == '`':
		l.quoted(&t, rest)
	case c == '[':
		l.rangeToken(&t, rest)
	case isDigit(c) || c == '.' && len(rest) > 1 && isDigit(rest[1]):
		l.number(&t, rest)
	case c == '-' && l.flagOrNegative(&t, rest):
	default:
		l.word(&t, rest)
	}
	return t
}

func (l *lexer) fail(t *token, msg string) {
	t.kind, t.str = tokError, msg
}

func (l *lexer) quoted(t *token, rest string) {
	end := quotedEnd(rest)
	if end < 0 {
		l.fail(t, "literal not terminated")
		return
	}
	if !utf8.ValidString(rest[:end]) {
		l.fail(t, "invalid UTF-8 rune")
		return
	}
	s, err := strconv.Unquote(rest[:end])
	if rest[0] == '`' {
		// Unlike in Go, a carriage return inside backquotes stays.
		s, err = rest[1:end-1], nil
	}
	if err != nil {
		l.fail(t, "invalid char escape")
		return
	}
	l.advance(end)
	t.kind, t.str = tokString, s
}

// quotedEnd returns the length of the literal that s starts with, or -1.
func quotedEnd(s string) int {
	q := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == q:
			return i + 1
		case q == '"' && s[i] == '\n':
			return -1
		case q == '"' && s[i] == '\\':
			i++
		}
	}
	return -1
}

func (l *lexer) rangeToken(t *token, rest string) {
	end := strings.IndexByte(rest, ']')
	t.line = 0 // as Loki reports faults in a range
	if end < 0 {
		l.fail(t, "missing closing ']' in duration")
		return
	}
	// Windows are written in whole units, unlike other durations.
	d, err := model.ParseDuration(rest[1:end])
	switch {
	case err != nil:
		l.fail(t, err.Error())
		return
	case d == 0:
		l.fail(t, "a window of "+rest[1:end]+" holds no time")
		return
	}
	t.line = l.line
	l.advance(end + 1)
	t.kind, t.dur = tokRange, time.Duration(d)
}

func (l *lexer) number(t *token, rest string) {
	n := numberLen(rest)
	t.kind, t.str = tokNumber, rest[:n]
	if run := unitRun(rest, n, durationUnits); len(run) > n {
		if d, ok := parseDuration(run); ok {
			t.kind, t.dur, t.str = tokDuration, d, run
		}
	}
	if run := unitRun(rest, n, byteUnits); t.kind == tokNumber && len(run) > n {
		if b, err := humanize.ParseBytes(run); err == nil {
			t.kind, t.bytes, t.str = tokBytes, b, run
		}
	}
	l.advance(len(t.str))
}

// flagOrNegative reads a parser flag or a negative duration. It reports whether it did.
func (l *lexer) flagOrNegative(t *token, rest string) bool {
	for _, flag := range [...]string{"--strict", "--keep-empty"} {
		if strings.HasPrefix(rest, flag) && !startsWord(rest[len(flag):]) {
			l.advance(len(flag))
			t.kind, t.str = tokFlag, flag
			return true
		}
	}
	run := unitRun(rest, 1, durationUnits)
	if d, ok := parseDuration(run[1:]); ok && hasLetter(run) {
		l.advance(len(run))
		t.kind, t.dur, t.str = tokDuration, -d, run
		return true
	}
	return false
}

func (l *lexer) word(t *token, rest string) {
	if n := identLen(rest); n > 0 {
		word := rest[:n]
		l.advance(n)
		t.kind, t.str = tokIdent, word
		lower := strings.ToLower(word)
		if keywords[lower] || functions[lower] && l.callFollows() {
			t.kind, t.str = tokKey, lower
		}
		return
	}
	for _, s := range symbols {
		if strings.HasPrefix(rest, s) {
			l.advance(len(s))
			t.kind, t.str = tokKey, s
			return
		}
	}
	_, n := utf8.DecodeRuneInString(rest)
	l.advance(n)
	t.kind, t.str = tokBad, rest[:n]
}

// callFollows reports whether what comes next makes the word before it a function.
func (l *lexer) callFollows() bool {
	ahead := *l
	ahead.skipSpace()
	rest := ahead.in[ahead.pos:]
	if strings.HasPrefix(rest, "(") {
		return true
	}
	n := identLen(rest)
	if word := strings.ToLower(rest[:n]); word != "by" && word != "without" {
		return false
	}
	ahead.pos += n
	ahead.skipSpace()
	return strings.HasPrefix(ahead.in[ahead.pos:], "(")
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func startsWord(s string) bool { return identLen(s) > 0 || s != "" && isDigit(s[0]) }

func identLen(s string) int {
	for i, r := range s {
		if r == '_' || unicode.IsLetter(r) || i > 0 && unicode.IsDigit(r) {
			continue
		}
		return i
	}
	return len(s)
}

// The letters of units. Exabytes are no unit: 1e3 is a number.
const (
	durationUnits = "nuµmshdwy"
	byteUnits     = "BikKMGTP"
)

// unitRun returns what of s a number with units may be: its first n bytes, and the digits, points and letters of
// units that follow.
func unitRun(s string, n int, letters string) string {
	for i, r := range s[n:] {
		if r != '.' && !unicode.IsNumber(r) && !strings.ContainsRune(letters, r) {
			return s[:n+i]
		}
	}
	return s
}

func hasLetter(s string) bool { return strings.IndexFunc(s, unicode.IsLetter) >= 0 }

// numberLen returns how much of s is a Go number literal.
func numberLen(s string) int {
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		n := 2
		for n < len(s) && (isDigit(s[n]) || 'a' <= s[n]|0x20 && s[n]|0x20 <= 'f') {
			n++
		}
		return n
	}
	n := digits(s, 0)
	if n < len(s) && s[n] == '.' {
		n = digits(s, n+1)
	}
	if n < len(s) && s[n]|0x20 == 'e' {
		exp := n + 1
		if exp < len(s) && (s[exp] == '+' || s[exp] == '-') {
			exp++
		}
		if end := digits(s, exp); end > exp {
			n = end
		}
	}
	return n
}

func digits(s string, i int) int {
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}

// parseDuration reads Prometheus's form (1d, 1h30m) or Go's (1.5s).
func parseDuration(s string) (time.Duration, bool) {
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), true
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}
