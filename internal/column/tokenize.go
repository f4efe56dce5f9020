package column

import "bytes"

// extent is a piece of the data that is encoded.
type extent struct{ off, n uint32 }

func (s extent) end() uint32 { return s.off + s.n }

// placeholder stands in a template's key where a slot is, wordMark in a skeleton where a word is. Text
// that holds one of these bytes itself becomes a slot.
const (
	placeholder = 0x11
	wordMark    = 0x12
)

// Limits of what makes a template. A line beyond them is a row of template 0. Those of a template hold for
// what is read, too: no row is much longer than its payload.
const (
	maxTemplates   = 4096    // of a column
	maxSlots       = 200     // of a template
	maxStaticLen   = 4 << 10 // of a template: descriptions are read whole
	maxStaticTotal = 1 << 20 // of all templates of a column
	maxTextLen     = 1 << 16 // of a line
	maxKeyLen      = 128     // of a key in JSON and logfmt, with its quotes
	maxObjectDepth = 6       // of a JSON object within the outermost one
	maxArrayDepth  = 32
)

// tokenizer splits lines into a key, which is the static text with placeholders between, and the extents
// of the slots' values. The key begins with a letter that stands for the mode.
type tokenizer struct {
	data []byte
	key  []byte
	vars []extent
}

var modeLetters = [...]byte{Generic: 'G', JSON: 'J', Logfmt: 'L'}

func modeOf(key string) Mode {
	switch key[0] {
	case 'J':
		return JSON
	case 'L':
		return Logfmt
	}
	return Generic
}

// grain is how finely values are split.
type grain int

const (
	lineGrain  grain = iota // whole lines: JSON and logfmt are looked for
	valueGrain              // values of slots, at the same token boundaries
	fineGrain               // within tokens: digits, letters
	noGrain                 // not at all
)

// tokenize replaces t.key by that of the value s and appends its slots to t.vars.
func (t *tokenizer) tokenize(s extent, g grain) {
	off, end := int(s.off), int(s.end())
	if g == lineGrain && s.n >= 2 {
		n := len(t.vars)
		if t.tokenizeJSON(off, end) {
			return
		}
		t.vars = t.vars[:n]
		if t.tokenizeLogfmt(off, end) {
			return
		}
		t.vars = t.vars[:n]
	}
	t.key = append(t.key[:0], modeLetters[Generic])
	if g < fineGrain {
		t.coarse(off, end)
	} else {
		t.fine(off, end)
	}
}

// slot adds the slot data[off:end].
func (t *tokenizer) slot(off, end int) {
	t.key = append(t.key, placeholder)
	t.vars = append(t.vars, extent{uint32(off), uint32(end - off)})
}

const (
	letterOrDigit = Digits | HexLower | AlphaLower | HexUpper | AlphaUpper
	tokenChars    = letterOrDigit | Dot | Dash | Underscore | High
)

// tokenClasses holds for the bytes of a token their class, for others zero. The placeholder and the mark
// count as bytes beyond ASCII, which always make a slot.
var tokenClasses = func() (t [256]Charset) {
	for i := range t {
		t[i] = charsets[i] & tokenChars
	}
	t[placeholder], t[wordMark] = High, High
	return t
}()

// What coarse wants to know of a byte of a token.
const (
	inToken   = 1 << iota
	makesSlot // digits, and what is beyond ASCII
	isADigit
	lowerHex // a-f
	upperHex // A-F
	otherChar
)

var tokenBits = func() (t [256]uint8) {
	for i := range t {
		switch tokenClasses[i] {
		case 0:
		case Digits:
			t[i] = inToken | makesSlot | isADigit
		case High:
			t[i] = inToken | makesSlot
		case HexLower:
			t[i] = inToken | lowerHex
		case HexUpper:
			t[i] = inToken | upperHex
		default:
			t[i] = inToken | otherChar
		}
	}
	return t
}()

// coarse splits generic text: a token is a slot if it holds a digit or a byte beyond ASCII, looks like
// a hexadecimal word, or follows an equals sign. What stands in quotes is one slot, which is what tames
// access logs: a user agent as words would multiply into a template for each combination.
func (t *tokenizer) coarse(off, end int) {
	b := t.data[:end]
	static := off // where the text that is not yet in the key begins
	closed := true
	for i := off; i < end; {
		all := tokenBits[b[i]]
		if all == 0 {
			if b[i] == '"' && closed {
				q := closingQuote(b, i+1)
				switch {
				case q < 0:
					closed = false // no later one is either
				case q > i+1:
					t.key = append(t.key, b[static:i+1]...)
					t.slot(i+1, q)
					static, i = q, q
				default:
					i = q
				}
			}
			i++
			continue
		}
		j := i + 1
		for j < end {
			c := tokenBits[b[j]]
			if c == 0 {
				break
			}
			all |= c
			j++
		}
		if !makesTokenSlot(all, j-i) && (i == off || b[i-1] != '=') {
			i = j
			continue
		}
		if all&isADigit != 0 && mayBeTime(j-i) {
			j = fuseTime(b, i, j)
		}
		t.key = append(t.key, b[static:i]...)
		t.slot(i, j)
		static, i = j, j
	}
	t.key = append(t.key, b[static:end]...)
}

