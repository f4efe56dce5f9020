package tempo

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

const (
	maxSteps         = 10_000
	defaultExemplars = 100
	maxExemplars     = 1000
)

// badRequest has the form in which the reference reports parameters of metrics requests.
func badRequest(err error) error {
	return fault.New(fault.Invalid, fmt.Errorf("rpc error: code = Code(400) desc = %w", err))
}

// metricsTimes reads start and end, or since (default 1h) before end (default now).
func (a *API) metricsTimes(v url.Values) (timeRange, error) {
	var t timeRange
	t.end = uint64(a.opts.Now().UnixNano())
	var err error
	if s := v.Get("end"); s != "" {
		if t.end, err = parseTime("end", s); err != nil {
			return t, badRequest(err)
		}
	}
	if s := v.Get("start"); s != "" {
		if t.start, err = parseTime("start", s); err != nil {
			return t, badRequest(err)
		}
		return t, nil
	}
	since := time.Hour
	if s := v.Get("since"); s != "" {
		if since, err = parseStep(s); err != nil {
			return t, badRequest(fmt.Errorf("could not parse 'since' parameter: %w", err))
		}
	}
	if since > 0 && uint64(since) < t.end {
		t.start = t.end - uint64(since)
	}
	return t, nil
}

// metricsQuery reads what both endpoints share. Errors of the query's syntax get the prefix.
func (a *API) metricsQuery(v url.Values, kind traces.QueryKind, prefix string) (*traces.Query, error) {
	t, err := a.metricsTimes(v)
	if err != nil {
		return nil, err
	}
	q := &traces.Query{Kind: kind, Expr: param(v, "q", "query"), Start: t.start, End: t.end, Exemplars: defaultExemplars}
	if n, err := strconv.Atoi(v.Get("exemplars")); err == nil && n >= 0 {
		q.Exemplars = min(n, maxExemplars)
	}
	if kind == traces.MetricsRange {
		if q.Step, err = metricsStep(v.Get("step"), t); err != nil {
			return nil, err
		}
	} else {
		q.Exemplars = 0
	}
	parsed, err := traceql.Parse(q.Expr)
	if err != nil {
		return nil, prefixed(prefix, err)
	}
	if !parsed.IsMetrics() {
		return nil, fault.Invalidf("not a metrics query")
	}
	if err := parsed.CheckMetrics(); err != nil {
		return nil, prefixed("compiling query: ", err)
	}
	return q, a.checkMetricsRange(q)
}

// metricsStep reads the step. Without one there are about a hundred, of whole seconds.
func metricsStep(s string, t timeRange) (uint64, error) {
	if s == "" {
		if t.end <= t.start {
			return second, nil
		}
		return max((t.end-t.start)/100/second, 1) * second, nil
	}
	d, err := parseStep(s)
	if err != nil {
		return 0, badRequest(err)
	}
	if d < 0 {
		return 0, fault.Invalidf("start required") // the reference's answer to a negative step
	}
	return uint64(d), nil
}

func (a *API) checkMetricsRange(q *traces.Query) error {
	if q.End <= q.Start {
		return fault.Invalidf("end must be greater than start")
	}
	if q.End-q.Start > uint64(a.opts.MaxMetricsRange) {
		return fault.Invalidf("metrics query time range exceeds the maximum allowed duration of %s", a.opts.MaxMetricsRange)
	}
	if least := (q.End - q.Start) / maxSteps; q.Kind == traces.MetricsRange && (q.Step == 0 || q.Step < least) {
		return fault.Invalidf("step of %s is too small, minimum step for given range is %s", time.Duration(q.Step), time.Duration(least))
	}
	return nil
}

func (a *API) metricsRange(w http.ResponseWriter, r *http.Request) error {
	q, err := a.metricsQuery(r.URL.Query(), traces.MetricsRange, "")
	if err != nil {
		return err
	}
	return a.answerMetrics(w, r, q)
}

func (a *API) metricsInstant(w http.ResponseWriter, r *http.Request) error {
	q, err := a.metricsQuery(r.URL.Query(), traces.MetricsInstant, "compiling query: ")
	if err != nil {
		return err
	}
	return a.answerMetrics(w, r, q)
}

func (a *API) answerMetrics(w http.ResponseWriter, r *http.Request, q *traces.Query) error {
	if done, err := a.explain(w, r, q); done || err != nil {
		return err
	}
	res, err := a.run(r.Context(), q)
	if err != nil {
		return err
	}
	o := open(nil)
	o.field("series")
	o.b = append(o.b, '[')
	first := true
	for i := range res.Series {
		s := &res.Series[i]
		if q.Kind == traces.MetricsInstant && len(s.Samples) == 0 {
			continue
		}
		if !first {
			o.b = append(o.b, ',')
		}
		first = false
		o.b = appendSeries(o.b, s, q.Kind == traces.MetricsInstant)
	}
	o.b = append(o.b, ']')
	appendSearchMetrics(&o, &res.Inspected)
	return writeJSON(w, o.close())
}

func appendSeries(b []byte, s *traces.SampleSeries, instant bool) []byte {
	o := open(b)
	o.attributes("labels", s.Labels)
	o.text("promLabels", traceql.LabelText(s.Labels))
	if instant {
		appendNonZero(&o, s.Samples[0].V)
		return o.close()
	}
	o.field("samples")
	o.b = append(o.b, '[')
	first := true
	for _, p := range s.Samples {
		if p.Missing {
			continue
		}
		if !first {
			o.b = append(o.b, ',')
		}
		first = false
		sample := open(o.b)
		sample.long("timestampMs", uint64(p.T))
		appendNonZero(&sample, p.V)
		o.b = sample.close()
	}
	o.b = append(o.b, ']')
	appendExemplars(&o, s.Exemplars)
	return o.close()
}

func appendNonZero(o *object, v float64) {
	if v != 0 {
		o.field("value")
		o.b = appendFloat(o.b, v)
	}
}

func appendExemplars(o *object, list []traces.Exemplar) {
	if len(list) == 0 {
		return
	}
	o.field("exemplars")
	o.b = append(o.b, '[')
	for i := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		e := open(o.b)
		e.attributes("labels", list[i].Labels)
		appendNonZero(&e, list[i].V)
		e.long("timestampMs", uint64(list[i].T))
		o.b = e.close()
	}
	o.b = append(o.b, ']')
}
