package column

// Charset is a set of classes of bytes.
type Charset uint16

// The classes. Every byte is in exactly one.
const (
	Digits Charset = 1 << iota
	HexLower
	AlphaLower // g-z
	HexUpper
	AlphaUpper // G-Z
	Dot
	Dash
	Underscore
	Space
	Colon
	Slash
	Quote // "
	Equals
	Backslash
	Other // the rest of ASCII
	High  // 0x80-0xff

	AllBytes Charset = 1<<16 - 1
)

var charsets = func() (t [256]Charset) {
	for i := range t {
		switch c := byte(i); {
		case c >= '0' && c <= '9':
			t[i] = Digits
		case c >= 'a' && c <= 'f':
			t[i] = HexLower
		case c >= 'g' && c <= 'z':
			t[i] = AlphaLower
		case c >= 'A' && c <= 'F':
			t[i] = HexUpper
		case c >= 'G' && c <= 'Z':
			t[i] = AlphaUpper
		case c >= 0x80:
			t[i] = High
		default:
			t[i] = Other
		}
	}
	for c, s := range map[byte]Charset{'.': Dot, '-': Dash, '_': Underscore, ' ': Space, ':': Colon, '/': Slash, '"': Quote, '=': Equals, '\\': Backslash} {
		t[c] = s
	}
	return t
}()

// CharsetOf returns the classes of the bytes of b.
func CharsetOf[T ~string | ~[]byte](b T) (s Charset) {
	for i := range len(b) {
		s |= charsets[b[i]]
	}
	return s
}

// isAlnum says what counts for Stamp.Run: [0-9A-Za-z].
func isAlnum(c byte) bool {
	return charsets[c]&(Digits|HexLower|AlphaLower|HexUpper|AlphaUpper) != 0
}

// RunOf returns the length of the longest run of ASCII letters and digits in b.
func RunOf[T ~string | ~[]byte](b T) (longest int) {
	run := 0
	for i := range len(b) {
		if !isAlnum(b[i]) {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}

// IntForm says how a number stands in a line.
type IntForm uint8

// The forms.
const (
	// Decimal is a number in base ten: with Scale above zero a point before the last Scale digits, with
	// Width above zero filled up with zeros to Width bytes. There is no plus sign, and no minus zero.
	Decimal IntForm = 0
	// IPv4 is four bytes of an address, the first the most significant.
	IPv4 IntForm = 1
	// TimeOfDay is hh:mm:ss, with Scale above zero followed by Separator and so many digits: units of
	// 10^-Scale seconds since midnight.
	TimeOfDay IntForm = 2
	// DateTime is yyyy-mm-dd, DateSeparator, a TimeOfDay, Suffix: units of 10^-Scale seconds since 1970,
	// whatever zone Suffix names.
	DateTime IntForm = 3
)

// IntFormat is the form that all values of an Int column have in common.
type IntFormat struct {
	Form          IntForm
	Width         int  // Decimal: 0 or the least number of digits
	Scale         int  // digits of the fraction, at most 18
	Trimmed       bool // Decimal: a fraction has no zeros at its end, and no point before none; Scale is that of the longest
	Separator     byte // TimeOfDay, DateTime: before the fraction
	DateSeparator byte // DateTime
	Dotted        bool // DateTime: the time of day is hh.mm.ss
	Suffix        string
}

// HexFormat is the form that all values of a Hex column have in common.
type HexFormat struct {
	Digits int  // of each value
	Upper  bool // A-F
	UUID   bool // dashes as in 8-4-4-4-12; Digits is 32
}
