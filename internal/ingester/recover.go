package ingester

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/wal"
)

// recover finds the pending blocks of the last run and replays the log into heads.
func (c *columnar[B, P, R]) recover(ctx context.Context) error {
	started := time.Now()
	before, err := c.recoverPending(ctx)
	if err != nil {
		return fmt.Errorf("find pending %s blocks: %w", c.kind.signal, err)
	}
	var rows, skipped int
	stats, err := c.wal.Replay(ctx, func(segment int, rec []byte) error {
		id, batch, err := c.kind.decode(rec)
		if err == nil {
			err = tenant.Validate(id)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", wal.ErrCorruptRecord, err)
		}
		if segment < before[id] {
			skipped++
			return nil
		}
		t := c.tenant(id)
		t.first.CompareAndSwap(0, 1+int64(segment))
		t.since.CompareAndSwap(0, c.opts.Now().UnixNano())
		if _, err := t.head.Append(batch); err != nil {
			return fmt.Errorf("%w: %w", wal.ErrCorruptRecord, err)
		}
		rows++
		// A log that grew long while nothing could be cut must not fill the memory at start.
		if t.head.Size() >= int64(c.cfg.MaxHeadBytes) {
			return c.cutDuringReplay(ctx, t, segment)
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
	return nil
}

// cutDuringReplay writes the head as a block that covers nothing of the log: the segment being
// read may hold more rows of it. Should the process die before the log is truncated, the rows are
// replayed again and dropped as duplicates.
func (c *columnar[B, P, R]) cutDuringReplay(ctx context.Context, t *tenantState[B, P, R], segment int) error {
	g := &generation[B, P, R]{id: c.newULID(), head: t.head, part: t.head.Part(), first: t.first.Load(), before: 0}
	g.dir = filepath.Join(c.dir, t.tenant, g.id.String())
	t.frozen = append(t.frozen, g)
	t.head = c.kind.newHead(t.tenant)
	t.first.Store(1 + int64(segment))
	t.since.Store(0)
	return c.writeLocal(ctx, t, g)
}

// recoverPending opens the blocks that were cut but maybe not uploaded, and returns for each
// tenant the first segment that they don't cover.
func (c *columnar[B, P, R]) recoverPending(ctx context.Context) (map[string]int, error) {
	before := map[string]int{}
	if err := os.MkdirAll(c.dir, 0o750); err != nil {
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
		blocks, err := os.ReadDir(filepath.Join(c.dir, dir.Name()))
		if err != nil {
			return nil, err
		}
		for _, b := range blocks {
			path := filepath.Join(c.dir, dir.Name(), b.Name())
			if strings.HasSuffix(b.Name(), ".tmp") {
				// Never finished, or no longer needed: its rows are in the log or in the bucket.
				if err := os.RemoveAll(path); err != nil {
					return nil, err
				}
				continue
			}
			id, err := ulid.ParseStrict(b.Name())
			if err != nil {
				continue
			}
			n, err := c.recoverBlock(ctx, c.tenant(dir.Name()), id, path)
			if err != nil {
				if err := c.quarantine(path, err); err != nil {
					return nil, err
				}
				continue
			}
			before[dir.Name()] = max(before[dir.Name()], n)
		}
	}
	return before, nil
}

func (c *columnar[B, P, R]) recoverBlock(ctx context.Context, t *tenantState[B, P, R], id ulid.ULID, dir string) (int, error) {
	info, err := readCut(dir)
	if err != nil {
		return 0, err
	}
	if _, err := readLocalMeta(dir); err != nil {
		return 0, err
	}
	g := &generation[B, P, R]{id: id, dir: dir, before: info.Before}
	if err := c.answerFromBlock(ctx, t, g); err != nil {
		return 0, err
	}
	t.frozen = append(t.frozen, g)
	return info.Before, nil
}

// quarantine moves a damaged pending block aside. It never deletes it, and the log still holds the
// rows unless it was truncated since.
func (c *columnar[B, P, R]) quarantine(dir string, reason error) error {
	c.metrics.quarantined.Inc()
	c.logger.Error("pending block is damaged, moved aside", "block", dir, "err", reason)
	aside := filepath.Join(c.opts.Dir, string(c.kind.signal), "quarantine")
	if err := os.MkdirAll(aside, 0o750); err != nil {
		return err
	}
	return errors.Join(os.Rename(dir, filepath.Join(aside, filepath.Base(dir))), syncDir(aside))
}
