package column

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

func TestSetsRoundTrip(t *testing.T) {
	e := NewEncoder(block.Fast)
	for _, s := range loggen.Sets() {
		t.Run(s.Name, func(t *testing.T) {
			v := s.Lines(1, 1<<20)
			enc := roundTrip(t, e, v)
			require.NotEmpty(t, enc.Blobs)
		})
	}
}

// repeated makes n values of f.
func repeated(n int, f func(i int) string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = f(i)
	}
	return list
}

func TestHardValuesRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return string(b)
	}
	lists := map[string][]string{
		"one":                {"a line"},
		"one empty":          {""},
		"empty":              {"", "", ""},
		"empty and not":      {"", "x", "", "y 1", "\x11", "\x11\x12\x11"},
		"placeholder":        repeated(100, func(i int) string { return fmt.Sprintf("a \x11 %d \x12 b\x11c", i) }),
		"mark":               repeated(100, func(i int) string { return []string{"\x12 foo", "abc foo"}[i%2] + strings.Repeat(" x", i%20) }),
		"leading zeros":      repeated(300, func(i int) string { return fmt.Sprintf("%03d", i) }),
		"zeros and overflow": repeated(3000, func(i int) string { return fmt.Sprintf("%03d", i*7) }),
		"zeros and signs":    repeated(300, func(i int) string { return fmt.Sprintf("%03d", i-150) }),
		"minus zero":         {"-0", "0", "1", "-1", "+1", "00"},
		"fixed":              repeated(300, func(i int) string { return fmt.Sprintf("%.2f", float64(i-150)/7) }),
		"fixed mixed":        {"1.50", "1.5", "0.25", "-0.00", ".5", "5."},
		"minus fixed zero":   repeated(40, func(i int) string { return []string{"-0.00", "-0.01", "1.00"}[i%3] }),
		"long numbers":       {"9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551615", "99999999999999999999"},
		"int64":              {"9223372036854775807", "-9223372036854775808", "0"},
		"19 digits":          repeated(50, func(i int) string { return fmt.Sprint(math.MaxInt64 - int64(i)) }),
		"addresses":          repeated(999, func(i int) string { return fmt.Sprintf("%d.%d.%d.%d", i%256, i/256, i*7%256, 255-i%256) }),
		"no addresses":       {"10.0.0.256", "10.0.0.1", "10.0.0.01", "1.2.3", "1.2.3.4.5"},
		"times":              repeated(999, func(i int) string { return fmt.Sprintf("%02d:%02d:%02d,%03d", i%24, i%60, i*7%60, i) }),
		"no times":           {"24:00:00", "23:60:00", "12:00:61", "12:00:00"},
		"dates":              repeated(999, func(i int) string { return fmt.Sprintf("%04d-%02d-%02dT10:11:12.%06dZ", i*10, i%12+1, i%28+1, i) }),
		"far dates":          repeated(99, func(i int) string { return fmt.Sprintf("%04d-01-02 10:11:12.%09d", 1600+i*50, i) }),
		"leap days":          {"2024-02-29T00:00:00", "2000-02-29T00:00:00", "2024-12-31T00:00:00"},
		"no leap days":       {"2023-02-29T00:00:00", "1900-02-29T00:00:00", "2024-04-31T00:00:00"},
		"date zones":         repeated(99, func(i int) string { return fmt.Sprintf("2024-01-%02d 00:00:%02d+02:00 x", i%31+1, i%60) }),
		"hex":                repeated(999, func(i int) string { return fmt.Sprintf("%016x", rng.Uint64()) }),
		"odd hex":            repeated(999, func(i int) string { return fmt.Sprintf("%015x", rng.Uint64()>>4) }),
		"upper hex":          repeated(999, func(i int) string { return fmt.Sprintf("%08X", rng.Uint32()) }),
		"mixed hex":          {"deadbeef", "DEADBEEF", "deadBEEF", "12345678"},
		"uuid":               repeated(999, func(i int) string { return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", i, i, i, i, rng.Uint64()>>16) }),
		"almost uuid":        {"00000000-0000-0000-0000-00000000000-", "0000000-00000-0000-0000-000000000000", "01234567-0123-0123-0123-0123456789ab"},
		"json":               {`{"a":1}`, `{"a":2}`, `{"a":3,"a":4}`, `{"a":"x\"y","b":{"c":[1,2,{"d":null}],"e":{}}}`, `{}`, `{ }`, `{"a":01}`, `{"a":"\x"}`},
		"json depth":         repeated(20, func(i int) string { return strings.Repeat(`{"a":`, i) + "1" + strings.Repeat("}", i) }),
		"json arrays":        repeated(40, func(i int) string { return `{"a":` + strings.Repeat("[", i) + "1" + strings.Repeat("]", i) + "}" }),
		"logfmt":             {`a=1 b=2`, `a= b=`, `a="x y" b=1`, ` a=1  b=2 `, `a=1 b=2=3`, `a=1 "b"`, `a="\q" b=1`, "a=1 \xffb=2", `{a=1} b=2`},
		"quotes":             {`say "hello" to "x"`, `""`, `"unclosed`, `"a\"b" "c`, `"""`, strings.Repeat(`\" "`, 500)},
		"random":             repeated(3000, func(i int) string { return random(1 + i%90) }),
		"long":               {strings.Repeat("long 1 ", 20000), "short", random(100000), "short 2", strings.Repeat("x", 70000)},
		"long equal":         repeated(20, func(int) string { return strings.Repeat("y", 5000) }),
		"huge":               {strings.Repeat("0123456789", 300000), "small"},
		"word salad": repeated(5000, func(i int) string {
			b := make([]string, 3+i%20)
			for k := range b {
				b[k] = []string{"alpha", "beta,", "gamma:", "delta=", "x", "-"}[rng.IntN(6)] + strings.Repeat("e", rng.IntN(5))
			}
			return strings.Join(b, " ")
		}),
		"many words": repeated(300, func(i int) string {
			b := make([]byte, 3900)
			for k := range b {
				b[k] = 'x'
				if k%3 == 2 {
					b[k] = ' '
				} else if mix(i*4000+k)%200 == 0 {
					b[k] = 'y'
				}
			}
			return string(b)
		}),
		"json explosion": repeated(6000, func(i int) string { return fmt.Sprintf(`{"k%d":%d,"z":"%d"}`, i, i, i%7) }),
		"once each":      repeated(70000, func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("ab ", i%9)) }),
	}
	for name, list := range lists {
		t.Run(name, func(t *testing.T) {
			v := valuesOf(list...)
			e := NewEncoder(block.Fast)
			roundTrip(t, e, v)
			roundTrip(t, e, v) // with what was learned
		})
	}
}

