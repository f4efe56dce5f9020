package logql

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// Limits bound what one query of a tenant may cost. Zero means no limit, but for MaxSeries,
// MaxEntries, MaxPoints, MaxSamples and MaxMemory, which take their defaults then.
type Limits struct {
	MaxSeries  int           // series of an answer; default 500
	MaxEntries int           // entries of an answer; default 5000
	MaxPoints  int           // points of a series of a range query; default 11000
	MaxSamples int           // samples held while computing, of all series together; default 50 million
	MaxLength  time.Duration // end - start
	MaxBytes   int64         // of lines looked at
	MaxLines   int64         // looked at
	MaxMemory  int64         // bytes held for the answer and while computing; default 1 GiB
}

func (l Limits) orDefault() Limits {
	if l.MaxSeries <= 0 {
		l.MaxSeries = 500
	}
	if l.MaxEntries <= 0 {
		l.MaxEntries = 5000
	}
	if l.MaxPoints <= 0 {
		l.MaxPoints = 11000
	}
	if l.MaxSamples <= 0 {
		l.MaxSamples = 50_000_000
	}
	if l.MaxMemory <= 0 {
		l.MaxMemory = 1 << 30
	}
	return l
}

// Options are the parts of an Engine.
type Options struct {
	// Limits returns the limits of a tenant. Nil means the defaults for everyone.
	Limits func(tenant string) Limits
	// NoPushdown has every row that the source's filters leave go through the stages one by one, as if no page
	// had columns. The answers are the same; it's there to compare with.
	NoPushdown bool
	// Memory counts and bounds what all queries hold together. Nil: they are counted alone, without bound.
	Memory *Memory
}

// Engine answers queries. It is stateless and safe for concurrent use.
type Engine struct {
	limits     func(tenant string) Limits
	noPushdown bool
	memory     *Memory
}

// NewEngine returns an engine.
func NewEngine(o Options) *Engine {
	e := &Engine{limits: o.Limits, noPushdown: o.NoPushdown, memory: o.Memory}
	if e.limits == nil {
		e.limits = func(string) Limits { return Limits{} }
	}
	if e.memory == nil {
		e.memory = NewMemory(0)
	}
	return e
}

// Run answers q from src. Errors are classed: the user's are Invalid or Unprocessable, those of src keep
// their class.
func (e *Engine) Run(ctx context.Context, tenant string, q *logs.Query, src logs.Source) (*logs.Result, error) {
	started := time.Now()
	caller := logs.StatsFrom(ctx)
	ctx, stats := logs.WithStats(ctx)
	r := e.newRun(ctx, tenant, q)
	r.src, r.stats = classedSource{ofTrace(src, q.TraceID)}, stats
	defer r.close()
	err := r.answer()
	caller.Add(stats.Snapshot())
	if err != nil {
		return nil, classed(err)
	}
	r.countReads()
	r.res.Stats.ExecNanoseconds = time.Since(started).Nanoseconds()
	r.res.Stats.MemoryBytes = r.peak.Load()
	return r.res, nil
}

func (e *Engine) newRun(ctx context.Context, tenant string, q *logs.Query) *run {
	r := &run{ctx: ctx, tenant: tenant, q: q, limits: e.limits(tenant).orDefault(), res: &logs.Result{}, noPushdown: e.noPushdown}
	r.budget = &budget{limits: r.limits, pool: e.memory}
	return r
}

// run is one query on its way.
type run struct {
	ctx    context.Context
	tenant string
	q      *logs.Query
	src    logs.Source
	limits Limits
	res    *logs.Result
	*budget

	stats      *logs.Stats // what the source counts
	ask        Ask         // of who has jobs do the work; src is nil then
	split      Split
	noPushdown bool
}

// countReads fills in what the source counted. It counts the lines that it looked at, of which filters
// leave fewer; where it doesn't count, as across a network, what came is counted.
func (r *run) countReads() {
	s, read := &r.res.Stats, r.stats.Snapshot()
	s.Blocks, s.Pages, s.BytesRead, s.RangeReads = read.Blocks, read.Pages, read.BytesRead, read.RangeReads
	s.LinesProcessed = max(s.LinesProcessed, read.LinesProcessed)
	s.BytesProcessed = max(s.BytesProcessed, read.BytesProcessed)
}

func (r *run) answer() error {
	if r.q.Kind == logs.TraceRows { // an index leads to its rows: all of time is not too long
		return r.traceRows()
	}
	if err := r.checkLength(); err != nil {
		return err
	}
	switch r.q.Kind {
	case logs.Range, logs.Instant:
		return r.query()
	case logs.LabelNames, logs.LabelValues, logs.SeriesKind, logs.DetectedLabels:
		return r.labelsQuery()
	case logs.StatsKind, logs.VolumeKind, logs.VolumeRange:
		return r.volumeQuery()
	case logs.DetectedFields, logs.DetectedFieldValues:
		return r.detectFields()
	case logs.Patterns:
		return r.findPatterns()
	}
	return fault.Errorf(fault.NotYet, "logs query kind %q is not supported yet", r.q.Kind)
}

