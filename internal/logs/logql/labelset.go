package logql

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// Names with a meaning of their own.
const (
	errorLabel        = "__error__"
	errorDetailsLabel = "__error_details__"
	variantLabel      = "__variant__"
	extractedSuffix   = "_extracted"
)

// Error values of the __error__ label.
const (
	errJSON             = "JSONParserErr"
	errLogfmt           = "LogfmtParserErr"
	errTemplate         = "TemplateFormatErr"
	errLabelFilter      = "LabelFilterErr"
	errSampleExtraction = "SampleExtractionErr"
)

// category says where a label came from.
type category uint8

const (
	fromStream category = iota
	fromMetadata
	fromParser
)

// stream is a stream's labels, decoded once per stream rather than once per row.
type stream struct {
	id     uint32
	labels labels.Labels
	list   []logs.Label // sorted by name
}

func newStream(id uint32, ls labels.Labels) *stream {
	s := &stream{id: id, labels: ls, list: make([]logs.Label, 0, ls.Len())}
	ls.Range(func(l labels.Label) { s.list = append(s.list, logs.Label{Name: l.Name, Value: l.Value}) })
	return s
}

func (s *stream) find(name string) (string, bool) {
	for i := range s.list {
		if s.list[i].Name == name {
			return s.list[i].Value, true
		}
	}
	return "", false
}

// change is a label that differs from the stream's.
type change struct {
	name, value string
	from        category
	deleted     bool
	extracted   bool // a parser set it: later parsers leave it alone
}

// labelSet is the labels of the row at hand: the stream's, and what metadata, parsers and formats
// changed. One is reused for all rows of a query. Names are interned and live as long as it does,
// values are valid until the next row.
type labelSet struct {
	base    *stream
	changes []change
	err     string
	details string
	hints   *hints

	arena    []byte            // unescaped and formatted values of this row
	names    map[string]string // sanitised names by raw name
	suffixed map[string]string // name -> name_extracted
	scratch  labels.ScratchBuilder
	sorted   []logs.Label
	found    int // required labels that parsers found in this row
}

func newLabelSet(h *hints) *labelSet {
	return &labelSet{hints: h, names: map[string]string{}, suffixed: map[string]string{}, scratch: labels.NewScratchBuilder(16)}
}

// reset starts a row.
func (s *labelSet) reset(base *stream, md []logs.Label) {
	s.base = base
	s.changes = s.changes[:0]
	s.err, s.details = "", ""
	s.arena = s.arena[:0]
	s.found = 0
	for _, l := range md {
		name := l.Name
		if _, clash := base.find(name); clash {
			name = s.extractedName(name)
		}
		s.changes = append(s.changes, change{name: name, value: l.Value, from: fromMetadata})
	}
}

// maxInterned bounds the name tables: keys may come from hostile lines.
const maxInterned = 20000

func (s *labelSet) extractedName(name string) string {
	if n, ok := s.suffixed[name]; ok {
		return n
	}
	if len(s.suffixed) >= maxInterned {
		clear(s.suffixed)
	}
	name = strings.Clone(name)
	n := name + extractedSuffix
	s.suffixed[name] = n
	return n
}

// sanitized returns a label name for a raw key of a line: blanks around it cut, a digit in front
// escaped, everything but [A-Za-z0-9_] replaced. It may be empty.
func (s *labelSet) sanitized(raw []byte) string {
	if n, ok := s.names[string(raw)]; ok {
		return n
	}
	if len(s.names) >= maxInterned {
		clear(s.names)
	}
	n := sanitizeKey(string(raw))
	s.names[string(raw)] = n
	return n
}

func sanitizeKey(key string) string {
	key = strings.TrimSpace(key)
	if key == "" {
		return ""
	}
	var b strings.Builder
	if isDigit(key[0]) {
		b.WriteByte('_')
	}
	for _, r := range key {
		if r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			b.WriteRune(r)
		} else {
			b.WriteByte('_')
		}
	}
	return b.String()
}

func (s *labelSet) index(name string) int {
	for i := range s.changes {
		if s.changes[i].name == name {
			return i
		}
	}
	return -1
}

// get returns the value of a label and where it is from.
func (s *labelSet) get(name string) (string, category, bool) {
	if i := s.index(name); i >= 0 {
		c := &s.changes[i]
		if c.deleted {
			return "", c.from, false
		}
		return c.value, c.from, true
	}
	v, ok := s.base.find(name)
	return v, fromStream, ok
}

// filterValue is the value that string filters see.
func (s *labelSet) filterValue(name string) string {
	switch name {
	case errorLabel:
		return s.err
	case errorDetailsLabel:
		return ""
	}
	v, _, _ := s.get(name)
	return v
}

// set sets a label. One that is set as if a parser had found it is left alone by the parsers behind.
func (s *labelSet) set(from category, name, value string) {
	i := s.index(name)
	if i < 0 {
		s.changes = append(s.changes, change{name: name})
		i = len(s.changes) - 1
	}
	c := &s.changes[i]
	if from == fromParser {
		s.extract(c)
	}
	c.value, c.from, c.deleted = value, from, false
}

