package ingester

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/wal"
)

// recover finds the pending blocks of the last run and replays the log into heads.
func (c *columnar[B, P, R]) recover(ctx context.Context) error {
	started := time.Now()
	covered, err := c.recoverPending(ctx)
	if err != nil {
		return fmt.Errorf("find pending %s blocks: %w", c.kind.signal, err)
	}
	var rows, skipped int
	var written segmentTime
	stats, err := c.wal.ReplayAt(ctx, func(at wal.Position, rec []byte) error {
		id, batch, err := c.kind.decode(rec)
		if err == nil {
			err = tenant.Validate(id)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", wal.ErrCorruptRecord, err)
		}
		if covered[id].covers(at) {
			skipped++
			return nil
		}
		t := c.tenant(id)
		t.first.CompareAndSwap(0, 1+int64(at.Segment))
		t.since.CompareAndSwap(0, written.of(c.wal, at.Segment, c.opts.Now()).UnixNano())
		whole, err := t.head.Replay(batch)
		if err != nil {
			return fmt.Errorf("%w: %w", wal.ErrCorruptRecord, err)
		}
		rows++
		if !whole && t.head.Rows() > 0 {
			// What does not fit beside the rest was acknowledged beside less: it has room in a new head. The
			// block doesn't cover this record; what both have of it is answered once.
			if err := c.cutDuringReplay(ctx, t, cutInfo{Before: at.Segment, Offset: at.Offset}); err != nil {
				return err
			}
			t.first.CompareAndSwap(0, 1+int64(at.Segment))
			t.since.CompareAndSwap(0, c.opts.Now().UnixNano())
			if _, err := t.head.Replay(batch); err != nil {
				return fmt.Errorf("%w: %w", wal.ErrCorruptRecord, err)
			}
		}
		// A log that grew long while nothing could be cut must not fill the memory at start.
		if t.head.Size() >= int64(c.cfg.MaxHeadBytes) {
			return c.cutDuringReplay(ctx, t, cutInfo{Before: at.Segment, Offset: at.Offset + 1})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("replay the %s log: %w", c.kind.signal, err)
	}
	next, err := c.wal.NextSegment()
	if err != nil {
		return err
	}
	c.segment.Store(int64(next))
	c.metrics.replayed.Set(float64(stats.Records))
	log := c.logger.Info
	if stats.Damaged+stats.Undecoded > 0 {
		log = c.logger.Warn
	}
	if stats.Records > 0 || stats.Damaged+stats.Undecoded > 0 {
		log("write-ahead log replayed", "records", rows, "already_in_blocks", skipped, "bytes", stats.Bytes,
			"damaged_places", stats.Damaged, "undecodable_records", stats.Undecoded, "bytes_lost", stats.Skipped, "duration", time.Since(started))
	}
	if stats.Damaged+stats.Undecoded > 0 {
		return nil // the next cut truncates; until then another version or a person may look at the log
	}
	// Nothing may be due for long: what the log holds twice goes now, and with it the uploaded blocks
	// that a replay would need beside it.
	return c.truncate()
}

// segmentTime knows when the segment that was asked for last was written.
type segmentTime struct {
	segment int
	at      time.Time
}

// of returns when the segment was written: rows are as old at a restart as they were before it. In
// doubt they are from now.
func (s *segmentTime) of(w *wal.WAL, segment int, now time.Time) time.Time {
	if s.at.IsZero() || s.segment != segment {
		at, err := w.SegmentTime(segment)
		if err != nil || at.After(now) {
			at = now
		}
		s.segment, s.at = segment, at
	}
	return s.at
}

// cutDuringReplay writes the head as a block that covers the log as cut says. So a process
// that dies during its replay, again and again, does not leave the same rows in more and more blocks.
func (c *columnar[B, P, R]) cutDuringReplay(ctx context.Context, t *tenantState[B, P, R], cut cutInfo) error {
	g := &generation[B, P, R]{id: c.newULID(), head: t.head, part: t.head.Part(), first: t.first.Load(),
		cut: cut}
	g.dir = filepath.Join(c.dir, t.tenant, g.id.String())
	t.frozen = append(t.frozen, g)
	t.head = c.kind.newHead(t.tenant)
	t.first.Store(0)
	t.since.Store(0)
	return c.writeLocal(ctx, t, g)
}

// recoverPending opens the blocks that were cut but maybe not uploaded, and returns for each
// tenant which part of the log they cover.
func (c *columnar[B, P, R]) recoverPending(ctx context.Context) (map[string]cutInfo, error) {
	covered := map[string]cutInfo{}
	if err := os.MkdirAll(c.dir, 0o750); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(c.dir)); err != nil {
		return nil, err
	}
	tenants, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	for _, dir := range tenants {
		if !dir.IsDir() || tenant.Validate(dir.Name()) != nil {
			continue
		}
		if covered[dir.Name()], err = c.recoverTenant(ctx, dir.Name()); err != nil {
			return nil, err
		}
	}
	return covered, nil
}

func (c *columnar[B, P, R]) recoverTenant(ctx context.Context, id string) (cutInfo, error) {
	var covered cutInfo
	damaged := false
	blocks, err := os.ReadDir(filepath.Join(c.dir, id))
	if err != nil {
		return covered, err
	}
	for _, b := range blocks {
		path := filepath.Join(c.dir, id, b.Name())
		if strings.HasSuffix(b.Name(), ".tmp") {
			// Never finished, or no longer needed: its rows are in the log or in the bucket.
			if err := os.RemoveAll(path); err != nil {
				return covered, err
			}
			continue
		}
		blockID, err := ulid.ParseStrict(b.Name())
		if err != nil {
			continue
		}
		if damaged {
			// This block no longer stands for the one before it, whose rows may be in the log.
			if err := shrinkCut(path, covered); err != nil {
				return covered, err
			}
		}
		info, err := c.recoverBlock(ctx, c.tenant(id), blockID, path)
		switch {
		case err == nil && covered.less(info):
			covered = info
		case err == nil:
		case ctx.Err() != nil:
			return covered, context.Cause(ctx)
		case lacking(err):
			return covered, fmt.Errorf("block %s: %w", path, err)
		default:
			if err := c.quarantine(id, path, err); err != nil {
				return covered, err
			}
			damaged = true
		}
	}
	return covered, nil
}

// shrinkCut lets the block in dir cover no more of the log than info does.
func shrinkCut(dir string, info cutInfo) error {
	if old, err := readCut(dir); err != nil || !info.less(old) {
		return nil // a file that can't be read is a damaged block's, which is found next
	}
	tmp := dir + ".cut.tmp"
	if err := errors.Join(os.RemoveAll(tmp), os.Mkdir(tmp, 0o750), writeCut(tmp, info)); err != nil {
		return err
	}
	return errors.Join(os.Rename(filepath.Join(tmp, cutFile), filepath.Join(dir, cutFile)), syncDir(dir), os.Remove(tmp))
}

// lacking reports whether err says something of this process, and not of the files.
func lacking(err error) bool {
	for _, reason := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EACCES, syscall.EPERM} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

func (c *columnar[B, P, R]) recoverBlock(ctx context.Context, t *tenantState[B, P, R], id ulid.ULID, dir string) (cutInfo, error) {
	info, err := readCut(dir)
	if err != nil {
		return info, err
	}
	if _, err := readLocalMeta(dir); err != nil {
		return info, err
	}
	g := &generation[B, P, R]{id: id, dir: dir, cut: info}
	if err := c.answerFromBlock(ctx, t, g); err != nil {
		return info, err
	}
	t.frozen = append(t.frozen, g)
	return info, nil
}

// quarantine moves a damaged pending block aside. It never deletes it, and the log still holds the
// rows unless it was truncated since.
func (c *columnar[B, P, R]) quarantine(tenant, dir string, reason error) error {
	c.metrics.quarantined.Inc()
	aside := filepath.Join(c.opts.Dir, string(c.kind.signal), "quarantine", tenant)
	if err := os.MkdirAll(aside, 0o750); err != nil {
		return err
	}
	to := filepath.Join(aside, filepath.Base(dir))
	for n := 1; ; n++ { // somebody may have put a block back that was here before
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		to = filepath.Join(aside, fmt.Sprintf("%s.%d", filepath.Base(dir), n))
	}
	c.logger.Error("pending block is damaged and was moved aside: its rows are answered again if the bucket or the write-ahead log has them, and are lost otherwise",
		"tenant", tenant, "block", dir, "to", to, "err", reason)
	return errors.Join(os.Rename(dir, to), syncDir(aside), syncDir(filepath.Dir(dir)))
}
