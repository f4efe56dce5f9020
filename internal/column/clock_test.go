package column

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

// timedPage encodes lines with their timestamps and checks what is read from it. It returns the column of
// the lines.
func timedPage(t require.TestingT, times []int64, lines *block.Values) (*Column, *Encoded) {
	e := NewEncoder(block.Fast)
	e.Ints(times, Spine)
	c := e.Lines(lines)
	enc := e.Finish()
	r := reopen(t, enc.Page, unpack(t, enc))
	require.Equal(t, times, r.Int64s(r.page.Columns[0]))
	checkColumn(t, r, r.page.Columns[1], lines)
	return c, enc
}

// clocks returns the columns within c that have a Clock.
func clocks(c *Column) (found []*Column) {
	add := func(s *Column) {
		if s.Clock != nil {
			found = append(found, s)
		}
	}
	for _, s := range c.Shared {
		add(s)
	}
	for k := range c.Templates {
		for _, s := range c.Templates[k].Slots {
			if s.Shared < 0 {
				add(s.Values())
			}
		}
	}
	return found
}

func linesOf(times []int64, print func(i int, t time.Time) string) *block.Values {
	return valuesOf(repeated(len(times), func(i int) string { return print(i, time.Unix(0, times[i]).UTC()) })...)
}

// TestClocks says which forms of the time follow the timestamps, and what they cost.
func TestClocks(t *testing.T) {
	base := time.Date(2024, 2, 28, 23, 59, 50, 0, time.UTC).UnixNano()
	times := make([]int64, 600)
	for i := range times {
		times[i] = base + int64(i)*40e6 + int64(mix(i)%20e6)
	}
	f := func(name, layout string, want Clock, print func(t time.Time) string) {
		t.Run(name, func(t *testing.T) {
			if print == nil {
				print = func(t time.Time) string { return t.Format(layout) }
			}
			c, _ := timedPage(t, times, linesOf(times, func(i int, at time.Time) string {
				return fmt.Sprintf("took %d at %s ok", mix(i)%100, print(at))
			}))
			found := clocks(c)
			require.Len(t, found, 1)
			k := *found[0].Clock
			k.lines, k.times, k.template = nil, nil, 0
			want.shared = -1
			require.Equal(t, want, k)
			if want.Steady {
				require.Zero(t, found[0].Payload)
			}
			require.False(t, found[0].Filtered)
		})
	}
	f("RFC 3339", "2006-01-02T15:04:05.000Z07:00", Clock{Digits: 3, Steady: true}, nil)
	f("nanoseconds", "2006-01-02T15:04:05.000000000Z07:00", Clock{Digits: 9, Steady: true}, nil)
	f("seconds", time.DateTime, Clock{Digits: 0, Steady: true}, nil)
	f("zone", "", Clock{Digits: 3, Steady: true, Residual: 7200e3}, func(t time.Time) string {
		return t.In(time.FixedZone("", 7200)).Format("2006-01-02 15:04:05.000-07:00")
	})
	f("DB2", "2006-01-02-15.04.05.000000", Clock{Digits: 6, Steady: true}, nil)
	f("time of day", "15:04:05,000", Clock{Digits: 3, Steady: true}, nil)
	f("time of day, zone", "", Clock{Digits: 3, Steady: true, Residual: -5 * 3600e3}, func(t time.Time) string {
		return t.In(time.FixedZone("", -5*3600)).Format("15:04:05.000")
	})
	f("epoch", "", Clock{Digits: 0, Steady: true}, func(t time.Time) string { return fmt.Sprint(t.Unix()) })
	f("milliseconds", "", Clock{Digits: 3, Steady: true}, func(t time.Time) string { return fmt.Sprint(t.UnixMilli()) })
	f("microseconds", "", Clock{Digits: 6, Steady: true}, func(t time.Time) string { return fmt.Sprint(t.UnixMicro()) })
	f("epoch in nanoseconds", "", Clock{Digits: 9, Steady: true}, func(t time.Time) string { return fmt.Sprint(t.UnixNano()) })
	f("fraction", "", Clock{Digits: 3, Steady: true}, func(t time.Time) string {
		return fmt.Sprintf("%d.%03d", t.Unix(), t.Nanosecond()/1e6)
	})
	f("time since start", "", Clock{Digits: 6, Steady: true, Residual: -(base/1e9 - 100) * 1e6}, func(t time.Time) string {
		return fmt.Sprintf("%d.%06d", t.Unix()-base/1e9+100, t.Nanosecond()/1e3)
	})
	late := 0
	f("late", "", Clock{Digits: 6}, func(t time.Time) string {
		late++
		return t.Add(-time.Duration(mix(late) % 300e3)).Format("15:04:05.000000")
	})
}

