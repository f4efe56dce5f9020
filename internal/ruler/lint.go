package ruler

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
)

// Bounds beyond which a rule is called expensive: it is asked at every interval.
const (
	longRange    = 24 * time.Hour
	manySubquery = 10_000 // evaluations within one
)

// Lint returns what is doubtful about rules that are valid: duplicates, alerts without a severity, labels
// that a template names and the expression has not, queries that cost more than a rule should.
func Lint(f *rules.File) []string {
	var out []string
	seen := map[string]string{}
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			name, kind := r.Record, "recording rule"
			if r.Alert != "" {
				name, kind = r.Alert, "alert"
			}
			at := fmt.Sprintf("group %q, %s %q: ", g.Name, kind, name)
			ls := promrules.FromMaps(g.Labels, r.Labels)
			key := kind + "\x00" + name + "\x00" + ls.String()
			if r.Alert != "" {
				key += "\x00" + r.Expr // one alert may have several expressions
			}
			if first, ok := seen[key]; ok {
				out = append(out, at+"the same rule is in group "+fmt.Sprintf("%q", first)+" already")
			} else {
				seen[key] = g.Name
			}
			if r.Alert != "" && ls.Get("severity") == "" {
				out = append(out, at+"it has no label severity, by which notifications are usually routed")
			}
			if g.Signal != signal.Metrics && g.Signal != "" {
				continue
			}
			e, err := parser.ParseExpr(r.Expr)
			if err != nil {
				continue // which is an error, not a doubt
			}
			for _, doubt := range slices.Concat(expensive(e), missingLabels(e, r, ls)) {
				out = append(out, at+doubt)
			}
		}
	}
	return out
}

// expensive returns what of an expression costs much at every evaluation.
func expensive(e parser.Expr) (out []string) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			if !named(n.LabelMatchers) {
				out = append(out, fmt.Sprintf("%s selects series of every name", n))
			}
			for _, m := range n.LabelMatchers {
				if m.Type == labels.MatchRegexp && strings.HasPrefix(m.Value, ".*") && len(m.Value) > 2 {
					out = append(out, fmt.Sprintf("%s compares every value of %s, since it begins with .*", m, m.Name))
				}
			}
		case *parser.MatrixSelector:
			if n.Range > longRange {
				out = append(out, fmt.Sprintf("%s reads %s at every evaluation: record a shorter range and aggregate that", n, model.Duration(n.Range)))
			}
		case *parser.SubqueryExpr:
			step := n.Step
			if step == 0 {
				step = time.Minute
			}
			if steps := n.Range / step; steps > manySubquery {
				out = append(out, fmt.Sprintf("the subquery [%s:%s] evaluates its expression %d times", model.Duration(n.Range), model.Duration(step), steps))
			}
		}
		return nil
	})
	return out
}

func named(ms []*labels.Matcher) bool {
	return slices.ContainsFunc(ms, func(m *labels.Matcher) bool {
		return m.Name == model.MetricNameLabel && (m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp && !m.Matches("") && m.Value != ".+")
	})
}

// templateLabel finds the labels that a template names.
var templateLabel = regexp.MustCompile(`(?:\$labels|\.Labels)\.([a-zA-Z_][a-zA-Z0-9_]*)`)

// missingLabels returns the labels that templates name and the answers of an aggregation can't have.
func missingLabels(e parser.Expr, r rules.Rule, own labels.Labels) (out []string) {
	has, known := resultLabels(e)
	if !known {
		return nil
	}
	told := map[string]bool{}
	for _, texts := range []map[string]string{r.Labels, r.Annotations} {
		for _, text := range texts {
			for _, m := range templateLabel.FindAllStringSubmatch(text, -1) {
				if name := m[1]; !slices.Contains(has, name) && own.Get(name) == "" && !told[name] {
					told[name] = true
					out = append(out, fmt.Sprintf("a template names the label %s, which the expression drops", name))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// resultLabels returns the only labels that an expression's answers have, where its form tells.
func resultLabels(e parser.Expr) (names []string, known bool) {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return resultLabels(e.Expr)
	case *parser.AggregateExpr:
		switch e.Op {
		case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
			return resultLabels(e.Expr)
		}
		if e.Without {
			return nil, false
		}
		names := slices.Clone(e.Grouping)
		if s, ok := e.Param.(*parser.StringLiteral); ok {
			names = append(names, s.Val) // count_values
		}
		return names, true
	case *parser.BinaryExpr:
		if e.VectorMatching != nil && (e.VectorMatching.Card == parser.CardManyToOne || e.VectorMatching.Card == parser.CardOneToMany || e.Op == parser.LOR) {
			return nil, false
		}
		if e.LHS.Type() == parser.ValueTypeScalar {
			return resultLabels(e.RHS)
		}
		return resultLabels(e.LHS)
	}
	return nil, false
}
