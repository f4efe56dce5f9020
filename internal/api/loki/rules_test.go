package loki

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
)

const oneGroup = `name: g
interval: 2m
rules:
    - alert: TooMany
      expr: sum(rate({app="a"} |= "error" [5m])) > 1
      for: 5m
      labels:
        severity: page
      annotations:
        summary: '{{ $value }} a second'
    - record: errors:rate5m
      expr: sum(rate({app="a"} |= "error" [5m]))
`

func TestRulesAPI(t *testing.T) {
	h := New(Options{Rules: rules.NewStore(objstore.NewInMemBucket())})
	ask := func(tenantID, method, path, content string) (int, string, string) {
		t.Helper()
		r := httptest.NewRequest(method, path, strings.NewReader(content))
		if tenantID != "" {
			r = r.WithContext(tenant.NewContext(r.Context(), tenantID))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Header().Get("Content-Type"), w.Body.String()
	}
	want := func(wantCode int, wantBody string, method, path, content string) {
		t.Helper()
		code, _, got := ask("acme", method, path, content)
		require.Equal(t, wantBody, strings.TrimSpace(got))
		require.Equal(t, wantCode, code)
	}
	const accepted = `{"status":"success","data":null,"errorType":"","error":""}`
	want(404, "no rule groups found", "GET", "/loki/api/v1/rules", "")
	want(404, "no rule groups found", "GET", "/api/prom/rules/ns", "")
	want(404, "group does not exist", "GET", "/loki/api/v1/rules/ns/g", "")
	want(404, "group does not exist", "DELETE", "/loki/api/v1/rules/ns/g", "")
	want(404, "group namespace does not exist", "DELETE", "/loki/api/v1/rules/ns", "")
	want(202, accepted, "POST", "/loki/api/v1/rules/ns", oneGroup)
	want(202, accepted, "POST", "/api/prom/rules/other%2Fns", strings.Replace(oneGroup, "name: g", "name: a b", 1))

	code, contentType, got := ask("acme", "GET", "/loki/api/v1/rules/ns/g", "")
	require.Equal(t, []any{200, "application/yaml", oneGroup}, []any{code, contentType, got})
	_, _, got = ask("acme", "GET", "/loki/api/v1/rules", "")
	require.YAMLEq(t, "ns: ["+flow("g")+"]\nother/ns: ["+flow("a b")+"]", got)
	_, _, got = ask("acme", "GET", "/api/prom/rules/other%2Fns", "")
	require.YAMLEq(t, "other/ns: ["+flow("a b")+"]", got)
	code, _, _ = ask("acme", "GET", "/api/prom/rules/other%2Fns/a%20b", "")
	require.Equal(t, 200, code)
	code, _, got = ask("else", "GET", "/loki/api/v1/rules", "")
	require.Equal(t, 404, code, got)
	code, _, got = ask("", "GET", "/loki/api/v1/rules", "")
	require.Equal(t, 400, code)
	require.JSONEq(t, `{"status":"error","data":null,"errorType":"bad_data","error":"no org id"}`, got)

	want(202, accepted, "DELETE", "/api/prom/rules/other%2Fns/a%20b", "")
	want(202, accepted, "DELETE", "/loki/api/v1/rules/ns", "")
	want(404, "no rule groups found", "GET", "/loki/api/v1/rules", "")
}

// flow is oneGroup under another name, as one value.
func flow(name string) string {
	return `{name: ` + name + `, interval: 2m, rules: [{alert: TooMany, expr: 'sum(rate({app="a"} |= "error" [5m])) > 1', for: 5m, labels: {severity: page},
		annotations: {summary: '{{ $value }} a second'}}, {record: 'errors:rate5m', expr: 'sum(rate({app="a"} |= "error" [5m]))'}]}`
}

func TestRulesAPIFaults(t *testing.T) {
	h := New(Options{Rules: rules.NewStore(objstore.NewInMemBucket())})
	for _, c := range []struct {
		path, content string
		status        int
		answer        string
	}{
		{"ns", "", 400, "unable to decoded rule group: the body is empty"},
		{"ns", "name: [", 400, "unable to decoded rule group: yaml: line 1: did not find expected node content"},
		{"ns", "name: g\nrulez: []\n", 400, "unable to decoded rule group: yaml: unmarshal errors:\n  line 2: field rulez not found in type rules.Group"},
		{"ns", "name: g\ninterval: soon\n", 400, `unable to decoded rule group: not a valid duration string: "soon"`},
		{"ns", "rules: []\n", 400, "group 0: Groupname must not be empty"},
		{"ns", "name: g\nrules: [{alert: a, expr: 'sum(rate({a=}[1m]))'}, {record: 'x', expr: '{a=\"b\"}'}, {expr: x}]\n", 400,
			"could not parse expression for alert 'a' in group 'g': parse error at line 1, col 13: syntax error: unexpected }, expecting STRING, " +
				"could not parse expression for record 'x' in group 'g': rule result is not a vector or scalar, one of 'record' or 'alert' must be set"},
		{"ns", "name: g\nrules: [" + strings.Repeat("{alert: a, expr: '1 > 2'},", 2001) + "]\n", 400, "per-user rules per rule group limit (limit: 2000 actual: 2001) exceeded"},
		{"ns", "name: g # " + strings.Repeat("x", 300<<10), 413, "the rule group is larger than 262144 bytes"},
		{"ns", "name: g # " + strings.Repeat("x", 2<<20), 413, "request body is larger than the limit of 1048576 bytes"},
		{"a%2F..%2F..%2Fb", oneGroup, 400, `{"status":"error","data":null,"errorType":"bad_data","error":"invalid namespace: path traversal not allowed"}`},
		{strings.Repeat("n", 241), oneGroup, 400, "the name of the namespace is too long: 241 bytes where special characters count three, at most 240 are allowed"},
	} {
		w := send(h, httptest.NewRequest(http.MethodPost, "/loki/api/v1/rules/"+c.path, strings.NewReader(c.content)))
		require.Equal(t, c.answer, strings.TrimSpace(w.Body.String()))
		require.Equal(t, c.status, w.Code)
	}
	w := send(h, httptest.NewRequest(http.MethodGet, "/loki/api/v1/rules/ns/a%2F..%2F..%2Fb", nil))
	require.Equal(t, 400, w.Code)
	require.Contains(t, w.Body.String(), "invalid groupname: path traversal not allowed")
}

func TestRuleStates(t *testing.T) {
	s := rules.NewStore(objstore.NewInMemBucket())
	h := New(Options{Rules: s})
	get := func(path string) string {
		t.Helper()
		w := send(h, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, 200, w.Code, w.Body)
		return w.Body.String()
	}
	require.JSONEq(t, `{"status":"success","data":{"groups":[]},"errorType":"","error":""}`, get("/prometheus/api/v1/rules"))
	require.JSONEq(t, `{"status":"success","data":{"alerts":[]},"errorType":"","error":""}`, get("/prometheus/api/v1/alerts"))
	require.Equal(t, 202, send(h, httptest.NewRequest(http.MethodPost, "/loki/api/v1/rules/ns", strings.NewReader(oneGroup))).Code)
	require.NoError(t, s.Put(t.Context(), "acme", signal.Logs, "ns2", rules.Group{Name: "h", Labels: map[string]string{"team": "x"}, Rules: []rules.Rule{{Record: "r", Expr: "1"}}}))
	require.NoError(t, s.Put(t.Context(), "acme", signal.Metrics, "ns", rules.Group{Name: "m"}))

	const never = `"lastEvaluation":"0001-01-01T00:00:00Z","evaluationTime":0`
	alert := `{"state":"inactive","name":"TooMany","query":"sum(rate({app=\"a\"} |= \"error\" [5m])) > 1","duration":300,"keepFiringFor":0,"labels":{"severity":"page"},
		"annotations":{"summary":"{{ $value }} a second"},"alerts":[],"health":"unknown","lastError":"","type":"alerting",` + never + `}`
	record := `{"name":"errors:rate5m","query":"sum(rate({app=\"a\"} |= \"error\" [5m]))","labels":{},"health":"unknown","lastError":"","type":"recording",` + never + `}`
	g := func(rules ...string) string {
		return `{"name":"g","file":"ns","rules":[` + strings.Join(rules, ",") + `],"interval":120,"limit":0,` + never + `}`
	}
	other := `{"name":"h","file":"ns2","rules":[{"name":"r","query":"1","labels":{"team":"x"},"health":"unknown","lastError":"","type":"recording",` + never + `}],"interval":60,"limit":0,` + never + `}`
	for query, want := range map[string]string{
		"": g(alert, record) + "," + other, "type=alert": g(alert), "type=RECORD": g(record) + "," + other, "rule_name[]=r": other, "rule_name=TooMany": g(alert),
		"rule_group[]=h": other, "file[]=ns": g(alert, record), "exclude_alerts=true&file=none": "",
	} {
		require.JSONEq(t, `{"status":"success","data":{"groups":[`+want+`]},"errorType":"","error":""}`, get("/prometheus/api/v1/rules?"+query), query)
	}
	for query, want := range map[string]string{"type=x": `not supported value \"x\"`, "exclude_alerts=x": `invalid parameter \"exclude_alerts\"`} {
		w := send(h, httptest.NewRequest(http.MethodGet, "/prometheus/api/v1/rules?"+query, nil))
		require.Equal(t, 400, w.Code)
		require.Contains(t, w.Body.String(), `{"status":"error","data":null,"errorType":"bad_data","error":"`+want)
	}
}

// noRules is a store whose bucket is away.
type noRules struct{ RuleStore }

func (noRules) List(context.Context, string, signal.Signal, string) ([]rules.Stored, error) {
	return nil, errors.New("list rule groups: disk on fire")
}

func TestRulesAPIWithoutABucket(t *testing.T) {
	h := New(Options{Rules: noRules{}})
	w := send(h, httptest.NewRequest(http.MethodGet, "/loki/api/v1/rules", nil))
	require.Equal(t, []any{500, "list rule groups: disk on fire\n"}, []any{w.Code, w.Body.String()})
	w = send(h, httptest.NewRequest(http.MethodGet, "/prometheus/api/v1/rules", nil))
	require.Equal(t, 500, w.Code)
	require.JSONEq(t, `{"status":"error","data":null,"errorType":"server_error","error":"list rule groups: disk on fire"}`, w.Body.String())
}
