package logql

import (
	"bytes"
	"fmt"

	"github.com/buger/jsonparser"
)

// logfmtScanner cuts a line into key=value pairs. key and raw are valid until the next call.
type logfmtScanner struct {
	line   []byte
	pos    int
	key    []byte
	value  []byte
	quoted bool   // value is what stood between the quotes, still escaped
	fault  string // what is wrong at pos; "" if nothing
}

// next finds the next pair. It reports false at the end of the line and at a fault, which is in
// fault; after a fault skip goes on behind it.
func (d *logfmtScanner) next() bool {
	for d.pos < len(d.line) && d.line[d.pos] <= ' ' {
		d.pos++
	}
	d.key, d.value, d.quoted, d.fault = nil, nil, false, ""
	if d.pos >= len(d.line) {
		return false
	}
	start := d.pos
	for d.pos < len(d.line) {
		switch c := d.line[d.pos]; {
		case c == '=' && d.pos == start, c == '"':
			return d.unexpected(c)
		case c == '=':
			d.key = d.line[start:d.pos]
			d.pos++
			return d.scanValue()
		case c <= ' ':
			d.key = d.line[start:d.pos]
			return true
		}
		d.pos++
	}
	d.key = d.line[start:d.pos]
	return true
}

func (d *logfmtScanner) scanValue() bool {
	if d.pos < len(d.line) && d.line[d.pos] == '"' {
		return d.scanQuoted()
	}
	start := d.pos
	for d.pos < len(d.line) {
		c := d.line[d.pos]
		if c == '=' || c == '"' {
			return d.unexpected(c)
		}
		if c <= ' ' {
			break
		}
		d.pos++
	}
	d.value = d.line[start:d.pos]
	return true
}

func (d *logfmtScanner) scanQuoted() bool {
	start := d.pos + 1
	for i := start; i < len(d.line); i++ {
		switch d.line[i] {
		case '\\':
			i++
		case '"':
			d.value, d.quoted = d.line[start:i], true
			d.pos = i + 1
			return true
		}
	}
	d.pos = len(d.line)
	return d.syntax("unterminated quoted value")
}

func (d *logfmtScanner) unexpected(c byte) bool {
	if c == '"' {
		return d.syntax(`unexpected '"'`)
	}
	return d.syntax("unexpected '='")
}

func (d *logfmtScanner) syntax(msg string) bool {
	d.fault = msg
	return false
}

// details describes the fault. Lenient parsing passes over faults without a word, so it is made when
// it is wanted only.
func (d *logfmtScanner) details() string {
	return fmt.Sprintf("logfmt syntax error at pos %d : %s", d.pos+1, d.fault)
}

// skip moves behind the word with the fault.
func (d *logfmtScanner) skip() {
	for d.pos < len(d.line) && d.line[d.pos] > ' ' {
		d.pos++
	}
}

// text returns the value unescaped. A bad escape is a fault.
func (d *logfmtScanner) text(s *labelSet) (string, bool) {
	if !d.quoted || bytes.IndexByte(d.value, '\\') < 0 {
		return validText(s, d.value), true
	}
	from := len(s.arena)
	s.arena = append(s.arena, d.value...)
	out, err := jsonparser.Unescape(d.value, s.arena[from:])
	if err != nil {
		d.syntax("invalid quoted value")
		return "", false
	}
	return validText(s, out), true
}

// logfmtStep is the logfmt parser without expressions.
type logfmtStep struct {
	strict, keepEmpty bool
	d                 logfmtScanner
}

func (st *logfmtStep) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	if s.satisfied() || len(line) == 0 {
		return line, true
	}
	d := &st.d
	*d = logfmtScanner{line: line}
	for {
		if !d.next() {
			if d.fault == "" {
				return line, true
			}
			if st.strict {
				s.fail(errLogfmt, d.details())
				return line, true
			}
			d.skip()
			continue
		}
		if len(d.value) == 0 && !st.keepEmpty {
			continue
		}
		name := s.sanitized(d.key)
		if name == "" {
			continue
		}
		name = s.parsedName(name)
		if s.alreadyParsed(name) || !s.hints.wants(name) {
			continue
		}
		text, ok := d.text(s)
		if !ok {
			if st.strict {
				s.fail(errLogfmt, d.details())
				return line, true
			}
			continue
		}
		switch s.parsed(name, text) {
		case parseDrop:
			return line, false
		case parseDone:
			return line, true
		}
	}
}

// logfmtExprStep is the logfmt parser with expressions. It asks no filter early. Keys of the line are looked for as
// the labels that they would be: http_status is the key http.status, too.
type logfmtExprStep struct {
	strict, keepEmpty bool
	labels            []string
	keys              []string
	d                 logfmtScanner
}

func newLogfmtExprStep(exprs []Extraction, strict, keepEmpty bool) (step, error) {
	st := &logfmtExprStep{strict: strict, keepEmpty: keepEmpty}
	for _, e := range exprs {
		path, err := parseLogfmtPath(e.Path)
		if err != nil {
			return nil, fmt.Errorf("cannot parse expression [%s]: %w", e.Path, err)
		}
		st.labels = append(st.labels, e.Label)
		st.keys = append(st.keys, path)
	}
	return st, nil
}

func (st *logfmtExprStep) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	if s.satisfied() {
		return line, true
	}
	d := &st.d
	*d = logfmtScanner{line: line}
	done := false
	for !done {
		if !d.next() {
			if d.fault == "" {
				break
			}
			if st.strict {
				s.fail(errLogfmt, d.details())
				return line, true
			}
			d.skip()
			continue
		}
		done = st.pair(s)
	}
	if !st.keepEmpty || !done {
		for _, name := range st.labels {
			if _, _, ok := s.get(name); !ok {
				s.set(fromParser, name, "")
			}
		}
	}
	return line, true
}

// pair sets the labels that the pair at hand is asked for. It reports whether that is all that is needed.
func (st *logfmtExprStep) pair(s *labelSet) (done bool) {
	found := s.sanitized(st.d.key)
	for i, key := range st.keys {
		if key != found {
			continue
		}
		text, ok := st.d.text(s)
		if !ok {
			if st.strict {
				s.fail(errLogfmt, st.d.details())
				return true
			}
			continue
		}
		s.set(fromParser, s.parsedName(st.labels[i]), text)
		done = done || s.satisfied()
	}
	return done
}
