package column

import (
	"bytes"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

const (
	charSample = 128  // values whose bytes are looked at
	dictSample = 1024 // values that are counted
	probeAbove = 16   // values
)

// encodeLines encodes whole lines, the column of a page that Lines asks for.
func (e *Encoder) encodeLines(rows []extent) *Column {
	if c := e.constant(rows); c != nil {
		return c
	}
	if kind := e.kindOf(rows); !e.rawWins(kind) {
		stored := e.blobs.size()
		if c := e.tryText(rows, lineGrain); c != nil {
			e.learn(kind, rows, e.blobs.size()-stored)
			return c
		}
		e.learn(kind, rows, 0)
	}
	return e.encodeRaw(rows)
}

// encodeSlot encodes values of a slot, or any others that are not whole lines.
func (e *Encoder) encodeSlot(values []extent, g grain) *Column {
	c := e.chooseForSlot(values, g)
	if e.triples.on {
		e.triples.slot(c)
	}
	return c
}

func (e *Encoder) chooseForSlot(values []extent, g grain) *Column {
	rows := e.rows
	e.rows = pageRows{}
	if c := e.constant(values); c != nil {
		return c
	}
	least, most := lengthsOf(values)
	chars := e.sampleChars(values)
	h := typedHints{least: least, most: most, chars: chars, grain: g, rows: rows}
	if least > 0 && most <= maxHexDigits {
		if c := e.encodeTyped(values, &h); c != nil {
			return c
		}
	}
	if h.distinctShare(e, values) < 0.65 {
		if c := e.tryDict(values, g); c != nil {
			return c
		}
	}
	if g == valueGrain && chars&^tokenChars == 0 {
		g = fineGrain // a single token
	}
	for ; g < noGrain && len(values) >= rareValues; g++ {
		if c := e.tryText(values, g); c != nil {
			return c
		}
		if g != valueGrain {
			break
		}
	}
	return e.encodeRaw(values)
}

// typedHints is what encodeTyped may know of values.
type typedHints struct {
	least, most int     // lengths
	chars       Charset // of a sample
	distinct    float64 // share of a sample; 0: not known yet
	grain       grain
	rows        pageRows
}

// distinctShare returns the share of distinct values in a sample, which most numbers are encoded without; 1 where
// there are few values.
func (h *typedHints) distinctShare(e *Encoder, values []extent) float64 {
	if h.distinct == 0 {
		h.distinct = 1
		if len(values) >= probeAbove {
			h.distinct = e.distinctShare(values)
		}
	}
	return h.distinct
}

// encodeTyped encodes values that are numbers of one format or hexadecimal words of one length, or
// returns nil. A dictionary may be better for numbers, too: where few wide ones repeat.
func (e *Encoder) encodeTyped(values []extent, h *typedHints) *Column {
	if h.most <= maxNumberLen {
		if f, ok := e.parseInts(values, h); ok {
			lo, hi := rangeOf(e.ints)
			if clock := e.findClock(&f, lo, hi, h.rows); clock != nil {
				return e.encodeClock(values, f, lo, hi, clock)
			}
			if f.Form != TimeOfDay && f.Form != DateTime && uint64(hi)-uint64(lo) >= 1<<16 && h.distinctShare(e, values) < 0.3 {
				if c := e.tryDict(values, h.grain); c != nil {
					return c
				}
			}
			return e.encodeInts(values, f, lo, hi)
		}
	}
	if h.least == h.most && h.least >= 4 && h.mayBeHex() && h.distinctShare(e, values) >= 0.6 {
		return e.tryHex(values, h)
	}
	return nil
}

// constant encodes values that are all the same, or returns nil. No values at all are such, too.
func (e *Encoder) constant(values []extent) *Column {
	c := newColumn(Const, len(values))
	if len(values) == 0 {
		return c
	}
	first := e.bytes(values[0])
	if len(first) > maxConstLen {
		return nil
	}
	for _, v := range values[1:] {
		if int(v.n) != len(first) || !bytes.Equal(e.bytes(v), first) {
			return nil
		}
	}
	c.setConstant(first)
	return c
}

// setConstant copies b and sets what follows from it.
func (c *Column) setConstant(b []byte) { c.keepConstant(bytes.Clone(b)) }

// keepConstant is setConstant of bytes that don't change.
func (c *Column) keepConstant(b []byte) {
	if len(b) > 0 {
		c.Constant = b
	}
	chars, run := scanBytes(b)
	c.Stamp = Stamp{MinLen: len(b), MaxLen: len(b), Chars: chars, Run: run}
}

// sampleChars returns what bytes the values have, from a sample of their beginnings: it is for choices
// only, not for stamps.
func (e *Encoder) sampleChars(values []extent) (chars Charset) {
	for i := 0; i < len(values); i += max(1, len(values)/charSample) {
		b := e.bytes(values[i])
		chars |= CharsetOf(b[:min(len(b), maxNumberLen)])
	}
	return chars
}

// distinctShare returns the share of distinct values in a sample from the middle. It is contiguous: what
// repeats soon counts as repeated.
func (e *Encoder) distinctShare(values []extent) float64 {
	n := min(len(values), dictSample)
	from := (len(values) - n) / 2
	e.seen.reset(n)
	for _, v := range values[from : from+n] {
		e.seen.add(hashBytes(e.bytes(v)))
	}
	return float64(e.seen.len()) / float64(n)
}

// encodeRaw encodes values as they are.
func (e *Encoder) encodeRaw(values []extent) *Column {
	c := newColumn(Raw, len(values))
	s := &c.Stamp
	s.MinLen, s.MaxLen = lengthsOf(values)
	if c.Terminated = e.wantsTerminators(values, s); s.MinLen != s.MaxLen && !c.Terminated {
		c.Lengths = newColumn(Int, c.Rows)
		c.stampLengths()
		e.ints = resize(e.ints, len(values))
		for i, v := range values {
			e.ints[i] = int64(v.n)
		}
		e.scratch = block.AppendInts(e.scratch[:0], e.ints)
		c.Lengths.Payload = e.blobs.putInts(e.scratch)
	}
	e.scratch = e.scratch[:0]
	for _, v := range values {
		b := e.bytes(v)
		e.scratch = append(e.scratch, b...)
		if c.Terminated {
			e.scratch = append(e.scratch, terminator)
		}
		chars, run := scanBytes(b)
		s.Chars |= chars
		s.Run = max(s.Run, run)
	}
	if s.Chars&Dash != 0 && s.MaxLen >= uuidMiddleLen+2 {
		c.Filtered = true
		uuidMiddles(e.scratch, func(middle []byte) bool {
			e.filter.add(middle)
			return true
		})
	}
	c.Triples = e.triples.values(&e.triples.raw, e.data, slices.Values(values))
	c.Payload = e.blobs.putString(e.scratch)
	return c
}

const (
	// terminator ends the values of a Raw column that has no Lengths though they vary.
	terminator = '\n'
	// terminatedAbove is the mean length above which a terminator compresses better than a length does:
	// what precedes it often tells that the line is at its end.
	terminatedAbove = 24
)

// wantsTerminators says whether values shall be terminated: they vary in length, are long, and none of
// them holds a terminator.
func (e *Encoder) wantsTerminators(values []extent, s *Stamp) bool {
	if s.MinLen == s.MaxLen {
		return false
	}
	total := 0
	for _, v := range values {
		total += int(v.n)
	}
	if total < terminatedAbove*len(values) {
		return false
	}
	for _, v := range values {
		if bytes.IndexByte(e.bytes(v), terminator) >= 0 {
			return false
		}
	}
	return true
}

// scanBytes is CharsetOf and RunOf in one.
func scanBytes(b []byte) (chars Charset, longest int) {
	from := 0 // of the run at hand
	for i, c := range b {
		class := charsets[c]
		chars |= class
		if class&letterOrDigit == 0 {
			longest = max(longest, i-from)
			from = i + 1
		}
	}
	return chars, max(longest, len(b)-from)
}

// stampLengths sets what follows for the Lengths of a Raw column.
func (c *Column) stampLengths() {
	l := c.Lengths
	l.Stamp.Min, l.Stamp.Max = int64(c.Stamp.MinLen), int64(c.Stamp.MaxLen)
	l.stampInt()
}
