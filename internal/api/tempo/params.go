package tempo

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hune-io/hune/internal/fault"
)

const second = uint64(time.Second)

// timeRange is a range in Unix nanoseconds; both zero: none was given.
type timeRange struct{ start, end uint64 }

// searchRange reads start and end of a search, whole Unix seconds.
func (a *API) searchRange(v url.Values) (timeRange, error) {
	start, err := optionalUint(v, "start", 32)
	if err != nil {
		return timeRange{}, err
	}
	end, err := optionalUint(v, "end", 32)
	if err != nil {
		return timeRange{}, err
	}
	if start == 0 && end == 0 {
		return timeRange{}, nil
	}
	if start == 0 {
		return timeRange{}, fault.Invalidf("error parsing date range: only one of start and end provided: must provide both or neither")
	}
	if start >= end {
		return timeRange{}, startBeforeEnd(start, end)
	}
	if limit := uint64(a.opts.MaxSearchRange / time.Second); end-start > limit {
		return timeRange{}, fault.Invalidf("range specified by start and end exceeds %s. received start=%d end=%d", a.opts.MaxSearchRange, start, end)
	}
	return timeRange{start * second, end * second}, nil
}

func startBeforeEnd(start, end uint64) error {
	return fault.Invalidf("http parameter start must be before end. received start=%d end=%d", start, end)
}

// optionalUint reads a number; a missing one is 0.
func optionalUint(v url.Values, name string, bits int) (uint64, error) {
	s := v.Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return 0, fault.Invalidf("invalid %s: %w", name, err)
	}
	return n, nil
}

// byIDRange reads start and end of a trace lookup, whole Unix seconds, each optional.
func byIDRange(v url.Values) (timeRange, error) {
	read := func(name string) (uint64, error) {
		s := v.Get(name)
		if s == "" {
			return 0, nil
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fault.Invalidf("invalid %s: %w", name, err)
		}
		return uint64(min(max(n, 0), math.MaxInt64/int64(second))), nil
	}
	start, err := read("start")
	if err != nil {
		return timeRange{}, err
	}
	end, err := read("end")
	if err != nil {
		return timeRange{}, err
	}
	if start == 0 && end == 0 {
		return timeRange{}, nil
	}
	if end == 0 {
		end = math.MaxInt64 / second
	}
	if start >= end {
		return timeRange{}, startBeforeEnd(start, end)
	}
	return timeRange{start * second, end * second}, nil
}

// tagsRange reads start and end of a tags request, in any form that parseTime takes.
func tagsRange(v url.Values) (timeRange, error) {
	start, end := v.Get("start"), v.Get("end")
	wrap := func(err error) error { return fault.Invalidf("error parsing date range: %w", err) }
	if start == "" && end == "" {
		return timeRange{}, nil
	}
	if start == "" || end == "" {
		return timeRange{}, wrap(errors.New("only one of start and end provided: must provide both or neither"))
	}
	var t timeRange
	var err error
	if t.start, err = parseTime("start", start); err != nil {
		return t, wrap(err)
	}
	if t.end, err = parseTime("end", end); err != nil {
		return t, wrap(err)
	}
	if t.start > t.end {
		return t, startBeforeEnd(t.start/second, t.end/second)
	}
	return t, nil
}

// parseTime reads Unix seconds (with a fraction or without), milliseconds, microseconds or
// nanoseconds (told apart by their size) or RFC 3339.
func parseTime(name, s string) (uint64, error) {
	if strings.Contains(s, ".") {
		if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 0 && f < math.MaxInt64/1e9 {
			whole, frac := math.Modf(f)
			return uint64(whole)*second + uint64(math.Round(frac*1e9)), nil
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		if t, terr := time.Parse(time.RFC3339Nano, s); terr == nil && t.UnixNano() >= 0 {
			return uint64(t.UnixNano()), nil
		}
		return 0, fmt.Errorf("could not parse '%s' parameter: %w", name, err)
	}
	switch {
	case n < 0:
		return 0, fmt.Errorf("could not parse '%s' parameter: %d is before 1970", name, n)
	case n < 1e11:
		return uint64(n) * second, nil
	case n < 1e14:
		return uint64(n) * 1e6, nil
	case n < 1e17:
		return uint64(n) * 1e3, nil
	}
	return uint64(n), nil
}

// parseStep reads a duration: 1m, or seconds. Zero and negative ones are the caller's to refuse.
func parseStep(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		ns := f * 1e9
		if math.IsNaN(ns) || math.Abs(ns) > math.MaxInt64 {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", s)
		}
		return time.Duration(ns), nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return d, nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", s)
}

// param returns the first of the names that is set.
func param(v url.Values, names ...string) string {
	for _, n := range names {
		if s := v.Get(n); s != "" {
			return s
		}
	}
	return ""
}
