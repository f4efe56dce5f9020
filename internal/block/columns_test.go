package block

import (
	"bytes"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// intsGen draws columns of the shapes that real ones have, and noise.
func intsGen() *rapid.Generator[[]int64] {
	return rapid.Custom(func(t *rapid.T) []int64 {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		vals := make([]int64, n)
		start := rapid.Int64().Draw(t, "start")
		step := rapid.Int64Range(-1<<40, 1<<40).Draw(t, "step")
		width := rapid.IntRange(0, 63).Draw(t, "width")
		shape := rapid.IntRange(0, 4).Draw(t, "shape")
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for i := range vals {
			noise := int64(rnd.Uint64() >> (63 - width))
			switch shape {
			case 0: // constant
				vals[i] = start
			case 1: // evenly spaced, with jitter
				vals[i] = start + int64(i)*step + noise&0xff
			case 2: // quadratic
				vals[i] = start + int64(i)*int64(i)*step
			case 3: // around a base
				vals[i] = start + noise
			case 4:
				vals[i] = int64(rnd.Uint64())
			}
		}
		return vals
	})
}

func TestIntsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vals := intsGen().Draw(t, "vals")
		want := append([]int64{}, vals...)
		for _, enc := range [][]byte{AppendInts(nil, vals), AppendPacked(nil, vals), AppendMagnitudes(nil, vals)} {
			d := NewDecoder(enc)
			got := DecodeInts[int64](d, nil, len(vals))
			require.NoError(t, d.Finish())
			require.Equal(t, want, append([]int64{}, got...))
			d.Reset(append(enc, 7)) // bytes after the column are the next reader's
			DecodeInts(d, make([]int64, 1000), -1)
			require.EqualValues(t, 7, d.Byte())
			d.Reset(enc)
			DecodeInts[int64](d, nil, len(vals)+1)
			require.Error(t, d.Err())
		}
		require.Equal(t, want, append([]int64{}, vals...)) // the input is left alone
	})
}

func TestNarrowInts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u8 := rapid.SliceOf(rapid.Uint8()).Draw(t, "u8")
		u16 := rapid.SliceOf(rapid.Uint16()).Draw(t, "u16")
		u32 := rapid.SliceOf(rapid.Uint32()).Draw(t, "u32")
		i32 := rapid.SliceOf(rapid.Int32()).Draw(t, "i32")
		b := AppendPacked(AppendInts(AppendPacked(AppendInts(nil, u8), u16), u32), i32)
		d := NewDecoder(b)
		require.Equal(t, append([]uint8{}, u8...), append([]uint8{}, DecodeInts[uint8](d, nil, -1)...))
		require.Equal(t, append([]uint16{}, u16...), append([]uint16{}, DecodeInts[uint16](d, nil, -1)...))
		require.Equal(t, append([]uint32{}, u32...), append([]uint32{}, DecodeInts[uint32](d, nil, -1)...))
		require.Equal(t, append([]int32{}, i32...), append([]int32{}, DecodeInts[int32](d, nil, -1)...))
		require.NoError(t, d.Finish())
	})
	for _, v := range []int64{-1, 256, math.MaxInt64, math.MinInt64} {
		d := NewDecoder(AppendInts(nil, []int64{v}))
		require.Empty(t, DecodeInts[uint8](d, nil, 1))
		require.ErrorContains(t, d.Err(), "out of range")
	}
}

