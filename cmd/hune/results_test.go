package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A dashboard that is shown again is answered from the cache of results, and yet shows logs that came late, and none
// that were deleted in between.
func TestResultsAreKept(t *testing.T) {
	p := start(t, t.TempDir(), quiet)
	day := time.Now().Add(-48 * time.Hour).Truncate(24 * time.Hour) // one that is over
	push := func(line string, minute int) {
		t.Helper()
		at := strconv.FormatInt(day.Add(time.Duration(minute)*time.Minute).UnixNano(), 10)
		code, text := p.post("/loki/api/v1/push", "application/json", lokiPush(map[string]string{"app": "x"}, [][2]string{{at, line}}), nil)
		require.Equal(t, http.StatusNoContent, code, text)
	}
	ask := func() (lines, found int) {
		t.Helper()
		q := url.Values{"query": {`sum(count_over_time({app="x"}[10m]))`}, "step": {"600"},
			"start": {fmt.Sprint(day.Unix())}, "end": {fmt.Sprint(day.Add(2 * time.Hour).Unix())}}
		code, text := p.get("/loki/api/v1/query_range", q, nil)
		require.Equal(t, http.StatusOK, code, text)
		var answer struct {
			Data struct {
				Result []struct{ Values [][2]any }
				Stats  struct {
					Cache struct{ Result struct{ EntriesFound int } }
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(text), &answer))
		for _, s := range answer.Data.Result {
			for _, v := range s.Values {
				n, err := strconv.Atoi(v[1].(string))
				require.NoError(t, err)
				lines += n
			}
		}
		return lines, answer.Data.Stats.Cache.Result.EntriesFound
	}
	want := func(lines, found int) {
		t.Helper()
		gotLines, gotFound := ask()
		require.Equal(t, []int{lines, found}, []int{gotLines, gotFound})
	}
	push("fine", 15)
	push("secret", 95)
	want(2, 0)
	want(2, 13)
	push("late", 75)
	want(3, 8)
	want(3, 13)
	code, text := p.requestDelete(http.MethodPost, url.Values{"query": {`{app="x"} |= "secret"`}, "start": {"0"}}, nil)
	require.Equal(t, http.StatusNoContent, code, text)
	want(2, 0)
	want(2, 13)
}
