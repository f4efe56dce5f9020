package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/prometheus/prometheus/tsdb/wlog"
)

// ErrCorruptRecord is what a replay function wraps when it can't decode a record: the record is
// counted and replay goes on.
var ErrCorruptRecord = errors.New("corrupt record")

// Corruption is a damaged place in the log.
type Corruption struct {
	Segment int
	Offset  int64 // in the segment
	Skipped int64 // bytes from there on that are not part of any record returned
	Err     error
}

func (c Corruption) String() string {
	return fmt.Sprintf("segment %08d at %d, %d bytes skipped: %v", c.Segment, c.Offset, c.Skipped, c.Err)
}

// maxReported bounds ReplayStats.Corruptions; all are counted.
const maxReported = 100

// ReplayStats says what Replay found.
type ReplayStats struct {
	Segments  int
	Records   int   // handed to the function, undecodable ones included
	Bytes     int64 // of those records
	Skipped   int64 // bytes that are not part of any record
	Damaged   int   // damaged places, missing segments included
	Undecoded int   // records that the function refused with ErrCorruptRecord
	Duration  time.Duration

	Corruptions []Corruption // the first 100 damaged places and undecodable records
}

// Replay hands every readable record of the segments that Open found to fn, in order. rec is valid
// until fn returns. It must be called before the first Append.
//
// A damaged place never ends the replay; neither does an error of fn that wraps ErrCorruptRecord.
// Any other error of fn does, as does the end of ctx, or a segment that can't be opened: then the log
// may be whole and must not be truncated.
func (w *WAL) Replay(ctx context.Context, fn func(segment int, rec []byte) error) (ReplayStats, error) {
	return w.ReplayAt(ctx, func(at Position, rec []byte) error { return fn(at.Segment, rec) })
}

// Position is where a record begins. It stays the same for as long as the segment is there.
type Position struct {
	Segment int
	Offset  int64 // in the segment
}

// ReplayAt is Replay for a function that wants to know where each record is.
func (w *WAL) ReplayAt(ctx context.Context, fn func(at Position, rec []byte) error) (ReplayStats, error) {
	w.mu.Lock()
	appended := w.appended
	w.mu.Unlock()
	if appended {
		return ReplayStats{}, errors.New("replay of a write-ahead log that was already appended to")
	}
	r := replay{w: w, fn: fn}
	start := time.Now()
	err := r.run(ctx)
	r.stats.Duration = time.Since(start)
	return r.stats, err
}

type replay struct {
	w     *WAL
	fn    func(at Position, rec []byte) error
	stats ReplayStats
}

func (r *replay) run(ctx context.Context) error {
	for i, n := range r.w.old {
		if i > 0 && n != r.w.old[i-1]+1 {
			r.corrupt(Corruption{Segment: r.w.old[i-1] + 1, Err: fmt.Errorf("%d segments are missing", n-r.w.old[i-1]-1)})
		}
		if err := r.segment(ctx, n); err != nil {
			return fmt.Errorf("replay write-ahead log %s: segment %08d: %w", r.w.dir, n, err)
		}
		r.stats.Segments++
	}
	return nil
}

func (r *replay) segment(ctx context.Context, n int) error {
	f, err := os.Open(wlog.SegmentName(r.w.dir, n))
	if err != nil {
		return err
	}
	defer f.Close()
	sr := newSegmentReader(f, func(off, skipped int64, err error) {
		r.stats.Skipped += skipped
		if err != nil {
			r.corrupt(Corruption{Segment: n, Offset: off, Skipped: skipped, Err: err})
		}
	})
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		rec, err := sr.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			// A sector that can't be read: what was before it is replayed, the next segment comes.
			r.corrupt(Corruption{Segment: n, Offset: sr.off, Err: err})
			return nil
		}
		if err := r.record(n, sr.recStart, rec); err != nil {
			return err
		}
	}
}

func (r *replay) record(segment int, off int64, rec []byte) error {
	r.stats.Records++
	r.stats.Bytes += int64(len(rec))
	err := r.fn(Position{segment, off}, rec)
	if !errors.Is(err, ErrCorruptRecord) {
		return err
	}
	r.stats.Undecoded++
	r.stats.Skipped += int64(len(rec))
	r.report(Corruption{Segment: segment, Offset: off, Skipped: int64(len(rec)), Err: err})
	return nil
}

func (r *replay) corrupt(c Corruption) {
	r.stats.Damaged++
	r.report(c)
}

func (r *replay) report(c Corruption) {
	r.w.metrics.corruptions.Inc()
	if len(r.stats.Corruptions) < maxReported {
		r.stats.Corruptions = append(r.stats.Corruptions, c)
		r.w.opts.Logger.Warn("write-ahead log is damaged", "dir", r.w.dir, "segment", c.Segment, "offset", c.Offset, "skipped_bytes", c.Skipped, "err", c.Err)
	}
}

// SegmentTime returns when segment n was last written to.
func (w *WAL) SegmentTime(n int) (time.Time, error) {
	info, err := os.Stat(wlog.SegmentName(w.dir, n))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
