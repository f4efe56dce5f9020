package column

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// tokenizeJSON takes a line that is one JSON object: keys, punctuation and white space are static, each
// scalar and each array is a slot, a string's without its quotes. It is strict, so that a parser never
// finds a fault in such a line.
func (t *tokenizer) tokenizeJSON(off, end int) bool {
	if t.data[off] != '{' || t.data[end-1] != '}' {
		return false
	}
	t.key = append(t.key[:0], modeLetters[JSON])
	return t.object(t.data[:end], off, 0) == end
}

// object adds the object that begins at b[i], and returns where it ends, or -1.
func (t *tokenizer) object(b []byte, i, depth int) int {
	if depth > maxObjectDepth {
		return -1
	}
	from := i // what is not yet in the key
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		t.key = append(t.key, b[from:i+1]...)
		return i + 1
	}
	for {
		if i = jsonKey(b, i); i < 0 {
			return -1
		}
		switch b[i] {
		case '"':
			end := jsonString(b, i)
			if end < 0 {
				return -1
			}
			t.key = append(t.key, b[from:i+1]...)
			t.slot(i+1, end-1)
			from, i = end-1, end
		case '{':
			t.key = append(t.key, b[from:i]...)
			if i = t.object(b, i, depth+1); i < 0 {
				return -1
			}
			from = i
		default:
			end := jsonValue(b, i, 0)
			if end < 0 {
				return -1
			}
			t.key = append(t.key, b[from:i]...)
			t.slot(i, end)
			from, i = end, end
		}
		i = skipSpace(b, i)
		if i == len(b) || b[i] != ',' && b[i] != '}' {
			return -1
		}
		if b[i] == '}' {
			t.key = append(t.key, b[from:i+1]...)
			return i + 1
		}
		i = skipSpace(b, i+1)
	}
}

// jsonKey returns where the value begins whose key is at b[i], or -1.
func jsonKey(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	end := jsonString(b, i)
	if end < 0 || end-i > maxKeyLen || !utf8.Valid(b[i:end]) {
		return -1
	}
	i = skipSpace(b, end)
	if i == len(b) || b[i] != ':' {
		return -1
	}
	if i = skipSpace(b, i+1); i == len(b) {
		return -1
	}
	return i
}

func skipSpace[T ~string | ~[]byte](b T, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// plainChars are the bytes that stand for themselves within a string.
var plainChars = func() (t [256]bool) {
	for i := range t {
		t[i] = i >= ' ' && i != '"' && i != '\\'
	}
	return t
}()

// jsonString returns the end of the string whose opening quote is b[i], or -1 where it isn't closed,
// holds a control byte, or an escape that JSON doesn't know.
func jsonString(b []byte, i int) int {
	i = skipPlain(b, i+1)
	if i < len(b) && b[i] == '"' {
		return i + 1 // Fast path: no escapes.
	}
	return stringEnd(b, i)
}

// skipPlain returns the first place from i on that doesn't stand for itself within a string. It looks at
// eight bytes at once: a subtraction borrows from the top bit of a byte that was below what is subtracted.
// Bytes above one that is found may be mistaken, so the lowest counts.
func skipPlain(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quotes, escapes := x^ones*'"', x^ones*'\\'
		found := (x - ones*' ') &^ x
		found |= (quotes - ones) &^ quotes
		found |= (escapes - ones) &^ escapes
		if found &= tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && plainChars[b[i]] {
		i++
	}
	return i
}

// stringEnd is jsonString from within the string on.
func stringEnd[T ~string | ~[]byte](b T, i int) int {
	for i < len(b) {
		if plainChars[b[i]] {
			i++
			continue
		}
		switch {
		case b[i] == '"':
			return i + 1
		case b[i] != '\\' || i+1 == len(b):
			return -1
		}
		switch b[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			if i+6 > len(b) {
				return -1
			}
			for k := i + 2; k < i+6; k++ {
				if hexValues[b[k]] == noDigit {
					return -1
				}
			}
			i += 6
		default:
			return -1
		}
	}
	return -1
}

// jsonValue returns the end of the JSON value that begins at b[i], or -1.
func jsonValue(b []byte, i, depth int) int {
	if i >= len(b) {
		return -1
	}
	switch c := b[i]; {
	case c == '"':
		return jsonString(b, i)
	case c == '[' || c == '{':
		return jsonList(b, i, depth)
	case c == 't':
		return jsonWord(b, i, "true")
	case c == 'f':
		return jsonWord(b, i, "false")
	case c == 'n':
		return jsonWord(b, i, "null")
	}
	return jsonNumber(b, i)
}

func jsonWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// jsonNumber returns the end of the number at b[i], or -1. What follows is the caller's to check.
func jsonNumber(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	whole := digitsEnd(b, i)
	if whole == i || b[i] == '0' && whole > i+1 {
		return -1
	}
	i = whole
	if i < len(b) && b[i] == '.' {
		fraction := digitsEnd(b, i+1)
		if fraction == i+1 {
			return -1
		}
		i = fraction
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := digitsEnd(b, i)
		if exponent == i {
			return -1
		}
		i = exponent
	}
	return i
}

func digitsEnd(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

// jsonList returns the end of the array, or the object within one, that begins at b[i], or -1.
func jsonList(b []byte, i, depth int) int {
	if depth >= maxArrayDepth {
		return -1
	}
	closing := byte(']')
	if b[i] == '{' {
		closing = '}'
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == closing {
		return i + 1
	}
	for {
		if closing == '}' {
			if i >= len(b) || b[i] != '"' {
				return -1
			}
			if i = jsonString(b, i); i < 0 {
				return -1
			}
			if i = skipSpace(b, i); i == len(b) || b[i] != ':' {
				return -1
			}
			i = skipSpace(b, i+1)
		}
		if i = jsonValue(b, i, depth+1); i < 0 {
			return -1
		}
		if i = skipSpace(b, i); i == len(b) || b[i] != ',' && b[i] != closing {
			return -1
		}
		if b[i] == closing {
			return i + 1
		}
		i = skipSpace(b, i+1)
	}
}
