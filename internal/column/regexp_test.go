package column

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

// wordsOf cuts words out of values, for expressions that find something.
func wordsOf(rng *rand.Rand, v *block.Values) []string {
	words := append([]string(nil), testWords...)
	for range 40 {
		if w := strings.ToValidUTF8(string(drawNeedle(rng, v)), "?"); len(w) > 0 && len(w) < 30 {
			words = append(words, w)
		}
	}
	return words
}

// checkRegexp compares the columns of a page with Go's regexp, for all rows and for some.
func (p *searchPage) checkRegexp(t require.TestingT, rng *rand.Rand, r *Reader, expr string) {
	plain := regexp.MustCompile(expr)
	re, err := CompileRegexp(expr)
	require.NoError(t, err)
	some := block.NewBitmap(p.values.Len())
	for i := range p.values.Len() {
		if rng.IntN(3) == 0 {
			some.Set(i)
		}
	}
	p.columns(func(name string, c *Column, present Set) {
		for _, among := range []Set{All, SetOf(some)} {
			want := scan(c, p.values, present.And(among), plain.Match)
			requireSame(t, p.values, want, r.MatchRegexp(c, among, re), "%s: %q", name, expr)
			requireSame(t, p.values, want, r.MatchFunc(c, among, plain.Match), "%s: by function %q", name, expr)
		}
	})
	require.NoError(t, r.Err())
	require.Empty(t, r.Wanted())
}

func TestRegexpAgreesWithScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		name, v := drawLines(rng, rapid.IntRange(1, 200).Draw(t, "rows"))
		p := newSearchPage(t, name, v)
		r := p.reader()
		words := wordsOf(rng, v)
		for range 6 {
			p.checkRegexp(t, rng, r, randomExpr(rng, words, 3))
		}
	})
}

func TestRegexpAgreesWithScanOnLargePages(t *testing.T) {
	for _, set := range loggen.Sets() {
		t.Run(set.Name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(11, 12))
			v := set.Lines(13, 100<<10)
			p := newSearchPage(t, set.Name, v)
			r := p.reader()
			words := wordsOf(rng, v)
			for range 5 {
				p.checkRegexp(t, rng, r, randomExpr(rng, words, 3))
			}
			for _, q := range set.Queries {
				if q.Kind == loggen.Regexp {
					p.checkRegexp(t, rng, r, q.Text)
				}
			}
		})
	}
}

func TestRegexpWantsWhatItNeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 4))
		name, v := drawLines(rng, rapid.IntRange(1, 200).Draw(t, "rows"))
		p := newSearchPage(t, name, v)
		words := wordsOf(rng, v)
		for range 5 {
			expr := randomExpr(rng, words, 3)
			plain := regexp.MustCompile(expr)
			re, err := CompileRegexp(expr)
			require.NoError(t, err)
			got, _, rounds := p.ask(t, func(r *Reader) Set { return r.MatchRegexp(p.lines, All, re) })
			requireSame(t, v, scan(p.lines, v, All, plain.Match), got, "%s: %q", name, expr)
			require.LessOrEqual(t, rounds, 16, expr)
			among := SetOf(p.present)
			want := scan(p.lines, v, among, plain.Match)
			got, _, _ = p.ask(t, func(r *Reader) Set { return r.MatchRegexp(p.sparse, All, re) })
			requireSame(t, v, want, got, "%s: sparse %q", name, expr)
			got, _, _ = p.ask(t, func(r *Reader) Set { return r.MatchRegexp(p.lines, among, re) })
			requireSame(t, v, want, got, "%s: among some %q", name, expr)
			got, _, _ = p.ask(t, func(r *Reader) Set { return r.MatchFunc(p.sparse, among, plain.Match) })
			requireSame(t, v, want, got, "%s: by function %q", name, expr)
		}
	})
}

// An expression that needs more states than the limit is matched by other means, with the same answer.
func TestRegexpBeyondTheLimit(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	v := &block.Values{}
	for range 300 {
		line := []byte("level=info msg=")
		for range 60 {
			line = append(line, "ab"[rng.IntN(2)])
		}
		v.Append(append(line, 'x'))
	}
	p := newSearchPage(t, "ab", v)
	r := p.reader()
	const expr = "(?:a|b)*a(?:a|b){13}x"
	p.checkRegexp(t, rng, r, expr)
	re, err := CompileRegexp("(?:a|b)*a(?:a|b){13}[x]?y?$")
	require.NoError(t, err)
	r.MatchRegexp(p.lines, All, re)
	require.True(t, r.automaton(re).full)
}

