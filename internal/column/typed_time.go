package column

import "bytes"

const (
	timeLen = len("hh:mm:ss")
	dateLen = len("yyyy-mm-dd")
	// maxTimeScale keeps a time of day, in units of its fraction, far inside an int64. A date-time
	// with nine digits doesn't fit in every year: parseDateTime checks.
	maxTimeScale = 9
)

// clockLen is the length of hh:mm:ss with a fraction of scale digits.
func clockLen(scale int) int {
	if scale > 0 {
		return timeLen + 1 + scale
	}
	return timeLen
}

// colon returns what stands between hours, minutes and seconds.
func (f *IntFormat) colon() byte {
	if f.Dotted {
		return '.'
	}
	return ':'
}

// parseTimeOfDay parses hh:mm:ss, with colon for the colons, and where f.Scale is above zero f.Separator
// and so many digits.
func parseTimeOfDay(f *IntFormat, b []byte, colon byte) (int64, bool) {
	if len(b) != clockLen(f.Scale) || b[2] != colon || b[5] != colon {
		return 0, false
	}
	h, hOK := twoDigits(b)
	m, mOK := twoDigits(b[3:])
	s, sOK := twoDigits(b[6:])
	if !hOK || !mOK || !sOK || h > 23 || m > 59 || s > 59 {
		return 0, false
	}
	x := h*3600 + m*60 + s
	if f.Scale == 0 {
		return x, true
	}
	if b[timeLen] != f.Separator {
		return 0, false
	}
	for _, c := range b[timeLen+1:] {
		if !isDigit(c) {
			return 0, false
		}
		x = x*10 + int64(c-'0')
	}
	return x, true
}

func twoDigits(b []byte) (int64, bool) {
	return int64(b[0]-'0')*10 + int64(b[1]-'0'), isDigit(b[0]) && isDigit(b[1])
}

// parseDateTime parses yyyy-mm-dd, f.DateSeparator, a time of day, f.Suffix. Days that the calendar
// doesn't have are refused.
func parseDateTime(f *IntFormat, b []byte) (int64, bool) {
	n := dateLen + 1 + clockLen(f.Scale)
	if len(b) != n+len(f.Suffix) || b[dateLen] != f.DateSeparator || string(b[n:]) != f.Suffix {
		return 0, false
	}
	day, ok := parseDate(b)
	if !ok {
		return 0, false
	}
	clock, ok := parseTimeOfDay(f, b[dateLen+1:n], f.colon())
	if !ok {
		return 0, false
	}
	units := secondsPerDay * pow10[f.Scale]
	x := day*units + clock
	// Past the year 2262 a nanosecond count overflows, and the division doesn't lead back.
	return x, floorDiv(x, units) == day
}

// parseDate returns the days from 1970-01-01 to the date that b begins with.
func parseDate(b []byte) (int64, bool) {
	if b[4] != '-' || b[7] != '-' {
		return 0, false
	}
	century, ok1 := twoDigits(b)
	y, ok2 := twoDigits(b[2:])
	m, ok3 := twoDigits(b[5:])
	d, ok4 := twoDigits(b[8:])
	y += century * 100
	if !ok1 || !ok2 || !ok3 || !ok4 || m < 1 || m > 12 || d < 1 || d > daysOfMonth(y, m) {
		return 0, false
	}
	return daysTo(y, m, d), true
}

