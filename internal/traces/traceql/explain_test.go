package traceql

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/traces"
)

func TestExplain(t *testing.T) {
	const second = uint64(1e9)
	for _, c := range []struct {
		name string
		q    traces.Query
		want string
	}{
		{"all", traces.Query{Kind: traces.Search}, `
search limit=20 spans=3 build=shown show=[]
└ match { }
  └ scan columns=[]
`},
		{"structural", traces.Query{Kind: traces.Search, Limit: 5, SpansPerSpanSet: 1, Expr: `{ resource.service.name = "web" } >> { span.db.system = "postgresql" && status = error }`}, `
search limit=5 spans=1 build=shown show=[service.name, db.system, status]
└ match { resource.service.name = ` + "`web`" + ` } >> { (span.db.system = ` + "`postgresql`" + `) && (status = error) }
  └ scan columns=[span.db.system]
`},
		{"aggregate", traces.Query{Kind: traces.Search, Expr: `{ event:name = "e" && event.a = 1 && statusMessage != "" } | count() > 1`}, `
search limit=20 spans=3 build=traces show=[event:name, a, statusMessage]
└ match { ((event:name = ` + "`e`" + `) && (event.a = 1)) && (statusMessage != ` + "``" + `) } | count() > 1
  └ scan columns=[event.a, messages, events]
`},
		{"one trace", traces.Query{Kind: traces.Search, Expr: `{ trace:id = "1f" }`}, `
search limit=20 spans=3 build=shown show=[]
└ match { trace:id = ` + "`1f`" + ` }
  └ trace 1f
`},
		{"rate", traces.Query{Kind: traces.MetricsRange, Start: 100 * second, End: 200 * second, Step: 15 * second, Expr: `{ span.a = 1 } | rate() by (resource.service.name) | topk(3) > 1`}, `
> 1
└ topk(3)
  └ rate() by (resource.service.name) from=columns step=15s pieces=apart
    └ match { span.a = 1 }
      └ scan columns=[span.a]
`},
		{"compare", traces.Query{Kind: traces.MetricsInstant, Start: 100 * second, End: 200 * second, Expr: `{ } | compare({ status = error })`}, `
compare({ status = error }) from=spans
└ match { }
  └ scan columns=*
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.q.Explain = true
			res, err := NewEngine(Options{}).Run(context.Background(), "t", &c.q, &memory{})
			require.NoError(t, err)
			require.Equal(t, strings.TrimPrefix(c.want, "\n"), res.Plan.Text)
			require.Zero(t, res.Plan.Estimate, "this source doesn't know")
		})
	}
	for expr, fault := range map[string]string{`{ `: "line 1, col 3", `{ } | rate(`: "line 1, col 12", `{ }`: "metrics"} {
		_, err := NewEngine(Options{}).Run(context.Background(), "t", &traces.Query{Kind: traces.MetricsRange, Expr: expr, End: second, Step: second, Explain: true}, &memory{})
		require.ErrorContains(t, err, fault, expr)
	}
	_, err := NewEngine(Options{}).Run(context.Background(), "t", &traces.Query{Kind: traces.Tags, Explain: true}, &memory{})
	require.Error(t, err)
}
