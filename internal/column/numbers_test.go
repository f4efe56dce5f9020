package column

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

// drawNumbers makes decimal numbers of one form, up to the greatest that are stored as numbers.
func drawNumbers(rng *rand.Rand, rows int) *block.Values {
	scale, bits := rng.IntN(5), 1+rng.IntN(63)
	trimmed := scale > 0 && rng.IntN(2) == 0
	if trimmed {
		bits = min(bits, 59)
	}
	v := &block.Values{}
	for range rows {
		x := int64(rng.Uint64()>>(64-bits)) - rng.Int64N(3)
		if rng.IntN(4) == 0 {
			x = -x
		}
		f := IntFormat{Scale: scale, Trimmed: trimmed}
		v.Append(appendInt(nil, &f, x))
	}
	return v
}

func TestNumbersAreParsedText(t *testing.T) {
	tested := 0
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 6))
		v := drawNumbers(rng, rapid.IntRange(8, 200).Draw(t, "rows"))
		p := newSearchPage(t, "numbers", v)
		r := p.reader()
		got, ok := r.Numbers(p.strings)
		require.Equal(t, isDecimal(p.strings), ok)
		if !ok {
			return
		}
		tested++
		want := make([]float64, v.Len())
		for i := range want {
			x, err := strconv.ParseFloat(string(v.At(i)), 64)
			require.NoError(t, err)
			want[i] = x
		}
		require.Equal(t, want, got)
		checkComparisons(t, rng, p, r, want)
	})
	require.NotZero(t, tested)
}

func checkComparisons(t require.TestingT, rng *rand.Rand, p *searchPage, r *Reader, vals []float64) {
	compare := [...]func(a, b float64) bool{
		Less:           func(a, b float64) bool { return a < b },
		LessOrEqual:    func(a, b float64) bool { return a <= b },
		Greater:        func(a, b float64) bool { return a > b },
		GreaterOrEqual: func(a, b float64) bool { return a >= b },
		Same:           func(a, b float64) bool { return a == b },
		Different:      func(a, b float64) bool { return a != b },
	}
	some := block.NewBitmap(len(vals))
	for i := range vals {
		if i%2 == 0 {
			some.Set(i)
		}
	}
	bounds := []float64{0, -0.5, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, 1 << 63}
	for range 10 {
		x := vals[rng.IntN(len(vals))]
		bounds = append(bounds, x, math.Nextafter(x, math.Inf(1)), math.Nextafter(x, math.Inf(-1)))
	}
	for _, x := range bounds {
		for cmp, f := range compare {
			for _, among := range []Set{All, SetOf(some)} {
				want := block.NewBitmap(len(vals))
				for i, v := range vals {
					if among.Has(i) && f(v, x) {
						want.Set(i)
					}
				}
				got, ok := r.MatchNumber(p.strings, among, Comparison(cmp), x)
				require.True(t, ok)
				requireSame(t, p.values, SetOf(want), got, "comparison %d with %v", cmp, x)
			}
		}
	}
}

// The numbers at which an int64, a float64 and what is exact in it have their limits.
func TestNumbersAtTheLimits(t *testing.T) {
	for scale := range 4 {
		f := IntFormat{Scale: scale}
		for _, x := range []int64{math.MaxInt64, math.MinInt64, 1<<53 - 1, 1 << 53, 1<<53 + 1, -1<<53 - 1, 0, 1, -1, 999_999_999_999_999_999} {
			printed := string(appendInt(nil, &f, x))
			want, err := strconv.ParseFloat(printed, 64)
			require.NoError(t, err)
			require.Equal(t, want, toFloat(&f, x), printed)
		}
	}
}

func TestMatchNumberAnswersByStamps(t *testing.T) {
	v := &block.Values{}
	for i := range 5000 {
		v.AppendString(fmt.Sprint(200 + i*7919%4000))
	}
	p := newSearchPage(t, "status", v)
	require.True(t, isDecimal(p.strings))
	for _, c := range []struct {
		cmp  Comparison
		x    float64
		want Set
	}{
		{GreaterOrEqual, 200, All}, {Greater, 4199, None}, {Less, 200, None}, {Same, 199.5, None}, {Different, 250.5, All},
	} {
		got, read, _ := p.ask(t, func(r *Reader) Set {
			set, ok := r.MatchNumber(p.strings, All, c.cmp, c.x)
			require.True(t, ok)
			return set
		})
		require.Equal(t, c.want, got, "%+v", c)
		require.Empty(t, read, "%+v", c)
	}
	got, read, rounds := p.ask(t, func(r *Reader) Set {
		set, _ := r.MatchNumber(p.strings, All, GreaterOrEqual, 500)
		return set
	})
	require.NotNil(t, got.Bits())
	require.NotEmpty(t, read)
	require.Equal(t, 2, rounds)
}

func TestOnlyDecimalsAreNumbers(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(i int) string
	}{
		{"address", func(i int) string { return fmt.Sprintf("10.%d.0.%d", i%7, i%256) }},
		{"clock", func(i int) string { return fmt.Sprintf("12:%02d:%02d", i/60%60, i%60) }},
		{"word", func(i int) string { return fmt.Sprintf("w%c", 'a'+i%3) }},
	} {
		v := &block.Values{}
		for i := range 500 {
			v.AppendString(c.make(i))
		}
		p := newSearchPage(t, c.name, v)
		_, ok := p.reader().Numbers(p.strings)
		require.False(t, ok, c.name)
		_, ok = p.reader().MatchNumber(p.strings, All, Less, 1)
		require.False(t, ok, c.name)
	}
}
