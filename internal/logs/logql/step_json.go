package logql

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/buger/jsonparser"
)

// jsonStep is the json parser without expressions: every string, number and boolean of the object
// becomes a label, nested keys joined by _.
type jsonStep struct {
	prefix []byte
	s      *labelSet
	depth  int
	// visit is the callback made once: a closure for each line would be allocated.
	visit func(key, value []byte, t jsonparser.ValueType, offset int) error
}

// maxJSONDepth bounds the recursion over hostile lines.
const maxJSONDepth = 128

var (
	errParseDone = errors.New("all labels found")
	errParseDrop = errors.New("a label filter refused the line")
	errJSONDepth = fmt.Errorf("JSON is nested deeper than %d levels", maxJSONDepth)
)

func newJSONStep() *jsonStep {
	st := &jsonStep{}
	st.visit = st.field
	return st
}

func (st *jsonStep) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	if s.satisfied() {
		return line, true
	}
	st.s, st.prefix, st.depth = s, st.prefix[:0], 0
	switch err := jsonparser.ObjectEach(line, st.visit); err {
	case nil, errParseDone:
	case errParseDrop:
		return line, false
	default:
		s.fail(errJSON, err.Error())
	}
	return line, true
}

func (st *jsonStep) field(key, value []byte, t jsonparser.ValueType, _ int) error {
	switch t {
	case jsonparser.Object:
		return st.object(key, value)
	case jsonparser.String, jsonparser.Number, jsonparser.Boolean:
	default:
		return nil
	}
	from := len(st.prefix)
	st.push(key)
	name := st.s.sanitized(st.prefix)
	st.prefix = st.prefix[:from]
	if name == "" {
		return nil
	}
	name = st.s.parsedName(name)
	if st.s.alreadyParsed(name) || !st.s.hints.wants(name) {
		return nil
	}
	text := view(value)
	if t == jsonparser.String {
		text = unescapeJSON(st.s, value)
	}
	return verdictError(st.s.parsed(name, text))
}

func verdictError(v parseVerdict) error {
	switch v {
	case parseDone:
		return errParseDone
	case parseDrop:
		return errParseDrop
	}
	return nil
}

func (st *jsonStep) object(key, value []byte) error {
	if st.depth++; st.depth > maxJSONDepth {
		return errJSONDepth
	}
	from := len(st.prefix)
	st.push(key)
	var err error
	if st.s.hints.required == nil || st.s.hints.wantsPrefix(viewBytes(st.s.sanitized(st.prefix))) {
		err = jsonparser.ObjectEach(value, st.visit)
	}
	st.prefix = st.prefix[:from]
	st.depth--
	return err
}

func (st *jsonStep) push(key []byte) {
	key = bytes.TrimSpace(key)
	if len(key) == 0 {
		return
	}
	if len(st.prefix) > 0 {
		st.prefix = append(st.prefix, '_')
	}
	st.prefix = append(st.prefix, key...)
}

// unescapeJSON returns the text of a JSON string; a bad escape makes it empty, bytes that are not
// UTF-8 become blanks.
func unescapeJSON(s *labelSet, raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return validText(s, raw)
	}
	from := len(s.arena)
	s.arena = append(s.arena, raw...) // room for the result, which is never longer
	out, err := jsonparser.Unescape(raw, s.arena[from:])
	if err != nil {
		return ""
	}
	return validText(s, out)
}

// validText replaces what is not UTF-8, and U+FFFD itself, by blanks.
func validText(s *labelSet, raw []byte) string {
	if utf8.Valid(raw) && !bytes.ContainsRune(raw, utf8.RuneError) {
		return view(raw)
	}
	from := len(s.arena)
	for _, r := range view(raw) {
		if r == utf8.RuneError {
			r = ' '
		}
		s.arena = utf8.AppendRune(s.arena, r)
	}
	return view(s.arena[from:])
}

// jsonExprStep is the json parser with expressions: only the named paths become labels. It asks no filter early.
type jsonExprStep struct {
	labels []string
	paths  [][]string
	s      *labelSet
	found  int
	visit  func(i int, value []byte, t jsonparser.ValueType, err error)
}

func newJSONExprStep(exprs []Extraction) (step, error) {
	st := &jsonExprStep{}
	for _, e := range exprs {
		path, err := parsePath(e.Path)
		if err != nil {
			return nil, fmt.Errorf("cannot parse expression [%s]: %w", e.Path, err)
		}
		st.labels = append(st.labels, e.Label)
		st.paths = append(st.paths, path)
	}
	st.visit = st.field
	return st, nil
}

func (st *jsonExprStep) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	if s.satisfied() || len(line) == 0 {
		return line, true
	}
	if line[0] != '{' && line[0] != '[' && line[0] != '"' {
		s.fail(errJSON, "")
		return line, true
	}
	st.s, st.found = s, 0
	jsonparser.EachKey(line, st.visit, st.paths...)
	if st.found < len(st.labels) {
		for _, name := range st.labels {
			if _, _, ok := s.get(name); !ok {
				s.set(fromParser, name, "")
			}
		}
	}
	return line, true
}

func (st *jsonExprStep) field(i int, value []byte, t jsonparser.ValueType, err error) {
	if err != nil {
		st.s.fail(errJSON, err.Error())
		return
	}
	text := ""
	switch t {
	case jsonparser.Null:
	case jsonparser.Object:
		text = view(value)
	default:
		text = unescapeJSON(st.s, value)
	}
	st.found++
	st.s.set(fromParser, st.s.parsedName(st.labels[i]), text)
}

// unpackStep is the unpack parser: string fields of the object become labels, _entry the line.
type unpackStep struct {
	s     *labelSet
	entry []byte
	found bool
	drop  bool
	visit func(key, value []byte, t jsonparser.ValueType, offset int) error
	names []string
	texts []string
}

func newUnpackStep() *unpackStep {
	st := &unpackStep{}
	st.visit = st.field
	return st
}

const packedEntry = "_entry"

func (st *unpackStep) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	if len(line) == 0 || s.satisfied() {
		return line, true
	}
	if line[0] != '{' {
		s.fail(errJSON, "expecting json object(6), but it is not")
		return line, true
	}
	st.s, st.found, st.drop = s, false, false
	st.names, st.texts = st.names[:0], st.texts[:0]
	if err := jsonparser.ObjectEach(line, st.visit); err != nil {
		s.fail(errJSON, err.Error())
		return line, true
	}
	if !st.found {
		return line, true
	}
	for i, name := range st.names {
		if s.parsed(name, st.texts[i]) == parseDrop {
			return line, false
		}
	}
	return st.entry, true
}

func (st *unpackStep) field(key, value []byte, t jsonparser.ValueType, _ int) error {
	if t != jsonparser.String {
		return nil
	}
	text := unescapeJSON(st.s, value)
	if string(key) == packedEntry {
		st.entry, st.found = viewBytes(text), true
		return nil
	}
	name := st.s.parsedName(st.s.sanitized(key))
	if name != "" && st.s.hints.wants(name) && !st.s.alreadyParsed(name) {
		st.names, st.texts = append(st.names, name), append(st.texts, text)
	}
	return nil
}
