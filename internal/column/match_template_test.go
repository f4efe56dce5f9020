package column

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

// handPage makes a page of one Text column, the lines of which are all of one template. So the pieces and
// slots are those of a case, and not what an Encoder makes of the lines.
func handPage(t require.TestingT, pieces []string, slots [][]string) *searchPage {
	e := NewEncoder(block.Fast)
	rows := len(slots[0])
	tmpl := Template{Mode: Generic, Rows: rows, Pieces: pieces}
	for _, values := range slots {
		tmpl.Slots = append(tmpl.Slots, Slot{Column: e.Strings(valuesOf(values...)), Shared: -1})
	}
	enc := e.Finish()
	c := newColumn(Text, rows)
	c.TextForm = &TextForm{IDs: newColumn(Const, rows), Templates: []Template{wholeTemplate(0, newColumn(Const, 0)), tmpl}}
	c.IDs.setConstant([]byte("1"))
	c.stampText()
	c.Stamp.MinLen, c.Stamp.MaxLen = tmpl.lengths()
	enc.Page.Columns = []*Column{c}
	enc.Page.number()
	v := &block.Values{}
	for j := range rows {
		line := pieces[0]
		for s := range slots {
			line += slots[s][j] + pieces[s+1]
		}
		v.AppendString(line)
	}
	return &searchPage{values: v, blobs: unpack(t, enc), page: enc.Page, lines: c}
}

var handCases = []struct {
	name   string
	pieces []string
	slots  [][]string
}{
	{"empty slots", []string{"a", "b"}, [][]string{{"", "a", "", "b", "ab"}}},
	{"adjacent slots", []string{"", "", ""}, [][]string{{"", "a", "ab", "b", ""}, {"b", "", "a", "ab", ""}}},
	{"three adjacent slots", []string{"x", "", "", ""}, [][]string{{"", "", "x", "y"}, {"", "x", "", "x"}, {"x", "", "", "yx"}}},
	{"slots of one byte", []string{"", "a", "", "a"}, [][]string{{"a", "b", "a"}, {"b", "b", "a"}, {"a", "a", "a"}}},
	{"pieces that repeat", []string{"ab", "ab", "ab"}, [][]string{{"", "a", "b", "ab", "ba"}, {"ab", "", "a", "b", "aba"}}},
	{"nothing before or after", []string{"", "-", ""}, [][]string{{"1", "22", "", "-"}, {"", "-", "2", "1"}}},
	{"a constant slot", []string{"<", ">", "<", ">"}, [][]string{{"a", "b"}, {"c", "c"}, {"<", ">"}}},
	{"constant slots side by side", []string{"", "", "", "z"}, [][]string{{"k", "k"}, {"", ""}, {"s", "K"}}},
	{"Kelvin in a piece", []string{"t\u212a", "s"}, [][]string{{"1", "2k", "\u212a"}}},
	{"Kelvin and long s in slots", []string{"ta", "", "=", ""}, [][]string{{"s", "ſ", "S", ""}, {"k", "\u212a", "", "K"}, {"kk", "s\u212a", "ſſ", "é"}}},
	{"nothing but Kelvin and long s in a slot", []string{"x", "y", ""}, [][]string{{"\u212a", "ſ\u212a", "ſſ"}, {"1", "2", "3"}}},
	{"values that go on in the next", []string{"", ""}, [][]string{{"ab", "abab", "a", "bab", "xaba", "baba"}}},
	{"cases of letters", []string{"Ab", "cD", ""}, [][]string{{"x", "X", "Y"}, {"aB", "Ab", "ab"}}},
	{"bytes that are no runes", []string{"\xff", "\xc3", "\xa9"}, [][]string{{"", "\xc3", "\xa9"}, {"", "\xc3", "a"}}},
	{"numbers", []string{"", ".", ":", ""}, [][]string{{"1", "12", "123", "-1"}, {"0", "1", "12", "99"}, {"12", "1", "2", "3"}}},
	{"dictionaries", []string{"[", "] [", "]"}, [][]string{strings.Fields(strings.Repeat("info warn error info ", 20)), strings.Fields(strings.Repeat("a a b ab b ", 16))}},
}

// Every piece of every line, and every piece with one byte changed, is looked for in all ways.
func TestMatchInTemplates(t *testing.T) {
	for _, c := range handCases {
		t.Run(c.name, func(t *testing.T) {
			p := handPage(t, c.pieces, c.slots)
			r := p.reader()
			needles := map[string]bool{"": true}
			for i := range min(p.values.Len(), 8) {
				line := p.values.At(i)
				for from := range line {
					for to := from + 1; to <= len(line); to++ {
						needles[string(line[from:to])] = true
						changed := []byte(string(line[from:to]))
						changed[(from+to)%len(changed)] ^= 3
						needles[string(changed)] = true
					}
				}
			}
			for needle := range needles {
				p.checkLines(t, r, []byte(needle))
			}
		})
	}
}

