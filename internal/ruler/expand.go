package ruler

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"
	promtemplate "github.com/prometheus/prometheus/template"

	"github.com/hune-io/hune/internal/ruler/template"
)

// expander makes the labels and annotations of a rule's alerts as Prometheus's AlertingRule does.
type expander struct {
	name                string
	labels, annotations fields
	external            map[string]string // labels
	externalURL         *url.URL
	logger              *slog.Logger
}

// field is a label or an annotation.
type field struct {
	name, text string
	// templated says that the text is a template; others are as they are.
	templated bool
	// volatile says that it may read more than the sample.
	volatile bool
	// template is the text, parsed when it is first expanded: few rules ever fire.
	template *template.Template
}

type fields []field

func newExpander(rule *promrules.AlertingRule, external map[string]string, externalURL *url.URL, logger *slog.Logger) *expander {
	return &expander{name: rule.Name(), labels: fieldsOf(rule.Labels()), annotations: fieldsOf(rule.Annotations()), external: external, externalURL: externalURL, logger: logger}
}

func fieldsOf(ls labels.Labels) fields {
	out := make(fields, 0, ls.Len())
	ls.Range(func(l labels.Label) {
		f := field{name: l.Name, text: l.Value, templated: strings.Contains(l.Value, "{{")}
		// These functions are named where they are called.
		f.volatile = strings.Contains(l.Value, "query") || strings.Contains(l.Value, "now")
		out = append(out, f)
	})
	return out
}

// stay reports whether the fields are what they were, of a sample that is what it was or isn't.
func (fs fields) stay(sample bool) bool {
	for i := range fs {
		if fs[i].templated && (fs[i].volatile || !sample) {
			return false
		}
	}
	return true
}

// labelsOf returns the labels of the alert of a sample.
func (e *expander) labelsOf(ctx context.Context, s *promql.Sample, at time.Time, ask promrules.QueryFunc) labels.Labels {
	b := labels.NewBuilder(s.Metric)
	b.Del(labels.MetricName)
	scope := e.scope(s)
	for i := range e.labels {
		text, _ := e.expand(ctx, &e.labels[i], scope, at, ask)
		b.Set(e.labels[i].name, text)
	}
	b.Set(labels.AlertName, e.name)
	return b.Labels()
}

// annotationsOf returns the annotations of the alert of a sample, and whether all could be made.
func (e *expander) annotationsOf(ctx context.Context, s *promql.Sample, at time.Time, ask promrules.QueryFunc) (labels.Labels, bool) {
	b := labels.NewScratchBuilder(len(e.annotations))
	scope, good := e.scope(s), true
	for i := range e.annotations {
		text, ok := e.expand(ctx, &e.annotations[i], scope, at, ask)
		b.Add(e.annotations[i].name, text)
		good = good && ok
	}
	return b.Labels(), good
}

// scope is what templates see of a sample, made when the first is met.
func (e *expander) scope(s *promql.Sample) func() any {
	var data any
	return func() any {
		if data == nil {
			data = promtemplate.AlertTemplateData(s.Metric.Map(), e.external, e.externalURL.String(), *s)
		}
		return data
	}
}

// variables are what Prometheus puts before each template.
const variables = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

// expand returns the text of a field, or the text that says why there is none.
func (e *expander) expand(ctx context.Context, f *field, data func() any, at time.Time, ask promrules.QueryFunc) (string, bool) {
	if !f.templated {
		return f.text, true
	}
	if f.template == nil {
		f.template = template.Parse("__alert_"+e.name, variables+f.text)
	}
	text, err := f.template.Expand(template.Scope{Context: ctx, At: model.Time(timestamp.FromTime(at)), Query: promtemplate.QueryFunc(ask), ExternalURL: e.externalURL}, data())
	if err != nil {
		e.logger.Warn("Expanding alert template failed", "err", err, "data", data())
		return fmt.Sprintf("<error expanding template: %s>", err), false
	}
	return text, true
}
