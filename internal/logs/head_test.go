package logs

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func oneStream(entries ...Entry) *Batch {
	return &Batch{Streams: []Stream{{Labels: labels.FromStrings("app", "a"), Entries: entries}}}
}

func TestHeadDuplicates(t *testing.T) {
	h := NewHead(HeadOptions{})
	md := []Label{{"k", "v"}}
	f := func(e Entry, wantAdded int) {
		t.Helper()
		res := h.Append(oneStream(e))
		require.Equal(t, AppendResult{Added: wantAdded, Duplicates: 1 - wantAdded}, res, "%v", e)
	}
	f(Entry{10, "x", nil}, 1)
	f(Entry{10, "x", nil}, 0)
	f(Entry{10, "y", nil}, 1)
	f(Entry{10, "x", md}, 1)
	f(Entry{10, "x", md}, 0)
	f(Entry{10, "x", []Label{{"k", "w"}}}, 1)
	f(Entry{10, "x", []Label{{"l", "v"}}}, 1)
	f(Entry{10, "x", []Label{{"k", "v"}, {"l", "v"}}}, 1)
	f(Entry{5, "x", nil}, 1)
	f(Entry{5, "x", nil}, 0)
	f(Entry{10, "y", nil}, 0)
	require.Equal(t, AppendResult{Added: 1}, h.Append(&Batch{Streams: []Stream{{Labels: labels.FromStrings("app", "b"), Entries: []Entry{{10, "x", nil}}}}}))
	require.Equal(t, 8, h.Rows())
}

// Duplicates are found in sealed chunks, in any order, at one instant, before and after the index
// has taken over.
func TestHeadDuplicatesInBulk(t *testing.T) {
	const n = 5 * chunkRows
	for name, ts := range map[string]func(i int) int64{
		"ascending":   func(i int) int64 { return int64(i) },
		"descending":  func(i int) int64 { return int64(-i) },
		"shuffled":    func(i int) int64 { return int64(i * 7919 % n) },
		"one instant": func(int) int64 { return 7 },
		"pairs":       func(i int) int64 { return int64(i / 2) },
	} {
		t.Run(name, func(t *testing.T) {
			b := oneStream()
			for i := range n {
				e := Entry{Timestamp: ts(i), Line: fmt.Sprintf("line %d", i)}
				if i%3 == 0 {
					e.Metadata = []Label{{"id", fmt.Sprint(i)}}
				}
				b.Streams[0].Entries = append(b.Streams[0].Entries, e)
			}
			h := NewHead(HeadOptions{})
			require.Equal(t, AppendResult{Added: n}, h.Append(b))
			require.Equal(t, AppendResult{Duplicates: n}, h.Append(b))
			require.Equal(t, n, h.Rows())
			require.Len(t, collect(t, h.SelectRows(context.Background(), Select{Start: -n, End: n})), n)
		})
	}
}

func TestHeadRefusesWhatNoBlockCanHold(t *testing.T) {
	h := NewHead(HeadOptions{})
	res := h.Append(oneStream(Entry{1, "ok", nil}, Entry{2, "x", []Label{{"k", strings.Repeat("v", maxMetadata)}}}))
	require.Equal(t, AppendResult{Added: 1, Refused: 1}, res)
}

func TestHeadKeepsNothingOfABatch(t *testing.T) {
	line := []byte("line")
	value := []byte("value")
	b := oneStream(Entry{1, view(line), []Label{{view([]byte("key")), view(value)}}})
	h := headOf(b)
	copy(line, "XXXX")
	copy(value, "XXXXX")
	rows := collect(t, h.SelectRows(context.Background(), Select{End: 9}))
	require.Equal(t, "line", rows[0].Line)
	require.Equal(t, []Label{{"key", "value"}}, rows[0].Metadata)
}

func TestEmptyHead(t *testing.T) {
	h := NewHead(HeadOptions{})
	oldest, newest := h.TimeRange()
	require.Greater(t, oldest, newest)
	h.Append(&Batch{Streams: []Stream{{Labels: labels.FromStrings("a", "b")}}})
	require.Zero(t, h.Rows())
	require.Zero(t, h.Size())
	require.Empty(t, collect(t, h.SelectRows(context.Background(), Select{End: 9})))
}

// Size is near what the runtime says, for few long and for many short streams.
func TestHeadSize(t *testing.T) {
	for name, batches := range map[string][]*Batch{
		"long streams": benchBatches(300, 20, 100),
		"many streams": benchBatches(1500, 15000, 1),
		"shuffled":     shuffledBatches(),
	} {
		t.Run(name, func(t *testing.T) {
			before := heapInUse()
			h := headOf(batches...)
			grown := float64(heapInUse() - before)
			size := float64(h.Size())
			t.Logf("size %.1f MB, heap grew by %.1f MB", size/1e6, grown/1e6)
			require.InDelta(t, 1, size/grown, 0.25)
			runtime.KeepAlive(h)
		})
	}
}

func shuffledBatches() []*Batch {
	batches := benchBatches(100, 10, 100)
	for i := range batches {
		j := (i * 37) % len(batches)
		batches[i], batches[j] = batches[j], batches[i]
	}
	for _, b := range batches {
		for i := range b.Streams {
			for j := range b.Streams[i].Entries {
				b.Streams[i].Entries[j].Timestamp = int64(j * 7919 % 50)
			}
		}
	}
	return batches
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Selects run while batches come in, and see whole rows in order.
func TestHeadConcurrent(t *testing.T) {
	h := NewHead(HeadOptions{})
	batches := benchBatches(120, 12, 20)
	var writers, readers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := w; i < len(batches); i += 4 {
				h.Append(batches[i])
			}
		})
	}
	stop := make(chan struct{})
	for r := range 3 {
		readers.Go(func() {
			last := 0
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := Select{End: 1 << 62, Direction: Direction(r % 2)}
				n, before := 0, int64(0)
				for rows, err := range h.SelectRows(context.Background(), s) {
					if err != nil {
						t.Error(err)
						return
					}
					for _, ts := range rows.Timestamps {
						if n > 0 && ts != before && (ts > before) != (s.Direction == Forward) {
							t.Errorf("%d after %d", ts, before)
						}
						before = ts
						n++
					}
				}
				if n < last {
					t.Errorf("%d rows, there were %d before", n, last)
				}
				last = n
				if _, err := h.Volume(context.Background(), VolumeQuery{End: 1 << 62}); err != nil {
					t.Error(err)
				}
				h.Size()
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	_, rows := batchBytesOf(batches)
	require.Equal(t, int(rows), h.Rows())
}
