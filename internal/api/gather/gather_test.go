package gather_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/api/gather"
	"github.com/hune-io/hune/internal/tenant"
)

// member answers as one process: with what is listed for the tenant and path.
type member struct {
	t       *testing.T
	answers map[string]string // by path
	asked   []string
}

func (m *member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.asked = append(m.asked, r.URL.RequestURI())
	if r.URL.Query().Get("type") == "wrong" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"status":"error","errorType":"bad_data","error":"not supported value"}`))
		return
	}
	_, _ = w.Write([]byte(m.answers[r.URL.Path]))
}

func group(file, name, evaluated string) string {
	return fmt.Sprintf(`{"name":%q,"file":%q,"rules":[{"name":"a < b"}],"lastEvaluation":%q}`, name, file, evaluated)
}

func answer(key string, items ...string) string {
	return fmt.Sprintf(`{"status":"success","data":{%q:[%s]}}`, key, strings.Join(items, ","))
}

const early, late = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"

// three returns the handler of the first of three members, of which the third is dead, and the second.
func three(t *testing.T, here, there map[string]string) (http.Handler, *member, *member, string) {
	own, other := &member{t: t, answers: here}, &member{t: t, answers: there}
	second := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "team-a", r.Header.Get(tenant.Header))
		require.NotEmpty(t, r.Header.Get("Hune-Part"), "a member that is asked for its part asks nobody")
		other.ServeHTTP(w, r)
	}))
	t.Cleanup(second.Close)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	gone := strings.TrimPrefix(dead.URL, "http://")
	others := func() []string { return []string{strings.TrimPrefix(second.URL, "http://"), gone} }
	g := gather.New(gather.Options{Rulers: others, Scrapers: others})
	return g.Wrap(own), own, other, gone
}

func get(t *testing.T, h http.Handler, uri string, header ...string) (int, string) {
	req := httptest.NewRequest(http.MethodGet, uri, nil)
	req.Header.Set("Accept-Encoding", "gzip")
	for _, name := range header {
		req.Header.Set(name, "1")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req.WithContext(tenant.NewContext(req.Context(), "team-a")))
	return w.Code, w.Body.String()
}

func names(t *testing.T, body string) (out []string, token string) {
	var a struct {
		Data struct {
			Groups         []struct{ File, Name, LastEvaluation string }
			GroupNextToken string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &a), body)
	for _, g := range a.Data.Groups {
		out = append(out, g.File+"/"+g.Name+" "+g.LastEvaluation)
	}
	return out, a.Data.GroupNextToken
}

func TestGroupsOfAll(t *testing.T) {
	h, own, other, gone := three(t,
		map[string]string{"/api/v1/rules": answer("groups", group("f2", "x", early), group("f1", "moved", early))},
		map[string]string{"/api/v1/rules": answer("groups", group("f1", "a", late), group("f1", "moved", late))})
	status, body := get(t, h, "/api/v1/rules?type=alert")
	require.Equal(t, http.StatusOK, status)
	got, _ := names(t, body)
	require.Equal(t, []string{"f1/a " + late, "f1/moved " + late, "f2/x " + early}, got)
	require.Contains(t, body, `a < b`, "as they are")
	var w struct{ Warnings []string }
	require.NoError(t, json.Unmarshal([]byte(body), &w))
	require.Len(t, w.Warnings, 1)
	require.Contains(t, w.Warnings[0], gone, "who failed is named")
	require.Equal(t, []string{"/api/v1/rules?type=alert"}, own.asked)
	require.Equal(t, own.asked, other.asked)

	// A part is what is here.
	_, body = get(t, h, "/api/v1/rules", "Hune-Part")
	got, _ = names(t, body)
	require.Len(t, got, 2)
	// A wrong question is answered by who was asked.
	status, body = get(t, h, "/api/v1/rules?type=wrong")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "not supported value")
}

func TestPages(t *testing.T) {
	h, own, _, _ := three(t,
		map[string]string{"/api/v1/rules": answer("groups", group("f", "b", early), group("f", "d", early))},
		map[string]string{"/api/v1/rules": answer("groups", group("f", "a", early), group("f", "c", early), group("f", "e", early))})
	var all []string
	token := ""
	for range 3 {
		_, body := get(t, h, "/api/v1/rules?group_limit=2&group_next_token="+token)
		var some []string
		some, token = names(t, body)
		all = append(all, some...)
	}
	require.Empty(t, token)
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		require.Equal(t, "f/"+name+" "+early, all[i])
	}
	require.NotContains(t, strings.Join(own.asked, " "), "group_limit")
	status, body := get(t, h, "/api/v1/rules?group_limit=2&group_next_token=gone")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "were rule groups changed?")
	get(t, h, "/api/v1/rules?group_limit=no")
	require.Equal(t, "/api/v1/rules?group_limit=no", own.asked[len(own.asked)-1], "who is asked says what is wrong")
}

func TestAlertsOfAll(t *testing.T) {
	alert := func(name, state string) string {
		return fmt.Sprintf(`{"labels":{"alertname":%q},"state":%q}`, name, state)
	}
	for _, path := range []string{"/api/v1/alerts", "/prometheus/api/v1/alerts"} {
		h, _, _, _ := three(t, map[string]string{path: answer("alerts", alert("B", "firing"))}, map[string]string{path: answer("alerts", alert("A", "pending"), alert("B", "pending"))})
		_, body := get(t, h, path)
		var a struct {
			Data struct {
				Alerts []struct {
					State  string
					Labels map[string]string
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(body), &a))
		require.Len(t, a.Data.Alerts, 2)
		require.Equal(t, "A", a.Data.Alerts[0].Labels["alertname"])
		require.Equal(t, "firing", a.Data.Alerts[1].State, "what is here comes first")
	}
}

// A member that answers with anything else is one that failed.
func TestBadParts(t *testing.T) {
	for _, bad := range []string{"", "<html>", `{"status":"success"}`, `{"status":"success","data":{"groups":[7]}}`, `{"status":"success","data":{"groups":[]},"warnings":7}`} {
		h, _, _, _ := three(t, map[string]string{"/api/v1/rules": answer("groups", group("f", "a", early))}, map[string]string{"/api/v1/rules": bad})
		status, body := get(t, h, "/api/v1/rules")
		require.Equal(t, http.StatusOK, status)
		got, _ := names(t, body)
		require.Len(t, got, 1)
		require.Equal(t, 2, strings.Count(body, "did not answer"), "%q: %s", bad, body)
	}
}

// Other paths, and all of them where there is nobody else, are not touched.
func TestNotGathered(t *testing.T) {
	h, own, other, _ := three(t, map[string]string{"/api/v1/query": "as it is"}, nil)
	_, body := get(t, h, "/api/v1/query")
	require.Equal(t, "as it is", body)
	require.Empty(t, other.asked)
	alone := gather.New(gather.Options{Rulers: func() []string { return nil }, Scrapers: func() []string { return nil }}).Wrap(own)
	own.answers["/api/v1/rules"] = "not even JSON"
	_, body = get(t, alone, "/api/v1/rules")
	require.Equal(t, "not even JSON", body)
}
