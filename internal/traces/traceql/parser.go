package traceql

import (
	"fmt"
	"strings"
)

// maxDepth bounds the nesting of a query, and with it the stack that parsing and evaluation need.
const maxDepth = 200

// Parse reads a TraceQL query and checks its types. Errors are *SyntaxError, which carry a
// position, or *TypeError.
func Parse(text string) (*Query, error) {
	q, err := ParseOnly(text)
	if err != nil {
		return nil, err
	}
	if err := Check(q); err != nil {
		return nil, err
	}
	return q, nil
}

// ParseOnly reads a query without checking its types.
func ParseOnly(text string) (*Query, error) {
	p := &parser{lex: newLexer(text)}
	if err := p.advance(); err != nil {
		return nil, err
	}
	return p.query()
}

// ParseAttribute reads one attribute or intrinsic, such as span.http.method or event:name.
func ParseAttribute(text string) (*Attribute, error) {
	// The reference wraps the name in braces, so columns count from there.
	p := &parser{lex: newLexer("{" + text + "}")}
	a, err := p.onlyAttribute()
	if err != nil {
		return nil, fmt.Errorf("failed to parse identifier %s: %w", text, err)
	}
	return a, nil
}

func (p *parser) onlyAttribute() (*Attribute, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.expectOp("{"); err != nil {
		return nil, err
	}
	if p.tok.kind == tokIdentifier {
		return nil, p.errorf("unknown identifier: %s", p.tok.text)
	}
	a, err := p.attribute()
	if err != nil {
		return nil, err
	}
	if err := p.expectOp("}"); err != nil {
		return nil, err
	}
	if p.tok.kind != tokEOF {
		return nil, p.unexpected()
	}
	return a, nil
}

// parser is a recursive descent over one token of look-ahead, with precedence climbing for
// operators.
type parser struct {
	lex   *lexer
	tok   token
	depth int
}

func (p *parser) advance() (err error) {
	p.tok, err = p.lex.next()
	return err
}

func (p *parser) errorf(format string, args ...any) error {
	return p.lex.errorf(p.tok, format, args...)
}

// unexpected is the error at the current token; expecting lists what could stand there if that is
// short enough to help.
func (p *parser) unexpected(expecting ...string) error {
	if len(expecting) == 0 {
		return p.errorf("syntax error: unexpected %s", p.tok)
	}
	return p.errorf("syntax error: unexpected %s, expecting %s", p.tok, strings.Join(expecting, " or "))
}

func (p *parser) expectOp(op string, others ...string) error {
	if !p.tok.isOp(op) {
		return p.unexpected(append([]string{op}, others...)...)
	}
	return p.advance()
}

