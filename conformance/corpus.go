package conformance

import (
	"bufio"
	"compress/gzip"
	"embed"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
)

// Target answers one request of a corpus. The request has a path and a query, no host.
type Target func(r *http.Request) (status int, body []byte, err error)

// Handler makes a target of a handler. The handler must set the tenant itself.
func Handler(h http.Handler) Target {
	return func(r *http.Request) (int, []byte, error) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.Bytes(), nil
	}
}

// Server makes a target of a running server.
func Server(base string) Target {
	return func(r *http.Request) (int, []byte, error) {
		u, err := url.Parse(strings.TrimRight(base, "/") + r.URL.String())
		if err != nil {
			return 0, nil, err
		}
		r.URL, r.RequestURI = u, ""
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, nil, err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return res.StatusCode, b, err
	}
}

// lines yields the lines of a compressed file, each valid until the next.
func lines(files embed.FS, name string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f, err := files.Open(name)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			yield(nil, err)
			return
		}
		scanner := bufio.NewScanner(z)
		scanner.Buffer(nil, 64<<20)
		for scanner.Scan() {
			if !yield(scanner.Bytes(), nil) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			yield(nil, err)
		}
	}
}
