package loki

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

	"github.com/hune-io/hune/internal/logs/deletes"
	"github.com/hune-io/hune/internal/tenant"
)

// deleteAPI is the API over a bucket in memory, at a fixed time.
func deleteAPI(t *testing.T) (ask func(tenantID, method string, params ...string) (int, string), book *deletes.Book) {
	t.Helper()
	now := func() time.Time { return time.Unix(1_667_381_172, 93e6) }
	book = deletes.New(deletes.Options{Bucket: objstore.NewInMemBucket(), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: now})
	h := New(Options{Deleter: book, Now: now})
	return func(tenantID, method string, params ...string) (int, string) {
		v := url.Values{}
		for i := 0; i < len(params); i += 2 {
			v.Set(params[i], params[i+1])
		}
		r := httptest.NewRequest(method, "/loki/api/v1/delete?"+v.Encode(), nil)
		if tenantID != "" {
			r = r.WithContext(tenant.NewContext(r.Context(), tenantID))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, strings.TrimSpace(w.Body.String())
	}, book
}

func TestDeleteAPI(t *testing.T) {
	ask, book := deleteAPI(t)
	code, body := ask("a", http.MethodGet)
	require.Equal(t, []any{200, "[]"}, []any{code, body})

	code, body = ask("a", http.MethodPost, "query", `{app="x"} |= "secret"`, "start", "0", "end", "1667381172")
	require.Equal(t, []any{204, ""}, []any{code, body})
	code, _ = ask("a", http.MethodPut, "query", `{app="y"} | json | status >= 500`, "start", "2022-11-01T00:00:00Z", "max_interval", "1h")
	require.Equal(t, 204, code)
	code, _ = ask("b", http.MethodPost, "query", `{app="z"}`, "start", "1")
	require.Equal(t, 204, code)

	list, err := book.List(context.Background(), "a")
	require.NoError(t, err)
	require.Len(t, list, 2)
	_, body = ask("a", http.MethodGet)
	require.JSONEq(t, `[
		{"request_id": "`+list[0].ID+`", "start_time": 0, "end_time": 1667381172, "query": "{app=\"x\"} |= \"secret\"", "status": "received", "created_at": 1667381172.093},
		{"request_id": "`+list[1].ID+`", "start_time": 1667260800, "end_time": 1667381172.093, "query": "{app=\"y\"} | json | status >= 500", "status": "received", "created_at": 1667381172.093}
	]`, body)
	require.Equal(t, 2, book.Active("a").Len())

	code, body = ask("b", http.MethodDelete, "request_id", list[0].ID)
	require.Equal(t, []any{404, "could not find delete request with given id"}, []any{code, body}, "it is another tenant's")
	code, _ = ask("a", http.MethodDelete, "request_id", list[0].ID)
	require.Equal(t, 204, code)
	require.Equal(t, []string{list[1].ID}, book.Active("a").IDs())

	_, err = book.Begin(context.Background(), "a", []string{list[1].ID})
	require.NoError(t, err)
	code, body = ask("a", http.MethodDelete, "request_id", list[1].ID)
	require.Equal(t, 400, code)
	require.Contains(t, body, "To force, use the ?force query parameter")
	require.NoError(t, book.Finish(context.Background(), "a", []string{list[1].ID}))
	_, body = ask("a", http.MethodGet)
	require.Contains(t, body, `"status":"processed"`)
	code, _ = ask("a", http.MethodDelete, "request_id", list[1].ID, "force", "true")
	require.Equal(t, 400, code, "nothing can come back")
}

func TestDeleteAPIFaults(t *testing.T) {
	ask, book := deleteAPI(t)
	for _, c := range []struct {
		want   string
		method string
		params []string
	}{
		{"query not set", "POST", []string{"start", "0"}},
		{"start time not set", "POST", []string{"query", `{a="b"}`}},
		{"invalid start time: require unix seconds or RFC3339 format", "POST", []string{"query", `{a="b"}`, "start", "yesterday"}},
		{"invalid end time: require unix seconds or RFC3339 format", "POST", []string{"query", `{a="b"}`, "start", "0", "end", "x"}},
		{"deletes in the future are not allowed", "POST", []string{"query", `{a="b"}`, "start", "0", "end", "1667381173"}},
		{"start time can't be greater than end time", "POST", []string{"query", `{a="b"}`, "start", "10", "end", "9"}},
		{"difference between start time and end time must be at least one second", "POST", []string{"query", `{a="b"}`, "start", "10", "end", "10"}},
		{"invalid max_interval: valid time units are 's', 'm', 'h'", "POST", []string{"query", `{a="b"}`, "start", "10", "max_interval", "1w"}},
		{"invalid max_interval: valid time units are 's', 'm', 'h'", "POST", []string{"query", `{a="b"}`, "start", "10", "max_interval", "1ms"}},
		{"max_interval can't be greater than the interval to be deleted (10s)", "POST", []string{"query", `{a="b"}`, "start", "10", "end", "20", "max_interval", "11s"}},
		{"parse error at line 1, col 1: syntax error: unexpected IDENTIFIER", "POST", []string{"query", "nonsense", "start", "0"}},
		{"only log selector is supported", "POST", []string{"query", `rate({a="b"}[1m])`, "start", "0"}},
		{"stage '| distinct a' can't tell what to delete", "POST", []string{"query", `{a="b"} | distinct a`, "start", "0"}},
		{"queries require at least one regexp or equality matcher", "POST", []string{"query", `{}`, "start", "0"}},
		{"queries require at least one regexp or equality matcher", "POST", []string{"query", `{host=""}`, "start", "0"}},
		{"longer than 16384", "POST", []string{"query", `{a="` + strings.Repeat("b", 20000) + `"}`, "start", "0"}},
		{"request_id not set", "DELETE", nil},
		{"invalid force", "DELETE", []string{"request_id", "1", "force", "perhaps"}},
	} {
		code, body := ask("a", c.method, c.params...)
		require.Equal(t, 400, code, c.params)
		require.Contains(t, body, c.want)
	}
	for _, method := range []string{"POST", "PUT", "GET", "DELETE"} {
		code, body := ask("", method, "query", `{a="b"}`, "start", "0", "request_id", "1")
		require.Equal(t, []any{400, "no org id"}, []any{code, body})
	}
	require.Nil(t, book.Active("a"))

	w := httptest.NewRecorder()
	New(Options{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/loki/api/v1/delete", nil))
	require.Equal(t, 404, w.Code, "a process without the role")
}
