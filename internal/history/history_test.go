package history

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/tenant"
)

// sink remembers what was pushed; err, if set, is what a push answers.
type sink struct {
	mu      sync.Mutex
	err     error
	batches map[string][]logs.Stream
}

func (s *sink) PushLogs(ctx context.Context, b *logs.Batch) (logs.PushResult, error) {
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return logs.PushResult{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return logs.PushResult{}, s.err
	}
	if s.batches == nil {
		s.batches = map[string][]logs.Stream{}
	}
	s.batches[id] = append(s.batches[id], b.Streams...)
	return logs.PushResult{}, nil
}

func newLog(s *sink) *Log {
	return New(Options{Pusher: s, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		Now: func() time.Time { return time.Unix(1700000000, 5) }})
}

func TestEventsAreLinesOfTheirTenant(t *testing.T) {
	s := &sink{}
	l := newLog(s)
	l.Record("a", Event{Event: StateChange, AlertName: "DiskFull", From: "pending", State: "firing", Labels: map[string]string{"host": "x"}})
	l.Record("b", Event{Event: Notification, Receiver: "team", Result: "sent", Alerts: 2})
	l.Record("a", Event{Event: SilenceExpired, Silence: "id"})
	require.NoError(t, services.StartAndAwaitRunning(t.Context(), l))
	require.NoError(t, services.StopAndAwaitTerminated(context.Background(), l))

	require.Len(t, s.batches["a"], 1, "one write a tenant")
	stream := s.batches["a"][0]
	require.Equal(t, `{hune="alerts", service_name="hune"}`, stream.Labels.String())
	require.Len(t, stream.Entries, 2)
	require.Equal(t, time.Unix(1700000000, 5).UnixNano(), stream.Entries[0].Timestamp)
	var e Event
	require.NoError(t, json.Unmarshal([]byte(stream.Entries[0].Line), &e))
	require.Equal(t, Event{Event: "state", AlertName: "DiskFull", From: "pending", State: "firing", Labels: map[string]string{"host": "x"}}, e)
	require.JSONEq(t, `{"event":"notification","receiver":"team","result":"sent","alerts":2}`, s.batches["b"][0].Entries[0].Line)
}

func TestWhatFindsNoRoomIsCounted(t *testing.T) {
	s := &sink{}
	l := newLog(s)
	for range maxWaiting + 3 {
		l.Record("a", Event{Event: StateChange})
	}
	require.InDelta(t, 3, testutil.ToFloat64(l.dropped), 0)
	l.flush(t.Context())
	n := 0
	for _, b := range s.batches["a"] {
		require.LessOrEqual(t, len(b.Entries), maxBatch)
		n += len(b.Entries)
	}
	require.Equal(t, maxWaiting, n)

	s.err = errors.New("full")
	l.Record("a", Event{Event: StateChange})
	l.flush(t.Context())
	require.InDelta(t, 4, testutil.ToFloat64(l.dropped), 0)
}
