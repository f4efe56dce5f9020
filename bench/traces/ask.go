package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hune-io/hune/bench/internal/process"
	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/traces"
)

// blockFile is the data file of a block in the bucket.
type blockFile struct {
	path string
	size int64
}

func storedBlocks(bucket string) (out []blockFile, err error) {
	err = filepath.WalkDir(bucket, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(name) != block.DataFile {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // compacted meanwhile
		}
		if err == nil {
			out = append(out, blockFile{name, info.Size()})
		}
		return err
	})
	return out, err
}

// settled waits until the compactor has changed nothing for a while.
func settled(bucket string) ([]blockFile, error) {
	began, since := time.Now(), time.Now()
	var last []blockFile
	for {
		now, err := storedBlocks(bucket)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if !slices.Equal(now, last) {
			last, since = now, time.Now()
		}
		if time.Since(since) > 25*time.Second {
			return last, nil
		}
		if time.Since(began) > settleFor {
			return nil, fmt.Errorf("compaction goes on after %s", settleFor)
		}
		time.Sleep(time.Second)
	}
}

// question is a demand on the latency of a request.
type question struct {
	what  string
	paths []string // asked in turn
	most  float64  // milliseconds
	want  func(answer []byte) error
}

func (b *bench) questions(s *process.Server, g *generator) ([]demand, error) {
	search := func(expr string, limit int) string {
		return "/api/search?" + url.Values{"q": {expr}, "start": {strconv.FormatInt(g.from.Unix()-60, 10)}, "end": {strconv.FormatInt(g.from.Add(length).Unix()+60, 10)},
			"limit": {strconv.Itoa(limit)}}.Encode()
	}
	metrics := func(expr string) string {
		return "/api/metrics/query_range?" + url.Values{"q": {expr}, "start": {strconv.FormatInt(g.from.Unix(), 10)}, "end": {strconv.FormatInt(g.from.Add(length).Unix(), 10)}, "step": {"15s"}}.Encode()
	}
	var byID, needle []string
	for i, id := range g.ids {
		byID = append(byID, "/api/v2/traces/"+id.String())
		needle = append(needle, search(fmt.Sprintf(`{ span.app.request.id = %q }`, g.requests[i]), 20))
	}
	some := func(answer []byte) error {
		if len(answer) < 200 {
			return fmt.Errorf("the answer is empty: %s", answer)
		}
		return nil
	}
	structural := `{ resource.service.name = "frontend" } >> { span.db.system = "postgresql" && status = error }`
	list := []question{
		{"trace by ID", byID, 3, some},
		{"rare attribute value", needle, 1, some},
		{"absent attribute value", []string{search(`{ span.app.request.id = "fedcba9876543210" }`, 20)}, 1, nil},
		{"service and name, newest 20", []string{search(`{ resource.service.name = "payment" && name = "POST /payment/4" }`, 20)}, 3, some},
		{"slow errors, all", []string{search(`{ status = error && duration > 50ms }`, 100_000)}, 12, some},
		{"structural, newest 20", []string{search(structural, 20)}, 3, some},
		{"structural, all", []string{search(structural, 100_000)}, 20, some},
		{"rate by service", []string{metrics(`{ } | rate() by (resource.service.name)`)}, 20, some},
		{"p99 by service", []string{metrics(`{ } | quantile_over_time(duration, .99) by (resource.service.name)`)}, 40, some},
		{"tag names", []string{"/api/v2/search/tags"}, 20, some},
		{"values of db.system", []string{"/api/v2/search/tag/span.db.system/values"}, 20, nil},
		{"values of thread.name", []string{"/api/v2/search/tag/span.thread.name/values"}, 20, some},
	}
	list = slices.DeleteFunc(list, func(q question) bool { return !b.ask.MatchString(q.what) })
	b.asked = list
	var out []demand
	for _, q := range list {
		var buf bytes.Buffer
		for range warm {
			if err := s.Read(&buf, q.paths[0]); err != nil {
				return nil, fmt.Errorf("%s: %w", q.what, err)
			}
		}
		before, err := s.CPU()
		if err != nil {
			return nil, err
		}
		var took float64
		var n int
		err = b.during(s, q.what, 1, func() (err error) {
			took, n, err = ask(s, &q)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.what, err)
		}
		after, err := s.CPU()
		if err != nil {
			return nil, err
		}
		what := fmt.Sprintf("%s, median; %.1f ms of processor time", q.what, (after-before).Seconds()*1000/float64(n))
		out = append(out, demand{what, took, "ms", q.most, false})
	}
	return out, nil
}

