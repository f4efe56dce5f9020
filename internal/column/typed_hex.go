package column

const (
	uuidLen    = 36
	uuidDigits = 32
)

// noDigit marks in hexValues what isn't a hexadecimal digit.
const noDigit = 0xff

var hexValues = func() (t [256]byte) {
	for i := range t {
		switch c := byte(i); {
		case c >= '0' && c <= '9':
			t[i] = c - '0'
		case c >= 'a' && c <= 'f':
			t[i] = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			t[i] = c - 'A' + 10
		default:
			t[i] = noDigit
		}
	}
	return t
}()

// hexPairs holds the two digits of each byte, in lower and in upper case.
var hexPairs = func() (t [2][256][2]byte) {
	for i, digits := range [2]string{"0123456789abcdef", "0123456789ABCDEF"} {
		for b := range 256 {
			t[i][b] = [2]byte{digits[b>>4], digits[b&15]}
		}
	}
	return t
}()

// width returns how many bytes a value takes: two digits a byte, a zero before an odd number of digits.
func (f *HexFormat) width() int { return (f.Digits + 1) / 2 }

func (f *HexFormat) check() bool {
	return f.Digits > 0 && f.Digits <= maxHexDigits && (!f.UUID || f.Digits == uuidDigits)
}

// isDash reports whether a UUID has a dash at byte i.
func isDash(i int) bool { return i == 8 || i == 13 || i == 18 || i == 23 }

// packHex appends the digits of b, which the format must print as it is, but for the case of its letters.
// It returns the classes of the digits, or false.
func packHex(dst, b []byte, f *HexFormat) ([]byte, Charset, bool) {
	half, odd := byte(0), f.Digits&1 == 1
	var chars Charset
	for i, c := range b {
		v := hexValues[c]
		if v == noDigit {
			if f.UUID && c == '-' && isDash(i) {
				continue
			}
			return dst, 0, false
		}
		chars |= charsets[c]
		if odd {
			dst = append(dst, half<<4|v)
		}
		half, odd = v, !odd
	}
	if f.UUID && (len(b) != uuidLen || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-') {
		return dst, 0, false
	}
	return dst, chars, true
}

// appendHex appends the digits that packed, which is f.width() bytes, stands for.
func appendHex(dst, packed []byte, f *HexFormat) []byte {
	pairs := &hexPairs[0]
	if f.Upper {
		pairs = &hexPairs[1]
	}
	if f.Digits&1 == 1 {
		dst = append(dst, pairs[packed[0]][1])
		packed = packed[1:]
	}
	for i, b := range packed {
		if f.UUID && (i == 4 || i == 6 || i == 8 || i == 10) {
			dst = append(dst, '-')
		}
		p := &pairs[b]
		dst = append(dst, p[0], p[1])
	}
	return dst
}
