package traces

import (
	"cmp"
	"math"

	"github.com/grafana/regexp"
)

// conditions tests what a Select allows to leave out. A test may let through too much, never too
// little: the query engine decides again.
type conditions struct {
	tests []condition
	all   bool
}

// condition is one compiled Condition. One that can't be judged here (an intrinsic that needs the
// tree, an operator of tomorrow) passes everything.
type condition struct {
	Condition
	pass bool
	re   *regexp.Regexp // =~ finds anywhere and . matches a newline, !~ neither: each lets through more
}

func compileConditions(s Select) conditions {
	out := conditions{all: s.AllConditions}
	for _, c := range s.Conditions {
		out.tests = append(out.tests, compileCondition(c))
	}
	return out
}

func compileCondition(c Condition) condition {
	out := condition{Condition: c}
	switch c.Op {
	case "=", "!=", ">", ">=", "<", "<=", "exists":
	case "=~", "!~":
		pattern := "(?s:" + c.Operand.Str + ")"
		if c.Op == "!~" {
			pattern = "^(?:" + c.Operand.Str + ")$"
		}
		re, err := regexp.Compile(pattern)
		if err != nil || c.Operand.Type != TypeString {
			out.pass = true
			return out
		}
		out.re = re
	default:
		out.pass = true
	}
	if c.Scope == "intrinsic" {
		switch c.Key {
		case "name", "status", "kind", "duration":
		default:
			out.pass = true
		}
	}
	return out
}

// on reports whether the condition looks at attributes of that scope.
func (c *condition) on(scope TagScope) bool {
	return c.Scope == string(scope) || c.Scope == ""
}

// trace reports whether the trace may match.
func (cs *conditions) trace(t *Trace) bool {
	if len(cs.tests) == 0 {
		return true
	}
	for i := range cs.tests {
		if cs.tests[i].trace(t) != cs.all {
			return !cs.all
		}
	}
	return cs.all
}

func (c *condition) trace(t *Trace) bool {
	if c.pass {
		return true
	}
	var resource *Resource // the spans of one resource mostly follow each other
	for _, s := range t.Spans {
		if c.span(s) || s.Resource != resource && c.resource(s.Resource) {
			return true
		}
		resource = s.Resource
	}
	return false
}

// span tests what belongs to the span itself, without its resource.
func (c *condition) span(s *Span) bool {
	switch {
	case c.Scope == "intrinsic":
		return c.intrinsic(s)
	case c.on("span") && c.any(s.Attributes):
		return true
	case c.on("instrumentation") && s.Scope != nil && c.any(s.Scope.Attributes):
		return true
	}
	if c.on("event") {
		for i := range s.Events {
			if c.any(s.Events[i].Attributes) {
				return true
			}
		}
	}
	if c.on("link") {
		for i := range s.Links {
			if c.any(s.Links[i].Attributes) {
				return true
			}
		}
	}
	return false
}

func (c *condition) resource(r *Resource) bool {
	return r != nil && c.on("resource") && c.any(r.Attributes)
}

func (c *condition) any(attrs []Attribute) bool {
	for i := range attrs {
		if attrs[i].Key == c.Key && c.value(&attrs[i]) {
			return true
		}
	}
	return false
}

func (c *condition) intrinsic(s *Span) bool {
	switch c.Key {
	case "name":
		return c.text(s.Name)
	case "status":
		return c.enum(int64(s.Status), statusNames[:])
	case "kind":
		return c.enum(int64(s.Kind), kindNames[:])
	case "duration":
		return c.number(&Attribute{Type: TypeInt, Int: duration(s)})
	}
	return true
}

// duration is zero for a span that ends before it starts, as in TraceQL.
func duration(s *Span) int64 {
	if s.End < s.Start {
		return 0
	}
	return int64(min(s.End-s.Start, math.MaxInt64))
}

var (
	statusNames = [...]string{StatusUnset: "unset", StatusOK: "ok", StatusError: "error"}
	kindNames   = [...]string{"unspecified", "internal", "server", "client", "producer", "consumer"}
)

// enum tests a status or kind, whose operand is its number or its name.
func (c *condition) enum(v int64, names []string) bool {
	if c.Operand.Type == TypeString {
		name := ""
		if v < int64(len(names)) {
			name = names[v]
		}
		return c.text(name)
	}
	return c.number(&Attribute{Type: TypeInt, Int: v})
}

// value tests one attribute value. Of an array, any element will do.
func (c *condition) value(a *Attribute) bool {
	if c.pass || c.Op == "exists" {
		return true
	}
	switch a.Type {
	case TypeString:
		return c.text(a.Str)
	case TypeInt, TypeFloat, TypeBool:
		return c.number(a)
	case TypeOpaque:
		return c.negative()
	}
	for i := range a.Array {
		if c.value(&a.Array[i]) {
			return true
		}
	}
	return false
}

// negative is the answer for a value of another type than the operand's.
func (c *condition) negative() bool { return c.Op == "!=" || c.Op == "!~" }

func (c *condition) text(s string) bool {
	if c.Op == "exists" {
		return true
	}
	if c.Operand.Type != TypeString {
		return c.negative()
	}
	switch c.Op {
	case "=~":
		return c.re.MatchString(s)
	case "!~":
		return !c.re.MatchString(s)
	}
	return c.compared(cmp.Compare(s, c.Operand.Str))
}

func (c *condition) number(a *Attribute) bool {
	o := &c.Operand
	switch {
	case c.Op == "exists":
		return true
	case (a.Type == TypeBool) != (o.Type == TypeBool), o.Type != TypeInt && o.Type != TypeFloat && o.Type != TypeBool:
		return c.negative()
	case a.Type != TypeFloat && o.Type != TypeFloat:
		return c.compared(cmp.Compare(a.Int, o.Int))
	}
	x, y := asFloat(a), asFloat(o)
	if math.IsNaN(x) || math.IsNaN(y) {
		return c.negative()
	}
	// An integer beyond 2^53 loses its last bits here, so a near miss passes.
	if x == y && a.Type != o.Type {
		return true
	}
	return c.compared(cmp.Compare(x, y))
}

func asFloat(a *Attribute) float64 {
	if a.Type == TypeFloat {
		return a.Float
	}
	return float64(a.Int)
}

func (c *condition) compared(r int) bool {
	switch c.Op {
	case "=":
		return r == 0
	case "!=":
		return r != 0
	case ">":
		return r > 0
	case ">=":
		return r >= 0
	case "<":
		return r < 0
	case "<=":
		return r <= 0
	}
	return true
}

// overlaps reports whether [start, end] has something in common with the range of s. Both bounds
// zero is any time, a zero End alone is open.
func (s *Select) overlaps(start, end uint64) bool {
	return end >= s.Start && (s.End == 0 || start <= s.End)
}
