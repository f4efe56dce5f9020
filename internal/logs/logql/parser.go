package logql

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hune-io/hune/internal/logs"
)

// What a query may cost to parse: bytes, levels of the tree, and levels of parentheses, which are more than those
// of the tree that they print.
const (
	maxQuery   = 128 << 10
	maxDepth   = 1000
	maxNesting = 5 * maxDepth
)

const emptyMatchersText = "queries require at least one regexp or equality matcher that does not have an empty-compatible value. " +
	"For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will"

// Parse reads a query and checks that it means something.
func Parse(query string) (Expr, error) {
	e, err := parseExpr(query)
	if err == nil {
		err = validate(e)
	}
	if err != nil {
		return nil, classed(err)
	}
	return e, nil
}

// ParseLogQuery is Parse for queries that yield lines.
func ParseLogQuery(query string) (*LogQuery, error) {
	e, err := Parse(query)
	if err != nil {
		return nil, err
	}
	q, ok := e.(*LogQuery)
	if !ok {
		return nil, classed(errorString("only log selector is supported"))
	}
	return q, nil
}

// ParseMatchers reads a bare selector. With allowAny a selector may match every stream.
func ParseMatchers(selector string, allowAny bool) ([]logs.Matcher, error) {
	e, err := parseExpr(selector)
	if err != nil {
		return nil, classed(err)
	}
	q, ok := e.(*LogQuery)
	if !ok || len(q.Stages) > 0 {
		return nil, classed(errorString("only label matchers are supported"))
	}
	if !allowAny {
		if err := validateMatchers(q.Matchers); err != nil {
			return nil, classed(err)
		}
	}
	return q.Matchers, nil
}

type errorString string

func (e errorString) Error() string { return string(e) }

// bail carries an error out of the recursion; parseExpr catches it.
type bail struct{ err error }

type parser struct {
	text   string
	tokens []token
	pos    int
	depth  int
	draft  *draft // nil: the first fault is the answer
}

func parseExpr(query string) (e Expr, err error) {
	if len(query) >= maxQuery {
		return nil, invalidf("input size too long (%d > %d)", len(query), maxQuery)
	}
	if strings.TrimSpace(query) == "" {
		return nil, invalidf("syntax error: unexpected $end")
	}
	p := parser{text: query, tokens: lex(query)}
	defer func() {
		if r := recover(); r != nil {
			b, ok := r.(bail)
			if !ok {
				panic(r)
			}
			e, err = nil, b.err
		}
	}()
	e = p.expr(0)
	if p.peek().kind != tokEOF {
		p.unexpected()
	}
	if depthOf(e) > maxDepth {
		p.failf("query is nested deeper than %d levels", maxDepth)
	}
	return e, nil
}

// depthOf returns how many levels e has.
func depthOf(e Expr) int {
	switch e := e.(type) {
	case *LogQuery:
		return 1 + filterDepth(e.Stages)
	case *RangeAgg:
		depth := filterDepth(e.Range.Query.Stages)
		if e.Range.Unwrap != nil {
			for _, f := range e.Range.Unwrap.Filters {
				depth = max(depth, filterDepth([]Stage{f}))
			}
		}
		return 2 + depth
	case *VectorAgg:
		return 1 + depthOf(e.Expr)
	case *BinOp:
		return 1 + max(depthOf(e.Left), depthOf(e.Right))
	case *LabelReplace:
		return 1 + depthOf(e.Expr)
	case *Variants:
		depth := filterDepth(e.Of.Query.Stages)
		for _, v := range e.Variants {
			depth = max(depth, depthOf(v))
		}
		return 1 + depth
	}
	return 1
}

// filterDepth returns how many levels the deepest label filter of stages has.
func filterDepth(stages []Stage) int {
	depth := 0
	for _, s := range stages {
		if f, ok := s.(*BinaryFilter); ok {
			depth = max(depth, 1+filterDepth([]Stage{f.Left, f.Right}))
		}
	}
	return depth
}

func (p *parser) failf(format string, args ...any) { panic(bail{invalidf(format, args...)}) }

// peek returns the next token. A lexical fault is reported when the parser gets to it.
func (p *parser) peek() token {
	t := p.tokens[p.pos]
	if t.kind == tokError {
		panic(bail{&ParseError{Msg: t.str, Line: t.line, Col: t.col, Offset: t.offset}})
	}
	return t
}

// peekAt looks n tokens ahead and never fails.
func (p *parser) peekAt(n int) token { return p.tokens[min(p.pos+n, len(p.tokens)-1)] }

func (p *parser) advance() token {
	t := p.peek()
	if t.kind != tokEOF {
		p.pos++
	}
	return t
}

func (p *parser) is(key string) bool {
	t := p.peek()
	p.hopeWords(WantWord, key)
	return t.kind == tokKey && t.str == key
}

func (p *parser) accept(key string) bool {
	if p.is(key) {
		p.pos++
		return true
	}
	return false
}

// unexpected reports the next token, with what could have stood there if that is few enough to help.
func (p *parser) unexpected(expecting ...string) {
	panic(bail{p.unexpectedError(expecting)})
}

func (p *parser) unexpectedError(expecting []string) error {
	t := p.peek()
	msg := "syntax error: unexpected " + t.name()
	if len(expecting) > 0 {
		msg += ", expecting " + strings.Join(expecting, " or ")
	}
	return &ParseError{Msg: msg, Hint: p.suggest(), Line: t.line, Col: t.col, Offset: t.offset}
}