func TestIntSizes(t *testing.T) {
	col := func(n int, f func(i int) int64) []int64 {
		vals := make([]int64, n)
		for i := range vals {
			vals[i] = f(i)
		}
		return vals
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for name, tc := range map[string]struct {
		vals []int64
		max  int
	}{
		"constant":                {col(10_000, func(int) int64 { return 1e18 }), 16},
		"timestamps every second": {col(10_000, func(i int) int64 { return 1e18 + int64(i)*1e9 }), 24},
		"quadratic":               {col(10_000, func(i int) int64 { return int64(i) * int64(i) }), 24},
		"timestamps with jitter":  {col(10_000, func(i int) int64 { return 1e18 + int64(i)*1e9 + rnd.Int64N(1e6) }), 40_100},
		"below 256":               {col(10_000, func(int) int64 { return rnd.Int64N(256) }), 10_100},
	} {
		require.LessOrEqual(t, len(AppendInts(nil, tc.vals)), tc.max, name)
	}
	require.LessOrEqual(t, len(AppendPacked(nil, col(8000, func(int) int64 { return rnd.Int64N(8) }))), 3020)
}

// exponential returns times of random events, five milliseconds apart on average.
func exponential(n int) []int64 {
	rnd := rand.New(rand.NewPCG(1, 1))
	vals, now := make([]int64, n), int64(1.7e18)
	for i := range vals {
		now += int64(rnd.ExpFloat64() * 5e6)
		vals[i] = now
	}
	return vals
}

func TestMagnitudesAreNearEntropy(t *testing.T) {
	const n = 1 << 15
	entropy := math.Log2(math.E*5e6) * n / 8 // bytes
	got := float64(len(AppendMagnitudes(nil, exponential(n))))
	require.Less(t, got, 1.01*entropy)
	planes, _ := Pack(nil, AppendInts(nil, exponential(n)), CodecZstd, Better)
	require.Greater(t, float64(len(planes)), 1.03*entropy)
}

func valuesOf(list ...string) *Values {
	v := &Values{}
	for _, s := range list {
		v.AppendString(s)
	}
	return v
}

func TestStringsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []string
		if rapid.Bool().Draw(t, "few") {
			list = rapid.SliceOf(rapid.SampledFrom([]string{"", "GET", "POST", "a longer one"})).Draw(t, "list")
		} else {
			list = rapid.SliceOf(rapid.String()).Draw(t, "list")
		}
		v := valuesOf(list...)
		b := AppendStrings(AppendValues(nil, v), v)
		b = AppendStringList(b, list)
		d := NewDecoder(b)
		var plain Values
		d.Values(&plain, len(list))
		var s Strings
		d.Strings(&s, len(list))
		require.Equal(t, append([]string{}, list...), append([]string{}, d.StringList()...))
		require.NoError(t, d.Finish())
		require.Equal(t, len(list), s.Len())
		for i, want := range list {
			require.Equal(t, want, string(plain.At(i)))
			require.Equal(t, want, string(s.At(i)))
			require.Equal(t, want, string(v.At(i)))
		}
	})
}

func TestStringsChoosesDict(t *testing.T) {
	few, many := &Values{}, &Values{}
	for i := range 1000 {
		few.AppendString([]string{"GET", "POST", "DELETE"}[i%3])
		many.AppendString(fmt.Sprint("request ", i))
	}
	var s Strings
	NewDecoder(AppendStrings(nil, few)).Strings(&s, 1000)
	require.True(t, s.IsDict)
	require.Equal(t, 3, s.Dict.Entries.Len())
	NewDecoder(AppendStrings(nil, many)).Strings(&s, 1000)
	require.False(t, s.IsDict)
	require.Equal(t, "request 999", string(s.At(999)))
	var c Dict
	require.False(t, BuildDict(&c, few, 2))
	bad := AppendInts(AppendValues(nil, valuesOf("a")), []uint32{0, 1})
	d := NewDecoder(bad)
	d.Dict(&c, 2)
	require.ErrorContains(t, d.Err(), "code 1")
	require.Zero(t, c.Len())
}

func TestValuesLimit(t *testing.T) {
	v := &Values{Data: make([]byte, 0), Ends: nil}
	require.True(t, v.AppendString("x"))
	v.Reset()
	require.Zero(t, v.Len())
	d := NewDecoder(AppendInts(nil, []uint32{math.MaxUint32, math.MaxUint32}))
	d.Values(v, 2)
	require.Error(t, d.Err())
	require.Zero(t, v.Len())
}

func TestBitmapRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 3000).Draw(t, "n")
		density := rapid.SampledFrom([]int{0, 1, 3, 50, 97, 99, 100}).Draw(t, "density")
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		b := NewBitmap(n)
		set := 0
		for i := range n {
			if rnd.IntN(100) < density {
				b.Set(i)
				set++
			}
		}
		require.Equal(t, set, b.Count())
		d := NewDecoder(AppendBitmap(nil, b))
		got := NewBitmap(5)
		d.Bitmap(got, n)
		require.NoError(t, d.Finish())
		require.Equal(t, n, got.Len())
		next := got.Next(0)
		for i := range n {
			require.Equal(t, b.Get(i), got.Get(i))
			if b.Get(i) {
				require.Equal(t, i, next)
				next = got.Next(i + 1)
			}
		}
		require.Equal(t, -1, next)
		got.Not()
		require.Equal(t, n-set, got.Count())
		got.Or(b)
		require.Equal(t, n, got.Count())
		got.And(b)
		require.Equal(t, set, got.Count())
		got.SetAll()
		require.Equal(t, n, got.Count())
	})
	require.Len(t, AppendBitmap(nil, NewBitmap(100_000)), 4)
	d := NewDecoder(append([]byte{bitmapSparse, 10}, AppendInts(nil, []uint32{10})...))
	b := NewBitmap(0)
	d.Bitmap(b, 10)
	require.ErrorContains(t, d.Err(), "row 10 of 10")
	d.Reset([]byte{bitmapWords, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	d.Bitmap(b, 3)
	require.NoError(t, d.Err())
	require.Equal(t, 3, b.Count()) // bits beyond the end don't count
}

func TestFloatsRoundTrip(t *testing.T) {
	check := func(t require.TestingT, vals []float64) {
		enc := AppendFloats(nil, vals)
		d := NewDecoder(enc)
		got := DecodeFloats(d, nil, len(vals))
		require.NoError(t, d.Finish())
		require.Len(t, got, len(vals))
		for i := range vals {
			require.Equal(t, math.Float64bits(vals[i]), math.Float64bits(got[i]), "value %d: %v", i, vals[i])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.SliceOf(rapid.Float64()).Draw(t, "any"))
		check(t, rapid.SliceOf(rapid.Map(rapid.Int32(), func(i int32) float64 { return float64(i) })).Draw(t, "whole"))
	})
	payload := math.Float64frombits(0x7ff8000000000123)
	check(t, []float64{math.NaN(), payload, math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 1 << 53, 1<<53 + 2, math.MaxFloat64, 5e-324})
	check(t, []float64{math.Copysign(0, -1)})
	require.LessOrEqual(t, len(AppendFloats(nil, make([]float64, 1000))), 10)
}

func TestDecoder(t *testing.T) {
	b := AppendPrefixed(nil, "name")
	b = append(b, 0x80, 0x01)                            // uvarint 128
	b = append(b, 0x03)                                  // varint -2
	b = append(b, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9) // uint32, uint64, byte
	d := NewDecoder(b)
	require.Equal(t, "name", d.String())
	require.EqualValues(t, 128, d.Uvarint())
	require.EqualValues(t, -2, d.Varint())
	require.EqualValues(t, 1, d.Uint32())
	require.EqualValues(t, 2, d.Uint64())
	require.ErrorContains(t, d.Finish(), "1 bytes too many")
	require.Zero(t, d.Byte())
	require.Nil(t, d.Bytes(1))
	for name, f := range map[string]func(d *Decoder){
		"byte": func(d *Decoder) { d.Byte() }, "uvarint": func(d *Decoder) { d.Uvarint() }, "varint": func(d *Decoder) { d.Varint() },
		"uvarints": func(d *Decoder) { d.Uvarints(make([]uint32, 1), 1) },
		"uint32":   func(d *Decoder) { d.Uint32() }, "uint64": func(d *Decoder) { d.Uint64() }, "float64": func(d *Decoder) { d.Float64() },
		"prefixed": func(d *Decoder) { d.Prefixed() }, "negative": func(d *Decoder) { d.Bytes(-1) }, "ref": func(d *Decoder) { d.Ref() },
	} {
		d := NewDecoder(nil)
		f(d)
		require.ErrorIs(t, d.Err(), errShort, name)
	}
	d = NewDecoder(bytes.Repeat([]byte{0xff}, 11))
	d.Uvarint()
	require.ErrorContains(t, d.Err(), "more than 64 bits")
	d.Failf("second")
	require.ErrorContains(t, d.Err(), "more than 64 bits") // the first fault sticks
	d = NewDecoder([]byte{5, 0x80, 0x01, 0xff, 0xff, 0xff, 0xff, 0x0f, 9})
	numbers := make([]uint32, 3)
	d.Uvarints(numbers, 1<<32)
	require.Equal(t, []uint32{5, 128, math.MaxUint32}, numbers)
	d.Uvarints(numbers[:1], 9)
	require.ErrorContains(t, d.Err(), "number 9 of 9")
	d = NewDecoder(bytes.Repeat([]byte{0xff}, 11))
	d.Uvarints(numbers, 1<<32)
	require.ErrorContains(t, d.Err(), "more than 32 bits")
	d = NewDecoder([]byte{100, 0, 0})
	require.Zero(t, d.Count(1000, 1))
	require.ErrorIs(t, d.Err(), errShort)
	d = NewDecoder([]byte{100})
	require.Zero(t, d.Count(10, 0))
	require.ErrorContains(t, d.Err(), "at most 10")
	d = NewDecoder([]byte{0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0})
	d.Ref()
	require.Error(t, d.Err())
}

