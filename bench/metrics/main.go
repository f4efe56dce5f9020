// Command metrics measures the ingest of metrics by remote write, Hune's way in and Prometheus's own side by side: the same
// requests through the handler of each, with the database of each behind it, in processes of their own that take turns.
//
//	go run ./bench/metrics [-series 100000] [-rounds 12] [-turns 3]
//
// Speed is samples per second of processor time of the whole process, collector of garbage included: other work on
// the machine disturbs it less than the clock. Requests are made outside of the time that counts. Memory is what the heap
// holds after a collection, without what it held before the database was opened, by series. Both write their log to disk;
// Prometheus never syncs it, Hune does before each answer, or by the second (sync: interval).
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
)

// outcome is what one process measured.
type outcome struct {
	First  float64 // samples per CPU second while all series are new
	Steady float64 // the same after that
	Wall   float64 // samples per second of the clock, steady
	Allocs float64 // by sample, steady
	Bytes  float64 // of heap by series
}

func main() {
	series := flag.Int("series", 100_000, "active series")
	rounds := flag.Int("rounds", 12, "samples of each series")
	turns := flag.Int("turns", 3, "how often each subject is measured; the median counts")
	child := flag.String("child", "", "measure one subject in this process: name/version")
	profile := flag.String("profile", "", "with -child: file for a CPU profile")
	flag.Parse()
	err := error(nil)
	if *child != "" {
		err = measure(*child, *series, *rounds, *profile)
	} else {
		err = compare(*series, *rounds, *turns)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/metrics:", err)
		os.Exit(1)
	}
}

// compare lets the subjects take turns and prints a table of medians.
func compare(series, rounds, turns int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var names []string
	for _, version := range []string{"1.0", "2.0"} {
		for _, subject := range subjects {
			names = append(names, subject.name+"/"+version)
		}
	}
	got := map[string][]outcome{}
	for range turns {
		for _, name := range names {
			out, err := exec.Command(self, "-child", name, "-series", strconv.Itoa(series), "-rounds", strconv.Itoa(rounds)).Output()
			if err != nil {
				var exit *exec.ExitError
				if errors.As(err, &exit) {
					return fmt.Errorf("%s: %w: %s", name, err, exit.Stderr)
				}
				return fmt.Errorf("%s: %w", name, err)
			}
			var o outcome
			if err := json.Unmarshal(out, &o); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			got[name] = append(got[name], o)
		}
	}
	fmt.Printf("%d series, %d samples each, median of %d turns\n\n", series, rounds, turns)
	fmt.Println("| subject | samples per CPU s | samples per s | new series per CPU s | allocations per sample | heap bytes per series |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, name := range names {
		median := func(f func(outcome) float64) float64 {
			var all []float64
			for _, o := range got[name] {
				all = append(all, f(o))
			}
			slices.Sort(all)
			return all[len(all)/2]
		}
		fmt.Printf("| %s | %.0f | %.0f | %.0f | %.2f | %.0f |\n", name, median(func(o outcome) float64 { return o.Steady }), median(func(o outcome) float64 { return o.Wall }),
			median(func(o outcome) float64 { return o.First }), median(func(o outcome) float64 { return o.Allocs }), median(func(o outcome) float64 { return o.Bytes }))
	}
	return nil
}
