package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb/wlog"
)

// syncer makes the TSDB's log durable. The TSDB hands its records to the kernel when an appender
// commits and syncs a segment only when it is full, so a power cut takes what the kernel had not
// written yet. sync is called between the commit and the acknowledgement.
//
// It is a group commit: all callers that arrive while an fsync runs share the next one. No
// goroutine is needed, the first caller of a round does the work for the rest.
//
// A failed fsync is final: the kernel may have dropped the pages, so a later success would prove
// nothing. Every later call returns the first error.
type syncer struct {
	wal, wbl  segments
	latency   prometheus.Observer
	fsyncFile func(*os.File) error // (*os.File).Sync; tests replace it

	mu   sync.Mutex
	next *syncRound // joined by those who come before it starts; nil when there is none

	run sync.Mutex // held by the round that is syncing
	err error      // sticky; guarded by run
}

type syncRound struct {
	done chan struct{}
	err  error
}

func newSyncer(walDir, wblDir string, latency prometheus.Observer) *syncer {
	return &syncer{wal: segments{dir: walDir, last: -1}, wbl: segments{dir: wblDir, last: -1}, latency: latency, fsyncFile: (*os.File).Sync}
}

// sync returns when everything that was committed before the call is on disk.
func (s *syncer) sync() error {
	s.mu.Lock()
	r := s.next
	leader := r == nil
	if leader {
		r = &syncRound{done: make(chan struct{})}
		s.next = r
	}
	s.mu.Unlock()
	if !leader {
		<-r.done
		return r.err
	}
	s.run.Lock()
	s.mu.Lock()
	s.next = nil // who comes from here on may have committed after our fsync: the next round
	s.mu.Unlock()
	r.err = s.syncLogs()
	s.run.Unlock()
	close(r.done)
	return r.err
}

// syncLogs does one round; s.run must be held.
func (s *syncer) syncLogs() error {
	if s.err != nil {
		return s.err
	}
	timer := prometheus.NewTimer(s.latency)
	defer timer.ObserveDuration()
	if err := errors.Join(s.wal.sync(s.fsyncFile), s.wbl.sync(s.fsyncFile)); err != nil {
		s.err = fmt.Errorf("sync write-ahead log: %w", err)
	}
	return s.err
}

// close closes the files; the syncer must be idle.
func (s *syncer) close() error {
	s.run.Lock()
	defer s.run.Unlock()
	return errors.Join(s.wal.close(), s.wbl.close())
}

// segments follows one log folder: which segment was synced last, and up to which size.
type segments struct {
	dir  string
	last int // number of the segment that file is; -1 before the first sync
	file *os.File
	size int64
}

// sync syncs every segment written since the last call, the last one seen included, and the
// folder when there is a new one. A log only grows, so an unchanged size means nothing to do.
func (s *segments) sync(fsync func(*os.File) error) error {
	for {
		if s.file == nil {
			if err := s.start(); err != nil || s.file == nil {
				return err
			}
		}
		if err := s.syncFile(fsync); err != nil {
			return err
		}
		next, err := os.Open(wlog.SegmentName(s.dir, s.last+1))
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Stat(s.file.Name()); err == nil {
				return nil
			}
			// Truncation has removed our segment and those behind it: begin again with the oldest.
			if err := s.close(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		// The segment may have grown between our sync and the cut of the next one.
		if err := s.syncFile(fsync); err != nil {
			_ = next.Close()
			return err
		}
		_ = s.file.Close()
		s.file, s.size = next, 0
		s.last++
		if err := syncDir(s.dir); err != nil {
			return err
		}
	}
}

// start opens the oldest segment: what an earlier process wrote and did not sync must be safe
// before anything that refers to it is acknowledged. The folder may not exist (no out-of-order log yet).
func (s *segments) start() error {
	for {
		first, last, err := wlog.Segments(s.dir)
		if errors.Is(err, fs.ErrNotExist) || (err == nil && last < 0) {
			return nil
		}
		if err != nil {
			return err
		}
		f, err := os.Open(wlog.SegmentName(s.dir, first))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed by a truncation since the listing; there is a later one
		}
		if err != nil {
			return err
		}
		s.file, s.last, s.size = f, first, 0
		return syncDir(s.dir)
	}
}

func (s *segments) syncFile(fsync func(*os.File) error) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() == s.size {
		return nil
	}
	if err := fsync(s.file); err != nil {
		return err
	}
	s.size = info.Size()
	return nil
}

func (s *segments) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
