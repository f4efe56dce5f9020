package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/hune-io/hune/internal/fault"
)

// ErrClosed says that the log is closed or closing: the process shuts down, try another one.
var ErrClosed = errors.New("write-ahead log is closed")

// ErrFailed says that a write or sync failed. Nothing can be appended until the process restarts.
var ErrFailed = errors.New("write-ahead log has failed")

// MaxRecordLen bounds one record.
const MaxRecordLen = 256 << 20

const (
	pageSize = 32 << 10
	// unbounded keeps wlog from cutting segments on its own: it would sync the full segment in the
	// background and only log a failure, while we have promised that the record is on disk.
	unbounded = math.MaxInt / pageSize * pageSize
	// maxBatch bounds how much is written before the first of the waiting writers gets its answer.
	maxBatch = 16 << 20
)

// Options are what a program chooses for one log; zero values take the defaults.
type Options struct {
	Sync        Sync          // default SyncAlways
	Interval    time.Duration // of SyncInterval; default 1s
	SegmentSize int64         // bytes; default 64 MiB. A batch that is begun is finished in its segment.
	QueueBytes  int64         // bytes of records waiting to be written; default 64 MiB

	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // nil: no metrics
}

func (o *Options) setDefaults() {
	if o.Sync == "" {
		o.Sync = SyncAlways
	}
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.SegmentSize <= 0 {
		o.SegmentSize = 64 << 20
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// WAL is one log. Safe for concurrent use.
type WAL struct {
	dir     string
	opts    Options
	log     *wlog.WL
	metrics *metrics
	old     []int // segments that were there when the log was opened

	done chan struct{} // closed when the committer has ended

	mu       sync.Mutex
	queue    []*request
	queued   int64         // bytes in queue
	wake     chan struct{} // capacity 1: the committer looks at the queue
	space    chan struct{} // closed and replaced when the queue was emptied
	appended bool
	closing  bool
	failed   error
	closeErr error

	truncate sync.Mutex // one Truncate at a time
}

// request is a record to write, or, with rec nil and roll set, a segment to begin.
type request struct {
	rec  []byte
	roll bool
	n    int // for roll: the number of the segment begun
	err  error
	done chan struct{} // capacity 1: a value when err and n are set
}

// Open opens or creates the log in dir and begins a new segment. The caller must see to it that no
// other process has dir open. Existing segments are left as they are: read them with Replay.
func Open(dir string, opts Options) (*WAL, error) {
	opts.setDefaults()
	if err := mkdirSynced(dir); err != nil {
		return nil, fmt.Errorf("open write-ahead log %s: %w", dir, err)
	}
	old, err := fillGaps(dir)
	if err != nil {
		return nil, fmt.Errorf("open write-ahead log %s: %w", dir, err)
	}
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, fmt.Errorf("open write-ahead log %s: %w", dir, err)
	}
	log, err := wlog.NewSize(opts.Logger, nil, dir, unbounded, compression.None)
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		m.unregister()
		return nil, fmt.Errorf("open write-ahead log %s: %w", dir, err)
	}
	w := &WAL{
		dir: dir, opts: opts, log: log, metrics: m, old: old,
		done: make(chan struct{}), wake: make(chan struct{}, 1), space: make(chan struct{}),
	}
	current := 0
	m.segments.Set(1)
	if len(old) > 0 {
		current = old[len(old)-1] + 1
		m.segments.Set(float64(current - old[0] + 1))
	}
	c := &committer{w: w, segment: current}
	go c.run()
	return w, nil
}

// Dir returns the folder of the log.
func (w *WAL) Dir() string { return w.dir }

// Append writes one record and returns nil when it is as durable as Options.Sync says. rec must not
// change before Append returns, and may be reused then.
//
// It blocks while the queue is full. If ctx ends before the record is being written, nothing is
// written and the error is a fault.Unavailable; once writing has begun, Append waits for the outcome
// whatever ctx says, so that its answer is always the truth.
func (w *WAL) Append(ctx context.Context, rec []byte) error {
	if len(rec) > MaxRecordLen {
		return fault.Errorf(fault.TooLarge, "record of %d bytes, the write-ahead log takes at most %d", len(rec), MaxRecordLen)
	}
	r := newRequest(rec)
	if err := w.enqueue(ctx, r); err != nil {
		return err
	}
	return w.wait(ctx, r)
}

