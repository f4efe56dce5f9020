package main

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

// The set of dashboards: a day of a few systems, each logged by so many pods.
const (
	dashboardPods = 10
	dashboardDay  = 24 * time.Hour
)

// dashboardQuery is a query of a dashboard over all of a day.
type dashboardQuery struct {
	name, expr string
	step       time.Duration
	limit      int
	times      float64 // how many times faster than line by line it should be; 0: nothing was asked for
	atMost     float64 // ms; 0: nothing was asked for
}

var dashboardQueries = []dashboardQuery{
	{name: "errors by level, 1 m", expr: `sum by (detected_level) (count_over_time({app="json"} |= "error" [1m]))`, step: time.Minute, times: 10},
	{name: "quantile of a JSON field", expr: `quantile_over_time(0.95, {app="json"} | json | __error__="" | unwrap latency_ms [5m]) by (pod)`, step: 5 * time.Minute, times: 10},
	{name: "topk of a logfmt field", expr: `topk(5, sum by (component) (count_over_time({app="logfmt"} | logfmt [5m])))`, step: 5 * time.Minute, times: 10},
	{name: "rate by status, filtered", expr: `sum by (status) (rate({app="json"} | json | status >= 500 [5m]))`, step: 5 * time.Minute},
	{name: "bytes over time", expr: `sum by (app) (bytes_over_time({env="prod"}[5m]))`, step: 5 * time.Minute},
	{name: "newest 100", expr: `{env="prod"}`, limit: 100, atMost: 50},
	{name: "newest 100 of a filter", expr: `{app="json"} | json | status >= 500`, limit: 100, atMost: 50},
	{name: "newest 100 of a rare word", expr: `{env="prod"} |= "duplicate key" | logfmt`, limit: 100},
}

