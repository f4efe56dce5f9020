package metrics

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (h *Heads) roomOf(t *testing.T, id string) int64 {
	head, err := h.head(id, false)
	require.NoError(t, err)
	defer head.release()
	require.Equal(t, head.room.size.Load(), int64(head.gauge("prometheus_tsdb_exemplar_max_exemplars")), "as the TSDB has it")
	return head.room.size.Load()
}

// A tenant takes memory for the exemplars that it has, and keeps the newest of as many as it may have, whatever the room
// was when they came.
func TestRoomForExemplars(t *testing.T) {
	opts := testHeadOptions(t, t.TempDir(), nil)
	opts.Config.MaxExemplars = 1000
	h := openTestHeads(t, opts)
	push(t, h, "a", floats("m", Sample{T: at(-time.Hour), V: 1}))
	require.EqualValues(t, leastExemplars, h.roomOf(t, "a"))
	n := 0
	write := func(count int) {
		t.Helper()
		s := floats("m", Sample{T: at(-time.Hour) + int64(n) + 1, V: 1})
		for range count {
			s.Exemplars = append(s.Exemplars, exemplar.Exemplar{Labels: labels.FromStrings("trace_id", fmt.Sprint(n)), Value: 1, Ts: at(-time.Hour) + int64(n), HasTs: true})
			n++
		}
		require.Equal(t, count, push(t, h, "a", s).Exemplars)
		require.Len(t, traces(t, h, "m"), min(n, 1000))
	}
	write(10)
	require.EqualValues(t, leastExemplars, h.roomOf(t, "a"))
	write(55)
	require.EqualValues(t, 256, h.roomOf(t, "a"))
	write(300)
	require.EqualValues(t, 1000, h.roomOf(t, "a"))
	write(1500)

	require.NoError(t, h.Close())
	opts.Registerer = nil
	h = openTestHeads(t, opts)
	require.EqualValues(t, 1000, h.roomOf(t, "a"), "they are read from the log")
	require.Len(t, traces(t, h, "m"), 1000)
}

// What is sent again, as scrapes do, needs no room.
func TestRepeatedExemplarsNeedNoRoom(t *testing.T) {
	opts := testHeadOptions(t, t.TempDir(), nil)
	h := openTestHeads(t, opts)
	for i := range 200 {
		s := floats("m", Sample{T: at(-time.Hour) + int64(i), V: 1})
		for k := range 20 {
			s.Exemplars = append(s.Exemplars, exemplar.Exemplar{Labels: labels.FromStrings("trace_id", fmt.Sprint(k)), Value: 1, Ts: at(-time.Hour) + int64(k), HasTs: true})
		}
		push(t, h, "a", s)
	}
	require.EqualValues(t, leastExemplars, h.roomOf(t, "a"))
}

// Batches that come at the same time don't push each other's exemplars out.
func TestRoomForExemplarsOfManyWriters(t *testing.T) {
	opts := testHeadOptions(t, t.TempDir(), nil)
	h := openTestHeads(t, opts)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 40 {
				s := floats(fmt.Sprint("m", w), Sample{T: at(-time.Hour) + int64(i), V: 1})
				s.Exemplars = []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", fmt.Sprint(w, i)), Value: 1, Ts: at(-time.Hour) + int64(i), HasTs: true}}
				_, err := h.Append(testContext, "a", &Batch{Series: []Series{s}})
				assert.NoError(t, err)
			}
		})
	}
	all.Wait()
	require.Len(t, traces(t, h, `{job="test"}`), 320)
}
