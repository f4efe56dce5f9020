package column

import (
	"bytes"

	"github.com/hune-io/hune/internal/block"
)

func (r *Reader) findHex(c *Column, n needle) found {
	if n.fold && c.Hex.Upper {
		n = n.with(n.op, bytes.ToUpper(n.text))
	}
	n.fold = false
	packed, ok := packNeedle(&c.Hex, n.text)
	if !ok {
		return found{}
	}
	if c.Filtered && len(n.text) == c.Stamp.MaxLen {
		switch maybe, known := r.mayHold(n.text); {
		case !known:
			return unknown
		case !maybe:
			return found{}
		}
	}
	if !r.atHand(c.Payload) {
		return unknown
	}
	data, width := r.hexBytes(c), c.Hex.width()
	rows := block.NewBitmap(c.Rows)
	var buf [2 * maxHexDigits]byte
	test := func(row int) bool {
		return n.test(appendHex(buf[:0], data[row*width:][:width], &c.Hex))
	}
	if len(packed[0]) == 0 || len(packed[1]) == 0 {
		for row := range c.Rows {
			if test(row) {
				rows.Set(row)
			}
		}
		return found{set: SetOf(rows)}
	}
	for _, digits := range packed {
		searchPacked(data, digits, width, func(row int) bool {
			if rows.Get(row) || !test(row) {
				return false
			}
			rows.Set(row)
			return true
		})
	}
	return found{set: SetOf(rows)}
}

// packNeedle packs the digits of text two to a byte, beginning with its first digit and with its second;
// a digit that is left over isn't packed. It reports false if no value of the format has text.
func packNeedle(f *HexFormat, text []byte) (packed [2][]byte, ok bool) {
	digits := make([]byte, 0, len(text))
	for _, b := range text {
		switch v := hexValues[b]; {
		case v != noDigit:
			digits = append(digits, v)
		case b != '-' || !f.UUID:
			return packed, false
		}
	}
	for from := range packed {
		for i := from; i+1 < len(digits); i += 2 {
			packed[from] = append(packed[from], digits[i]<<4|digits[i+1])
		}
	}
	return packed, true
}

// searchPacked calls hit with each row in which the bytes begin, until it reports true for the row.
func searchPacked(data, digits []byte, width int, hit func(row int) bool) {
	for from := 0; ; {
		k := bytes.Index(data[from:], digits)
		if k < 0 {
			return
		}
		row := (from + k) / width
		if hit(row) {
			from = (row + 1) * width
		} else {
			from += k + 1
		}
	}
}