func (r *run) checkLength() error {
	length := time.Duration(r.q.End - r.q.Start)
	if length < 0 {
		return errorString("end timestamp must not be before or equal to start time")
	}
	if r.q.TraceID != "" {
		return nil // An index leads to the rows: the range costs nothing.
	}
	if r.limits.MaxLength > 0 && length > r.limits.MaxLength {
		return fmt.Errorf("the query time range exceeds the limit (query length: %s, limit: %s)",
			length, model.Duration(r.limits.MaxLength))
	}
	return nil
}

const instantLogText = "log queries are not supported as an instant query type, please change your query to a range query type"

func (r *run) query() error {
	expr, err := r.parse()
	if err != nil {
		return err
	}
	p := r.plan(expr)
	switch {
	case r.q.Explain && !r.q.Estimate:
		return r.explain(p)
	case r.q.Estimate:
		return r.estimate(p)
	}
	if n, ok := p.(*limitNode); ok {
		return r.logQuery(n)
	}
	return r.sampleQuery(expr, p)
}

// parse reads the query, and refuses one that there is no answer to. What is not written and yet meant is put in, but
// what a job is asked for has that already.
func (r *run) parse() (Expr, error) {
	expr, err := Parse(r.q.Expr)
	if err != nil {
		return nil, err
	}
	if err := r.check(expr); err != nil {
		return nil, err
	}
	_, isLog := expr.(*LogQuery)
	if r.q.AutoFields {
		expr = autoFields(expr, r.q.Partial && !isLog)
	}
	if !r.q.Partial {
		expr = dividedAverages(expr)
	}
	return expr, nil
}

// check refuses queries that there is no answer to.
func (r *run) check(expr Expr) error {
	if _, isLog := expr.(*LogQuery); !isLog {
		return nil
	}
	switch {
	case r.q.Kind == logs.Instant:
		return errorString(instantLogText)
	case r.q.Limit > r.limits.MaxEntries:
		return fmt.Errorf("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)",
			r.q.Limit, r.limits.MaxEntries)
	}
	return nil
}

// plan returns the plan of the query.
func (r *run) plan(expr Expr) planNode {
	limit := r.q.Limit
	if limit <= 0 {
		limit = min(defaultLimit, r.limits.MaxEntries)
	}
	return optimized(newPlan(expr, r.q, limit))
}

// anyStream reports whether a stream matches in the time of sel. A stage that does not compile is
// only a fault where there is something for it to work on.
func (r *run) anyStream(sel logs.Select) (bool, error) {
	found, err := r.src.Series(r.ctx, r.tenant, sel.Start, sel.End, [][]logs.Matcher{sel.Matchers})
	return len(found) > 0, err
}

// rowReader walks the rows of a selection and finds each row's stream.
type rowReader struct {
	r       *run
	streams map[string]*stream
	current []known // by index in the batch
	batch   uint32
	key     []byte
}

// known is a stream found for an index of the batch; other batches may mean another stream by it. A
// batch may list many more streams than it has rows of, so nothing is cleared between batches.
type known struct {
	batch  uint32
	stream *stream
}

func newRowReader(r *run) *rowReader { return &rowReader{r: r, streams: map[string]*stream{}} }

// each calls yield for every row of sel until it returns false.
func (rr *rowReader) each(sel logs.Select, yield func(base *stream, ts int64, line []byte, md []logs.Label) (bool, error)) error {
	stats := &rr.r.res.Stats
	for rows, err := range rr.r.src.SelectRows(rr.r.ctx, rr.r.tenant, sel) {
		if err != nil {
			return err
		}
		if err := rr.r.ctx.Err(); err != nil {
			return context.Cause(rr.r.ctx)
		}
		rr.batch++
		if n := len(rows.Streams); n > len(rr.current) {
			rr.current = append(rr.current, make([]known, n-len(rr.current))...)
		}
		for i, line := range rows.Lines {
			if i%1024 == 1023 && rr.r.ctx.Err() != nil {
				return context.Cause(rr.r.ctx)
			}
			stats.LinesProcessed++
			stats.BytesProcessed += int64(len(line))
			var md []logs.Label
			if rows.Metadata != nil {
				md = rows.Metadata[i]
			}
			more, err := yield(rr.stream(rows, rows.Stream[i]), rows.Timestamps[i], line, md)
			if err != nil || !more {
				return err
			}
		}
		if err := rr.r.checkRead(stats.LinesProcessed, stats.BytesProcessed); err != nil {
			return err
		}
	}
	// A source may end early and quietly when the query is cancelled.
	if rr.r.ctx.Err() != nil {
		return context.Cause(rr.r.ctx)
	}
	return nil
}

func (rr *rowReader) stream(rows *logs.Rows, i uint32) *stream {
	if k := rr.current[i]; k.batch == rr.batch {
		return k.stream
	}
	rr.key = rows.Streams[i].Bytes(rr.key[:0])
	s := rr.streams[string(rr.key)]
	if s == nil {
		s = newStream(uint32(len(rr.streams)), rows.Streams[i].Copy())
		rr.streams[string(rr.key)] = s
	}
	rr.current[i] = known{rr.batch, s}
	return s
}
