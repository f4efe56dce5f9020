package tempo

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-logfmt/logfmt"

	"github.com/hune-io/hune/internal/fault"
)

// durationBounds reads minDuration and maxDuration in whole milliseconds; zero is no bound, as is
// anything below a millisecond.
func durationBounds(v url.Values) (lo, hi time.Duration, err error) {
	read := func(name string) (time.Duration, error) {
		s := v.Get(name)
		if s == "" {
			return 0, nil
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fault.Invalidf("invalid %s: %w", name, err)
		}
		return d.Truncate(time.Millisecond), nil
	}
	if lo, err = read("minDuration"); err != nil {
		return 0, 0, err
	}
	if hi, err = read("maxDuration"); err != nil {
		return 0, 0, err
	}
	if hi != 0 && hi <= lo {
		return 0, 0, fault.Invalidf("invalid maxDuration: must be greater than minDuration")
	}
	return lo, hi, nil
}

// legacyQuery translates tags (logfmt) and bounds of the trace's duration. Every condition may be
// met anywhere in the trace, so each becomes a span set of its own.
func legacyQuery(tags string, lo, hi time.Duration) (string, error) {
	pairs, err := parseTags(tags)
	if err != nil {
		return "", err
	}
	var parts []string
	for _, p := range pairs {
		parts = append(parts, "{ "+legacyCondition(p.key, p.value)+" }")
	}
	if lo > 0 {
		parts = append(parts, "{ traceDuration >= "+lo.String()+" }")
	}
	if hi > 0 {
		parts = append(parts, "{ traceDuration <= "+hi.String()+" }")
	}
	if len(parts) == 0 {
		return "{ }", nil
	}
	return strings.Join(parts, " && "), nil
}

type tag struct{ key, value string }

func parseTags(s string) ([]tag, error) {
	var out []tag
	seen := map[string]bool{}
	dec := logfmt.NewDecoder(strings.NewReader(s))
	for dec.ScanRecord() {
		for dec.ScanKeyval() {
			k := string(dec.Key())
			if seen[k] {
				return nil, fault.Invalidf("invalid tags: tag %s has been set twice", k)
			}
			seen[k] = true
			out = append(out, tag{k, string(dec.Value())})
		}
	}
	if err := dec.Err(); err != nil {
		return nil, fault.Invalidf("invalid tags: %w", err)
	}
	return out, nil
}

// legacyCondition is one tag as TraceQL. Values are compared whole, as text; only names of spans
// are searched for a part.
func legacyCondition(k, v string) string {
	text := strconv.Quote(v)
	switch k {
	case "service.name":
		return "resource.service.name = " + text
	case "name":
		return "name =~ " + strconv.Quote(".*"+regexp.QuoteMeta(v)+".*")
	case "root.service.name":
		return "rootServiceName = " + text
	case "root.name":
		return "rootName = " + text
	case "status.code":
		switch v {
		case "error", "ok", "unset":
			return "status = " + v
		}
		return "false"
	case "error":
		if v == "true" {
			return "status = error"
		}
	}
	key := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(k) + `"`
	cond := "span." + key + " = " + text + " || resource." + key + " = " + text
	if n, err := strconv.Atoi(v); err == nil && k == "http.status_code" {
		cond += " || span." + key + " = " + strconv.Itoa(n)
	}
	return cond
}
