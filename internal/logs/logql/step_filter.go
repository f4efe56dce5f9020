package logql

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/prometheus/model/labels"
)

// newLabelPredicate compiles a label filter.
func newLabelPredicate(f LabelFilter) (labelPredicate, error) {
	switch f := f.(type) {
	case *StringFilter:
		m, err := labels.NewMatcher(f.Type, f.Name, f.Value)
		return &stringPredicate{name: f.Name, m: m}, err
	case *NumberFilter:
		return &valuePredicate[float64]{f.Label, f.Op, f.Value, parseNumber}, nil
	case *DurationFilter:
		return &valuePredicate[time.Duration]{f.Label, f.Op, f.Value, time.ParseDuration}, nil
	case *BytesFilter:
		return &valuePredicate[uint64]{f.Label, f.Op, roundBytes(f.Value), humanize.ParseBytes}, nil
	case *IPFilter:
		p, err := parseIPPattern(f.Pattern)
		return &ipPredicate{f.Label, f.Negate, p}, err
	case *BinaryFilter:
		l, err := newLabelPredicate(f.Left)
		if err != nil {
			return nil, err
		}
		r, err := newLabelPredicate(f.Right)
		return &binaryPredicate{f.Or, l, r}, err
	}
	return nil, fmt.Errorf("label filter %T is not supported yet", f)
}

// filterNames appends the labels that f reads.
func filterNames(f LabelFilter, dst []string) []string {
	switch f := f.(type) {
	case *StringFilter:
		return append(dst, f.Name)
	case *NumberFilter:
		return append(dst, f.Label)
	case *DurationFilter:
		return append(dst, f.Label)
	case *BytesFilter:
		return append(dst, f.Label)
	case *IPFilter:
		return append(dst, f.Label)
	case *BinaryFilter:
		return filterNames(f.Right, filterNames(f.Left, dst))
	}
	return dst
}

type stringPredicate struct {
	name string
	m    *labels.Matcher
}

func (p *stringPredicate) keep(s *labelSet) bool { return p.m.Matches(s.filterValue(p.name)) }

func (p *stringPredicate) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	return line, p.keep(s)
}

func parseNumber(s string) (float64, error) { return strconv.ParseFloat(s, 64) }

// valuePredicate compares a label as a number. A missing label drops the row, one that can't be converted marks
// it, unless it is marked already.
type valuePredicate[T cmp.Ordered] struct {
	label, op string
	want      T
	parse     func(string) (T, error)
}

func (p *valuePredicate[T]) keep(s *labelSet) bool {
	text, _, ok := s.get(p.label)
	if !ok {
		return false
	}
	got, err := p.parse(text)
	if err != nil {
		if s.err == "" {
			s.fail(errLabelFilter, err.Error())
		}
		return true
	}
	return holds(p.op, got, p.want)
}

func holds[T cmp.Ordered](op string, got, want T) bool {
	switch op {
	case "==":
		return got == want
	case "!=":
		return got != want
	case ">":
		return got > want
	case ">=":
		return got >= want
	case "<":
		return got < want
	}
	return got <= want
}

func (p *valuePredicate[T]) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	return line, p.keep(s)
}

// ipPredicate looks for an address in a label. A missing label drops the row; rows marked with an error pass.
type ipPredicate struct {
	label   string
	negate  bool
	pattern ipPattern
}

func (p *ipPredicate) keep(s *labelSet) bool {
	if s.err != "" {
		return true
	}
	text, _, ok := s.get(p.label)
	if !ok {
		return false
	}
	return ipTest{p.pattern}.test(viewBytes(text)) != p.negate
}

func (p *ipPredicate) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	return line, p.keep(s)
}

type binaryPredicate struct {
	or          bool
	left, right labelPredicate
}

func (p *binaryPredicate) keep(s *labelSet) bool {
	l := p.left.keep(s)
	if l && p.or {
		return true
	}
	r := p.right.keep(s)
	if p.or {
		return r
	}
	return l && r
}

func (p *binaryPredicate) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	return line, p.keep(s)
}
