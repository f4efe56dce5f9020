package frontend

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// LogsCoordinator cuts logs queries into jobs, which ask runs, and merges their answers.
type LogsCoordinator interface {
	Coordinate(ctx context.Context, tenant string, q *logs.Query, s logql.Split, ask logql.Ask) (*logs.Result, error)
	// Steps and CheckSeries are about answers that are put together, see logql.Engine.
	Steps(tenant string, q *logs.Query) (s logql.Steps, ok bool)
	CheckSeries(tenant string, n int) error
}

// TracesCoordinator cuts traces queries into jobs, which ask runs, and merges their answers.
type TracesCoordinator interface {
	Coordinate(ctx context.Context, tenant string, q *traces.Query, s traceql.Split, ask traceql.Ask) (*traces.Result, error)
}

// run answers j by one job or several.
func (f *Frontend) run(ctx context.Context, j job.Job) (job.Result, error) {
	switch {
	case j.Metrics != nil:
		res, err := f.metrics.run(ctx, j)
		return job.Result{Metrics: res}, err
	case j.Traces != nil:
		res, err := f.runTraces(ctx, j)
		return job.Result{Traces: res}, err
	}
	res, err := f.runLogs(ctx, j)
	return job.Result{Logs: res}, err
}

// coordinate answers a logs query by jobs.
func (f *Frontend) coordinate(ctx context.Context, j job.Job) (*logs.Result, error) {
	c := f.cfg.Logs
	split := logql.Split{JobBytes: int64(c.JobSize), MaxShards: c.MaxShards, MaxJobs: c.MaxJobs}
	return f.logs.Coordinate(ctx, j.Tenant, j.Logs, split, func(ctx context.Context, q *logs.Query) (*logs.Result, error) {
		r, err := f.ask(ctx, job.Job{Tenant: j.Tenant, Logs: q}, q.Partial)
		return r.Logs, err
	})
}

// runTraces answers a traces query by jobs.
func (f *Frontend) runTraces(ctx context.Context, j job.Job) (*traces.Result, error) {
	split := traceql.Split{JobSpans: f.cfg.Traces.JobSpans, MaxJobs: f.cfg.Traces.MaxJobs}
	return f.traces.Coordinate(ctx, j.Tenant, j.Traces, split, func(ctx context.Context, q *traces.Query) (*traces.Result, error) {
		r, err := f.ask(ctx, job.Job{Tenant: j.Tenant, Traces: q}, q.Whole != nil)
		return r.Traces, err
	})
}

// ask runs a job of a query, or a part of one, once more if that may help: a block may have been replaced by another
// meanwhile, or a querier have gone.
func (f *Frontend) ask(ctx context.Context, j job.Job, part bool) (job.Result, error) {
	if part {
		done, err := f.slots.take(ctx, j.Tenant)
		if err != nil {
			return job.Result{}, err
		}
		defer done()
	}
	r, err := f.next.Run(ctx, j)
	if err != nil && ctx.Err() == nil && retriable(err) {
		f.retries.Inc()
		r, err = f.next.Run(ctx, j)
	}
	return r, err
}

// retriable: a rate or a time that ran out doesn't get better by asking again at once.
func retriable(err error) bool {
	c := fault.ClassOf(err)
	return c == fault.Unavailable || c == fault.Internal
}

// jobsOfTenant is how many jobs that queries of one tenant were cut into are with the scheduler at once. They
// leave room in its queue for whole queries: one that can't be cut would be refused, while these can wait here.
const jobsOfTenant = 256

// slots bounds what is done at once for each tenant. Who waits is a goroutine of a query that is bounded itself.
type slots struct {
	most int64

	mu      sync.Mutex
	tenants map[string]*tenantSlots
}

type tenantSlots struct {
	free  *semaphore.Weighted
	users int
}

// take waits for a slot and returns what gives it back.
func (s *slots) take(ctx context.Context, tenant string) (done func(), err error) {
	s.mu.Lock()
	t := s.tenants[tenant]
	if t == nil {
		if s.tenants == nil {
			s.tenants = map[string]*tenantSlots{}
		}
		t = &tenantSlots{free: semaphore.NewWeighted(s.most)}
		s.tenants[tenant] = t
	}
	t.users++
	s.mu.Unlock()
	if t.free.Acquire(ctx, 1) != nil {
		s.leave(tenant, t)
		return nil, context.Cause(ctx)
	}
	return func() {
		t.free.Release(1)
		s.leave(tenant, t)
	}, nil
}

func (s *slots) leave(tenant string, t *tenantSlots) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(s.tenants, tenant)
	}
}
