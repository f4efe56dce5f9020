package loki

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

// maxForm bounds a query sent as a form.
const maxForm = 4 << 20

// params reads the parameters of a request. The first fault sticks.
type params struct {
	h   *Handler
	r   *http.Request
	err error
}

func (h *Handler) params(w http.ResponseWriter, r *http.Request) *params {
	p := &params{h: h, r: r}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.fail(fault.New(fault.Invalid, err))
	}
	return p
}

func (p *params) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *params) failf(format string, args ...any) { p.fail(fault.Invalidf(format, args...)) }

func (p *params) get(name string) string {
	if p.r.Form == nil {
		return ""
	}
	return p.r.Form.Get(name)
}

// time reads a time: Unix nanoseconds, Unix seconds (at most ten digits, or with a fraction) or RFC 3339.
func (p *params) time(name string, or int64) int64 {
	text := p.get(name)
	if text == "" {
		return or
	}
	t, err := parseTime(text)
	if err != nil {
		p.failf("could not parse '%s' parameter: %w", name, err)
	}
	return t
}

// instant reads the time of an instant query. Its fault is told without the parameter's name, as Loki does.
func (p *params) instant(now int64) int64 {
	text := p.get("time")
	if text == "" {
		return now
	}
	t, err := parseTime(text)
	if err != nil {
		p.fail(fault.New(fault.Invalid, err))
	}
	return t
}

func parseTime(text string) (int64, error) {
	if strings.Contains(text, ".") {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			if math.Abs(f) > 9e9 || math.IsNaN(f) {
				return 0, fmt.Errorf("%q is not a time between the years 1685 and 2255", text)
			}
			whole, fraction := math.Modf(f)
			return int64(whole)*1e9 + int64(math.Round(fraction*1000))*1e6, nil
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t, terr := time.Parse(time.RFC3339Nano, text)
		if terr != nil {
			return 0, err
		}
		if y := t.Year(); y < 1678 || y > 2261 {
			return 0, fmt.Errorf("%q is not a time between the years 1678 and 2261", text)
		}
		return t.UnixNano(), nil
	}
	if len(text) <= 10 {
		if n > 9e9 || n < -9e9 {
			return 0, fmt.Errorf("%q is not a time between the years 1685 and 2255", text)
		}
		return n * 1e9, nil
	}
	return n, nil
}

// bounds reads start, end and since. Without them a query is about the last hour.
func (p *params) bounds() (start, end int64) {
	now := p.h.o.Now().UnixNano()
	since := p.since()
	end = p.time("end", now)
	start = p.time("start", min(end, now)-since)
	if p.err == nil && start > end {
		p.failf("end timestamp must not be before or equal to start time")
	}
	if p.err == nil && end-start < 0 {
		p.failf("the query time range is longer than 292 years")
	}
	return start, end
}

// since reads how far back a query without start goes; an hour if it doesn't say.
func (p *params) since() int64 {
	text := p.get("since")
	if text == "" {
		return int64(time.Hour)
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		p.failf("could not parse 'since' parameter: %w", err)
	}
	return int64(d)
}

func (p *params) limit(name string, or int) int {
	text := p.get(name)
	if text == "" {
		return or
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		p.fail(fault.New(fault.Invalid, err))
		return or
	}
	switch {
	case n <= 0:
		p.failf("limit must be a positive value")
	case int64(n) > math.MaxUint32:
		p.failf("%s value %d is out of range [0, %d]", name, n, uint32(math.MaxUint32))
	}
	return n
}

func (p *params) direction() logs.Direction {
	switch strings.ToLower(p.get("direction")) {
	case "", "backward":
		return logs.Backward
	case "forward":
		return logs.Forward
	}
	p.failf("invalid direction '%s'", p.get("direction"))
	return logs.Backward
}

// duration reads seconds or a duration; absent is -1.
func (p *params) duration(name string) int64 {
	text := p.get(name)
	if text == "" {
		return -1
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		ns := f * 1e9
		if ns > math.MaxInt64 || ns < math.MinInt64 || math.IsNaN(ns) {
			p.failf("cannot parse %q to a valid duration. It overflows int64", text)
			return -1
		}
		return int64(ns)
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		p.failf("cannot parse %q to a valid duration", text)
		return -1
	}
	return int64(d)
}

// step reads step; without it the answer has about 250 points.
func (p *params) step(start, end int64) int64 {
	if p.get("step") == "" {
		return logql.DefaultStep(start, end)
	}
	step := p.duration("step")
	switch {
	case p.err != nil:
	case step <= 0:
		p.failf("zero or negative query resolution step widths are not accepted. Try a positive integer")
	case (end-start)/step > 11000:
		p.failf("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter")
	}
	return step
}

func (p *params) interval() int64 {
	if p.get("interval") == "" {
		return 0
	}
	d := p.duration("interval")
	if p.err == nil && d < 0 {
		p.failf("interval must be >= 0")
	}
	return d
}

func retrySeconds(d time.Duration) string {
	return strconv.Itoa(int(math.Ceil(d.Seconds())))
}
