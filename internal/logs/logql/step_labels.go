package logql

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/model/labels"
)

// dropKeepStep removes labels.
type dropKeepStep struct {
	keep     bool
	names    []string
	matchers []*labels.Matcher // by name; nil takes any value
}

func compileDropKeep(st *DropKeep) (step, error) {
	c := &dropKeepStep{keep: st.Keep}
	for _, n := range st.Names {
		var m *labels.Matcher
		if n.HasValue {
			var err error
			if m, err = labels.NewMatcher(n.Type, n.Name, n.Value); err != nil {
				return nil, err
			}
		}
		c.names, c.matchers = append(c.names, n.Name), append(c.matchers, m)
	}
	return c, nil
}

func (st *dropKeepStep) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	if st.keep {
		st.keepOnly(s)
	} else {
		st.drop(s)
	}
	return line, true
}

func (st *dropKeepStep) drop(s *labelSet) {
	for i, name := range st.names {
		m := st.matchers[i]
		switch name {
		case errorLabel:
			if m == nil || m.Matches(s.err) {
				s.err = ""
			}
		case errorDetailsLabel:
			if m == nil || m.Matches(s.details) {
				s.details = ""
			}
		default:
			if v, _, ok := s.get(name); ok && (m == nil || m.Matches(v)) {
				s.del(name)
			}
		}
	}
}

// keepOnly removes all labels but those named. The error stays.
func (st *dropKeepStep) keepOnly(s *labelSet) {
	for _, l := range s.base.list {
		if v, _, ok := s.get(l.Name); ok && !st.keeps(l.Name, v) {
			s.del(l.Name)
		}
	}
	for i := range s.changes {
		if c := &s.changes[i]; !c.deleted && !st.keeps(c.name, c.value) {
			c.deleted = true
		}
	}
}

func (st *dropKeepStep) keeps(name, value string) bool {
	for i, n := range st.names {
		if n == name && (st.matchers[i] == nil || st.matchers[i].Matches(value)) {
			return true
		}
	}
	return false
}

// ansiSequence matches an escape sequence of a terminal: what begins with ESC, or its form in one character, and
// either ends with the bell or is a control code, as of colours. The sequences are those that the ansi-regex family of
// packages (MIT) knows, which Loki follows.
var ansiSequence = regexp.MustCompile(`[\x{1b}\x{9b}][\[\]()#;?]*` +
	`(?:(?:[0-9A-Za-z]*(?:;[0-9A-Za-z]*)*)?\x07|(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-ntqry=><~])`)

// decolorizeStep removes escape sequences from lines.
type decolorizeStep struct{}

func (decolorizeStep) process(_ int64, line []byte, _ *labelSet) ([]byte, bool) {
	if bytes.IndexByte(line, 0x1b) < 0 && !bytes.ContainsRune(line, 0x9b) {
		return line, true // Fast path: nothing to remove.
	}
	return ansiSequence.ReplaceAll(line, nil), true
}

// maxDistinct bounds the memory of distinct; rows beyond it are compared with a full table and
// dropped only if they are in it.
const maxDistinct = 1 << 20

type distinctStep struct {
	names []string
	seen  map[string]struct{}
	key   []byte
}

func (st *distinctStep) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	st.key = st.key[:0]
	for _, n := range st.names {
		v, _, ok := s.get(n)
		if !ok {
			return line, true
		}
		st.key = appendText(st.key, v)
	}
	if _, dup := st.seen[string(st.key)]; dup {
		return line, false
	}
	if len(st.seen) < maxDistinct {
		st.seen[string(st.key)] = struct{}{}
	}
	return line, true
}

// labelFormatStep sets and renames labels, one after the other.
type labelFormatStep struct {
	formats []labelFormat
	data    map[string]string // labels for templates; nil with fewer than two
}

type labelFormat struct {
	dst, src string
	t        *lineTemplate // nil: rename
}

func (p *pipeline) compileLabelFormat(st *LabelFormat) (step, error) {
	c := &labelFormatStep{}
	var seen []string
	templates := 0
	for _, f := range st.Formats {
		if f.Dst == errorLabel {
			return nil, fmt.Errorf("%s cannot be formatted", f.Dst)
		}
		if slices.Contains(seen, f.Dst) {
			return nil, fmt.Errorf("multiple label name '%s' not allowed in a single format operation", f.Dst)
		}
		seen = append(seen, f.Dst)
		lf := labelFormat{dst: f.Dst, src: f.Value}
		if f.Rename {
			p.needed = append(p.needed, f.Value)
		} else {
			t, err := compileTemplate("label", f.Value)
			if err != nil {
				return nil, fmt.Errorf("invalid template for label '%s': %w", f.Dst, err)
			}
			lf.t = t
			templates++
			p.needed = append(p.needed, t.fields...)
		}
		c.formats = append(c.formats, lf)
	}
	if templates > 1 {
		c.data = map[string]string{}
	}
	return c, nil
}

func (st *labelFormatStep) process(ts int64, line []byte, s *labelSet) ([]byte, bool) {
	filled := false
	for i := range st.formats {
		f := &st.formats[i]
		if f.t == nil {
			if v, from, ok := s.get(f.src); ok {
				s.set(from, f.dst, v)
				s.del(f.src)
			}
			continue
		}
		// All templates of a stage see the labels as the first of them does.
		var out []byte
		var err error
		if st.data == nil {
			out, err = f.t.execute(ts, line, s)
		} else {
			if !filled {
				fillTemplateData(st.data, s)
				filled = true
			}
			out, err = f.t.executeData(ts, line, st.data)
		}
		if err != nil {
			s.fail(errTemplate, err.Error())
			continue
		}
		s.set(fromParser, f.dst, s.keep(out))
	}
	return line, true
}

// lineFormatStep replaces the line.
type lineFormatStep struct {
	t *lineTemplate
}

func (st *lineFormatStep) process(ts int64, line []byte, s *labelSet) ([]byte, bool) {
	out, err := st.t.execute(ts, line, s)
	if err != nil {
		s.fail(errTemplate, err.Error())
		return line, true
	}
	return out, true
}
