package complete

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestComplete(t *testing.T) {
	h := http.NewServeMux()
	Register(h)
	ask := func(method, params string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, "/api/hune/v1/complete?"+params, nil)
		if method == http.MethodPost {
			r = httptest.NewRequest(method, "/api/hune/v1/complete", strings.NewReader(params))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	query := func(q string) string { return "query=" + url.QueryEscape(q) }
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		status, answer := ask(method, "signal=logs&"+query(`{app="é", na`))
		require.Equal(t, 200, status)
		require.JSONEq(t, `{"status":"success","data":{
			"faults":[{"message":"syntax error: unexpected $end, expecting = or =~ or !~ or !=","from":13,"to":13,"line":1,"column":13}],
			"wants":[{"kind":"stream_label"}],"prefix":"na","from":11,"to":13,"selector":"{app=\"é\"}"}}`, answer)

		status, answer = ask(method, "cursor=10&"+query(`{app="a"} | jsn`))
		require.Equal(t, 200, status)
		require.Contains(t, answer, `"hint":"did you mean json?"`)
		require.Contains(t, answer, `{"kind":"word","text":"|"}`)

		status, answer = ask(method, query(`{app="a"}`))
		require.Equal(t, 200, status)
		require.Contains(t, answer, `"faults":[]`)
	}
	for q, want := range map[string]string{
		`{ span.ht`:                   `{"faults":[{"message":"syntax error: unexpected $end","from":9,"to":9,"line":1,"column":10}],"wants":[{"kind":"attribute","label":"span"}],"prefix":"ht","from":7,"to":9}`,
		"{ } |\n cuont() > 2":         `"line":2,"column":2`,
		`{ resource.service.name = "`: `{"kind":"value","label":"resource.service.name"}`,
		`{ status = `:                 `{"kind":"value","text":"error"}`,
	} {
		status, answer := ask(http.MethodGet, "signal=traces&"+query(q))
		require.Equal(t, 200, status)
		require.Contains(t, answer, want)
	}
	for params, want := range map[string]struct {
		status int
		text   string
	}{
		"query=x&cursor=2":                      {400, `cursor \"2\" is no byte offset of a character of the query`},
		"query=x&cursor=-1":                     {400, `cursor \"-1\" is no byte offset of a character of the query`},
		"query=x&cursor=one":                    {400, `cursor \"one\" is no byte offset of a character of the query`},
		query("é") + "&cursor=1":                {400, `cursor \"1\" is no byte offset of a character of the query`},
		"query=x&signal=logz":                   {400, `signal \"logz\" is not logs or traces`},
		"query=x&signal=metrics":                {400, `signal \"metrics\" is not logs or traces`},
		"query=" + strings.Repeat("(", 200_000): {200, ""},
	} {
		status, answer := ask(http.MethodPost, params)
		require.Equal(t, want.status, status, answer)
		require.Contains(t, answer, want.text)
	}
}