// warm is how many answers aren't measured: they leave what the next ones find. first measures what they take.
const warm = 2

// starts is how often the program is started to ask a question first.
const starts = 5

// first asks questions that are about many row groups of a program that has just started, and has nothing of the blocks
// in its memory but what a start reads. The system has the files in its cache.
func (b *bench) first(start func() (*process.Server, error)) (out []demand, err error) {
	for _, q := range b.asked {
		if !strings.HasSuffix(q.what, ", all") {
			continue
		}
		var times []time.Duration
		var spent time.Duration
		for range starts {
			took, cpu, err := askFirst(start, &q)
			if err != nil {
				return nil, fmt.Errorf("%s, first: %w", q.what, err)
			}
			times, spent = append(times, took), spent+cpu
		}
		slices.Sort(times)
		what := fmt.Sprintf("%s, asked first after a start, median; %.1f ms of processor time", q.what, spent.Seconds()*1000/starts)
		out = append(out, demand{what, float64(times[starts/2]) / 1e6, "ms", q.most, false})
	}
	return out, nil
}

func askFirst(start func() (*process.Server, error), q *question) (took, cpu time.Duration, err error) {
	s, err := start()
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	before, err := s.CPU()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	answer, err := s.Get(q.paths[0])
	took = time.Since(began)
	if err == nil && q.want != nil {
		err = q.want(answer)
	}
	after, e := s.CPU()
	return took, after - before, errors.Join(err, e)
}

// ask returns the median of the milliseconds that n answers take. They are enough for the processor time, which
// the system counts by ten milliseconds.
func ask(s *process.Server, q *question) (median float64, n int, err error) {
	var times []time.Duration
	var buf bytes.Buffer
	began := time.Now()
	for i := 0; i < max(11, min(len(q.paths), 100)) || i < 500 && time.Since(began) < time.Second; i++ {
		began := time.Now()
		if err := s.Read(&buf, q.paths[i%len(q.paths)]); err != nil {
			return 0, 0, err
		}
		answer := buf.Bytes()
		times = append(times, time.Since(began))
		if q.want != nil {
			if err := q.want(answer); err != nil {
				return 0, 0, err
			}
		}
		if i == 0 && bytes.HasPrefix(answer, []byte("{")) && !json.Valid(answer) {
			return 0, 0, fmt.Errorf("no JSON: %.100s", answer)
		}
	}
	slices.Sort(times)
	return float64(times[len(times)/2]) / 1e6, len(times), nil
}

// ranges reads ranges of one file. It is a block.RangeReader.
type ranges struct{ *os.File }

func (r ranges) ReadRange(ctx context.Context, name string, off, n int64) ([]byte, error) {
	return r.AppendRange(ctx, make([]byte, 0, n), name, off, n)
}

func (r ranges) AppendRange(_ context.Context, dst []byte, _ string, off, n int64) ([]byte, error) {
	dst = slices.Grow(dst, int(n))
	got, err := r.ReadAt(dst[len(dst):][:n], off)
	if got > 0 {
		err = nil
	}
	return dst[:len(dst)+got], err
}

// coldLookups counts what a lookup of a trace reads of a block that was opened and nothing more.
func coldLookups(ctx context.Context, blocks []blockFile, g *generator) ([]demand, error) {
	var requests, bytes float64
	for _, id := range g.ids[:min(len(g.ids), 50)] {
		for _, file := range blocks {
			n, size, found, err := coldLookup(ctx, file, id)
			if err != nil {
				return nil, err
			}
			if found {
				requests, bytes = max(requests, n), max(bytes, size)
			}
		}
	}
	return []demand{{"trace by ID, range reads of a cold block, most", requests, "", 4, false}, {"the same, bytes, most", bytes / 1000, "KB", 400, false}}, nil
}

func coldLookup(ctx context.Context, file blockFile, id traces.ID) (requests, size float64, found bool, err error) {
	f, err := os.Open(file.path)
	if err != nil {
		return 0, 0, false, err
	}
	defer func() { _ = f.Close() }()
	var mu sync.Mutex // ranges are read side by side
	opening := true
	r, err := block.Open(ctx, ranges{f}, file.path, file.size, block.ReaderOptions{OnRead: func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		if !opening {
			requests, size = requests+1, size+float64(n)
		}
	}})
	if err != nil {
		return 0, 0, false, err
	}
	b, err := traces.OpenBlock(ctx, r)
	if err != nil {
		return 0, 0, false, err
	}
	opening = false
	t, err := b.TraceByID(ctx, id)
	return requests, size, t != nil, err
}
