package main

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// crashRounds is how often the process is killed in the middle of writes.
const crashRounds = 32

// acknowledged is what the server said it has.
type acknowledged struct {
	mu      sync.Mutex
	samples map[string]float64
	lines   []string
	traces  map[string]string // trace ID to span name
}

// Kills the process at random moments of a write load of all three signals, starts it again on the
// same folder, and wants everything that was ever acknowledged to be there, once. Some rounds flush, so
// that the kill also hits the cutting, uploading and forgetting of blocks.
func TestKilledProcessKeepsWhatItAcknowledged(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	ack := &acknowledged{samples: map[string]float64{}, traces: map[string]string{}}
	rng := rand.New(rand.NewPCG(1, uint64(began.UnixNano())))
	// Small segments and heads, so that a short load crosses their borders.
	env := append(slices.Clone(quiet), "HUNE_WAL_SEGMENT_SIZE=1MiB", "HUNE_INGESTER_CHECK_INTERVAL=50ms",
		"HUNE_INGESTER_LOGS_MAX_HEAD_AGE=150ms", "HUNE_INGESTER_TRACES_MAX_HEAD_AGE=150ms",
		"HUNE_INGESTER_LOGS_KEEP_AFTER_UPLOAD=100ms", "HUNE_INGESTER_TRACES_KEEP_AFTER_UPLOAD=100ms")
	for round := range crashRounds {
		p := start(t, dir, env)
		writeUntilKilled(p, ack, round, time.Duration(100+rng.IntN(500))*time.Millisecond, rng.IntN(3) == 0)
		if round%8 == 7 {
			p := start(t, dir, env)
			verifyAcknowledged(t, p, ack, began)
			p.kill()
		}
	}
	p := start(t, dir, env)
	verifyAcknowledged(t, p, ack, began)
	p.flush()
	verifyAcknowledged(t, p, ack, began)
	p.stop()
	p = start(t, dir, env)
	verifyAcknowledged(t, p, ack, began)
	t.Logf("%d kills: %d samples, %d lines and %d spans were acknowledged and are there", crashRounds, len(ack.samples), len(ack.lines), len(ack.traces))
}

// writeUntilKilled writes with several clients for each signal and kills the process after d.
func writeUntilKilled(p *process, ack *acknowledged, round int, d time.Duration, flush bool) {
	stop := make(chan struct{})
	var writers sync.WaitGroup
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	send := func(path, contentType string, body []byte, header ...string) bool {
		req, err := http.NewRequest(http.MethodPost, p.url+path, bytes.NewReader(body))
		if err != nil {
			return false
		}
		req.Header.Set("Content-Type", contentType)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode/100 == 2
	}
	for w := range 2 {
		loop := func(write func(id string)) {
			writers.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
						write(fmt.Sprintf("r%d-w%d-%d", round, w, i))
					}
				}
			})
		}
		loop(func(id string) {
			v := float64(len(id) * round)
			if send("/api/v1/write", "application/x-protobuf", remoteWrite("crash", time.Now(), map[string]float64{id: v}), "Content-Encoding", "snappy") {
				ack.mu.Lock()
				ack.samples[id] = v
				ack.mu.Unlock()
			}
		})
		loop(func(id string) {
			line := "line " + id
			if send("/loki/api/v1/push", "application/json", lokiPush(map[string]string{"job": "crash", "writer": fmt.Sprint(w)},
				[][2]string{{fmt.Sprint(time.Now().UnixNano()), line}})) {
				ack.mu.Lock()
				ack.lines = append(ack.lines, line)
				ack.mu.Unlock()
			}
		})
		loop(func(id string) {
			traceID := fmt.Sprintf("%032x", rand.Uint64()|1)
			now := time.Now()
			if send("/v1/traces", "application/json", oneSpan(traceID, fmt.Sprintf("%016x", rand.Uint64()|1), "crash", id, now, now.Add(time.Millisecond))) {
				ack.mu.Lock()
				ack.traces[traceID] = id
				ack.mu.Unlock()
			}
		})
	}
	if flush {
		writers.Go(func() {
			pause(d / 3)
			send("/flush", "", nil)
		})
	}
	pause(d)
	p.kill()
	close(stop)
	writers.Wait()
}

func verifyAcknowledged(t *testing.T, p *process, ack *acknowledged, began time.Time) {
	t.Helper()
	now := time.Now()
	got := p.promVector(`last_over_time(crash[2h])`, now, "id", nil)
	counts := p.promVector(`count_over_time(crash[2h])`, now, "id", nil)
	for id, v := range ack.samples {
		require.Equal(t, fmt.Sprint(v), got[id], "sample %s", id)
		require.Equal(t, "1", counts[id], "samples of %s", id)
	}

	lines := map[string]int{}
	for w := range 2 {
		// The answer is bounded: ask for one round at a time.
		for round := range crashRounds {
			maps.Copy(lines, p.lokiLines(fmt.Sprintf(`{job="crash", writer="%d"} |= "line r%d-"`, w, round), began, now.Add(time.Minute), nil))
		}
	}
	for _, line := range ack.lines {
		require.Equal(t, 1, lines[line], "%q", line)
	}

	ids := slices.Collect(maps.Keys(ack.traces))
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids {
		require.Equal(t, map[string]int{ack.traces[id]: 1}, p.spanNames(id, nil), "trace %s", id)
	}
}
