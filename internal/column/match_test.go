package column

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

// searchPage is a page of one set of values in all three ways of encoding, and what is needed to ask it.
type searchPage struct {
	name    string
	values  *block.Values
	blobs   [][]byte
	page    *Page
	lines   *Column
	strings *Column
	sparse  *Column
	present *block.Bitmap // of sparse
}

func newSearchPage(t require.TestingT, name string, v *block.Values) *searchPage {
	p := &searchPage{name: name, values: v, present: block.NewBitmap(v.Len())}
	some := &block.Values{}
	for i := range v.Len() {
		if i%3 != 1 {
			p.present.Set(i)
			some.Append(v.At(i))
		}
	}
	e := NewEncoder(block.Fast)
	e.Lines(v)
	e.Strings(v)
	e.Sparse(p.present, some)
	enc := e.Finish()
	p.blobs = unpack(t, enc)
	p.page = reopen(t, enc.Page, nil).page
	p.lines, p.strings, p.sparse = p.page.Columns[0], p.page.Columns[1], p.page.Columns[2]
	return p
}

// reader returns a Reader that has all blobs.
func (p *searchPage) reader() *Reader {
	r := NewReader(p.page)
	for i, b := range p.blobs {
		r.Supply(i, b)
	}
	return r
}

// ask asks a Reader that is given nothing but what it wants, and returns the answer and how many times it
// was asked.
func (p *searchPage) ask(t require.TestingT, f func(r *Reader) Set) (answer Set, read map[int]bool, rounds int) {
	r := NewReader(p.page)
	read = map[int]bool{}
	for rounds = 1; ; rounds++ {
		answer = f(r)
		require.NoError(t, r.Err())
		wanted := r.Wanted()
		if len(wanted) == 0 {
			return answer, read, rounds
		}
		for _, i := range wanted {
			require.False(t, read[i], "blob %d is wanted again", i)
			read[i] = true
			r.Supply(i, p.blobs[i])
		}
	}
}

// scan is what a column must answer.
func scan(c *Column, v *block.Values, among Set, f func([]byte) bool) Set {
	rows := block.NewBitmap(v.Len())
	for i := range v.Len() {
		if among.Has(i) && f(v.At(i)) {
			rows.Set(i)
		}
	}
	return SetOf(rows)
}

// requireSame compares an answer with the scan's, naming the first row that differs.
func requireSame(t require.TestingT, v *block.Values, want, got Set, format string, args ...any) {
	for i := range v.Len() {
		if want.Has(i) != got.Has(i) {
			require.Equal(t, want.Has(i), got.Has(i), "row %d %.200q: %s", i, v.At(i), fmt.Sprintf(format, args...))
		}
	}
	require.True(t, got.Bits() == nil || got.Bits().Count() > 0 && got.Bits().Count() < v.Len(), "a set of none or all rows has a form of its own")
}

// columns calls f for each column of the page, with the rows that have a value.
func (p *searchPage) columns(f func(name string, c *Column, present Set)) {
	f(p.name+" lines", p.lines, All)
	f(p.name+" strings", p.strings, All)
	f(p.name+" sparse", p.sparse, SetOf(p.present))
}

var opNames = [...]string{"contains", "prefix", "suffix", "equal"}

func testPlain(op Op, v, needle []byte) bool {
	switch op {
	case Contains:
		return bytes.Contains(v, needle)
	case Prefix:
		return bytes.HasPrefix(v, needle)
	case Suffix:
		return bytes.HasSuffix(v, needle)
	}
	return bytes.Equal(v, needle)
}

// plainFold makes the expression that says what MatchFold means.
func plainFold(op Op, needle []byte) *regexp.Regexp {
	expr := regexp.QuoteMeta(string(needle))
	if op == Prefix || op == Equal {
		expr = `\A(?:` + expr + ")"
	}
	if op == Suffix || op == Equal {
		expr = "(?:" + expr + `)\z`
	}
	return regexp.MustCompile("(?i)" + expr)
}

