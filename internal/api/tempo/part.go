package tempo

import (
	"net/url"
	"strconv"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/analysis"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// partOf reduces a trace to what the parameters q, keep_hierarchy, ancestor_depth and match_depth of
// version 2 ask for. It reports whether anything was left out.
func partOf(v url.Values, t *traces.Trace) (*traces.Trace, bool, error) {
	q := v.Get("q")
	if q == "" || t == nil {
		return t, false, nil
	}
	around, err := aroundOf(v)
	if err != nil {
		return nil, false, err
	}
	spans, err := traceql.MatchSpans(q, t)
	if err != nil {
		return nil, false, prefixed("invalid TraceQL query: ", err)
	}
	part := analysis.Part(t, spans, around)
	return part, len(part.Spans) < len(t.Spans), nil
}

func aroundOf(v url.Values) (a analysis.Around, err error) {
	if a.Descendants, err = depth(v, "match_depth", 0); err != nil {
		return a, err
	}
	keep := false
	if s := v.Get("keep_hierarchy"); s != "" {
		if keep, err = strconv.ParseBool(s); err != nil {
			return a, fault.Invalidf("invalid keep_hierarchy: %w", err)
		}
	}
	if keep {
		a.Ancestors, err = depth(v, "ancestor_depth", -1)
	}
	return a, err
}

// depth reads a number of levels, -1 for all.
func depth(v url.Values, name string, missing int) (int, error) {
	s := v.Get(name)
	if s == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fault.Invalidf("invalid %s: %w", name, err)
	}
	if n < -1 {
		return 0, fault.Invalidf("invalid %s: must be -1 or more", name)
	}
	return n, nil
}

// appendAnalysis appends what hune_analysis=true asks for: the critical path of the whole trace and
// where each service spent its time.
func appendAnalysis(b []byte, t *traces.Trace) []byte {
	o := open(b)
	o.field("criticalPath")
	o.b = append(o.b, '[')
	for i, s := range analysis.CriticalPath(t) {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		seg := open(o.b)
		seg.text("spanID", s.Span.ID.String())
		seg.text("service", analysis.Service(s.Span))
		seg.text("name", s.Span.Name)
		seg.long("startTimeUnixNano", s.Start)
		seg.long("durationNanos", s.End-s.Start)
		o.b = seg.close()
	}
	o.b = append(o.b, ']')
	o.field("services")
	o.b = append(o.b, '[')
	for i, st := range analysis.ServiceTimes(t) {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		s := open(o.b)
		s.field("service")
		s.b = appendString(s.b, st.Service)
		s.number("spanCount", uint64(st.Spans))
		s.number("errorCount", uint64(st.Errors))
		s.long("selfTimeNanos", st.Self)
		s.long("criticalPathNanos", st.Critical)
		o.b = s.close()
	}
	o.b = append(o.b, ']')
	return o.close()
}