// FuzzColumns feeds hostile bytes to every column decoder. None may panic, allocate more than MaxRows
// values, or return something after a fault; what decodes must encode to something that decodes to
// the same again.
func FuzzColumns(f *testing.F) {
	f.Add(AppendInts(nil, []int64{1, 5, 9, 14}))
	f.Add(AppendPacked(nil, []int64{1, 5, 9, 14, 1 << 60}))
	f.Add(AppendMagnitudes(nil, exponential(300)))
	f.Add(AppendMagnitudes(nil, make([]int64, 100)))
	f.Add(AppendValues(nil, valuesOf("a", "bb", "")))
	f.Add(AppendStrings(nil, valuesOf("a", "a", "a", "b")))
	f.Add(AppendFloats(nil, []float64{1.5, 2}))
	f.Add(AppendFloats(nil, []float64{1, 2, 3, 4}))
	bm := NewBitmap(100)
	bm.Set(7)
	f.Add(AppendBitmap(nil, bm))
	f.Add(AppendStringList(nil, []string{"x", "yy"}))
	f.Add([]byte{0x10, 0xff, 0xff, 0x3f, 0, 64})
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzInts(t, b)
		fuzzStrings(t, b)
		d := NewDecoder(b)
		if fl := DecodeFloats(d, nil, -1); d.Err() == nil {
			again := DecodeFloats(NewDecoder(AppendFloats(nil, fl)), nil, len(fl))
			require.Len(t, again, len(fl))
			for i := range fl {
				require.Equal(t, math.Float64bits(fl[i]), math.Float64bits(again[i]))
			}
		} else {
			require.Empty(t, fl)
		}
		var bm, bm2 Bitmap
		d.Reset(b)
		if d.Bitmap(&bm, -1); d.Err() == nil {
			NewDecoder(AppendBitmap(nil, &bm)).Bitmap(&bm2, bm.Len())
			require.Equal(t, bm.Count(), bm2.Count())
			require.LessOrEqual(t, bm.Count(), bm.Len())
		} else {
			require.Zero(t, bm.Len())
		}
		d.Reset(b)
		d.StringList()
	})
}

func fuzzInts(t *testing.T, b []byte) {
	d := NewDecoder(b)
	vals := DecodeInts[int64](d, nil, -1)
	if d.Err() != nil {
		require.Empty(t, vals)
	} else {
		require.LessOrEqual(t, len(vals), MaxRows)
		again := DecodeInts[int64](NewDecoder(AppendPacked(nil, vals)), nil, len(vals))
		require.Equal(t, append([]int64{}, vals...), append([]int64{}, again...))
		again = DecodeInts[int64](NewDecoder(AppendMagnitudes(nil, vals)), nil, len(vals))
		require.Equal(t, append([]int64{}, vals...), append([]int64{}, again...))
	}
	d.Reset(b)
	if narrow := DecodeInts[uint16](d, nil, 3); d.Err() != nil {
		require.Empty(t, narrow)
	} else {
		require.Len(t, narrow, 3)
	}
	fuzzSelect(t, b, vals)
}

