package column

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

// requireTriples checks that every triple of lines, slots and Raw columns is in its set of the page, where c, the column of
// lines, or the Raw column says so.
func requireTriples(t require.TestingT, lines *block.Values, c *Column, enc *Encoded) {
	r := NewReader(withShapes(t, enc.Page))
	for i, b := range unpack(t, enc) {
		r.Supply(i, b)
	}
	sets := r.page.Triples
	requireIn := func(set *block.Bitmap, v *block.Values) {
		for i := range v.Len() {
			require.True(t, hasTriples(set, v.At(i)), "%q", v.At(i))
		}
	}
	if c.Triples {
		requireIn(sets.Lines, lines)
		for k := range r.page.Columns[0].Templates {
			for s := range r.page.Columns[0].Templates[k].Slots {
				var v block.Values
				r.Values(&v, r.page.Columns[0].Templates[k].Slots[s].Values(), All)
				requireIn(sets.Slots, &v)
			}
		}
	}
	eachColumn(r.page, func(c *Column) {
		if c.Kind == Raw && c.Triples {
			requireIn(sets.Raw, r.rawBytes(c))
		}
	})
	require.NoError(t, r.Err())
}

func TestTriplesOfSystems(t *testing.T) {
	for _, set := range loggen.Sets() {
		t.Run(set.Name, func(t *testing.T) {
			v := set.Lines(1, 1<<20)
			e := NewEncoder(block.Fast)
			c := e.Lines(v)
			enc := e.Finish()
			p := enc.Page
			requireTriples(t, v, c, enc)
			if set.Adversarial {
				return
			}
			require.True(t, c.Triples)
			require.Less(t, p.Triples.Lines.Count(), triplesLen/3)
		})
	}
}

// TestTriplesOfLines draws lines whose letters stand in pieces, in slots, in slots of slots, and across their borders.
func TestTriplesOfLines(t *testing.T) {
	word := rapid.SampledFrom([]string{"a", "b", "ab", "xyz", "Error", "ﬁ", "", "0", "7f", "beef", "-", "=", `"`, " ", "_", "zz9", "K", "über"})
	rapid.Check(t, func(t *rapid.T) {
		forms := rapid.SliceOfN(rapid.SliceOfN(word, 1, 6), 1, 5).Draw(t, "forms")
		values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(word, 0, 4).Draw(t, "value"), "")
		}), 1, 40).Draw(t, "values")
		seed := rapid.Uint64().Draw(t, "seed")
		v := &block.Values{}
		for i := range 400 {
			seed = seed*6364136223846793005 + 1442695040888963407
			form := forms[int(seed>>33)%len(forms)]
			v.AppendString(strings.Join(form, values[int(seed>>40)%len(values)]) + fmt.Sprintf(" %x", seed>>uint(i%60)))
		}
		e := NewEncoder(block.Fast)
		c := e.Lines(v)
		requireTriples(t, v, c, e.Finish())
	})
}

// TestTriplesSpareReading: a word that no line has is found out from the directory alone, whichever case is asked for,
// and one whose triples are all there is looked for.
func TestTriplesSpareReading(t *testing.T) {
	lines := valuesOf(repeated(2000, func(i int) string {
		return fmt.Sprintf("request of user%s took %d ms at host-%c", []string{"alice", "bob", "carol"}[i%3], i, 'a'+i%20)
	})...)
	e := NewEncoder(block.Fast)
	e.Lines(lines)
	enc := e.Finish()
	r := NewReader(withShapes(t, enc.Page))
	c := r.page.Columns[0]
	for _, word := range []string{"nosuchword", "Timeout", "useralicecarol"} {
		require.True(t, r.Match(c, Contains, []byte(word)).IsNone())
		require.True(t, r.MatchFold(c, Contains, []byte(word)).IsNone())
		require.Empty(t, r.Wanted())
	}
	re, err := CompileRegexp("(?i)no[st]uch.*word")
	require.NoError(t, err)
	require.True(t, r.MatchRegexp(c, All, re).IsNone())
	require.Empty(t, r.Wanted())
	r = reopen(t, enc.Page, unpack(t, enc))
	require.Equal(t, 667, r.MatchFold(r.page.Columns[0], Contains, []byte("USERALICE")).Count(lines.Len()))
}

// TestTriplesOfRandomLetters: a column of random letters is left out, and the others are not.
func TestTriplesOfRandomLetters(t *testing.T) {
	seed := uint64(1)
	lines := valuesOf(repeated(4000, func(i int) string {
		var token [32]byte
		for k := range token {
			seed = seed*6364136223846793005 + 1442695040888963407
			token[k] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[seed>>33%52]
		}
		return fmt.Sprintf("token=%s user=%c%c", token[:], 'a'+i%20, 'g'+i%19)
	})...)
	e := NewEncoder(block.Fast)
	c := e.Lines(lines)
	p := e.Finish().Page
	require.False(t, c.Triples)
	require.Less(t, p.Triples.Lines.Count(), 100)
	marked := tripleColumns(p)
	require.Contains(t, marked, true)
}
