package tempo

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/traces"
)

// What a query cost is told as Tempo tells it: 64-bit numbers are text, zeros are left out.
func TestSearchMetrics(t *testing.T) {
	o := open(nil)
	appendSearchMetrics(&o, &traces.Inspected{Traces: 2, Spans: 30, Blocks: 4, Bytes: 5000, RangeReads: 6})
	require.JSONEq(t, `{"metrics":{"inspectedTraces":2,"inspectedBytes":"5000","totalBlocks":4,"completedJobs":1,"totalJobs":1,"inspectedSpans":"30"}}`,
		string(o.close()))
	o = open(nil)
	appendSearchMetrics(&o, &traces.Inspected{})
	require.JSONEq(t, `{"metrics":{"completedJobs":1,"totalJobs":1}}`, string(o.close()))
	o = open(nil)
	appendSearchMetrics(&o, &traces.Inspected{Jobs: 3, TotalJobs: 10})
	require.JSONEq(t, `{"metrics":{"completedJobs":3,"totalJobs":10}}`, string(o.close()))
}
