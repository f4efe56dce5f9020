package template

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/common/helpers/templates"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/util/strutil"
)

// sample and queryResult are what `query` answers with. Texts of errors tell their names.
type sample struct {
	Labels map[string]string
	Value  any
}

type queryResult []*sample

// functions are those that Prometheus documents for templates, but those of left.
func (r *runner) functions() texttemplate.FuncMap {
	return texttemplate.FuncMap{
		"query":       r.query,
		"now":         func() float64 { return float64(r.scope.At) / 1000 },
		"externalURL": func() string { return r.scope.ExternalURL.String() },
		"pathPrefix":  func() string { return r.scope.ExternalURL.Path },
		"first":       first,
		"label":       func(name string, s *sample) string { return s.Labels[name] },
		"value":       func(s *sample) any { return s.Value },
		"strvalue":    func(s *sample) string { return s.Labels["__value__"] },
		"sortByLabel": sortByLabel,
		"args":        args,
		"match":       regexp.MatchString,
		"reReplaceAll": func(pattern, with, text string) string {
			return regexp.MustCompile(pattern).ReplaceAllString(text, with)
		},
		"toUpper":            strings.ToUpper,
		"toLower":            strings.ToLower,
		"safeHtml":           func(s string) htmltemplate.HTML { return htmltemplate.HTML(s) }, //nolint:gosec // that is what it is for
		"graphLink":          strutil.GraphLinkForExpression,
		"tableLink":          strutil.TableLinkForExpression,
		"urlQueryEscape":     url.QueryEscape,
		"stripPort":          stripPort,
		"stripDomain":        stripDomain,
		"humanize":           humanize,
		"humanize1024":       humanize1024,
		"humanizeDuration":   templates.HumanizeDuration,
		"humanizePercentage": humanizePercentage,
		"humanizeTimestamp":  templates.HumanizeTimestamp,
		"toTime":             toTime,
		"toDuration":         toDuration,
		"parseDuration":      parseDuration,
	}
}

func (r *runner) query(expr string) (queryResult, error) {
	vector, err := r.scope.Query(r.scope.Context, expr, r.scope.At.Time())
	if err != nil {
		return nil, err
	}
	out := make(queryResult, len(vector))
	for i, v := range vector {
		out[i] = &sample{Labels: v.Metric.Map(), Value: v.F}
		if v.H != nil {
			out[i].Value = v.H
		}
	}
	return out, nil
}

func first(v queryResult) (*sample, error) {
	if len(v) == 0 {
		return nil, errors.New("first() called on vector with no elements")
	}
	return v[0], nil
}

func sortByLabel(name string, v queryResult) queryResult {
	slices.SortStableFunc(v, func(x, y *sample) int { return strings.Compare(x.Labels[name], y.Labels[name]) })
	return v
}

func args(all ...any) map[string]any {
	out := make(map[string]any, len(all))
	for i, a := range all {
		out["arg"+strconv.Itoa(i)] = a
	}
	return out
}

func stripPort(hostPort string) string {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return hostPort
	}
	return host
}

func stripDomain(hostPort string) string {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = hostPort
	}
	if net.ParseIP(host) != nil {
		return hostPort
	}
	host, _, _ = strings.Cut(host, ".")
	if port == "" {
		return host
	}
	return net.JoinHostPort(host, port)
}

// The prefixes of units, of which each is a thousand times, or 1024 times, the one before.
var (
	large  = []string{"k", "M", "G", "T", "P", "E", "Z", "Y"}
	small  = []string{"m", "u", "n", "p", "f", "a", "z", "y"}
	binary = []string{"ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"}
)

func humanize(of any) (string, error) {
	v, err := templates.ConvertToFloat(of)
	if err != nil {
		return "", err
	}
	prefix := ""
	switch {
	case v == 0 || math.IsNaN(v) || math.IsInf(v, 0):
	case math.Abs(v) >= 1:
		v, prefix = reduce(v, 1000, large)
	default:
		for _, p := range small {
			if math.Abs(v) >= 1 {
				break
			}
			v, prefix = v*1000, p
		}
	}
	return fmt.Sprintf("%.4g%s", v, prefix), nil
}

func humanize1024(of any) (string, error) {
	v, err := templates.ConvertToFloat(of)
	if err != nil {
		return "", err
	}
	prefix := ""
	if math.Abs(v) > 1 && !math.IsInf(v, 0) {
		v, prefix = reduce(v, 1024, binary)
	}
	return fmt.Sprintf("%.4g%s", v, prefix), nil
}

// reduce divides v until it is below a step, and returns the prefix that stands for what is gone.
func reduce(v, step float64, prefixes []string) (float64, string) {
	prefix := ""
	for _, p := range prefixes {
		if math.Abs(v) < step {
			break
		}
		v, prefix = v/step, p
	}
	return v, prefix
}

func humanizePercentage(of any) (string, error) {
	v, err := templates.ConvertToFloat(of)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%.4g%%", v*100), nil
}

func toTime(of any) (*time.Time, error) {
	v, err := templates.ConvertToFloat(of)
	if err != nil {
		return nil, err
	}
	return templates.FloatToTime(v)
}

func toDuration(of any) (*time.Duration, error) {
	v, err := templates.ConvertToFloat(of)
	if err != nil {
		return nil, err
	}
	d := time.Duration(v * float64(time.Second))
	return &d, nil
}

func parseDuration(text string) (float64, error) {
	d, err := model.ParseDurationAllowNegative(text)
	if err != nil {
		return 0, err
	}
	return float64(time.Duration(d)) / float64(time.Second), nil
}
