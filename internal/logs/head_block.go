package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/signal"
)

// ErrEmpty says that a head has no entries to make a block of.
var ErrEmpty = errors.New("head is empty")

// WriteBlock writes the head as a block into the existing folder dir: the data file, and meta.json
// from meta, whose size, times and counts it fills in. Both are synced, and so is the folder, when
// it returns nil. After an error the folder holds rubbish.
//
// The head must not be appended to meanwhile: entries that come during the call may be left out.
func (h *Head) WriteBlock(ctx context.Context, dir string, meta *block.Meta) error {
	if err := h.writeBlock(ctx, dir, meta); err != nil {
		return fmt.Errorf("write logs block %s: %w", meta.ULID, err)
	}
	return nil
}

func (h *Head) writeBlock(ctx context.Context, dir string, meta *block.Meta) error {
	err := createSynced(filepath.Join(dir, block.DataFile), func(f io.Writer) error {
		return h.writeData(ctx, f, meta)
	})
	if err != nil {
		return err
	}
	content, err := meta.Encode()
	if err != nil {
		return err
	}
	err = createSynced(filepath.Join(dir, block.MetaFile), func(f io.Writer) error {
		_, err := f.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	return syncFolder(dir)
}

// writeData writes the data file to f and fills in meta.
func (h *Head) writeData(ctx context.Context, f io.Writer, meta *block.Meta) error {
	w := newBlockWriter(f, h.options.Block)
	if err := h.writeRows(ctx, w); err != nil {
		return err
	}
	size, err := w.finish()
	if err != nil {
		return err
	}
	if w.rows == 0 {
		return ErrEmpty
	}
	meta.Version, meta.Signal = block.MetaVersion, signal.Logs
	meta.MinTime, meta.MaxTime = w.times.min, w.times.max
	meta.Rows, meta.RawBytes = w.rows, w.lineBytes+w.metadataBytes
	meta.StoredBytes = size
	meta.Data = block.File{Size: size, CRC32C: w.w.CRC()}
	return nil
}

// writeRows writes all rows: streams in order of labels, the rows of each in order of time, then of
// arrival.
func (h *Head) writeRows(ctx context.Context, w *blockWriter) error {
	views, names := h.snapshot(h.ordered(), func(t timeRange) bool { return t.min <= t.max })
	all := &selection{direction: Forward}
	var err error
	for i := range views {
		v := &views[i]
		var pieces []piece
		size := int64(0)
		for seq, c := range append(v.sealed, &v.open) {
			if len(c.ts) == 0 {
				continue
			}
			size += int64(len(c.lines)) + c.metadataSize
			pieces = append(pieces, piece{timeRange: c.timeRange, open: func(context.Context, *selection) ([]run, error) {
				return []run{c.run(0, uint32(seq), names)}, nil
			}})
		}
		w.stream(v.labels, size)
		mergePieces(ctx, all, []labels.Labels{v.labels}, pieces, 0, func(rows *Rows, e error) bool {
			if err = e; err != nil {
				return false
			}
			for j, ts := range rows.Timestamps {
				w.add(ts, rows.Lines[j], rows.Metadata[j])
			}
			err = w.err
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// createSynced creates a file, lets write fill it, and syncs it.
func createSynced(name string, write func(io.Writer) error) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := bufio.NewWriterSize(f, 256<<10)
	if err := write(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
