package logql

import (
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/logs"
)

// TestExplain: the plan and its cost come from indexes that are in memory: the block can't be read any more.
func TestExplain(t *testing.T) {
	var rows []row
	for i := range 6000 {
		rows = append(rows, row{labels: labels.FromStrings("app", []string{"a", "b"}[i%2], "pod", fmt.Sprint(i%6)), ts: int64(i) * 1e9,
			line: fmt.Sprintf("n=%05d", i)})
	}
	var broken error
	src := sourceOf(failingBlock(t, t.TempDir(), fill(logs.HeadOptions{Block: logs.BlockOptions{PageRows: 500}}, rows), &broken))
	broken = errors.New("the bucket is down")
	e := NewEngine(Options{})
	q := &logs.Query{Kind: logs.Range, Expr: `sum by (pod) (count_over_time({app="a"} | logfmt | n > 7 [1m]))`, Start: 60e9, End: 6000e9, Step: 60e9, Explain: true}
	res, err := e.Run(t.Context(), "t", q, src)
	require.NoError(t, err)
	require.Equal(t, `aggregate sum by (pod)
└ count_over_time 1m grouped=by (pod)
  └ pipeline | logfmt | n>7
    └ scan {app="a"} columns=[n,pod]
`, res.Plan.Text)
	est := res.Plan.Estimate
	require.EqualValues(t, 1, est.Blocks)
	require.EqualValues(t, 3, est.Streams)
	require.Positive(t, est.Pages)
	require.EqualValues(t, 1, est.Jobs)
	require.InDelta(t, 3000, est.Lines, 10)
	require.InDelta(t, 3000*7, est.Bytes, 100)
	require.Positive(t, est.StoredBytes)
	require.Positive(t, est.Seconds)
	require.Nil(t, res.Matrix)
	require.Zero(t, res.Stats.LinesProcessed, "nothing was run")
	require.Zero(t, res.Stats.BytesRead)

	cut, err := e.Coordinate(t.Context(), "t", q, Split{JobBytes: 6000, MaxShards: 4, MaxJobs: 4}, asking(e, src))
	require.NoError(t, err)
	require.Contains(t, cut.Plan.Text, "└ merge jobs=2 pieces=2 shards=1")
	require.EqualValues(t, 2, cut.Plan.Estimate.Jobs)
	require.Equal(t, "aggregate", cut.Plan.Tree.Op)
	require.Equal(t, "count_over_time", cut.Plan.Tree.Inputs[0].Op)
	require.Equal(t, "by (pod)", cut.Plan.Tree.Inputs[0].Args["grouped"])

	q.Explain = false
	_, err = e.Run(t.Context(), "t", q, src)
	require.ErrorIs(t, err, broken)

	q.Explain, q.Expr = true, `{app="a"} | distinct n`
	res, err = e.Coordinate(t.Context(), "t", q, Split{JobBytes: 1, MaxShards: 4, MaxJobs: 4}, asking(e, src))
	require.NoError(t, err)
	require.EqualValues(t, 1, res.Plan.Estimate.Jobs)
	q.Expr = `{app="a"`
	_, err = e.Coordinate(t.Context(), "t", q, Split{JobBytes: 1, MaxShards: 4, MaxJobs: 4}, asking(e, src))
	require.ErrorContains(t, err, "parse error")
	q.Kind, q.Expr = logs.Instant, `{app="a"}`
	_, err = e.Run(t.Context(), "t", q, src)
	require.ErrorContains(t, err, "log queries are not supported as an instant query type")
}
