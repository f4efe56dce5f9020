package main

import (
	"os"
	"runtime/debug"
)

// collectPercent is how much the heap may grow before garbage is collected, in percent of what is in use. Go's default of
// 100 makes memory twice what the program holds. What Hune holds for long is mostly bytes that the collector needn't
// look into, so that looking twice as often costs a write of traces some 2 % of its time, and saves a quarter of its
// memory; see docs/benchmarks.md.
const collectPercent = 50

// tuneCollector sets that, unless the environment says how the collector shall work.
func tuneCollector() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(collectPercent)
	}
}
