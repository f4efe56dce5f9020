package column

import (
	"bytes"

	"github.com/hune-io/hune/internal/block"
)

// Which values go to the page's filter: those that somebody may look for one of.
const (
	filterDigits = 12      // hexadecimal
	filterRange  = 1 << 36 // of decimal numbers
)

// parseInts parses values into e.ints if all have one format.
func (e *Encoder) parseInts(values []extent, h *typedHints) (IntFormat, bool) {
	f, ok := e.parseAlike(values, h)
	if !ok && h.chars&^(Digits|Dot|Dash) == 0 {
		return e.parseTrimmed(values)
	}
	return f, ok
}

// parseTrimmed is parseInts for numbers with and without a fraction.
func (e *Encoder) parseTrimmed(values []extent) (IntFormat, bool) {
	f := IntFormat{Trimmed: true}
	for _, v := range values {
		b := e.bytes(v)
		if point := bytes.IndexByte(b, '.'); point >= 0 {
			f.Scale = max(f.Scale, len(b)-point-1)
		}
	}
	if f.Scale == 0 || f.Scale > maxScale {
		return f, false
	}
	e.ints = resize(e.ints, len(values))
	ok := false
	for i, v := range values {
		if e.ints[i], ok = parseTrimmed(e.bytes(v), f.Scale); !ok {
			return f, false
		}
	}
	return f, true
}

// parseAlike is parseInts for numbers that are printed alike.
func (e *Encoder) parseAlike(values []extent, h *typedHints) (IntFormat, bool) {
	f, ok := guessFormat(e.bytes(values[0]), h)
	if !ok {
		return f, false
	}
	e.ints = resize(e.ints, len(values))
	if f.Form == Decimal && f.Scale == 0 {
		return e.parseDecimals(values, h)
	}
	for i, v := range values {
		if e.ints[i], ok = parseInt(&f, e.bytes(v)); !ok {
			return f, false
		}
	}
	return f, true
}

// guessFormat returns the format that the values may have.
func guessFormat(first []byte, h *typedHints) (IntFormat, bool) {
	switch {
	case h.chars&^(Digits|Dash) == 0:
		return IntFormat{}, h.most <= maxWidth+1
	case h.chars&Digits == 0:
		return IntFormat{}, false
	case h.chars&^(Digits|Dot|Dash) == 0 && looksLikeDateTime(first) && h.least == h.most:
		return guessTime(first)
	case h.chars&^(Digits|Dot|Dash) == 0:
		if bytes.Count(first, []byte{'.'}) == 3 {
			return IntFormat{Form: IPv4}, true
		}
		point := bytes.IndexByte(first, '.')
		scale := len(first) - point - 1
		return IntFormat{Scale: scale}, point > 0 && scale > 0 && scale <= maxScale
	case h.chars&Colon != 0 && h.least == h.most:
		return guessTime(first)
	}
	return IntFormat{}, false
}

// parseDecimals finds out on the way whether the numbers have leading zeros. Then all of them are filled
// up to the length of the shortest.
func (e *Encoder) parseDecimals(values []extent, h *typedHints) (IntFormat, bool) {
	f := IntFormat{}
	for i, v := range values {
		x, ok := parseDecimal(e.bytes(v), f.Width)
		if !ok && f.Width == 0 {
			// Those before had no leading zero, and aren't shorter: only a sign can be in the way.
			f.Width = h.least
			if i > 0 {
				if lo, _ := rangeOf(e.ints[:i]); lo < 0 {
					return f, false
				}
			}
			x, ok = parseDecimal(e.bytes(v), f.Width)
		}
		if !ok {
			return f, false
		}
		e.ints[i] = x
	}
	return f, true
}

// encodeInts encodes e.ints, which values were parsed to.
func (e *Encoder) encodeInts(values []extent, f IntFormat, lo, hi int64) *Column {
	c := newInts(len(values), f, lo, hi)
	if f.ownLengths() {
		c.Stamp.MinLen, c.Stamp.MaxLen = lengthsOf(values)
	}
	if f.Form == Decimal && f.Scale == 0 && uint64(hi)-uint64(lo) >= filterRange {
		e.addToFilter(c, values)
	}
	e.putNumbers(c, e.ints)
	return c
}

