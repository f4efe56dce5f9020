// Command promql measures range queries of metrics on Hune's engine and storage, and on the engine and the TSDB of
// the Prometheus library, with the same samples in the same process. It prints tables for docs/benchmarks.md.
//
//	go run ./bench/promql [-series 1000,10000] [-hours 0.5,6] [-interval 15s] [-runs 5] [-cpuprofile FOLDER]
//
// Times are by the clock and by the processor, collector of garbage included, the least of the runs of each; the two
// sides take turns. Compare figures of one run with each other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/frontend"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
)

const (
	tenant = "bench"
	expr   = "sum by (job) (rate(http_requests_total[5m]))"
)

type config struct {
	interval time.Duration
	runs     int
	dir      string
	profiles string // folder for profiles; empty: none are made
}

func main() {
	series := flag.String("series", "1000,10000", "how many series, sizes to measure")
	hours := flag.String("hours", "0.5,6", "how long a range, hours to measure")
	interval := flag.Duration("interval", 15*time.Second, "between samples, and between the steps of a query of half an hour")
	runs := flag.Int("runs", 5, "of each query")
	dir := flag.String("dir", os.TempDir(), "folder for the data")
	profiles := flag.String("cpuprofile", "", "folder for profiles of Hune's queries, one for each row, of twice the runs")
	flag.Parse()
	if err := run(*series, *hours, config{*interval, *runs, *dir, *profiles}); err != nil {
		fmt.Fprintln(os.Stderr, "bench/promql:", err)
		os.Exit(1)
	}
}

func run(series, hours string, c config) error {
	fmt.Printf("%s, %s, %d cores, a sample each %s, `%s`\n\n", time.Now().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), c.interval, expr)
	fmt.Println("| series | range | step | from | Prometheus ms | its CPU ms | Hune ms | its CPU ms | faster | less CPU | cached ms |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	for s := range strings.SplitSeq(series, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("series: %w", err)
		}
		for h := range strings.SplitSeq(hours, ",") {
			length, err := strconv.ParseFloat(h, 64)
			if err != nil {
				return fmt.Errorf("hours: %w", err)
			}
			if err := measureSize(n, time.Duration(length*float64(time.Hour)), c); err != nil {
				return err
			}
		}
	}
	return nil
}

