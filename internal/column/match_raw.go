package column

import (
	"bytes"
	"sort"

	"github.com/hune-io/hune/internal/block"
)

func (r *Reader) findRaw(c *Column, n needle) found {
	if c.Filtered && !n.fold {
		switch maybe, known := r.mayHoldUUIDs(n.text); {
		case !known:
			return unknown
		case !maybe:
			return found{}
		}
	}
	if !r.allAtHand(c) {
		return unknown
	}
	v := r.rawBytes(c)
	if v.Len() != c.Rows {
		return unknown // damaged: Err says so
	}
	rows := block.NewBitmap(c.Rows)
	if n.op == Contains && !n.isWide(c.Stamp.Chars) {
		searchValues(v, n, rows)
	} else {
		for i := range v.Len() {
			if n.test(v.At(i)) {
				rows.Set(i)
			}
		}
	}
	return found{set: SetOf(rows)}
}

// searchValues adds to rows the values that contain n, which is not wide: it searches all bytes at once and
// finds out then in which value a hit is.
func searchValues(v *block.Values, n needle, rows *block.Bitmap) {
	data := v.Data
	if n.fold {
		data = make([]byte, len(v.Data))
		lower(data, v.Data)
	}
	row := 0
	for from := 0; from < len(data); {
		k := bytes.Index(data[from:], n.text)
		if k < 0 {
			return
		}
		at := uint32(from + k)
		row += rowOf(v.Ends[row:], at)
		if end := v.Ends[row]; at+uint32(len(n.text)) <= end {
			rows.Set(row)
			from = int(end)
		} else {
			from = int(at) + 1 // across the border of two values
		}
	}
}

// rowOf returns the first value that ends after at. It looks at neighbours first: where hits are many they
// are close together.
func rowOf(ends []uint32, at uint32) int {
	step := 1
	for step < len(ends) && ends[step-1] <= at {
		step *= 2
	}
	lo, hi := step/2, min(step, len(ends))
	return lo + sort.Search(hi-lo, func(i int) bool { return ends[lo+i] > at })
}