// checkLines is checkMatch for the lines alone.
func (p *searchPage) checkLines(t require.TestingT, r *Reader, needle []byte) {
	valid := strings.ToValidUTF8(string(needle), "\ufffd") == string(needle) && !strings.Contains(string(needle), "\ufffd")
	for op := Contains; op <= Equal; op++ {
		want := scan(p.lines, p.values, All, func(v []byte) bool { return testPlain(op, v, needle) })
		requireSame(t, p.values, want, r.Match(p.lines, op, needle), "%s %q", opNames[op], needle)
		if valid {
			want = scan(p.lines, p.values, All, plainFold(op, needle).Match)
			requireSame(t, p.values, want, r.MatchFold(p.lines, op, needle), "fold %s %q", opNames[op], needle)
		}
	}
	require.NoError(t, r.Err())
}

func TestRegexpInTemplates(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	words := append([]string{"a", "b", "ab", "x", "-", "1", "12", "K", "\u212a", "ſ", "info"}, testWords...)
	for _, c := range handCases {
		t.Run(c.name, func(t *testing.T) {
			p := handPage(t, c.pieces, c.slots)
			r := p.reader()
			for range 300 {
				expr := randomExpr(rng, words, 3)
				re, err := CompileRegexp(expr)
				require.NoError(t, err)
				want := scan(p.lines, p.values, All, regexp.MustCompile(expr).Match)
				requireSame(t, p.values, want, r.MatchRegexp(p.lines, All, re), "%q", expr)
			}
			require.NoError(t, r.Err())
		})
	}
}

// A needle that can lie in a row in too many ways is looked for in rebuilt rows.
func TestMatchBeyondTheAlternatives(t *testing.T) {
	const slots = 40
	pieces := make([]string, slots+1)
	var values [][]string
	rng := rand.New(rand.NewPCG(23, 24))
	for range slots {
		var list []string
		for range 20 {
			list = append(list, strings.Repeat("a", rng.IntN(4))+strings.Repeat("b", rng.IntN(2)))
		}
		values = append(values, list)
	}
	p := handPage(t, pieces, values)
	needle := newNeedle(Contains, []byte("aaaaaaab"), false)
	beyond := newForm(&p.lines.Templates[1])
	require.True(t, expand(&beyond, needle, false, nil).over)
	r := p.reader()
	for n := range 10 {
		p.checkLines(t, r, []byte(strings.Repeat("a", n)))
		p.checkLines(t, r, []byte(strings.Repeat("a", n)+"b"))
		p.checkLines(t, r, []byte("b"+strings.Repeat("a", n)))
	}
}

// What a needle asks of the slots.
func TestExpand(t *testing.T) {
	p := handPage(t, []string{"from ", " port ", ""}, [][]string{{"10.0.0.1", "10.251.7.22", "9.9.9.9"}, {"22", "8080", "443"}})
	for _, c := range []struct {
		op     Op
		needle string
		want   string // alternatives, "all" or nothing
	}{
		{Contains, "port", "all"},
		{Contains, "m 1", "0 prefix 1"},
		{Contains, "10.251", "0 contains 10.251"},
		{Contains, ".7.22 po", "0 suffix .7.22"},
		{Contains, "22", "0 contains 22; 1 contains 22"},
		{Contains, ".22 port 80", "0 suffix .22 and 1 prefix 80"},
		{Contains, "from 9.9.9.9 port", "0 equal 9.9.9.9"},
		{Prefix, "from 1", "0 prefix 1"},
		{Prefix, "port", ""},
		{Suffix, "80", "1 suffix 80"},
		{Suffix, "port 22", "1 equal 22"},
		{Equal, "from 9.9.9.9 port 443", "0 equal 9.9.9.9 and 1 equal 443"},
		{Contains, "fromage", ""},
		{Contains, "99999", ""}, // no slot has so many digits on end
		{Contains, "x", ""},
	} {
		f := newForm(&p.lines.Templates[1])
		x := expand(&f, newNeedle(c.op, []byte(c.needle), false), false, nil)
		require.False(t, x.over)
		var got []string
		for _, alternative := range x.alternatives {
			var parts []string
			for _, a := range alternative {
				parts = append(parts, fmt.Sprintf("%d %s %s", a.slot, opNames[a.op], a.text))
			}
			got = append(got, strings.Join(parts, " and "))
		}
		if x.all {
			got = []string{"all"}
		}
		require.Equal(t, c.want, strings.Join(got, "; "), "%s %q", opNames[c.op], c.needle)
	}
}
