package traceql

import (
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// MatchSpans returns the spans of t, in its order, that pass a filter. The text must be one filter,
// { … }; what else there is in the language asks for more than one trace's spans and is
// fault.Invalid, as errors of the text are.
func MatchSpans(text string, t *traces.Trace) ([]*traces.Span, error) {
	q, err := Parse(text)
	if err != nil {
		return nil, invalid(err)
	}
	f, ok := q.Pipeline[0].(*Filter)
	if !ok || len(q.Pipeline) > 1 || q.Metrics != nil {
		return nil, fault.Invalidf("only a single { } filter can choose spans of a trace: %s", q)
	}
	stage, err := compileStage(f, openedBy(q))
	if err != nil {
		return nil, invalid(err)
	}
	v := &traceView{}
	v.reset(t)
	env := &spanEnv{view: v}
	kept := map[*traces.Span]bool{}
	for _, set := range stage.run(env, []spanSet{{spans: v.ordinal}}) {
		for _, i := range set.spans {
			kept[v.spans[i]] = true
		}
	}
	if env.err != nil {
		return nil, evalError(env.err)
	}
	var out []*traces.Span
	for _, s := range t.Spans {
		if kept[s] {
			out = append(out, s)
		}
	}
	return out, nil
}
