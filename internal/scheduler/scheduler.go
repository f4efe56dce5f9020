// Package scheduler is the scheduler role: a queue of query jobs, fair between tenants. A tenant
// that asks for much waits behind itself only: tenants are served in turn, one job each.
//
// The queue is bounded for each tenant; a job over the bound is refused with fault.RateLimited
// ("too many outstanding requests"), never kept waiting without limit.
package scheduler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
)

// Config is the user's settings of the scheduler.
type Config struct {
	// MaxOutstandingPerTenant is how many jobs of one tenant may wait. More are answered 429. Default 1000.
	MaxOutstandingPerTenant int `yaml:"max_outstanding_per_tenant"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{MaxOutstandingPerTenant: 1000} }

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.MaxOutstandingPerTenant <= 0 {
		return fmt.Errorf("max_outstanding_per_tenant: %d must be positive", c.MaxOutstandingPerTenant)
	}
	return nil
}

// Scheduler queues jobs. It implements job.Runner for the frontend and job.Queue for queriers.
type Scheduler struct {
	cfg Config

	mu       sync.Mutex
	closed   bool
	queues   map[string]*tenantQueue
	turns    []*tenantQueue // tenants with waiting jobs, next one first
	taken    map[uint64]*waiting
	lastID   uint64
	wake     chan struct{} // holds a token while turns isn't empty
	waited   prometheus.Histogram
	refused  prometheus.Counter
	inFlight prometheus.Gauge
}

type tenantQueue struct {
	tenant string
	jobs   []*waiting
}

type waiting struct {
	id     uint64
	ctx    context.Context
	job    job.Job
	since  time.Time
	waited time.Duration // until a querier took it
	answer chan answer   // capacity 1: Finish never blocks
}

type answer struct {
	result job.Result
	err    error
}

// New returns an empty scheduler.
func New(cfg Config, reg prometheus.Registerer) *Scheduler {
	s := &Scheduler{cfg: cfg, queues: map[string]*tenantQueue{}, taken: map[uint64]*waiting{}, wake: make(chan struct{}, 1)}
	f := promauto.With(reg)
	s.waited = f.NewHistogram(prometheus.HistogramOpts{
		Name: "hune_scheduler_queue_duration_seconds", Help: "Time that query jobs waited for a querier.",
		NativeHistogramBucketFactor: 1.1, Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
	})
	s.refused = f.NewCounter(prometheus.CounterOpts{Name: "hune_scheduler_refused_total", Help: "Query jobs refused because the tenant's queue was full."})
	s.inFlight = f.NewGauge(prometheus.GaugeOpts{Name: "hune_scheduler_inflight_jobs", Help: "Query jobs taken by queriers and not yet answered."})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "hune_scheduler_queued_jobs", Help: "Query jobs waiting for a querier."}, s.length)
	return s
}

func (s *Scheduler) length() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, q := range s.turns {
		n += len(q.jobs)
	}
	return float64(n)
}

// Run queues j and waits for its answer. When ctx ends first the job leaves the queue, or its
// querier sees its context end.
func (s *Scheduler) Run(ctx context.Context, j job.Job) (job.Result, error) {
	w := &waiting{ctx: ctx, job: j, since: time.Now(), answer: make(chan answer, 1)}
	if err := s.enqueue(w); err != nil {
		return job.Result{}, err
	}
	select {
	case a := <-w.answer:
		return a.result, a.err
	case <-ctx.Done():
		s.forget(w)
		return job.Result{}, context.Cause(ctx)
	}
}

func (s *Scheduler) enqueue(w *waiting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	q := s.queues[w.job.Tenant]
	if q == nil {
		q = &tenantQueue{tenant: w.job.Tenant}
		s.queues[w.job.Tenant] = q
	}
	if len(q.jobs) >= s.cfg.MaxOutstandingPerTenant {
		s.refused.Inc()
		return &fault.Error{Class: fault.RateLimited, Reason: "too_many_outstanding", RetryAfter: time.Second,
			Err: fmt.Errorf("too many outstanding requests: %d of this tenant are waiting", len(q.jobs))}
	}
	s.lastID++
	w.id = s.lastID
	if len(q.jobs) == 0 {
		s.turns = append(s.turns, q)
	}
	q.jobs = append(q.jobs, w)
	s.signal()
	return nil
}

var errClosed = fault.Errorf(fault.Unavailable, "the query scheduler is shutting down")

// signal leaves a token for one waiting querier. s.mu must be held.
func (s *Scheduler) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Take implements job.Queue.
func (s *Scheduler) Take(ctx context.Context) (context.Context, job.Ticket, error) {
	for {
		if w := s.next(); w != nil {
			w.waited = time.Since(w.since)
			s.waited.Observe(w.waited.Seconds())
			s.inFlight.Inc()
			return w.ctx, job.Ticket{ID: w.id, Job: w.job}, nil
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, job.Ticket{}, ctx.Err()
		}
	}
}

// next takes the first job of the tenant whose turn it is, and moves that tenant to the end.
func (s *Scheduler) next() *waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.turns) == 0 {
		return nil
	}
	q := s.turns[0]
	s.turns = s.turns[1:]
	w := q.jobs[0]
	q.jobs[0] = nil
	q.jobs = q.jobs[1:]
	if len(q.jobs) > 0 {
		s.turns = append(s.turns, q)
	} else {
		delete(s.queues, q.tenant)
	}
	if len(s.turns) > 0 {
		s.signal()
	}
	s.taken[w.id] = w
	return w
}

// Finish implements job.Queue. The answer to a ticket that nobody waits for any more is dropped.
func (s *Scheduler) Finish(id uint64, r job.Result, err error) {
	s.mu.Lock()
	w := s.taken[id]
	delete(s.taken, id)
	s.mu.Unlock()
	s.inFlight.Dec()
	if w != nil {
		if r.Logs != nil {
			r.Logs.Stats.QueueNanoseconds += w.waited.Nanoseconds()
		}
		w.answer <- answer{r, err}
	}
}

// forget drops a job whose caller has gone, if it is still in the queue.
func (s *Scheduler) forget(w *waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.taken, w.id)
	q := s.queues[w.job.Tenant]
	if q == nil {
		return
	}
	for i, other := range q.jobs {
		if other == w {
			q.jobs = append(q.jobs[:i], q.jobs[i+1:]...)
			break
		}
	}
	if len(q.jobs) > 0 {
		return
	}
	delete(s.queues, q.tenant)
	for i, other := range s.turns {
		if other == q {
			s.turns = append(s.turns[:i:i], s.turns[i+1:]...)
			break
		}
	}
}

// Close refuses new jobs and fails those that still wait. Jobs already taken are left to finish.
func (s *Scheduler) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, q := range s.turns {
		for _, w := range q.jobs {
			w.answer <- answer{err: errClosed}
		}
	}
	s.turns, s.queues = nil, map[string]*tenantQueue{}
}
