package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/hune-io/hune/bench/internal/process"
	api "github.com/hune-io/hune/internal/api/prometheus"
	"github.com/hune-io/hune/internal/distributor"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// subject is a way in with a database behind it.
type subject struct {
	name string
	open func(dir string) (http.Handler, func() error, error)
}

var subjects = []subject{
	{"prometheus", openPrometheus},
	{"hune", func(dir string) (http.Handler, func() error, error) { return openHune(dir, true) }},
	{"hune, sync: interval", func(dir string) (http.Handler, func() error, error) { return openHune(dir, false) }},
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// openPrometheus is the receiver of a Prometheus with its defaults for remote write.
func openPrometheus(dir string) (http.Handler, func() error, error) {
	opts := tsdb.DefaultOptions()
	opts.EnableExemplarStorage, opts.MaxExemplars = true, 10_000
	opts.OutOfOrderTimeWindow = time.Hour.Milliseconds() // as Hune
	opts.WALCompression = compression.Snappy             // as the program has it, unlike the library
	db, err := tsdb.Open(dir, quiet(), client.NewRegistry(), opts, nil)
	if err != nil {
		return nil, nil, err
	}
	h := remote.NewWriteHandler(quiet(), client.NewRegistry(), db, remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}, false, false, false)
	return h, db.Close, nil
}

// openHune is what a request meets in Hune: edge, distributor with default limits, heads.
func openHune(dir string, sync bool) (http.Handler, func() error, error) {
	heads, err := metrics.OpenHeads(context.Background(), metrics.HeadOptions{Dir: filepath.Join(dir, "metrics"), Config: metrics.DefaultConfig(),
		Logger: quiet(), Registerer: client.NewRegistry(), SyncAlways: sync, SyncInterval: time.Second})
	if err != nil {
		return nil, nil, err
	}
	o, err := limits.New(limits.DefaultConfig(), nil)
	if err != nil {
		return nil, nil, err
	}
	d := distributor.New(distributor.Options{Limits: o, Ingester: ingester{heads}, Registerer: client.NewRegistry()})
	mux := http.NewServeMux()
	api.New(api.Options{Runner: nobody{}, Pusher: d, Logger: quiet(), Registerer: client.NewRegistry(),
		Known: func(id string) api.Known { return heads.Known(id) }}).Register(mux)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(tenant.NewContext(r.Context(), tenant.Anonymous)))
	})
	return h, heads.Close, nil
}

// ingester is the heads alone.
type ingester struct{ heads *metrics.Heads }

func (i ingester) PushMetrics(ctx context.Context, id string, b *metrics.Batch) (metrics.PushResult, error) {
	return i.heads.Append(ctx, id, b)
}

func (ingester) PushLogs(context.Context, string, *logs.Batch) (logs.PushResult, error) {
	return logs.PushResult{}, nil
}

func (ingester) PushTraces(context.Context, string, *traces.Batch) (traces.PushResult, error) {
	return traces.PushResult{}, nil
}

type nobody struct{}

func (nobody) Run(context.Context, job.Job) (job.Result, error) { return job.Result{}, nil }

// measure runs one subject and prints its outcome as JSON.
func measure(name string, series, rounds int, profile string) error {
	name, version, _ := strings.Cut(name, "/")
	dir, err := os.MkdirTemp("", "hune-bench-metrics-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, s := range subjects {
		if s.name != name {
			continue
		}
		before := heap()
		h, closeAll, err := s.open(dir)
		if err != nil {
			return err
		}
		var out outcome
		if err := out.run(h, version, series, rounds, profile); err != nil {
			return err
		}
		out.Bytes = (heap() - before) / float64(series)
		runtime.KeepAlive(h)
		if err := closeAll(); err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(out)
	}
	return fmt.Errorf("there is no subject %q", name)
}

// run sends each series a sample a round, 15 seconds apart and ending now.
func (o *outcome) run(h http.Handler, version string, series, rounds int, profile string) error {
	g := newGenerator(series, version)
	start := time.Now().Add(-time.Duration(rounds) * 15 * time.Second)
	var cpu, wall time.Duration
	var allocs uint64
	for round := range rounds {
		requests, err := g.round(start.Add(time.Duration(round) * 15 * time.Second))
		if err != nil {
			return err
		}
		if round == 1 && profile != "" {
			f, err := os.Create(profile)
			if err != nil {
				return err
			}
			if err := pprof.StartCPUProfile(f); err != nil {
				return err
			}
			defer pprof.StopCPUProfile()
		}
		runtime.GC()
		var m0, m1 runtime.MemStats
		runtime.ReadMemStats(&m0)
		cpu0, began := process.OwnCPU(), time.Now()
		for _, body := range requests {
			r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(body))
			r.Header.Set("Content-Encoding", "snappy")
			r.Header.Set("Content-Type", g.contentType)
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != http.StatusNoContent {
				return fmt.Errorf("round %d: %d %s", round, w.Code, w.Body)
			}
		}
		took, ran := process.OwnCPU()-cpu0, time.Since(began)
		runtime.ReadMemStats(&m1)
		if round == 0 {
			o.First = float64(series) / took.Seconds()
			continue
		}
		cpu, wall, allocs = cpu+took, wall+ran, allocs+m1.Mallocs-m0.Mallocs
	}
	n := float64(series * (rounds - 1))
	o.Steady, o.Wall, o.Allocs = n/cpu.Seconds(), n/wall.Seconds(), float64(allocs)/n
	return nil
}

// heap is the bytes in use after a collection.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