// putNumbers stores vals as the payload of c.
func (e *Encoder) putNumbers(c *Column, vals []int64) {
	vals = e.withoutZeros(c, vals)
	e.scratch = block.AppendInts(e.scratch[:0], vals)
	if n := len(e.scratch); n < pooledBelow || n <= 2*len(vals) {
		c.Payload = e.blobs.putInts(e.scratch)
		return
	}
	// Single values can be read out of planes where they are: magnitudes must be worth decoding all of them.
	c.Payload = e.putDense(vals, e.blobs.large, len(e.scratch)/denseGain)
}

// denseGain is the part of the planes that magnitudes must save.
const denseGain = 24

// putDense stores vals, whose planes are e.scratch, in a blob of their own: as magnitudes, if these save more than
// least bytes.
func (e *Encoder) putDense(vals []int64, class Class, least int) Payload {
	e.magnitudes = block.AppendMagnitudes(e.magnitudes[:0], vals)
	return e.blobs.putSmaller(e.scratch, e.magnitudes, class, least)
}

// withoutZeros returns vals without the zeros that all of them end with, as times of a coarse clock do: spread
// over the bytes of a binary number they are hard to compress. The result is valid until the next call.
func (e *Encoder) withoutZeros(c *Column, vals []int64) []int64 {
	if c.Zeros = commonZeros(vals); c.Zeros == 0 {
		return vals
	}
	e.shortened = resize(e.shortened, len(vals))
	p := pow10[c.Zeros]
	for i, x := range vals {
		e.shortened[i] = x / p
	}
	return e.shortened
}

// commonZeros returns how many zeros all numbers end with. Zero itself has any number of them.
func commonZeros(vals []int64) int {
	n, any := maxScale, false
	for _, x := range vals {
		for n > 0 && x%pow10[n] != 0 {
			n--
		}
		any = any || x != 0
		if n == 0 {
			break
		}
	}
	if !any {
		return 0
	}
	return n
}

func newInts(rows int, f IntFormat, lo, hi int64) *Column {
	c := newColumn(Int, rows)
	c.NumberForm = &NumberForm{Int: f}
	c.Stamp.Min, c.Stamp.Max = lo, hi
	c.stampInt()
	return c
}

func (e *Encoder) addToFilter(c *Column, values []extent) {
	c.Filtered = true
	var last []byte
	for _, v := range values {
		if b := e.bytes(v); !bytes.Equal(b, last) {
			e.filter.add(b)
			last = b
		}
	}
}

func (h *typedHints) mayBeUUID() bool { return h.least == uuidLen && h.chars&Dash != 0 }

// mayBeHex reports whether tryHex is worth trying.
func (h *typedHints) mayBeHex() bool {
	chars := h.chars
	if h.mayBeUUID() {
		chars &^= Dash
	}
	return chars&^(Digits|HexLower) == 0 || chars&^(Digits|HexUpper) == 0
}

// tryHex encodes values of one length that are hexadecimal, as mayBeHex says they may be, or returns nil.
func (e *Encoder) tryHex(values []extent, h *typedHints) *Column {
	f := HexFormat{Digits: h.least}
	if h.mayBeUUID() {
		f = HexFormat{Digits: uuidDigits, UUID: true}
	}
	all := Charset(0)
	e.scratch = e.scratch[:0]
	for _, v := range values {
		var chars Charset
		var ok bool
		e.scratch, chars, ok = packHex(e.scratch, e.bytes(v), &f)
		if all |= chars; !ok || all&(HexLower|HexUpper) == HexLower|HexUpper {
			return nil
		}
	}
	f.Upper = all&HexUpper != 0
	c := newColumn(Hex, len(values))
	c.NumberForm = &NumberForm{Hex: f}
	c.stampHex(all&(HexLower|HexUpper) != 0)
	if f.Digits >= filterDigits {
		e.addToFilter(c, values)
	}
	c.Payload = e.blobs.putInts(e.scratch)
	return c
}
