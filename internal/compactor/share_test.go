package compactor

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/signal"
)

// owned lets a test say what a compactor owns.
func (f *fixture) owned(by func(tenant string, s signal.Signal) bool) { f.opts.Owns = by }

// One works on what it owns, from the round after it got it.
func TestCompactorsShareTenants(t *testing.T) {
	f := newFixture(t, keep(0, day, day))
	theirs := f.add(t, "theirs", signal.Logs, 3*day)
	f.add(t, "ours", signal.Logs, 3*day)
	traces := f.add(t, "ours", signal.Traces, 3*day)
	var all atomic.Bool
	f.owned(func(tenant string, s signal.Signal) bool { return all.Load() || tenant == "ours" && s == signal.Logs })
	require.NoError(t, f.Round(t.Context()))
	require.Len(t, f.has(t, "ours", signal.Logs), 1, "who had it before may still be at it")
	require.NoError(t, f.Round(t.Context()))
	require.Empty(t, f.has(t, "ours", signal.Logs))
	require.Equal(t, theirs, f.has(t, "theirs", signal.Logs)[0])
	require.Equal(t, traces, f.has(t, "ours", signal.Traces)[0])
	require.Equal(t, 1, f.deletedBlocks(signal.Logs))

	// What is damaged and another's is no longer remembered.
	f.Suspect("theirs/logs/" + theirs.String() + "/data")
	require.NoError(t, f.Round(t.Context()))
	require.Empty(t, f.suspects)
	require.Contains(t, f.log.String(), "another compactor has to find it")

	all.Store(true)
	require.NoError(t, f.Round(t.Context()))
	require.Len(t, f.has(t, "theirs", signal.Logs), 1)
	require.NoError(t, f.Round(t.Context()))
	require.Empty(t, f.has(t, "theirs", signal.Logs))
	require.Empty(t, f.has(t, "ours", signal.Traces))

	// Lost and found again within two rounds counts as new.
	all.Store(false)
	require.NoError(t, f.Round(t.Context()))
	f.add(t, "theirs", signal.Logs, 3*day)
	all.Store(true)
	require.NoError(t, f.Round(t.Context()))
	require.Len(t, f.has(t, "theirs", signal.Logs), 1)
}

// A job is stopped when another gets the tenant, and done by that one.
func TestCompactionStopsWhenLost(t *testing.T) {
	f := newFixture(t, keep(0, 0, 0))
	var inputs int
	for i := range 8 {
		f.add(t, "a", signal.Logs, time.Duration(i+2)*time.Hour)
		inputs++
	}
	var lost atomic.Bool
	f.owned(func(string, signal.Signal) bool { return !lost.Load() })
	require.NoError(t, f.Round(t.Context()))
	f.bkt.failGet = func(name string) bool {
		if !lost.Load() && strings.HasSuffix(name, block.DataFile) {
			lost.Store(true)
			f.OwnersChanged()
			return true // what the bucket's client makes of a cancelled context
		}
		return false
	}
	require.NoError(t, f.Round(t.Context()), "it is no fault")
	require.True(t, lost.Load(), "it has begun")
	require.Len(t, f.has(t, "a", signal.Logs), inputs)
	require.Contains(t, f.log.String(), "another compactor has the tenant now")

	g := newFixture(t, keep(0, 0, 0))
	g.bkt.Bucket = f.bkt.Bucket
	g.owned(func(string, signal.Signal) bool { return true })
	require.NoError(t, g.Round(t.Context()))
	require.NoError(t, g.Round(t.Context()))
	require.Greater(t, len(g.has(t, "a", signal.Logs)), inputs, "those that it was made of go after a delay")
}
