package column

import (
	"encoding/binary"
	"unicode"
	"unicode/utf8"
)

// lower writes src with the letters of ASCII in lower case to dst, which is as long and may be src.
func lower(dst, src []byte) {
	const (
		ones = 0x0101010101010101
		tops = 0x80 * ones
	)
	i := 0
	for ; i+8 <= len(src); i += 8 {
		// Eight bytes at a time: the top bit of each sum says that the low seven bits are at least 'A',
		// and beyond 'Z'.
		w := binary.LittleEndian.Uint64(src[i:])
		low := w &^ tops
		fromA, beyondZ := low+(0x80-'A')*ones, low+(0x80-'Z'-1)*ones
		upper := fromA &^ beyondZ &^ w & tops
		binary.LittleEndian.PutUint64(dst[i:], w|upper>>2)
	}
	for ; i < len(src); i++ {
		c := src[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		dst[i] = c
	}
}

// testFold reports whether v has text in the way of op, without regard to case.
func testFold(op Op, v, text []byte) bool {
	switch op {
	case Prefix:
		_, ok := cutFold(v, text)
		return ok
	case Equal:
		rest, ok := cutFold(v, text)
		return ok && len(rest) == 0
	}
	if len(text) == 0 {
		return true
	}
	for len(v) > 0 {
		if rest, ok := cutFold(v, text); ok && (op == Contains || len(rest) == 0) {
			return true
		}
		_, size := utf8.DecodeRune(v)
		v = v[size:]
	}
	return false
}

// cutFold cuts text off the front of v, without regard to case.
func cutFold(v, text []byte) (rest []byte, ok bool) {
	for len(text) > 0 {
		if len(v) == 0 {
			return nil, false
		}
		if v[0] < utf8.RuneSelf && text[0] < utf8.RuneSelf {
			if v[0] != text[0] && (v[0]|0x20 != text[0]|0x20 || !isLetter(v[0])) {
				return nil, false
			}
			v, text = v[1:], text[1:]
			continue
		}
		a, n := utf8.DecodeRune(v)
		b, m := utf8.DecodeRune(text)
		if b == utf8.RuneError {
			// A byte that is no rune is itself. U+FFFD stands for any such byte, as in Go's regexp.
			if m == 1 && (n != 1 || v[0] != text[0]) || a != utf8.RuneError {
				return nil, false
			}
		} else if !equalFold(a, b) {
			return nil, false
		}
		v, text = v[n:], text[m:]
	}
	return v, true
}

func equalFold(a, b rune) bool {
	for r := unicode.SimpleFold(a); r != a; r = unicode.SimpleFold(r) {
		if r == b {
			return true
		}
	}
	return a == b
}
