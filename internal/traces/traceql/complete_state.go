package traceql

// completer follows the tokens before the cursor. It is not the parser: it knows only what may come
// next, and where the text makes no sense it carries on with its best guess.
type completer struct {
	stack    []frame
	filterAt int // where the last filter was opened
}

type frameKind uint8

const (
	framePipeline frameKind = iota // the query, or a pipeline in parentheses
	frameExpr                      // { … }, or ( … ) inside of it, or the argument of by() and of aggregates
	frameAttrs                     // a list of attributes: select(), by() of metrics, …_over_time()
	frameEmpty                     // count() and others without arguments
	frameNumbers                   // numbers: topk(), and what follows the attribute of quantile_over_time()
	frameCompare                   // compare()
	frameHints                     // with()
)

// frame is one level of brackets.
type frame struct {
	kind  frameKind
	close string // what ends it
	fn    string // the function whose arguments it holds
	state state
	piped bool // pipeline: a stage came before
	// Expressions: the attribute that came last, the comparison that waits for a value, and whether
	// the condition under way has its comparison.
	attr     *Attribute
	cmp      string
	compared bool
	begun    bool   // something was read
	text     bool   // the last operand is a text, a keyword or a boolean: nothing to calculate with
	items    int    // lists: how many are complete
	word     string // the scope of the intrinsic under way, as "span:"
}

type state uint8

const (
	wantStage   state = iota // pipeline: a stage begins
	wantSet                  // pipeline: after a set operator
	hadSet                   // pipeline: after a span set expression
	hadScalar                // pipeline: after an aggregate that is not compared yet
	wantScalar               // pipeline: after arithmetic or a comparison of scalars
	hadStage                 // pipeline: after a stage that is complete
	hadMetrics               // pipeline: after a metrics function, which may have by()
	hadCompare               // pipeline: after compare(), which nothing but hints may follow
	hadSecond                // pipeline: after a second stage
	wantSecond               // pipeline: after | behind a metrics function
	wantLimit                // pipeline: after a comparison behind a metrics function
	wantNumber               // pipeline and hints: after a minus
	wantCall                 // any: ( must follow the name of a function
	wantWord                 // expressions and lists: after span: and its like
	wantOperand              // expressions and lists
	hadOperand               // expressions and lists
	wantEquals               // hints: after a name
	wantValue                // hints: after =
	atEnd                    // nothing may follow
)

func (c *completer) top() *frame { return &c.stack[len(c.stack)-1] }

func (c *completer) inFilter() bool {
	for _, f := range c.stack {
		if f.close == "}" {
			return true
		}
	}
	return false
}

// feed takes the next token.
func (c *completer) feed(t token) {
	f := c.top()
	switch {
	case len(c.stack) > 1 && t.isOp(f.close):
		c.pop()
	case t.isOp("{"):
		f.begun = true
		c.stack = append(c.stack, frame{kind: frameExpr, close: "}", state: wantOperand})
	case t.isOp("("):
		c.open()
	case f.kind == framePipeline:
		c.feedPipeline(f, t)
	case f.kind == frameHints:
		feedHints(f, t)
	case f.kind != frameExpr && t.isOp(","):
		f.state = wantOperand
		f.items++
		if f.fn == "quantile_over_time" {
			f.kind = frameNumbers
		}
	case f.kind == frameExpr, f.kind == frameAttrs:
		feedExpr(f, t)
	default:
		f.state = hadOperand
	}
}

// open opens a parenthesis: of a call, of an expression or of a pipeline.
func (c *completer) open() {
	f := c.top()
	n := frame{close: ")", state: wantOperand}
	switch {
	case f.state == wantCall:
		n.fn, n.kind = f.fn, callFrames[f.fn]
		if n.kind == frameEmpty {
			n.state = hadOperand
		}
	case f.kind == framePipeline:
		n.state = wantStage
	default:
		f.begun = true
		n.kind = frameExpr
	}
	c.stack = append(c.stack, n)
}

var callFrames = map[string]frameKind{
	"by": frameExpr, "min": frameExpr, "max": frameExpr, "avg": frameExpr, "sum": frameExpr,
	"count": frameEmpty, "coalesce": frameEmpty, "rate": frameEmpty, "count_over_time": frameEmpty, "select": frameAttrs,
	"min_over_time": frameAttrs, "max_over_time": frameAttrs, "avg_over_time": frameAttrs, "sum_over_time": frameAttrs,
	"quantile_over_time": frameAttrs, "histogram_over_time": frameAttrs, "compare": frameCompare,
	"topk": frameNumbers, "bottomk": frameNumbers, "with": frameHints, metricsBy: frameAttrs,
}

