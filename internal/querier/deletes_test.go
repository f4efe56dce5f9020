package querier

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/signal"
)

// Deleted rows are hidden wherever they are: in heads, in blocks that ingesters keep, in the bucket.
func TestDeletedRowsAreHiddenEverywhere(t *testing.T) {
	var deleted atomic.Pointer[logs.Deletions]
	f := newFixture(t, func(o *Options) {
		o.Deleted = func(tenant string) *logs.Deletions {
			require.Equal(t, team, tenant)
			return deleted.Load()
		}
	})
	f.pushLogs(t, "fine", "secret one", "also fine", "secret two")
	seen := func() []string {
		lines, _ := f.lines(t, team)
		return lines
	}
	all := []string{"also fine", "fine", "secret one", "secret two"}
	check := func(where string) {
		t.Helper()
		deleted.Store(nil)
		require.Equal(t, all, seen(), where)
		d, err := logql.NewDeletion("1", `{app="test"} |= "secret"`, 0, t0.UnixNano()+2)
		require.NoError(t, err)
		one, err := logs.CompileDeletions([]logs.Deletion{d})
		require.NoError(t, err)
		deleted.Store(one)
		require.Equal(t, []string{"also fine", "fine", "secret two"}, seen(), "%s: in time", where)

		// A metric query counts what is left.
		j := logsJob(team)
		j.Logs.Kind, j.Logs.Expr, j.Logs.Start = logs.Instant, `sum(count_over_time({app="test"}[2h]))`, j.Logs.End
		r, err := f.Run(t.Context(), j)
		require.NoError(t, err)
		require.Len(t, r.Logs.Vector, 1)
		require.Equal(t, 3.0, r.Logs.Vector[0].V, where)
	}
	check("in the head")
	require.NoError(t, f.ing.Flush(t.Context()))
	check("in the ingester's block and the bucket")
	f.forget(t)
	check("in the bucket")
}

// A query over a corrupt block fails with its name, and tells the compactor, which will set it aside.
func TestCorruptBlocksAreReported(t *testing.T) {
	var told []string
	f := newFixture(t, func(o *Options) { o.Damaged = func(object string) { told = append(told, object) } })
	f.pushLogs(t, "one")
	require.NoError(t, f.ing.Flush(t.Context()))
	f.forget(t)
	m := f.blocksOf(t, signal.Logs)[0]
	damaged := error(&block.CorruptionError{Block: m.DataPath(), Section: "footer", Err: errors.New("flipped")})
	f.blocks.fail.Store(&damaged)
	_, err := f.Run(t.Context(), logsJob(team))
	require.ErrorContains(t, err, m.ULID.String())
	require.Equal(t, []string{m.DataPath()}, told)
}
