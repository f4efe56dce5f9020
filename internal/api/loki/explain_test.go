package loki

import (
	"context"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
)

// planner answers explain with a plan.
type planner struct{ asked *logs.Query }

func (p *planner) Run(_ context.Context, j job.Job) (job.Result, error) {
	p.asked = j.Logs
	return job.Result{Logs: &logs.Result{Plan: &logs.Plan{Text: "limit 100\n└ scan {app=\"<a>\"}\n",
		Tree:     logs.PlanNode{Op: "limit", Text: "100", Inputs: []logs.PlanNode{{Op: "scan", Args: map[string]string{"columns": "[*]"}}}},
		Estimate: logs.PlanEstimate{Blocks: 2, Pages: 9, Streams: 3, Lines: 1000, Bytes: 50_000, StoredBytes: 4000, Jobs: 1, Seconds: 0.25}}}}, nil
}

func TestExplain(t *testing.T) {
	p := &planner{}
	h := New(Options{Runner: p})
	get := func(path string, more ...string) (int, string) {
		v := url.Values{"query": {`{app="<a>"}`}, "start": {"1"}, "end": {"2"}}
		for i := 0; i+1 < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		w := send(h, httptest.NewRequest("GET", "/loki/api/v1/"+path+"?"+v.Encode(), nil))
		return w.Code, w.Body.String()
	}
	for _, path := range []string{"query_range", "query"} {
		status, body := get(path, "explain", "true")
		require.Equal(t, 200, status, body)
		require.True(t, p.asked.Explain)
		require.Equal(t, `{"status":"success","data":{"plan":"limit 100\n└ scan {app=\"<a>\"}\n",`+
			`"tree":{"op":"limit","text":"100","inputs":[{"op":"scan","args":{"columns":"[*]"}}]},`+
			`"estimate":{"blocks":2,"pages":9,"streams":3,"lines":1000,"bytes":50000,"storedBytes":4000,"jobs":1,"seconds":0.25}}}`+"\n", body)
	}
	_, _ = get("query_range", "explain", "false")
	require.False(t, p.asked.Explain)
	status, body := get("query_range", "explain", "perhaps")
	require.Equal(t, 400, status)
	require.Contains(t, body, "explain")
	status, body = get("query_range", "explain", "true", "query", "{")
	require.Equal(t, 400, status)
	require.Contains(t, body, "parse error")
}
