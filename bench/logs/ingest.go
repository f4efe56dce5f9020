package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafana/dskit/services"

	"github.com/hune-io/hune/internal/api/loki"
	"github.com/hune-io/hune/internal/logs"
)

// protocols are those in which lines are pushed.
var protocols = []struct {
	name   string
	encode func(streams []pushed) request
	demand *demand
}{{"Loki push, protobuf", protobufRequest, ingestProtobuf}, {"Loki push, JSON", jsonRequest, ingestJSON}}

// ingestPart measures the whole way of a line in one process: a Loki push is decoded and checked, written
// to the log on disk, synced, put into the head, sealed, encoded, and uploaded to a bucket on disk.
func ingestPart(ctx context.Context, b *bench) error {
	fmt.Println("MB of lines per second of processor time. Decode: the request alone. Acknowledged: until all pushes are answered, with what was")
	fmt.Println("cut meanwhile. Whole: until everything is in the bucket.")
	fmt.Println()
	fmt.Println("| protocol | lines | MB of lines | decode | acknowledged | **whole** | MB/s of the clock | allocations per line | bucket MB | demands |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, p := range protocols {
		l := b.load(p.encode)
		decode, err := l.decodeOnly(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		c, err := l.ingest(ctx, b.dir)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		whole := speed(l.bytes, c.whole)
		fmt.Printf("| %s | %d | %.0f | %.0f | %.0f | **%.0f** | %.0f | %.2f | %.1f | %s |\n", p.name, l.lines, mb(l.bytes), speed(l.bytes, decode),
			speed(l.bytes, c.acknowledged), whole, mb(l.bytes)/c.clock.Seconds(), float64(c.allocations)/float64(l.lines), mb(c.stored), p.demand.mark(whole))
	}
	return nil
}

// cost is what ingesting a load took.
type cost struct {
	acknowledged, whole time.Duration // processor time
	clock               time.Duration
	allocations         uint64
	stored              int // bytes in the bucket
}

// clients is how many requests are under way at a time: they share the syncs of the log.
const clients = 4

// send hands every request to h, as several clients do.
func (l *load) send(ctx context.Context, h http.Handler) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, clients)
	for c := range clients {
		wg.Go(func() {
			for errs[c] == nil {
				i := int(next.Add(1)) - 1
				if i >= len(l.requests) {
					return
				}
				errs[c] = l.requests[i].serve(ctx, h)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (r request) serve(ctx context.Context, h http.Handler) error {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.http(ctx))
	if w.Code != http.StatusNoContent {
		return fmt.Errorf("push answered %d: %.300s", w.Code, w.Body)
	}
	return nil
}

// sink is a distributor that drops everything.
type sink struct{}

func (sink) PushLogs(context.Context, *logs.Batch) (logs.PushResult, error) {
	return logs.PushResult{}, nil
}

// decodeOnly returns the processor time that reading the requests takes.
func (l *load) decodeOnly(ctx context.Context) (took time.Duration, err error) {
	h := loki.New(loki.Options{Pusher: sink{}})
	took = measure(func() { err = l.send(ctx, h) })
	return took, err
}

// ingest sends the load to an ingester of its own and waits until it is in the bucket.
func (l *load) ingest(ctx context.Context, dir string) (c cost, err error) {
	dir, err = os.MkdirTemp(dir, "ingest-")
	if err != nil {
		return c, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sys, err := openSystem(ctx, dir)
	if err != nil {
		return c, err
	}
	defer func() {
		if stop := services.StopAndAwaitTerminated(ctx, sys.ingester); err == nil {
			err = stop
		}
	}()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, clock := cpuTime(), time.Now()
	if err := l.send(ctx, sys.push); err != nil {
		return c, err
	}
	c.acknowledged = cpuTime() - cpu
	if err := sys.ingester.Flush(ctx); err != nil {
		return c, err
	}
	c.whole, c.clock = cpuTime()-cpu, time.Since(clock)
	runtime.ReadMemStats(&after)
	c.allocations = after.Mallocs - before.Mallocs
	c.stored, err = sys.stored(ctx)
	return c, err
}
