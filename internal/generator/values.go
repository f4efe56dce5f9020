package generator

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hune-io/hune/internal/traces"
)

var kindNames = [...]string{"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"}

var statusNames = [...]string{"STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"}

// textOf is a scalar attribute as a label's value. It may be a view of the span's message.
func textOf(a *traces.Attribute) string {
	switch a.Type {
	case traces.TypeString:
		return a.Str
	case traces.TypeBool:
		return strconv.FormatBool(a.Int != 0)
	case traces.TypeInt:
		return strconv.FormatInt(a.Int, 10)
	case traces.TypeFloat:
		return strconv.FormatFloat(a.Float, 'g', -1, 64)
	}
	return ""
}

// rawText is textOf for a value as it stands in a message, "" for lists and where there is none.
func rawText(v traces.RawValue) string {
	if v == "" {
		return ""
	}
	a, _ := v.Scalar()
	return textOf(&a)
}

// cut shortens a label's value to the tenant's limit, at the start of a rune; 0 is no limit.
func cut(s string, limit int) string {
	if limit <= 0 || len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// appendPart appends a value to a key so that no two lists of values make the same key.
func appendPart(key []byte, value string) []byte {
	key = binary.AppendUvarint(key, uint64(len(value)))
	return append(key, value...)
}

// of returns how many spans the span stands for.
func (m multiplier) of(s *traces.SpanView, st *state) float64 {
	if m.traceState {
		if n := thresholdMultiplier(s.TraceState); n > 0 {
			return n
		}
	}
	if m.key < 0 {
		return 1
	}
	a, ok := st.attribute(m.key).Scalar()
	if !ok {
		return 1
	}
	ratio := 0.0
	switch a.Type {
	case traces.TypeFloat:
		ratio = a.Float
	case traces.TypeInt:
		ratio = float64(a.Int)
	case traces.TypeString:
		ratio, _ = strconv.ParseFloat(a.Str, 64)
	}
	if !(ratio > 0) || math.IsInf(ratio, 0) {
		return 1
	}
	return 1 / ratio
}

// thresholdMultiplier reads the sampling threshold of OpenTelemetry's section of a trace state, th of ot: the
// part of 2^56 random values that were dropped. It returns 0 where there is none.
func thresholdMultiplier(traceState string) float64 {
	for member := range strings.SplitSeq(traceState, ",") {
		list, ok := strings.CutPrefix(strings.TrimSpace(member), "ot=")
		if !ok {
			continue
		}
		for pair := range strings.SplitSeq(list, ";") {
			digits, ok := strings.CutPrefix(pair, "th:")
			if !ok || len(digits) == 0 || len(digits) > 14 {
				continue
			}
			threshold, err := strconv.ParseUint(digits+"00000000000000"[len(digits):], 16, 64)
			if err != nil {
				continue
			}
			const all = 1 << 56
			return all / float64(all-threshold)
		}
	}
	return 0
}