// dashboardsPart compares dashboard queries with the plain evaluator, which takes each line through each stage, and
// one job with several.
func dashboardsPart(ctx context.Context, b *bench) error {
	d, err := b.dashboards(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = d.file.f.Close() }()
	fmt.Printf("A day of %.0f MB of lines in %d streams, one block. Processor time in ms, the least of %d. Plain: line by line, warm.\n",
		mb(int(d.bytes)), d.streams, b.runs)
	fmt.Println("Cold: the block was opened, nothing of its pages is decoded. Cut: into 8 jobs or so by the frontend's part of the engine.")
	fmt.Println()
	fmt.Println("| query | plain | cold | warm | cut, warm | jobs | explain | times faster, cold | demands |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, q := range dashboardQueries {
		if err := d.compare(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	fmt.Printf("\nA range aggregation on columns got through %.0f MB of lines a second at most.\n", d.fastest/1e6)
	return nil
}

// defaultRuns is how often each query is asked unless -runs says otherwise: where others use the machine, too, the least of three was off by a third.
const defaultRuns = 7

// dashboards is the set as a block.
type dashboards struct {
	meta    *block.Meta
	file    *countedFile
	bytes   int64
	streams int
	runs    int
	fastest float64 // bytes of lines a second
}

func (b *bench) dashboards(ctx context.Context) (*dashboards, error) {
	d := &dashboards{runs: b.runs, meta: &block.Meta{Version: block.MetaVersion, ULID: ulid.MustNew(1, bytes.NewReader(make([]byte, 10))),
		Tenant: tenantID, Producer: "bench", Created: time.Unix(1, 0)}}
	head, enricher := logs.NewHead(logs.HeadOptions{}), logs.NewEnricher(logs.DefaultEnrichOptions())
	for _, set := range b.sets {
		if set.Adversarial {
			continue
		}
		for pod := range dashboardPods {
			if err := d.fill(ctx, head, enricher, set, b.seed+uint64(pod), b.size/dashboardPods, pod); err != nil {
				return nil, err
			}
			d.streams++
		}
	}
	dir := filepath.Join(b.dir, "dashboards")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	if err := head.WriteBlock(ctx, dir, d.meta); err != nil {
		return nil, err
	}
	var err error
	d.file, err = openCounted(filepath.Join(dir, block.DataFile))
	return d, err
}

// fill appends a day of a pod.
func (d *dashboards) fill(ctx context.Context, head *logs.Head, enricher *logs.Enricher, set loggen.Set, seed uint64, size, pod int) error {
	lines := set.Lines(seed, size)
	const entries = 1000
	every := int64(dashboardDay) / int64(lines.Len()+1)
	for from := 0; from < lines.Len(); from += entries {
		s := logs.Stream{Labels: labels.FromStrings("app", set.Name, "env", "prod", "pod", fmt.Sprintf("%s-%d", set.Name, pod))}
		for i := from; i < min(from+entries, lines.Len()); i++ {
			line := string(lines.At(i))
			d.bytes += int64(len(line))
			s.Entries = append(s.Entries, logs.Entry{Timestamp: int64(i) * every, Line: line})
		}
		enricher.Stream(&s)
		head.Append(&logs.Batch{Streams: []logs.Stream{s}})
		if err := head.Seal(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *dashboards) open(ctx context.Context) (logs.Source, error) {
	r, err := block.Open(ctx, d.file, "dashboards", d.meta.Data.Size, block.ReaderOptions{})
	if err != nil {
		return nil, err
	}
	blk, err := logs.OpenBlock(ctx, r)
	if err != nil {
		return nil, err
	}
	return logs.NewSource(func(context.Context, string, int64, int64) ([]logs.Part, error) { return []logs.Part{blk}, nil }), nil
}

// lineByLine is a source that leaves all filtering to the stages.
type lineByLine struct{ logs.Source }

func (s lineByLine) SelectRows(ctx context.Context, tenant string, sel logs.Select) iter.Seq2[*logs.Rows, error] {
	sel.Filters, sel.Limit, sel.Narrow = nil, 0, nil
	return s.Source.SelectRows(ctx, tenant, sel)
}

// compare prints what a query costs in each way, and an error where the answers differ.
func (d *dashboards) compare(ctx context.Context, q dashboardQuery) error {
	query := &logs.Query{Kind: logs.Range, Expr: q.expr, Start: 0, End: int64(dashboardDay), Step: int64(q.step), Limit: q.limit}
	limits := func(string) logql.Limits { return logql.Limits{MaxSeries: 10_000} }
	plain := logql.NewEngine(logql.Options{Limits: limits, NoPushdown: true})
	engine := logql.NewEngine(logql.Options{Limits: limits})
	src, err := d.open(ctx)
	if err != nil {
		return err
	}
	want, took, err := fastestOf(d.runs, func() (*logs.Result, error) { return plain.Run(ctx, tenantID, query, lineByLine{src}) }, nil)
	if err != nil {
		return err
	}
	var fresh logs.Source
	got, cold, err := fastestOf(d.runs, func() (*logs.Result, error) { return engine.Run(ctx, tenantID, query, fresh) },
		func() (err error) { fresh, err = d.open(ctx); return err })
	if err != nil {
		return err
	}
	if err := sameSum(got, want); err != nil {
		return err
	}
	_, warm, err := fastestOf(d.runs, func() (*logs.Result, error) { return engine.Run(ctx, tenantID, query, src) }, nil)
	if err != nil {
		return err
	}
	split := logql.Split{JobBytes: d.bytes/8 + 1, MaxShards: 16, MaxJobs: 16}
	coordinate := func(query *logs.Query) func() (*logs.Result, error) {
		return func() (*logs.Result, error) {
			return engine.Coordinate(ctx, tenantID, query, split, func(ctx context.Context, q *logs.Query) (*logs.Result, error) {
				return engine.Run(ctx, tenantID, q, src)
			})
		}
	}
	merged, cut, err := fastestOf(d.runs, coordinate(query), nil)
	if err != nil {
		return err
	}
	if err := sameSum(merged, want); err != nil {
		return fmt.Errorf("cut: %w", err)
	}
	explained := *query
	explained.Explain = true
	_, explain, err := fastestOf(d.runs, coordinate(&explained), nil)
	if err != nil {
		return err
	}
	if q.limit == 0 {
		d.fastest = max(d.fastest, float64(got.Stats.BytesProcessed)/warm.Seconds())
	}
	demands := marks(demandOf(q.times, atLeast(q.times, "times")).mark(rate(took, cold)), demandOf(q.atMost, atMost(q.atMost, "ms")).mark(millis(cold)))
	fmt.Printf("| %s | %.1f | %.1f | %.1f | %.1f | %d | %.1f | %.1f | %s |\n", q.name, millis(took), millis(cold), millis(warm), millis(cut),
		max(merged.Stats.Jobs, 1), millis(explain), rate(took, cold), demands)
	return nil
}

// demandOf is d where something was asked for.
func demandOf(x float64, d *demand) *demand {
	if x == 0 {
		return nil
	}
	return d
}

// fastestOf returns the answer and the least time of a few runs.
func fastestOf(runs int, run func() (*logs.Result, error), prepare func() error) (res *logs.Result, best time.Duration, err error) {
	best = math.MaxInt64
	for range runs {
		if prepare != nil {
			if err := prepare(); err != nil {
				return nil, 0, err
			}
		}
		took := measure(func() { res, err = run() })
		if err != nil {
			return nil, 0, err
		}
		best = min(best, took)
	}
	return res, best, nil
}

// sameSum compares two answers by their number of series, points and entries, and by what all values add up to.
func sameSum(got, want *logs.Result) error {
	sum := func(r *logs.Result) (n int, sum float64) {
		for _, s := range r.Matrix {
			n += 1 + len(s.Points)
			for _, p := range s.Points {
				sum += p.V
			}
		}
		for _, s := range r.Streams {
			n += 1 + len(s.Entries)
			for _, e := range s.Entries {
				sum += float64(len(e.Line)) + float64(e.Timestamp%1e9)
			}
		}
		return n, sum
	}
	n, s := sum(got)
	m, w := sum(want)
	if n != m || !near(s, w) {
		return fmt.Errorf("%d values of %g, line by line %d of %g", n, s, m, w)
	}
	return nil
}
