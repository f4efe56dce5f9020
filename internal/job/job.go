// Package job is the contract between frontend, scheduler and querier: a piece of read work as
// plain data, and its answer. It can be queued, sent over a wire and run anywhere.
package job

import (
	"context"

	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/traces"
)

// Job is one question of one tenant. Exactly one of the pointers is set.
type Job struct {
	Tenant  string
	Metrics *metrics.Query
	Logs    *logs.Query
	Traces  *traces.Query
}

// Result answers a Job: the pointer of the job's signal is set.
type Result struct {
	Metrics *metrics.Result
	Logs    *logs.Result
	Traces  *traces.Result
}

// Runner runs jobs: the frontend for the APIs, the scheduler for the frontend, the querier for the
// scheduler. Run is safe for concurrent use and ends early when ctx is done. Errors are classed by
// package fault.
type Runner interface {
	Run(ctx context.Context, j Job) (Result, error)
}

// Ticket is a job that a querier took from the scheduler and owes an answer to.
type Ticket struct {
	ID  uint64
	Job Job
}

// Queue is where queriers ask for work. It is the scheduler's side of the boundary that crosses a
// wire when roles run apart.
//
// Take blocks until there is a job or ctx is done. The context it returns belongs to the job: it
// ends when the one who asked has gone. Every ticket taken must be finished, once.
type Queue interface {
	Take(ctx context.Context) (context.Context, Ticket, error)
	Finish(id uint64, r Result, err error)
}
