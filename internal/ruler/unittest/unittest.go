// Package unittest tests rules against given data, in the format of `promtool test rules`
// (https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/), extended to rules
// about logs: a test may give lines, and ask LogQL.
//
//	tests:
//	  - interval: 1m
//	    input_series:
//	      - {series: 'up{job="api"}', values: '1x5 0x10'}
//	    input_logs:
//	      - stream: '{app="web"}'
//	        lines:
//	          - {at: 30s, line: 'level=error msg="refused"', every: 10s, times: 12}
//	    alert_rule_test:
//	      - {eval_time: 3m, alertname: Errors, exp_alerts: [{exp_labels: {app: web}}]}
//	    promql_expr_test:
//	      - {expr: 'app:errors', eval_time: 3m, exp_samples: [{labels: 'app:errors{app="web"}', value: 12}]}
//	    logql_expr_test:
//	      - {expr: 'sum(count_over_time({app="web"}[5m]))', eval_time: 3m, exp_samples: [{labels: '{}', value: 12}]}
package unittest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// File is a test file.
type File struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval,omitempty"`
	GroupEvalOrder     []string       `yaml:"group_eval_order,omitempty"`
	FuzzyCompare       bool           `yaml:"fuzzy_compare,omitempty"`
	Tests              []Test         `yaml:"tests"`
}

// Test is data, and what is expected of the rules over it.
type Test struct {
	Name           string            `yaml:"name,omitempty"`
	Interval       model.Duration    `yaml:"interval,omitempty"` // of the values of InputSeries
	StartTimestamp startTime         `yaml:"start_timestamp,omitempty"`
	ExternalLabels map[string]string `yaml:"external_labels,omitempty"`
	ExternalURL    string            `yaml:"external_url,omitempty"`
	InputSeries    []Series          `yaml:"input_series,omitempty"`
	InputLogs      []Stream          `yaml:"input_logs,omitempty"`
	Alerts         []AlertTest       `yaml:"alert_rule_test,omitempty"`
	PromQL         []ExprTest        `yaml:"promql_expr_test,omitempty"`
	LogQL          []ExprTest        `yaml:"logql_expr_test,omitempty"`
}

// Series is values of a series in the notation of Prometheus's tests.
type Series struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

// Stream is log lines.
type Stream struct {
	Stream string `yaml:"stream"` // labels, as a selector has them
	Lines  []Line `yaml:"lines"`
}

// Line is a line, once or several times.
type Line struct {
	At       model.Duration    `yaml:"at"`
	Line     string            `yaml:"line"`
	Metadata map[string]string `yaml:"metadata,omitempty"` // structured
	Every    model.Duration    `yaml:"every,omitempty"`    // between repetitions
	Times    int               `yaml:"times,omitempty"`    // 0: once
}

// AlertTest says which alerts of a name fire at a time.
type AlertTest struct {
	EvalTime  model.Duration `yaml:"eval_time"`
	AlertName string         `yaml:"alertname"`
	Expected  []struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations map[string]string `yaml:"exp_annotations"`
	} `yaml:"exp_alerts"`
}

// ExprTest says what an expression answers at a time.
type ExprTest struct {
	Expr     string         `yaml:"expr"`
	EvalTime model.Duration `yaml:"eval_time"`
	Expected []struct {
		Labels    string  `yaml:"labels"`
		Value     float64 `yaml:"value"`
		Histogram string  `yaml:"histogram,omitempty"`
	} `yaml:"exp_samples"`
}

// startTime is a time as RFC 3339 or Unix seconds.
type startTime struct{ time.Time }

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *startTime) UnmarshalYAML(n *yaml.Node) error {
	var seconds float64
	if n.Decode(&seconds) == nil {
		s.Time = time.UnixMilli(int64(seconds * 1000)).UTC()
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is neither a time as RFC 3339 nor Unix seconds", n.Line, n.Value)
	}
	s.Time = t
	return nil
}

// Read reads a test file and resolves the names of its rule files. Unknown keys are errors.
func Read(name string) (*File, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := &File{}
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	if err := d.Decode(f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if f.EvaluationInterval == 0 {
		f.EvaluationInterval = model.Duration(time.Minute)
	}
	var files []string
	for _, glob := range f.RuleFiles {
		if !filepath.IsAbs(glob) {
			glob = filepath.Join(filepath.Dir(name), glob)
		}
		found, err := filepath.Glob(glob)
		if err != nil {
			return nil, fmt.Errorf("%s: rule_files: %q: %w", name, glob, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s: rule_files: no file matches %q", name, glob)
		}
		files = append(files, found...)
	}
	f.RuleFiles = files
	seen := map[string]bool{}
	for _, g := range f.GroupEvalOrder {
		if seen[g] {
			return nil, fmt.Errorf("%s: group_eval_order: %q is there twice", name, g)
		}
		seen[g] = true
	}
	return f, nil
}

// Result is what came of one test.
type Result struct {
	Test   string
	Faults []error // none: it passed
}

// Run runs the tests of a file whose names match; a nil only runs all.
func (f *File) Run(only *regexp.Regexp) ([]Result, error) {
	loaded, err := f.load()
	if err != nil {
		return nil, err
	}
	var out []Result
	for i := range f.Tests {
		t := &f.Tests[i]
		if only != nil && !only.MatchString(t.Name) {
			continue
		}
		name := t.Name
		if name == "" {
			name = fmt.Sprintf("unnamed#%d", i)
		}
		out = append(out, Result{name, t.run(f, loaded)})
	}
	return out, nil
}

// end is the last time that anything is asked about.
func (t *Test) end() time.Duration {
	var last model.Duration
	for _, a := range t.Alerts {
		last = max(last, a.EvalTime)
	}
	for _, e := range slices.Concat(t.PromQL, t.LogQL) {
		last = max(last, e.EvalTime)
	}
	return time.Duration(last)
}
