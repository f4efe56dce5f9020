package limits

import (
	"encoding/binary"
	"errors"

	"github.com/hune-io/hune/internal/fault"
)

// MaxNesting is how deep arrays and key/value lists of an OTLP attribute may be nested. OTLP sets
// no bound; senders stay in single digits. The generated decoders recurse: without a bound, 20 MB
// of nested arrays (some KB when compressed) exhaust the goroutine's stack, which ends the process.
const MaxNesting = 64

// MaxFields is how many texts and messages one OTLP request may hold, about 200,000 records with
// five attributes each. An empty record takes 2 bytes of the request and 200 of memory once decoded,
// so that a bound on bytes alone would let 100 MB become 10 GB.
const MaxFields = 4_000_000

// What the checks return. Both are about the request as a whole: it can't be decoded safely.
var (
	ErrNesting = fault.Errorf(fault.Invalid, "attribute values are nested more than %d levels deep", MaxNesting)
	ErrTooMany = fault.Errorf(fault.TooLarge, "the request holds more than %d texts and messages", MaxFields)
)

// smallMessage is too small to do harm: 7,000 levels (4 MB of stack) or 32,000 empty records fit in.
const smallMessage = 64 << 10

// message is a message type of OTLP, as far as it leads to attribute values.
type message uint8

const (
	leaf message = iota
	logsData
	resourceLogs
	scopeLogs
	logRecord
	metricsData
	resourceMetrics
	scopeMetrics
	metric
	numbers
	histograms
	expHistograms
	summaries
	numberPoint
	histogramPoint
	expHistogramPoint
	summaryPoint
	exemplar
	tracesData
	resourceSpans
	scopeSpans
	span
	event
	link
	resource
	scope
	keyValue
	anyValue
	arrayValue
	kvList
	messages // how many there are
)

// fields says which length-delimited fields of a message are messages to look into. The numbers are
// those of opentelemetry-proto; 1000 are the deprecated instrumentation library messages, which the
// decoder still reads.
var fields = [messages]map[uint64]message{
	logsData:          {1: resourceLogs},
	resourceLogs:      {1: resource, 2: scopeLogs, 1000: scopeLogs},
	scopeLogs:         {1: scope, 2: logRecord},
	logRecord:         {5: anyValue, 6: keyValue},
	metricsData:       {1: resourceMetrics},
	resourceMetrics:   {1: resource, 2: scopeMetrics, 1000: scopeMetrics},
	scopeMetrics:      {1: scope, 2: metric},
	metric:            {5: numbers, 7: numbers, 9: histograms, 10: expHistograms, 11: summaries, 12: keyValue},
	numbers:           {1: numberPoint},
	histograms:        {1: histogramPoint},
	expHistograms:     {1: expHistogramPoint},
	summaries:         {1: summaryPoint},
	numberPoint:       {5: exemplar, 7: keyValue},
	histogramPoint:    {8: exemplar, 9: keyValue},
	expHistogramPoint: {1: keyValue, 11: exemplar},
	summaryPoint:      {7: keyValue},
	exemplar:          {7: keyValue},
	tracesData:        {1: resourceSpans},
	resourceSpans:     {1: resource, 2: scopeSpans, 1000: scopeSpans},
	scopeSpans:        {1: scope, 2: span},
	span:              {9: keyValue, 11: event, 13: link},
	event:             {3: keyValue},
	link:              {4: keyValue},
	resource:          {1: keyValue},
	scope:             {3: keyValue},
	keyValue:          {2: anyValue},
	anyValue:          {5: arrayValue, 6: kvList},
	arrayValue:        {1: anyValue},
	kvList:            {1: keyValue},
}

// children is fields for small numbers as an array, which is what the hot loop reads.
var children = func() (t [messages][16]message) {
	for m, of := range fields {
		for number, child := range of {
			if number < 16 {
				t[m][number] = child
			}
		}
	}
	return t
}()

// maxDepth is the stack of the walk: a value at MaxNesting has two or three messages a level above
// it, plus the seven from the request to an exemplar's attribute.
const maxDepth = 3*MaxNesting + 8

