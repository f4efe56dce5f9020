package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/bench/internal/process"
	"github.com/hune-io/hune/internal/loggen"
)

// What logMemorySuite sends: every stream has a batch each second, as agents send that wait for a second.
const (
	steadyRate    = 20_000_000 // bytes of lines a second
	steadyStreams = 1000
	steadyBatch   = 20 // streams of a request
	steadyTime    = 90 * time.Second
)

// logMemorySuite measures the memory of a server that takes 20 MB/s of logs over 1,000 streams, while heads
// fill, are written and uploaded in turns. Everything else in the process is at rest.
func logMemorySuite(b *bench) error {
	dir, err := os.MkdirTemp(b.dir, "hune-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := b.start(dir, process.Quiet...)
	if err != nil {
		return err
	}
	length := time.Duration(float64(steadyTime) * b.scale)
	used, err := s.steady(length)
	if err != nil {
		return errors.Join(err, s.Kill())
	}
	peak, err := s.Memory("VmHWM")
	if err != nil {
		return errors.Join(err, s.Kill())
	}
	slices.Sort(used.anonymous)
	fmt.Printf("%.1f MB/s of logs over %d streams for %s: anonymous memory median %.0f MB, peak %.0f MB; peak RSS %.0f MB; CPU %.0f %% of a core\n",
		float64(used.bytes)/1e6/used.clock.Seconds(), steadyStreams, round(used.clock), used.anonymous[len(used.anonymous)/2],
		used.anonymous[len(used.anonymous)-1], peak[0], 100*used.cpu.Seconds()/used.clock.Seconds())
	return s.Stop()
}

// usage is what a steady load cost.
type usage struct {
	bytes      int64
	clock, cpu time.Duration
	anonymous  []float64 // MB, once a second
}

// steady sends the load for the given time. It keeps the pace where the server does.
func (s *server) steady(length time.Duration) (u usage, err error) {
	before, err := s.CPU()
	if err != nil {
		return u, err
	}
	began := time.Now()
	bodies := make(chan []byte, clients)
	g, ctx := errgroup.WithContext(context.Background())
	g.Go(func() error {
		defer close(bodies)
		u.bytes = produce(ctx, began, length, bodies)
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
	sampled, stop := make(chan error, 1), make(chan struct{})
	go func() { sampled <- s.sample(stop, &u.anonymous) }()
	err = g.Wait()
	close(stop)
	err = errors.Join(err, <-sampled)
	u.clock = time.Since(began)
	after, cpuErr := s.CPU()
	u.cpu = after - before
	return u, errors.Join(err, cpuErr)
}

// sample notes the anonymous memory once a second until stop is closed, at least once.
func (s *server) sample(stop <-chan struct{}, out *[]float64) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		m, err := s.Memory("RssAnon")
		if err != nil {
			return err
		}
		*out = append(*out, m[0])
		select {
		case <-stop:
			return nil
		case <-ticker.C:
		}
	}
}

// produce makes requests at the steady rate and returns how many bytes of lines they had.
func produce(ctx context.Context, began time.Time, length time.Duration, bodies chan<- []byte) (sent int64) {
	var feeds []*loggen.Stream
	for _, set := range loggen.Sets() {
		if !set.Adversarial {
			feeds = append(feeds, set.Stream(1))
		}
	}
	for first := 0; ; first = (first + steadyBatch) % steadyStreams {
		due := time.Duration(float64(sent) / steadyRate * float64(time.Second))
		if due >= length {
			return sent
		}
		time.Sleep(time.Until(began.Add(due)))
		var req push.PushRequest
		for i := first; i < first+steadyBatch; i++ {
			s, n := steadyStream(feeds[i%len(feeds)], i)
			req.Streams = append(req.Streams, s)
			sent += n
		}
		select {
		case bodies <- snappy.Encode(nil, must(req.Marshal())):
		case <-ctx.Done():
			return sent
		}
	}
}

// steadyStream is a second of stream i, with lines of feed, and their bytes.
func steadyStream(feed *loggen.Stream, i int) (push.Stream, int64) {
	s := push.Stream{Labels: fmt.Sprintf(`{app="app-%d", pod="pod-%d", env="prod"}`, i%50, i)}
	size := int64(0)
	var line []byte
	for now := time.Now(); size < steadyRate/steadyStreams; now = now.Add(time.Microsecond) {
		line, _ = feed.Append(line[:0])
		s.Entries = append(s.Entries, push.Entry{Timestamp: now, Line: string(line)})
		size += int64(len(line))
	}
	return s, size
}
