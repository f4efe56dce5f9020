package logql

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/hune-io/hune/internal/fault"
)

// Memory counts what queries hold, and bounds it for all of them together. Each query is bounded by its
// Limits.MaxMemory besides. Safe for concurrent use.
//
// What is counted is what grows with the answer: entries, series, samples and what they are computed from.
// Pages on their way are bounded where they are read.
type Memory struct {
	max        int64 // 0: no bound
	held, peak atomic.Int64
}

// NewMemory returns a count with a bound of max bytes; 0 is no bound.
func NewMemory(max int64) *Memory { return &Memory{max: max} }

// Held returns the bytes that queries hold now, and the most that they ever held.
func (m *Memory) Held() (now, peak int64) { return m.held.Load(), m.peak.Load() }

func (m *Memory) grow(bytes int64) error {
	now := m.held.Add(bytes)
	if m.max > 0 && bytes > 0 && now > m.max {
		m.held.Add(-bytes)
		return &fault.Error{Class: fault.Unavailable, Reason: "query_memory", RetryAfter: time.Second,
			Err: fault.Errorf(fault.Unavailable, "all queries together would hold more than %s in memory, try again later", sizeText(m.max))}
	}
	raise(&m.peak, now)
	return nil
}

func raise(peak *atomic.Int64, to int64) {
	for p := peak.Load(); to > p && !peak.CompareAndSwap(p, to); p = peak.Load() {
	}
}

// budget is what one query holds. Safe for concurrent use.
type budget struct {
	limits      Limits
	pool        *Memory
	samples     atomic.Int64
	bytes, peak atomic.Int64
}

// What things weigh in memory, in bytes, beside texts.
const (
	sampleBytes = 8
	bucketBytes = 104 // of bucket
	seriesBytes = 160 // of a series with its places in maps
	entryBytes  = 96  // of an entry of an answer
)

// seriesWeight is what a series weighs beside the samples it holds, in samples.
const seriesWeight = 16

// hold counts samples and bytes that are kept. Negative numbers give back.
func (b *budget) hold(samples int, bytes int64) error {
	if n := b.samples.Add(int64(samples)); n > int64(b.limits.MaxSamples) && samples > 0 {
		return fault.Errorf(fault.Unprocessable,
			"the query would hold more than %d samples in memory; consider a larger step, a shorter time range or aggregating by fewer labels",
			b.limits.MaxSamples)
	}
	if err := b.pool.grow(bytes); err != nil {
		return err
	}
	now := b.bytes.Add(bytes)
	raise(&b.peak, now)
	if max := b.limits.MaxMemory; bytes > 0 && now > max {
		return fault.Errorf(fault.Unprocessable,
			"the query would hold more than the limit of %s in memory; consider adding more specific stream selectors, reducing the time range, or aggregating by fewer labels",
			sizeText(max))
	}
	return nil
}

// mark returns a function that gives back all that was held since.
func (b *budget) mark() (undo func()) {
	samples, bytes := b.samples.Load(), b.bytes.Load()
	return func() { b.release(int(b.samples.Load()-samples), b.bytes.Load()-bytes) }
}

// release gives back.
func (b *budget) release(samples int, bytes int64) {
	b.samples.Add(-int64(samples))
	b.bytes.Add(-bytes)
	b.pool.held.Add(-bytes)
}

// close gives all back.
func (b *budget) close() { b.release(0, b.bytes.Load()) }

// checkRead compares what was looked at with the limits, in Loki's words where it has the limit.
func (b *budget) checkRead(lines, bytes int64) error {
	if max := b.limits.MaxBytes; max > 0 && bytes > max {
		return overRead("the query would read too many bytes (query: %s, limit: %s); consider adding more specific stream selectors or reduce the time range of the query",
			sizeText(bytes), sizeText(max))
	}
	if max := b.limits.MaxLines; max > 0 && lines > max {
		return overRead("the query would read too many lines (query: %d, limit: %d); consider adding more specific stream selectors or reduce the time range of the query",
			lines, max)
	}
	return nil
}

// readLimit is the reason of errors of checkRead.
const readLimit = "query_read_limit"

func overRead(format string, args ...any) error {
	return &fault.Error{Class: fault.Invalid, Reason: readLimit, Err: fmt.Errorf(format, args...)}
}

// sizeText prints a size as Loki does in the texts of its limits, such as 1.0GiB.
func sizeText(n int64) string { return strings.ReplaceAll(humanize.IBytes(uint64(max(n, 0))), " ", "") }