// measureSize measures the query over one set of samples, in memory and in blocks.
func measureSize(n int, length time.Duration, c config) error {
	dir, err := os.MkdirTemp(c.dir, "hune-bench-promql-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	// In the middle of a block's range, so that all of it is in memory at first.
	end := time.Now().Add(-2 * time.Hour).Truncate(24 * time.Hour).Add(13 * time.Hour)
	begin := end.Add(-length - 5*time.Minute)
	theirs, err := openTheirs(filepath.Join(dir, "prometheus"))
	if err != nil {
		return err
	}
	defer func() { _ = theirs.db.Close() }()
	bkt, err := bucket.OpenFilesystem(filepath.Join(dir, "bucket"))
	if err != nil {
		return err
	}
	ours, err := openOurs(dir, bkt)
	if err != nil {
		return err
	}
	defer ours.close()
	set := makeSeries(n)
	for t := begin; !t.After(end); t = t.Add(c.interval) {
		set.advance(t.UnixMilli())
		if err := theirs.append(set); err != nil {
			return err
		}
		if err := ours.append(ctx, set); err != nil {
			return err
		}
	}
	step := max(c.interval, length/240)
	q := &metrics.Query{Kind: metrics.Range, Expr: expr, Start: end.Add(-length).UnixMilli(), End: end.UnixMilli(), Step: step.Milliseconds()}
	for _, place := range []string{"memory", "blocks"} {
		if place == "blocks" {
			if err := theirs.flush(); err != nil {
				return err
			}
			if err := ours.flush(ctx); err != nil {
				return err
			}
		}
		row, err := compare(ctx, theirs, ours, q, end, c.runs)
		if err != nil {
			return err
		}
		fmt.Printf("| %d | %s | %s | %s | %s |\n", n, length, step, place, row)
		if c.profiles != "" {
			name := filepath.Join(c.profiles, fmt.Sprintf("%d-%s-%s.pprof", n, length, place))
			if err := profile(ctx, ours, q, name, 2*c.runs); err != nil {
				return err
			}
		}
	}
	return nil
}

// profile writes a profile of the processor time of queries to a file.
func profile(ctx context.Context, ours *ours, q *metrics.Query, name string, runs int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	for range runs {
		if _, err = ours.query(ctx, q); err != nil {
			break
		}
	}
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

// cost is what one run of a query takes.
type cost struct{ clock, cpu time.Duration }

func (c *cost) least(other cost) {
	c.clock, c.cpu = min(c.clock, other.clock), min(c.cpu, other.cpu)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("getrusage of the own process: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func measure(f func() error) (cost, error) {
	runtime.GC()
	clock, cpu := time.Now(), cpuTime()
	err := f()
	return cost{time.Since(clock), cpuTime() - cpu}, err
}

// compare lets both sides answer in turns and returns the cells of a row.
func compare(ctx context.Context, theirs *theirs, ours *ours, q *metrics.Query, end time.Time, runs int) (string, error) {
	a, b := cost{math.MaxInt64, math.MaxInt64}, cost{math.MaxInt64, math.MaxInt64}
	cached := cost{math.MaxInt64, math.MaxInt64}
	front, err := ours.frontend(end.Add(2 * time.Hour))
	if err != nil {
		return "", err
	}
	ask := func() error {
		_, err := front.Run(ctx, job.Job{Tenant: tenant, Metrics: q})
		return err
	}
	if err := ask(); err != nil { // fills the cache
		return "", err
	}
	for range runs {
		var want, got promql.Matrix
		one, err := measure(func() (err error) { want, err = theirs.query(ctx, q); return err })
		if err != nil {
			return "", fmt.Errorf("prometheus: %w", err)
		}
		two, err := measure(func() (err error) { got, err = ours.query(ctx, q); return err })
		if err != nil {
			return "", fmt.Errorf("hune: %w", err)
		}
		if err := same(want, got); err != nil {
			return "", err
		}
		three, err := measure(ask)
		if err != nil {
			return "", err
		}
		a.least(one)
		b.least(two)
		cached.least(three)
	}
	ms := func(d time.Duration) string { return strconv.FormatFloat(float64(d)/1e6, 'f', 1, 64) }
	return fmt.Sprintf("%s | %s | %s | %s | %.1fx | %.1fx | %s", ms(a.clock), ms(a.cpu), ms(b.clock), ms(b.cpu),
		float64(a.clock)/float64(b.clock), float64(a.cpu)/float64(b.cpu), ms(cached.clock)), nil
}

// same reports answers that differ by more than the order of a sum explains.
func same(want, got promql.Matrix) error {
	if len(want) != len(got) || len(want) == 0 {
		return fmt.Errorf("%d series instead of %d", len(got), len(want))
	}
	for i := range want {
		for j, p := range want[i].Floats {
			if len(got[i].Floats) <= j || math.Abs(p.F-got[i].Floats[j].F) > 1e-9*math.Abs(p.F) {
				return fmt.Errorf("the answers for %s differ at step %d", want[i].Metric, j)
			}
		}
	}
	return nil
}

// ours is Hune's heads, blocks and engine.
type ours struct {
	heads  *metrics.Heads
	store  *metrics.BlockStore
	engine *metrics.Engine
	source metrics.Source
}

func openOurs(dir string, bkt objstore.Bucket) (*ours, error) {
	quiet := slog.New(slog.DiscardHandler)
	cfg := metrics.DefaultConfig()
	cfg.MaxFuture = 0
	// One block for all that is measured, as after compaction.
	cfg.BlockRange *= 12
	heads, err := metrics.OpenHeads(context.Background(), metrics.HeadOptions{Dir: filepath.Join(dir, "heads"), Config: cfg, Bucket: bkt, Logger: quiet,
		Registerer: prometheus.NewRegistry(), SyncInterval: time.Hour})
	if err != nil {
		return nil, err
	}
	store, err := metrics.NewBlockStore(metrics.BlockStoreOptions{Dir: filepath.Join(dir, "headers"), Config: cfg.Store, Bucket: bkt, Logger: quiet,
		Registerer: prometheus.NewRegistry()})
	if err != nil {
		return nil, err
	}
	return &ours{heads, store, metrics.NewEngine(metrics.EngineOptions{Config: cfg.Query, Logger: quiet, Registerer: prometheus.NewRegistry()}), heads}, nil
}

func (o *ours) close() {
	_ = o.heads.Close()
	_ = o.store.Close()
}

func (o *ours) append(ctx context.Context, s *seriesSet) error {
	r, err := o.heads.Append(ctx, tenant, &metrics.Batch{Series: s.batch})
	if err == nil && len(r.Rejected) > 0 {
		err = fmt.Errorf("rejected: %s", r.Rejected[0].Message)
	}
	return err
}

func (o *ours) flush(ctx context.Context) error {
	if err := o.heads.Flush(ctx); err != nil {
		return err
	}
	o.source = o.store
	return o.store.Refresh(ctx)
}

func (o *ours) query(ctx context.Context, q *metrics.Query) (promql.Matrix, error) {
	r, err := o.engine.Run(ctx, tenant, q, o.source)
	if err != nil {
		return nil, err
	}
	return r.Value.(promql.Matrix), nil
}

// Run implements job.Runner for the frontend.
func (o *ours) Run(ctx context.Context, j job.Job) (job.Result, error) {
	r, err := o.engine.Run(ctx, j.Tenant, j.Metrics, o.source)
	return job.Result{Metrics: r}, err
}

func (o *ours) frontend(now time.Time) (*frontend.Frontend, error) {
	overrides, err := limits.New(limits.DefaultConfig(), nil)
	if err != nil {
		return nil, err
	}
	return frontend.New(frontend.Options{Config: frontend.DefaultConfig(), Next: o, Limits: overrides, Logger: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(), Now: func() time.Time { return now }, MetricsWindow: time.Hour}), nil
}
