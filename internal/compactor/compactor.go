// Package compactor is the compactor role: it keeps the bucket in order. It applies retention by age,
// for each signal and tenant: a block goes when its newest row is older than the retention, so data
// is kept at least that long and at most one block's length more.
package compactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/common/model"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
)

// Config is the user's settings of the compactor.
type Config struct {
	// Interval is the time between two rounds. Default 10m.
	Interval model.Duration `yaml:"interval"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{Interval: model.Duration(10 * time.Minute)} }

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.Interval <= 0 {
		return fmt.Errorf("interval: %s must be positive", c.Interval)
	}
	return nil
}

// Retention is how long data is kept, by the age of its newest row. 0 keeps for ever.
type Retention struct {
	// Metrics is how long metrics are kept. Default 30d; 0 keeps for ever.
	Metrics model.Duration `yaml:"metrics"`
	// Logs is how long logs are kept. Default 30d; 0 keeps for ever.
	Logs model.Duration `yaml:"logs"`
	// Traces is how long traces are kept. Default 30d; 0 keeps for ever.
	Traces model.Duration `yaml:"traces"`
}

// DefaultRetention returns the defaults.
func DefaultRetention() Retention {
	month := model.Duration(30 * 24 * time.Hour)
	return Retention{Metrics: month, Logs: month, Traces: month}
}

// Validate reports what is wrong with r.
func (r Retention) Validate() error {
	if r.Metrics < 0 || r.Logs < 0 || r.Traces < 0 {
		return errors.New("retention must not be negative")
	}
	return nil
}

func (r Retention) of(s signal.Signal) time.Duration {
	switch s {
	case signal.Metrics:
		return time.Duration(r.Metrics)
	case signal.Logs:
		return time.Duration(r.Logs)
	default:
		return time.Duration(r.Traces)
	}
}

// Options are what the program gives a compactor.
type Options struct {
	Config     Config
	Retention  Retention
	Bucket     objstore.Bucket
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	// Changed is called after a round that deleted blocks. Optional.
	Changed func(ctx context.Context)
}

// Compactor is the role.
type Compactor struct {
	services.Service
	opts    Options
	deleted *prometheus.CounterVec
	rounds  *prometheus.CounterVec
	last    prometheus.Gauge
}

// New returns a compactor; starting it as a service starts its rounds.
func New(opts Options) *Compactor {
	f := promauto.With(opts.Registerer)
	c := &Compactor{opts: opts,
		deleted: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_compactor_blocks_deleted_total", Help: "Blocks deleted, by signal and reason."}, []string{"signal", "reason"}),
		rounds:  f.NewCounterVec(prometheus.CounterOpts{Name: "hune_compactor_rounds_total", Help: "Rounds over the bucket, by outcome."}, []string{"outcome"}),
		last:    f.NewGauge(prometheus.GaugeOpts{Name: "hune_compactor_last_success_timestamp_seconds", Help: "When the last round without an error ended."}),
	}
	c.Service = services.NewTimerService(time.Duration(opts.Config.Interval), nil, c.round, nil).WithName("compactor")
	return c
}

func (c *Compactor) round(ctx context.Context) error {
	if err := c.Round(ctx); err != nil && ctx.Err() == nil {
		c.opts.Logger.Error("compactor round failed, will be tried again", "err", err)
	}
	return nil
}

// Round goes over the bucket once. A tenant or block that fails does not stop the others.
func (c *Compactor) Round(ctx context.Context) error {
	tenants, err := block.Tenants(ctx, c.opts.Bucket)
	if err != nil {
		c.rounds.WithLabelValues("error").Inc()
		return fmt.Errorf("list tenants: %w", err)
	}
	var errs []error
	total := 0
	for _, tenant := range tenants {
		for _, s := range signal.All {
			n, err := c.retain(ctx, tenant, s)
			total += n
			if err != nil {
				errs = append(errs, fmt.Errorf("retention of %s of tenant %s: %w", s, tenant, err))
			}
		}
	}
	if total > 0 && c.opts.Changed != nil {
		c.opts.Changed(ctx)
	}
	if err := errors.Join(errs...); err != nil {
		c.rounds.WithLabelValues("error").Inc()
		return err
	}
	c.rounds.WithLabelValues("success").Inc()
	c.last.Set(float64(c.opts.Now().Unix()))
	return nil
}

// retain deletes what is too old and returns how many blocks went.
func (c *Compactor) retain(ctx context.Context, tenant string, s signal.Signal) (int, error) {
	keep := c.opts.Retention.of(s)
	if keep == 0 {
		return 0, nil
	}
	before := c.opts.Now().Add(-keep)
	var n int
	var err error
	if s == signal.Metrics {
		n, err = metrics.DeleteOlder(ctx, c.opts.Bucket, tenant, before)
	} else {
		n, err = c.deleteOlder(ctx, tenant, s, before)
	}
	c.deleted.WithLabelValues(string(s), "retention").Add(float64(n))
	return n, err
}

func (c *Compactor) deleteOlder(ctx context.Context, tenant string, s signal.Signal, before time.Time) (int, error) {
	ids, err := block.IDs(ctx, c.opts.Bucket, tenant, s)
	if err != nil {
		return 0, err
	}
	n := 0
	var errs []error
	for _, id := range ids {
		newest, known, err := c.newest(ctx, tenant, s, id)
		if err != nil {
			errs = append(errs, err)
		}
		if !known || !newest.Before(before) {
			continue
		}
		if err := block.Delete(ctx, c.opts.Bucket, tenant, s, id); err != nil {
			errs = append(errs, err)
			continue
		}
		n++
		c.opts.Logger.Info("block deleted, past its retention", "tenant", tenant, "signal", s, "block", id, "newest", newest.UTC())
	}
	return n, errors.Join(errs...)
}

// newest returns the time of a block's newest row, if it can be known: a block whose meta file can't
// be read is never deleted, the store complains about it. One without a meta file is being uploaded
// or left by a deletion that was interrupted; its rows are not newer than its name.
func (c *Compactor) newest(ctx context.Context, tenant string, s signal.Signal, id ulid.ULID) (newest time.Time, known bool, err error) {
	m, err := block.ReadMeta(ctx, c.opts.Bucket, tenant, s, id)
	switch {
	case err == nil:
		return time.Unix(0, m.MaxTime), true, nil
	case errors.Is(err, block.ErrPartial):
		return ulid.Time(id.Time()), true, nil
	case block.IsCorruption(err):
		return time.Time{}, false, nil
	default:
		return time.Time{}, false, fmt.Errorf("read meta of block %s: %w", id, err)
	}
}
