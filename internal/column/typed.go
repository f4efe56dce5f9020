package column

import (
	"bytes"
	"math"
	"strconv"
)

// Limits of the typed kinds: longer values are not looked at.
const (
	maxNumberLen = 40  // bytes of a number, an address, a time
	maxHexDigits = 128 // SHA-512
	maxScale     = 18  // 10^18 is the highest power of ten in an int64
	maxWidth     = 19  // digits of the greatest int64
)

var pow10 = func() (p [maxScale + 1]int64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

const secondsPerDay = 86400

func isDigit(c byte) bool { return c-'0' <= 9 }

// parseInt returns the integer that stands for b in the format, or false where the format doesn't print
// exactly b for any integer: appendInt undoes it byte for byte.
func parseInt(f *IntFormat, b []byte) (int64, bool) {
	switch f.Form {
	case Decimal:
		if f.Trimmed {
			return parseTrimmed(b, f.Scale)
		}
		if f.Scale > 0 {
			return parseFixed(b, f.Scale)
		}
		return parseDecimal(b, f.Width)
	case IPv4:
		return parseIPv4(b)
	case TimeOfDay:
		return parseTimeOfDay(f, b, ':')
	case DateTime:
		return parseDateTime(f, b)
	}
	return 0, false
}

// parseDecimal parses digits after an optional minus sign. A number may begin with a zero only where
// that fills it up to width, and is not shorter than width.
func parseDecimal(b []byte, width int) (int64, bool) {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	x, ok := parseDigits(digits)
	if !ok {
		return 0, false
	}
	negative := len(digits) < len(b)
	if width > 0 {
		return x, !negative && len(b) >= width && (b[0] != '0' || len(b) == width)
	}
	if digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	if negative {
		x = -x
	}
	return x, true
}

// parseDigits parses a number without a sign that fits an int64.
func parseDigits(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > maxWidth {
		return 0, false
	}
	var x uint64
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		x = x*10 + uint64(c-'0')
	}
	return int64(x), x <= math.MaxInt64
}

// parseFixed parses a number with exactly scale digits after the point and at least one before it.
func parseFixed(b []byte, scale int) (int64, bool) {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	point := len(digits) - scale - 1
	if point < 1 || digits[point] != '.' || digits[0] == '0' && point > 1 || len(digits) > maxWidth {
		return 0, false
	}
	var x int64 // at most 18 digits: no overflow
	for i, c := range digits {
		if i == point {
			continue
		}
		if !isDigit(c) {
			return 0, false
		}
		x = x*10 + int64(c-'0')
	}
	if len(digits) < len(b) {
		return -x, x != 0
	}
	return x, true
}

// parseTrimmed parses a number with at most scale digits after the point, the last of which isn't zero, or without
// a point.
func parseTrimmed(b []byte, scale int) (int64, bool) {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	whole, fraction := digits, []byte(nil)
	if point := bytes.IndexByte(digits, '.'); point >= 0 {
		whole, fraction = digits[:point], digits[point+1:]
		if n := len(fraction); n == 0 || n > scale || fraction[n-1] == '0' {
			return 0, false
		}
	}
	if len(whole) == 0 || len(whole)+scale > maxScale || whole[0] == '0' && len(whole) > 1 {
		return 0, false
	}
	var x int64 // at most 18 digits: no overflow
	for _, part := range [...][]byte{whole, fraction} {
		for _, c := range part {
			if !isDigit(c) {
				return 0, false
			}
			x = x*10 + int64(c-'0')
		}
	}
	x *= pow10[scale-len(fraction)]
	if len(digits) < len(b) {
		return -x, x != 0
	}
	return x, true
}

func parseIPv4(b []byte) (int64, bool) {
	var address int64
	for part := range 4 {
		if part > 0 {
			if len(b) == 0 || b[0] != '.' {
				return 0, false
			}
			b = b[1:]
		}
		x, n := int64(0), 0
		for n < len(b) && n < 3 && isDigit(b[n]) {
			x = x*10 + int64(b[n]-'0')
			n++
		}
		if n == 0 || x > 255 || n > 1 && b[0] == '0' {
			return 0, false
		}
		address = address<<8 | x
		b = b[n:]
	}
	return address, len(b) == 0
}

// appendInt appends x in the format. A decoded column holds only numbers that its format can print, see
// checkIntRange.
func appendInt(dst []byte, f *IntFormat, x int64) []byte {
	switch f.Form {
	case IPv4:
		return appendIPv4(dst, x)
	case TimeOfDay:
		return appendTimeOfDay(dst, f, x, ':')
	case DateTime:
		return appendDateTime(dst, f, x)
	}
	switch {
	case f.Trimmed:
		return appendTrimmed(dst, x, f.Scale)
	case f.Scale > 0:
		return appendFixed(dst, x, f.Scale)
	case f.Width > 0 && (f.Width == maxWidth || x < pow10[f.Width]):
		return appendPadded(dst, x, f.Width)
	}
	return appendDecimal(dst, x)
}

// appendDecimal is strconv.AppendInt with a shortcut for small numbers, which most are.
func appendDecimal(dst []byte, x int64) []byte {
	switch u := uint64(x); {
	case u < 10:
		return append(dst, byte('0'+u))
	case u < 100:
		return append(dst, byte('0'+u/10), byte('0'+u%10))
	case u < 1000:
		return append(dst, byte('0'+u/100), byte('0'+u/10%10), byte('0'+u%10))
	case u < 10000:
		high, low := &digitPairs[u/100], &digitPairs[u%100]
		return append(dst, high[0], high[1], low[0], low[1])
	}
	return strconv.AppendInt(dst, x, 10)
}

func appendFixed(dst []byte, x int64, scale int) []byte {
	u := uint64(x)
	if x < 0 {
		dst, u = append(dst, '-'), -u
	}
	p := uint64(pow10[scale])
	dst = appendDecimal(dst, int64(u/p))
	return appendPadded(append(dst, '.'), int64(u%p), scale)
}

// appendTrimmed undoes parseTrimmed.
func appendTrimmed(dst []byte, x int64, scale int) []byte {
	u := uint64(x)
	if x < 0 {
		dst, u = append(dst, '-'), -u
	}
	p := uint64(pow10[scale])
	dst = appendDecimal(dst, int64(u/p))
	fraction := u % p
	if fraction == 0 {
		return dst
	}
	for fraction%10 == 0 {
		fraction /= 10
		scale--
	}
	return appendPadded(append(dst, '.'), int64(fraction), scale)
}

// appendPadded appends x ≥ 0 with leading zeros; x has at most width ≤ maxWidth digits.
func appendPadded(dst []byte, x int64, width int) []byte {
	n := len(dst)
	dst = append(dst, "0000000000000000000"[:width]...)
	i, u := n+width, uint64(x)
	for ; u >= 10 && i >= n+2; u /= 100 {
		i -= 2
		*(*[2]byte)(dst[i:]) = digitPairs[u%100]
	}
	if u > 0 && i > n {
		dst[i-1] = byte('0' + u%10)
	}
	return dst
}

func appendIPv4(dst []byte, x int64) []byte {
	dst = appendDecimal(dst, x>>24&255)
	dst = appendDecimal(append(dst, '.'), x>>16&255)
	dst = appendDecimal(append(dst, '.'), x>>8&255)
	return appendDecimal(append(dst, '.'), x&255)
}
