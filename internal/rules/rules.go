// Package rules keeps the groups of recording and alerting rules that users set over the API: one
// object a group in the bucket, by tenant, signal and namespace.
//
//	TENANT/rules/SIGNAL/NAMESPACE/GROUP.yaml
//
// The format is that of Prometheus's rule files, which Loki and Mimir share; the language of an
// expression is the signal's. Whoever stores a group validates it first with the signal's parser
// (Group.Validate), so what is in the bucket can be evaluated.
package rules

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/template"
	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/signal"
)

// Group is rules that are evaluated one after the other, at the same times.
type Group struct {
	Name string `yaml:"name"`
	// Signal says what the expressions ask: metrics in PromQL (the default), logs in LogQL, or traces in TraceQL metrics.
	Signal      signal.Signal     `yaml:"signal,omitempty"`
	Interval    model.Duration    `yaml:"interval,omitempty"` // 0: the evaluator's default
	QueryOffset *model.Duration   `yaml:"query_offset,omitempty"`
	Limit       int               `yaml:"limit,omitempty"` // series or alerts of one rule; 0: no limit
	Labels      map[string]string `yaml:"labels,omitempty"`
	Rules       []Rule            `yaml:"rules"`
}

// Rule records a query's answer under a name, or raises an alert from it: one of Record and Alert is set.
type Rule struct {
	Record        string            `yaml:"record,omitempty"`
	Alert         string            `yaml:"alert,omitempty"`
	Expr          string            `yaml:"expr"`
	For           model.Duration    `yaml:"for,omitempty"`
	KeepFiringFor model.Duration    `yaml:"keep_firing_for,omitempty"`
	Labels        map[string]string `yaml:"labels,omitempty"`
	Annotations   map[string]string `yaml:"annotations,omitempty"`
}

// File is a rule file.
type File struct {
	Groups []Group `yaml:"groups"`
}

// DecodeFile reads a rule file as Prometheus has it, with groups that may name a signal. Every fault is
// reported with its line, group and rule; check reports what is wrong with an expression of a signal.
func DecodeFile(content []byte, check func(s signal.Signal, expr string) error) (*File, []error) {
	f := &File{}
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	if err := d.Decode(f); err != nil && !errors.Is(err, io.EOF) { // an empty file has no groups
		return nil, []error{err}
	}
	var errs []error
	seen := map[string]bool{}
	places := exprPlaces(content)
	for i := range f.Groups {
		g := &f.Groups[i]
		if seen[g.Name] {
			errs = append(errs, fmt.Errorf("group %q is there twice", g.Name))
		}
		seen[g.Name] = true
		switch g.Signal {
		case "":
			g.Signal = signal.Metrics
		case signal.Metrics, signal.Logs, signal.Traces:
		default:
			errs = append(errs, fmt.Errorf("group %q: signal %q is none of metrics, logs and traces", g.Name, g.Signal))
			continue
		}
		for n, err := range g.faults(func(expr string) error { return check(g.Signal, expr) }) {
			if n >= 0 {
				err = fmt.Errorf("%sgroup %q, rule %d, %q: %w", places[[2]int{i, n}], g.Name, n, cmp.Or(g.Rules[n].Alert, g.Rules[n].Record), err)
			}
			errs = append(errs, err)
		}
	}
	return f, errs
}

// exprPlaces returns where the expressions of a file stand, as "line:column: ", by group and rule.
func exprPlaces(content []byte) map[[2]int]string {
	var doc struct {
		Groups []struct {
			Rules []struct {
				Expr yaml.Node `yaml:"expr"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	out := map[[2]int]string{}
	if yaml.Unmarshal(content, &doc) != nil {
		return out
	}
	for i, g := range doc.Groups {
		for n, r := range g.Rules {
			if r.Expr.Line > 0 {
				out[[2]int{i, n}] = fmt.Sprintf("%d:%d: ", r.Expr.Line, r.Expr.Column)
			}
		}
	}
	return out
}

// Validate reports every fault of g, in Loki's words; check reports what is wrong with an expression.
func (g *Group) Validate(check func(expr string) error) (errs []error) {
	for _, err := range g.faults(check) {
		errs = append(errs, err)
	}
	return errs
}

// faults yields every fault with the index of its rule, -1 for those of the group.
func (g *Group) faults(check func(expr string) error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		var own []error
		if g.Name == "" {
			own = append(own, fmt.Errorf("group 0: Groupname must not be empty"))
		}
		if g.Interval < 0 {
			own = append(own, fmt.Errorf("group '%s': interval must not be negative", g.Name))
		}
		if g.Limit < 0 {
			own = append(own, fmt.Errorf("group '%s': limit must not be negative", g.Name))
		}
		if err := validLabels(g.Labels); err != nil {
			own = append(own, err)
		}
		for _, err := range own {
			if !yield(-1, err) {
				return
			}
		}
		for i := range g.Rules {
			r := &g.Rules[i]
			errs := r.validateTemplates()
			if err := r.validate(g.Name, check); err != nil {
				errs = []error{err}
			}
			for _, err := range errs {
				if !yield(i, err) {
					return
				}
			}
		}
	}
}

func (r *Rule) validate(group string, check func(expr string) error) error {
	switch {
	case r.Record != "" && r.Alert != "":
		return fmt.Errorf("only one of 'record' and 'alert' must be set")
	case r.Record == "" && r.Alert == "":
		return fmt.Errorf("one of 'record' or 'alert' must be set")
	case r.Expr == "":
		return fmt.Errorf("field 'expr' must be set in rule")
	}
	if err := check(r.Expr); err != nil {
		kind, name := "alert", r.Alert
		if r.Record != "" {
			kind, name = "record", r.Record
		}
		return fmt.Errorf("could not parse expression for %s '%s' in group '%s': %w", kind, name, group, err)
	}
	if r.Record != "" {
		switch {
		case len(r.Annotations) > 0:
			return fmt.Errorf("invalid field 'annotations' in recording rule")
		case r.For != 0 || r.KeepFiringFor != 0:
			return fmt.Errorf("invalid field 'for' in recording rule")
		case !model.LegacyValidation.IsValidMetricName(r.Record):
			return fmt.Errorf("invalid recording rule name: %s", r.Record)
		}
	}
	for name := range r.Annotations {
		if !model.LegacyValidation.IsValidLabelName(name) {
			return fmt.Errorf("invalid annotation name: %s", name)
		}
	}
	return validLabels(r.Labels)
}

func validLabels(ls map[string]string) error {
	for name, value := range ls {
		if !model.LegacyValidation.IsValidLabelName(name) || name == model.MetricNameLabel {
			return fmt.Errorf("invalid label name: %s", name)
		}
		if !utf8.ValidString(value) {
			return fmt.Errorf("invalid label value: %s", value)
		}
	}
	return nil
}

// templatePrelude declares what templates of labels and annotations may use, as evaluators do.
const templatePrelude = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

// validateTemplates parses the templates of an alert's labels and annotations.
func (r *Rule) validateTemplates() (errs []error) {
	if r.Alert == "" {
		return nil
	}
	parse := func(kind string, texts map[string]string) {
		for name, text := range texts {
			if !strings.Contains(text, "{{") {
				continue
			}
			e := template.NewTemplateExpander(context.Background(), templatePrelude+text, "__alert_"+r.Alert, nil, 0, nil, nil, nil)
			if err := e.ParseTest(); err != nil {
				errs = append(errs, fmt.Errorf("%s %q: %w", kind, name, err))
			}
		}
	}
	parse("label", r.Labels)
	parse("annotation", r.Annotations)
	return errs
}
