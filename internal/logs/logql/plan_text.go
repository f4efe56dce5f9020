package logql

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/logs"
)

// planText prints a plan, each node in a line, inputs indented below.
func planText(n planNode) string {
	var b strings.Builder
	appendPlan(&b, n, "", "")
	return b.String()
}

func appendPlan(b *strings.Builder, n planNode, first, rest string) {
	op, args := n.text()
	b.WriteString(first + op)
	for _, a := range args {
		b.WriteByte(' ')
		if a.name != "" {
			b.WriteString(a.name + "=")
		}
		b.WriteString(a.value)
	}
	b.WriteByte('\n')
	in := n.inputs()
	for i := range in {
		if i == len(in)-1 {
			appendPlan(b, in[i], rest+"└ ", rest+"  ")
		} else {
			appendPlan(b, in[i], rest+"├ ", rest+"│ ")
		}
	}
}

// planTree is a plan as plain data.
func planTree(n planNode) logs.PlanNode {
	op, args := n.text()
	out := logs.PlanNode{Op: op}
	for _, a := range args {
		if a.name == "" {
			out.Text = strings.TrimSpace(out.Text + " " + a.value)
			continue
		}
		if out.Args == nil {
			out.Args = map[string]string{}
		}
		out.Args[a.name] = a.value
	}
	for _, in := range n.inputs() {
		out.Inputs = append(out.Inputs, planTree(in))
	}
	return out
}

func (n *scanNode) text() (string, []planArg) {
	args := []planArg{{"", (&LogQuery{Matchers: n.matchers}).String()}}
	if len(n.columns) > 0 {
		args = append(args, planArg{"columns", "[" + strings.Join(n.columns, ",") + "]"})
	}
	for _, f := range n.filters {
		args = append(args, planArg{"filter", filterText(f)})
	}
	if n.limited {
		args = append(args, planArg{"stops", "at limit"})
	}
	return "scan", args
}

func filterText(f logs.LineFilter) string {
	op := map[[2]bool]string{{false, false}: "|=", {true, false}: "!=", {false, true}: "|~", {true, true}: "!~"}[[2]bool{f.Negate, f.Regexp}]
	texts := make([]string, len(f.Match))
	for i, m := range f.Match {
		texts[i] = strconv.Quote(m)
	}
	return op + " " + strings.Join(texts, " or ")
}

func (n *stagesNode) text() (string, []planArg) {
	texts := make([]string, len(n.stages))
	for i, st := range n.stages {
		texts[i] = st.String()
	}
	return "pipeline", []planArg{{"", strings.Join(texts, " ")}}
}

func (n *limitNode) text() (string, []planArg) {
	order := "newest first"
	if n.direction == logs.Forward {
		order = "oldest first"
	}
	args := []planArg{{"", strconv.Itoa(n.limit) + " " + order}}
	if n.interval > 0 {
		args = append(args, planArg{"interval", n.interval.String()})
	}
	return "limit", args
}

func (n *rangeNode) text() (string, []planArg) {
	args := []planArg{{"", model.Duration(n.agg.Range.Interval).String()}}
	if n.agg.Param != nil {
		args = append(args, planArg{"", strconv.FormatFloat(*n.agg.Param, 'g', -1, 64)})
	}
	if u := n.agg.Range.Unwrap; u != nil {
		label := u.Label
		if u.Conversion != "" {
			label = u.Conversion + "(" + label + ")"
		}
		args = append(args, planArg{"unwrap", label})
		for _, f := range u.Filters {
			args = append(args, planArg{"keep", f.String()})
		}
	}
	if o := n.agg.Range.Offset; o != 0 {
		args = append(args, planArg{"offset", offsetText(o)})
	}
	switch {
	case n.around != nil:
		args = append(args, planArg{"grouped", byText(n.around)})
	case n.agg.Grouping != nil:
		args = append(args, planArg{"", byText(n.agg.Grouping)})
	}
	return n.agg.Op, args
}

func offsetText(o time.Duration) string {
	if o < 0 {
		return "-" + model.Duration(-o).String()
	}
	return model.Duration(o).String()
}

func byText(g *Grouping) string {
	word := "by"
	if g.Without {
		word = "without"
	}
	return word + " (" + strings.Join(g.Labels, ", ") + ")"
}

func (n *vectorNode) text() (string, []planArg) {
	args := []planArg{{"", n.agg.Op}}
	if n.agg.Param != 0 {
		args = append(args, planArg{"", strconv.Itoa(n.agg.Param)})
	}
	if n.agg.Grouping != nil {
		args = append(args, planArg{"", byText(n.agg.Grouping)})
	}
	return "aggregate", args
}

func (n *binaryNode) text() (string, []planArg) {
	args := []planArg{{"", n.op.Op}}
	if n.op.Bool {
		args = append(args, planArg{"", "bool"})
	}
	if m := n.op.Matching; m != nil {
		word := "ignoring"
		if m.On {
			word = "on"
		}
		args = append(args, planArg{"", word + " (" + strings.Join(m.Labels, ", ") + ")"})
		include := " (" + strings.Join(m.Include, ", ") + ")"
		switch m.Card {
		case ManyToOne:
			args = append(args, planArg{"", "group_left" + include})
		case OneToMany:
			args = append(args, planArg{"", "group_right" + include})
		}
	}
	return "binary", args
}

func (n *replaceNode) text() (string, []planArg) {
	r := n.replace
	return "label_replace", []planArg{{"", fmt.Sprintf("%s=%q from %s=~%q", r.Dst, r.Replacement, r.Src, r.Regex)}}
}

func (n *numberNode) text() (string, []planArg) {
	return "number", []planArg{{"", strconv.FormatFloat(n.value, 'g', -1, 64)}}
}

func (n *constantNode) text() (string, []planArg) {
	return "vector", []planArg{{"", strconv.FormatFloat(n.value, 'g', -1, 64)}}
}

func (n *variantsNode) text() (string, []planArg) { return "variants", nil }

func (n *mergeNode) text() (string, []planArg) {
	return "merge", []planArg{{"jobs", strconv.Itoa(len(n.pieces) * n.shards)}, {"pieces", strconv.Itoa(len(n.pieces))},
		{"shards", strconv.Itoa(n.shards)}}
}
