package loggen

import (
	"math"
	"math/rand/v2"
	"strconv"
)

// ints makes a field of whole numbers in [lo, hi], all equally likely.
func (w *world) ints(lo, hi int64) field {
	return func(dst []byte) []byte { return strconv.AppendInt(dst, lo+w.Int64N(hi-lo+1), 10) }
}

// padded is ints filled up with zeros to width.
func (w *world) padded(lo, hi int64, width int) field {
	return func(dst []byte) []byte { return appendPadded(dst, lo+w.Int64N(hi-lo+1), width) }
}

func appendPadded(dst []byte, x int64, width int) []byte {
	for limit, n := int64(10), 1; n < width; n++ {
		if x < limit {
			dst = append(dst, '0')
		}
		limit *= 10
	}
	return strconv.AppendInt(dst, x, 10)
}

// skewed returns a number as durations and sizes are: median in the middle, half of the numbers within
// a factor of three, some very large.
func (w *world) skewed(median float64) float64 { return median * math.Exp(1.6*w.NormFloat64()) }

// sizes makes a field of whole numbers by skewed, at least one.
func (w *world) sizes(median float64) field {
	return func(dst []byte) []byte { return strconv.AppendInt(dst, 1+int64(w.skewed(median)), 10) }
}

// decimals makes a field of numbers by skewed with places digits after the point, fewer where they end
// in zero if trim is set.
func (w *world) decimals(median float64, places int, trim bool) field {
	unit := math.Pow10(places)
	return func(dst []byte) []byte {
		x := math.Round(w.skewed(median)*unit) / unit
		if trim {
			return strconv.AppendFloat(dst, x, 'f', -1, 64)
		}
		return strconv.AppendFloat(dst, x, 'f', places, 64)
	}
}

// counter makes a field that counts up from first, by up to step at a time.
func (w *world) counter(first, step int64) field {
	return func(dst []byte) []byte {
		first += w.Int64N(step + 1)
		return strconv.AppendInt(dst, first, 10)
	}
}

const hexDigits = "0123456789abcdef"

func (w *world) appendHex(dst []byte, digits int) []byte {
	for digits > 0 {
		x := w.Uint64()
		for range min(digits, 16) {
			dst = append(dst, hexDigits[x&15])
			x >>= 4
		}
		digits -= min(digits, 16)
	}
	return dst
}

// hex makes a field of fresh hexadecimal identifiers.
func (w *world) hex(digits int) field {
	return func(dst []byte) []byte { return w.appendHex(dst, digits) }
}

func (w *world) appendUUID(dst []byte) []byte {
	dst = append(w.appendHex(dst, 8), '-')
	dst = append(w.appendHex(dst, 4), "-4"...)
	dst = append(w.appendHex(dst, 3), '-', "89ab"[w.IntN(4)])
	dst = append(w.appendHex(dst, 3), '-')
	return w.appendHex(dst, 12)
}

// zipf returns what draws numbers below n, the low ones most often: exponent above 1.
func (w *world) zipf(n int, exponent float64) func() int {
	z := rand.NewZipf(w.Rand, exponent, 2, uint64(n-1))
	return func() int { return int(z.Uint64()) }
}

// words makes a field of the given values, the first most often.
func (w *world) words(values ...string) field { return w.zipfOf(1.4, values) }

func (w *world) zipfOf(exponent float64, values []string) field {
	next := w.zipf(len(values), exponent)
	return func(dst []byte) []byte { return append(dst, values[next()]...) }
}

// any makes a field of the given values, all equally likely.
func (w *world) any(values ...string) field {
	return func(dst []byte) []byte { return append(dst, values[w.IntN(len(values))]...) }
}

// population makes a field of n values of f, drawn once, the first most often.
func (w *world) population(n int, exponent float64, f field) field {
	return w.zipfOf(exponent, list(n, f))
}

// list is n values of a field.
func list(n int, f field) []string {
	out := make([]string, n)
	var b []byte
	for i := range out {
		b = f(b[:0])
		out[i] = string(b)
	}
	return out
}

// addresses makes a field of IPv4 addresses below prefix, such as "10.251.": what is missing of the four
// numbers is random.
func (w *world) addresses(prefix string) field {
	dots := 0
	for i := range len(prefix) {
		if prefix[i] == '.' {
			dots++
		}
	}
	return func(dst []byte) []byte {
		dst = append(dst, prefix...)
		for i := dots; i < 4; i++ {
			dst = strconv.AppendInt(dst, w.Int64N(254)+1, 10)
			if i < 3 {
				dst = append(dst, '.')
			}
		}
		return dst
	}
}

// roster is things that are going on at the same time, such as requests or sessions. Each is in some
// lines, then another takes its place.
type roster[T any] struct {
	w      *world
	live   []T
	left   []int // lines until each is over
	lo, hi int
	fresh  func() T

	stay int // a line is about the same thing as the one before in stay-1 of stay cases, if it isn't over
	last int
}

// newRoster has size things at any time, each for lo to hi lines.
func newRoster[T any](w *world, size, lo, hi int, fresh func() T) *roster[T] {
	return &roster[T]{w: w, live: make([]T, size), left: make([]int, size), lo: lo, hi: hi, fresh: fresh, stay: 1}
}

// next returns the thing that the next line is about; valid until the next call.
func (r *roster[T]) next() *T {
	if r.left[r.last] == 0 || r.w.IntN(r.stay) == 0 {
		r.last = r.w.IntN(len(r.live))
	}
	i := r.last
	if r.left[i] == 0 {
		r.live[i], r.left[i] = r.fresh(), r.lo+r.w.IntN(r.hi-r.lo+1)
	}
	r.left[i]--
	return &r.live[i]
}

// shared makes a field of values of f, each used in lo to hi lines while about size others are in use,
// too.
func (w *world) shared(size, lo, hi int, f field) field {
	r := newRoster(w, size, lo, hi, func() []byte { return f(nil) })
	return func(dst []byte) []byte { return append(dst, *r.next()...) }
}