func TestRegexpIsSafeForConcurrentUse(t *testing.T) {
	set, ok := loggen.Find("logfmt")
	require.True(t, ok)
	v := set.Lines(1, 100<<10)
	p := newSearchPage(t, "logfmt", v)
	re, err := CompileRegexp(`level=(warn|error).*\d+ms`)
	require.NoError(t, err)
	want := scan(p.lines, v, All, re.Match)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { requireSame(t, v, want, p.reader().MatchRegexp(p.lines, All, re), "concurrently") })
	}
	wg.Wait()
}

func TestPureLiterals(t *testing.T) {
	for _, c := range []struct {
		expr string
		op   Op
		want string // texts, a "~" before those without regard to case; "" if there are none
	}{
		{"foo", Contains, "foo"},
		{"(foo)", Contains, "foo"},
		{"foo|bar", Contains, "foo bar"},
		{"foo(bar|baz)", Contains, "foobar foobaz"},
		{"(?i)foo", Contains, "~foo"},
		{"(?i)foo-1|bar", Contains, "~foo-1 ~bar"},
		{"^foo", Prefix, "foo"},
		{"foo$", Suffix, "foo"},
		{"^foo$", Equal, "foo"},
		{"(?i:^foo$)", Equal, "~foo"},
		{".*foo.*", Contains, "foo"},
		{"(?s)^.*foo", Contains, "foo"},
		{"(?s)^.*foo$", Suffix, "foo"},
		{"fo[oa]", Contains, "foo foa"},
		{"a{3}", Contains, "aaa"},
		{"x*foo", Contains, "foo"},
		{"^x*foo", 0, ""},
		{"^.*foo", 0, ""},
		{"(?m)^foo", 0, ""},
		{"(?m)foo$", 0, ""},
		{"foo|^bar", 0, ""},
		{`foo\b`, 0, ""},
		{"foo.bar", 0, ""},
		{"(?i:foo)bar", 0, ""},
		{"(?i)é", 0, ""},
		{"é", Contains, "é"},
		{`\x{fffd}`, 0, ""},
		{"foo+", 0, ""},
	} {
		re, err := CompileRegexp(c.expr)
		require.NoError(t, err, c.expr)
		var got []string
		for _, l := range re.pure {
			if l.fold {
				l.text = "~" + l.text
			}
			got = append(got, l.text)
		}
		require.ElementsMatch(t, strings.Fields(c.want), got, c.expr)
		require.Equal(t, c.op, re.op, c.expr)
	}
}

func TestNeededLiterals(t *testing.T) {
	for _, c := range []struct {
		expr string
		want string // lists are separated by a comma
	}{
		{"foo.*barbaz", "barbaz,foo"},
		{"(foo|barr).*x", "foo barr"},
		{"(foo.*|barr+)x", "foo bar"},
		{"foo?", ""}, // fo: pure
		{"foo+d", "fo"},
		{"(?i)foo.*Bar", "~foo,~bar"},
		{`status=5\d\d`, "status=5"},
		{" 50\\d \\d+ ", "␣50"},
		{"(foo.*)*", ""},
		{"(foo.*){2,}", "foo"},
		{"a.b", ""},
		{"(foo|.)x.", ""},
		{`\bfoo\b`, "foo"},
		{"[a-z]foo", "foo"},
		{"(?i)größe.x", ""},
	} {
		re, err := CompileRegexp(c.expr)
		require.NoError(t, err, c.expr)
		var lists []string
		for _, any := range re.need {
			var texts []string
			for _, l := range any {
				text := strings.ReplaceAll(l.text, " ", "␣")
				if l.fold {
					text = "~" + text
				}
				texts = append(texts, text)
			}
			lists = append(lists, strings.Join(texts, " "))
		}
		require.Equal(t, c.want, strings.Join(lists, ","), c.expr)
	}
}

func TestCompileRegexpRefuses(t *testing.T) {
	for _, expr := range []string{"(", "a{2000}", "\xff", "(?<x"} {
		_, err := CompileRegexp(expr)
		require.ErrorContains(t, err, "regular expression", expr)
	}
}