// makesTokenSlot reports whether a token of n bytes, whose bits are all, is a slot wherever it stands.
func makesTokenSlot(all uint8, n int) bool {
	return all&makesSlot != 0 || n >= 4 && (all == inToken|lowerHex || all == inToken|upperHex)
}

// closingQuote returns where the quote is that closes the one before b[i:], or -1.
func closingQuote(b []byte, i int) int {
	for i < len(b) {
		k := bytes.IndexByte(b[i:], '"')
		if k < 0 {
			return -1
		}
		q := i + k
		escapes := 0
		for p := q - 1; p >= i && b[p] == '\\'; p-- {
			escapes++
		}
		if escapes&1 == 0 {
			return q
		}
		// The escapes before q are all after i: the next search can begin behind it.
		i = q + 1
	}
	return -1
}

// mayBeTime reports whether fuseTime may extend a token of n bytes.
func mayBeTime(n int) bool { return n <= 16 && 1<<n&(1<<2|1<<dateLen|1<<(dateLen+3)) != 0 }

// fuseTime extends the token b[i:j] over the colons of hh:mm:ss with an optional fraction, and of an ISO
// date-time with an optional zone, so that it becomes one number. It returns where the token ends.
func fuseTime(b []byte, i, j int) int {
	hours := j // where the hours end
	switch n := j - i; {
	case n == 2 && isDigit(b[i]) && isDigit(b[i+1]):
	case n == dateLen && j+3 < len(b) && b[j] == ' ' && b[i+4] == '-' && b[i+7] == '-' && isDigit(b[j+1]) && isDigit(b[j+2]) && b[j+3] == ':':
		hours = j + 3
	case n == dateLen+3 && b[i+4] == '-' && b[i+dateLen] == 'T':
	default:
		return j
	}
	if hours+6 > len(b) || b[hours] != ':' || !isDigit(b[hours+1]) || !isDigit(b[hours+2]) ||
		b[hours+3] != ':' || !isDigit(b[hours+4]) || !isDigit(b[hours+5]) {
		return j
	}
	k := fuseFraction(b, hours+6)
	if j-i != 2 {
		k = fuseZone(b, k)
	}
	if k < len(b) && tokenClasses[b[k]] != 0 {
		return j
	}
	return k
}

func fuseFraction(b []byte, k int) int {
	if k == len(b) || b[k] != '.' && b[k] != ',' && b[k] != ':' {
		return k
	}
	f := k + 1
	for f < len(b) && isDigit(b[f]) {
		f++
	}
	if n := f - k - 1; n == 3 || n == 6 || n == 9 {
		return f
	}
	return k
}

func fuseZone(b []byte, k int) int {
	switch {
	case k == len(b):
	case b[k] == 'Z':
		return k + 1
	case (b[k] == '+' || b[k] == '-') && k+6 <= len(b) && isDigit(b[k+1]) && isDigit(b[k+2]) &&
		b[k+3] == ':' && isDigit(b[k+4]) && isDigit(b[k+5]):
		return k + 6
	}
	return k
}

// fine splits within tokens: numbers and hexadecimal words are slots, a number before or behind letters
// is one without them (blk_1, node7, 20ms), letters and all else are static.
func (t *tokenizer) fine(off, end int) {
	b := t.data[:end]
	for i := off; i < end; {
		c := b[i]
		switch {
		case isAlnum(c):
			i = t.fineWord(b, i)
		case tokenClasses[c] == High:
			j := i + 1
			for j < end && tokenClasses[b[j]] == High {
				j++
			}
			t.slot(i, j)
			i = j
		case c == '-' && (i == off || b[i-1] == '_') && signedEnd(b, i) > i:
			j := signedEnd(b, i)
			t.slot(i, j)
			i = j
		default:
			t.key = append(t.key, c)
			i++
		}
	}
}

// signedEnd returns the end of the number whose sign is b[i], or i where none follows that ends as a word.
func signedEnd(b []byte, i int) int {
	j := i + 1
	for j < len(b) && isDigit(b[j]) {
		j++
	}
	if j == i+1 || j < len(b) && isAlnum(b[j]) {
		return i
	}
	return j
}

// fineWord adds the run of letters and digits that begins at b[i] and returns its end.
func (t *tokenizer) fineWord(b []byte, i int) int {
	class := charsets[b[i]]
	changes, change := 0, i // between digits and letters, and where the first is
	j := i + 1
	for ; j < len(b) && isAlnum(b[j]); j++ {
		class |= charsets[b[j]]
		if isDigit(b[j]) != isDigit(b[j-1]) {
			if changes++; changes == 1 {
				change = j
			}
		}
	}
	switch {
	case class == Digits || j-i >= 4 && (class&^(Digits|HexLower) == 0 || class&^(Digits|HexUpper) == 0):
		t.slot(i, j)
	case class&Digits == 0:
		t.key = append(t.key, b[i:j]...)
	case changes == 1 && isDigit(b[i]):
		t.slot(i, change)
		t.key = append(t.key, b[change:j]...)
	case changes == 1:
		t.key = append(t.key, b[i:change]...)
		t.slot(change, j)
	default:
		t.slot(i, j)
	}
	return j
}
