package traceql

// Precedence of the operators in a filter, low to high. "!" and "-" before an operand bind
// what stands to their right down to their own level.
var exprPrecedence = map[string]int{
	"&&": 1, "||": 1,
	"=": 2, "!=": 2, "<": 2, "<=": 2, ">": 2, ">=": 2, "=~": 2, "!~": 2,
	"+": 3, "-": 3,
	"*": 5, "/": 5, "%": 5,
	"^": 6,
}

const (
	minusOperand = 5 // -a * b is -(a * b), -a + b is (-a) + b
	notOperand   = 5
	powerLevel   = 6
)

func isComparison(t token) bool { return t.kind == tokOp && exprPrecedence[t.text] == 2 }

// expr reads an expression whose operators have at least the given precedence.
func (p *parser) expr(least int) (Expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	left, err := p.unary()
	if err != nil {
		return nil, err
	}
	for chain := 0; p.tok.kind == tokOp && exprPrecedence[p.tok.text] >= least; chain++ {
		if chain > maxChain {
			return nil, p.errorf("expression is too long, at most %d operators in a row are allowed", maxChain)
		}
		op := p.tok.text
		if err := p.advance(); err != nil {
			return nil, err
		}
		next := exprPrecedence[op] + 1
		if op == "^" {
			next = powerLevel // groups from the right
		}
		right, err := p.expr(next)
		if err != nil {
			return nil, err
		}
		left = &Binary{op, left, right}
	}
	return left, nil
}

// maxChain bounds a && b && c …, which nests to the left as deep as it is long.
const maxChain = 2000

func (p *parser) unary() (Expr, error) {
	op := p.tok.text
	switch {
	case p.tok.isOp("-"):
		return p.unaryOf(op, minusOperand)
	case p.tok.isOp("!"):
		return p.unaryOf(op, notOperand)
	}
	return p.primary()
}

func (p *parser) unaryOf(op string, least int) (Expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	x, err := p.expr(least)
	if err != nil {
		return nil, err
	}
	return &Unary{op, x}, nil
}

func (p *parser) primary() (Expr, error) {
	if v, ok := literal(p.tok); ok {
		return &Literal{v}, p.advance()
	}
	switch {
	case p.tok.isOp("("):
		if err := p.advance(); err != nil {
			return nil, err
		}
		e, err := p.expr(1)
		if err != nil {
			return nil, err
		}
		return e, p.closeParen()
	case p.tok.kind == tokIdentifier:
		return nil, p.errorf("unknown identifier: %s", p.tok.text)
	}
	return p.attribute()
}

// attribute = scope name | scope ":" intrinsic | intrinsic
func (p *parser) attribute() (*Attribute, error) {
	t := p.tok
	switch {
	case t.kind == tokScope:
		if err := p.advance(); err != nil {
			return nil, err
		}
		if t.str == "" {
			return nil, p.unexpected("IDENTIFIER")
		}
		return storedAttribute(t), nil
	case t.kind == tokOp && scopedIntrinsics[t.text] != nil:
		if err := p.advance(); err != nil {
			return nil, err
		}
		return p.scopedIntrinsic(t.text)
	case t.kind == tokKeyword && bareIntrinsics[t.text] != IntrinsicNone:
		return &Attribute{Intrinsic: bareIntrinsics[t.text]}, p.advance()
	}
	return nil, p.unexpected()
}

func (p *parser) scopedIntrinsic(scope string) (*Attribute, error) {
	known := scopedIntrinsics[scope]
	for _, k := range known {
		if p.tok.isWord(k.word) {
			return &Attribute{Intrinsic: k.is}, p.advance()
		}
	}
	if len(known) > 4 {
		return nil, p.unexpected()
	}
	words := make([]string, len(known))
	for i, k := range known {
		words[i] = k.word
	}
	return nil, p.unexpected(words...)
}

func storedAttribute(t token) *Attribute {
	a := &Attribute{Name: t.str}
	switch t.text {
	case "span.":
		a.Scope = ScopeSpan
	case "resource.":
		a.Scope = ScopeResource
	case "event.":
		a.Scope = ScopeEvent
	case "link.":
		a.Scope = ScopeLink
	case "instrumentation.":
		a.Scope = ScopeInstrumentation
	case "parent.":
		a.Parent = true
	case "parent.span.":
		a.Parent, a.Scope = true, ScopeSpan
	case "parent.resource.":
		a.Parent, a.Scope = true, ScopeResource
	}
	return a
}

var wordLiterals = map[string]Value{
	"true": boolValue(true), "false": boolValue(false), "nil": {},
	"minInt": intValue(minInt), "maxInt": intValue(maxInt),
	"unset": statusValue(0), "ok": statusValue(1), "error": statusValue(2),
	"unspecified": spanKindValue(0), "internal": spanKindValue(1), "server": spanKindValue(2),
	"client": spanKindValue(3), "producer": spanKindValue(4), "consumer": spanKindValue(5),
}

// literal returns the constant that t is, if it is one.
func literal(t token) (Value, bool) {
	switch t.kind {
	case tokString:
		return stringValue(t.str), true
	case tokInt:
		return intValue(t.num), true
	case tokFloat:
		return floatValue(t.flt), true
	case tokDuration:
		return durationValue(t.num), true
	case tokKeyword:
		v, ok := wordLiterals[t.text]
		return v, ok
	}
	return Value{}, false
}

// scalar reads an arithmetic expression of aggregates and numbers.
func (p *parser) scalar(least int) (Scalar, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	n := node{}
	var err error
	if p.tok.isOp("(") {
		n, err = p.operand()
	} else {
		n.scalar, err = p.scalarOperand()
	}
	if err != nil {
		return nil, err
	}
	if n.scalar == nil {
		return nil, p.unexpected()
	}
	return p.scalarOps(n.scalar, least)
}

// scalarOps reads arithmetic operators of at least the given precedence after left.
func (p *parser) scalarOps(left Scalar, least int) (Scalar, error) {
	for chain := 0; p.tok.kind == tokOp && exprPrecedence[p.tok.text] >= max(least, 3); chain++ {
		if chain > maxChain {
			return nil, p.errorf("expression is too long, at most %d operators in a row are allowed", maxChain)
		}
		op := p.tok.text
		if err := p.advance(); err != nil {
			return nil, err
		}
		next := exprPrecedence[op] + 1
		if op == "^" {
			next = powerLevel
		}
		right, err := p.scalar(next)
		if err != nil {
			return nil, err
		}
		left = &ScalarOp{op, left, right}
	}
	return left, nil
}

var aggregateFns = set("count", "min", "max", "avg", "sum")

// scalarOperand = aggregate | number
func (p *parser) scalarOperand() (Scalar, error) {
	switch {
	case p.tok.kind == tokInt, p.tok.kind == tokFloat, p.tok.kind == tokDuration, p.tok.isOp("-"):
		v, err := p.signedLiteral()
		return &ScalarLiteral{v}, err
	case p.tok.isWord("count"):
		return &Aggregate{Fn: "count"}, p.emptyCall()
	case p.tok.kind == tokKeyword && aggregateFns[p.tok.text]:
		fn := p.tok.text
		arg, err := p.callExpr()
		return &Aggregate{fn, arg}, err
	}
	return nil, p.unexpected()
}
