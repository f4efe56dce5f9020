package wal

import (
	"fmt"
	"time"

	"github.com/hune-io/hune/internal/fault"
)

// committer is the one goroutine that writes. Its fields are its own.
type committer struct {
	w       *WAL
	segment int   // number of the current segment
	written int64 // bytes of records in it
	dirty   bool  // written, not synced
	recs    [][]byte
	batch   []*request
}

func (c *committer) run() {
	w := c.w
	defer close(w.done)
	var tick <-chan time.Time
	if w.opts.Sync == SyncInterval {
		t := time.NewTicker(w.opts.Interval)
		defer t.Stop()
		tick = t.C
	}
	for {
		closing := c.take()
		if len(c.batch) > 0 {
			c.commit()
			continue
		}
		if closing {
			c.close()
			return
		}
		select {
		case <-w.wake:
		case <-tick:
			c.syncPending()
		}
	}
}

// take moves the next batch out of the queue: up to maxBatch bytes, or one request to roll.
func (c *committer) take() (closing bool) {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	var n int
	var size int64
	for _, r := range w.queue {
		if n > 0 && (r.roll || size+int64(len(r.rec)) > maxBatch) {
			break
		}
		size += int64(len(r.rec))
		n++
		if r.roll {
			break
		}
	}
	c.batch = append(c.batch[:0], w.queue[:n]...)
	rest := copy(w.queue, w.queue[n:])
	clear(w.queue[rest:])
	w.queue = w.queue[:rest]
	if n > 0 {
		w.release(size)
	}
	return w.closing
}

// commit answers every request of the batch.
func (c *committer) commit() {
	var err error
	if first := c.batch[0]; first.roll {
		first.n, err = c.roll()
	} else {
		err = c.write()
	}
	for i, r := range c.batch {
		r.err = err
		r.done <- struct{}{}
		c.batch[i] = nil
	}
}

// write logs the batch and, with SyncAlways, syncs it.
func (c *committer) write() error {
	w := c.w
	if err := w.failure(); err != nil {
		return err
	}
	var size int64
	c.recs = c.recs[:0]
	for _, r := range c.batch {
		c.recs = append(c.recs, r.rec)
		size += int64(len(r.rec))
	}
	defer clear(c.recs) // the callers reuse their memory
	if c.written > 0 && c.written+size > w.opts.SegmentSize {
		if _, err := c.roll(); err != nil {
			return err
		}
	}
	if err := w.log.Log(c.recs...); err != nil {
		return w.fail(fmt.Errorf("write segment %d: %w", c.segment, err))
	}
	c.written += size
	c.dirty = true
	if w.opts.Sync == SyncAlways {
		if err := c.sync(); err != nil {
			return err
		}
	}
	w.metrics.records.Add(float64(len(c.batch)))
	w.metrics.bytes.Add(float64(size))
	w.metrics.batch.Observe(float64(len(c.batch)))
	return nil
}

func (c *committer) sync() error {
	if !c.dirty {
		return nil
	}
	start := time.Now()
	if err := c.w.log.Sync(); err != nil {
		return c.w.fail(fmt.Errorf("sync segment %d: %w", c.segment, err))
	}
	c.w.metrics.fsync.Observe(time.Since(start).Seconds())
	c.dirty = false
	return nil
}

// syncPending is the sync of SyncInterval. Its failure has no writer to report to; it is logged, and the
// sticky error tells the next one.
func (c *committer) syncPending() {
	if c.w.failure() != nil {
		return
	}
	_ = c.sync()
}

// roll begins a new segment if the current one holds anything, and returns its number.
func (c *committer) roll() (int, error) {
	w := c.w
	if err := w.failure(); err != nil {
		return 0, err
	}
	if c.written == 0 {
		return c.segment, nil
	}
	// wlog syncs the old segment too, but a failure of that would only be logged.
	if err := c.sync(); err != nil {
		return 0, err
	}
	n, err := w.log.NextSegmentSync()
	if err == nil {
		err = syncDir(w.dir)
	}
	if err != nil {
		return 0, w.fail(fmt.Errorf("begin segment %d: %w", c.segment+1, err))
	}
	c.segment, c.written = n, 0
	w.metrics.segments.Inc()
	return n, nil
}

func (c *committer) close() {
	w := c.w
	err := w.failure()
	if err == nil {
		err = c.sync()
	}
	if cerr := w.log.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("close write-ahead log %s: %w", w.dir, cerr)
	}
	w.closeErr = err
	w.metrics.unregister()
}

func (w *WAL) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// fail makes err the answer to every Append from now on.
func (w *WAL) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		// Unavailable: the fault is this process's, the write can be sent again to another or later.
		w.failed = &fault.Error{Class: fault.Unavailable, Reason: "wal_failed", RetryAfter: 30 * time.Second, Err: fmt.Errorf("%w: %w", ErrFailed, err)}
		w.metrics.failed.Set(1)
		w.opts.Logger.Error("write-ahead log failed, writes are refused until a restart", "dir", w.dir, "err", err)
	}
	return w.failed
}
