package traceql

import "sort"

// suggest fills out with what may follow the tokens so far.
func (c *completer) suggest(out *Completion) {
	f := c.top()
	switch f.kind {
	case framePipeline:
		c.suggestPipeline(f, out)
	case frameExpr:
		f.suggestExpr(out)
	case frameAttrs:
		f.suggestAttrs(out)
	case frameEmpty:
		out.add("punctuation", ")")
	case frameNumbers:
		switch {
		case f.state == wantOperand:
			out.Number = true
		case f.fn == "quantile_over_time":
			out.add("punctuation", ",", ")")
		default:
			out.add("punctuation", ")")
		}
	case frameCompare:
		switch {
		case f.state == wantOperand && f.begun:
			out.Number = true
		case f.state == wantOperand:
			out.add("punctuation", "{")
		case f.items == 2: // start and end of the selection come together
			out.add("punctuation", ",")
		case f.items == 3:
			out.add("punctuation", ")")
		default:
			out.add("punctuation", ",", ")")
		}
	case frameHints:
		f.suggestHints(out)
	}
}

func (out *Completion) add(kind string, words ...string) {
	for _, w := range words {
		out.Choices = append(out.Choices, Choice{w, kind})
	}
}

var (
	setOperators = []string{"&&", "||", ">", "<", ">>", "<<", "~", "!>", "!<", "!>>", "!<<", "!~", "&>", "&<", "&>>", "&<<", "&~"}
	orderings    = []string{"=", "!=", "<", "<=", ">", ">="}
	calculations = []string{"+", "-", "*", "/", "%", "^"}
)

func (c *completer) suggestPipeline(f *frame, out *Completion) {
	switch f.state {
	case wantStage:
		out.add("punctuation", "{", "(")
		out.add("function", "by(", "select(", "count()", "min(", "max(", "avg(", "sum(")
		if f.piped {
			out.add("function", "coalesce()")
		}
		if f.piped && len(c.stack) == 1 {
			out.add("function", "rate()", "count_over_time()", "min_over_time(", "max_over_time(", "avg_over_time(", "sum_over_time(",
				"quantile_over_time(", "histogram_over_time(", "compare(")
		}
		out.Number = true
	case wantSet:
		out.add("punctuation", "{", "(")
	case wantScalar:
		out.add("punctuation", "(")
		out.add("function", "count()", "min(", "max(", "avg(", "sum(")
		out.Number = true
	case hadScalar:
		out.add("operator", orderings...)
		out.add("operator", calculations...)
		if len(c.stack) > 1 {
			out.add("punctuation", ")")
		}
	case wantCall:
		out.add("punctuation", "(")
	case wantSecond:
		out.add("function", "topk(", "bottomk(")
	case wantLimit, wantNumber:
		out.Number = true
	case hadMetrics, hadSecond:
		if f.state == hadMetrics {
			out.add("function", "by(")
		}
		out.add("operator", orderings...)
		c.suggestNext(out, true)
	case hadCompare:
		c.suggestNext(out, false)
	case hadSet:
		out.add("operator", setOperators...)
		c.suggestNext(out, true)
	case hadStage:
		if f.cmp != "" {
			out.add("operator", calculations...)
		}
		c.suggestNext(out, true)
	}
}

// suggestNext adds what may follow a stage that is complete.
func (c *completer) suggestNext(out *Completion, pipe bool) {
	if pipe {
		out.add("punctuation", "|")
	}
	if len(c.stack) > 1 {
		out.add("punctuation", ")")
	} else {
		out.add("hint", "with(")
	}
}

func (f *frame) suggestExpr(out *Completion) {
	switch f.state {
	case wantWord:
		f.suggestWords(out)
	case hadOperand:
		if !f.compared {
			out.add("operator", orderings...)
			out.add("operator", "=~", "!~")
		}
		if !f.text {
			out.add("operator", calculations...)
		}
		out.add("operator", "&&", "||")
		out.add("punctuation", f.close)
	default:
		f.suggestOperand(out)
	}
}

func (f *frame) suggestOperand(out *Completion) {
	if f.cmp != "" && f.attr != nil {
		out.Values = f.attr.String()
		f.suggestLiterals(out)
		return
	}
	if f.close == "}" && !f.begun {
		out.add("punctuation", "}") // { } keeps all
	}
	out.add("punctuation", "(")
	out.add("operator", "!", "-")
	addAttributes(out)
	out.add("value", "true", "false")
	out.Number = true
}

// suggestLiterals adds the fixed values that the attribute of a comparison can have.
func (f *frame) suggestLiterals(out *Completion) {
	kind := kindAny
	if f.attr.Intrinsic != IntrinsicNone {
		kind = intrinsics[f.attr.Intrinsic].kind
	}
	regex := f.cmp == "=~" || f.cmp == "!~"
	switch {
	case regex:
	case kind == KindStatus:
		out.add("value", statusNames...)
	case kind == KindSpanKind:
		out.add("value", kindNames...)
	case kind.isNumber():
		out.Number = true
	case kind == kindAny:
		out.Number = true
		out.add("value", "true", "false")
		if f.cmp == "=" || f.cmp == "!=" {
			out.add("value", "nil")
		}
	}
}

func (f *frame) suggestAttrs(out *Completion) {
	switch f.state {
	case wantWord:
		f.suggestWords(out)
	case wantOperand:
		addAttributes(out)
	default:
		switch f.fn {
		case "select", metricsBy:
			out.add("punctuation", ",", ")")
		case "quantile_over_time":
			out.add("punctuation", ",")
		default:
			out.add("punctuation", ")")
		}
	}
}

func (f *frame) suggestWords(out *Completion) {
	for _, k := range scopedIntrinsics[f.word] {
		out.add("intrinsic", k.word)
	}
}

// addAttributes adds scopes and intrinsics, and wishes for names from the data.
func addAttributes(out *Completion) {
	out.Names = true
	out.add("scope", "span.", "resource.", "event.", "link.", "instrumentation.", "parent.", ".")
	for _, scope := range []string{"span:", "trace:", "event:", "link:", "instrumentation:"} {
		for _, k := range scopedIntrinsics[scope] {
			out.add("intrinsic", scope+k.word)
		}
	}
	var bare []string
	for w := range bareIntrinsics {
		if w != "childCount" {
			bare = append(bare, w)
		}
	}
	sort.Strings(bare)
	out.add("intrinsic", bare...)
}

func (f *frame) suggestHints(out *Completion) {
	switch f.state {
	case wantOperand:
		out.add("hint", "most_recent", "exemplars", "sample", "span_sample", "trace_sample")
	case wantEquals:
		out.add("punctuation", "=")
	case wantNumber:
		out.Number = true
	case wantValue:
		out.add("value", "true", "false")
		out.Number = true
	default:
		out.add("punctuation", ",", ")")
	}
}
