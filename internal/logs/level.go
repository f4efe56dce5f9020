package logs

import (
	"strings"
)

// The levels that DetectLevel answers with for lines. A level that a label or structured metadata
// names is passed on in lower case even when it is none of these.
const (
	LevelTrace    = "trace"
	LevelDebug    = "debug"
	LevelInfo     = "info"
	LevelWarn     = "warn"
	LevelError    = "error"
	LevelCritical = "critical"
	LevelFatal    = "fatal"
	LevelUnknown  = "unknown"
)

// DefaultLevelFields are the names under which senders put a level, most trusted first.
var DefaultLevelFields = []string{
	"level", "LEVEL", "Level", "log.level", "severity", "SEVERITY", "Severity", "SeverityText",
	"lvl", "LVL", "Lvl", "severity_text", "Severity_Text", "SEVERITY_TEXT",
}

// severityNumber is the structured metadata that an OTLP record's severity number becomes.
const severityNumber = "severity_number"

// levelFields answers whether a name is a level field, and how trusted, without hashing the many
// names that are not.
type levelFields struct {
	rank   map[string]int
	first  [256]bool
	maxLen int
}

func newLevelFields(names []string) *levelFields {
	f := &levelFields{rank: make(map[string]int, 2*len(names))}
	add := func(name string, rank int) {
		if _, ok := f.rank[name]; ok || name == "" {
			return
		}
		f.rank[name] = rank
		f.first[name[0]] = true
		f.maxLen = max(f.maxLen, len(name))
	}
	for i, name := range names {
		add(name, i)
		add(SanitizeName(name), i) // log.level arrives in metadata as log_level
	}
	return f
}

func (f *levelFields) lookup(name string) (rank int, ok bool) {
	if name == "" || len(name) > f.maxLen || !f.first[name[0]] {
		return 0, false
	}
	rank, ok = f.rank[name]
	return rank, ok
}

// lookupLabels returns the value of the most trusted level field in md.
func (f *levelFields) lookupLabels(md []Label) (value string, ok bool) {
	best := len(f.rank) + 1
	for _, l := range md {
		if rank, found := f.lookup(l.Name); found && rank < best && l.Value != "" {
			best, value, ok = rank, l.Value, true
		}
	}
	return value, ok
}

// knownLevel maps the usual spellings of a level to its name, or returns "".
func knownLevel(v string) string {
	if len(v) < 3 || len(v) > 11 {
		return ""
	}
	switch v[0] | 0x20 {
	case 'i':
		if strings.EqualFold(v, "info") || strings.EqualFold(v, "inf") || strings.EqualFold(v, "information") {
			return LevelInfo
		}
	case 'e':
		if strings.EqualFold(v, "error") || strings.EqualFold(v, "err") {
			return LevelError
		}
	case 'w':
		if strings.EqualFold(v, "warn") || strings.EqualFold(v, "warning") || strings.EqualFold(v, "wrn") {
			return LevelWarn
		}
	case 'd':
		if strings.EqualFold(v, "debug") || strings.EqualFold(v, "dbg") {
			return LevelDebug
		}
	case 't':
		if strings.EqualFold(v, "trace") || strings.EqualFold(v, "trc") {
			return LevelTrace
		}
	case 'c':
		if strings.EqualFold(v, "critical") {
			return LevelCritical
		}
	case 'f':
		if strings.EqualFold(v, "fatal") {
			return LevelFatal
		}
	}
	return ""
}

// namedLevel is the level that a label or structured metadata states: a known one under its usual
// name, any other (notice, say) in lower case.
func namedLevel(v string) string {
	if l := knownLevel(v); l != "" {
		return l
	}
	return strings.ToLower(v)
}

// levelOfSeverity maps an OTLP severity number, as text, to a level.
func levelOfSeverity(n string) string {
	v := 0
	for i := 0; i < len(n); i++ {
		if n[i] < '0' || n[i] > '9' || v > 24 {
			return LevelUnknown
		}
		v = v*10 + int(n[i]-'0')
	}
	switch {
	case v == 0 || v > 24:
		return LevelUnknown
	case v <= 4:
		return LevelTrace
	case v <= 8:
		return LevelDebug
	case v <= 12:
		return LevelInfo
	case v <= 16:
		return LevelWarn
	case v <= 20:
		return LevelError
	}
	return LevelFatal
}

// lineLevel finds the level of a line: a level field of a JSON or logfmt line, or else the first
// word of the line that is a level.
func (f *levelFields) lineLevel(line string, jsonDepth int) string {
	if i := skipSpace(line, 0); i < len(line) && line[i] == '{' {
		if v := f.jsonLevel(line, i, jsonDepth); v != "" {
			return v
		}
	} else if v := f.logfmtLevel(line); v != "" {
		return v
	}
	return wordLevel(line)
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r') {
		i++
	}
	return i
}