// TestClocksOfTemplates: lines of several forms, of which some have their time in common.
func TestClocksOfTemplates(t *testing.T) {
	times := make([]int64, 3000)
	for i := range times {
		times[i] = int64(i)*777e6 + int64(mix(i)%500e6)
	}
	c, _ := timedPage(t, times, linesOf(times, func(i int, at time.Time) string {
		switch i % 4 {
		case 0:
			return fmt.Sprintf("%s started %d", at.Format("15:04:05.000"), mix(i)%1000)
		case 1:
			return fmt.Sprintf("%s ended %x", at.Format("15:04:05.000"), mix(i))
		case 2:
			return fmt.Sprintf(`{"ts":%d,"n":%d}`, at.UnixMilli(), i)
		}
		return "no time"
	}))
	shared := 0
	for _, s := range c.Shared {
		if s.Clock != nil {
			shared++
		}
	}
	require.Equal(t, 1, shared, "the two that begin with the time share it")
	require.Len(t, clocks(c), 2)
}

// TestNoClocks: what has no timestamps, or others, or gains nothing.
func TestNoClocks(t *testing.T) {
	times := make([]int64, 200)
	for i := range times {
		times[i] = 1e18 + int64(i)*1e9
	}
	lines := linesOf(times, func(i int, at time.Time) string { return at.Format("15:04:05") + fmt.Sprint(" x ", mix(i)%9) })
	f := func(name string, fill func(e *Encoder) *Column) {
		t.Run(name, func(t *testing.T) {
			e := NewEncoder(block.Fast)
			c := fill(e)
			require.Empty(t, clocks(c))
			enc := e.Finish()
			reopen(t, enc.Page, unpack(t, enc))
		})
	}
	f("no timestamps", func(e *Encoder) *Column { return e.Lines(lines) })
	f("too few", func(e *Encoder) *Column { e.Ints(times[1:], Spine); return e.Lines(lines) })
	f("not the first", func(e *Encoder) *Column { e.Strings(lines); e.Ints(times, Spine); return e.Lines(lines) })
	f("not of the spine", func(e *Encoder) *Column { e.Ints(times, Bulk); return e.Lines(lines) })
	f("not lines", func(e *Encoder) *Column { e.Ints(times, Spine); return e.Strings(lines) })
	f("those of the page before", func(e *Encoder) *Column { e.Ints(times, Spine); e.Finish(); return e.Lines(lines) })
	f("numbers of another kind", func(e *Encoder) *Column {
		e.Ints(times, Spine)
		return e.Lines(linesOf(times, func(i int, _ time.Time) string { return fmt.Sprint("size ", mix(i)%1000, " ", i/3) }))
	})
}

// TestResiduals: undoing gives back every number, whatever the timestamp.
func TestResiduals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.IntRange(0, maxTimeScale).Draw(t, "digits")
		f := IntFormat{Form: rapid.SampledFrom([]IntForm{Decimal, TimeOfDay, DateTime}).Draw(t, "form")}
		ts := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 0, -1, secondsPerDay*1e9 - 1, -secondsPerDay * 1e9})).Draw(t, "ts")
		x := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64})).Draw(t, "x")
		if day := secondsPerDay * pow10[digits]; f.Form == TimeOfDay {
			x = floorMod(x, day)
			if r := f.residual(x, ts, digits); r <= -day/2-1 || r > day/2 {
				t.Fatalf("residual %d of %d at %d", r, x, ts)
			}
		}
		vals := []int64{f.residual(x, ts, digits)}
		f.undoResiduals(vals, []int64{ts}, digits)
		require.Equal(t, x, vals[0])
	})
}

