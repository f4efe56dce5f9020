package loggen

import (
	"math/rand/v2"
	"time"
)

// epoch is where all clocks begin.
var epoch = time.Date(2026, time.January, 15, 8, 30, 0, 0, time.UTC)

// meanGap is the mean time between two lines. The gaps are products of two exponentials: bursts with
// pauses between, as one sees where many clients share a server.
const meanGap = 5 * time.Millisecond

// clock gives the times of lines.
type clock struct {
	rand *rand.Rand
	now  int64
}

func newClock(seed uint64) clock { return clock{rng(seed, 0x636c6f636b), epoch.UnixNano()} }

func (c *clock) next() int64 {
	c.now += 1 + int64(c.rand.ExpFloat64()*c.rand.ExpFloat64()*float64(meanGap))
	return c.now
}

// Timestamps returns the times of the first n lines of seed, whichever the set: nanoseconds since 1970,
// ascending.
func Timestamps(seed uint64, n int) []int64 {
	c := newClock(seed)
	out := make([]int64, n)
	for i := range out {
		out[i] = c.next()
	}
	return out
}
