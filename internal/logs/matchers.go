package logs

import (
	"bytes"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/column"
	"github.com/hune-io/hune/internal/fault"
)

// matcherSet is compiled matchers; a stream belongs to it if all of them match.
type matcherSet []*labels.Matcher

func compileMatchers(ms []Matcher) (matcherSet, error) {
	set := make(matcherSet, len(ms))
	for i, m := range ms {
		compiled, err := labels.NewMatcher(m.Type, m.Name, m.Value)
		if err != nil {
			return nil, fault.Invalidf("matcher %s%s%q: %w", m.Name, m.Type, m.Value, err)
		}
		set[i] = compiled
	}
	return set, nil
}

// compileMatcherSets compiles sets of which any may match. No set at all means every stream.
func compileMatcherSets(sets [][]Matcher) ([]matcherSet, error) {
	if len(sets) == 0 {
		return []matcherSet{nil}, nil
	}
	out := make([]matcherSet, len(sets))
	for i, ms := range sets {
		set, err := compileMatchers(ms)
		if err != nil {
			return nil, err
		}
		out[i] = set
	}
	return out, nil
}

// matches reports whether ls satisfies all matchers. A label that ls lacks has the value "".
func (set matcherSet) matches(ls labels.Labels) bool {
	for _, m := range set {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// matchesValue reports whether a value satisfies all matchers, whatever their names.
func (set matcherSet) matchesValue(v string) bool {
	for _, m := range set {
		if !m.Matches(v) {
			return false
		}
	}
	return true
}

// lineFilter is a compiled LineFilter.
type lineFilter struct {
	negate  bool
	needles [][]byte
	regexps []*column.Regexp
}

func compileFilters(filters []LineFilter) ([]lineFilter, error) {
	out := make([]lineFilter, len(filters))
	for i, f := range filters {
		out[i].negate = f.Negate
		for _, m := range f.Match {
			if !f.Regexp {
				out[i].needles = append(out[i].needles, []byte(m))
				continue
			}
			re, err := column.CompileRegexp(m)
			if err != nil {
				return nil, fault.Invalidf("line filter %q: %w", m, err)
			}
			out[i].regexps = append(out[i].regexps, re)
		}
	}
	return out, nil
}

func (f *lineFilter) passes(line []byte) bool { return f.hit(line) != f.negate }

func (f *lineFilter) hit(line []byte) bool {
	for _, n := range f.needles {
		if bytes.Contains(line, n) {
			return true
		}
	}
	for _, re := range f.regexps {
		if re.Match(line) {
			return true
		}
	}
	return false
}

// needle returns the one substring that every line must have, or nil if the filter isn't of that
// kind.
func (f *lineFilter) needle() []byte {
	if f.negate || len(f.regexps) > 0 || len(f.needles) != 1 || len(f.needles[0]) == 0 {
		return nil
	}
	return f.needles[0]
}

// among returns those of the rows in set whose lines pass.
func (f *lineFilter) among(r *column.Reader, lines *column.Column, set column.Set) column.Set {
	hit := column.None
	for _, n := range f.needles {
		hit = hit.Or(r.Match(lines, column.Contains, n))
	}
	for _, re := range f.regexps {
		if rest := set.And(hit.Not()); !rest.IsNone() {
			hit = hit.Or(r.MatchRegexp(lines, rest, re))
		}
	}
	if f.negate {
		hit = hit.Not()
	}
	return set.And(hit)
}
