package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// startSuite measures the time from exec to /ready on an empty folder.
func startSuite(b *bench) error {
	var times []time.Duration
	for range 5 {
		dir, err := os.MkdirTemp(b.dir, "hune-bench-")
		if err != nil {
			return err
		}
		s, err := b.start(dir)
		if err != nil {
			return err
		}
		times = append(times, s.Ready)
		if err := errors.Join(s.Stop(), os.RemoveAll(dir)); err != nil {
			return err
		}
	}
	slices.Sort(times)
	fmt.Printf("`/ready` on an empty folder, 5 starts: min %s, median %s, max %s\n", round(times[0]), round(times[2]), round(times[4]))
	return nil
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// idleSuite measures memory and CPU with everything at its default: self-scrape and host metrics on.
func idleSuite(b *bench) error {
	const settle, measure = 60 * time.Second, 60 * time.Second
	dir, err := os.MkdirTemp(b.dir, "hune-bench-")
	if err != nil {
		return err
	}
	s, err := b.start(dir)
	if err != nil {
		return err
	}
	time.Sleep(settle)
	before, err := s.CPU()
	if err != nil {
		return err
	}
	time.Sleep(measure)
	after, err := s.CPU()
	if err != nil {
		return err
	}
	mem, err := s.Memory("RssAnon", "VmRSS")
	if err != nil {
		return err
	}
	fmt.Printf("after %s, defaults: anonymous memory %.0f MB, RSS %.0f MB, CPU %.2f %% of a core\n",
		settle+measure, mem[0], mem[1], 100*float64(after-before)/float64(measure))
	return errors.Join(s.Stop(), os.RemoveAll(dir))
}
