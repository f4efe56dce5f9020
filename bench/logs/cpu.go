package main

import (
	"math"
	"runtime"
	"syscall"
	"time"
)

// cpuTime returns the processor time of this process so far: all threads, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("getrusage of the own process: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure returns the processor time of f, on one processor so that nothing is done twice or idles in
// parallel. Rubbish of before is collected first.
func measure(f func()) time.Duration {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	runtime.GC()
	began := cpuTime()
	f()
	return cpuTime() - began
}

// least returns the least of n measurements: whatever else runs on the machine can only add to them.
// prepare, if set, runs before each and is not measured.
func least(n int, prepare, f func()) time.Duration {
	best := time.Duration(math.MaxInt64)
	for range n {
		if prepare != nil {
			prepare()
		}
		best = min(best, measure(f))
	}
	return max(best, time.Microsecond)
}

// speed is MB/s of processor time.
func speed(bytes int, took time.Duration) float64 { return mb(bytes) / took.Seconds() }

func millis(d time.Duration) float64 { return float64(d) / 1e6 }