func daysOfMonth(y, m int64) int64 {
	switch m {
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// The calendar is computed in years that begin on the first of March, so that a leap day is the last of
// its year, and in eras of 400 years, which all have the same number of days.
const (
	daysPerEra   = 146097
	daysTo1970   = 719468 // from 0000-03-01
	firstDay     = -719528
	afterLastDay = 2932897 // 10000-01-01
)

// daysTo returns the days from 1970-01-01 to a date of the years 0 to 9999.
func daysTo(y, m, d int64) int64 {
	if m <= 2 {
		y--
	}
	era := floorDiv(y, 400)
	year := y - era*400
	day := (153*((m+9)%12)+2)/5 + d - 1
	return era*daysPerEra + year*365 + year/4 - year/100 + day - daysTo1970
}

// dateOf undoes daysTo.
func dateOf(day int64) (y, m, d int64) {
	day += daysTo1970
	era := floorDiv(day, daysPerEra)
	rest := day - era*daysPerEra
	year := (rest - rest/1460 + rest/36524 - rest/146096) / 365
	rest -= 365*year + year/4 - year/100
	month := (5*rest + 2) / 153
	d = rest - (153*month+2)/5 + 1
	y, m = year+era*400, month+3
	if m > 12 {
		y, m = y+1, m-12
	}
	return y, m, d
}

func floorDiv(x, y int64) int64 {
	q := x / y
	if x%y < 0 {
		q--
	}
	return q
}

// floorMod returns x less the greatest multiple of y that isn't above it.
func floorMod(x, y int64) int64 {
	if x %= y; x < 0 {
		x += y
	}
	return x
}

// digitPairs is 00 to 99.
var digitPairs = func() (t [100][2]byte) {
	for i := range t {
		t[i] = [2]byte{byte('0' + i/10), byte('0' + i%10)}
	}
	return t
}()

// appendTwoDigits appends the last two digits of x ≥ 0.
func appendTwoDigits(dst []byte, x int64) []byte {
	p := &digitPairs[uint64(x)%100]
	return append(dst, p[0], p[1])
}

func appendTimeOfDay(dst []byte, f *IntFormat, x int64, colon byte) []byte {
	whole := uint64(x) / uint64(pow10[f.Scale])
	seconds := uint32(whole) % secondsPerDay // which it is below
	hours, minutes := &digitPairs[seconds/3600], &digitPairs[seconds/60%60]
	last := &digitPairs[seconds%60]
	dst = append(dst, hours[0], hours[1], colon, minutes[0], minutes[1], colon, last[0], last[1])
	if f.Scale > 0 {
		dst = appendPadded(append(dst, f.Separator), x-int64(whole)*pow10[f.Scale], f.Scale)
	}
	return dst
}

func appendDateTime(dst []byte, f *IntFormat, x int64) []byte {
	var dates datePrinter
	return dates.append(dst, f, x)
}

// datePrinter prints date-times, mostly of one day: it keeps what it printed last. The zero datePrinter has
// printed nothing.
type datePrinter struct {
	start int64 // of the day, in units of the column
	units int64 // of a day; zero: nothing printed
	date  [dateLen]byte
}

func (p *datePrinter) append(dst []byte, f *IntFormat, x int64) []byte {
	if uint64(x)-uint64(p.start) >= uint64(p.units) {
		p.turn(f, x)
	}
	dst = append(append(dst, p.date[:]...), f.DateSeparator)
	dst = appendTimeOfDay(dst, f, x-p.start, f.colon())
	return append(dst, f.Suffix...)
}

// turn makes the day of x the one at hand.
func (p *datePrinter) turn(f *IntFormat, x int64) {
	p.units = secondsPerDay * pow10[f.Scale]
	day := floorDiv(x, p.units)
	p.start = day * p.units
	y, m, d := dateOf(day)
	b := appendTwoDigits(p.date[:0], y/100)
	b = appendTwoDigits(b, y)
	b = appendTwoDigits(append(b, '-'), m)
	appendTwoDigits(append(b, '-'), d)
}

func looksLikeDateTime(b []byte) bool {
	return len(b) >= dateLen+1+timeLen && b[4] == '-' && b[7] == '-' && (b[13] == ':' || b[13] == '.')
}

// guessTime returns the format of times that look like b, or false.
func guessTime(b []byte) (IntFormat, bool) {
	if len(b) >= timeLen && b[2] == ':' {
		f := IntFormat{Form: TimeOfDay, Scale: len(b) - timeLen - 1}
		if len(b) == timeLen {
			f.Scale = 0
		} else {
			f.Separator = b[timeLen]
		}
		return f, len(b) != timeLen+1 && f.Scale <= maxTimeScale
	}
	if !looksLikeDateTime(b) {
		return IntFormat{}, false
	}
	f := IntFormat{Form: DateTime, DateSeparator: b[dateLen], Dotted: b[13] == '.'}
	rest := b[dateLen+1+timeLen:]
	if len(rest) > 1 && bytes.IndexByte([]byte(".,"), rest[0]) >= 0 {
		for f.Scale+1 < len(rest) && isDigit(rest[f.Scale+1]) {
			f.Scale++
		}
		if f.Scale > 0 {
			f.Separator, rest = rest[0], rest[f.Scale+1:]
		}
	}
	f.Suffix = string(rest)
	return f, f.Scale <= maxTimeScale
}
