package jaeger

import (
	"encoding/json"
	"math"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/hune-io/hune/internal/api/tracequery"
	"github.com/hune-io/hune/internal/fault"
)

const (
	defaultLimit    = 100
	maxLimit        = 1500 // what Jaeger's UI can ask for
	defaultLookback = 2 * 24 * time.Hour
)

// find is a search: a TraceQL query, its range and how many traces are wanted.
type find struct {
	expr  string
	in    tracequery.Range
	limit int
}

// searchParams reads the parameters of version 2. Times are Unix microseconds.
func (a *API) searchParams(v url.Values) (find, error) {
	q := find{limit: defaultLimit}
	var conds []string
	if s := v.Get("service"); s != "" {
		conds = append(conds, tracequery.Service(s))
	} else {
		return q, fault.Invalidf("parameter 'service' is required")
	}
	if s := v.Get("operation"); s != "" {
		conds = append(conds, "name = "+tracequery.Quote(s))
	}
	tags, err := tagsOf(v)
	if err != nil {
		return q, err
	}
	conds = append(conds, tagConditions(tags)...)
	for _, b := range []struct{ name, op string }{{"minDuration", ">="}, {"maxDuration", "<="}} {
		if s := v.Get(b.name); s != "" {
			d, err := time.ParseDuration(s)
			if err != nil {
				return q, fault.Invalidf("unable to parse param '%s': %w", b.name, err)
			}
			conds = append(conds, tracequery.Duration(b.op, int64(d)))
		}
	}
	if s := v.Get("limit"); s != "" {
		if q.limit, err = limitOf("limit", s); err != nil {
			return q, err
		}
	}
	q.expr = tracequery.All(conds)
	q.in, err = a.microRange(v.Get("start"), v.Get("end"))
	return q, err
}

func limitOf(name, s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		return 0, fault.Invalidf("unable to parse param '%s': %q is not a positive number", name, s)
	}
	return min(n, maxLimit), nil
}

// microRange reads start and end; what is missing is now, and two days before the end.
func (a *API) microRange(start, end string) (tracequery.Range, error) {
	in := tracequery.Range{End: uint64(a.now().UnixNano())}
	read := func(name, s string) (uint64, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err == nil && (n < 0 || n > math.MaxInt64/1000) {
			err = strconv.ErrRange
		}
		if err != nil {
			return 0, fault.Invalidf("unable to parse param '%s': %w", name, err)
		}
		return uint64(n) * 1000, nil
	}
	var err error
	if end != "" {
		if in.End, err = read("end", end); err != nil {
			return in, err
		}
	}
	in.Start = in.End - min(in.End, uint64(defaultLookback))
	if start != "" {
		if in.Start, err = read("start", start); err != nil {
			return in, err
		}
	}
	if in.Start > in.End {
		return in, fault.Invalidf("start is after end")
	}
	return in, nil
}

// tagsOf reads tag=key:value, any number of them, and tags, a JSON object of texts.
func tagsOf(v url.Values) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range v["tag"] {
		k, value, ok := strings.Cut(s, ":")
		if !ok {
			return nil, fault.Invalidf("malformed 'tag' parameter, expecting key:value, received: %s", s)
		}
		out[k] = value
	}
	for _, s := range v["tags"] {
		var m map[string]string
		if err := json.Unmarshal([]byte(s), &m); err != nil {
			return nil, fault.Invalidf("malformed 'tags' parameter, cannot unmarshal JSON: %w", err)
		}
		for k, value := range m {
			out[k] = value
		}
	}
	return out, nil
}

func tagConditions(tags map[string]string) []string {
	keys := make([]string, 0, len(tags))
	for k := range tags {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var out []string
	for _, k := range keys {
		out = append(out, tracequery.Tag(k, tags[k]))
	}
	return out
}