// CheckOTLPLogs returns ErrNesting or ErrTooMany if an ExportLogsServiceRequest in protobuf can't
// be decoded safely. Other faults are left to the decoder.
func CheckOTLPLogs(request []byte) error { return checkOTLP(request, logsData) }

// CheckOTLPMetrics is CheckOTLPLogs for an ExportMetricsServiceRequest.
func CheckOTLPMetrics(request []byte) error { return checkOTLP(request, metricsData) }

// CheckOTLPTraces is CheckOTLPLogs for an ExportTraceServiceRequest.
func CheckOTLPTraces(request []byte) error { return checkOTLP(request, tracesData) }

var errMalformed = errors.New("malformed")

func checkOTLP(data []byte, root message) error {
	if len(data) <= smallMessage {
		return nil
	}
	type frame struct {
		of     message
		end    int
		values int // any values from the root to here
	}
	var stack [maxDepth]frame
	depth, at, count := 0, 0, 0
	stack[0] = frame{root, len(data), 0}
	for {
		top := &stack[depth]
		if at >= top.end {
			if depth == 0 {
				return nil
			}
			depth--
			continue
		}
		number, length, next, err := nextField(data, at)
		if err != nil || length > len(data)-next {
			return nil // malformed: the decoder says it better, and stops there too
		}
		at = next
		child := leaf
		if length >= 0 {
			if count++; count > MaxFields {
				return ErrTooMany
			}
			if number < 16 {
				child = children[top.of][number]
			} else {
				child = fields[top.of][number]
			}
		}
		if child == leaf {
			at += max(length, 0)
			continue
		}
		f := frame{child, at + length, top.values}
		if child == anyValue {
			f.values++
		}
		if f.values > MaxNesting || depth+1 == maxDepth {
			return ErrNesting
		}
		depth++
		stack[depth] = f
	}
}

// nextField reads a tag and, for length-delimited fields, the length (-1 otherwise, with the value
// skipped). next is where the payload, or the next field, starts.
func nextField(data []byte, at int) (number uint64, length, next int, err error) {
	tag, n := uvarint(data, at)
	if n <= 0 {
		return 0, 0, 0, errMalformed
	}
	at += n
	switch tag & 7 {
	case 0:
		if _, n = uvarint(data, at); n <= 0 {
			return 0, 0, 0, errMalformed
		}
		return tag >> 3, -1, at + n, nil
	case 1:
		return tag >> 3, -1, at + 8, nil
	case 2:
		size, n := uvarint(data, at)
		if n <= 0 || size > uint64(len(data)) {
			return 0, 0, 0, errMalformed
		}
		return tag >> 3, int(size), at + n, nil
	case 5:
		return tag >> 3, -1, at + 4, nil
	}
	return 0, 0, 0, errMalformed
}

func uvarint(data []byte, at int) (uint64, int) {
	if at >= len(data) {
		return 0, 0
	}
	if b := data[at]; b < 0x80 {
		return uint64(b), 1
	}
	return binary.Uvarint(data[at:])
}

// CheckOTLPJSON returns ErrNesting if a JSON text has more brackets open at once than an OTLP
// message may have, and ErrTooMany if it has too many texts and brackets. It doesn't check the syntax.
func CheckOTLPJSON(text []byte) error {
	depth, count, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if quoted {
			switch c {
			case '\\':
				i++
			case '"':
				quoted = false
			}
			continue
		}
		switch c {
		case '"':
			quoted = true
			count++
		case '{', '[':
			count++
			if depth++; depth > maxJSONDepth {
				return ErrNesting
			}
		case '}', ']':
			depth--
		}
	}
	// A key is a text too, so that twice as many are fair.
	if count > 2*MaxFields {
		return ErrTooMany
	}
	return nil
}

// maxJSONDepth is MaxNesting in brackets: {"kvlistValue":{"values":[{"value":… opens four a level.
const maxJSONDepth = 4*MaxNesting + 24