// TestTimedLinesRoundTrip draws timestamps that are equal, go back, cross midnight, a leap day, 1970 or the
// ends of an int64, and lines that print them in some forms, more or less exactly.
func TestTimedLinesRoundTrip(t *testing.T) {
	starts := []int64{0, -1, math.MaxInt64, math.MinInt64, time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC).UnixNano(),
		time.Date(2024, 2, 28, 23, 59, 59, 9e8, time.UTC).UnixNano(), time.Date(2023, 12, 31, 23, 59, 59, 0, time.UTC).UnixNano()}
	layouts := []string{"15:04:05.000", "15:04:05", "2006-01-02T15:04:05.000000Z", "2006-01-02 15:04:05,000-07:00", "2006-01-02-15.04.05.000000"}
	rapid.Check(t, func(t *rapid.T) {
		ts := rapid.OneOf(rapid.SampledFrom(starts), rapid.Int64()).Draw(t, "start")
		step := rapid.SampledFrom([]int64{0, 1, 1e6, 1e9, 3600e9, -1e9, 1 << 60}).Draw(t, "step")
		jitter := rapid.SampledFrom([]uint64{1, 1000, 5e6, 1e12}).Draw(t, "jitter")
		late := rapid.SampledFrom([]uint64{1, 2, 1e6, 86400e9}).Draw(t, "late")
		zone := rapid.SampledFrom([]int{0, 3600, -34200, 46800}).Draw(t, "zone")
		forms := rapid.SliceOfN(rapid.IntRange(0, len(layouts)+2), 1, 3).Draw(t, "forms")
		seed := rapid.IntRange(0, 1000).Draw(t, "seed")
		times := make([]int64, rapid.IntRange(1, 200).Draw(t, "rows"))
		for i := range times {
			times[i] = ts + int64(mix(seed+i)%jitter)
			ts += step
		}
		lines := linesOf(times, func(i int, at time.Time) string {
			at = at.Add(-time.Duration(mix(seed-i) % late)).In(time.FixedZone("", zone))
			switch form := forms[mix(i)%uint64(len(forms))]; form {
			case len(layouts):
				return fmt.Sprintf("up %d.%06d s", at.Unix()%1000, at.Nanosecond()/1e3)
			case len(layouts) + 1:
				return fmt.Sprintf(`{"ts":%d,"x":%d}`, at.UnixMilli(), mix(i)%7)
			case len(layouts) + 2:
				return fmt.Sprintf("at=%d.%d n=%d", at.Unix(), at.Nanosecond()/1e8, i)
			default:
				return at.Format(layouts[form]) + fmt.Sprint(" number ", mix(i)%50)
			}
		})
		_, enc := timedPage(t, times, lines)
		blobs := unpack(t, enc)
		// As a reader that fetches by range sees it, for some rows only.
		r := reopen(t, enc.Page, nil)
		some := block.NewBitmap(len(times))
		some.Set(len(times) / 2)
		for {
			var got block.Values
			r.Values(&got, r.page.Columns[1], SetOf(some))
			require.NoError(t, r.Err())
			wanted := r.Wanted()
			if len(wanted) == 0 {
				require.Equal(t, string(lines.At(len(times)/2)), string(got.At(0)))
				break
			}
			for _, b := range wanted {
				r.Supply(b, blobs[b])
			}
		}
	})
}

