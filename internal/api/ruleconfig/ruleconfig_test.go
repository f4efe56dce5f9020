package ruleconfig

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/ruler"
	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
)

// server is the API at two bases over a store.
type server struct {
	t   *testing.T
	mux *http.ServeMux
}

func newServer(t *testing.T, store Store) server {
	mux := http.NewServeMux()
	api := New(Options{Store: store, Signals: []signal.Signal{signal.Metrics, signal.Logs, signal.Traces}, Check: ruler.Check})
	for pattern, h := range api.Routes("/config/v1/rules", "/mimir/prometheus/config/v1/rules") {
		mux.Handle(pattern, h)
	}
	return server{t, mux}
}

func (s server) ask(id, method, path, body string) (int, string) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(tenant.NewContext(s.t.Context(), id), method, path, strings.NewReader(body))
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func (s server) wants(id, method, path, body string, code int, answer string) {
	s.t.Helper()
	got, text := s.ask(id, method, path, body)
	require.Equal(s.t, code, got, text)
	require.Equal(s.t, answer, text)
}

const (
	base     = "/config/v1/rules"
	accepted = `{"status":"success","data":null,"errorType":"","error":""}`
	group    = "name: g\ninterval: 1m\nrules:\n    - alert: Down\n      expr: up == 0\n      for: 5m"
)

func TestGroupsAreSetReadAndRemoved(t *testing.T) {
	s := newServer(t, rules.NewStore(objstore.NewInMemBucket()))
	s.wants("a", "GET", base, "", http.StatusNotFound, "no rule groups found")
	s.wants("a", "POST", base+"/ns", group, http.StatusAccepted, accepted)
	s.wants("a", "GET", base+"/ns/g", "", http.StatusOK, group)
	s.wants("a", "GET", "/mimir/prometheus"+base+"/ns/g", "", http.StatusOK, group)
	s.wants("b", "GET", base+"/ns/g", "", http.StatusNotFound, "group does not exist")

	logs := "name: l\nsignal: logs\nrules:\n    - record: errors\n      expr: sum(count_over_time({app=\"a\"}[1m]))"
	s.wants("a", "POST", "/mimir/prometheus"+base+"/other%20one", logs, http.StatusAccepted, accepted)
	code, text := s.ask("a", "GET", base, "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, text, "ns:\n    - name: g\n")
	require.Contains(t, text, "other one:\n    - name: l\n      signal: logs\n")
	code, text = s.ask("a", "GET", base+"/ns", "")
	require.Equal(t, http.StatusOK, code)
	require.NotContains(t, text, "other one")

	// A group of the same name that asks another signal takes its place.
	s.wants("a", "POST", base+"/ns", strings.Replace(logs, "name: l", "name: g", 1), http.StatusAccepted, accepted)
	code, text = s.ask("a", "GET", base+"/ns", "")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, 1, strings.Count(text, "name: g"))
	require.Contains(t, text, "signal: logs")

	s.wants("a", "DELETE", base+"/ns/g", "", http.StatusAccepted, accepted)
	s.wants("a", "DELETE", base+"/ns/g", "", http.StatusNotFound, "group does not exist")
	s.wants("a", "DELETE", base+"/other%20one", "", http.StatusAccepted, accepted)
	s.wants("a", "DELETE", base+"/other%20one", "", http.StatusNotFound, "group namespace does not exist")
	s.wants("a", "GET", base, "", http.StatusNotFound, "no rule groups found")
}

func TestBadGroups(t *testing.T) {
	s := newServer(t, rules.NewStore(objstore.NewInMemBucket()))
	for name, tc := range map[string]struct{ body, want string }{
		"empty":       {"", "unable to decoded rule group: the body is empty"},
		"unknown key": {"nam: g", "field nam not found"},
		"no name":     {"rules: [{record: a, expr: up}]", "name"},
		"PromQL":      {"name: g\nrules: [{alert: A, expr: 'up ==='}]", "could not parse expression for alert 'A' in group 'g'"},
		"LogQL":       {"name: g\nsignal: logs\nrules: [{alert: A, expr: '{a=\"b\"}'}]", "the query answers with lines"},
		"signal":      {"name: g\nsignal: profiles\nrules: []", "profiles"},
		"template":    {"name: g\nrules: [{alert: A, expr: up, annotations: {a: '{{ nofunction }}'}}]", "nofunction"},
	} {
		t.Run(name, func(t *testing.T) {
			code, text := s.ask("a", "POST", base+"/ns", tc.body)
			require.Equal(t, http.StatusBadRequest, code, text)
			require.Contains(t, text, tc.want)
		})
	}
	code, text := s.ask("a", "POST", base+"/ns", "name: "+strings.Repeat("x", maxBody))
	require.Equal(t, http.StatusRequestEntityTooLarge, code, text)
	s.wants("a", "GET", base+"/..%2Fx", "", http.StatusBadRequest,
		`{"status":"error","data":null,"errorType":"bad_data","error":"invalid namespace: path traversal not allowed"}`)
	s.wants("a", "GET", base+"/x/..%2F..", "", http.StatusBadRequest,
		`{"status":"error","data":null,"errorType":"bad_data","error":"invalid groupname: path traversal not allowed"}`)
	s.wants("a", "GET", base, "", http.StatusNotFound, "no rule groups found")
}

// full is a store that takes no more groups.
type full struct{ *rules.Store }

func (full) Put(context.Context, string, signal.Signal, string, rules.Group) error {
	return errors.New("the bucket is away")
}

// A group that can't be stored doesn't cost the one whose place it would have taken.
func TestAStoreThatFailsLosesNothing(t *testing.T) {
	store := rules.NewStore(objstore.NewInMemBucket())
	newServer(t, store).wants("a", "POST", base+"/ns", group, http.StatusAccepted, accepted)
	s := newServer(t, full{store})
	s.wants("a", "POST", base+"/ns", "name: g\nsignal: logs\nrules: [{record: a, expr: 'sum(count_over_time({a=\"b\"}[1m]))'}]",
		http.StatusInternalServerError, "the bucket is away")
	s.wants("a", "GET", base+"/ns/g", "", http.StatusOK, group)
}
