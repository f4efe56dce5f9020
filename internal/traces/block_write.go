package traces

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// blockWriter writes one block from row groups. What a lookup reads of a row group is written as it comes;
// what questions read of all row groups is kept until the end, about two bytes a span, and stands together.
type blockWriter struct {
	w      *block.Writer
	index  groupIndex
	groups []pendingGroup
	tags   *tagList
	traces []Piece // of all row groups, in their order
}

// pendingGroup is what is written last of a row group.
type pendingGroup struct {
	directory []byte
	blobs     [][]byte // of the spine, filters, and the trace IDs
	dir       *groupDirectory
}

func newBlockWriter(w *block.Writer) *blockWriter {
	return &blockWriter{w: w, tags: newTagList(), index: groupIndex{base: []int{0}}}
}

// add writes a row group. Row groups should come in the order of their newest traces. Tags that the group doesn't have
// are the caller's to join.
func (b *blockWriter) add(g *encodedGroup) error {
	var place groupPlace
	for _, class := range []column.Class{column.Strings, column.Bulk} {
		place.bases[class] = uint64(b.w.Offset())
		if err := b.pageBlobs(g.dir, g.blobs, class); err != nil {
			return err
		}
	}
	place.chunks = uint64(b.w.Offset())
	for i := range g.dir.chunks {
		if err := b.blob(g.blobs[g.dir.idBlob()+1+i], &g.dir.chunks[i]); err != nil {
			return err
		}
	}
	kept := pendingGroup{directory: g.directory, dir: g.dir, blobs: make([][]byte, g.dir.idBlob()+1)}
	for i, info := range g.dir.page.Blobs {
		if info.Class == column.Spine || info.Class == column.Filters {
			kept.blobs[i] = g.blobs[i]
		}
	}
	kept.blobs[g.dir.idBlob()] = g.blobs[g.dir.idBlob()]
	b.groups = append(b.groups, kept)
	b.index.entries = append(b.index.entries, g.entry)
	b.index.places = append(b.index.places, place)
	b.index.base = append(b.index.base, b.index.traces()+g.entry.traces)
	b.traces = append(b.traces, g.traces...)
	if g.tags != nil {
		b.tags.join(g.tags)
	}
	return nil
}

// pageBlobs writes the blobs of a class.
func (b *blockWriter) pageBlobs(dir *groupDirectory, blobs [][]byte, class column.Class) error {
	for i, info := range dir.page.Blobs {
		if info.Class != class {
			continue
		}
		if _, err := b.w.StoredBlob(blobs[i], info.Ref()); err != nil {
			return err
		}
	}
	return nil
}

func (b *blockWriter) blob(stored []byte, info *blobInfo) error {
	_, err := b.w.StoredBlob(stored, block.Ref{StoredLen: info.stored, RawLen: info.raw, Codec: info.codec})
	return err
}

// finish writes what was kept and the sections, those that a reader needs first last.
func (b *blockWriter) finish() error {
	for i := range b.groups {
		g := &b.groups[i]
		b.index.places[i].ids = uint64(b.w.Offset())
		if err := b.blob(g.blobs[g.dir.idBlob()], &g.dir.ids); err != nil {
			return err
		}
		b.index.places[i].bases[column.Spine] = uint64(b.w.Offset())
		if err := b.pageBlobs(g.dir, g.blobs, column.Spine); err != nil {
			return err
		}
	}
	for i := range b.groups {
		b.index.places[i].bases[column.Filters] = uint64(b.w.Offset())
		if err := b.pageBlobs(b.groups[i].dir, b.groups[i].blobs, column.Filters); err != nil {
			return err
		}
	}
	var filter block.IDFilterBuilder
	for n := range b.traces {
		filter.Add(block.HashID(b.traces[n].ID[:]), uint32(n))
	}
	ids, err := filter.Write(b.w)
	if err != nil {
		return err
	}
	if err := b.directories(); err != nil {
		return err
	}
	if split := splitOf(b.traces, &b.index); len(split) > 0 {
		if err := b.w.Section(sectionSplit, appendSplit(nil, split), block.CodecZstd); err != nil {
			return err
		}
	}
	if err := b.w.Section(sectionTags, appendTags(nil, b.tags.entries()), block.CodecZstd); err != nil {
		return err
	}
	if err := b.w.Section(sectionIDs, ids.AppendTo(nil), block.CodecRaw); err != nil {
		return err
	}
	return b.w.Section(sectionGroups, b.index.appendTo(nil), block.CodecZstd)
}

// directories writes the directories in groups.
func (b *blockWriter) directories() error {
	var group []byte
	n := 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		ref, err := b.w.Blob(group, block.CodecZstd)
		b.index.directories = append(b.index.directories, ref)
		group, n = group[:0], 0
		return err
	}
	for i := range b.groups {
		d := b.groups[i].directory
		if n == directoryGroups || n > 0 && len(group)+len(d) > directoryBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		p := &b.index.places[i]
		p.group, p.directory.off, p.directory.len = len(b.index.directories), len(group), len(d)
		group = append(group, d...)
		n++
	}
	return flush()
}

