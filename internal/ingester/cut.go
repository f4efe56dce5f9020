package ingester

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/wal"
)

// cutFile stands beside a pending block and says which part of the log the block replaces.
const cutFile = "cut.json"

type cutInfo struct {
	// Before is the first segment that a replay must read for this tenant.
	Before int `json:"before"`
	// Offset is where in that segment the records begin that a replay must read. It is 0 but for
	// a block that was cut during a replay.
	Offset int64 `json:"offset,omitempty"`
}

// covers reports whether a record is in the block that i stands beside, or in an older one.
func (i cutInfo) covers(at wal.Position) bool {
	return at.Segment < i.Before || at.Segment == i.Before && at.Offset < i.Offset
}

// gone reports whether the log holds none of the records that i covers, when it begins at segment floor.
func (i cutInfo) gone(floor int) bool {
	return floor > i.Before || floor == i.Before && i.Offset == 0
}

func (i cutInfo) less(j cutInfo) bool {
	return i.Before < j.Before || i.Before == j.Before && i.Offset < j.Offset
}

// due says whether t's head is full or old, and whether frozen heads of t still have to be written.
func (c *columnar[B, P, R]) due(t *tenantState[B, P, R], now time.Time) (cut, unwritten bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	since := t.since.Load()
	if since > now.UnixNano() {
		// The clock was set back. The head would be young for as long as it went back by.
		t.since.CompareAndSwap(since, now.UnixNano())
	}
	full := t.head.Size() >= int64(c.cfg.MaxHeadBytes)
	old := now.UnixNano()-since >= int64(c.cfg.MaxHeadAge)
	unwritten = slices.ContainsFunc(t.frozen, func(g *generation[B, P, R]) bool { return g.head != nil })
	return since != 0 && (full || old), unwritten
}

// cutDue cuts what is due, and goes on with what an earlier cut could not write: a tenant that has
// gone quiet must not keep the log of all from being truncated.
func (c *columnar[B, P, R]) cutDue(ctx context.Context) error {
	var errs []error
	for _, t := range c.all() {
		switch cut, unwritten := c.due(t, c.opts.Now()); {
		case cut:
			errs = append(errs, c.cut(ctx, t))
		case unwritten:
			c.cutMu.Lock()
			errs = append(errs, c.writeFrozen(ctx, t))
			c.cutMu.Unlock()
		}
	}
	return errors.Join(errs...)
}

// cut freezes a tenant's head and writes it as a local block. It returns nil when there is nothing
// to cut. On error the frozen head stays in memory, is still answered from, and is tried again by
// the next cutDue or cut.
func (c *columnar[B, P, R]) cut(ctx context.Context, t *tenantState[B, P, R]) error {
	c.cutMu.Lock()
	defer c.cutMu.Unlock()
	err := c.freeze(t)
	return errors.Join(err, c.writeFrozen(ctx, t))
}

// writeFrozen writes the frozen heads of t, oldest first: a block stands for the older ones too. It
// ends at the first that fails. cutMu must be held.
func (c *columnar[B, P, R]) writeFrozen(ctx context.Context, t *tenantState[B, P, R]) error {
	t.mu.RLock()
	waiting := slices.DeleteFunc(slices.Clone(t.frozen), func(g *generation[B, P, R]) bool { return g.head == nil })
	t.mu.RUnlock()
	for _, g := range waiting {
		if err := c.writeLocal(ctx, t, g); err != nil {
			c.metrics.cutFailures.Inc()
			return fmt.Errorf("cut %s block %s of tenant %s: %w", c.kind.signal, g.id, t.tenant, err)
		}
		c.metrics.cuts.Inc()
	}
	return c.truncate()
}

// freeze swaps the head for an empty one.
func (c *columnar[B, P, R]) freeze(t *tenantState[B, P, R]) error {
	t.writes.Lock()
	defer t.writes.Unlock()
	if t.head.Rows() == 0 {
		return nil
	}
	before, err := c.wal.NextSegment()
	if err != nil {
		return fmt.Errorf("start a new segment of the %s log: %w", c.kind.signal, err)
	}
	c.segment.Store(int64(before))
	g := &generation[B, P, R]{id: c.newULID(), head: t.head, part: t.head.Part(), first: t.first.Load(), since: t.since.Load(), cut: cutInfo{Before: before}}
	g.dir = filepath.Join(c.dir, t.tenant, g.id.String())
	fresh := c.kind.newHead(t.tenant)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frozen = append(t.frozen, g)
	t.head = fresh
	t.first.Store(0)
	t.since.Store(0)
	return nil
}

