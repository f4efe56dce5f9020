package traces

import "math"

// Limits bound what one span may be. Zero means the default.
type Limits struct {
	MaxSpanBytes      int    // of the encoded span; larger ones are refused. Default 4 MiB
	MaxAttributeBytes int    // longer keys and string values are cut at a rune. Default 2048
	MaxAttributes     int    // of a span, event, link, resource or scope; the rest is counted as dropped. Default 1024
	MaxEvents         int    // of a span, and as many links; the rest is counted as dropped. Default 10000
	Oldest, Newest    uint64 // spans that start before or after are refused, in Unix nanoseconds; zero: no bound
}

const (
	defaultMaxSpanBytes      = 4 << 20
	defaultMaxAttributeBytes = 2048
	defaultMaxAttributes     = 1024
	defaultMaxEvents         = 10000
	maxElements              = 1024 // of an array that can be searched
	maxValueDepth            = 64   // nesting of arrays and key/value lists in an attribute
)

// unlimited is for messages that were checked before: what Check let through is stored whole.
var unlimited = Limits{MaxSpanBytes: math.MaxInt, MaxAttributeBytes: math.MaxInt, MaxAttributes: math.MaxInt, MaxEvents: math.MaxInt}

func (l Limits) orDefault() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.MaxSpanBytes, defaultMaxSpanBytes)
	set(&l.MaxAttributeBytes, defaultMaxAttributeBytes)
	set(&l.MaxAttributes, defaultMaxAttributes)
	set(&l.MaxEvents, defaultMaxEvents)
	return l
}
