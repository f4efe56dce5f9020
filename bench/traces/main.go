// Command traces measures the trace engine in the real program: it sends a generated set over OTLP/HTTP, lets the
// compactor do its work, asks questions, and prints what was asked of the engine beside what it does, a table
// for docs/benchmarks.md.
//
//	go build -o bin/hune ./cmd/hune && go run ./bench/traces [-spans 1000000] [-late 0]
//	go run ./bench/traces -keep -spans 5000000        # prints the folder with the data, and leaves it
//	go run ./bench/traces -reuse FOLDER -ask 'by service|, all'
//
// Processor time is that of the server process, from /proc. Load and server share the machine: throughput is
// per second of processor time of the server. Latencies are of HTTP requests, the median of several; other work on
// the machine adds to them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/hune-io/hune/bench/internal/process"
)

// settings let the compactor look at the bucket often.
var settings = append(slices.Clone(process.Quiet), "HUNE_COMPACTOR_INTERVAL=5s", "HUNE_COMPACTOR_DELETE_DELAY=10s", "HUNE_STORE_POLL_INTERVAL=2s")

type bench struct {
	binary string
	dir    string
	spans  int
	late   float64
	seed   uint64
	// profiles is where profiles of the server are saved, one for the load and for each question; empty: nowhere.
	profiles string
	keep     bool           // the folder with the data
	reuse    string         // a folder that was kept: nothing is sent
	ask      *regexp.Regexp // which questions are asked

	asked []question // once they were
}

func main() {
	b := &bench{}
	flag.StringVar(&b.binary, "binary", "bin/hune", "the program to measure")
	flag.IntVar(&b.spans, "spans", 1_000_000, "spans of the set")
	flag.Float64Var(&b.late, "late", 0, "share of traces whose second half comes some 80,000 spans late")
	flag.Uint64Var(&b.seed, "seed", 1, "of the generator")
	flag.StringVar(&b.profiles, "profiles", "", "folder for profiles of the server during the load and each question")
	flag.StringVar(&b.dir, "dir", os.TempDir(), "folder for the data")
	flag.BoolVar(&b.keep, "keep", false, "leave the data, for -reuse")
	flag.StringVar(&b.reuse, "reuse", "", "folder that -keep left: only ask questions")
	ask := flag.String("ask", "", "ask only the questions whose names match this regular expression")
	flag.Parse()
	var err error
	if b.ask, err = regexp.Compile(*ask); err != nil {
		fmt.Fprintln(os.Stderr, "bench/traces: -ask:", err)
		os.Exit(2)
	}
	if err := b.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench/traces:", err)
		os.Exit(1)
	}
}

// demand is one line of the table.
type demand struct {
	what string
	got  float64
	unit string
	most float64 // or least, where more is better
	more bool
}

func (d demand) print() {
	verdict, sign := "PASS", "≤"
	if d.more {
		sign = "≥"
	}
	if d.more && d.got < d.most || !d.more && d.got > d.most {
		verdict = "miss"
	}
	fmt.Printf("| %s | %.4g %s | %s %.4g | %s |\n", d.what, d.got, d.unit, sign, d.most, verdict)
}

func (b *bench) run(ctx context.Context) error {
	dir, forget, err := b.folder()
	if err != nil {
		return err
	}
	defer forget()
	binary, err := install(b.binary, dir)
	if err != nil {
		return err
	}
	start := func() (*process.Server, error) { return process.Start(binary, dir, settings...) }
	s, err := start()
	if err != nil {
		return err
	}
	list, err := b.measure(ctx, s, dir)
	if err != nil {
		return errors.Join(err, s.Kill())
	}
	if err := s.Stop(); err != nil {
		return err
	}
	first, err := b.first(start)
	if err != nil {
		return err
	}
	fmt.Printf("| demand | measured | asked for | |\n|---|---|---|---|\n")
	for _, d := range append(list, first...) {
		d.print()
	}
	return nil
}

