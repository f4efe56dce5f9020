package traceql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hune-io/hune/internal/traces"
)

func scanRange(t *testing.T, s string) (start, end uint64) {
	from, to, ok := strings.Cut(s, "..")
	if !ok {
		t.Fatalf("range %q", s)
	}
	return epoch + uint64(mustDuration(t, from)), epoch + uint64(mustDuration(t, to))
}

func printValues(list []traces.Attribute) string {
	var b strings.Builder
	for i := range list {
		fmt.Fprintf(&b, "%s%s\n", list[i].Key, " "+fromAttribute(&list[i]).String())
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func printSelect(t *testing.T, text string) string {
	q, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	p, err := compile(q)
	if err != nil {
		t.Fatal(err)
	}
	if p.need.id != "" {
		return "trace " + p.need.id + "\n"
	}
	s := p.need.selection(0, 0)
	if len(s.Conditions) == 0 {
		return "everything\n"
	}
	var b strings.Builder
	if s.AllConditions {
		b.WriteString("all of\n")
	} else {
		b.WriteString("any of\n")
	}
	for _, c := range s.Conditions {
		fmt.Fprintf(&b, "  %s %s %s", c.Scope, c.Key, c.Op)
		if c.Op != "exists" {
			fmt.Fprintf(&b, " %s", fromAttribute(&c.Operand))
		}
		b.WriteString("\n")
	}
	return b.String()
}
