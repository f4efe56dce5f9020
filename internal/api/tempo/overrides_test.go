package tempo

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces/overrides"
)

func TestOverrides(t *testing.T) {
	mux := http.NewServeMux()
	New(Options{Overrides: overrides.New(objstore.NewInMemBucket(), nil)}).Register(mux)
	do := func(method, path, body, match string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		if match != "" {
			r.Header.Set("If-Match", match)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r.WithContext(tenant.NewContext(r.Context(), "a")))
		return w
	}
	const path = "/api/overrides"
	require.Equal(t, 404, do("GET", path, "", "").Code)
	require.Equal(t, "{}", do("GET", path+"?scope=merged", "", "").Body.String())
	w := do("GET", path+"?scope=x", "", "")
	require.Equal(t, 400, w.Code)
	require.Equal(t, "unknown scope \"x\", valid options are api and merged\n", w.Body.String())

	require.Equal(t, 428, do("POST", path, `{}`, "").Code)
	require.Equal(t, 412, do("POST", path, `{}`, "5").Code)
	require.Equal(t, 400, do("POST", path, `{"x":1}`, "0").Code)
	require.Equal(t, 413, do("POST", path, strings.Repeat(" ", 2<<20), "0").Code)
	w = do("POST", path, `{"forwarders":["f"]}`, "0")
	require.Equal(t, 200, w.Code, w.Body)
	version := w.Header().Get("Etag")
	w = do("GET", path, "", "")
	require.Equal(t, `{"forwarders":["f"]}`, w.Body.String())
	require.Equal(t, version, w.Header().Get("Etag"))

	w = do("PATCH", path, `{"forwarders":null,"metrics_generator":{"disable_collection":true}}`, "")
	require.Equal(t, 200, w.Code, w.Body)
	require.JSONEq(t, `{"metrics_generator":{"disable_collection":true}}`, w.Body.String())
	require.NotEqual(t, version, w.Header().Get("Etag"))
	require.Equal(t, 412, do("DELETE", path, "", version).Code)
	require.Equal(t, 428, do("DELETE", path, "", "").Code)
	require.Equal(t, 200, do("DELETE", path, "", w.Header().Get("Etag")).Code)
	require.Equal(t, 404, do("GET", path, "", "").Code)

	r := httptest.NewRequest("GET", path, nil)
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, r)
	require.Equal(t, 401, rec.Code)
}