// checkMatch compares all ops with and without regard to case with the plain scan.
func (p *searchPage) checkMatch(t require.TestingT, r *Reader, needle []byte) {
	p.columns(func(name string, c *Column, present Set) {
		for op := Contains; op <= Equal; op++ {
			want := scan(c, p.values, present, func(v []byte) bool { return testPlain(op, v, needle) })
			requireSame(t, p.values, want, r.Match(c, op, needle), "%s: %s %q", name, opNames[op], needle)
			if len(needle)%4 != int(op) && c != p.lines {
				continue // Go's folding search is slow: the kinds share it, the ops are sampled
			}
			if !bytes.ContainsRune(bytes.ToValidUTF8(needle, []byte("\ufffd")), '\ufffd') {
				fold := plainFold(op, needle)
				want = scan(c, p.values, present, fold.Match)
				requireSame(t, p.values, want, r.MatchFold(c, op, needle), "%s: fold %s %q", name, opNames[op], needle)
			}
		}
	})
	require.NoError(t, r.Err())
	require.Empty(t, r.Wanted())
}

// drawNeedle cuts a piece out of a value, and changes a fifth of them a little.
func drawNeedle(rng *rand.Rand, v *block.Values) []byte {
	line := v.At(rng.IntN(v.Len()))
	from := rng.IntN(len(line) + 1)
	switch rng.IntN(4) {
	case 0:
		from = 0
	case 1:
		from = rng.IntN(len(line) + 1)
	}
	most := len(line) - from
	if rng.IntN(3) > 0 {
		most = min(most, 12)
	}
	needle := bytes.Clone(line[from : from+rng.IntN(most+1)])
	if rng.IntN(8) == 0 {
		needle = bytes.Clone(line[from:])
	}
	if len(needle) > 0 && rng.IntN(5) == 0 {
		i := rng.IntN(len(needle))
		switch rng.IntN(4) {
		case 0:
			needle[i] ^= 1
		case 1:
			needle[i] ^= 0x20
		case 2:
			needle = append(needle[:i], needle[i+1:]...)
		case 3:
			needle = append(needle, "0aK \""[rng.IntN(5)])
		}
	}
	return needle
}

// drawLines makes lines of one set, or such as are hard for templates.
func drawLines(rng *rand.Rand, rows int) (string, *block.Values) {
	sets := loggen.Sets()
	k := rng.IntN(len(sets) + 6)
	v := &block.Values{}
	if k < len(sets) {
		s := sets[k].Stream(rng.Uint64())
		var buf []byte
		for range rows {
			buf, _ = s.Append(buf[:0])
			v.Append(buf[:min(len(buf), 2000)])
		}
		return sets[k].Name, v
	}
	if k >= len(sets)+4 {
		return drawTyped(rng, rows)
	}
	for range rows {
		v.Append(hardLine(rng, k-len(sets)))
	}
	return fmt.Sprintf("hard %d", k-len(sets)), v
}

// hardLine makes a line of few letters, so that needles begin and end everywhere, with slots that are
// empty, adjacent, of few values and of many.
func hardLine(rng *rand.Rand, kind int) []byte {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	var b []byte
	switch kind {
	case 0:
		for range rng.IntN(6) {
			b = append(b, pick("a", "aa", "1", "11", "a1", "=", " ", ".", "-1", "0x1f", "ff00ff", "\"", "1.5", "10.0.0.1")...)
		}
	case 1:
		b = fmt.Appendf(b, `{"k":"%s","s":%s,"t":{"a":"%s","b":%s}}`, pick("", "K", "k", "\u212a", "ſs", "task", "é"),
			pick("1", "null", "[]", "1.50", "-0.5"), pick("", "x", "12:13:14.5", "deadbeefcafe"), pick("{}", "[1,2]", "true"))
	case 2:
		b = fmt.Appendf(b, `k=%s s="%s" t=%d id=%x`, pick("", "ok", "KO"), pick("", "a b", "\u212aelvin", "ſ"), rng.IntN(1000)-500, rng.Uint64())
	case 3:
		b = fmt.Appendf(b, "%s%d.%d.%d.%d %02d:%02d:%02d blk_%d %d.%02d %08X", pick("", "x", "\xff", "\x11"), rng.IntN(256), rng.IntN(3), rng.IntN(256), rng.IntN(12),
			rng.IntN(24), rng.IntN(60), rng.IntN(60), int64(rng.Uint64()), rng.IntN(100)-50, rng.IntN(100), rng.Uint32())
	}
	return b
}