// extract marks c as found by a parser, and counts it if it is one of those required.
func (s *labelSet) extract(c *change) {
	if c.extracted {
		return
	}
	c.extracted = true
	if s.hints.required != nil && s.hints.wants(c.name) {
		s.found++
	}
}

// satisfied reports whether no further label is needed, so that a parser need not run.
func (s *labelSet) satisfied() bool {
	return s.hints.none || s.hints.required != nil && s.found >= len(s.hints.required)
}

func (s *labelSet) del(name string) {
	if i := s.index(name); i >= 0 {
		s.changes[i].deleted = true
	} else if _, ok := s.base.find(name); ok {
		s.changes = append(s.changes, change{name: name, deleted: true})
	}
}

// parsedName returns the name under which a parser's label goes: a stream label or metadata of that
// name keeps it.
func (s *labelSet) parsedName(name string) string {
	if _, clash := s.base.find(name); clash {
		return s.extractedName(name)
	}
	for i := range s.changes {
		if c := &s.changes[i]; c.from == fromMetadata && c.name == name {
			return s.extractedName(name)
		}
	}
	return name
}

// parsed sets a label that a parser found. It reports whether parsing should go on: not when a
// filter on this label refuses the line (drop), nor when all that is needed was found (done).
func (s *labelSet) parsed(name, value string) (verdict parseVerdict) {
	i := s.index(name)
	if i < 0 {
		s.changes = append(s.changes, change{name: name})
		i = len(s.changes) - 1
	}
	c := &s.changes[i]
	s.extract(c)
	*c = change{name: name, value: value, from: fromParser, extracted: true}
	if !s.hints.accepts(name, s) {
		return parseDrop
	}
	if s.satisfied() {
		return parseDone
	}
	return parseOn
}

// alreadyParsed reports whether a parser set name in this row.
func (s *labelSet) alreadyParsed(name string) bool {
	i := s.index(name)
	return i >= 0 && s.changes[i].extracted
}

type parseVerdict uint8

const (
	parseOn parseVerdict = iota
	parseDone
	parseDrop
)

func (s *labelSet) fail(err, details string) {
	s.err, s.details = err, details
}

// keep copies b into memory of the row and returns it as a string.
func (s *labelSet) keep(b []byte) string {
	from := len(s.arena)
	s.arena = append(s.arena, b...)
	return view(s.arena[from:])
}

// appendKey encodes what makes this row's labels: equal keys have equal final labels and categories.
func (s *labelSet) appendKey(dst []byte) []byte {
	dst = append(dst, byte(s.base.id), byte(s.base.id>>8), byte(s.base.id>>16), byte(s.base.id>>24))
	for i := range s.changes {
		c := &s.changes[i]
		kind := byte(c.from)
		if c.deleted {
			kind = 0xfe
		}
		dst = append(dst, kind)
		dst = appendText(dst, c.name)
		dst = appendText(dst, c.value)
	}
	if s.err != "" {
		dst = appendText(append(dst, 0xff), s.err)
	}
	if s.details != "" {
		dst = appendText(append(dst, 0xfd), s.details)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	n := len(s)
	dst = append(dst, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	return append(dst, s...)
}

// final returns the row's labels sorted by name. It is valid until the next call.
func (s *labelSet) final() []logs.Label {
	out := s.sorted[:0]
	for _, l := range s.base.list {
		if s.index(l.Name) < 0 {
			out = append(out, l)
		}
	}
	for i := range s.changes {
		if c := &s.changes[i]; !c.deleted && (s.err == "" || c.name != errorLabel) {
			out = append(out, logs.Label{Name: c.name, Value: c.value})
		}
	}
	if s.err != "" {
		out = append(out, logs.Label{Name: errorLabel, Value: s.err})
	}
	if s.details != "" {
		out = append(out, logs.Label{Name: errorDetailsLabel, Value: s.details})
	}
	slices.SortFunc(out, func(a, b logs.Label) int { return strings.Compare(a.Name, b.Name) })
	s.sorted = out
	return out
}

// makeLabels copies ls.
func (s *labelSet) makeLabels(ls []logs.Label) labels.Labels {
	s.scratch.Reset()
	for _, l := range ls {
		s.scratch.Add(strings.Clone(l.Name), strings.Clone(l.Value))
	}
	return s.scratch.Labels()
}

// snapshot returns copies of the row's metadata and parsed labels, sorted by name.
func (s *labelSet) snapshot() (metadata, parsed []logs.Label) {
	for i := range s.changes {
		c := &s.changes[i]
		if c.deleted {
			continue
		}
		l := logs.Label{Name: strings.Clone(c.name), Value: strings.Clone(c.value)}
		switch c.from {
		case fromMetadata:
			metadata = append(metadata, l)
		case fromParser:
			parsed = append(parsed, l)
		}
	}
	if s.err != "" {
		parsed = append(parsed, logs.Label{Name: errorLabel, Value: s.err})
	}
	if s.details != "" {
		parsed = append(parsed, logs.Label{Name: errorDetailsLabel, Value: strings.Clone(s.details)})
	}
	byName := func(a, b logs.Label) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(metadata, byName)
	slices.SortFunc(parsed, byName)
	return metadata, parsed
}
