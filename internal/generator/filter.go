package generator

import (
	"errors"
	"fmt"
	"strings"

	"github.com/grafana/regexp"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
)

// filter says which spans count.
type filter struct {
	include, any, exclude []policy
}

// policy is met by spans that have all its attributes.
type policy []test

type test struct {
	what  int    // one of the intrinsics below, or onResource, onSpan
	key   int    // of the attribute
	text  string // wanted, unless there is a pattern
	match *regexp.Regexp
}

const (
	ofName = iota
	ofKind
	ofStatus
	onResource
	onSpan
)

// CheckPolicies reports every fault of a tenant's filter policies, with its path below limits.
func CheckPolicies(l *limits.Limits) error {
	var errs []error
	for _, list := range []struct {
		path     string
		policies []limits.FilterPolicy
	}{
		{"span_metrics", l.Traces.Generator.SpanMetrics.FilterPolicies},
		{"service_graphs", l.Traces.Generator.ServiceGraphs.FilterPolicies},
	} {
		for i, p := range list.policies {
			at := fmt.Sprintf("traces.generator.%s.filter_policies.%d.", list.path, i)
			for _, m := range []struct {
				name  string
				match limits.PolicyMatch
			}{{"include", p.Include}, {"include_any", p.IncludeAny}, {"exclude", p.Exclude}} {
				if _, err := (&settings{}).policy(m.match); err != nil {
					errs = append(errs, fmt.Errorf("%s%s: %w", at, m.name, err))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// filter compiles policies that CheckPolicies has passed; a faulty one is left out.
func (s *settings) filter(policies []limits.FilterPolicy) (f filter) {
	add := func(to *[]policy, m limits.PolicyMatch) {
		if p, err := s.policy(m); err == nil && len(p) > 0 {
			*to = append(*to, p)
		}
	}
	for _, p := range policies {
		add(&f.include, p.Include)
		add(&f.any, p.IncludeAny)
		add(&f.exclude, p.Exclude)
	}
	return f
}

func (s *settings) policy(m limits.PolicyMatch) (policy, error) {
	if len(m.Attributes) == 0 && m.MatchType == "" {
		return nil, nil
	}
	if m.MatchType != "strict" && m.MatchType != "regex" {
		return nil, fmt.Errorf("match_type: %q is not one of strict, regex", m.MatchType)
	}
	if len(m.Attributes) == 0 {
		return nil, errors.New("attributes: are missing")
	}
	p := make(policy, 0, len(m.Attributes))
	for i, a := range m.Attributes {
		t := test{text: fmt.Sprint(a.Value)}
		if m.MatchType == "regex" {
			var err error
			if t.match, err = regexp.Compile("^(?:" + t.text + ")$"); err != nil {
				return nil, fmt.Errorf("attributes.%d.value: %w", i, err)
			}
		}
		scope, name, scoped := strings.Cut(a.Key, ".")
		switch {
		case a.Key == "name":
			t.what = ofName
		case a.Key == "kind":
			t.what = ofKind
		case a.Key == "status":
			t.what = ofStatus
		case scoped && scope == "resource":
			t.what, t.key = onResource, s.key(name)
		case scoped && scope == "span":
			t.what, t.key = onSpan, s.key(name)
		default:
			return nil, fmt.Errorf("attributes.%d.key: %q is not name, kind, status, resource.ATTRIBUTE or span.ATTRIBUTE", i, a.Key)
		}
		p = append(p, t)
	}
	return p, nil
}

// empty reports whether every span passes.
func (f *filter) empty() bool { return f.include == nil && f.any == nil && f.exclude == nil }

// passes reports whether a span counts.
func (f *filter) passes(s *traces.SpanView, resource, span []traces.RawValue) bool {
	if f.empty() {
		return true // Fast path: no policies.
	}
	for _, p := range f.exclude {
		if p.met(s, resource, span) {
			return false
		}
	}
	for _, p := range f.include {
		if !p.met(s, resource, span) {
			return false
		}
	}
	if len(f.any) == 0 || len(f.include) > 0 {
		return true
	}
	for _, p := range f.any {
		if p.met(s, resource, span) {
			return true
		}
	}
	return false
}

func (p policy) met(s *traces.SpanView, resource, span []traces.RawValue) bool {
	for i := range p {
		if !p[i].met(s, resource, span) {
			return false
		}
	}
	return true
}

func (t *test) met(s *traces.SpanView, resource, span []traces.RawValue) bool {
	var value string
	switch t.what {
	case ofName:
		value = s.Name
	case ofKind:
		value = kindNames[s.Kind]
	case ofStatus:
		value = statusNames[s.Status]
	default:
		raw := resource[t.key]
		if t.what == onSpan {
			raw = span[t.key]
		}
		a, ok := raw.Scalar()
		if !ok {
			return false
		}
		value = textOf(&a)
	}
	if t.match != nil {
		return t.match.MatchString(value)
	}
	return value == t.text
}
