package ui

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func get(t *testing.T, h http.Handler, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

func TestPaths(t *testing.T) {
	h := Handler(Options{})
	for _, c := range []struct {
		path, accept string
		status       int
		location     string
	}{
		{"/", browser, 302, "ui/"},
		{"/?from=now-1h", browser, 302, "ui/?from=now-1h"},
		{"/", "*/*", 200, ""},
		{"/ui", browser, 302, "ui/"},
		{"/ui/", browser, 200, ""},
		{"/ui/explore/logs", browser, 200, ""},
		{"/ui/trace/0af7651916cd43dd8448eb211c80319c", browser, 200, ""},
		{"/ui/favicon.ico", browser, 404, ""},
		{"/ui/assets/none.js", browser, 404, ""},
		{"/ui/assets/../BUILD.json", browser, 404, ""},
		{"/ui/assets/", browser, 404, ""},
		{"/ui/index.html", browser, 404, ""},
		{"/other", browser, 404, ""},
		{"/uix", browser, 404, ""},
	} {
		r := get(t, h, c.path, "Accept", c.accept)
		require.Equal(t, c.status, r.StatusCode, c.path)
		require.Equal(t, c.location, r.Header.Get("Location"), c.path)
	}
	require.Contains(t, body(t, get(t, h, "/", "Accept", "*/*")), "page is at /ui/")
}

func TestMethods(t *testing.T) {
	h := Handler(Options{})
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/ui/", nil))
		require.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/ui/", nil))
	require.Equal(t, 200, w.Code)
	require.Zero(t, w.Body.Len())
	require.NotEqual(t, "0", w.Header().Get("Content-Length"))
}

func TestIndex(t *testing.T) {
	h := Handler(Options{Version: "1.2.3", Tenant: "</script><b>", Multitenancy: true, OTLPGRPC: "127.0.0.1:4317"})
	r := get(t, h, "/ui/explore/metrics")
	page := body(t, r)

	require.Equal(t, "text/html; charset=utf-8", r.Header.Get("Content-Type"))
	require.Equal(t, "no-cache", r.Header.Get("Cache-Control"))
	require.Contains(t, page, `<base href="./../" />`)
	require.Less(t, strings.Index(page, "<base"), strings.Index(page, "href=\"./assets"), "the base comes before the first address")
	require.Contains(t, page, `"version":"1.2.3"`)
	require.Contains(t, page, `"features":["multitenancy"]`)
	require.Contains(t, page, `"otlpGrpc":"127.0.0.1:4317"`)
	require.NotContains(t, page, "</script><b>", "a value can't leave the boot block")
	require.NotContains(t, page, "hune:", "no placeholder is left")
	require.NotContains(t, page, "hune-nonce")

	nonces := regexp.MustCompile(`nonce="([^"]+)"`).FindAllStringSubmatch(page, -1)
	require.Len(t, nonces, 2)
	csp := r.Header.Get("Content-Security-Policy")
	require.Contains(t, csp, "default-src 'self'")
	require.NotContains(t, csp, "unsafe")
	for _, n := range nonces {
		require.Contains(t, csp, "'nonce-"+n[1]+"'")
	}
	again := body(t, get(t, h, "/ui/explore/metrics"))
	require.NotEqual(t, page, again, "each answer has its own nonce")

	require.Contains(t, body(t, get(t, h, "/ui/")), `<base href="./" />`)
	require.Contains(t, body(t, get(t, Handler(Options{BasePath: "/a/b/"}), "/a/b/x/y/z")), `<base href="./../../" />`)
}

func TestIndexIsRevalidated(t *testing.T) {
	h := Handler(Options{Version: "1"})
	etag := get(t, h, "/ui/").Header.Get("ETag")
	require.NotEmpty(t, etag)
	for _, match := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
		r := get(t, h, "/ui/", "If-None-Match", match)
		require.Equal(t, http.StatusNotModified, r.StatusCode, match)
		require.Empty(t, r.Header.Get("Content-Security-Policy"), "the stored page keeps the policy with its nonce")
		require.Empty(t, body(t, r))
	}
	require.Equal(t, 200, get(t, h, "/ui/", "If-None-Match", `"other"`).StatusCode)
	require.NotEqual(t, etag, get(t, h, "/ui/explore/logs").Header.Get("ETag"), "another base is another page")
	require.NotEqual(t, etag, get(t, Handler(Options{Version: "2"}), "/ui/").Header.Get("ETag"), "a new version is a new page")
}

func TestAssets(t *testing.T) {
	h := Handler(Options{})
	_, assets, err := load(dist)
	require.NoError(t, err)
	require.Greater(t, len(assets), 5)
	for name, a := range assets {
		packed := get(t, h, "/ui/"+name, "Accept-Encoding", "br, gzip;q=0.5")
		require.Equal(t, 200, packed.StatusCode, name)
		require.Equal(t, "gzip", packed.Header.Get("Content-Encoding"))
		require.Equal(t, "public, max-age=31536000, immutable", packed.Header.Get("Cache-Control"))
		require.Equal(t, "Accept-Encoding", packed.Header.Get("Vary"))
		require.Equal(t, "nosniff", packed.Header.Get("X-Content-Type-Options"))
		require.Equal(t, a.contentType, packed.Header.Get("Content-Type"))
		zr, err := gzip.NewReader(strings.NewReader(body(t, packed)))
		require.NoError(t, err)
		want, err := io.ReadAll(zr)
		require.NoError(t, err)

		for _, encoding := range []string{"", "identity", "gzip;q=0", "br", "gzip;q=x"} {
			plain := get(t, h, "/ui/"+name, "Accept-Encoding", encoding)
			require.Empty(t, plain.Header.Get("Content-Encoding"), encoding)
			require.True(t, bytes.Equal(want, []byte(body(t, plain))), "%s with %q", name, encoding)
		}
		require.Equal(t, http.StatusNotModified, get(t, h, "/ui/"+name, "If-None-Match", a.etag).StatusCode)
	}
	require.Equal(t, "gzip", get(t, h, "/ui/"+firstOf(assets), "Accept-Encoding", "*").Header.Get("Content-Encoding"))
}

func firstOf(m map[string]asset) string {
	for name := range m {
		return name
	}
	return ""
}

// Every address that index.html names is there, and none leaves the origin.
func TestIndexNamesOnlyAssets(t *testing.T) {
	index, assets, err := load(dist)
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(string(index), -1) {
		require.Contains(t, assets, strings.TrimPrefix(m[1], "./"))
	}
}

func TestBasePathIsChecked(t *testing.T) {
	for _, base := range []string{"ui/", "/ui", "/"} {
		require.Panics(t, func() { Handler(Options{BasePath: base}) }, base)
	}
}

func BenchmarkAsset(b *testing.B) {
	h := Handler(Options{})
	_, assets, err := load(dist)
	require.NoError(b, err)
	r := httptest.NewRequest(http.MethodGet, "/ui/"+firstOf(assets), nil)
	r.Header.Set("Accept-Encoding", "gzip")
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(discard{http.Header{}}, r)
	}
}

func BenchmarkIndex(b *testing.B) {
	h := Handler(Options{Version: "1"})
	r := httptest.NewRequest(http.MethodGet, "/ui/", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(discard{http.Header{}}, r)
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
