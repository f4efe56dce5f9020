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
	"testing"
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

// Ratchet is what a pending.txt lists: IDs of queries whose answers differ, with the reason. What it
// lists must fail, everything else must pass.
type Ratchet map[string]string

func pending(files embed.FS, name string) (Ratchet, error) {
	raw, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	out := Ratchet{}
	for line := range strings.SplitSeq(string(raw), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if id, reason, _ := strings.Cut(strings.TrimSpace(line), " "); id != "" {
			out[id] = strings.TrimSpace(reason)
		}
	}
	return out, nil
}

// check judges one answer, which differs by diff, and takes its query off the list.
func (l Ratchet) check(t testing.TB, id, query, diff string) {
	t.Helper()
	reason, listed := l[id]
	delete(l, id)
	switch {
	case diff != "" && !listed:
		t.Errorf("%s %s\n    %s", id, query, diff)
	case diff == "" && listed:
		t.Errorf("%s passes: take it out of pending.txt (%s)", id, reason)
	}
}

// rest complains of what is left on the list when every answer was judged.
func (l Ratchet) rest(t testing.TB) {
	t.Helper()
	for id := range l {
		t.Errorf("pending.txt lists %s, which is no query", id)
	}
}
