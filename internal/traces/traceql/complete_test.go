package traceql

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// printCompletion prints what may stand at § in text: a line for each kind of choice, then wishes.
func printCompletion(text string) string {
	before, after, _ := strings.Cut(text, "§")
	c := Complete(before+after, len(before))
	var b strings.Builder
	if c.Start != c.End {
		fmt.Fprintf(&b, "replaces %q\n", (before + after)[c.Start:c.End])
	}
	var kinds []string
	words := map[string][]string{}
	for _, x := range c.Choices {
		if words[x.Kind] == nil {
			kinds = append(kinds, x.Kind)
		}
		words[x.Kind] = append(words[x.Kind], x.Text)
	}
	for _, k := range kinds {
		fmt.Fprintf(&b, "%s: %s\n", k, strings.Join(words[k], " "))
	}
	if c.Number {
		b.WriteString("a number\n")
	}
	if c.Names {
		fmt.Fprintf(&b, "names of %q\n", scopeNames[c.Scope])
	}
	if c.Values != "" {
		fmt.Fprintf(&b, "values of %s\n", c.Values)
	}
	if c.Filter != "" {
		fmt.Fprintf(&b, "where %s\n", c.Filter)
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func printFaults(text string) string {
	var b strings.Builder
	for _, f := range Faults(text) {
		fmt.Fprintf(&b, "%d-%d %s", f.Start, f.End, f.Msg)
		if f.Hint != "" {
			b.WriteString(" (" + f.Hint + ")")
		}
		b.WriteString("\n")
	}
	if b.Len() == 0 {
		return "none\n"
	}
	return b.String()
}

var completedQueries = append([]string{
	"{ .a = 1 } | select(span.b, name, event:name) | coalesce() | by(.x + 1) | min(duration * 2) > 3ms",
	"{ } | rate() by (resource.service.name, name) > 1 | topk(3) | bottomk(1) <= 2.5 with(exemplars=true, sample=0.5)",
	"{ } | quantile_over_time(span:duration, 0.5, 0.9) by (kind) with(most_recent=true)",
	"{ } | compare({ status = error && kind != client }, 3, 1, 2)", "({ .a } | avg(.b) > 1) &>> ({ .c } | count() = 1)",
	"{ } | histogram_over_time(duration)", "({ } | count()) + 1 > 3", "count() * 2 > 3 | { parent.a =~ `x` }",
}, seedQueries...)

// TestCompleteAgrees: between any two words of a query, what is offered is what the parser takes
// there, and what the query says there is among what is offered.
func TestCompleteAgrees(t *testing.T) {
	check := func(t require.TestingT, query string) {
		if _, err := ParseOnly(query); err != nil {
			return
		}
		l := newLexer(query)
		for end := 0; ; {
			next, err := l.next()
			require.NoError(t, err)
			prefix := query[:end] + " "
			c := Complete(prefix, len(prefix))
			for _, choice := range c.Choices {
				_, err := ParseOnly(prefix + choice.Text)
				var se *SyntaxError
				if errors.As(err, &se) && se.Start < len(prefix+choice.Text) {
					require.Fail(t, "the parser refuses what is offered", "%s§%s: %v", prefix, choice.Text, err)
				}
			}
			if next.kind == tokEOF {
				return
			}
			if !offers(c, next) {
				require.Fail(t, "the query goes on with what isn't offered", "%s§ %s: %+v", prefix, query[next.off:], c)
			}
			end = l.off
			if next.kind == tokOp && scopedIntrinsics[next.text] != nil { // span: and its word are written together
				_, err = l.next()
				require.NoError(t, err)
				end = l.off
			}
		}
	}
	for _, q := range completedQueries {
		check(t, q)
	}
	rapid.Check(t, func(rt *rapid.T) { check(rt, genQuery(rt)) })
}

func offers(c Completion, t token) bool {
	switch t.kind {
	case tokInt, tokFloat, tokDuration:
		return c.Number
	case tokString:
		return c.Values != "" || c.Names
	case tokScope:
		return c.Names || c.Values != ""
	}
	return slices.ContainsFunc(c.Choices, func(x Choice) bool {
		return x.Text == t.text || strings.HasPrefix(x.Text, t.text+"(") || strings.HasPrefix(x.Text, t.text)
	}) || c.Number && t.isOp("-") || t.kind == tokIdentifier || c.Values != "" || c.Names && t.kind == tokKeyword
}

func TestCompleteSettles(t *testing.T) {
	require.Equal(t, Complete("{ }", 3), Complete("{ }", 99))
	require.Equal(t, Complete("{ }", 3), Complete("{ }", -1))
}

// FuzzComplete: any text at any cursor is answered, within the text.
func FuzzComplete(f *testing.F) {
	for i, q := range completedQueries {
		f.Add(q, i*3)
	}
	f.Fuzz(func(t *testing.T, text string, cursor int) {
		c := Complete(text, cursor)
		if c.Start < 0 || c.Start > c.End || c.End > len(text) {
			t.Fatalf("replaces %d to %d of %d bytes", c.Start, c.End, len(text))
		}
		for _, fault := range Faults(text) {
			if fault.Start < 0 || fault.Start > fault.End || fault.End > len(text) {
				t.Fatalf("fault at %d to %d of %d bytes", fault.Start, fault.End, len(text))
			}
		}
		if _, err := Parse(text); (err == nil) != (len(Faults(text)) == 0) {
			t.Fatalf("%v, faults %v", err, Faults(text))
		}
	})
}
