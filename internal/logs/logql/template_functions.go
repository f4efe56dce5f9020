package logql

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
	"github.com/dustin/go-humanize"
	"github.com/grafana/regexp"
)

const lineFunction = "__line__"

// fromSprig are the functions taken from there as they are.
var fromSprig = []string{
	"lower", "upper", "title", "trunc", "substr", "contains", "hasPrefix", "hasSuffix", "replace", "trim",
	"trimAll", "trimSuffix", "trimPrefix", "float64", "addf", "subf", "mulf", "divf", "maxf", "minf", "ceil", "floor", "round", "fromJson", "date", "toDate", "now",
	"unixEpoch", "default",
}

var templateFunctions = makeTemplateFunctions()

func makeTemplateFunctions() template.FuncMap {
	m := template.FuncMap{
		"ToLower": strings.ToLower, "ToUpper": strings.ToUpper, "Replace": strings.Replace, "Trim": strings.Trim,
		"TrimLeft": strings.TrimLeft, "TrimRight": strings.TrimRight, "TrimPrefix": strings.TrimPrefix,
		"TrimSuffix": strings.TrimSuffix, "TrimSpace": strings.TrimSpace,
		"regexReplaceAll": regexReplaceAll, "regexReplaceAllLiteral": regexReplaceAllLiteral, "count": regexCount,
		"urldecode": url.QueryUnescape, "urlencode": url.QueryEscape,
		"bytes": templateBytes, "duration": templateSeconds, "duration_seconds": templateSeconds,
		"unixEpochMillis": func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) },
		"unixEpochNanos":  func(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) },
		"toDateInZone":    toDateInZone, "unixToTime": unixToTime,
		"alignLeft":  func(n int, s string) (string, error) { return align(n, s, true) },
		"alignRight": func(n int, s string) (string, error) { return align(n, s, false) },
		"repeat":     repeat, "indent": indentLines,
		"nindent": func(n int, s string) (string, error) {
			out, err := indentLines(n, s)
			return "\n" + out, err
		},
		"int": func(v any) int { return int(toInt64(v)) }, "printf": boundedPrintf,
		"add": func(v ...any) int64 { return foldInts(v, 0, func(a, b int64) int64 { return a + b }) },
		"mul": func(v any, more ...any) int64 {
			return foldInts(more, toInt64(v), func(a, b int64) int64 { return a * b })
		},
		"sub": func(a, b any) int64 { return toInt64(a) - toInt64(b) },
		"div": func(a, b any) int64 { return toInt64(a) / toInt64(b) }, // a zero is reported by the template
		"mod": func(a, b any) int64 { return toInt64(a) % toInt64(b) },
		"max": func(v any, more ...any) int64 {
			return foldInts(more, toInt64(v), func(a, b int64) int64 { return max(a, b) })
		},
		"min": func(v any, more ...any) int64 {
			return foldInts(more, toInt64(v), func(a, b int64) int64 { return min(a, b) })
		},
		"b64enc": sprigFunctions["b64enc"], "b64dec": sprigFunctions["b64dec"],
	}
	for _, name := range fromSprig {
		m[name] = sprigFunctions[name]
	}
	return m
}

var sprigFunctions = sprig.GenericFuncMap()

// functions are the shared ones and those that read the row.
func (t *lineTemplate) functions() template.FuncMap {
	m := make(template.FuncMap, len(templateFunctions)+3)
	for name, f := range templateFunctions {
		m[name] = f
	}
	m[lineFunction] = func() string { return string(t.line) }
	m["__timestamp__"] = t.timestamp
	m[tickFunction] = t.tick
	return m
}

// toInt64 reads an integer as Go writes it, so 0x1f and 010 are 31 and 8; fractions are cut off, what is no number
// is 0.
func toInt64(v any) int64 {
	text, ok := v.(string)
	if !ok {
		return sprigInt64(v)
	}
	if whole, fraction, ok := strings.Cut(text, "."); ok && strings.Trim(fraction, "0123456789") == "" {
		text = whole
	}
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		return 0
	}
	return n
}

var sprigInt64 = sprigFunctions["int64"].(func(any) int64)

func foldInts(v []any, start int64, f func(a, b int64) int64) int64 {
	for _, x := range v {
		start = f(start, toInt64(x))
	}
	return start
}

// boundedPrintf is printf without widths that would make a short template print megabytes.
func boundedPrintf(format string, args ...any) (string, error) {
	digits := 0
	for _, c := range []byte(format) {
		switch {
		case c == '*':
			return "", errors.New("printf: widths can't be arguments")
		case isDigit(c):
			if digits++; digits > 4 {
				return "", errTooLong
			}
		default:
			digits = 0
		}
	}
	return fmt.Sprintf(format, args...), nil
}

func regexReplaceAll(expr, s, replacement string) (string, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllString(s, replacement), nil
}

func regexReplaceAllLiteral(expr, s, replacement string) (string, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllLiteralString(s, replacement), nil
}

func regexCount(expr, s string) (int, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return 0, err
	}
	return len(re.FindAllStringIndex(s, -1)), nil
}

func templateBytes(s string) (float64, error) {
	n, err := humanize.ParseBytes(s)
	return float64(n), err
}

func templateSeconds(s string) (float64, error) {
	d, err := time.ParseDuration(s)
	return d.Seconds(), err
}

func toDateInZone(layout, zone, s string) time.Time {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		loc = time.UTC
	}
	t, _ := time.ParseInLocation(layout, s, loc)
	return t
}

// unixToTime reads days, seconds, milliseconds, microseconds or nanoseconds, told apart by length.
func unixToTime(s string) (time.Time, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("unable to parse time '%v': %w", s, err)
	}
	switch len(s) {
	case 5:
		return time.Unix(n*86400, 0), nil
	case 10:
		return time.Unix(n, 0), nil
	case 13:
		return time.UnixMilli(n), nil
	case 16:
		return time.UnixMicro(n), nil
	case 19:
		return time.Unix(0, n), nil
	}
	return time.Time{}, fmt.Errorf("unable to parse time '%v': it has %d digits, not 5, 10, 13, 16 or 19", s, len(s))
}

var errTooLong = errors.New("the result is longer than 4 MiB")

func align(n int, s string, left bool) (string, error) {
	switch r := []rune(s); {
	case n < 0 || n == len(r):
		return s, nil
	case n > maxTemplateOutput:
		return "", errTooLong
	case n < len(r) && left:
		return string(r[:n]), nil
	case n < len(r):
		return string(r[len(r)-n:]), nil
	case left:
		return s + strings.Repeat(" ", n-len(r)), nil
	default:
		return strings.Repeat(" ", n-len(r)) + s, nil
	}
}

func repeat(n int, s string) (string, error) {
	if n <= 0 || s == "" {
		return "", nil
	}
	if n > maxTemplateOutput/len(s) {
		return "", errTooLong
	}
	return strings.Repeat(s, n), nil
}

func indentLines(n int, s string) (string, error) {
	n = max(n, 0)
	if n > maxTemplateOutput/(strings.Count(s, "\n")+1) {
		return "", errTooLong
	}
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(s, "\n", "\n"+pad), nil
}
