package logql

import (
	"errors"
	"fmt"
	"strings"
)

// pathToken is a piece of the path of a json or logfmt expression.
type pathToken struct {
	kind pathKind
	text string
}

type pathKind string

// The kinds, by the names that errors call them.
const (
	pathEnd    pathKind = "$end"
	pathDot    pathKind = "DOT"
	pathOpen   pathKind = "LSB"
	pathClose  pathKind = "RSB"
	pathString pathKind = "STRING"
	pathField  pathKind = "FIELD"
	pathIndex  pathKind = "INDEX"
)

// pathScanner cuts a path into tokens. A character that no token has ends it; the fault is in err.
type pathScanner struct {
	rest string
	err  error
}

func (s *pathScanner) next() pathToken {
	s.rest = strings.TrimLeft(s.rest, " \t\n")
	if s.rest == "" || s.err != nil {
		return pathToken{kind: pathEnd}
	}
	switch c := s.rest[0]; {
	case c == '[':
		return s.cut(pathOpen, 1)
	case c == ']':
		return s.cut(pathClose, 1)
	case c == '.':
		return s.cut(pathDot, 1)
	case c == '"':
		return s.quoted()
	case isDigit(c):
		return s.index()
	}
	if n := fieldLen(s.rest); n > 0 {
		return s.cut(pathField, n)
	}
	for _, r := range s.rest {
		return s.fail(fmt.Errorf("unexpected char %c", r))
	}
	return pathToken{kind: pathEnd}
}

func (s *pathScanner) cut(kind pathKind, n int) pathToken {
	t := pathToken{kind, s.rest[:n]}
	s.rest = s.rest[n:]
	return t
}

func (s *pathScanner) fail(err error) pathToken {
	s.err = err
	return pathToken{kind: pathEnd}
}

// quoted reads up to the next quote. There are no escapes, and a bracket ends it, too.
func (s *pathScanner) quoted() pathToken {
	s.rest = s.rest[1:]
	end := strings.IndexAny(s.rest, "\"]")
	if end < 0 {
		end = len(s.rest)
	}
	t := s.cut(pathString, end)
	s.rest = s.rest[min(1, len(s.rest)):]
	return t
}

func (s *pathScanner) index() pathToken {
	n := digits(s.rest, 0)
	switch {
	case strings.HasPrefix(s.rest[n:], "."):
		return s.fail(errors.New("cannot use float as array index"))
	case n == len(s.rest) || !strings.ContainsRune(" \t\n]", rune(s.rest[n])):
		return s.fail(fmt.Errorf("non-integer value: %q", s.rest))
	}
	return s.cut(pathIndex, n)
}

// fieldLen returns the length of the name that s starts with.
func fieldLen(s string) int {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || !isDigit(c)) {
			return i
		}
	}
	return len(s)
}

func unexpectedPath(t pathToken, expecting string) error {
	if expecting != "" {
		expecting = ", expecting " + expecting
	}
	return fmt.Errorf("syntax error: unexpected %s%s", t.kind, expecting)
}

// parsePath reads a JSON path: a.b[0]["c d"]. Indexes come out as "[0]".
func parsePath(path string) ([]string, error) {
	var out []string
	s := &pathScanner{rest: path}
	for {
		t := s.next()
		switch {
		case t.kind == pathEnd && out != nil:
			return out, s.err
		case t.kind == pathOpen:
			key, err := s.inBrackets()
			if err != nil {
				return nil, err
			}
			out = append(out, key)
		case t.kind == pathField && out == nil:
			out = append(out, t.text)
		case t.kind == pathDot && out != nil:
			if t = s.next(); t.kind != pathField {
				return nil, unexpectedPath(t, "FIELD")
			}
			out = append(out, t.text)
		case out == nil:
			return nil, unexpectedPath(t, "LSB or FIELD")
		default:
			return nil, unexpectedPath(t, "")
		}
	}
}

// inBrackets reads what follows an opening bracket.
func (s *pathScanner) inBrackets() (string, error) {
	t := s.next()
	key := t.text
	switch t.kind {
	case pathIndex:
		key = "[" + key + "]"
	case pathString:
	default:
		return "", unexpectedPath(t, "STRING or INDEX")
	}
	if t = s.next(); t.kind != pathClose {
		return "", unexpectedPath(t, "RSB")
	}
	return key, nil
}

// parseLogfmtPath reads the key of a logfmt expression, a name or a quoted text.
func parseLogfmtPath(path string) (string, error) {
	s := &pathScanner{rest: path}
	t := s.next()
	if t.kind != pathField && t.kind != pathString {
		return "", fmt.Errorf("syntax error: unexpected %s, expecting KEY or STRING", pathEnd)
	}
	key := t.text
	switch t = s.next(); t.kind {
	case pathEnd:
		return key, s.err
	case pathField:
		return "", errors.New("syntax error: unexpected KEY")
	case pathString:
		return "", errors.New("syntax error: unexpected STRING")
	}
	return "", fmt.Errorf("unexpected char %s", t.text)
}