// fuzzSelect selects from the column that decodes to vals, or is none.
func fuzzSelect(t *testing.T, b []byte, vals []int64) {
	test := IntTest{Min: -3, Max: 4, Keep: []bool{true, false, true, true, false, false, true, true}}
	d := NewDecoder(b)
	rows := SelectInts(d, max(len(vals), 1), &test)
	inside := len(vals) > 0
	for i, v := range vals {
		inside = inside && v >= test.Min && v <= test.Max
		require.Equal(t, v >= test.Min && v <= test.Max && test.Keep[v-test.Min], rows.Get(i))
	}
	require.Equal(t, inside, d.Err() == nil)
}

func fuzzStrings(t *testing.T, b []byte) {
	d := NewDecoder(b)
	var s, s2 Strings
	d.Strings(&s, -1)
	if d.Err() != nil {
		require.Zero(t, s.Len())
		return
	}
	v := &Values{}
	for i := range s.Len() {
		if len(v.Data) > 1<<20 {
			return // a dictionary can stand for more than is worth building
		}
		v.Append(s.At(i))
	}
	NewDecoder(AppendStrings(nil, v)).Strings(&s2, v.Len())
	require.Equal(t, s.Len(), s2.Len())
	for i := range s.Len() {
		require.True(t, bytes.Equal(s.At(i), s2.At(i)))
	}
}

func benchInts(n int) []int64 {
	rnd := rand.New(rand.NewPCG(1, 1))
	vals := make([]int64, n)
	for i := range vals {
		vals[i] = 1.7e18 + int64(i)*1e6 + rnd.Int64N(1e6)
	}
	return vals
}

func BenchmarkInts(b *testing.B) {
	vals := benchInts(64 << 10)
	for name, f := range map[string]func([]byte, []int64) []byte{"planes": AppendInts[int64], "packed": AppendPacked[int64], "magnitudes": AppendMagnitudes[int64]} {
		enc := f(nil, vals)
		b.Run("encode/"+name, func(b *testing.B) {
			b.SetBytes(int64(8 * len(vals)))
			b.ReportAllocs()
			for range b.N {
				enc = f(enc[:0], vals)
			}
		})
		b.Run("decode/"+name, func(b *testing.B) {
			b.SetBytes(int64(8 * len(vals)))
			b.ReportAllocs()
			dst := make([]int64, 0, len(vals))
			for range b.N {
				d := NewDecoder(enc)
				dst = DecodeInts(d, dst, len(vals))
				if d.Err() != nil {
					b.Fatal(d.Err())
				}
			}
		})
	}
}

func BenchmarkStrings(b *testing.B) {
	v := &Values{}
	for i := range 64 << 10 {
		v.AppendString(fmt.Sprintf("/api/v1/users/%d", i%1000))
	}
	enc := AppendStrings(nil, v)
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(v.Data)))
		b.ReportAllocs()
		for range b.N {
			enc = AppendStrings(enc[:0], v)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(v.Data)))
		b.ReportAllocs()
		var s Strings
		for range b.N {
			NewDecoder(enc).Strings(&s, v.Len())
		}
	})
}

// What was written as magnitudes must stay readable for ever.
func TestMagnitudesGolden(t *testing.T) {
	const name = "testdata/magnitudes-v1.golden"
	negative := exponential(100)
	for i := range negative {
		negative[i] = int64(bits.Reverse64(uint64(negative[i])))
	}
	columns := [][]int64{exponential(300), negative, make([]int64, 70)}
	if *rewrite {
		var b []byte
		for _, vals := range columns {
			b = AppendMagnitudes(b, vals)
		}
		require.NoError(t, os.WriteFile(name, b, 0o666))
	}
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	d := NewDecoder(b)
	for _, vals := range columns {
		require.EqualValues(t, layoutMagnitudes<<4, d.buf[0]&0xf0)
		require.Equal(t, vals, DecodeInts[int64](d, nil, -1))
	}
	require.NoError(t, d.Finish())
}
