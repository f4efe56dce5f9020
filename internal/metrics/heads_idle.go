package metrics

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb/wlog"

	"github.com/hune-io/hune/internal/tenant"
)

// The database of a tenant that has sent nothing for a while holds memory, goroutines and files for nothing: its head
// has been cut, its blocks are in the bucket. It is closed, and what it has on the disk is removed but for metadata,
// exemplars and what was set aside. Queries go on without it, since the stores answer from the bucket; a write opens a new one.
//
// Nothing waits for those who use a head: one in use isn't idle. They hold it by a count, which rises only under the
// lock of the map of tenants, so that with the lock held and a count of zero nobody has the head and nobody gets it.
// A writer that comes while the database is being closed waits for that and opens the next one.

// shutMark is the file that says that all else of the database in the folder may be removed. It is there before
// anything is removed, and gone, for a power cut too, before a new database is made.
const shutMark = "closed"

// release lets go of a head that Heads.head returned, nil too.
func (t *head) release() {
	if t != nil {
		t.users.Add(-1)
	}
}

// closeIdle closes the databases of tenants that have sent nothing for a while and hold nothing.
func (h *Heads) closeIdle(ctx context.Context) {
	if h.opts.Bucket == nil || h.opts.Config.IdleClose == 0 {
		return
	}
	for _, t := range h.opened() {
		if ctx.Err() != nil {
			return
		}
		last := t.lastAppend.Load()
		if !t.idle() || !t.allShipped() {
			continue
		}
		if err := t.exemplars.save(t.goneExemplars()); err != nil {
			h.logger.Error("exemplars can't be saved, the idle metrics database stays open", "tenant", t.tenant, "err", err)
			continue
		}
		if err := h.shut(t, last); err != nil {
			h.logger.Error("idle metrics database closed with a fault, it will be opened as after a restart", "tenant", t.tenant, "err", err)
		}
	}
}

// idle reports whether nothing has been written for a while and nothing is in the head that isn't in a block. A head
// that has failed stays: it is refused until a restart.
func (t *head) idle() bool {
	quiet := t.opts.Now().UnixMilli() - t.lastAppend.Load()
	return quiet > time.Duration(t.opts.Config.IdleClose).Milliseconds() && t.failure.Load() == nil && t.db.Head().NumSeries() == 0
}

// allShipped reports whether all blocks in the folder have been in the bucket for so long that the stores know of
// them. It asks the disk, and not the TSDB, which doesn't tell of blocks that it can't read.
func (t *head) allShipped() bool {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return false
	}
	before := t.opts.Now().Add(-time.Duration(t.opts.Config.KeepLocal))
	for _, e := range entries {
		id, err := ulid.ParseStrict(e.Name())
		if err != nil {
			continue
		}
		if at, ok := t.shipped.at(id); !ok || !at.Before(before) {
			return false
		}
	}
	return true
}

// shut closes a head and removes its database, unless somebody uses it or has written since last, when it was idle,
// all blocks in its folder were in the bucket and its exemplars in their file: while nobody writes to an empty head no others appear.
func (h *Heads) shut(t *head, last int64) error {
	h.mu.Lock()
	if h.closed || h.tenants[t.tenant] != t || t.users.Load() > 0 || t.lastAppend.Load() != last || !t.idle() {
		h.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	h.moving[t.tenant] = done
	delete(h.tenants, t.tenant)
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.moving, t.tenant)
		close(done)
	}()

	if err := t.close(); err != nil {
		return err
	}
	h.metrics.idleClosed.Inc()
	t.logger.Info("idle metrics database closed", "last_write", formatMillis(t.lastAppend.Load()))
	if err := writeFileAtomic(filepath.Join(t.dir, shutMark), nil); err != nil {
		return fmt.Errorf("mark the folder: %w", err)
	}
	return removeShut(t.dir)
}

// shutMetadata is the metadata that a closed database left.
func (h *Heads) shutMetadata(id string) *metadataStore {
	if tenant.Validate(id) != nil {
		return &metadataStore{}
	}
	return openMetadataStore(filepath.Join(h.opts.Dir, id, metadataFile), h.opts.Config.MaxMetadata, h.logger.With("tenant", id))
}

// isShut reports whether the database in a folder was closed for idleness. An error isn't an answer: what is opened and
// has the mark is lost at the next start.
func isShut(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, shutMark))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// removeShut removes a closed database, and its folder when nothing else is in it. A crash in between leaves the mark.
func removeShut(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	kept, removed := false, false
	for _, e := range entries {
		switch {
		case ofDatabase(e.Name()):
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
			removed = true
		case e.Name() != shutMark:
			kept = true
		}
	}
	switch {
	case !kept:
		return os.RemoveAll(dir)
	case removed:
		return syncDir(dir)
	}
	return nil
}

// ofDatabase reports whether a file or folder with this name is the TSDB's, or of use with its blocks alone.
func ofDatabase(name string) bool {
	switch name {
	case "wal", wlog.WblDirName, "chunks_head", "lock", shippedFile:
		return true
	}
	block, _, _ := strings.Cut(name, ".") // ULID, ULID.tmp-for-creation, ULID.tmp-for-deletion
	_, err := ulid.ParseStrict(block)
	return err == nil
}

// reopen makes room for a new database where another was closed. When it returns, no crash brings back the mark.
func reopen(dir string) error {
	if shut, err := isShut(dir); err != nil || !shut {
		return err
	}
	if err := removeShut(dir); err != nil {
		return fmt.Errorf("remove the rest of a closed database: %w", err)
	}
	err := os.Remove(filepath.Join(dir, shutMark))
	if errors.Is(err, os.ErrNotExist) { // with its folder
		return syncDir(filepath.Dir(dir))
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}