func (c *columnar[B, P, R]) newULID() ulid.ULID {
	return ulid.MustNew(ulid.Timestamp(c.opts.Now()), c.opts.Entropy)
}

// writeLocal turns a frozen head into a block in the pending folder, synced, and answers from the
// block from then on.
func (c *columnar[B, P, R]) writeLocal(ctx context.Context, t *tenantState[B, P, R], g *generation[B, P, R]) error {
	tmp := g.dir + ".tmp"
	if err := c.writeFiles(ctx, t, g, tmp); err != nil {
		// What is half written must not hold the room that the disk may lack.
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return c.answerFromBlock(ctx, t, g)
}

func (c *columnar[B, P, R]) writeFiles(ctx context.Context, t *tenantState[B, P, R], g *generation[B, P, R], tmp string) error {
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	// An earlier attempt may have got as far as the block, and then failed to sync or open it.
	if err := g.remove(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(tmp, 0o750); err != nil {
		return err
	}
	meta := &block.Meta{ULID: g.id, Tenant: t.tenant, Signal: c.kind.signal, Producer: "ingester", Created: c.opts.Now()}
	if err := g.head.WriteBlock(ctx, tmp, meta); err != nil {
		return err
	}
	content, err := meta.Encode()
	if err != nil {
		return err
	}
	if err := writeSynced(tmp, block.MetaFile, content); err != nil {
		return err
	}
	if err := writeCut(tmp, g.cut); err != nil {
		return err
	}
	if err := os.Rename(tmp, g.dir); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(g.dir)), syncDir(c.dir))
}

// answerFromBlock opens the local block of g and lets go of its head.
func (c *columnar[B, P, R]) answerFromBlock(ctx context.Context, t *tenantState[B, P, R], g *generation[B, P, R]) error {
	r, err := openLocal(ctx, g.dir)
	if err != nil {
		return fmt.Errorf("open local block: %w", err)
	}
	part, err := c.kind.openBlock(ctx, r)
	if err != nil {
		return fmt.Errorf("open local block: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g.part, g.head, g.first, g.size = part, nil, 0, r.Size()
	c.pending.Add(g.size)
	c.gate.written()
	return nil
}

// truncate drops the segments that no head needs any more.
func (c *columnar[B, P, R]) truncate() error {
	floor := c.segment.Load()
	for _, t := range c.all() {
		floor = min(floor, t.needs(floor))
	}
	if floor <= 0 {
		return nil
	}
	if err := c.wal.Truncate(int(floor)); err != nil {
		return fmt.Errorf("truncate the %s log before segment %d: %w", c.kind.signal, floor, err)
	}
	c.floor.Store(floor)
	c.metrics.walFloor.Set(float64(floor))
	return nil
}

// needs returns the first segment that t's heads would be rebuilt from, or none if they are empty.
func (t *tenantState[B, P, R]) needs(none int64) int64 {
	// Exclusive: with no writer between log and head, an empty head needs nothing, whatever a
	// write that failed has left in first.
	t.writes.Lock()
	defer t.writes.Unlock()
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.head.Rows() == 0 {
		t.first.Store(0)
		t.since.Store(0)
	}
	floor := none
	if first := t.first.Load(); first != 0 {
		floor = min(floor, first-1)
	}
	for _, g := range t.frozen {
		if g.first != 0 {
			floor = min(floor, g.first-1)
		}
	}
	return floor
}

func writeCut(dir string, info cutInfo) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return writeSynced(dir, cutFile, data)
}

// writeSynced writes a file and makes it and its name durable.
func writeSynced(dir, name string, data []byte) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close(), syncDir(dir))
}

func readCut(dir string) (cutInfo, error) {
	var info cutInfo
	data, err := os.ReadFile(filepath.Join(dir, cutFile))
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, fmt.Errorf("read %s: %w", cutFile, err)
	}
	return info, nil
}

// syncDir makes renames and new names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
