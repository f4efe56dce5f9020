// Command bench measures the real binary: it starts it on an empty folder, sends generated telemetry over
// each protocol, asks queries, and prints tables for docs/benchmarks.md.
//
//	go build -o bin/hune ./cmd/hune && go run ./bench [-suite start,blocks,idle,ingest,replay,query,logmemory,biglogs,rules,alerts] [-scale 1]
//
// CPU is that of the server process (user + system, from /proc), memory its resident set. Load and
// server share the machine: throughput is per CPU second of the server, not per second of the clock.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// suite is one group of measurements.
type suite struct {
	name string
	run  func(b *bench) error
}

var suites = []suite{
	{"start", startSuite},
	{"blocks", blocksSuite},
	{"idle", idleSuite},
	{"ingest", ingestSuite},
	{"replay", replaySuite},
	{"query", querySuite},
	{"logmemory", logMemorySuite},
	{"biglogs", bigLogsSuite},
	{"rules", rulesSuite},
	{"alerts", alertsSuite},
}

// bench is what the suites share.
type bench struct {
	binary string
	scale  float64 // of the data sets; 1 is what the issue tracker's goals speak of
	dir    string  // for data folders
}

func main() {
	b := &bench{}
	names := flag.String("suite", "start,idle,ingest,replay,query,logmemory", "suites to run")
	flag.StringVar(&b.binary, "binary", "bin/hune", "the program to measure")
	flag.Float64Var(&b.scale, "scale", 1, "size of the data sets; 1: 1 GB of logs, 1 M spans, 100 k series")
	flag.StringVar(&b.dir, "dir", os.TempDir(), "folder for the data")
	flag.Parse()
	if err := b.run(strings.Split(*names, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(names []string) error {
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	// A program that was built before the last change is easily measured by mistake.
	fmt.Printf("%s, %s; %s was built %s ago\n\n", time.Now().Format(time.DateOnly), machine(), b.binary, time.Since(info.ModTime()).Round(time.Minute))
	for _, name := range names {
		found := false
		for _, s := range suites {
			if s.name != name {
				continue
			}
			found = true
			fmt.Printf("### %s\n\n", name)
			if err := s.run(b); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Println()
		}
		if !found {
			return fmt.Errorf("there is no suite %q", name)
		}
	}
	return nil
}
