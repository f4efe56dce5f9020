package compactor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/signal"
)

// ancestry is how long a block is named among the sources of those made of it after it is gone from
// the bucket: an ingester may still answer for it, and must not when its rows are read elsewhere.
const ancestry = 24 * time.Hour

// compact carries out one job: of the inputs it makes one block, or none if no row was left. The inputs of
// a block stay where they are until queries have turned to it; without one they go at once.
//
// It may be stopped at any point and done again: the block has a name that follows from its inputs,
// readers see it from the moment its meta file is there, and from that moment on they leave its inputs
// out.
func (c *Compactor) compact(ctx context.Context, t *tenantBlocks, j job) error {
	dir, err := os.MkdirTemp(c.opts.Dir, "job-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	readers, closeInputs, err := c.fetch(ctx, dir, j.inputs)
	defer closeInputs()
	if err != nil {
		return err
	}
	now := c.opts.Now()
	meta := &block.Meta{ULID: outputID(j.inputs, t.aside), Tenant: t.tenant, Signal: t.signal, Level: 1 + maxLevel(j.inputs),
		Sources: t.sources(j.inputs, now), Producer: producer, Created: now}
	if t.signal == signal.Traces {
		return c.mergeTraces(ctx, dir, t, j, readers, meta)
	}
	return c.mergeLogs(ctx, dir, t, j, readers, meta)
}

func (c *Compactor) mergeLogs(ctx context.Context, dir string, t *tenantBlocks, j job, readers []*block.Reader, meta *block.Meta) error {
	inputs := make([]*logs.Block, len(readers))
	for i, r := range readers {
		var err error
		if inputs[i], err = logs.OpenBlock(ctx, r); err != nil {
			return err
		}
	}
	deletions, err := c.begin(ctx, t.tenant, j.inputs)
	if err != nil {
		return err
	}
	now := meta.Created
	r := &remains{remover: deletions.Remover(), retention: c.retention(t.tenant), now: now}
	work := logs.Compaction{Blocks: inputs, Touched: r.touched, Keep: r.keep, Options: logs.BlockOptions{Level: block.Better}}
	err = work.Write(ctx, dir, meta)
	empty := errors.Is(err, logs.ErrEmpty)
	if err != nil && !empty {
		return err
	}
	if err := r.account(meta.Rows, j.inputs); err != nil {
		return err
	}
	if empty {
		return c.deleteEmpty(ctx, t, j.inputs)
	}
	if err := c.publish(ctx, dir, meta); err != nil {
		return err
	}
	c.markClean(meta.ULID, deletions)
	c.told(j, meta, r, c.opts.Now().Sub(now))
	return nil
}

// publish uploads a block that was made.
func (c *Compactor) publish(ctx context.Context, dir string, meta *block.Meta) error {
	if err := block.Upload(ctx, c.opts.Bucket, dir, meta); err != nil {
		return err
	}
	c.made[meta.ULID] = c.opts.Now()
	if c.opts.Added != nil {
		c.opts.Added(*meta)
	}
	return nil
}

func (c *Compactor) told(j job, m *block.Meta, r *remains, took time.Duration) {
	duplicates := -m.Rows - r.deleted - r.expired
	for _, in := range j.inputs {
		duplicates += in.Rows
	}
	c.metrics.rows.WithLabelValues("duplicate").Add(float64(max(0, duplicates)))
	c.metrics.rows.WithLabelValues("deleted").Add(float64(r.deleted))
	c.metrics.rows.WithLabelValues("expired").Add(float64(r.expired))
	c.metrics.read.Add(float64(sumStored(j.inputs)))
	c.metrics.written.Add(float64(m.StoredBytes))
	c.opts.Logger.Info("blocks compacted", "tenant", m.Tenant, "signal", m.Signal, "block", m.ULID, "inputs", len(j.inputs), "rows", m.Rows,
		"duplicates", duplicates, "deleted", r.deleted, "expired", r.expired, "stored_bytes", m.StoredBytes, "duration", took)
}

// remains decides which rows a job keeps, and counts the others.
type remains struct {
	remover          *logs.Remover
	retention        *logs.Retention
	now              time.Time
	deleted, expired int64

	// Of the stream that was asked for last.
	stream labels.Labels
	from   int64
	known  bool
}

// errLost says that rows are missing in a block that was made: a bug of ours. The inputs are left alone.
var errLost = errors.New("rows are missing")

// account checks that no rows were lost, as far as that can be told: those of one input are distinct,
// so all of them must be among those that were written or left out for a reason.
func (r *remains) account(written int64, inputs []block.Meta) error {
	for _, in := range inputs {
		if written+r.deleted+r.expired < in.Rows {
			return fmt.Errorf("%w: %d written, %d deleted and %d expired of %d in block %s alone", errLost, written, r.deleted, r.expired, in.Rows, in.ULID)
		}
	}
	return nil
}

func (r *remains) keepFrom(stream labels.Labels) int64 {
	if !r.known || !labels.Equal(r.stream, stream) {
		r.stream, r.from, r.known = stream, r.retention.KeepFrom(stream, r.now), true
	}
	return r.from
}

func (r *remains) touched(stream labels.Labels, oldest, newest int64) bool {
	return oldest < r.keepFrom(stream) || r.remover.Touches(stream, oldest, newest)
}

func (r *remains) keep(stream labels.Labels, ts int64, line []byte, md []logs.Label) bool {
	switch {
	case ts < r.keepFrom(stream):
		r.expired++
	case r.remover.Deletes(stream, ts, line, md):
		r.deleted++
	default:
		return true
	}
	return false
}

// begin notes which requests to delete the job carries out, before it does.
func (c *Compactor) begin(ctx context.Context, tenant string, inputs []block.Meta) (*logs.Deletions, error) {
	if c.opts.Deletes == nil {
		return nil, nil
	}
	oldest, newest := inputs[0].MinTime, inputs[0].MaxTime
	for _, m := range inputs {
		oldest, newest = min(oldest, m.MinTime), max(newest, m.MaxTime)
	}
	return c.opts.Deletes.Begin(ctx, tenant, c.opts.Deletes.Active(tenant).Overlapping(oldest, newest).IDs())
}

// fetch downloads the inputs to dir and opens them. The function that it returns closes them.
func (c *Compactor) fetch(ctx context.Context, dir string, metas []block.Meta) (blocks []*block.Reader, done func(), err error) {
	var files []*os.File
	done = func() {
		for _, f := range files {
			_ = f.Close() // only read
		}
	}
	for i := range metas {
		m := &metas[i]
		f, err := c.download(ctx, filepath.Join(dir, m.ULID.String()), m)
		if err != nil {
			return nil, done, err
		}
		files = append(files, f)
		r, err := block.Open(ctx, localFile{f, m.Data.Size}, m.DataPath(), m.Data.Size, block.ReaderOptions{})
		if err != nil {
			return nil, done, err
		}
		blocks = append(blocks, r)
	}
	return blocks, done, nil
}

// download copies a block's data file and checks it. A copy that is not as it should be is fetched once
// more: the fault may have been on the way.
func (c *Compactor) download(ctx context.Context, name string, m *block.Meta) (*os.File, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		size, crc, err := c.copy(ctx, f, m)
		switch {
		case err != nil:
			return nil, errors.Join(fmt.Errorf("download block %s: %w", m.ULID, err), f.Close())
		case size == m.Data.Size && crc == m.Data.CRC32C:
			return f, nil
		case again:
			err := fmt.Errorf("%d bytes with CRC32C %08x, want %d with %08x", size, crc, m.Data.Size, m.Data.CRC32C)
			return nil, errors.Join(&block.CorruptionError{Block: m.DataPath(), Section: block.DataFile, Err: err}, f.Close())
		}
	}
}

