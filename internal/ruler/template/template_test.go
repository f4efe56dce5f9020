package template

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	upstream "github.com/prometheus/prometheus/template"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/prometheus/prometheus/util/features"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// collector takes the names of Prometheus's functions.
type collector struct {
	features.Collector
	names []string
}

func (c *collector) Enable(category, name string) {
	if category == features.TemplatingFunctions {
		c.names = append(c.names, name)
	}
}

// A function that Prometheus gets must be written here, too, or be left to it.
func TestFunctionsAreThoseOfPrometheus(t *testing.T) {
	var c collector
	upstream.RegisterFeatures(&c)
	var own []string
	for name := range names {
		own = append(own, name)
	}
	require.ElementsMatch(t, slices.DeleteFunc(c.names, func(name string) bool { return slices.Contains(left, name) }), own)
}

// answers are those to the queries of tests.
func answers(_ context.Context, expr string, at time.Time) (promql.Vector, error) {
	switch expr {
	case "none":
		return nil, nil
	case "fails":
		return nil, errors.New("no answer")
	}
	return promql.Vector{
		{Metric: labels.FromStrings("instance", "b:1", "__value__", "v"), F: float64(at.UnixMilli())},
		{Metric: labels.FromStrings("instance", "a.example.com:2"), F: 2},
		{Metric: labels.FromStrings("instance", "c"), H: tsdbutil.GenerateTestFloatHistogram(1)},
	}, nil
}

const variables = "{{$labels := .Labels}}{{$value := .Value}}"

func requireSame(t require.TestingT, text string, value float64, label string) {
	ls := map[string]string{"instance": label}
	external := &url.URL{Scheme: "http", Host: "hune", Path: "/x"}
	at := model.Time(1_700_000_000_123)
	data := upstream.AlertTemplateData(ls, map[string]string{"cluster": "eu"}, external.String(), promql.Sample{F: value})
	want, wantErr := upstream.NewTemplateExpander(context.Background(), variables+text, "__alert_A", data, at, answers, external, nil).Expand()
	parsed := Parse("__alert_A", variables+text)
	for range 2 {
		got, err := parsed.Expand(Scope{context.Background(), at, answers, external}, data)
		if wantErr != nil {
			require.EqualError(t, err, wantErr.Error(), text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

// calls are templates of each function, with arguments that fit and others.
var calls = []string{
	"", "plain", "}}", "{{", "{{}}", "{{ $unknown }}", "{{ unknown 1 }}", "{{ .Nothing }}", "{{ $labels.nothing }}|{{ $labels.instance }}", "{{ if }}", "{{ end }}",
	"{{ $value }}", "{{- $value -}} x", "{{/* a comment */}}", "{{ range $k, $v := $labels }}{{ $k }}={{ $v }}{{ else }}none{{ end }}", "{{ with $x := 1 }}{{ $x }}{{ end }}",
	`{{ query "some" | first | value }}`, `{{ query "some" | sortByLabel "instance" | first | label "instance" }}`, `{{ query "some" | first | strvalue }}`, `{{ first (query "none") }}`,
	`{{ query "fails" }}`, `{{ range query "some" }}{{ .Labels.instance }} {{ .Value }};{{ end }}`, `{{ "x" | first }}`, `{{ sortByLabel "x" "y" }}`, `{{ query 1 }}`, `{{ printf "%T" (query "some") }}`,
	"{{ now }}", "{{ now | toTime }}", "{{ externalURL }}{{ pathPrefix }}{{ .ExternalURL }}", `{{ (args 1 "b").arg1 }}`, `{{ args }}`, `{{ match "a.c" $labels.instance }}`, `{{ match "(" "" }}`,
	`{{ reReplaceAll "(.)e" "${1}X" $labels.instance }}`, `{{ reReplaceAll "(" "" "" }}`, "{{ toUpper $labels.instance }}{{ toLower $labels.instance }}{{ title $labels.instance }}",
	`{{ safeHtml "<b>" }}`, "{{ graphLink $labels.instance }}{{ tableLink $labels.instance }}{{ urlQueryEscape $labels.instance }}", "{{ stripPort $labels.instance }}", "{{ stripDomain $labels.instance }}",
	"{{ humanize $value }}", "{{ humanize1024 $value }}", "{{ humanizeDuration $value }}", "{{ humanizePercentage $value }}", "{{ humanizeTimestamp $value }}", "{{ toTime $value }}", "{{ toDuration $value }}",
	"{{ humanize $labels.instance }}", "{{ humanize1024 $labels.instance }}", "{{ humanizePercentage $labels.instance }}", "{{ toTime $labels.instance }}", "{{ toDuration $labels.instance }}", "{{ humanize nil }}",
	"{{ parseDuration $labels.instance }}", `{{ parseDuration "-1h5m" }}`, `{{ define "x" }}{{ . }}{{ end }}{{ template "x" $value }}`, `{{ template "__alert_A" }}`, `{{ template "y" }}`, `{{ block "z" . }}in{{ end }}`,
}

func TestAgreesWithPrometheus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(calls), 1, 3).Draw(t, "calls"), " ")
		value := rapid.OneOf(rapid.SampledFrom([]float64{0, 1, -1, 999, 1000, 1024, 0.001, 1e-30, 1e30, math.NaN(), math.Inf(1), math.Inf(-1), 1_700_000_000}), rapid.Float64()).Draw(t, "value")
		label := rapid.OneOf(rapid.SampledFrom([]string{"", "abc", "host.example.com:9100", "host:9100", "10.0.0.1:80", "[::1]:80", "1h30m", "12.5", "a b/c"}), rapid.String()).Draw(t, "label")
		requireSame(t, text, value, label)
	})
	for _, text := range calls {
		requireSame(t, text, 1234.5, "abc")
	}
}

// Each execution sees its own scope.
func TestExpandAtOnce(t *testing.T) {
	parsed := Parse("__alert_A", `{{ now }} {{ query "some" | first | value }} {{ externalURL }}`)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 100 {
				at := model.Time(1000 * i)
				text, err := parsed.Expand(Scope{context.Background(), at, answers, &url.URL{Host: strconv.Itoa(i)}}, nil)
				assert.NoError(t, err)
				assert.Equal(t, fmt.Sprintf("%d %d //%d", i, 1000*i, i), text)
			}
		})
	}
	all.Wait()
}

// Any text is parsed, or refused, as Prometheus does.
func FuzzExpand(f *testing.F) {
	for _, text := range calls {
		f.Add(text, 1.5, "abc")
	}
	f.Fuzz(func(t *testing.T, text string, value float64, label string) {
		if strings.Contains(text, "break") || strings.Contains(text, "%p") || strings.Contains(text, "query") && !slices.Contains(calls, text) {
			t.Skip("the template prints an address, which differs from run to run")
		}
		requireSame(t, text, value, label)
	})
}

func BenchmarkExpand(b *testing.B) {
	text := variables + "load of {{ $labels.instance }} is {{ $value }}"
	external := &url.URL{}
	data := upstream.AlertTemplateData(map[string]string{"instance": "a"}, nil, "", promql.Sample{F: 1})
	b.Run("here", func(b *testing.B) {
		b.ReportAllocs()
		t := Parse("__alert_A", text)
		for b.Loop() {
			_, _ = t.Expand(Scope{b.Context(), 0, answers, external}, data)
		}
	})
	b.Run("Prometheus", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = upstream.NewTemplateExpander(b.Context(), text, "__alert_A", data, 0, answers, external, nil).Expand()
		}
	})
}
