package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// crashRounds is how often the process is killed in the middle of writes.
const crashRounds = 32

// someTraces is how many traces are looked up where not all are: what was lost stays lost, and the
// last look sees it.
const someTraces = 300

// acknowledged is what the server said it has.
type acknowledged struct {
	mu      sync.Mutex
	samples map[string]float64
	lines   []string
	traces  map[string]string // trace ID to span name
}

// Two tenants share the logs: one writes all the time, the other once in a round, so that its rows are
// still in the log when it is truncated behind the first one's.
var (
	busyTenant = map[string]string{"X-Scope-OrgID": "busy"}
	idleTenant = map[string]string{"X-Scope-OrgID": "idle"}
)

// Kills the process at random moments of a write load of all three signals, starts it again on the
// same folder, and wants everything that was ever acknowledged to be there, once. Some rounds flush, so
// that the kill also hits the cutting, uploading and forgetting of blocks.
func TestKilledProcessKeepsWhatItAcknowledged(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	ack := &acknowledged{samples: map[string]float64{}, traces: map[string]string{}}
	idle := &acknowledged{samples: map[string]float64{}, traces: map[string]string{}}
	verify := func(p *process, traces int) {
		t.Helper()
		verifyAcknowledged(t, p, busyTenant, ack, began, traces)
		verifyAcknowledged(t, p, idleTenant, idle, began, traces)
	}
	rng := rand.New(rand.NewPCG(1, uint64(began.UnixNano())))
	// Small segments and heads, so that a short load crosses their borders.
	env := append(slices.Clone(quiet), "HUNE_MULTITENANCY=true", "HUNE_WAL_SEGMENT_SIZE=1MiB", "HUNE_INGESTER_CHECK_INTERVAL=50ms",
		"HUNE_INGESTER_LOGS_MAX_HEAD_AGE=150ms", "HUNE_INGESTER_TRACES_MAX_HEAD_AGE=150ms",
		"HUNE_INGESTER_LOGS_KEEP_AFTER_UPLOAD=100ms", "HUNE_INGESTER_TRACES_KEEP_AFTER_UPLOAD=100ms",
		"HUNE_STORE_POLL_INTERVAL=50ms", "HUNE_METRICS_SHIP_INTERVAL=1s")
	for round := range crashRounds {
		if rng.IntN(4) == 0 {
			p := launch(t, dir, env)
			pause(time.Duration(rng.IntN(100)) * time.Millisecond)
			p.kill()
		}
		p := start(t, dir, env)
		writeUntilKilled(p, ack, idle, round, time.Duration(100+rng.IntN(500))*time.Millisecond, rng.IntN(3) == 0)
		if round%8 == 7 {
			p := start(t, dir, env)
			verify(p, someTraces)
			p.kill()
		}
	}
	p := start(t, dir, env)
	verify(p, someTraces)
	p.flush()
	verify(p, math.MaxInt)
	p.stop()
	p = start(t, dir, env)
	verify(p, someTraces)
	t.Logf("%d kills: %d samples, %d lines and %d spans were acknowledged and are there", crashRounds, len(ack.samples), len(ack.lines), len(ack.traces))
}