// expect takes key. expecting is what an error says could have come; nil stands for key.
func (p *parser) expect(key string, expecting ...string) {
	if p.accept(key) {
		return
	}
	if expecting == nil {
		expecting = []string{key}
	}
	if err := p.unexpectedError(expecting); !p.missing(err) {
		panic(bail{err})
	}
}

func (p *parser) take(k tokenKind, expecting ...string) token {
	if p.peek().kind != k {
		p.unexpected(expecting...)
	}
	return p.advance()
}

func (p *parser) enter() {
	p.depth++
	if p.depth > maxNesting {
		p.failf("query is nested deeper than %d levels", maxNesting)
	}
}

func (p *parser) leave() { p.depth-- }

// binaryOps binds operators to precedence; ^ is the only one that groups to the right.
var binaryOps = map[string]int{
	"or": 1, "and": 2, "unless": 2, "==": 3, "!=": 3, ">": 3, ">=": 3, "<": 3, "<=": 3,
	"+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "^": 6,
}

var binaryWords = slices.Sorted(maps.Keys(binaryOps))

func (p *parser) expr(minPrecedence int) Expr {
	p.enter()
	defer p.leave()
	left := p.primary()
	for {
		t := p.peek()
		if _, isLog := left.(*LogQuery); !isLog {
			p.hopeWords(WantWord, binaryWords...)
		}
		prec := binaryOps[t.str]
		if t.kind != tokKey || prec == 0 || prec <= minPrecedence {
			return left
		}
		p.pos++
		op := &BinOp{Op: t.str, Left: left}
		next := prec
		if t.str == "^" {
			next--
		}
		p.attempt(func() {
			p.modifiers(op)
			op.Right = p.expr(next)
			left = p.fold(op)
		}, aGroupFollows)
	}
}

func (p *parser) modifiers(op *BinOp) {
	op.Bool = p.accept("bool")
	on := p.accept("on")
	if !on && !p.accept("ignoring") {
		return
	}
	m := &Matching{On: on, Labels: p.labelList()}
	op.Matching = m
	switch {
	case p.accept("group_left"):
		m.Card = ManyToOne
	case p.accept("group_right"):
		m.Card = OneToMany
	default:
		return
	}
	if p.is("(") {
		m.Include = p.labelList()
	}
}

// labelList reads (a, b); the list may be empty.
func (p *parser) labelList() []string {
	p.expect("(")
	names := []string{}
	if p.accept(")") {
		return names
	}
	for expecting := []string{"IDENTIFIER", ")"}; ; expecting = []string{"IDENTIFIER"} {
		p.hope(Want{Kind: WantField})
		names = append(names, p.take(tokIdent, expecting...).str)
		if p.accept(")") {
			return names
		}
		p.expect(",", ",", ")")
	}
}

// fold checks op and computes it when both sides are numbers.
func (p *parser) fold(op *BinOp) Expr {
	for _, side := range [...]struct {
		name string
		e    Expr
	}{{"left", op.Left}, {"right", op.Right}} {
		if q, ok := side.e.(*LogQuery); ok {
			kind := "*syntax.MatchersExpr"
			if len(q.Stages) > 0 {
				kind = "*syntax.PipelineExpr"
			}
			p.failf("unexpected type for %s leg of binary operation (%s): %s", side.name, op.Op, kind)
		}
	}
	l, lok := op.Left.(*Literal)
	r, rok := op.Right.(*Literal)
	if isSetOp(op.Op) {
		if lok {
			p.failf("unexpected literal for left leg of logical/set binary operation (%s): %f", op.Op, l.Value)
		}
		if rok {
			p.failf("unexpected literal for right leg of logical/set binary operation (%s): %f", op.Op, r.Value)
		}
		return op
	}
	if lok && rok {
		// An infinity has no text that could be read again, so such operations stay.
		if v := arithmetic(op.Op, l.Value, r.Value); !math.IsInf(v, 0) && !math.IsNaN(v) {
			return &Literal{v}
		}
	}
	return op
}

func (p *parser) primary() Expr {
	t := p.peek()
	p.hope(Want{Kind: WantNumber})
	p.hopeWords(WantWord, "{", "(")
	p.hopeWords(WantFunction, expressionFunctions...)
	switch {
	case t.kind == tokNumber:
		p.pos++
		return &Literal{p.float(t.str)}
	case t.kind != tokKey:
		p.unexpected()
	case t.str == "+" || t.str == "-":
		return &Literal{p.signedNumber()}
	case t.str == "{":
		return p.logQuery()
	case t.str == "(":
		p.pos++
		e := p.expr(0)
		p.expect(")", p.closing(e)...)
		return e
	case slices.Contains(rangeOps, t.str):
		return p.rangeAgg()
	case slices.Contains(vectorOps, t.str):
		return p.vectorAgg()
	case t.str == "label_replace":
		return p.labelReplace()
	case t.str == "vector":
		p.pos++
		p.expect("(")
		p.hope(Want{Kind: WantNumber})
		n := p.take(tokNumber, "NUMBER")
		p.expect(")")
		return &Vector{p.float(n.str)}
	case t.str == "variants":
		return p.variants()
	}
	p.unexpected()
	return nil
}

// closing returns what to say is expected after e in parentheses: many tokens, so nothing.
func (p *parser) closing(Expr) []string { return []string{} }

func (p *parser) float(text string) float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		p.failf("unable to parse literal as a float: %s", err)
	}
	return f
}

func (p *parser) signedNumber() float64 {
	sign := 1.0
	p.hope(Want{Kind: WantNumber})
	if p.accept("-") {
		sign = -1
	} else {
		p.accept("+")
	}
	return sign * p.float(p.take(tokNumber, "NUMBER").str)
}
