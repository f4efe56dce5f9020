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
	if err := writeFiles(dir, meta, func(f io.Writer) error { return h.writeData(ctx, f, meta) }); err != nil {
		return fmt.Errorf("write logs block %s: %w", meta.ULID, err)
	}
	return nil
}

// writeFiles writes the files of a block, synced, and syncs their folder. data writes the data file and
// fills in meta.
func writeFiles(dir string, meta *block.Meta, data func(io.Writer) error) error {
	if err := createSynced(filepath.Join(dir, block.DataFile), data); err != nil {
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
	batches, err := h.sealed(ctx)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w := newBlockWriter(f, h.options.Block)
	w.addBatches(batches)
	return w.finishBlock(meta)
}

// sealed seals all rows and returns the batches.
func (h *Head) sealed(ctx context.Context) ([]*batch, error) {
	h.mu.Lock()
	h.rotate()
	h.mu.Unlock()
	if err := h.Seal(ctx); err != nil {
		return nil, err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.batches, nil
}

// finishBlock ends the block and fills in meta.
func (w *blockWriter) finishBlock(meta *block.Meta) error {
	size, err := w.finish()
	if err != nil {
		return err
	}
	if w.index.rows == 0 {
		return ErrEmpty
	}
	meta.Version, meta.Signal = block.MetaVersion, signal.Logs
	meta.MinTime, meta.MaxTime = w.index.times.min, w.index.times.max
	meta.Rows, meta.RawBytes = w.index.rows, w.index.lineBytes+w.index.metadataBytes
	meta.StoredBytes = size
	meta.Data = block.File{Size: size, CRC32C: w.w.CRC()}
	meta.Summary = appendSummary(nil, w.streams, w.index.levels, w.traceIDs)
	return nil
}

// addBatches puts the pages of batches into the block as they are, numbers of streams aside. It is for
// a block without rows of its own.
func (w *blockWriter) addBatches(batches []*batch) {
	sets := make([]*pageSet, len(batches))
	for i, b := range batches {
		sets[i] = &b.pageSet
	}
	streams, numbers := unite(sets)
	w.streams = streams
	for k, b := range batches {
		for i := range b.pages {
			w.pages = append(w.pages, b.pages[i].renumbered(numbers[k]))
		}
	}
}

// renumber leads from the numbers of streams to those in all, which includes them. Both ascend.
func renumber(streams streamList, all []labels.Labels) []uint32 {
	out := make([]uint32, streams.len())
	k := 0
	for i := range out {
		for ls := streams.at(i); !labels.Equal(all[k], ls); {
			k++
		}
		out[i] = uint32(k)
	}
	return out
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
