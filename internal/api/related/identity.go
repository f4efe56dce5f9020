package related

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/traces"
)

// identity is the attributes that the signals know a resource by: those that become labels of streams.
type identity map[string]string

// attributeOf is the attribute of a stream's label.
var attributeOf = func() map[string]string {
	m := make(map[string]string, len(logs.DefaultResourceLabels))
	for _, name := range logs.DefaultResourceLabels {
		m[logs.SanitizeName(name)] = name
	}
	return m
}()

func identityOf(r *traces.Resource) identity {
	who := identity{}
	if r == nil {
		return who
	}
	for i := range r.Attributes {
		a := &r.Attributes[i]
		if _, known := attributeOf[logs.SanitizeName(a.Key)]; known && a.Type == traces.TypeString && a.Str != "" {
			who[a.Key] = a.Str
		}
	}
	return who
}

// identityOfStream reads the labels of a stream, {name="value", …}. Labels that are no attribute's are left out,
// as are matchers other than =.
func identityOfStream(selector string, parse func(string) ([]logs.Matcher, error)) (identity, error) {
	matchers, err := parse(selector)
	if err != nil {
		return nil, invalid("logs", err)
	}
	who := identity{}
	for _, m := range matchers {
		if name, known := attributeOf[m.Name]; known && m.Type == labels.MatchEqual && m.Value != "" {
			who[name] = m.Value
		}
	}
	return who, nil
}

func invalid(parameter string, err error) error {
	return fault.Invalidf("%s: %w", parameter, err)
}

func (w identity) names() []string { return slices.Sorted(maps.Keys(w)) }

func (w identity) key() string {
	var b strings.Builder
	for _, name := range w.names() {
		b.WriteString(strconv.Quote(name) + strconv.Quote(w[name]))
	}
	return b.String()
}

// logQL selects the streams of the resource, "" where it has no label.
func (w identity) logQL() string {
	var parts []string
	for _, name := range w.names() {
		parts = append(parts, logs.SanitizeName(name)+"="+strconv.Quote(w[name]))
	}
	if parts == nil {
		return ""
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (w identity) traceQL() string {
	var parts []string
	for _, name := range w.names() {
		parts = append(parts, "resource."+name+" = "+strconv.Quote(w[name]))
	}
	if parts == nil {
		return ""
	}
	return "{ " + strings.Join(parts, " && ") + " }"
}

func (w identity) traces(start, end time.Time) Query {
	return Query{Expr: w.traceQL(), Start: start.Add(-around), End: end.Add(around)}
}

func (w identity) resource(spans int, start, end time.Time) Resource {
	return Resource{ServiceName: w["service.name"], Attributes: w, Spans: spans, Metrics: w.metrics(start, end),
		Logs: Query{Expr: w.logQL(), Start: start.Add(-slack), End: end.Add(slack)}, Traces: w.traces(start, end)}
}

// metrics are the queries of what the resource measured itself, and of what was measured in its spans.
func (w identity) metrics(start, end time.Time) []Metric {
	out := []Metric{}
	add := func(name, expr string) {
		out = append(out, Metric{name, Query{Expr: expr, Start: start.Add(-around), End: end.Add(around)}})
	}
	service := w["service.name"]
	if service != "" {
		job := service
		if namespace := w["service.namespace"]; namespace != "" {
			job = namespace + "/" + service
		}
		selector := `{job=` + strconv.Quote(job)
		if instance := w["service.instance.id"]; instance != "" {
			selector += `, instance=` + strconv.Quote(instance)
		}
		add("series", selector+"}")
	}
	if pod := w["k8s.pod.name"]; pod != "" {
		selector := `{pod=` + strconv.Quote(pod)
		if namespace := w["k8s.namespace.name"]; namespace != "" {
			selector = `{namespace=` + strconv.Quote(namespace) + `, pod=` + strconv.Quote(pod)
		}
		add("pod", selector+"}")
	}
	if service != "" {
		s := strconv.Quote(service)
		add("requests", `sum by (span_name) (rate(traces_spanmetrics_calls_total{service=`+s+`}[5m]))`)
		add("errors", `sum by (span_name) (rate(traces_spanmetrics_calls_total{service=`+s+`, status_code="STATUS_CODE_ERROR"}[5m]))`)
		add("latency", `histogram_quantile(0.95, sum by (le, span_name) (rate(traces_spanmetrics_latency_bucket{service=`+s+`}[5m])))`)
		add("inbound", `sum by (client) (rate(traces_service_graph_request_total{server=`+s+`}[5m]))`)
		add("outbound", `sum by (server) (rate(traces_service_graph_request_total{client=`+s+`}[5m]))`)
	}
	return out
}