// groupsOf cuts traces, which come in order of their start, into row groups.
type groupsOf struct {
	builder *groupBuilder
	level   block.Level
	put     func(*encodedGroup) error
	spans   []*Span // scratch
}

func newGroupsOf(level block.Level, put func(*encodedGroup) error) *groupsOf {
	return &groupsOf{builder: takeBuilder(level), level: level, put: put}
}

// add adds a trace. The text of its attributes must not change until the row group is put, which flush and other
// adds do.
func (g *groupsOf) add(t *Trace) error {
	size := sizeOf(t)
	if !g.builder.fits(size) {
		if err := g.flush(); err != nil {
			return err
		}
	}
	g.builder.add(t, size)
	return nil
}

// flush ends the open row group.
func (g *groupsOf) flush() error {
	if g.builder.entry.spans == 0 {
		return nil
	}
	encoded, err := g.builder.encode(g.level)
	if err != nil {
		return fmt.Errorf("encode row group: %w", err)
	}
	return g.put(encoded)
}

// release gives the builder back. What was added and not flushed is dropped.
func (g *groupsOf) release() {
	g.builder.reset()
	giveBuilder(g.builder, g.level)
}

// writeBlockFile writes a block's data file into dir, synced, and sets what meta says of the file.
func writeBlockFile(dir string, meta *block.Meta, level block.Level, write func(*blockWriter) error) (err error) {
	f, err := os.Create(filepath.Join(dir, block.DataFile))
	if err != nil {
		return fmt.Errorf("write traces block: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := bufio.NewWriterSize(f, 256<<10)
	size, crc, err := encodeBlock(buf, level, write)
	if err == nil {
		err = buf.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("write traces block: %w", err)
	}
	meta.Version = block.MetaVersion
	meta.StoredBytes, meta.Data = size, block.File{Size: size, CRC32C: crc}
	return nil
}

// encodeBlock writes a block to out.
func encodeBlock(out io.Writer, level block.Level, write func(*blockWriter) error) (size int64, crc uint32, err error) {
	w := block.NewWriter(out, block.WriterOptions{Level: level})
	b := newBlockWriter(w)
	if err := write(b); err != nil {
		return 0, 0, err
	}
	if err := b.finish(); err != nil {
		return 0, 0, err
	}
	if size, err = w.Close(); err != nil {
		return 0, 0, err
	}
	return size, w.CRC(), nil
}

// WriteBlock writes the head's spans as a block: data.hune in dir, synced, and into meta what the
// file says: time range, rows, sizes, checksum. The head must get no more spans meanwhile; it may be
// read. An empty head is an error.
func (h *Head) WriteBlock(ctx context.Context, dir string, meta *block.Meta) error {
	if h.Rows() == 0 {
		return errors.New("write traces block: the head is empty")
	}
	if err := writeBlockFile(dir, meta, block.Fast, func(b *blockWriter) error { return h.writeTo(ctx, b) }); err != nil {
		return err
	}
	spareBuilder.Store(nil)
	h.mu.RLock()
	defer h.mu.RUnlock()
	meta.MinTime, meta.MaxTime = int64(h.start), int64(h.end)
	meta.Rows, meta.RawBytes = int64(h.rows), h.rawBytes
	return nil
}

// writeTo writes every trace of the head: what is sealed as it is, then what is open. The head must not change
// meanwhile.
func (h *Head) writeTo(ctx context.Context, b *blockWriter) error {
	h.sealMu.Lock() // what is being sealed is neither
	defer h.sealMu.Unlock()
	h.mu.RLock()
	s, sealed := h.openPart(nil), h.sealed
	h.mu.RUnlock()
	b.tags.join(h.sealedTags)
	for _, g := range sealed.groups {
		g, err := g.loaded()
		if err != nil {
			return err
		}
		if err := b.add(g); err != nil {
			return err
		}
	}
	slices.SortFunc(s.traces, func(a, b snapshotTrace) int { return newestFirst(b.start, b.id, a.start, a.id) })
	r := s.tables()
	groups := newGroupsOf(block.Fast, b.add)
	defer groups.release()
	for i := range s.traces {
		if i%256 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := groups.addRecords(&r, &s.traces[i]); err != nil {
			return err
		}
	}
	return groups.flush()
}

// addRecords is add for a trace of a head, whose spans live in r.
func (g *groupsOf) addRecords(r *recordReader, t *snapshotTrace) error {
	size := t.size()
	if !g.builder.fits(size) {
		if err := g.flush(); err != nil {
			return err
		}
	}
	g.builder.columns.table, r.numbered = r.text, true
	g.spans = resized(g.spans, len(t.spans))
	for i, record := range t.spans {
		g.spans[i] = r.span(record)
	}
	g.builder.add(&Trace{ID: t.id, Spans: g.spans}, size)
	r.reset() // the builder keeps text alone, which is the head's
	return nil
}
