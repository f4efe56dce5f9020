package tempo

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/traces/traceql"
)

func TestExplain(t *testing.T) {
	r, h := newServer(t)
	w := get(h, "/api/search?q=%7B%20status%20%3D%20error%20%7D&limit=7&explain=true")
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.JSONEq(t, `{"plan":"search limit=7 spans=3 build=shown show=[status]\n└ match { status = error }\n  └ scan columns=[]\n",
		"estimate":{"blocks":0,"rowGroups":0,"traces":1,"spans":1,"recentSpans":1}}`, w.Body.String())

	w = get(h, "/api/metrics/query_range?q=%7B%7D%20%7C%20rate()&start=1700000000&end=1700000060&step=10s&explain=1")
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.JSONEq(t, `{"plan":"rate() from=columns step=10s pieces=apart\n└ match { }\n  └ scan columns=[]\n",
		"estimate":{"blocks":0,"rowGroups":0,"traces":1,"spans":1,"recentSpans":1}}`, w.Body.String())

	r.split = traceql.Split{Pieces: 2, MaxJobs: 4}
	w = get(h, "/api/search?limit=7&start=1699999990&end=1700000010&explain=true")
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.JSONEq(t, `{"plan":"merge jobs=2 by=time first=1\n└ search limit=7 spans=3 build=shown show=[]\n  └ match { }\n    └ scan columns=[]\n",
		"estimate":{"blocks":0,"rowGroups":0,"traces":1,"spans":1,"recentSpans":1},
		"jobs":[{"start":"1700000000000750001","end":"1700000010000000000"},{"start":"1699999990000000000","end":"1700000000000750000"}]}`, w.Body.String())
	r.split = traceql.Split{}

	require.Equal(t, get(h, "/api/search?limit=7").Body.String(), get(h, "/api/search?limit=7&explain=false").Body.String())
	w = get(h, "/api/search?explain=maybe")
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, w.Body.String(), `invalid explain: "maybe" is neither true nor false`)
	require.Equal(t, http.StatusBadRequest, get(h, "/api/search?q=%7B&explain=true").Code)
}