func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return p.errorf("query is nested too deeply, at most %d levels are allowed", maxDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// query = pipeline [ "|" metrics second* ] [ with ]
func (p *parser) query() (*Query, error) {
	q := &Query{}
	var err error
	if q.Pipeline, _, err = p.pipeline(q, false); err != nil {
		return nil, err
	}
	if p.tok.isWord("with") {
		if q.Hints, err = p.hints(); err != nil {
			return nil, err
		}
	}
	if p.tok.kind != tokEOF {
		if q.Metrics == nil {
			return nil, p.unexpected("with")
		}
		return nil, p.unexpected()
	}
	return q, nil
}

// pipeline = stage { "|" stage }. At the top level (q is set) a metrics function may end it; in
// parentheses a bare scalar may, which is returned.
func (p *parser) pipeline(q *Query, inParens bool) (Pipeline, Scalar, error) {
	var stages Pipeline
	for {
		stage, scalar, err := p.stage(len(stages) == 0)
		if err != nil {
			return nil, nil, err
		}
		if scalar != nil {
			if inParens && p.tok.isOp(")") {
				return stages, scalar, nil
			}
			return nil, nil, p.unexpected()
		}
		stages = append(stages, stage)
		if !p.tok.isOp("|") {
			return stages, nil, nil
		}
		if err := p.advance(); err != nil {
			return nil, nil, err
		}
		if q != nil && p.tok.kind == tokKeyword && metricsFns[p.tok.text] {
			return stages, nil, p.metrics(q)
		}
	}
}

// stage reads one stage, or a scalar that is not compared with anything.
func (p *parser) stage(first bool) (Stage, Scalar, error) {
	switch {
	case p.tok.isWord("by"):
		e, err := p.callExpr()
		if err != nil {
			return nil, nil, err
		}
		return &GroupBy{e}, nil, nil
	case p.tok.isWord("coalesce") && !first:
		if err := p.emptyCall(); err != nil {
			return nil, nil, err
		}
		return &Coalesce{}, nil, nil
	case p.tok.isWord("select"):
		s, err := p.selectStage()
		return s, nil, err
	}
	return p.spansetOrScalar()
}

// node is an operand of a stage: exactly one field is set.
type node struct {
	set    Stage
	scalar Scalar
}

func (p *parser) spansetOrScalar() (Stage, Scalar, error) {
	n, err := p.operand()
	if err != nil {
		return nil, nil, err
	}
	if n.set != nil {
		s, err := p.setOps(n.set, 1)
		return s, nil, err
	}
	left, err := p.scalarOps(n.scalar, 1)
	if err != nil {
		return nil, nil, err
	}
	if !isComparison(p.tok) || p.tok.text == "=~" || p.tok.text == "!~" {
		return nil, left, nil
	}
	op := p.tok.text
	if err := p.advance(); err != nil {
		return nil, nil, err
	}
	right, err := p.scalar(1)
	if err != nil {
		return nil, nil, err
	}
	return &ScalarFilter{op, left, right}, nil, nil
}

// operand = filter | "(" pipeline ")" | scalar
func (p *parser) operand() (node, error) {
	if p.tok.isOp("{") {
		f, err := p.filter()
		return node{set: f}, err
	}
	if !p.tok.isOp("(") {
		s, err := p.scalarOperand()
		return node{scalar: s}, err
	}
	if err := p.enter(); err != nil {
		return node{}, err
	}
	defer p.leave()
	if err := p.advance(); err != nil {
		return node{}, err
	}
	stages, scalar, err := p.pipeline(nil, true)
	if err != nil {
		return node{}, err
	}
	if !p.tok.isOp(")") {
		return node{}, p.unexpected()
	}
	if err := p.advance(); err != nil {
		return node{}, err
	}
	switch {
	case scalar != nil && len(stages) == 0:
		return node{scalar: scalar}, nil
	case scalar != nil:
		return node{scalar: &ScalarPipeline{stages, scalar}}, nil
	case len(stages) == 1:
		switch s := stages[0].(type) {
		case *Filter, *SetOp, *Wrapped:
			return node{set: s}, nil
		}
	}
	return node{set: &Wrapped{stages}}, nil
}

var setPrecedence = map[string]int{
	"&&": 1, "||": 1,
	">": 2, "<": 2, ">>": 2, "<<": 2, "~": 2, "!>": 2, "!<": 2, "!>>": 2, "!<<": 2, "!~": 2,
	"&>": 2, "&<": 2, "&>>": 2, "&<<": 2, "&~": 2,
}

// setOps reads operators of at least the given precedence after left; all group from the left.
func (p *parser) setOps(left Stage, least int) (Stage, error) {
	for chain := 0; p.tok.kind == tokOp && setPrecedence[p.tok.text] >= least; chain++ {
		if chain > maxChain {
			return nil, p.errorf("expression is too long, at most %d operators in a row are allowed", maxChain)
		}
		op := p.tok.text
		if err := p.advance(); err != nil {
			return nil, err
		}
		if !p.tok.isOp("{") && !p.tok.isOp("(") {
			return nil, p.unexpected("{", "(")
		}
		n, err := p.operand()
		if err != nil {
			return nil, err
		}
		if n.set == nil {
			return nil, p.unexpected()
		}
		right, err := p.setOps(n.set, setPrecedence[op]+1)
		if err != nil {
			return nil, err
		}
		left = &SetOp{op, left, right}
	}
	return left, nil
}

// filter = "{" [ expr ] "}"
func (p *parser) filter() (*Filter, error) {
	if err := p.expectOp("{"); err != nil {
		return nil, err
	}
	if p.tok.isOp("}") {
		return &Filter{}, p.advance()
	}
	e, err := p.expr(1)
	if err != nil {
		return nil, err
	}
	if !p.tok.isOp("}") {
		return nil, p.unexpected()
	}
	return &Filter{e}, p.advance()
}

// callExpr reads "name(expr)".
func (p *parser) callExpr() (Expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.expectOp("("); err != nil {
		return nil, err
	}
	e, err := p.expr(1)
	if err != nil {
		return nil, err
	}
	return e, p.closeParen()
}

// emptyCall reads "name()".
func (p *parser) emptyCall() error {
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.expectOp("("); err != nil {
		return err
	}
	return p.expectOp(")")
}

func (p *parser) closeParen() error {
	if !p.tok.isOp(")") {
		return p.unexpected()
	}
	return p.advance()
}

func (p *parser) selectStage() (*Select, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.expectOp("("); err != nil {
		return nil, err
	}
	s := &Select{}
	for {
		a, err := p.attribute()
		if err != nil {
			return nil, err
		}
		s.Attrs = append(s.Attrs, a)
		if !p.tok.isOp(",") {
			return s, p.expectOp(")", ",")
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) hints() ([]Hint, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.expectOp("("); err != nil {
		return nil, err
	}
	var hints []Hint
	for {
		if p.tok.kind != tokIdentifier && p.tok.kind != tokKeyword {
			return nil, p.unexpected("IDENTIFIER")
		}
		h := Hint{Name: p.tok.text}
		if err := p.advance(); err != nil {
			return nil, err
		}
		if err := p.expectOp("="); err != nil {
			return nil, err
		}
		e, err := p.signedLiteral()
		if err != nil {
			return nil, err
		}
		h.Value = e
		hints = append(hints, h)
		if !p.tok.isOp(",") {
			return hints, p.expectOp(")", ",")
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

// signedLiteral reads a literal with an optional minus.
func (p *parser) signedLiteral() (Value, error) {
	minus := p.tok.isOp("-")
	if minus {
		if err := p.advance(); err != nil {
			return Value{}, err
		}
	}
	v, ok := literal(p.tok)
	if !ok || minus && !v.isNumber() {
		return Value{}, p.unexpected()
	}
	if minus {
		v = negate(v)
	}
	return v, p.advance()
}

func negate(v Value) Value {
	if v.Kind == KindFloat {
		return floatValue(-v.float())
	}
	v.n = -v.n
	return v
}
