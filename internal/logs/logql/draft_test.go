package logql

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
)

const cursorMark = "¦"

// TestDraft runs testdata/draft. The command draft takes a query with the cursor marked by ¦ and prints the tree, the
// faults and what may come.
func TestDraft(t *testing.T) {
	datadriven.RunTest(t, "testdata/draft.txt", func(t *testing.T, d *datadriven.TestData) string {
		require.Equal(t, "draft", d.Cmd)
		var b strings.Builder
		for q := range strings.SplitSeq(d.Input, "\n") {
			cursor := strings.Index(q, cursorMark)
			require.GreaterOrEqual(t, cursor, 0, "no cursor in %q", q)
			text := strings.Replace(q, cursorMark, "", 1)
			fmt.Fprintf(&b, "%s\n", q)
			printDraft(&b, ParseTolerant(text, cursor), text)
		}
		return b.String()
	})
}

func printDraft(b *strings.Builder, d Draft, text string) {
	if d.Expr != nil {
		fmt.Fprintf(b, "  tree %s\n", d.Expr)
	}
	for _, f := range d.Faults {
		fmt.Fprintf(b, "  fault %d:%d %q %s", f.Line, f.Col, text[f.From:f.To], f.Msg)
		if f.Hint != "" {
			fmt.Fprintf(b, " (%s)", f.Hint)
		}
		b.WriteByte('\n')
	}
	if d.Prefix != "" || d.From != d.To {
		fmt.Fprintf(b, "  typed %q of %q\n", d.Prefix, text[d.From:d.To])
	}
	if d.Selector != "" {
		fmt.Fprintf(b, "  selector %s\n", d.Selector)
	}
	fmt.Fprintf(b, "  wants%s\n", wantText(d.Wants))
}

// wantText prints wants by kind. Long lists are shortened to their number.
func wantText(wants []Want) string {
	var kinds []WantKind
	by := map[WantKind][]string{}
	for _, w := range wants {
		if !slices.Contains(kinds, w.Kind) {
			kinds = append(kinds, w.Kind)
		}
		if text := w.Text + w.Label; text != "" {
			by[w.Kind] = append(by[w.Kind], text)
		}
	}
	var b strings.Builder
	for _, k := range kinds {
		switch {
		case k == WantFunction && len(by[k]) == len(expressionFunctions):
			b.WriteString(" | functions")
		case k == WantStage && len(by[k]) == len(stageWords):
			b.WriteString(" | stages")
		default:
			b.WriteString(" | " + strings.TrimSpace(string(k)+" "+strings.Join(by[k], " ")))
		}
	}
	return b.String()
}

// FuzzDraft: no text and no cursor makes the tolerant parser fail, what it says lies inside the text, and it finds
// faults in exactly those queries that Parse refuses.
func FuzzDraft(f *testing.F) {
	for _, q := range corpusQueries(f) {
		f.Add(q, len(q)/2)
	}
	f.Add("sum(rate({a=\"b\"}[5", 3)
	f.Add("{a=\"b\"} # c", 10)
	f.Fuzz(func(t *testing.T, q string, cursor int) {
		d := ParseTolerant(q, cursor)
		_, err := Parse(q)
		require.Equal(t, err != nil, len(d.Faults) > 0, "%q: %v", q, err)
		require.True(t, 0 <= d.From && d.From <= d.To && d.To <= len(q), "%q: %d to %d", q, d.From, d.To)
		for i, fault := range d.Faults {
			require.True(t, 0 <= fault.From && fault.From <= fault.To && fault.To <= len(q), "%q: %+v", q, fault)
			require.True(t, i == 0 || d.Faults[i-1].From < fault.From, "%q: faults out of order", q)
			require.Positive(t, fault.Line)
		}
		if d.Expr != nil && err == nil {
			require.True(t, utf8.ValidString(d.Expr.String()) || !utf8.ValidString(q))
		}
	})
}

// TestHints: the strict parser says what might have been meant, apart from its text.
func TestHints(t *testing.T) {
	f := func(query, hint string) {
		t.Helper()
		_, err := Parse(query)
		var e *ParseError
		require.ErrorAs(t, err, &e)
		require.Equal(t, hint, e.Hint)
		require.NotContains(t, err.Error(), "did you mean")
	}
	f(`rat({app="a"}[5m])`, "did you mean rate?")
	f(`sum by (a) (cout_over_time({app="a"}[5m]))`, "did you mean count_over_time?")
	f(`{app="a"} | jsn | x="y"`, "did you mean json?")
	f(`{app="a"} | logfm | level="error"`, "did you mean logfmt?")
	f(`{app=a}`, "put a in quotes")
	f(`{app="a"} |= error`, "put error in quotes")
	f(`{app="a"} | level = error`, "put error in quotes")
	f(`{app='a'}`, `quote with " or with backquotes`)
	f(`rate({app="a"})`, "a window such as [5m] is missing")
	f(`{app="a"} zzz`, "")
	f(`zzzzzz({app="a"})`, "")
}
