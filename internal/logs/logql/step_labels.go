package logql

import (
	"bytes"
	"fmt"
	"slices"

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

// decolorizeStep removes ANSI escape sequences from lines.
type decolorizeStep struct{ buf []byte }

func (st *decolorizeStep) process(_ int64, line []byte, _ *labelSet) ([]byte, bool) {
	if bytes.IndexByte(line, 0x1b) < 0 {
		return line, true
	}
	out := st.buf[:0]
	for i := 0; i < len(line); {
		if n := escapeLen(line[i:]); n > 0 {
			i += n
			continue
		}
		out = append(out, line[i])
		i++
	}
	st.buf = out
	return out, true
}

// escapeLen returns the length of the control sequence ESC [ … letter that b starts with, or 0.
func escapeLen(b []byte) int {
	if len(b) < 3 || b[0] != 0x1b || b[1] != '[' {
		return 0
	}
	for i := 2; i < len(b); i++ {
		c := b[i]
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
			return i + 1
		case !isDigit(c) && c != ';' && c != '?':
			return 0
		}
	}
	return 0
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