// maxJSONNesting bounds the scanner's stack, which is one word.
const maxJSONNesting = 60

// jsonLevel scans the object that starts at line[i]. It neither validates nor allocates: what
// follows a syntax error is scanned as if it were JSON, which can only find a level that is
// written there. Of several level fields the shallowest counts, then the most trusted.
func (f *levelFields) jsonLevel(line string, i, maxDepth int) string {
	level, best := "", int(^uint(0)>>1)
	depth, objects, key := 0, uint64(0), false
	for i < len(line) {
		switch line[i] {
		case '{', '[':
			if depth++; depth > maxJSONNesting {
				return level
			}
			objects <<= 1
			if key = line[i] == '{'; key {
				objects |= 1
			}
		case '}', ']':
			if depth--; depth <= 0 {
				return level
			}
			objects >>= 1
			key = false
		case ',':
			key = objects&1 != 0
		case '"':
			end := stringEnd(line, i)
			if end < 0 {
				return level
			}
			if key && (maxDepth <= 0 || depth <= maxDepth) {
				if rank, ok := f.lookup(line[i+1 : end]); ok {
					rank += depth * (len(f.rank) + 1)
					if v := jsonStringValue(line, end+1); rank < best && v != "" {
						if v = knownLevel(v); v != "" {
							level, best = v, rank
						}
						if rank == len(f.rank)+1 && level != "" {
							return level // nothing can be more trusted
						}
					}
				}
			}
			key = false
			i = end
		}
		i++
	}
	return level
}

// stringEnd returns the index of the quote that closes the string opened at line[i], or -1.
func stringEnd(line string, i int) int {
	from := i + 1
	for {
		j := strings.IndexByte(line[from:], '"')
		if j < 0 {
			return -1
		}
		j += from
		k := j
		for k > i+1 && line[k-1] == '\\' {
			k--
		}
		if (j-k)%2 == 0 {
			return j
		}
		from = j + 1
	}
}

// jsonStringValue returns the string after the colon at or behind line[i], still escaped, or "".
func jsonStringValue(line string, i int) string {
	i = skipSpace(line, i)
	if i >= len(line) || line[i] != ':' {
		return ""
	}
	i = skipSpace(line, i+1)
	if i >= len(line) || line[i] != '"' {
		return ""
	}
	end := stringEnd(line, i)
	if end < 0 {
		return ""
	}
	return line[i+1 : end]
}

// logfmtLevel looks for key=value pairs whose key is a level field, outside quoted values.
func (f *levelFields) logfmtLevel(line string) string {
	level, best := "", len(f.rank)+1
	from := 0
	for from < len(line) {
		eq := strings.IndexByte(line[from:], '=')
		if eq < 0 {
			return level
		}
		eq += from
		start := eq
		for start > from && line[start-1] > ' ' && line[start-1] != '"' {
			start--
		}
		from = eq + 1
		quoted := from < len(line) && line[from] == '"'
		rank, ok := f.lookup(line[start:eq])
		if !ok || rank >= best {
			if quoted {
				if from = stringEnd(line, from) + 1; from == 0 {
					return level
				}
			}
			continue
		}
		end := from
		if quoted {
			if end = stringEnd(line, from); end < 0 {
				return level
			}
			from++
		} else {
			for end < len(line) && line[end] > ' ' {
				end++
			}
		}
		if v := knownLevel(line[from:end]); v != "" {
			if level, best = v, rank; rank == 0 {
				return level
			}
		}
		from = end + 1
	}
	return level
}

// Byte classes of wordLevel.
const (
	classGap   = iota // between words
	classWord         // letters, digits, _ and -, bytes of non-ASCII runes
	classStart        // a letter with which a level can begin
)

var classes = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= 0x80, c == '_', c == '-', '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			t[c] = classWord
		}
	}
	for _, c := range "iewdtcfIEWDTCF" {
		t[c] = classStart
	}
	return t
}()

// wordLevel returns the level that the first whole word naming one stands for. Loki's words go on
// over letters, digits, _ and -, so the m that ends an ANSI escape hides a level.
func wordLevel(line string) string {
	for i := 0; i < len(line); {
		class := classes[line[i]]
		if class == classGap {
			i++
			continue
		}
		start := i
		for i++; i < len(line) && classes[line[i]] != classGap; i++ {
		}
		if class == classStart {
			// Inf in running text is a number, not a level.
			if l := knownLevel(line[start:i]); l != "" && !strings.EqualFold(line[start:i], "inf") {
				return l
			}
		}
	}
	return LevelUnknown
}
