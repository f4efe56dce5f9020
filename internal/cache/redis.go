package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Redis keeps pages where several processes find them. It is an accelerator and nothing else: a server that is slow,
// gone, full or out of its mind costs time, never an answer.
//
// A query waits for it no longer than the timeout. After some failures in a row the server is left out, for queries as
// if it had no page, until it answers a question of Redis's own; no query tries out whether it is back. Pages are
// written in the background, from a queue; those that find it full are not written.
//
// Run connects, and does everything that takes time. Safe for concurrent use.
type Redis struct {
	cfg     RedisConfig
	logger  *slog.Logger
	metrics *redisMetrics
	pause   time.Duration // between attempts to connect, and after a refused write

	client atomic.Pointer[redisClient] // nil: left out
	failed chan error                  // the client was given up, and why; of capacity 1
	queue  chan redisPage
}

const (
	// maxFailures in a row and the server is left out.
	maxFailures = 3
	// redisPause is for how long, at least.
	redisPause = 5 * time.Second
	// connectTimeout bounds how long it takes to connect, and to write some pages: no query waits for either.
	connectTimeout = time.Second
	// drainTimeout bounds how long the end of Run writes what is queued.
	drainTimeout = time.Second
	// queuedPages bounds the queue: 8 MiB of pages.
	queuedPages = 512
)

// NewRedis returns a Redis that has not connected yet: until Run has it has no page.
func NewRedis(cfg RedisConfig, logger *slog.Logger, reg prometheus.Registerer) (*Redis, error) {
	r := &Redis{cfg: cfg, logger: logger.With("redis", cfg.Addresses), pause: redisPause, failed: make(chan error, 1), queue: make(chan redisPage, queuedPages)}
	r.metrics = newRedisMetrics(r)
	return r, r.metrics.register(reg)
}

// Run connects, again and again if need be, and writes pages, until ctx is done. What is queued then is still written
// if that takes no longer than a moment. It returns nil.
func (r *Redis) Run(ctx context.Context) error {
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var g errgroup.Group
	g.Go(func() error { r.keepConnected(ctx, keeping); return nil })
	g.Go(func() error {
		defer stop() // the connection is for what is queued, too
		r.write(ctx)
		return nil
	})
	return g.Wait()
}

// keepConnected connects until ctx is done, and closes what it has when keeping is.
func (r *Redis) keepConnected(ctx, keeping context.Context) {
	level := slog.LevelWarn
	for ctx.Err() == nil {
		c, err := r.connect(ctx)
		if err == nil {
			r.logger.Info("redis is in use")
			level = slog.LevelWarn
			r.client.Store(c)
			select {
			case err = <-r.failed:
			case <-keeping.Done():
			}
			r.client.Store(nil)
			c.close()
		} else {
			r.metrics.errors.WithLabelValues("connect").Inc()
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		// Once, not every few seconds for as long as it lasts.
		r.logger.Log(ctx, level, "redis can't be used, the bucket is read instead", "err", err, "retry_after", r.pause)
		level = slog.LevelDebug
		select {
		case <-time.After(r.pause):
		case <-ctx.Done():
		}
	}
}

// connect returns a client that a page can be asked of.
func (r *Redis) connect(ctx context.Context) (*redisClient, error) {
	tlsConfig, err := r.cfg.tlsConfig()
	if err != nil {
		return nil, err
	}
	c, err := r.cfg.open(ctx, tlsConfig)
	if err != nil {
		return nil, err
	}
	// As queries do it, and in their time: a server may let everybody in and yet be slow, be loading, or give this user
	// no page.
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.cfg.Timeout))
	defer cancel()
	probe := r.key(Key{})
	replies, err := c.do(ctx, []redisCommand{{probe, command("GET", probe)}})
	if err = errors.Join(err, replies[0].err()); err != nil {
		c.close()
		return nil, fmt.Errorf("read a page: %w", err)
	}
	return c, nil
}

// fail counts an operation of c that failed, and gives c up after too many of them. ctx is that of who asked for it:
// one who gave up says nothing about the server.
func (r *Redis) fail(ctx context.Context, c *redisClient, operation string, err error) {
	// A connection's clock may be ahead of the context's by a moment.
	if end, ok := ctx.Deadline(); ctx.Err() != nil || ok && !time.Now().Before(end) {
		return
	}
	r.metrics.errors.WithLabelValues(operation).Inc()
	if errors.Is(err, errBusy) || errors.Is(err, errClosed) {
		return // those that were busy know more
	}
	if c.failures.Add(1) >= maxFailures {
		r.giveUp(c, operation, err)
	}
}

// giveUp has another client made in the place of c.
func (r *Redis) giveUp(c *redisClient, operation string, err error) {
	if r.client.CompareAndSwap(c, nil) {
		r.failed <- fmt.Errorf("%s: %w", operation, err) // has room: one for each connection
	}
}

type redisMetrics struct {
	hits, misses, damaged, written, dropped prometheus.Counter
	errors                                  *prometheus.CounterVec
	duration                                *prometheus.HistogramVec
	up                                      prometheus.GaugeFunc
}

func newRedisMetrics(r *Redis) *redisMetrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "hune_cache_redis_" + name, Help: help}
	}
	return &redisMetrics{
		hits:    prometheus.NewCounter(counter("hits_total", "Pages found in Redis.")),
		misses:  prometheus.NewCounter(counter("misses_total", "Pages that Redis was asked for and did not have, or not in time.")),
		damaged: prometheus.NewCounter(counter("damaged_total", "Values in Redis that are not the page that their key names.")),
		written: prometheus.NewCounter(counter("written_total", "Pages written to Redis.")),
		dropped: prometheus.NewCounter(counter("dropped_total", "Pages that were not written to Redis: it was left out or refused them, or too many waited.")),
		errors:  prometheus.NewCounterVec(counter("errors_total", "Operations on Redis that failed: connect, read or write pages, or results."), []string{"operation"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hune_cache_redis_duration_seconds", Help: "Time that reads and writes of pages took, of several at once.",
			NativeHistogramBucketFactor: 1.1, Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}, []string{"operation"}),
		up: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hune_cache_redis_up", Help: "1 if Redis is in use, 0 if it is left out."}, func() float64 {
			if r.client.Load() == nil {
				return 0
			}
			return 1
		}),
	}
}

func (m *redisMetrics) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	for _, operation := range []string{"connect", "read", "write", "results"} {
		m.errors.WithLabelValues(operation)
	}
	for _, c := range []prometheus.Collector{m.hits, m.misses, m.damaged, m.written, m.dropped, m.errors, m.duration, m.up} {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}
