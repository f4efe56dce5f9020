package column

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseInt(t *testing.T) {
	f := func(format IntFormat, text string, want int64, ok bool) {
		t.Helper()
		got, gotOK := parseInt(&format, []byte(text))
		require.Equal(t, ok, gotOK, "%q", text)
		if ok {
			require.Equal(t, want, got, "%q", text)
			require.Equal(t, text, string(appendInt(nil, &format, got)))
		}
	}
	plain := IntFormat{}
	f(plain, "0", 0, true)
	f(plain, "-12", -12, true)
	f(plain, "9223372036854775807", math.MaxInt64, true)
	f(plain, "-9223372036854775807", -math.MaxInt64, true)
	f(plain, "9223372036854775808", 0, false)
	f(plain, "99999999999999999999", 0, false)
	for _, bad := range []string{"", "-", "-0", "+1", "01", "-01", "1.0", "1a", " 1", "--1"} {
		f(plain, bad, 0, false)
	}
	padded := IntFormat{Width: 3}
	f(padded, "000", 0, true)
	f(padded, "042", 42, true)
	f(padded, "1000", 1000, true)
	f(padded, "0042", 0, false)
	f(padded, "42", 0, false)
	f(padded, "-42", 0, false)
	fixed := IntFormat{Scale: 2}
	f(fixed, "1.50", 150, true)
	f(fixed, "0.05", 5, true)
	f(fixed, "-0.05", -5, true)
	f(fixed, "-1234.00", -123400, true)
	f(fixed, "9999999999999999.99", 999999999999999999, true)
	for _, bad := range []string{"1.5", "1.500", ".50", "01.50", "-0.00", "150", "1.a0", "99999999999999999.99"} {
		f(fixed, bad, 0, false)
	}
	trimmed := IntFormat{Scale: 3, Trimmed: true}
	f(trimmed, "0", 0, true)
	f(trimmed, "120", 120000, true)
	f(trimmed, "1.5", 1500, true)
	f(trimmed, "-0.005", -5, true)
	f(trimmed, "999999999999999.999", 999999999999999999, true)
	for _, bad := range []string{"", "-", "-0", "1.", ".5", "1.50", "1.0", "1.2345", "01", "01.5", "1.2.3", "1.-5", "1000000000000000"} {
		f(trimmed, bad, 0, false)
	}
	address := IntFormat{Form: IPv4}
	f(address, "0.0.0.0", 0, true)
	f(address, "255.255.255.255", math.MaxUint32, true)
	f(address, "10.0.250.7", 10<<24|250<<8|7, true)
	for _, bad := range []string{"256.0.0.1", "1.2.3", "1.2.3.4.", "1.2.3.04", "1..2.3", "1.2.3.4.5", ".1.2.3", "1.2.3.1000"} {
		f(address, bad, 0, false)
	}
	clock := IntFormat{Form: TimeOfDay, Scale: 3, Separator: ','}
	f(clock, "00:00:00,000", 0, true)
	f(clock, "23:59:59,999", 86399999, true)
	for _, bad := range []string{"24:00:00,000", "23:60:00,000", "23:59:60,000", "23:59:59.999", "23:59:59,99", "23-59:59,999", "2a:59:59,999"} {
		f(clock, bad, 0, false)
	}
	date := IntFormat{Form: DateTime, DateSeparator: 'T', Scale: 3, Separator: '.', Suffix: "Z"}
	f(date, "1970-01-01T00:00:00.001Z", 1, true)
	f(date, "1969-12-31T23:59:59.999Z", -1, true)
	f(date, "2024-02-29T12:00:00.000Z", time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC).UnixMilli(), true)
	f(date, "0000-01-01T00:00:00.000Z", firstDay*secondsPerDay*1000, true)
	f(date, "9999-12-31T23:59:59.999Z", afterLastDay*secondsPerDay*1000-1, true)
	for _, bad := range []string{"2023-02-29T12:00:00.000Z", "1900-02-29T12:00:00.000Z", "2024-13-01T12:00:00.000Z", "2024-00-01T12:00:00.000Z",
		"2024-01-00T12:00:00.000Z", "2024-04-31T12:00:00.000Z", "2024-01-01 12:00:00.000Z", "2024-01-01T12:00:00.000", "2024-01-01T12:00:00.000+"} {
		f(date, bad, 0, false)
	}
	f(IntFormat{Form: DateTime, DateSeparator: ' ', Scale: 9, Separator: '.'}, "2500-01-01 00:00:00.000000000", 0, false)
}

func TestCalendar(t *testing.T) {
	day := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := int64(firstDay); n < afterLastDay; n += 17 {
		y, m, d := dateOf(n)
		require.Equal(t, n, daysTo(y, m, d))
		if y != int64(day.Year()) || m != int64(day.Month()) || d != int64(day.Day()) {
			t.Fatalf("day %d is %v, not %d-%d-%d", n, day, y, m, d)
		}
		day = day.AddDate(0, 0, 17)
	}
}

