package column

import "bytes"

// Identifiers that stand within texts are in no column of their own, so a Raw column has in the value
// filter the middles of the UUIDs in it: the 14 bytes cccc-dddd-eeee between dashes of aaaaaaaa-cccc-dddd-eeee-…
// What surrounds them plays no part, so wherever a value has a text with such a middle and its dashes, it
// has the middle, too.

// uuidMiddleLen is the length of a middle without the dashes around it.
const uuidMiddleLen = len("cccc-dddd-eeee")

// uuidMiddles calls f with each middle in b until it returns false. The bytes are those of b.
func uuidMiddles(b []byte, f func(middle []byte) bool) {
	for {
		i := bytes.IndexByte(b, '-')
		if i < 0 || len(b)-i < uuidMiddleLen+2 {
			return
		}
		if b = b[i:]; b[5] != '-' || b[10] != '-' || b[15] != '-' {
			b = b[1:]
			continue
		}
		if m := b[1 : 1+uuidMiddleLen]; isHexadecimal(m[:4]) && isHexadecimal(m[5:9]) && isHexadecimal(m[10:]) && !f(m) {
			return
		}
		b = b[1:]
	}
}

func isHexadecimal(b []byte) bool {
	for _, c := range b {
		if hexValues[c] == noDigit {
			return false
		}
	}
	return true
}

// mayHoldUUIDs reports whether the values of c, which is Raw and Filtered, may have the UUIDs of text. Where
// the piece of the filter is not at hand nothing is known.
func (r *Reader) mayHoldUUIDs(text []byte) (maybe, known bool) {
	if r.page.Filter.Blobs == 0 {
		return !hasUUID(text), true
	}
	maybe, known = true, true
	uuidMiddles(text, func(middle []byte) bool {
		one, sure := r.mayHold(middle)
		maybe, known = maybe && one, known && sure
		return maybe
	})
	return maybe, known || !maybe
}

// hasUUID reports whether there is a middle in text.
func hasUUID(text []byte) (has bool) {
	uuidMiddles(text, func([]byte) bool {
		has = true
		return false
	})
	return has
}