// install copies the program into dir, as installing it does. What the linker has just written stands in the system's
// cache in pieces of 2 MiB, which count as resident whole.
func install(binary, dir string) (string, error) {
	from, err := os.Open(binary)
	if err != nil {
		return "", err
	}
	defer func() { _ = from.Close() }()
	name := filepath.Join(dir, filepath.Base(binary))
	to, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return name, errors.Join(err, to.Close())
}

// settleFor is how long the compactor is waited for.
const settleFor = 5 * time.Minute

// measure sends the set, unless the folder has one, and asks questions.
func (b *bench) measure(ctx context.Context, s *process.Server, dir string) ([]demand, error) {
	if b.reuse != "" {
		g, err := loadSet(dir)
		if err != nil {
			return nil, err
		}
		return b.questions(s, g)
	}
	g := newGenerator(b.seed, b.spans, b.late)
	list, err := b.load(ctx, s, g, filepath.Join(dir, "data", "bucket"))
	if err == nil && b.keep {
		err = g.save(dir)
	}
	if err != nil {
		return nil, err
	}
	asked, err := b.questions(s, g)
	return append(list, asked...), err
}

// load sends the set and measures what that takes.
func (b *bench) load(ctx context.Context, s *process.Server, g *generator, bucket string) ([]demand, error) {
	began := time.Now()
	cpu0, err := s.CPU()
	if err != nil {
		return nil, err
	}
	watched := s.Watch()
	if err := b.during(s, "load", 10, func() error { return b.send(s, g) }); err != nil {
		return nil, err
	}
	took := time.Since(began)
	if err := s.Post("/flush", "", nil); err != nil {
		return nil, err
	}
	cpu1, err := s.CPU()
	if err != nil {
		return nil, err
	}
	most, err := watched()
	if err != nil {
		return nil, err
	}
	peak, err := s.Memory("VmHWM")
	if err != nil {
		return nil, err
	}
	fresh, err := storedBlocks(bucket)
	if err != nil {
		return nil, err
	}
	fmt.Printf("%d spans in %d traces, %.0f bytes of OTLP a span; sent in %s, %.0f spans/s of the clock, %d blocks of %.2f bytes a span\n",
		g.sent, g.traces, float64(g.raw)/float64(g.sent), took.Round(100*time.Millisecond), float64(g.sent)/took.Seconds(), len(fresh), perSpan(fresh, g.sent))
	blocks, err := settled(bucket)
	if err != nil {
		return nil, err
	}
	cpu2, err := s.CPU()
	if err != nil {
		return nil, err
	}
	fmt.Printf("after compaction %d blocks of %.2f bytes a span; ingest took %.1f s of processor time, compaction %.1f s\n\n",
		len(blocks), perSpan(blocks, g.sent), (cpu1 - cpu0).Seconds(), (cpu2 - cpu1).Seconds())
	list := []demand{
		{"bytes a span in the bucket", perSpan(blocks, g.sent), "B", 27, false},
		{"late pieces: more bytes before compaction", 100 * (perSpan(fresh, g.sent)/perSpan(blocks, g.sent) - 1), "%", 15, false},
		{"ingest, blocks and upload included", float64(g.sent) / (cpu1 - cpu0).Seconds() / 1000, "k spans/s/core", 120, true},
		{"the same, compaction included", float64(g.sent) / (cpu2 - cpu0).Seconds() / 1000, "k spans/s/core", 120, true},
		{fmt.Sprintf("peak RSS under the load: anonymous %.0f, file %.0f MB", most.Anonymous, most.File), peak[0], "MB", 200, false},
	}
	cold, err := coldLookups(ctx, blocks, g)
	if err != nil {
		return nil, err
	}
	return append(list, cold...), nil
}

func perSpan(blocks []blockFile, spans int) float64 {
	n := int64(0)
	for _, b := range blocks {
		n += b.size
	}
	return float64(n) / float64(spans)
}
