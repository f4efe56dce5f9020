package column

import (
	"fmt"
	"math"
)

// checkRange reports what keeps the numbers min to max from being printed in the format.
func (f *IntFormat) checkRange(lo, hi int64) error {
	if lo > hi {
		return fmt.Errorf("numbers from %d to %d", lo, hi)
	}
	ok := false
	switch f.Form {
	case Decimal:
		ok = f.Scale >= 0 && f.Scale <= maxScale && (f.Width == 0 || f.Width > 0 && f.Width <= maxWidth && f.Scale == 0 && lo >= 0)
		if f.Trimmed {
			ok = ok && f.Scale > 0 && f.Width == 0 && lo > -pow10[maxScale] && hi < pow10[maxScale]
		}
	case IPv4:
		ok = lo >= 0 && hi <= math.MaxUint32
	case TimeOfDay:
		ok = f.Scale >= 0 && f.Scale <= maxTimeScale && lo >= 0 && hi < secondsPerDay*pow10[f.Scale]
	case DateTime:
		if ok = f.Scale >= 0 && f.Scale <= maxTimeScale; ok {
			units := secondsPerDay * pow10[f.Scale]
			ok = floorDiv(lo, units) >= firstDay && floorDiv(hi, units) < afterLastDay
		}
	}
	if !ok {
		return fmt.Errorf("numbers from %d to %d in the format %+v", lo, hi, *f)
	}
	return nil
}

// stampInt sets what follows from the format, Stamp.Min and Stamp.Max, which checkRange accepts. Lengths
// are exact but for numbers of both signs, where MinLen is a bound; where the format has its own, they are left alone.
func (c *Column) stampInt() {
	s, f := &c.Stamp, &c.Int
	if *f == (IntFormat{}) && s.Min >= 0 {
		// Fast path: most numbers are such.
		s.Chars, s.MinLen, s.MaxLen = Digits, decimalLen(s.Min), decimalLen(s.Max)
		s.Run = s.MaxLen
		return
	}
	if f.Trimmed {
		s.Chars = Digits | Dot
		if s.Min < 0 {
			s.Chars |= Dash
		}
		p := pow10[f.Scale]
		s.Run = max(f.Scale, decimalLen(s.Max/p), decimalLen(-(s.Min / p)))
		return
	}
	var space [2 * maxNumberLen]byte
	least := appendInt(space[:0], f, s.Min)
	n := len(least)
	greatest := appendInt(least, f, s.Max)[n:]
	least = least[:n:n]
	s.Chars = CharsetOf(least) | CharsetOf(greatest) | Digits
	s.Run = max(RunOf(least), RunOf(greatest))
	switch f.Form {
	case IPv4:
		s.Run = 3
		return
	case TimeOfDay, DateTime:
		s.MinLen, s.MaxLen = n, n
		return
	}
	s.MinLen, s.MaxLen = min(len(least), len(greatest)), max(len(least), len(greatest))
	if s.Min < 0 && s.Max > 0 {
		s.MinLen = 1
		if f.Scale > 0 {
			s.MinLen = len("0.") + f.Scale
		}
	}
}

// ownLengths reports whether the lengths of numbers in the format don't follow from the least and the greatest: the
// directory has them.
func (f *IntFormat) ownLengths() bool { return f.Form == IPv4 || f.Trimmed }

// decimalLen returns the number of digits of x ≥ 0, 1 for less.
func decimalLen(x int64) int {
	n := 1
	for n < len(pow10) && x >= pow10[n] {
		n++
	}
	return n
}

// stampHex sets what follows from the format; letters says whether any digit is a letter.
func (c *Column) stampHex(letters bool) {
	s, f := &c.Stamp, &c.Hex
	s.MinLen, s.Chars, s.Run = f.Digits, Digits, f.Digits
	if letters {
		s.Chars |= HexLower
		if f.Upper {
			s.Chars = Digits | HexUpper
		}
	}
	if f.UUID {
		s.MinLen, s.Run = uuidLen, 12
		s.Chars |= Dash
	}
	s.MaxLen = s.MinLen
}

// stampText sets Chars and Run, those of the templates too, from the pieces and slots. Run is a bound: it takes each slot's longest
// run to be at its edge.
func (c *Column) stampText() {
	s := &c.Stamp
	for i := range c.Templates {
		if t := &c.Templates[i]; t.Rows > 0 {
			t.chars, t.run = t.stamp()
			s.Chars |= t.chars
			s.Run = max(s.Run, t.run)
		}
	}
}

func (t *Template) stamp() (chars Charset, longest int) {
	run := 0 // what may precede without a break
	for i, p := range t.Pieces {
		for k := range len(p) {
			chars |= charsets[p[k]]
			if !isAlnum(p[k]) {
				run = 0
				continue
			}
			run++
			longest = max(longest, run)
		}
		if i == len(t.Slots) {
			break
		}
		slot := &t.Slots[i].Values().Stamp
		chars |= slot.Chars
		longest = max(longest, run+slot.Run)
		if slot.Run >= slot.MinLen {
			run += slot.Run
		} else {
			run = slot.Run
		}
	}
	return chars, longest
}

// lengths returns bounds of the lengths of the rows, from the pieces and slots.
func (t *Template) lengths() (least, most int) {
	for _, p := range t.Pieces {
		least += len(p)
	}
	most = least
	for i := range t.Slots {
		s := &t.Slots[i].Values().Stamp
		least += s.MinLen
		most += s.MaxLen
	}
	return least, most
}
