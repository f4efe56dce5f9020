// Command logs measures the log engine on generated logs (internal/loggen): how small blocks are, how
// fast they are written and rebuilt, how quickly they answer, and what the whole ingest path costs. It
// prints tables for docs/benchmarks.md, with what was asked for and was missed.
//
//	go run ./bench/logs [-size 32MB] [-sets hdfs,json] [-part columns,ratio,encode,search,ingest,dashboards,index] [-cpuprofile FILE]
//
// Speed is per second of processor time of this process, collector of garbage included, not of the
// clock: other work on the machine disturbs it less. Compare figures of one run with each other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/units"

	"github.com/hune-io/hune/internal/loggen"
)

// part is one group of measurements.
type part struct {
	name string
	run  func(ctx context.Context, b *bench) error
}

var parts = []part{
	{"columns", columnsPart},
	{"ratio", ratioPart},
	{"encode", encodePart},
	{"search", searchPart},
	{"ingest", ingestPart},
	{"dashboards", dashboardsPart},
	{"index", indexPart},
}

// bench is what the parts share.
type bench struct {
	size int // of a set, bytes of lines
	seed uint64
	runs int // of a query of dashboards or index
	sets []loggen.Set
	dir  string // for blocks, removed at the end
}

func main() {
	size := flag.String("size", "32MB", "bytes of lines in a set")
	names := flag.String("sets", "all", "data sets, by name")
	which := flag.String("part", "columns,ratio,encode,search,ingest,dashboards,index", "what to measure")
	seed := flag.Uint64("seed", 1, "of the generator")
	runs := flag.Int("runs", defaultRuns, "of a query of dashboards or index, of which the least time counts")
	dir := flag.String("dir", os.TempDir(), "folder for blocks")
	profile := flag.String("cpuprofile", "", "file for a profile of the processor's time, for go tool pprof")
	flag.Parse()
	err := profiled(*profile, func() error { return run(*size, *names, *which, *dir, *seed, max(1, *runs)) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/logs:", err)
		os.Exit(1)
	}
}

// profiled runs f, and writes a profile of it to the file name unless that is empty.
func profiled(name string, f func() error) (err error) {
	if name == "" {
		return f()
	}
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}

// maxSize is what a column of lines in memory can hold, with room to spare.
const maxSize = 2 << 30

func run(size, names, which, dir string, seed uint64, runs int) error {
	n, err := units.ParseStrictBytes(size)
	if err != nil {
		return fmt.Errorf("size: %w", err)
	}
	if n < 1 || n > maxSize {
		return fmt.Errorf("size: %s is not between 1 and %d bytes", size, maxSize)
	}
	b := &bench{size: int(n), seed: seed, runs: runs}
	if b.sets, err = chosen(names); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(dir, "hune-bench-logs-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	fmt.Printf("%s, %s, %d cores, %s of lines a set\n\n", time.Now().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), size)
	for name := range strings.SplitSeq(which, ",") {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return fmt.Errorf("there is no part %q", name)
		}
		fmt.Printf("### %s\n\n", name)
		if err := parts[i].run(context.Background(), b); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Println()
	}
	return nil
}

func chosen(names string) ([]loggen.Set, error) {
	if names == "all" {
		return loggen.Sets(), nil
	}
	var out []loggen.Set
	for name := range strings.SplitSeq(names, ",") {
		s, ok := loggen.Find(name)
		if !ok {
			return nil, fmt.Errorf("there is no set %q", name)
		}
		out = append(out, s)
	}
	return out, nil
}
