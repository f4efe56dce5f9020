package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/bench/internal/process"
	"github.com/hune-io/hune/internal/freeport"
	"github.com/hune-io/hune/internal/loggen"
)

// The large set: scale 1 is 5 GB over two hours of 40 streams, four of each kind of system.
const (
	bigBytes   = 5_000_000_000
	bigStreams = 40
	bigLength  = 2 * time.Hour
	bigRequest = 500_000 // bytes of lines
)

// bigLogsSuite takes a large set of logs through everything that happens to logs: ingest, restart, blocks
// in the embedded S3 server, compaction, queries. Every line must be counted once after each step.
func bigLogsSuite(b *bench) error {
	dir, err := os.MkdirTemp(b.dir, "hune-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bucket, env, err := b.startS3(filepath.Join(dir, "s3"))
	if err != nil {
		return err
	}
	defer func() { _ = bucket.Process.Kill(); _ = bucket.Wait() }()
	work := filepath.Join(dir, "hune")
	if err := os.MkdirAll(work, 0o750); err != nil {
		return err
	}
	env = append(env, "HUNE_COMPACTOR_INTERVAL=20s", "HUNE_COMPACTOR_DELETE_DELAY=20s", "HUNE_STORE_POLL_INTERVAL=5s")
	return b.bigLogs(work, filepath.Join(dir, "s3"), env)
}

func (b *bench) bigLogs(work, stored string, env []string) error {
	s, err := b.start(work, env...)
	if err != nil {
		return err
	}
	now := time.Now()
	began := time.Now()
	lines, raw, err := s.sendBig(int64(bigBytes*b.scale), now.Add(-bigLength))
	if err != nil {
		return errors.Join(err, s.Kill())
	}
	took := time.Since(began)
	cpu, err := s.CPU()
	if err != nil {
		return err
	}
	peak, err := s.Memory("VmHWM")
	if err != nil {
		return err
	}
	fmt.Printf("ingest: %d lines, %.0f MB in %s: %.0f MB/s, %.0f MB per CPU second of the server, peak RSS %.0f MB\n",
		lines, float64(raw)/1e6, round(took), float64(raw)/1e6/took.Seconds(), float64(raw)/1e6/cpu.Seconds(), peak[0])
	if err := s.Kill(); err != nil {
		return err
	}
	if s, err = b.start(work, env...); err != nil {
		return err
	}
	fmt.Printf("killed and started again: ready after %s\n", round(s.Ready))
	if err := s.wantLines(lines, now); err != nil {
		return errors.Join(fmt.Errorf("after the restart: %w", err), s.Kill())
	}
	if err := s.Post("/flush", "", nil); err != nil {
		return err
	}
	if err := s.wantLines(lines, now); err != nil {
		return errors.Join(fmt.Errorf("after the flush: %w", err), s.Kill())
	}
	size, err := diskUse(stored)
	if err != nil {
		return err
	}
	fmt.Printf("in the bucket: %.0f MB, %.1f times smaller\n", float64(size)/1e6, float64(raw)/float64(size))
	if err := s.awaitCompaction(stored, raw); err != nil {
		return errors.Join(err, s.Kill())
	}
	if err := s.wantLines(lines, now); err != nil {
		return errors.Join(fmt.Errorf("after the compaction: %w", err), s.Kill())
	}
	if err := s.askBig(now); err != nil {
		return errors.Join(err, s.Kill())
	}
	if err := s.askMany(now, int(manyStreams*min(b.scale, 1))); err != nil {
		return errors.Join(err, s.Kill())
	}
	return s.Stop()
}

// startS3 runs hune as the S3 server of a folder and returns the settings of who uses it.
func (b *bench) startS3(dir string) (*exec.Cmd, []string, error) {
	addr, err := freeport.Take()
	if err != nil {
		return nil, nil, err
	}
	http, err := freeport.Take()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(b.binary, "serve", "--role", "s3", "--data", dir, "--http", http)
	cmd.Env = append(append(os.Environ(), process.Quiet...), "HUNE_S3_LISTEN="+addr, "HUNE_S3_ACCESS_KEY=key", "HUNE_S3_SECRET_KEY=secretsecret", "HUNE_S3_BUCKETS=[hune]")
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	return cmd, append(process.Quiet[:len(process.Quiet):len(process.Quiet)], "HUNE_STORAGE_PROVIDER=s3",
		fmt.Sprintf(`HUNE_STORAGE_S3={bucket: hune, endpoint: %q, access_key: key, secret_key: secretsecret, insecure: true}`, addr)), nil
}

// sendBig sends so many bytes of lines, whose times begin at from, and returns how many there were.
func (s *server) sendBig(total int64, from time.Time) (lines, raw int64, err error) {
	bodies := make(chan []byte, clients)
	var count, size atomic.Int64
	g, ctx := errgroup.WithContext(context.Background())
	g.Go(func() error {
		defer close(bodies)
		feeds := bigFeeds()
		for i := 0; size.Load() < total; i++ {
			at := from.Add(time.Duration(float64(bigLength) * min(1, float64(size.Load())/float64(total))))
			body, n, bytes := bigBatch(feeds[i%len(feeds)], i%len(feeds), at)
			count.Add(n)
			size.Add(bytes)
			select {
			case bodies <- body:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range clients {
		g.Go(func() error {
			for body := range bodies {
				if err := s.Post("/loki/api/v1/push", protobufType, body); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = g.Wait()
	return count.Load(), size.Load(), err
}

func bigFeeds() []*loggen.Stream {
	var feeds []*loggen.Stream
	for len(feeds) < bigStreams {
		for _, set := range loggen.Sets() {
			if !set.Adversarial && len(feeds) < bigStreams {
				feeds = append(feeds, set.Stream(uint64(len(feeds))))
			}
		}
	}
	return feeds
}

func bigBatch(feed *loggen.Stream, stream int, at time.Time) (body []byte, lines, size int64) {
	set := loggen.Sets()[stream%10].Name
	st := push.Stream{Labels: fmt.Sprintf(`{app=%q, pod="pod-%d", env="big"}`, set, stream)}
	var line []byte
	for ; size < bigRequest; lines++ {
		line, _ = feed.Append(line[:0])
		st.Entries = append(st.Entries, push.Entry{Timestamp: at.Add(time.Duration(lines) * time.Microsecond), Line: string(line)})
		size += int64(len(line))
	}
	req := push.PushRequest{Streams: []push.Stream{st}}
	return snappy.Encode(nil, must(req.Marshal())), lines, size
}

// wantLines asks for the number of all lines.
func (s *server) wantLines(want int64, now time.Time) error {
	v := url.Values{"query": {`sum(count_over_time({env="big"}[3h]))`}, "time": {strconv.FormatInt(now.Add(time.Minute).UnixNano(), 10)}}
	body, err := s.Get("/loki/api/v1/query?" + v.Encode())
	if err != nil {
		return err
	}
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	if len(answer.Data.Result) != 1 || answer.Data.Result[0].Value[1] != strconv.FormatInt(want, 10) {
		return fmt.Errorf("counted %v, sent %d lines", answer.Data.Result, want)
	}
	return nil
}

// awaitCompaction waits until the bucket has not changed for a while.
func (s *server) awaitCompaction(stored string, raw int64) error {
	began, last, since := time.Now(), int64(0), time.Now()
	for time.Since(since) < 70*time.Second {
		size, err := diskUse(stored)
		if err != nil {
			return err
		}
		if size != last {
			last, since = size, time.Now()
		}
		time.Sleep(time.Second)
	}
	fmt.Printf("compacted, and what was replaced deleted, in %s: %.0f MB, %.1f times smaller\n", round(since.Sub(began)), float64(last)/1e6, float64(raw)/float64(last))
	return nil
}

// askBig prints what queries over all of it cost.
func (s *server) askBig(now time.Time) error {
	fmt.Println("\n| query | first ms | read MB | requests | median of 5 ms | server CPU ms |")
	fmt.Println("|---|---|---|---|---|---|")
	logs := func(name, query string, more ...string) question {
		v := url.Values{"query": {query}, "start": {strconv.FormatInt(now.Add(-bigLength-time.Minute).UnixNano(), 10)},
			"end": {strconv.FormatInt(now.Add(time.Minute).UnixNano(), 10)}, "limit": {"100"}}
		for i := 0; i+1 < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return question{name, "/loki/api/v1/query_range?" + v.Encode()}
	}
	for _, q := range []question{
		logs("newest 100 of one stream", `{app="json", pod="pod-5"}`),
		logs("newest 100 of all streams", `{env="big"}`),
		logs("absent word, one system", `{app="nginx"} |= "nosuchword"`),
		logs("absent word, everything", `{env="big"} |= "nosuchword"`),
		logs("an absent identifier, everything", `{env="big"} |= "0123456789abcdef0123456789abcdef"`),
		logs("json filter", `{app="json"} | json | status >= 500`),
		logs("regexp", `{app="hdfs"} |~ "Received block .*/10\\.251\\.1"`),
		logs("lines over time, everything", `sum(count_over_time({env="big"}[5m]))`, "step", "300"),
		logs("lines with a word over time", `sum by (pod) (count_over_time({app="json"} |= "completed" [5m]))`, "step", "300"),
		logs("mean of a field over time", `sum(sum_over_time({app="json"} | json | unwrap latency_ms [5m]))`, "step", "300"),
		logs("levels over time, everything", `sum by (detected_level) (count_over_time({env="big"}[5m]))`, "step", "300"),
		logs("newest 100 of a filter", `{app="json"} | json | status >= 500`),
		logs("oldest 100 of a filter", `{app="json"} | json | status >= 500`, "direction", "forward"),
		logs("newest 100 of a rare word", `{env="big"} |= "duplicate key" | json`),
		logs("dashboard: errors by level", `sum by (detected_level) (count_over_time({app="json"} |= "error" [1m]))`, "step", "60"),
		logs("dashboard: quantile of a JSON field", `quantile_over_time(0.95, {app="json"} | json | __error__="" | unwrap latency_ms [5m]) by (pod)`, "step", "300"),
		logs("dashboard: topk of a logfmt field", `topk(5, sum by (component) (count_over_time({app="logfmt"} | logfmt [5m])))`, "step", "300"),
		logs("dashboard: share of errors", `sum(rate({app="json"} | json | status >= 500 [5m])) / sum(rate({app="json"}[5m]))`, "step", "300"),
		logs("explain of a dashboard", `sum by (detected_level) (count_over_time({env="big"} |= "error" [1m]))`, "step", "60", "explain", "true"),
	} {
		if err := ask(s, q, bucketReads); err != nil {
			return err
		}
	}
	return nil
}

// manyStreams is how many streams the questions about labels are asked of.
const manyStreams = 100_000

// askMany sends two lines of each of n streams, and asks for labels and series: of recent streams, and of those
// in the bucket.
func (s *server) askMany(now time.Time, n int) error {
	const batch = 5000
	for from := 0; from < n; from += batch {
		var req push.PushRequest
		for i := from; i < min(from+batch, n); i++ {
			at := now.Add(time.Duration(i-n) * time.Millisecond)
			req.Streams = append(req.Streams, push.Stream{Labels: fmt.Sprintf(`{app="app-%d", env="many", namespace="ns-%d", pod="pod-%d"}`, i%1000, i%10, i),
				Entries: []push.Entry{{Timestamp: at, Line: "started"}, {Timestamp: at.Add(time.Microsecond), Line: "ready"}}})
		}
		if err := s.Post("/loki/api/v1/push", protobufType, snappy.Encode(nil, must(req.Marshal()))); err != nil {
			return err
		}
	}
	for _, place := range []string{"recent", "in the bucket"} {
		fmt.Printf("\n%d streams, %s\n\n", n, place)
		fmt.Println("| question | first ms | median of 5 ms | server CPU ms |")
		fmt.Println("|---|---|---|---|")
		times := url.Values{"start": {strconv.FormatInt(now.Add(-bigLength).UnixNano(), 10)}, "end": {strconv.FormatInt(now.Add(time.Minute).UnixNano(), 10)}}
		get := func(name, path string, more ...string) question {
			v := url.Values{}
			for i := 0; i+1 < len(more); i += 2 {
				v.Set(more[i], more[i+1])
			}
			return question{name, "/loki/api/v1/" + path + "?" + times.Encode() + "&" + v.Encode()}
		}
		for _, q := range []question{
			get("label names", "labels"),
			get("values of namespace", "label/namespace/values"),
			get("values of pod of a namespace", "label/pod/values", "query", `{namespace="ns-3"}`),
			get("series of an app", "series", "match[]", `{app="app-77"}`),
			get("statistics of a namespace", "index/stats", "query", `{namespace="ns-3"}`),
			get("explain of a count", "query_range", "query", `sum(count_over_time({namespace="ns-3"}[1m]))`, "explain", "true"),
		} {
			if err := ask(s, q); err != nil {
				return err
			}
		}
		if err := s.Post("/flush", "", nil); err != nil {
			return err
		}
	}
	return nil
}

// bucketReads says what a first answer of a log query had to read from the bucket.
func bucketReads(answer []byte) (string, error) {
	var a struct {
		Data struct {
			Stats struct {
				Querier struct {
					Store struct {
						Requests int64 `json:"totalChunksDownloaded"`
						Chunk    struct {
							Bytes int64 `json:"compressedBytes"`
						}
					}
				}
			}
		}
	}
	err := json.Unmarshal(answer, &a)
	read := a.Data.Stats.Querier.Store
	return fmt.Sprintf("%.2f | %d", float64(read.Chunk.Bytes)/1e6, read.Requests), err
}
