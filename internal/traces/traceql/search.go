package traceql

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sort"

	"github.com/hune-io/hune/internal/traces"
)

// search finds the newest traces that match. An empty expression matches all. The source yields
// newest first, so the scan ends as soon as limit traces are found: nothing later can be newer.
func (e *Engine) search(ctx context.Context, tenant string, q *traces.Query, src traces.Source) (*traces.Result, error) {
	p, err := parseProgram(orEverything(q.Expr))
	if err != nil {
		return nil, err
	}
	limit, spss := searchLimits(q)
	result := &traces.Result{}
	answer := shownOf(p.query)
	env := &spanEnv{}
	extracts := extractDescriber{answer: answer, env: env}
	if f := newSearchGroups(p, answer, spss); f != nil {
		p.need.groups = f
	}
	p.need.whole = q.Whole
	err = e.scan(ctx, tenant, src, p.need, q.Start, q.End, &result.Inspected, func(v *traceView) (bool, error) {
		if startsBefore(q, v.start) {
			return true, nil
		}
		if v.trace.Extract != nil {
			if n := len(result.Found); n == cap(result.Found) {
				result.Found = slices.Grow(result.Found, max(n, 32)) // doubled: append would copy large answers five times
			}
			result.Found = append(result.Found, extracts.describe(v))
			return len(result.Found) < limit, nil
		}
		sets, err := p.run(env, v)
		if err != nil {
			return false, evalError(err)
		}
		if len(sets) > 0 {
			result.Found = append(result.Found, describe(v, sets, answer, env, spss))
		}
		return len(result.Found) < limit, nil
	})
	if err != nil {
		return nil, err
	}
	SortFound(result.Found)
	return result, nil
}

// searchLimits returns how many traces a search finds, and how many spans of each set it shows.
func searchLimits(q *traces.Query) (limit, spss int) {
	limit, spss = q.Limit, q.SpansPerSpanSet
	if limit <= 0 {
		limit = DefaultLimit
	}
	if spss <= 0 {
		spss = DefaultSpans
	}
	return limit, spss
}

// SortFound puts traces newest first; traces of one start are in order of their IDs, so that an
// answer is the same however its parts arrived.
func SortFound(found []traces.FoundTrace) {
	newest := func(a, b *traces.FoundTrace) int {
		return cmp.Or(cmp.Compare(b.Start, a.Start), bytes.Compare(a.ID[:], b.ID[:]))
	}
	for i := 1; i < len(found); i++ {
		if newest(&found[i-1], &found[i]) > 0 { // mostly they come in order
			slices.SortFunc(found, func(a, b traces.FoundTrace) int { return newest(&a, &b) })
			return
		}
	}
}

// foundTrace describes a trace but for its services and spans.
func foundTrace(v *traceView) traces.FoundTrace {
	f := traces.FoundTrace{
		ID: v.trace.ID, Start: v.start, Duration: v.duration(),
		RootServiceName: v.rootService, RootTraceName: v.rootName,
	}
	if f.RootServiceName == "" {
		f.RootServiceName = RootNotReceived
	}
	return f
}

func describe(v *traceView, sets []spanSet, answer *shown, env *spanEnv, spss int) traces.FoundTrace {
	f := foundTrace(v)
	f.Services = serviceStats(v)
	f.SpanSets = make([]traces.SpanSet, len(sets))
	for i, set := range sets {
		out := &f.SpanSets[i]
		out.Matched, out.Attributes = uint32(len(set.spans)), set.attrs
		out.Spans = firstSpans(v, set.spans, answer, env, spss)
	}
	return f
}

// serviceStats counts the spans of a trace by service.
func serviceStats(v *traceView) []traces.ServiceStats {
	var out []traces.ServiceStats
	at := make(map[string]int)
	for _, s := range v.spans {
		name := serviceName(s)
		i, ok := at[name]
		if !ok {
			i = len(out)
			at[name] = i
			out = append(out, traces.ServiceStats{Service: name})
		}
		out[i].Spans++
		if s.Status == traces.StatusError {
			out[i].Errors++
		}
	}
	slices.SortFunc(out, func(a, b traces.ServiceStats) int { return cmp.Compare(a.Service, b.Service) })
	return out
}

// firstSpans describes the n earliest spans of a set.
func firstSpans(v *traceView, set []int, answer *shown, env *spanEnv, n int) []traces.FoundSpan {
	order := append([]int(nil), set...)
	sort.SliceStable(order, func(i, j int) bool { return v.spans[order[i]].Start < v.spans[order[j]].Start })
	if len(order) > n {
		order = order[:n]
	}
	out := make([]traces.FoundSpan, len(order))
	for k, i := range order {
		env.set(v, i)
		out[k] = answer.found(env)
	}
	return out
}
