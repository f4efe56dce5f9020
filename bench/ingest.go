package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hune-io/hune/bench/internal/process"
)

// load is requests of one protocol, prepared before the clock starts.
type load struct {
	name        string
	path        string
	contentType string
	header      []string
	requests    [][]byte
	records     int   // in all requests: samples, lines, spans
	raw         int64 // bytes of the records as their protocol's uncompressed body has them
	// export sends a request over gRPC instead of HTTP, if set.
	export func(ctx context.Context, conn *grpc.ClientConn, body []byte) error
}

const clients = 4

// send posts every request once, with several clients.
func (l *load) send(s *server) error {
	post := func(body []byte) error { return s.Post(l.path, l.contentType, body, l.header...) }
	if l.export != nil {
		conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		post = func(body []byte) error { return l.export(context.Background(), conn, body) }
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, clients)
	for c := range clients {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(l.requests) {
					return
				}
				if err := post(l.requests[i]); err != nil {
					errs[c] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// ingestSuite measures each protocol on a server of its own: until all is acknowledged, and with the
// writing of blocks.
func ingestSuite(b *bench) error {
	fmt.Println("| protocol | records | MB raw | records/s | records per CPU s | MB per CPU s | CPU s per GB | allocations per record | peak RSS MB | bucket MB |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, prepare := range loads {
		if err := b.ingest(prepare(b.scale)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) ingest(l *load) error {
	dir, err := os.MkdirTemp(b.dir, "hune-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := b.start(dir, process.Quiet...)
	if err != nil {
		return err
	}
	cpu0, err := s.CPU()
	if err != nil {
		return err
	}
	allocs0, err := s.Gauge("go_memstats_mallocs_total")
	if err != nil {
		return err
	}
	began := time.Now()
	if err := l.send(s); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", l.name, err), s.Kill())
	}
	took := time.Since(began)
	allocs1, err := s.Gauge("go_memstats_mallocs_total")
	if err != nil {
		return err
	}
	if err := s.Post("/flush", "", nil); err != nil {
		return err
	}
	cpu1, err := s.CPU()
	if err != nil {
		return err
	}
	mem, err := s.Memory("VmHWM")
	if err != nil {
		return err
	}
	stored, err := diskUse(filepath.Join(dir, "data", "bucket"))
	if err != nil {
		return err
	}
	cpu := (cpu1 - cpu0).Seconds()
	mb := float64(l.raw) / 1e6
	fmt.Printf("| %s | %d | %.0f | %.0f | %.0f | %.1f | %.1f | %.1f | %.0f | %.1f |\n", l.name, l.records, mb, float64(l.records)/took.Seconds(),
		float64(l.records)/cpu, mb/cpu, cpu/mb*1000, (allocs1-allocs0)/float64(l.records), mem[0], float64(stored)/1e6)
	return s.Stop()
}

// replaySuite kills a server with unflushed data and measures the next start.
func replaySuite(b *bench) error {
	fmt.Println("| signal | log MB | start with replay | MB/s |")
	fmt.Println("|---|---|---|---|")
	for _, r := range []struct {
		prepare func(float64) *load
		wal     string
	}{
		{lokiProto, "ingester/logs/wal"}, {otlpTraces, "ingester/traces/wal"}, {remoteWrite1, "ingester/metrics/anonymous/wal"},
	} {
		l := r.prepare(b.scale * 0.2)
		dir, err := os.MkdirTemp(b.dir, "hune-bench-")
		if err != nil {
			return err
		}
		// Heads that are never cut, so that the log holds all of it.
		env := append(process.Quiet[:len(process.Quiet):len(process.Quiet)], "HUNE_INGESTER_LOGS_MAX_HEAD_BYTES=8GiB", "HUNE_INGESTER_TRACES_MAX_HEAD_BYTES=8GiB")
		s, err := b.start(dir, env...)
		if err != nil {
			return err
		}
		base := s.Ready
		if err := errors.Join(l.send(s), s.Kill()); err != nil {
			return err
		}
		size, err := diskUse(filepath.Join(dir, "data", r.wal))
		if err != nil {
			return err
		}
		if s, err = b.start(dir, env...); err != nil {
			return err
		}
		replay := s.Ready - base
		fmt.Printf("| %s | %.0f | %s | %.0f |\n", l.name, float64(size)/1e6, round(s.Ready), float64(size)/1e6/replay.Seconds())
		if err := errors.Join(s.Kill(), os.RemoveAll(dir)); err != nil {
			return err
		}
	}
	return nil
}
