package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/bench/internal/process"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

// The bucket of blocksSuite: as many blocks of two hours, of so many series with a sample each minute.
const (
	startBlocks     = 50
	startSeries     = 1000
	startBlockRange = 2 * time.Hour
	startInterval   = time.Minute
)

// blocksSuite measures the time from exec to /ready where the bucket has blocks of metrics and the disk nothing of
// them, and of the first questions after it: by the clock, and by the processor.
func blocksSuite(b *bench) (err error) {
	dir, err := os.MkdirTemp(b.dir, "hune-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	end := time.Now().Truncate(startBlockRange)
	if err := fillBucket(dir, end); err != nil {
		return err
	}
	for _, what := range []string{"nothing on the disk", "started again"} {
		s, err := b.start(dir, process.Quiet...)
		if err != nil {
			return err
		}
		used, err := s.CPU()
		if err != nil {
			return errors.Join(err, s.Stop())
		}
		fmt.Printf("`/ready` with %d blocks of %d series in the bucket, %s: %s, %s of processor time\n", startBlocks, startSeries, what, round(s.Ready), round(used))
		if err := errors.Join(askBlocks(s, end), s.Stop()); err != nil {
			return err
		}
	}
	return nil
}

// askBlocks asks about one series in all blocks, and for rates of all series in the newest, and prints the times.
func askBlocks(s *server, end time.Time) error {
	for _, q := range []struct {
		name, expr string
		length     time.Duration
	}{
		{"samples of one series in all blocks", `count_over_time(requests_total{instance="host-7"}[30d])`, 0},
		{"rate of all series in the last block", `sum by (job) (rate(requests_total[5m]))`, time.Hour},
	} {
		v := url.Values{"query": {q.expr}, "start": {unix(end.Add(-q.length))}, "end": {unix(end)}, "step": {"60"}}
		before, err := s.CPU()
		if err != nil {
			return err
		}
		began := time.Now()
		body, err := s.Get("/api/v1/query_range?" + v.Encode())
		took := time.Since(began)
		if err != nil {
			return err
		}
		after, err := s.CPU()
		if err != nil {
			return err
		}
		var answer struct {
			Data struct{ Result []json.RawMessage }
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return err
		}
		if len(answer.Data.Result) == 0 {
			return fmt.Errorf("%s: no answer", q.expr)
		}
		fmt.Printf("- %s: %s, %s\n", q.name, round(took), round(after-before))
	}
	return nil
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// fillBucket makes the bucket of a data folder, with the newest block ending at end.
func fillBucket(dir string, end time.Time) (err error) {
	bkt, err := bucket.OpenFilesystem(filepath.Join(dir, "data", "bucket"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	heads, err := metrics.OpenHeads(ctx, metrics.HeadOptions{Dir: filepath.Join(dir, "heads"), Config: metrics.DefaultConfig(), Bucket: bkt,
		Logger: slog.New(slog.DiscardHandler), Registerer: promclient.NewRegistry(), SyncInterval: time.Hour})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, heads.Close()) }()
	batch := &metrics.Batch{Series: make([]metrics.Series, startSeries)}
	for i := range batch.Series {
		batch.Series[i] = metrics.Series{Labels: labels.FromStrings("__name__", "requests_total", "instance", fmt.Sprintf("host-%d", i), "job", fmt.Sprintf("job-%d", i%20)),
			Samples: make([]metrics.Sample, 1)}
	}
	for t := end.Add(-startBlocks * startBlockRange); t.Before(end); t = t.Add(startInterval) {
		for i := range batch.Series {
			p := &batch.Series[i].Samples[0]
			p.T, p.V = t.UnixMilli(), p.V+float64(i%97)
		}
		r, err := heads.Append(ctx, tenant.Anonymous, batch)
		if err == nil && len(r.Rejected) > 0 {
			err = errors.New(r.Rejected[0].Message)
		}
		if err != nil {
			return err
		}
		if next := t.Add(startInterval); next.Equal(next.Truncate(startBlockRange)) {
			if err := heads.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