// TestPrintedParses draws numbers that a format can print.
func TestPrintedParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := IntFormat{Form: IntForm(rapid.IntRange(0, 3).Draw(t, "form"))}
		lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
		switch f.Form {
		case Decimal:
			if rapid.Bool().Draw(t, "padded") {
				f.Width, lo = rapid.IntRange(1, maxWidth).Draw(t, "width"), 0
			} else if f.Scale = rapid.IntRange(0, maxScale-1).Draw(t, "scale"); f.Scale > 0 {
				lo, hi = -pow10[maxScale]+1, pow10[maxScale]-1
			}
		case IPv4:
			lo, hi = 0, math.MaxUint32
		case TimeOfDay, DateTime:
			f.Scale = rapid.IntRange(0, maxTimeScale).Draw(t, "scale")
			if f.Scale > 0 {
				f.Separator = '.'
			}
			lo, hi = 0, secondsPerDay*pow10[f.Scale]-1
			if f.Form == DateTime {
				f.DateSeparator, f.Suffix = 'T', "+02:00"
				if lo = math.MinInt64; f.Scale < 8 {
					lo, hi = firstDay*secondsPerDay*pow10[f.Scale], afterLastDay*secondsPerDay*pow10[f.Scale]-1
				} else {
					hi = math.MaxInt64
				}
			}
		}
		x := rapid.Int64Range(lo, hi).Draw(t, "x")
		if f.checkRange(x, x) != nil {
			return // -10^19 and the like, before the year 0
		}
		text := appendInt(nil, &f, x)
		got, ok := parseInt(&f, text)
		if x == math.MinInt64 && f.Form == Decimal {
			return // has no positive counterpart: it is not parsed, but Ints may hold it
		}
		require.True(t, ok, "%q", text)
		require.Equal(t, x, got)
		c := newColumn(Int, 0)
		c.NumberForm = &NumberForm{Int: f}
		c.Stamp.Min, c.Stamp.Max = x, x
		c.stampInt()
		if f.Form != IPv4 {
			require.Equal(t, len(text), c.Stamp.MinLen)
			require.Equal(t, len(text), c.Stamp.MaxLen)
		}
		require.Zero(t, CharsetOf(text)&^c.Stamp.Chars)
		require.LessOrEqual(t, RunOf(text), c.Stamp.Run)
	})
}

func TestCheckRange(t *testing.T) {
	bad := func(f IntFormat, lo, hi int64) {
		t.Helper()
		require.Error(t, f.checkRange(lo, hi))
	}
	bad(IntFormat{}, 1, 0)
	bad(IntFormat{Scale: 19}, 0, 1)
	bad(IntFormat{Scale: -1}, 0, 1)
	bad(IntFormat{Width: 20}, 0, 1)
	bad(IntFormat{Width: 3}, -1, 1)
	bad(IntFormat{Width: 3, Scale: 1}, 0, 1)
	bad(IntFormat{Form: IPv4}, -1, 1)
	bad(IntFormat{Form: IPv4}, 0, 1<<32)
	bad(IntFormat{Form: TimeOfDay}, 0, secondsPerDay)
	bad(IntFormat{Form: TimeOfDay, Scale: 10}, 0, 1)
	bad(IntFormat{Form: DateTime}, firstDay*secondsPerDay-1, 0)
	bad(IntFormat{Form: DateTime}, 0, afterLastDay*secondsPerDay)
	bad(IntFormat{Form: 4}, 0, 1)
	require.NoError(t, (&IntFormat{}).checkRange(math.MinInt64, math.MaxInt64))
}

func TestHexPacks(t *testing.T) {
	f := func(format HexFormat, text string, ok bool) {
		t.Helper()
		packed, _, gotOK := packHex(nil, []byte(text), &format)
		require.Equal(t, ok, gotOK, "%q", text)
		if ok {
			require.Len(t, packed, format.width())
			require.Equal(t, text, string(appendHex(nil, packed, &format)))
		}
	}
	f(HexFormat{Digits: 4}, "beef", true)
	f(HexFormat{Digits: 5}, "0beef", true)
	f(HexFormat{Digits: 5, Upper: true}, "ABCDE", true)
	f(HexFormat{Digits: 4}, "be-f", false)
	f(HexFormat{Digits: 4}, "xeef", false)
	uuid := HexFormat{Digits: uuidDigits, UUID: true}
	f(uuid, "01234567-89ab-cdef-0123-456789abcdef", true)
	f(uuid, "0123456-789ab-cdef-0123-456789abcdef", false)
	f(uuid, "01234567089ab-cdef-0123-456789abcdef", false)
	f(uuid, "01234567-89ab-cdef-0123-456789abcdeg", false)
}

func TestRecency(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOf(rapid.Uint32Range(0, 9)).Draw(t, "codes")
		numbers := map[uint32]uint32{}
		codes := make([]uint32, len(raw))
		for i, x := range raw {
			if _, ok := numbers[x]; !ok {
				numbers[x] = uint32(len(numbers))
			}
			codes[i] = numbers[x]
		}
		want := fmt.Sprint(codes)
		toRecency(codes)
		require.True(t, fromRecency(codes, len(numbers)))
		require.Equal(t, want, fmt.Sprint(codes))
	})
	require.False(t, fromRecency([]uint32{1}, 5))
	require.False(t, fromRecency([]uint32{0, 0}, 1))
}
