package column

import (
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomExpr returns an expression of the grammar that tests draw from: literals (words of the corpora
// among them), classes, alternatives, repetitions, assertions, groups with flags, runes beyond ASCII.
func randomExpr(rng *rand.Rand, words []string, depth int) string {
	one := func(list ...string) string { return list[rng.IntN(len(list))] }
	if depth == 0 {
		switch rng.IntN(8) {
		case 0, 1, 2:
			return regexp.QuoteMeta(words[rng.IntN(len(words))])
		case 3:
			return one("a", "b", "k", "s", "S", "1", "0", "=", `"`, " ", "é", "ſ", "\u212a", "世", "-", `\.`, `\n`, `\x{fffd}`)
		case 4:
			return one(".", `\d`, `\w`, `\W`, `\s`, `\S`, `\D`, "[a-f0-9]", "[^ ]", "[^a]", "[k-s]", "[é-ü]", "[[:upper:]]", `\pL`, `[\x{80}-\x{ffff}]`, `[^\x00-\x7f]`)
		case 5:
			return one("^", "$", `\b`, `\B`, `\A`, `\z`, "(?m:^)", "(?m:$)")
		case 6:
			return one("(?s:.)", "(?i:ks)", "(?i:é)", "(?i:[a-k])", "(?i:error)")
		}
		return one(`\d+`, ".*", ".+", `\w+`, `\d{2,3}`, "[0-9a-f]{8}", " +")
	}
	sub := func() string { return randomExpr(rng, words, rng.IntN(depth)) }
	switch rng.IntN(10) {
	case 0, 1, 2, 3:
		return sub() + sub()
	case 4:
		return sub() + sub() + sub()
	case 5, 6:
		return "(?:" + sub() + "|" + sub() + ")"
	case 7:
		return "(?:" + sub() + ")" + one("*", "+", "?", "{2}", "{1,3}", "*?")
	case 8:
		return "(?i:" + sub() + ")"
	}
	return one("(?i)", "(?s)", "(?m)", "^", "") + sub() + one("$", "", "")
}

func randomText(rng *rand.Rand, words []string) []byte {
	var b []byte
	for range rng.IntN(8) {
		switch rng.IntN(6) {
		case 0, 1:
			b = append(b, words[rng.IntN(len(words))]...)
		case 2:
			b = append(b, " =\"\n.-_k"[rng.IntN(8)])
		case 3:
			b = append(b, "0123456789abcdefKS"[rng.IntN(18)])
		case 4:
			b = append(b, []string{"é", "ſ", "\u212a", "世界", "\U0001f600", "ü", "\ufffd"}[rng.IntN(7)]...)
		case 5:
			whole := "\xc3\xa9\xe4\xb8\x96\xf0\x9f\x98\x80\xed\xa0\x80\xc0\x80\xf4\x90"
			i := rng.IntN(len(whole))
			b = append(b, whole[i:i+rng.IntN(len(whole)-i)+1]...)
		}
	}
	return b
}

var testWords = []string{"error", "task", "Kelvin", "status", "GET", "ok", "10.0", "blk_", "foo", "bar", "ab", "caf\u00e9", "s", "k"}

func TestAutomatonAgreesWithRegexp(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 5_000 {
		expr := randomExpr(rng, testWords, 3)
		plain, err := regexp.Compile(expr)
		require.NoError(t, err, expr)
		tree, err := syntax.Parse(expr, syntax.Perl)
		require.NoError(t, err)
		prog, err := newProgram(tree)
		require.NoError(t, err)
		d := newDFA(prog)
		for range 30 {
			text := randomText(rng, testWords)
			got := d.matches(run(d, d.start(), text))
			if !d.full {
				require.Equal(t, plain.Match(text), got, "%q in %q", expr, text)
			}
		}
	}
}

func TestAutomatonIsSmall(t *testing.T) {
	text := strings.Repeat("größe 世界 \U0001f600 и тест 0123 abcdef. ", 200)
	for _, expr := range []string{"foo.*bar", "[^x]+y", `\bfoo\b`, "(?i)kelvin scale", `status=5\d\d .*took \d+ms`} {
		tree, err := syntax.Parse(expr, syntax.Perl)
		require.NoError(t, err)
		prog, err := newProgram(tree)
		require.NoError(t, err)
		d := newDFA(prog)
		run(d, d.start(), text)
		require.Less(t, len(d.states), 200, "states of %s: text of many scripts must not make one for each character", expr)
	}
}

func TestAutomatonGivesUp(t *testing.T) {
	tree, err := syntax.Parse("(?:a|b)*a(?:a|b){14}x", syntax.Perl)
	require.NoError(t, err)
	prog, err := newProgram(tree)
	require.NoError(t, err)
	d := newDFA(prog)
	rng := rand.New(rand.NewPCG(5, 6))
	text := make([]byte, 1<<16)
	for i := range text {
		text[i] = "ab"[rng.IntN(2)]
	}
	require.Equal(t, int32(dfaFull), run(d, d.start(), text))
	require.True(t, d.full)
	require.LessOrEqual(t, len(d.states), dfaMaxStates)
}
