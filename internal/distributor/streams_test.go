package distributor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
)

func TestStreamLimit(t *testing.T) {
	f := newFixture(t, func(l *limits.Limits) { l.Logs.MaxStreamsPerTenant = 2; l.Logs.DiscoverServiceName = false })
	push := func(tenantID string, streams ...string) []logs.Rejection {
		t.Helper()
		b := &logs.Batch{}
		for _, s := range streams {
			b.Streams = append(b.Streams, logs.Stream{Labels: labels.FromStrings("app", s), Entries: []logs.Entry{line(now, "x"), line(now, "y")}})
		}
		r, err := f.PushLogs(as(tenantID), b)
		require.NoError(t, err)
		return r.Rejected
	}
	require.Empty(t, push("t1", "a", "b"))
	require.Equal(t, []logs.Rejection{{Reason: "stream_limit", Count: 4,
		Message: `maximum active stream limit exceeded when trying to create stream {app="c"}, reduce the number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, user: 't1'`}},
		push("t1", "a", "c", "d", "b"))
	require.Equal(t, 4.0, f.discardedTotal(t, "logs", "stream_limit", "t1"))
	require.Empty(t, push("t2", "c", "d"))
	last := f.ingester.logs[1]
	require.Len(t, last.Streams, 2)
	require.Equal(t, []string{`{app="a"}`, `{app="b"}`}, []string{last.Streams[0].Labels.String(), last.Streams[1].Labels.String()})
}

// Streams that nobody writes to make room after half an hour.
func TestActiveStreamsForget(t *testing.T) {
	a := newActiveStreams()
	require.True(t, a.admit("t", 1, 2, now))
	require.True(t, a.admit("t", 2, 2, now.Add(20*time.Minute)))
	require.False(t, a.admit("t", 3, 2, now.Add(30*time.Minute)))
	require.True(t, a.admit("t", 3, 2, now.Add(31*time.Minute)))
	require.False(t, a.admit("t", 1, 2, now.Add(31*time.Minute)))
	for i := range uint64(1000) {
		a.admit("t", i, 2, now.Add(time.Duration(i)*time.Hour))
		require.LessOrEqual(t, len(a.tenants["t"]), 2)
	}
}

func TestStreamRateLimit(t *testing.T) {
	f := newFixture(t, func(l *limits.Limits) {
		l.Logs.PerStreamRateLimit, l.Logs.PerStreamRateLimitBurst = 100, 1000
		l.Logs.DiscoverServiceName = false
	})
	push := func(sizes ...int) []logs.Rejection {
		t.Helper()
		b := &logs.Batch{}
		for i, n := range sizes {
			b.Streams = append(b.Streams, logs.Stream{Labels: labels.FromStrings("app", fmt.Sprint(i)), Entries: []logs.Entry{line(now, strings.Repeat("x", n))}})
		}
		r, err := f.PushLogs(as("t1"), b)
		require.NoError(t, err)
		return r.Rejected
	}
	require.Empty(t, push(900, 10))
	rejected := push(900, 900)
	require.Len(t, rejected, 1)
	require.Equal(t, "per_stream_rate_limit", rejected[0].Reason)
	require.Regexp(t, `^Per stream rate limit exceeded \(limit: 100B/sec\) while attempting to ingest for stream '\{app="0"\}' totaling 9[0-9]+B, consider splitting a stream via additional labels or contact your Loki administrator to see if the limit can be increased$`, rejected[0].Message)
	require.Equal(t, 1.0, f.discardedTotal(t, "logs", "per_stream_rate_limit", "t1"))
	f.now = f.now.Add(10 * time.Second)
	require.Empty(t, push(900))
}

// What was refused before it came here is counted, and told by whoever refused it.
func TestRejectedBefore(t *testing.T) {
	f := newFixture(t, nil)
	r, err := f.PushLogs(as("t1"), &logs.Batch{Rejected: []logs.Rejection{{Reason: "invalid_labels", Message: "x", Count: 3}}})
	require.NoError(t, err)
	require.Empty(t, r.Rejected)
	require.Equal(t, 3.0, f.discardedTotal(t, "logs", "invalid_labels", "t1"))
	require.Empty(t, f.ingester.logs)
}
