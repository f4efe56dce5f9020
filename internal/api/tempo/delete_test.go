package tempo

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/deletes"
)

// deleteAPI is the API over a bucket in memory, at a fixed time.
func deleteAPI() (ask func(tenantID, method string, params ...string) (int, string), book *deletes.Book) {
	now := func() time.Time { return time.Unix(1_667_381_172, 93e6) }
	book = deletes.New(deletes.Options{Bucket: objstore.NewInMemBucket(), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: now,
		Find: func(_ context.Context, _, _ string, start, end uint64, _ int) ([]traces.ID, error) {
			return []traces.ID{{1}, {2}}[:min(2, (end-start)/1e9)], nil
		}})
	mux := http.NewServeMux()
	New(Options{Deleter: book, Now: now}).Register(mux)
	return func(tenantID, method string, params ...string) (int, string) {
		v := url.Values{}
		for i := 0; i < len(params); i += 2 {
			v.Set(params[i], params[i+1])
		}
		target, body := "/api/hune/v1/traces/delete?"+v.Encode(), ""
		if method == "FORM" {
			method, target, body = http.MethodPost, "/api/hune/v1/traces/delete", v.Encode()
		}
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if tenantID != "" {
			r = r.WithContext(tenant.NewContext(r.Context(), tenantID))
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Code, strings.TrimSpace(w.Body.String())
	}, book
}

func TestDeleteAPI(t *testing.T) {
	ask, book := deleteAPI()
	code, body := ask("a", http.MethodGet)
	require.Equal(t, []any{200, "[]"}, []any{code, body})
	code, body = ask("a", http.MethodPost, "query", `{ span.user = "eve" }`, "start", "0", "end", "1667381172")
	require.Equal(t, 200, code, body)
	code, body = ask("a", "FORM", "query", `{ span.user = "bob" }`, "start", "2022-11-02T09:26:11Z")
	require.Equal(t, 200, code, body)
	list, err := book.List(t.Context(), "a")
	require.NoError(t, err)
	first := `{"request_id": "` + list[0].ID + `", "start_time": "1970-01-01T00:00:00Z", "end_time": "2022-11-02T09:26:12Z", "query": "{ span.user = \"eve\" }",
		"traces": 2, "status": "received", "created_at": "2022-11-02T09:26:12.093Z"}`
	second := `{"request_id": "` + list[1].ID + `", "start_time": "2022-11-02T09:26:11Z", "end_time": "2022-11-02T09:26:12.093Z", "query": "{ span.user = \"bob\" }",
		"traces": 1, "status": "received", "created_at": "2022-11-02T09:26:12.093Z"}`
	require.JSONEq(t, second, body)
	_, body = ask("a", http.MethodGet)
	require.JSONEq(t, "["+first+","+second+"]", body)

	code, body = ask("b", http.MethodDelete, "request_id", list[0].ID)
	require.Equal(t, []any{404, "could not find delete request with given id"}, []any{code, body}, "it is another tenant's")
	code, body = ask("a", http.MethodDelete, "request_id", list[0].ID)
	require.Equal(t, []any{204, ""}, []any{code, body})
	require.NoError(t, book.Begin(t.Context(), "a", []string{list[1].ID}))
	code, body = ask("a", http.MethodDelete, "request_id", list[1].ID)
	require.Equal(t, 400, code)
	require.Contains(t, body, "?force")
	require.NoError(t, book.Finish(t.Context(), "a", []string{list[1].ID}))
	_, body = ask("a", http.MethodGet)
	require.Contains(t, body, `"status":"processed"`)
}

func TestDeleteAPIFaults(t *testing.T) {
	ask, book := deleteAPI()
	for _, c := range []struct {
		want   string
		method string
		params []string
	}{
		{"query not set", "POST", []string{"start", "0"}},
		{"start time not set", "POST", []string{"query", "{ }"}},
		{"could not parse 'start' parameter", "POST", []string{"query", "{ }", "start", "yesterday"}},
		{"could not parse 'end' parameter", "POST", []string{"query", "{ }", "start", "0", "end", "x"}},
		{"deletes in the future are not allowed", "POST", []string{"query", "{ }", "start", "0", "end", "1667381173"}},
		{"start time can't be greater than end time", "POST", []string{"query", "{ }", "start", "10", "end", "9"}},
		{"parse error", "POST", []string{"query", "nonsense", "start", "0"}},
		{"only a query that finds traces is supported", "POST", []string{"query", "{ } | rate()", "start", "0"}},
		{"longer than 16384", "POST", []string{"query", `{ name = "` + strings.Repeat("b", 20000) + `" }`, "start", "0"}},
		{"read form", "FORM", []string{"query", strings.Repeat("b", 100_000), "start", "0"}},
		{"request_id not set", "DELETE", nil},
		{"invalid force", "DELETE", []string{"request_id", "1", "force", "perhaps"}},
	} {
		code, body := ask("a", c.method, c.params...)
		require.Equal(t, 400, code, c.params)
		require.Contains(t, body, c.want)
	}
	for _, method := range []string{"POST", "PUT", "GET", "DELETE"} {
		code, _ := ask("", method, "query", "{ }", "start", "0", "request_id", "1")
		require.Equal(t, 401, code)
	}
	require.Nil(t, book.Active("a"))

	mux := http.NewServeMux()
	New(Options{}).Register(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/hune/v1/traces/delete", nil))
	require.Equal(t, 404, w.Code, "a process without the role")
}
