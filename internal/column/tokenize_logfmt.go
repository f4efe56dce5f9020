package column

import (
	"bytes"
	"unicode/utf8"
)

// logfmtProbe is how far into a line its first key must end.
const logfmtProbe = 40

// tokenizeLogfmt takes a line of at least two pairs key=value with spaces between: keys, quotes and spaces
// are static, values are slots. It is strict, so that a parser never finds a fault in such a line.
func (t *tokenizer) tokenizeLogfmt(off, end int) bool {
	b := t.data[:end]
	if !mayBeLogfmt(b[off:]) {
		return false
	}
	i := skipBlanks(b, off)
	t.key = append(t.key[:0], modeLetters[Logfmt])
	from, pairs := off, 0
	for ; i < end; pairs++ {
		if i = logfmtKey(b, i); i < 0 {
			return false
		}
		value, valueEnd := i, 0
		if i < end && b[i] == '"' {
			if i = jsonString(b, i); i < 0 {
				return false
			}
			value, valueEnd = value+1, i-1
		} else {
			i = logfmtBare(b, i)
			valueEnd = i
		}
		if i < end && b[i] != ' ' {
			return false
		}
		t.key = append(t.key, b[from:value]...)
		t.slot(value, valueEnd)
		from, i = valueEnd, skipBlanks(b, i)
	}
	t.key = append(t.key, b[from:end]...)
	return pairs >= 2
}

// mayBeLogfmt reports whether the line begins with a key.
func mayBeLogfmt(line []byte) bool {
	i := skipBlanks(line, 0)
	probe := line[i:min(len(line), i+logfmtProbe)]
	k := bytes.IndexByte(probe, '=')
	return k > 0 && bytes.IndexByte(probe[:k], ' ') < 0
}

func skipBlanks[T ~string | ~[]byte](b T, i int) int {
	for i < len(b) && b[i] == ' ' {
		i++
	}
	return i
}

// bareChars are the bytes of keys and of values without quotes.
var bareChars = func() (t [256]bool) {
	for i := range t {
		t[i] = i > ' ' && i != '=' && i != '"'
	}
	return t
}()

// logfmtKey returns where the value begins whose key is at b[i], or -1.
func logfmtKey(b []byte, i int) int {
	k := i
	all := byte(0)
	for k < len(b) && bareChars[b[k]] {
		all |= b[k]
		k++
	}
	if k == i || k-i > maxKeyLen || k == len(b) || b[k] != '=' || all >= utf8.RuneSelf && !utf8.Valid(b[i:k]) {
		return -1
	}
	return k + 1
}

// logfmtBare returns the end of the bare value at b[i].
func logfmtBare(b []byte, i int) int {
	for i < len(b) && bareChars[b[i]] {
		i++
	}
	return i
}
