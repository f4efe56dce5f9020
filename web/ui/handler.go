package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Options say how the page is served and what it is told about the program.
type Options struct {
	// BasePath is where the handler is mounted: a path that starts and ends with a slash. Default
	// /ui/. The page finds the APIs one level above it, relative to its own address, so a proxy may
	// put any prefix in front without a setting here.
	BasePath string
	// Version is the program's, shown in the page.
	Version string
	// Tenant is whose data a request without X-Scope-OrgID reads; it fills the tenant box at first.
	Tenant string
	// Multitenancy shows the tenant box; its value is sent as X-Scope-OrgID.
	Multitenancy bool
	// OTLPGRPC and OTLPHTTP are the addresses (host:port) that the page names where it explains how
	// to send data. Empty: not named.
	OTLPGRPC string
	OTLPHTTP string
}

// boot is the JSON block in index.html: what the page must know before its first request.
type boot struct {
	Version  string   `json:"version"`
	Tenant   string   `json:"tenant"`
	Features []string `json:"features"`
	OTLPGRPC string   `json:"otlpGrpc,omitempty"`
	OTLPHTTP string   `json:"otlpHttp,omitempty"`
}

type handler struct {
	base   string
	boot   []byte
	index  []byte
	assets map[string]asset
}

// Handler serves the page below o.BasePath. It also answers for / (a browser is sent to the page,
// anything else gets one line of text) and for BasePath without its slash, so mount it at /{$},
// /ui and /ui/. Requests are GET or HEAD; paths without a dot that name no file get index.html,
// since the page has its own router.
//
// It panics if the embedded files are unusable, which the package's tests rule out, or if BasePath
// does not start and end with a slash.
func Handler(o Options) http.Handler {
	if o.BasePath == "" {
		o.BasePath = "/ui/"
	}
	if !strings.HasPrefix(o.BasePath, "/") || !strings.HasSuffix(o.BasePath, "/") || o.BasePath == "/" {
		panic(fmt.Sprintf("ui: base path %q: want a path such as /ui/", o.BasePath))
	}
	index, assets, err := load(dist)
	if err != nil {
		panic("ui: " + err.Error())
	}
	b := boot{Version: o.Version, Tenant: o.Tenant, Features: []string{}, OTLPGRPC: o.OTLPGRPC, OTLPHTTP: o.OTLPHTTP}
	if o.Multitenancy {
		b.Features = append(b.Features, "multitenancy")
	}
	// json.Marshal escapes <, > and &, so the block can't end its script element early.
	block, err := json.Marshal(b)
	if err != nil {
		panic("ui: encode boot block: " + err.Error())
	}
	return &handler{base: o.BasePath, boot: block, index: index, assets: assets}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the page answers GET and HEAD only", http.StatusMethodNotAllowed)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, h.base)
	switch {
	case !ok:
		h.serveOutside(w, r)
	case strings.HasPrefix(rest, "assets/"):
		h.serveAsset(w, r, rest)
	case path.Ext(rest) != "":
		http.NotFound(w, r)
	default:
		h.serveIndex(w, r, strings.Count(rest, "/"))
	}
}

// serveOutside answers for / and for the base path without its slash. The redirects are relative:
// a proxy's prefix stays in front.
func (h *handler) serveOutside(w http.ResponseWriter, r *http.Request) {
	p := r.URL.Path
	target := ""
	switch {
	case p+"/" == h.base:
		target = path.Base(p) + "/"
	case p == "/" && wantsHTML(r):
		target = strings.TrimPrefix(h.base, "/")
	case p == "/":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Vary", "Accept")
		_, _ = fmt.Fprintf(w, "Hune answers the Prometheus, Loki and Tempo APIs here; its page is at %s\n", h.base)
		return
	default:
		http.NotFound(w, r)
		return
	}
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusFound)
}

// wantsHTML says that the client prefers a page to text: browsers list text/html, tools send */*.
func wantsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

func (h *handler) serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	a, ok := h.assets[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	hd := w.Header()
	hd.Set("Content-Type", a.contentType)
	hd.Set("Cache-Control", "public, max-age=31536000, immutable")
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("Vary", "Accept-Encoding")
	hd.Set("ETag", a.etag)
	if etagMatches(r.Header.Get("If-None-Match"), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		hd.Set("Content-Encoding", "gzip")
		hd.Set("Content-Length", strconv.Itoa(len(a.gz)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(a.gz)
		}
		return
	}
	if r.Method == http.MethodHead {
		return
	}
	zr, err := gzip.NewReader(bytes.NewReader(a.gz))
	if err != nil {
		http.Error(w, "embedded asset is unreadable", http.StatusInternalServerError)
		return
	}
	_, _ = io.Copy(w, zr) // an error is the client's going away: the tests read every asset
}

// serveIndex sends index.html with a <base> that leads back to BasePath from depth levels below
// it, the boot block, and a fresh nonce for the inline blocks.
func (h *handler) serveIndex(w http.ResponseWriter, r *http.Request, depth int) {
	base := "./" + strings.Repeat("../", depth)
	page := bytes.Replace(h.index, []byte("<!--hune:base-->"), []byte(`<base href="`+base+`" />`), 1)

	hd := w.Header()
	hd.Set("Content-Type", "text/html; charset=utf-8")
	hd.Set("Cache-Control", "no-cache")
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("Referrer-Policy", "same-origin")
	// The tag leaves the nonce out. A 304 carries no policy either: the browser keeps the stored
	// page together with the policy that names its nonce.
	etag := etagOf(append(append([]byte(nil), page...), h.boot...))
	hd.Set("ETag", etag)
	if etagMatches(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}

	nonce := newNonce()
	block := `<script type="application/json" id="hune-boot" nonce="` + nonce + `">` + string(h.boot) + `</script>`
	page = bytes.Replace(page, []byte("<!--hune:boot-->"), []byte(block), 1)
	page = bytes.ReplaceAll(page, []byte(`nonce="hune-nonce"`), []byte(`nonce="`+nonce+`"`))
	hd.Set("Content-Security-Policy", policy(nonce))
	hd.Set("Content-Length", strconv.Itoa(len(page)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(page)
	}
}

// policy allows what the origin serves, the inline blocks with the nonce, and the style element
// that the query editor makes with it.
func policy(nonce string) string {
	return "default-src 'self'; script-src 'self' 'nonce-" + nonce + "'; style-src 'self' 'nonce-" + nonce +
		"'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
}

func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never returns an error: it ends the program instead
	return base64.RawStdEncoding.EncodeToString(b[:])
}

// etagMatches reports whether an If-None-Match header names etag.
func etagMatches(header, etag string) bool {
	for _, part := range strings.Split(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == etag || part == "*" {
			return true
		}
	}
	return false
}

// acceptsGzip reports whether an Accept-Encoding header allows gzip.
func acceptsGzip(header string) bool {
	star := false
	for _, part := range strings.Split(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			parsed, err := strconv.ParseFloat(v, 64)
			if err != nil {
				continue
			}
			q = parsed
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip":
			return q > 0
		case "*":
			star = q > 0
		}
	}
	return star
}
