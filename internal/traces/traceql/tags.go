package traceql

import (
	"context"
	"errors"
	"sort"
	"strings"

	"github.com/hune-io/hune/internal/traces"
)

// IntrinsicTags are the intrinsics that tag lists name.
var IntrinsicTags = []string{
	"duration", "event:name", "event:timeSinceStart", "instrumentation:name", "instrumentation:version", "kind",
	"link:spanID", "link:traceID", "name", "rootName", "rootServiceName", "span:duration", "span:id", "span:kind",
	"span:name", "span:parentID", "span:status", "span:statusMessage", "status", "statusMessage", "trace:duration",
	"trace:id", "trace:rootName", "trace:rootService", "traceDuration",
}

// tagScopes are the scopes of stored attributes.
var tagScopes = []Scope{ScopeEvent, ScopeInstrumentation, ScopeLink, ScopeResource, ScopeSpan}

// LenientFilter makes a filter from what a user has typed so far. A single span set filter is taken
// as it is; of an unfinished one the complete conditions count, joined by &&; anything else filters
// nothing and gives an empty text.
func LenientFilter(text string) string {
	if strings.TrimSpace(text) == "" {
		return ""
	}
	q, err := Parse(text)
	if err == nil {
		if len(q.Pipeline) == 1 && q.Metrics == nil {
			if f, ok := q.Pipeline[0].(*Filter); ok && f.Expr != nil {
				return f.String()
			}
		}
		return ""
	}
	var se *SyntaxError
	if !errors.As(err, &se) {
		return ""
	}
	var kept []string
	for _, p := range completeConditions(text) {
		c := text[p.start:p.end]
		if _, err := Parse("{ " + c + " }"); err == nil {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		return ""
	}
	return "{ " + strings.Join(kept, " && ") + " }"
}

// part is a piece of a text, without the space around it.
type part struct{ start, end int }

// completeConditions returns the parts between && of an unfinished filter. They are only trusted if
// they stand in one pair of braces and no || is among them.
func completeConditions(text string) []part {
	l := newLexer(text)
	t, err := l.next()
	if err != nil || !t.isOp("{") {
		return nil
	}
	var out []part
	start := l.off
	for {
		at := l.off
		t, err := l.next()
		end := err != nil || t.kind == tokEOF || t.isOp("}")
		if end || t.isOp("&&") {
			if trimmed := strings.TrimSpace(text[start:at]); trimmed != "" {
				start += strings.Index(text[start:at], trimmed)
				out = append(out, part{start, start + len(trimmed)})
			}
			start = l.off
		}
		switch {
		case err == nil && (t.isOp("||") || t.isOp("{")):
			return nil
		case err == nil && t.isOp("}"):
			if rest, err := l.next(); err != nil || rest.kind != tokEOF {
				return nil
			}
			return out
		case end:
			return out
		}
	}
}

// tags lists attribute keys by scope. Without a filter the source knows; with one, the keys on
// spans that match.
func (e *Engine) tags(ctx context.Context, tenant string, q *traces.Query, src traces.Source) (*traces.Result, error) {
	result := &traces.Result{Tags: map[traces.TagScope][]string{}}
	scope := q.Scope
	if scope == "" || scope == "intrinsic" {
		result.Tags["intrinsic"] = IntrinsicTags
	}
	if scope == "intrinsic" {
		return result, nil
	}
	if q.Expr == "" {
		found, err := src.Tags(ctx, tenant, scope, q.Start, q.End)
		if err != nil {
			return nil, err
		}
		for s, keys := range found {
			result.Tags[s] = keys
		}
		return result, nil
	}
	sets := map[Scope]map[string]bool{}
	for _, s := range tagScopes {
		if scope == "" || scope == s.tagScope() {
			sets[s] = map[string]bool{}
		}
	}
	err := e.eachMatch(ctx, tenant, q, src, nil, &result.Inspected, func(env *spanEnv) bool {
		for s, keys := range sets {
			collectKeys(env.span, s, keys)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for s, keys := range sets {
		if len(keys) > 0 {
			result.Tags[s.tagScope()] = sortedKeys(keys)
		}
	}
	return result, nil
}

func sortedKeys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// eachMatch calls visit for every span that q.Expr leaves, every span if it is empty, until visit
// returns false. more are the attributes that visit looks at, nil: all.
func (e *Engine) eachMatch(ctx context.Context, tenant string, q *traces.Query, src traces.Source, more []*Attribute, seen *traces.Inspected, visit func(*spanEnv) bool) error {
	p, err := parseProgram(orEverything(q.Expr))
	if err != nil {
		return err
	}
	if p.need.needs = nil; more != nil {
		p.need.needs = needsOf(p.query, more...)
	}
	p.need.whole = q.Whole
	env := &spanEnv{}
	return e.scan(ctx, tenant, src, p.need, q.Start, q.End, seen, func(v *traceView) (bool, error) {
		sets, err := p.run(env, v)
		if err != nil {
			return false, evalError(err)
		}
		for _, set := range sets {
			for _, i := range set.spans {
				env.set(v, i)
				if !visit(env) {
					return false, nil
				}
			}
		}
		return true, nil
	})
}

func collectKeys(s *traces.Span, scope Scope, keys map[string]bool) {
	add := func(attrs []traces.Attribute) {
		for i := range attrs {
			keys[attrs[i].Key] = true
		}
	}
	switch scope {
	case ScopeSpan:
		add(s.Attributes)
	case ScopeResource:
		if s.Resource != nil {
			add(s.Resource.Attributes)
		}
	case ScopeInstrumentation:
		if s.Scope != nil {
			add(s.Scope.Attributes)
		}
	case ScopeEvent:
		for i := range s.Events {
			add(s.Events[i].Attributes)
		}
	case ScopeLink:
		for i := range s.Links {
			add(s.Links[i].Attributes)
		}
	}
}