// TestFindInClocks searches lines by their time, when nothing is at hand at first.
func TestFindInClocks(t *testing.T) {
	times := make([]int64, 2000)
	for i := range times {
		times[i] = 1.7e18 + int64(i)*3e8 + int64(mix(i)%1e8)
	}
	lines := linesOf(times, func(i int, at time.Time) string {
		if i%3 == 0 {
			return fmt.Sprintf("%d is %d", at.UnixMilli(), mix(i)%100)
		}
		return at.Format("15:04:05.000") + " user " + fmt.Sprint(mix(i)%100)
	})
	c, enc := timedPage(t, times, lines)
	require.Len(t, clocks(c), 2)
	blobs := unpack(t, enc)
	for _, needle := range []string{"22:13:20", ":25.", "17000000", "00 is 7", ".3", "9"} {
		r := reopen(t, enc.Page, nil)
		var got Set
		for {
			got = r.Match(r.page.Columns[1], Contains, []byte(needle))
			wanted := r.Wanted()
			if len(wanted) == 0 {
				break
			}
			for _, b := range wanted {
				r.Supply(b, blobs[b])
			}
		}
		require.NoError(t, r.Err())
		for i := range lines.Len() {
			require.Equal(t, bytes.Contains(lines.At(i), []byte(needle)), got.Has(i), "%q in %q", needle, lines.At(i))
		}
	}
}

// TestMisplacedClocks: a Clock must be where there are timestamps to follow.
func TestMisplacedClocks(t *testing.T) {
	times := make([]int64, 100)
	for i := range times {
		times[i] = int64(i) * 1e9
	}
	_, enc := timedPage(t, times, linesOf(times, func(i int, at time.Time) string { return at.Format("15:04:05") + fmt.Sprint(" n ", mix(i)%30) }))
	column, lines := enc.Page.Columns[0], enc.Page.Columns[1]
	f := func(name string, columns ...*Column) {
		t.Helper()
		_, err := DecodePage(block.NewDecoder(AppendPage(nil, &Page{Blobs: enc.Page.Blobs, Columns: columns})))
		require.ErrorContains(t, err, "clock", name)
	}
	f("no timestamps", lines)
	f("at the top", column, clocks(lines)[0])
	other := *column
	other.Rows--
	f("other rows", &other, lines)
	other = *column
	other.NumberForm = &NumberForm{Int: IntFormat{Width: 3}}
	f("of a form", &other, lines)
	dict := newColumn(Dict, lines.Rows)
	dict.Values = lines
	f("deeper", column, dict)
}

// TestClockOutOfRange: timestamps that are not those of the lines are noticed.
func TestClockOutOfRange(t *testing.T) {
	times := make([]int64, 100)
	for i := range times {
		times[i] = 1e18 + 1 + int64(i)*1e9
	}
	_, enc := timedPage(t, times, linesOf(times, func(i int, at time.Time) string { return at.Format("15:04:05") + fmt.Sprint(" n ", mix(i)%30) }))
	blobs := unpack(t, enc)
	for i := range times {
		times[i] += 1e9
	}
	first := &enc.Page.Columns[0].Stamp
	first.Max += 1e9
	p := enc.Page.Columns[0].Payload
	shifted := block.AppendInts(nil, times)
	require.Len(t, shifted, p.Len)
	blobs[p.Blob] = shifted
	r := reopen(t, enc.Page, blobs)
	var got block.Values
	r.Values(&got, r.page.Columns[1], All)
	require.Error(t, r.Err())
	require.Equal(t, len(times), got.Len())
}

// TestZeros: numbers in which zeros are common keep them out of the payload.
func TestZeros(t *testing.T) {
	f := func(zeros int, vals ...int64) {
		t.Helper()
		e := NewEncoder(block.Fast)
		c := e.Ints(vals, Spine)
		require.Equal(t, zeros, c.Zeros)
		enc := e.Finish()
		r := reopen(t, enc.Page, unpack(t, enc))
		require.Equal(t, vals, r.Int64s(r.page.Columns[0]))
		require.NoError(t, r.Err())
	}
	f(0, 0)
	f(0, 0, 0, 0)
	f(0, 1, 10, 100)
	f(3, 5000, 0, -7000)
	f(18, 1e18, -9e18)
	f(9, 1_700_000_000e9, 1_700_000_001e9)
	f(0, math.MaxInt64, math.MinInt64, 10)
	f(1, math.MinInt64+8, 20)
}