// drawTyped makes values of one type: numbers of all lengths and signs, addresses, times, digits.
func drawTyped(rng *rand.Rand, rows int) (string, *block.Values) {
	amount := func() int64 { return int64(rng.Uint64() >> rng.IntN(64)) }
	scale, width := rng.IntN(4), 1+rng.IntN(12)
	types := []struct {
		name string
		make func() string
	}{
		{"natural", func() string { return fmt.Sprint(amount() & math.MaxInt64) }},
		{"integer", func() string { return fmt.Sprint(amount() * int64(1-2*rng.IntN(2))) }},
		{"negative", func() string { return fmt.Sprint(-amount()&math.MaxInt64 | math.MinInt64) }},
		{"small", func() string { return fmt.Sprint(rng.IntN(300) - 150) }},
		{"padded", func() string { return fmt.Sprintf("%0*d", width, amount()&math.MaxInt64>>20) }},
		{"fixed", func() string { return string(appendFixed(nil, rng.Int64N(1e6)-3e5, scale+1)) }},
		{"address", func() string { return string(appendIPv4(nil, rng.Int64N(1<<32)>>(8*rng.IntN(3))|10<<24)) }},
		{"clock", func() string {
			return fmt.Sprintf("%02d:%02d:%02d,%03d", rng.IntN(24), rng.IntN(60), rng.IntN(60), rng.IntN(1000))
		}},
		{"time", func() string {
			return time.Unix(rng.Int64N(5e9)-1e9, rng.Int64N(1e9)).UTC().Format("2006-01-02T15:04:05.000000Z")
		}},
		{"hex", func() string { return fmt.Sprintf("%0*x", width, rng.Uint64()>>(64-4*width)) }},
		{"HEX", func() string { return fmt.Sprintf("%016X", rng.Uint64()) }},
		{"uuid", func() string {
			a, b := rng.Uint64(), rng.Uint64()
			return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&(1<<48-1))
		}},
	}
	typ := types[rng.IntN(len(types))]
	v := &block.Values{}
	for range rows {
		v.AppendString(typ.make())
	}
	return typ.name, v
}

// Of a typed column every piece of a value is looked for, and as many needles that are nearly one.
func TestMatchTyped(t *testing.T) {
	kinds := map[Kind]int{}
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 5))
		name, v := drawTyped(rng, rapid.IntRange(8, 120).Draw(t, "rows"))
		p := newSearchPage(t, name, v)
		kinds[p.strings.Kind]++
		r := p.reader()
		value := v.At(rng.IntN(v.Len()))
		for from := range value {
			for to := from + 1; to <= len(value); to++ {
				needle := value[from:to:to]
				switch rng.IntN(3) {
				case 0:
					continue
				case 1:
					needle = bytes.Clone(needle)
					needle[rng.IntN(len(needle))] = "0123456789abcfF.-:TZ"[rng.IntN(20)]
				}
				for op := Contains; op <= Equal; op++ {
					want := scan(p.strings, v, All, func(v []byte) bool { return testPlain(op, v, needle) })
					requireSame(t, v, want, r.Match(p.strings, op, needle), "%s: %s %q", name, opNames[op], needle)
				}
				needle = bytes.ToLower(needle)
				want := scan(p.strings, v, All, func(v []byte) bool { return bytes.Contains(bytes.ToLower(v), needle) })
				requireSame(t, v, want, r.MatchFold(p.strings, Contains, needle), "%s: fold %q", name, needle)
			}
		}
	})
	require.NotZero(t, kinds[Int])
	require.NotZero(t, kinds[Hex])
}

func TestMatchAgreesWithScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		name, v := drawLines(rng, rapid.IntRange(1, 250).Draw(t, "rows"))
		p := newSearchPage(t, name, v)
		r := p.reader()
		for range 8 {
			p.checkMatch(t, r, drawNeedle(rng, v))
		}
	})
}

// Pages of the size that blocks have, for kinds and sharing that small ones don't get.
func TestMatchAgreesWithScanOnLargePages(t *testing.T) {
	for _, set := range loggen.Sets() {
		t.Run(set.Name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(7, 8))
			v := set.Lines(9, 150<<10)
			p := newSearchPage(t, set.Name, v)
			r := p.reader()
			for range 6 {
				p.checkMatch(t, r, drawNeedle(rng, v))
			}
			for _, q := range set.Queries {
				if needle, ok := q.Needle(v); ok {
					p.checkMatch(t, r, []byte(needle))
				}
			}
		})
	}
}

// A Reader that begins with nothing comes to the same answer, and what the stamps answer it reads nothing for.
func TestMatchWantsWhatItNeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		name, v := drawLines(rng, rapid.IntRange(1, 250).Draw(t, "rows"))
		p := newSearchPage(t, name, v)
		for range 10 {
			needle := drawNeedle(rng, v)
			op := Op(rng.IntN(4))
			want := scan(p.lines, v, All, func(v []byte) bool { return testPlain(op, v, needle) })
			got, _, rounds := p.ask(t, func(r *Reader) Set { return r.Match(p.lines, op, needle) })
			requireSame(t, v, want, got, "%s: %s %q", name, opNames[op], needle)
			require.LessOrEqual(t, rounds, 8, "%s %q", opNames[op], needle)
			want = want.And(SetOf(p.present))
			got, _, _ = p.ask(t, func(r *Reader) Set { return r.Match(p.sparse, op, needle) })
			requireSame(t, v, want, got, "%s: sparse %s %q", name, opNames[op], needle)
		}
	})
}

func TestStampsAnswerWithoutReading(t *testing.T) {
	for _, c := range []struct{ set, needle, why string }{
		{"json", "0123456789abcdef0123456789abcdef0123456789abcdef", "no value has so many letters and digits on end"},
		{"json", strings.Repeat("x ", 50_000), "no line is so long"},
		{"logfmt", "zzqx_absent", "no slot has such characters, no piece the word"},
	} {
		set, ok := loggen.Find(c.set)
		require.True(t, ok)
		p := newSearchPage(t, c.set, set.Lines(1, 256<<10))
		for _, fold := range []bool{false, true} {
			got, read, rounds := p.ask(t, func(r *Reader) Set {
				if fold {
					return r.MatchFold(p.lines, Contains, []byte(c.needle))
				}
				return r.Match(p.lines, Contains, []byte(c.needle))
			})
			require.True(t, got.IsNone(), "%s: %s", c.set, c.why)
			require.Empty(t, read, "%s: %s", c.set, c.why)
			require.Equal(t, 1, rounds)
		}
	}

	p := handPage(t, []string{"took ", " ms"}, [][]string{{"1", "20", "333"}})
	got, read, _ := p.ask(t, func(r *Reader) Set { return r.Match(p.lines, Contains, []byte("took")) })
	require.True(t, got.IsAll())
	require.Empty(t, read)
	re, err := CompileRegexp(`^took \d+ ms$`)
	require.NoError(t, err)
	got, read, _ = p.ask(t, func(r *Reader) Set { return r.MatchRegexp(p.lines, All, re) })
	require.True(t, got.IsAll(), "whatever digits the slot has, the expression matches")
	require.Empty(t, read)
}
