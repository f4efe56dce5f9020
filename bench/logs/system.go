package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/api/loki"
	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/distributor"
	"github.com/hune-io/hune/internal/ingester"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/wal"
)

// system is the parts of the program that a push passes through.
type system struct {
	push     http.Handler
	ingester *ingester.Ingester
	bucket   objstore.Bucket
}

// openSystem starts an ingester on an empty folder, with the settings of the program but for looking at
// its heads more often: the load comes faster than real ones.
func openSystem(ctx context.Context, dir string) (*system, error) {
	s := &system{}
	var err error
	if s.bucket, err = bucket.OpenFilesystem(filepath.Join(dir, "bucket")); err != nil {
		return nil, err
	}
	logger, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	heads, err := metrics.OpenHeads(ctx, metrics.HeadOptions{Dir: filepath.Join(dir, "metrics"), Config: metrics.DefaultConfig(), Bucket: s.bucket,
		Logger: logger, Registerer: registry, SyncAlways: true})
	if err != nil {
		return nil, err
	}
	o := ingester.Options{Config: ingester.DefaultConfig(), WAL: wal.DefaultConfig(), Dir: dir, Bucket: s.bucket, Logger: logger, Registerer: registry,
		Now: time.Now, Entropy: &ulid.LockedMonotonicReader{MonotonicReader: ulid.Monotonic(rand.Reader, 0)}, Metrics: heads,
		TraceHead: func(string) traces.HeadOptions { return traces.HeadOptions{} }}
	o.Config.CheckInterval = model.Duration(500 * time.Millisecond)
	if s.ingester, err = ingester.New(ctx, o); err != nil {
		return nil, err
	}
	if err := services.StartAndAwaitRunning(ctx, s.ingester); err != nil {
		return nil, err
	}
	overrides, err := limits.New(limits.DefaultConfig(), nil)
	if err != nil {
		return nil, err
	}
	d := distributor.New(distributor.Options{Limits: overrides, Ingester: s.ingester, Logger: logger, Registerer: registry})
	s.push = loki.New(loki.Options{Pusher: d})
	return s, nil
}

// stored returns how many bytes of log blocks the bucket holds.
func (s *system) stored(ctx context.Context) (n int, err error) {
	listing, err := block.List(ctx, s.bucket, tenantID, signal.Logs)
	if err != nil {
		return 0, err
	}
	for _, m := range listing.Blocks {
		n += int(m.StoredBytes)
	}
	return n, nil
}