// lineGen draws lines that have something in common, and adversarial bytes.
func lineGen() *rapid.Generator[string] {
	token := rapid.OneOf(
		rapid.SampledFrom([]string{"", " ", "  ", "=", ":", `"`, `\`, `\"`, "-", "_", ".", "\x11", "\x12", "{", "}", "[", "]", ",", "\xff", "é", "error", "key", "blk_",
			"0", "-0", "+1", "007", "1.50", "1.5", "10.0.0.256", "10.0.0.1", "2024-02-29T12:00:00.123Z", "2023-02-29 12:00:00", "23:59:60", "23:59:59,999",
			"deadBEEF", "deadbeef", "0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdef", "true", "null", "a=1", `b="x y"`, "9223372036854775808"}),
		rapid.Map(rapid.IntRange(-2000, 2000), func(i int) string { return fmt.Sprint(i) }),
		rapid.Map(rapid.Uint64(), func(x uint64) string { return fmt.Sprintf("%x", x) }),
		rapid.String(),
	)
	joined := rapid.Map(rapid.SliceOfN(token, 0, 8), func(s []string) string { return strings.Join(s, "") })
	fields := rapid.Map(rapid.SliceOfN(joined, 1, 3), func(s []string) string {
		for i := range s {
			s[i] = fmt.Sprintf(`"k%d":%q`, i, s[i])
		}
		return "{" + strings.Join(s, ",") + "}"
	})
	pairs := rapid.Map(rapid.SliceOfN(joined, 2, 4), func(s []string) string {
		for i := range s {
			s[i] = fmt.Sprintf(`k%d=%s`, i, s[i])
		}
		return strings.Join(s, " ")
	})
	return rapid.OneOf(joined, fields, pairs)
}

func TestRandomLinesRoundTrip(t *testing.T) {
	e := NewEncoder(block.Fast)
	rapid.Check(t, func(t *rapid.T) {
		pool := rapid.SliceOfN(lineGen(), 1, 12).Draw(t, "lines")
		n := rapid.IntRange(1, 80).Draw(t, "rows")
		v := &block.Values{}
		for i := range n {
			v.AppendString(pool[i*i%len(pool)])
		}
		roundTrip(t, e, v)
	})
}