// writeUntilKilled writes with several clients for each signal and kills the process after d.
func writeUntilKilled(p *process, busy, idle *acknowledged, round int, d time.Duration, flush bool) {
	stop := make(chan struct{})
	var writers sync.WaitGroup
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	send := func(tenant map[string]string, path, contentType string, body []byte, header ...string) bool {
		req, err := http.NewRequest(http.MethodPost, p.url+path, bytes.NewReader(body))
		if err != nil {
			return false
		}
		req.Header.Set("Content-Type", contentType)
		for k, v := range tenant {
			req.Header.Set(k, v)
		}
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
	sample := func(tenant map[string]string, ack *acknowledged, id string) {
		v := float64(len(id) * round)
		if send(tenant, "/api/v1/write", "application/x-protobuf", remoteWrite("crash", time.Now(), map[string]float64{id: v}), "Content-Encoding", "snappy") {
			ack.mu.Lock()
			ack.samples[id] = v
			ack.mu.Unlock()
		}
	}
	line := func(tenant map[string]string, ack *acknowledged, id string) {
		text := "line " + id
		if send(tenant, "/loki/api/v1/push", "application/json", lokiPush(map[string]string{"job": "crash", "writer": id[strings.Index(id, "-w")+2:][:1]},
			[][2]string{{fmt.Sprint(time.Now().UnixNano()), text}})) {
			ack.mu.Lock()
			ack.lines = append(ack.lines, text)
			ack.mu.Unlock()
		}
	}
	span := func(tenant map[string]string, ack *acknowledged, id string) {
		traceID := fmt.Sprintf("%032x", rand.Uint64()|1)
		now := time.Now()
		if send(tenant, "/v1/traces", "application/json", oneSpan(traceID, fmt.Sprintf("%016x", rand.Uint64()|1), "crash", id, now, now.Add(time.Millisecond))) {
			ack.mu.Lock()
			ack.traces[traceID] = id
			ack.mu.Unlock()
		}
	}
	for w := range 2 {
		for _, write := range []func(map[string]string, *acknowledged, string){sample, line, span} {
			writers.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
						write(busyTenant, busy, fmt.Sprintf("r%d-w%d-%d", round, w, i))
					}
				}
			})
		}
	}
	writers.Go(func() {
		pause(d / 2)
		for _, write := range []func(map[string]string, *acknowledged, string){sample, line, span} {
			write(idleTenant, idle, fmt.Sprintf("r%d-w0-idle", round))
		}
	})
	if flush {
		writers.Go(func() {
			pause(d / 3)
			send(nil, "/flush", "", nil)
		})
	}
	pause(d)
	p.kill()
	close(stop)
	writers.Wait()
}

func verifyAcknowledged(t *testing.T, p *process, tenant map[string]string, ack *acknowledged, began time.Time, traces int) {
	t.Helper()
	now := time.Now()
	got := p.promVector(`last_over_time(crash[2h])`, now, "id", tenant)
	counts := p.promVector(`count_over_time(crash[2h])`, now, "id", tenant)
	for id, v := range ack.samples {
		require.Equal(t, fmt.Sprint(v), got[id], "sample %s", id)
		require.Equal(t, "1", counts[id], "samples of %s", id)
	}

	lines := map[string]int{}
	for w := range 2 {
		// The answer is bounded: ask for one round at a time.
		for round := range crashRounds {
			maps.Copy(lines, p.lokiLines(fmt.Sprintf(`{job="crash", writer="%d"} |= "line r%d-"`, w, round), began, now.Add(time.Minute), tenant))
		}
	}
	for _, line := range ack.lines {
		require.Equal(t, 1, lines[line], "%q", line)
	}
	// What was not acknowledged may be there too, but nothing is counted twice.
	counted := p.lokiCount(`sum(count_over_time({job="crash"}[1h]))`, now.Add(time.Second), tenant)
	require.Equal(t, fmt.Sprint(len(lines)), counted, "lines counted")

	ids := slices.Collect(maps.Keys(ack.traces))
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids[:min(traces, len(ids))] {
		require.Equal(t, map[string]int{ack.traces[id]: 1}, p.spanNames(id, tenant), "trace %s", id)
	}
}

// lokiCount asks an instant query that has one number for an answer.
func (p *process) lokiCount(query string, at time.Time, header map[string]string) string {
	p.t.Helper()
	status, body := p.get("/loki/api/v1/query", url.Values{"query": {query}, "time": {fmt.Sprint(at.UnixNano())}}, header)
	require.Equal(p.t, http.StatusOK, status, body)
	var a struct {
		Data struct{ Result []struct{ Value []any } }
	}
	require.NoError(p.t, json.Unmarshal([]byte(body), &a), body)
	if len(a.Data.Result) == 0 {
		return "0"
	}
	return a.Data.Result[0].Value[1].(string)
}