// NextSegment ends the current segment, if there is anything in it, and returns n so that every
// record whose Append has returned is in a segment below n.
func (w *WAL) NextSegment() (int, error) {
	r := newRequest(nil)
	r.roll = true
	if err := w.enqueue(context.Background(), r); err != nil {
		return 0, err
	}
	err := w.wait(context.Background(), r)
	n := r.n
	requests.Put(r)
	return n, err
}

var requests = sync.Pool{New: func() any { return &request{done: make(chan struct{}, 1)} }}

func newRequest(rec []byte) *request {
	r := requests.Get().(*request)
	*r = request{rec: rec, done: r.done}
	return r
}

// enqueue puts r into the queue, waiting for space.
func (w *WAL) enqueue(ctx context.Context, r *request) error {
	for {
		w.mu.Lock()
		if err := w.unusable(); err != nil {
			w.mu.Unlock()
			return err
		}
		// A record larger than the whole queue may enter when nothing else is in it.
		if w.queued == 0 || w.queued+int64(len(r.rec)) <= w.opts.QueueBytes {
			w.queue = append(w.queue, r)
			w.queued += int64(len(r.rec))
			w.appended = w.appended || !r.roll
			w.metrics.queueBytes.Set(float64(w.queued))
			w.mu.Unlock()
			select {
			case w.wake <- struct{}{}:
			default:
			}
			return nil
		}
		space := w.space
		w.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
			w.metrics.rejected.Inc()
			return &fault.Error{Class: fault.Unavailable, Reason: "wal_full", RetryAfter: time.Second,
				Err: fmt.Errorf("write-ahead log can't keep up, %d bytes wait to be written: %w", w.opts.QueueBytes, context.Cause(ctx))}
		}
	}
}

// unusable says why nothing can be appended, or nil. w.mu must be held.
func (w *WAL) unusable() error {
	switch {
	case w.failed != nil:
		return w.failed
	case w.closing:
		return fault.New(fault.Unavailable, ErrClosed)
	}
	return nil
}

// wait returns what became of r, which it gives back to the pool unless it is a roll.
func (w *WAL) wait(ctx context.Context, r *request) error {
	select {
	case <-r.done:
	case <-ctx.Done():
		if w.withdraw(r) {
			w.metrics.rejected.Inc()
			r.rec = nil
			requests.Put(r)
			return &fault.Error{Class: fault.Unavailable, Reason: "wal_slow", RetryAfter: time.Second,
				Err: fmt.Errorf("write-ahead log is too slow: %w", context.Cause(ctx))}
		}
		<-r.done
	}
	err := r.err
	if !r.roll {
		r.rec = nil
		requests.Put(r)
	}
	return err
}

// withdraw takes r out of the queue and reports whether it was still there.
func (w *WAL) withdraw(r *request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, q := range w.queue {
		if q == r {
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			w.release(int64(len(r.rec)))
			return true
		}
	}
	return false
}

// release says that n bytes have left the queue. w.mu must be held.
func (w *WAL) release(n int64) {
	w.queued -= n
	w.metrics.queueBytes.Set(float64(w.queued))
	close(w.space)
	w.space = make(chan struct{})
}

// Err returns why the log can't be appended to any more, or nil: ErrFailed with its cause, or
// ErrClosed.
func (w *WAL) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unusable()
}

// Truncate removes the segments below before and never the current one.
func (w *WAL) Truncate(before int) error {
	w.truncate.Lock()
	defer w.truncate.Unlock()
	segs, err := segments(w.dir)
	if err != nil {
		return fmt.Errorf("truncate write-ahead log: %w", err)
	}
	removed := 0
	// In ascending order: a crash in between leaves no gap.
	for _, n := range segs[:max(0, len(segs)-1)] {
		if n >= before {
			break
		}
		if err := os.Remove(wlog.SegmentName(w.dir, n)); err != nil {
			return fmt.Errorf("truncate write-ahead log: %w", err)
		}
		removed++
	}
	if removed == 0 {
		return nil
	}
	w.metrics.segments.Sub(float64(removed))
	if err := syncDir(w.dir); err != nil {
		return fmt.Errorf("truncate write-ahead log: %w", err)
	}
	return nil
}

// Close writes what is queued, syncs and closes the log. Later calls return the same error.
func (w *WAL) Close() error {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	<-w.done
	return w.closeErr
}

func mkdirSynced(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := mkdirSynced(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
