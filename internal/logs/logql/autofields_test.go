package logql

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/column"
)

// TestWithAutoFields: where the parser goes. It prints as | auto, which no query can say.
func TestWithAutoFields(t *testing.T) {
	f := func(query, want string) {
		t.Helper()
		e, err := Parse(query)
		require.NoError(t, err)
		before := e.String()
		require.Equal(t, want, WithAutoFields(e).String())
		require.Equal(t, before, e.String(), "the tree that came in changed")
	}
	f(`{a="b"}`, `{a="b"}`)
	f(`{a="b"} |= "x" | decolorize | drop y`, `{a="b"} |= "x" | decolorize | drop y`)
	f(`{a="b"} |= "x" | x > 5 | y = "z"`, `{a="b"} |= "x" | auto | x>5 | y="z"`)
	f(`{a="b"} | __error__ = ""`, `{a="b"} | __error__=""`)
	f(`{a="b"} | logfmt | x > 5`, `{a="b"} | logfmt | x>5`)
	f(`{a="b"} | x > 5 | json`, `{a="b"} | auto | x>5 | json`)
	f(`{a="b"} | line_format "{{__line__}}"`, `{a="b"} | line_format "{{__line__}}"`)
	f(`{a="b"} | line_format "{{.x}}"`, `{a="b"} | auto | line_format "{{.x}}"`)
	f(`{a="b"} | label_format y=x`, `{a="b"} | auto | label_format y=x`)
	f(`{a="b"} | keep x`, `{a="b"} | auto | keep x`)
	f(`{a="b"} | distinct x`, `{a="b"} | auto | distinct x`)
	f(`rate({a="b"}[1m])`, `rate({a="b"}[1m])`)
	f(`sum(rate({a="b"}[1m]))`, `sum(rate({a="b"}[1m]))`)
	f(`sum by (x) (rate({a="b"}[1m]))`, `sum by (x)(rate({a="b"} | auto[1m]))`)
	f(`sum without (x) (rate({a="b"}[1m]))`, `sum without (x)(rate({a="b"}[1m]))`)
	f(`max_over_time({a="b"} | unwrap x [1m])`, `max_over_time({a="b"} | auto | unwrap x[1m])`)
	f(`topk(1, sum by (x) (rate({a="b"}[1m]))) / rate({a="b"}[1m])`, `(topk(1,sum by (x)(rate({a="b"} | auto[1m]))) / rate({a="b"}[1m]))`)
	f(`rate({a="b"}[1m]) / on (x) rate({a="c"}[1m])`, `(rate({a="b"} | auto[1m]) / on (x)  rate({a="c"} | auto[1m]))`)
	f(`label_replace(rate({a="b"}[1m]), "x", "$1", "y", "(.*)")`, `label_replace(rate({a="b"} | auto[1m]),"x","$1","y","(.*)")`)
	f(`variants(sum by (x) (rate({a="b"}[1m]))) of ({a="b"}[1m])`, `variants(sum by (x)(rate({a="b"} | auto[1m]))) of ({a="b"}[1m])`)
	_, err := Parse(`{a="b"} | auto`)
	require.Error(t, err)
}

// TestAutoFieldsPlan: the parser is answered from columns as json and logfmt are, by what a template begins with.
func TestAutoFieldsPlan(t *testing.T) {
	q, err := ParseLogQuery(`{app="a"} |= "x" | a > 5`)
	require.NoError(t, err)
	p := newPushPlan(WithAutoFields(q).(*LogQuery).Stages, pushScope{hints: &hints{}})
	require.True(t, p.exact)
	require.Len(t, p.filters, 1)
	for _, c := range []struct {
		mode  column.Mode
		first string
		want  bool
	}{
		{column.JSON, `{"a":`, true},
		{column.JSON, ` {"a":`, true},
		{column.Logfmt, `a=`, true},
		{column.Logfmt, `{a=`, false},
		{column.Logfmt, ``, false},
		{column.Generic, `a`, false},
		{column.Whole, ``, false},
	} {
		require.Equal(t, c.want, p.parser.readable(&column.Template{Mode: c.mode, Pieces: []string{c.first, ""}}), "%d %q", c.mode, c.first)
	}
}
