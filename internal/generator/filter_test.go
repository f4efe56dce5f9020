package generator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
)

func match(kind string, pairs ...any) limits.PolicyMatch {
	m := limits.PolicyMatch{MatchType: kind}
	for i := 0; i < len(pairs); i += 2 {
		m.Attributes = append(m.Attributes, limits.PolicyAttribute{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return m
}

func TestFilterPolicies(t *testing.T) {
	spans := []span{
		{service: "a", trace: 1, id: 1, name: "1", kind: traces.KindServer},
		{service: "a", trace: 1, id: 2, name: "2", kind: traces.KindClient, status: traces.StatusError},
		{service: "b", trace: 1, id: 3, name: "3", kind: traces.KindServer, attributes: []traces.Attribute{{Key: "code", Type: traces.TypeInt, Int: 200}}},
		{service: "b", trace: 1, id: 4, name: "4", kind: traces.KindConsumer, attributes: []traces.Attribute{text("route", "/health/live"), {Key: "ok", Type: traces.TypeBool, Int: 1}}},
	}
	for _, c := range []struct {
		name     string
		policies []limits.FilterPolicy
		want     string
	}{
		{"none", nil, "1234"},
		{"include", []limits.FilterPolicy{{Include: match("strict", "kind", "SPAN_KIND_SERVER")}}, "13"},
		{"all attributes of an include", []limits.FilterPolicy{{Include: match("strict", "kind", "SPAN_KIND_SERVER", "resource.service.name", "b")}}, "3"},
		{"all includes", []limits.FilterPolicy{{Include: match("strict", "kind", "SPAN_KIND_SERVER")}, {Include: match("strict", "resource.service.name", "a")}}, "1"},
		{"any", []limits.FilterPolicy{{IncludeAny: match("strict", "status", "STATUS_CODE_ERROR")}, {IncludeAny: match("strict", "span.code", 200)}}, "23"},
		{"exclude", []limits.FilterPolicy{{Exclude: match("regex", "span.route", "/health/.*")}}, "123"},
		{"a pattern is for the whole value", []limits.FilterPolicy{{Exclude: match("regex", "span.route", "/health")}}, "1234"},
		{"exclude wins", []limits.FilterPolicy{{Include: match("strict", "resource.service.name", "a")}, {Exclude: match("strict", "name", "1")}}, "2"},
		{"a boolean", []limits.FilterPolicy{{Include: match("strict", "span.ok", true)}}, "4"},
		{"scopes are apart", []limits.FilterPolicy{{Include: match("strict", "span.service.name", "a")}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, r, _ := start(t, func(l *limits.Limits) { l.Traces.Generator.SpanMetrics.FilterPolicies = c.policies }, nil)
				g.Observe("a", encode(t, time.Now(), spans...))
				sleep(tick)
				got := ""
				for _, s := range spans {
					if len(r.all("traces_spanmetrics_calls_total", "span_name", s.name)) > 0 {
						got += s.name
					}
				}
				require.Equal(t, c.want, got)
			})
		})
	}
}

func TestBadPolicies(t *testing.T) {
	for want, m := range map[string]limits.PolicyMatch{
		`span_metrics.filter_policies.0.include: match_type: "exact" is not one of strict, regex`: match("exact", "name", "x"),
		`attributes: are missing`: match("strict"),
		`attributes.0.key: "route" is not name, kind, status, resource.ATTRIBUTE or span.ATTRIBUTE`: match("strict", "route", "x"),
		`attributes.0.value: error parsing regexp`:                                                  match("regex", "name", "("),
	} {
		l := limits.DefaultConfig()
		l.Traces.Generator.SpanMetrics.FilterPolicies = []limits.FilterPolicy{{Include: m}}
		require.ErrorContains(t, CheckPolicies(&l), want)
	}
}