func (c *Compactor) copy(ctx context.Context, f *os.File, m *block.Meta) (size int64, crc uint32, err error) {
	if err := errors.Join(f.Truncate(0), seekStart(f)); err != nil {
		return 0, 0, err
	}
	rc, err := c.opts.Bucket.Get(ctx, m.DataPath())
	if err != nil {
		return 0, 0, err
	}
	// One byte more than there should be tells that it is too long.
	size, crc, err = bucket.Checksum(io.TeeReader(io.LimitReader(rc, m.Data.Size+1), f))
	return size, crc, errors.Join(err, rc.Close())
}

func seekStart(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// localFile reads ranges of a downloaded data file.
type localFile struct {
	f    *os.File
	size int64
}

// ReadRange implements block.RangeReader.
func (l localFile) ReadRange(ctx context.Context, _ string, off, n int64) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	buf := make([]byte, max(0, min(n, l.size-off)))
	_, err := l.f.ReadAt(buf, off)
	return buf, err
}

// outputID returns the name of the block made of the inputs: of the time of the newest of them, so
// that it is as old as its rows, and otherwise a hash of their names. A name under which a block was
// set aside is not used again.
func outputID(inputs []block.Meta, aside []ulid.ULID) ulid.ULID {
	ids := make([]ulid.ULID, len(inputs))
	newest := uint64(0)
	for i, m := range inputs {
		ids[i] = m.ULID
		newest = max(newest, m.ULID.Time())
	}
	slices.SortFunc(ids, ulid.ULID.Compare)
	for attempt := byte(0); ; attempt++ {
		h := sha256.New()
		for _, id := range ids {
			h.Write(id[:])
		}
		h.Write([]byte{attempt})
		var id ulid.ULID
		_ = id.SetEntropy(h.Sum(nil)[:10]) // of the right length
		_ = id.SetTime(newest)             // of a ULID
		if !slices.Contains(aside, id) || attempt == 255 {
			return id
		}
	}
}

func maxLevel(metas []block.Meta) (level int) {
	for _, m := range metas {
		level = max(level, m.Level)
	}
	return level
}

func sumStored(metas []block.Meta) (n int64) {
	for _, m := range metas {
		n += m.StoredBytes
	}
	return n
}
