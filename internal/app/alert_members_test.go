package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/ruler"
)

type senderFunc func() error

func (f senderFunc) SendAlerts(context.Context, string, []ruler.Alert) error { return f() }

// All members get an alert; what counts is that the one here has it.
func TestEveryMemberGetsAlerts(t *testing.T) {
	var got []string
	member := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		got = append(got, r.URL.Path+" "+r.Header.Get("X-Scope-OrgID")+" "+string(body))
	}))
	defer member.Close()
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "too many alerts", http.StatusBadRequest) }))
	defer refuses.Close()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	var log bytes.Buffer
	var fail error
	s := everyMember{here: senderFunc(func() error { return fail }), logger: slog.New(slog.NewTextHandler(&log, nil)), others: func() (out []string) {
		for _, srv := range []*httptest.Server{dead, refuses, member} {
			out = append(out, strings.TrimPrefix(srv.URL, "http://"))
		}
		return out
	}}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	alerts := []ruler.Alert{{Labels: labels.FromStrings("alertname", "A"), Annotations: labels.FromStrings("summary", "s"), StartsAt: at, EndsAt: at.Add(time.Hour), GeneratorURL: "http://x"}}
	require.NoError(t, s.SendAlerts(t.Context(), "team-a", alerts))
	require.Equal(t, []string{`/api/v2/alerts team-a [{"labels":{"alertname":"A"},"annotations":{"summary":"s"},"startsAt":"2026-01-01T00:00:00Z","endsAt":"2026-01-01T01:00:00Z","generatorURL":"http://x"}]`}, got)
	require.Equal(t, 2, strings.Count(log.String(), "alerts were not sent"), log.String())
	require.Contains(t, log.String(), "too many alerts")
	fail = errors.New("disk full")
	require.ErrorIs(t, s.SendAlerts(t.Context(), "team-a", alerts), fail)
}
