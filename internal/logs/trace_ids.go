package logs

import (
	"slices"
	"strings"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/fault"
)

// A row names a trace where it has the ID, 32 hexadecimal digits of one case, as the value of a usual key:
// one that ends, in any case, in trace_id, trace-id, trace.id or traceid, such as otelTraceID, dd.trace_id or
// x-b3-traceid. The key is one of structured metadata, or stands in the line as JSON and logfmt write it:
//
//	"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"    traceID=4bf92f3577b34da6a3ce929d0e0e4736
//	\"TraceId\": \"4BF92F3577B34DA6A3CE929D0E0E4736\"
//
// A search looks for the digits, not for the key: 32 digits in a row can't be missed by a look at every
// 32nd byte.
const traceHexLen = 32

// traceID is the 16 bytes of the ID.
type traceID [traceHexLen / 2]byte

func (id *traceID) hash() block.IDHash { return block.HashID(id[:]) }

// parse reads 32 digits of one case.
func (id *traceID) parse(digits []byte) bool {
	if len(digits) != traceHexLen {
		return false
	}
	// Without branches: digits are random, and a processor that guesses them is mostly wrong. Letters have
	// bit 6, those of lower case bit 5 too.
	var bad, lower, upper byte
	for i, c := range digits {
		v := hexValues[c]
		bad |= v
		lower |= c >> 1 & c
		upper |= c >> 1 &^ c
		id[i/2] = id[i/2]<<4 | v&0xf
	}
	return bad&notHex == 0 && lower&upper&0x20 == 0
}

// isTraceKey reports whether name is a key whose values name traces.
func isTraceKey(name string) bool {
	n := len(name)
	if n < len("traceid") || !strings.EqualFold(name[n-2:], "id") {
		return false
	}
	name = name[:n-2]
	if strings.IndexByte("_-.", name[len(name)-1]) >= 0 {
		name = name[:len(name)-1]
	}
	return len(name) >= len("trace") && strings.EqualFold(name[len(name)-len("trace"):], "trace")
}

// hexValues are the values of hexadecimal digits, noHex for other bytes. Only noHex has the bit notHex.
var hexValues = func() (t [256]byte) {
	for i := range t {
		t[i] = noHex
	}
	for v, c := range []byte("0123456789abcdef") {
		t[c] = byte(v)
	}
	for v, c := range []byte("ABCDEF") {
		t[c] = byte(v + 10)
	}
	return t
}()

const (
	noHex  = 0xff
	notHex = 0x80
)

// eachHexRun calls f for each longest run of at least 32 hexadecimal digits in text, until it returns
// false.
func eachHexRun(text []byte, f func(from, to int) bool) {
	const stride = traceHexLen
	for at := stride - 1; at < len(text); at += stride {
		// Half of a run with the byte at at lies before or behind it. Text is full of digits, so a look at
		// some bytes of both halves, without a branch, keeps the processor from guessing wrong.
		none := hexValues[text[at-5]] | hexValues[text[at-10]] | hexValues[text[at-15]]
		if at+15 < len(text) {
			none &= hexValues[text[at+5]] | hexValues[text[at+10]] | hexValues[text[at+15]]
		}
		if (none|hexValues[text[at]])&notHex != 0 {
			continue
		}
		from, to := at, at+1
		for from > 0 && hexValues[text[from-1]] != noHex {
			from--
		}
		for to < len(text) && hexValues[text[to]] != noHex {
			to++
		}
		if to-from >= traceHexLen && !f(from, to) {
			return
		}
		at = to // no digit; the next run begins behind it
	}
}

// eachTraceID calls f for each trace ID that a line names, until it returns false.
func eachTraceID(line []byte, f func(id *traceID) bool) {
	var id traceID
	eachHexRun(line, func(from, to int) bool {
		return !id.at(line, from, to) || f(&id)
	})
}

// at reads the digits from..to of a line, if they are the value of a usual key.
func (id *traceID) at(line []byte, from, to int) bool {
	if to-from != traceHexLen {
		return false
	}
	before := trimBetween(line[max(0, from-maxTraceKey):from])
	n := len(before)
	if n == 0 || before[n-1] != ':' && before[n-1] != '=' {
		return false
	}
	return isTraceKey(view(trimBetween(before[:n-1]))) && id.parse(line[from:to])
}

// trimBetween trims what may stand between key and value beside a colon or an equals sign.
func trimBetween(b []byte) []byte {
	n := len(b)
	for n > 0 && (b[n-1] == '"' || b[n-1] == ' ' || b[n-1] == '\\' || b[n-1] == '\'') {
		n--
	}
	return b[:n]
}

// maxTraceKey bounds how far before an ID its key is looked for.
const maxTraceKey = 32

// traceCollector collects the hashes of the trace IDs that the rows of a page name.
type traceCollector struct {
	hashes []block.IDHash
}

// lines adds what lines name.
func (t *traceCollector) lines(lines *block.Values) {
	line := 0
	eachHexRun(lines.Data, func(from, to int) bool {
		// The lines stand without anything between them: digits may go on in the next.
		for from < to {
			for int(lines.Ends[line]) <= from {
				line++
			}
			start := 0
			if line > 0 {
				start = int(lines.Ends[line-1])
			}
			end := min(to, int(lines.Ends[line]))
			var id traceID
			if id.at(lines.Data[start:end], from-start, end-start) {
				t.hashes = append(t.hashes, id.hash())
			}
			from = end
		}
		return true
	})
}

// metadata adds the value of a key of structured metadata.
func (t *traceCollector) metadata(value []byte) {
	var id traceID
	if id.parse(value) {
		t.hashes = append(t.hashes, id.hash())
	}
}

// row adds what a row names.
func (t *traceCollector) row(line []byte, md []Label) {
	for _, l := range md {
		if isTraceKey(l.Name) {
			t.metadata([]byte(l.Value))
		}
	}
	eachTraceID(line, func(id *traceID) bool {
		t.hashes = append(t.hashes, id.hash())
		return true
	})
}

// take returns the hashes, ascending and distinct, and empties t.
func (t *traceCollector) take() []block.IDHash {
	slices.Sort(t.hashes)
	out := slices.Clone(slices.Compact(t.hashes))
	t.hashes = t.hashes[:0]
	return out
}

// traceQuery asks for the rows that name one trace.
type traceQuery struct {
	id           traceID
	hash         block.IDHash
	lower, upper []byte // digits
}

// compileTrace reads a Select's TraceID; "" asks for nothing and gives nil.
func compileTrace(s string) (*traceQuery, error) {
	if s == "" {
		return nil, nil
	}
	q := &traceQuery{lower: []byte(strings.ToLower(s)), upper: []byte(strings.ToUpper(s))}
	if !q.id.parse(q.lower) {
		return nil, fault.Invalidf("trace ID %q: want %d hexadecimal digits", s, traceHexLen)
	}
	q.hash = q.id.hash()
	return q, nil
}

// namedBy reports whether a row names the trace.
func (q *traceQuery) namedBy(line []byte, md []Label) bool {
	for _, l := range md {
		if isTraceKey(l.Name) && (l.Value == view(q.lower) || l.Value == view(q.upper)) {
			return true
		}
	}
	found := false
	eachTraceID(line, func(id *traceID) bool {
		found = *id == q.id
		return !found
	})
	return found
}