// metricsBy is the by() of a metrics function, which takes a list of attributes.
const metricsBy = "metrics by"

// pop closes the innermost bracket and tells the one around it what it was.
func (c *completer) pop() {
	inner := *c.top()
	c.stack = c.stack[:len(c.stack)-1]
	f := c.top()
	switch {
	case f.kind == frameExpr:
		f.operand(nil, false)
	case f.kind == frameCompare:
		f.state = hadOperand
	case f.kind != framePipeline:
		f.state = hadOperand
	case inner.kind != framePipeline && inner.fn != "":
		f.called(inner.fn)
	case inner.close == "}", inner.state != hadScalar:
		f.state = hadSet
	default:
		f.scalar()
	}
}

// called puts a pipeline behind a function's call.
func (f *frame) called(fn string) {
	switch {
	case aggregateFns[fn]:
		f.scalar()
	case fn == "compare":
		f.state = hadCompare
	case metricsFns[fn]:
		f.state = hadMetrics
	case fn == "topk", fn == "bottomk", fn == metricsBy:
		f.state = hadSecond
	case fn == "with":
		f.state = atEnd
	default:
		f.state = hadStage
	}
}

// scalar puts a pipeline behind an operand of a scalar expression.
func (f *frame) scalar() {
	if f.cmp != "" {
		f.state = hadStage
	} else {
		f.state = hadScalar
	}
}

func (c *completer) feedPipeline(f *frame, t token) {
	switch {
	case t.isOp("|"):
		f.piped, f.cmp = true, ""
		switch f.state {
		case hadMetrics, hadSecond:
			f.state = wantSecond
		default:
			f.state = wantStage
		}
	case t.isWord("by") && f.state == hadMetrics:
		f.fn, f.state = metricsBy, wantCall
	case t.kind == tokKeyword && callFrames[t.text] != framePipeline:
		f.fn, f.state = t.text, wantCall
	case t.kind == tokInt, t.kind == tokFloat, t.kind == tokDuration:
		if f.state == wantLimit {
			f.state = hadSecond
		} else {
			f.scalar()
		}
	case isComparison(t) && (f.state == hadMetrics || f.state == hadSecond):
		f.state = wantLimit
	case t.isOp("-") && (f.state == wantStage || f.state == wantScalar):
		f.state = wantNumber
	case f.state == hadScalar || f.state == hadStage && f.cmp != "":
		f.state = wantScalar
		if isComparison(t) {
			f.cmp = t.text
		}
	case f.state == hadSet && t.kind == tokOp:
		f.state = wantSet
	}
}

func feedExpr(f *frame, t token) {
	f.begun = true
	if f.state == hadOperand {
		f.state = wantOperand
		switch {
		case isComparison(t):
			f.cmp = t.text
			f.compared = true
		case t.isOp("&&"), t.isOp("||"):
			f.cmp, f.compared, f.attr = "", false, nil
		default:
			f.attr = nil // arithmetic: no value of an attribute belongs on the other side
		}
		return
	}
	switch {
	case t.kind == tokScope:
		f.operand(storedAttribute(t), false)
	case t.kind == tokOp && scopedIntrinsics[t.text] != nil:
		f.word, f.state = t.text, wantWord
	case f.state == wantWord:
		for _, k := range scopedIntrinsics[f.word] {
			if t.isWord(k.word) {
				f.operand(&Attribute{Intrinsic: k.is}, false)
				return
			}
		}
		f.operand(nil, false)
	case t.kind == tokKeyword && bareIntrinsics[t.text] != IntrinsicNone:
		f.operand(&Attribute{Intrinsic: bareIntrinsics[t.text]}, false)
	case t.isOp("!"), t.isOp("-"):
	default:
		v, ok := literal(t)
		f.operand(nil, ok && !v.isNumber())
	}
}

// operand puts an expression behind an operand: an attribute, or something else (nil).
func (f *frame) operand(a *Attribute, text bool) {
	f.state, f.cmp, f.text = hadOperand, "", text
	if a != nil || !f.compared {
		f.attr = a
	}
}

func feedHints(f *frame, t token) {
	switch {
	case t.isOp(","):
		f.state = wantOperand
	case t.isOp("="):
		f.state = wantValue
	case t.isOp("-"):
		f.state = wantNumber
	case f.state == wantOperand:
		f.state = wantEquals
	default:
		f.state = hadOperand
	}
}
