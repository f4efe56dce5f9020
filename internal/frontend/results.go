package frontend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/frontend/resultcache"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

// ResultsConfig says what answers are kept for queries to come.
type ResultsConfig struct {
	// Size is the memory for answers to LogQL metric queries over a range of time. Default 64MiB; 0 keeps none.
	Size units.Base2Bytes `yaml:"size"`
	// MaxFreshness is how old an answer has to be to be kept. Later writes to older times are noticed where the
	// role distributor runs in the same process; where it doesn't, this should be as much as logs may be late.
	// Default 10m.
	MaxFreshness model.Duration `yaml:"max_freshness"`
}

func (c ResultsConfig) validate() error {
	if c.Size < 0 || c.MaxFreshness < 0 {
		return errors.New("results_cache: size and max_freshness must not be negative")
	}
	return nil
}

// logsResults is what the frontend keeps of answers to logs queries.
type logsResults struct {
	cache   *resultcache.Cache[*logs.Result] // nil: none
	changes resultcache.Changes
	flights resultcache.Flights[*logs.Result]
}

func newLogsResults(o *Options) *logsResults {
	r := new(logsResults)
	if o.Config.ResultsCache.Size > 0 {
		r.cache = resultcache.New(resultcache.Options[*logs.Result]{
			Size: int64(o.Config.ResultsCache.Size), Changes: &r.changes, Name: "logs", Registerer: o.Registerer,
			Codec: resultcache.Codec[*logs.Result]{Cut: logql.CutSteps, Join: logql.JoinSteps, Size: logql.SizeOfSteps},
		})
	}
	return r
}

// settled is the last time, in nanoseconds, whose answers are kept.
func (f *Frontend) settled() int64 {
	return f.now().UnixNano() - int64(f.cfg.ResultsCache.MaxFreshness)
}

// LogsWritten tells the frontend that logs were written which queries see by now, the oldest of them at a time in
// nanoseconds. It must return before the write is acknowledged.
func (f *Frontend) LogsWritten(tenant string, oldest int64) {
	// The clock is read after the write: a query that has not seen it began earlier, and keeps nothing later than this.
	if oldest <= f.settled() {
		f.results.changes.Note(tenant, oldest)
	}
}

// runLogs answers a logs query. Who asks what is being answered waits for that answer.
func (f *Frontend) runLogs(ctx context.Context, j job.Job) (*logs.Result, error) {
	steps, ranged := f.logs.Steps(j.Tenant, j.Logs)
	if !ranged && !sharable(j.Logs) {
		return f.coordinate(ctx, j)
	}
	res, joined, err := f.results.flights.Do(ctx, flightKey(j), func(ctx context.Context) (*logs.Result, error) {
		if !ranged || f.results.cache == nil {
			return f.coordinate(ctx, j)
		}
		return f.cached(ctx, j, steps)
	})
	if joined {
		f.joined.Inc()
		if err == nil {
			own := *res
			res = &own
		}
	}
	return res, err
}

// sharable reports whether an answer can be given to several: entries are put in order where they are encoded.
func sharable(q *logs.Query) bool {
	switch q.Kind {
	case logs.Range, logs.TraceRows:
		return false
	}
	return !q.Explain
}

// flightKey is the same for jobs with the same answer.
func flightKey(j job.Job) string {
	q := *j.Logs
	q.Tags = ""
	return fmt.Sprintf("%q %#v", j.Tenant, q)
}

// cached answers a query from what is kept, and keeps what it had to compute.
func (f *Frontend) cached(ctx context.Context, j job.Job, s logql.Steps) (*logs.Result, error) {
	started := time.Now()
	var mu sync.Mutex
	var stats logs.QueryStats
	r := resultcache.Request{Tenant: j.Tenant, Key: s.Key, Start: s.Start, End: s.End, Step: s.Step,
		Fresh: f.settled() - int64(s.Ahead), Ahead: int64(s.Ahead), Token: f.deleted(j.Tenant)}
	v, found, err := f.results.cache.Get(ctx, r, func(ctx context.Context, start, end int64) (*logs.Result, error) {
		part := j
		part.Logs = s.At(j.Logs, start, end)
		res, err := f.coordinate(ctx, part)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		stats.Add(res.Stats)
		stats.Jobs += res.Stats.Jobs
		stats.Pieces += res.Stats.Pieces
		stats.Shards = max(stats.Shards, res.Stats.Shards)
		return &logs.Result{Matrix: res.Matrix}, nil
	})
	if err != nil {
		return nil, err
	}
	if err := f.logs.CheckSeries(j.Tenant, len(v.Matrix)); err != nil {
		return nil, err
	}
	stats.ExecNanoseconds = time.Since(started).Nanoseconds()
	stats.Cache = logs.CacheStats{Requested: found.Requested, Found: found.Found, Stored: found.Stored, FoundNanoseconds: found.Found * s.Step}
	return &logs.Result{Matrix: v.Matrix, Stats: stats}, nil
}
