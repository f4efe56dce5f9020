package alertmanager

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"strings"

	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/history"
)

var errStopped = fault.Errorf(fault.Unavailable, "the alertmanager is stopping")

// current returns the configuration in force.
func (i *instance) current() *configuration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.active
}

// acknowledged holds the answers to writes of silences back until they are on disk, and tells the history.
// Alerts are on disk before the API sees them taken.
func (i *instance) acknowledged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set := r.Method == http.MethodPost && r.URL.Path == "/api/v2/silences"
		expire := r.Method == http.MethodDelete && strings.HasPrefix(r.URL.Path, "/api/v2/silence/")
		if !set && !expire {
			next.ServeHTTP(w, r)
			return
		}
		answer := &held{header: w.Header(), status: http.StatusOK}
		next.ServeHTTP(answer, r)
		if answer.status/100 == 2 {
			if err := i.journal.flush(r.Context()); err != nil {
				i.logger.Error("a silence is not on disk", "err", err)
				text, _ := json.Marshal(err.Error())
				answer.body.Reset()
				answer.body.Write(text)
				answer.status = fault.Status(err)
			} else {
				i.recordSilence(r, set, answer.body.Bytes())
			}
		}
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.body.Bytes())
	})
}

// recordSilence tells the history of a silence that was set or expired.
func (i *instance) recordSilence(r *http.Request, set bool, body []byte) {
	id := path.Base(r.URL.Path)
	e := history.Event{Event: history.SilenceExpired}
	if set {
		var answer struct {
			ID string `json:"silenceID"`
		}
		if json.Unmarshal(body, &answer) != nil {
			return
		}
		id, e.Event = answer.ID, history.SilenceSet
	}
	s, err := i.silences.QueryOne(r.Context(), silence.QIDs(id))
	if errors.Is(err, silence.ErrNotFound) {
		return
	}
	e.Silence = id
	if err == nil {
		e.Author, e.Comment, e.Matchers = s.CreatedBy, s.Comment, matchersText(s)
		e.EndsAt = s.EndsAt.AsTime().UTC().Format("2006-01-02T15:04:05Z")
	}
	i.history.Record(i.tenant, e)
}

// matchersText is a silence's matchers as Alertmanager prints them.
func matchersText(s *silencepb.Silence) string {
	var sets []string
	for _, set := range s.MatcherSets {
		var ms []string
		for _, m := range set.Matchers {
			op := map[silencepb.Matcher_Type]string{silencepb.Matcher_EQUAL: "=", silencepb.Matcher_REGEXP: "=~",
				silencepb.Matcher_NOT_EQUAL: "!=", silencepb.Matcher_NOT_REGEXP: "!~"}[m.Type]
			value, _ := json.Marshal(m.Pattern)
			ms = append(ms, m.Name+op+string(value))
		}
		sets = append(sets, "{"+strings.Join(ms, ", ")+"}")
	}
	return strings.Join(sets, " or ")
}

// held keeps an answer.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *held) Header() http.Header         { return h.header }
func (h *held) WriteHeader(status int)      { h.status = status }
func (h *held) Write(p []byte) (int, error) { return h.body.Write(p) }
