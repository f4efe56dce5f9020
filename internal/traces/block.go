package traces

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/hune-io/hune/internal/block"
)

// WriteBlock writes the head's spans as a block: data.hune in dir, synced, and into meta what the
// file says: time range, rows, sizes, checksum. The head must get no more spans meanwhile; it may be
// read. An empty head is an error.
func (h *Head) WriteBlock(ctx context.Context, dir string, meta *block.Meta) (err error) {
	if h.Rows() == 0 {
		return errors.New("write traces block: the head is empty")
	}
	f, err := os.Create(filepath.Join(dir, block.DataFile))
	if err != nil {
		return fmt.Errorf("write traces block: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := bufio.NewWriterSize(f, 256<<10)
	size, crc, err := h.encodeBlock(ctx, buf)
	if err == nil {
		err = buf.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("write traces block: %w", err)
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	meta.Version = block.MetaVersion
	meta.MinTime, meta.MaxTime = int64(h.start), int64(h.end)
	meta.Rows, meta.RawBytes, meta.StoredBytes = int64(h.rows), h.rawBytes, size
	meta.Data = block.File{Size: size, CRC32C: crc}
	return nil
}

func (h *Head) encodeBlock(ctx context.Context, out io.Writer) (size int64, crc uint32, err error) {
	w := block.NewWriter(out, block.WriterOptions{})
	if err := h.writeTo(ctx, w); err != nil {
		return 0, 0, err
	}
	if size, err = w.Close(); err != nil {
		return 0, 0, err
	}
	return size, w.CRC(), nil
}

// Block is a Part that reads a traces block by ranges. It keeps the directory of row groups and the
// fences of the ID index; columns are read for each question. Safe for concurrent use.
type Block struct {
	r      *block.Reader
	dir    *directory
	fences []idFence
	start  uint64
	end    uint64
}

// OpenBlock reads what a Block keeps. r stays the caller's to share and close.
func OpenBlock(ctx context.Context, r *block.Reader) (*Block, error) {
	b := &Block{r: r, start: math.MaxUint64}
	data, err := r.Section(ctx, sectionGroups)
	if err != nil {
		return nil, fmt.Errorf("open traces block: %w", err)
	}
	if b.dir, err = decodeDirectory(data); err != nil {
		return nil, b.corrupt("row groups", err)
	}
	if data, err = r.Section(ctx, sectionIDs); err != nil {
		return nil, fmt.Errorf("open traces block: %w", err)
	}
	if b.fences, err = decodeFences(data); err != nil {
		return nil, b.corrupt("trace ID fences", err)
	}
	for i := range b.dir.groups {
		b.start, b.end = min(b.start, b.dir.groups[i].start), max(b.end, b.dir.groups[i].end)
	}
	return b, nil
}

func (b *Block) corrupt(what string, err error) error {
	if block.IsCorruption(err) {
		return err
	}
	return &block.CorruptionError{Block: b.r.Name(), Section: what, Err: err}
}

// TimeRange implements Part.
func (b *Block) TimeRange() (start, end uint64) {
	if len(b.dir.groups) == 0 {
		return 0, 0
	}
	return b.start, b.end
}

// lookup finds a trace in the ID index.
func (b *Block) lookup(ctx context.Context, id ID) (idEntry, bool, error) {
	// The page is the last one whose first ID isn't after id.
	i := sort.Search(len(b.fences), func(i int) bool { return compareIDs(b.fences[i].first, id) > 0 }) - 1
	if i < 0 {
		return idEntry{}, false, nil
	}
	page, err := b.idPage(ctx, i)
	if err != nil {
		return idEntry{}, false, err
	}
	k, ok := slices.BinarySearchFunc(page, id, func(e idEntry, id ID) int { return compareIDs(e.ID, id) })
	if !ok {
		return idEntry{}, false, nil
	}
	return page[k], true, nil
}

func (b *Block) idPage(ctx context.Context, i int) ([]idEntry, error) {
	data, err := b.r.Blob(ctx, b.fences[i].page)
	if err != nil {
		return nil, fmt.Errorf("read trace ID index: %w", err)
	}
	page, err := decodeIDPage(data, b.fences[i].n, b.dir.groups)
	if err != nil {
		return nil, b.corrupt("trace ID index", err)
	}
	return page, nil
}

// TraceByID implements Part.
func (b *Block) TraceByID(ctx context.Context, id ID) (*Trace, error) {
	e, ok, err := b.lookup(ctx, id)
	if err != nil || !ok {
		return nil, err
	}
	g := b.group(e.group)
	var out *Trace
	err = g.build(ctx, func(ordinal int) bool { return ordinal == e.ordinal }, func(t *Trace) bool {
		out = t
		return false
	})
	if err != nil {
		return nil, err
	}
	if out == nil || out.ID != id {
		return nil, b.corrupt("trace ID index", fmt.Errorf("trace %s is not where the index says", id))
	}
	return out, nil
}

// Pieces implements Part.
func (b *Block) Pieces(ctx context.Context) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		for i := range b.fences {
			page, err := b.idPage(ctx, i)
			if err != nil {
				yield(Piece{}, err)
				return
			}
			for j := range page {
				if !yield(page[j].Piece, nil) {
					return
				}
			}
		}
	}
}

// SelectTraces implements Part. Row groups are read newest first, and only those that the range and
// the conditions leave over.
func (b *Block) SelectTraces(ctx context.Context, s Select) iter.Seq2[*Trace, error] {
	return func(yield func(*Trace, error) bool) {
		also, err := b.locate(ctx, s.Also)
		if err != nil {
			yield(nil, err)
			return
		}
		tests := compileConditions(s)
		for i := len(b.dir.groups) - 1; i >= 0; i-- {
			if err := ctx.Err(); err != nil {
				yield(nil, fmt.Errorf("select traces of block: %w", context.Cause(ctx)))
				return
			}
			more := true
			err := b.selectGroup(ctx, i, &s, &tests, also[i], func(t *Trace) bool {
				more = yield(t, nil)
				return more
			})
			if err != nil {
				yield(nil, err)
				return
			}
			if !more {
				return
			}
		}
	}
}

// locate returns the ordinals of traces by row group.
func (b *Block) locate(ctx context.Context, ids []ID) (map[int][]int, error) {
	out := make(map[int][]int)
	var page []idEntry
	at := -1
	for _, id := range ids {
		i := sort.Search(len(b.fences), func(i int) bool { return compareIDs(b.fences[i].first, id) > 0 }) - 1
		if i < 0 {
			continue
		}
		if i != at { // IDs are sorted: each page is read once
			var err error
			if page, err = b.idPage(ctx, i); err != nil {
				return nil, err
			}
			at = i
		}
		if k, ok := slices.BinarySearchFunc(page, id, func(e idEntry, id ID) int { return compareIDs(e.ID, id) }); ok {
			out[page[k].group] = append(out[page[k].group], page[k].ordinal)
		}
	}
	return out, nil
}

func (b *Block) selectGroup(ctx context.Context, i int, s *Select, tests *conditions, also []int, yield func(*Trace) bool) error {
	dir := &b.dir.groups[i]
	inRange := s.overlaps(dir.start, dir.end)
	if !inRange && len(also) == 0 {
		return nil
	}
	g := b.group(i)
	if err := g.spine(ctx); err != nil {
		return err
	}
	wanted := make([]bool, dir.traces)
	found := 0
	if inRange {
		for t := range wanted {
			if wanted[t] = s.overlaps(g.traceStart[t], g.traceEnd[t]); wanted[t] {
				found++
			}
		}
	}
	if found > 0 && len(tests.tests) > 0 {
		var err error
		if found, err = g.filter(ctx, tests, wanted); err != nil {
			return err
		}
	}
	for _, t := range also {
		if !wanted[t] {
			wanted[t] = true
			found++
		}
	}
	if found == 0 {
		return nil
	}
	return g.build(ctx, func(t int) bool { return wanted[t] }, yield)
}

// Tags implements Part. It knows the keys of the whole block.
func (b *Block) Tags(ctx context.Context, scope TagScope, start, end uint64) (map[TagScope][]string, error) {
	out := make(tagSet)
	if s := (Select{Start: start, End: end}); !s.overlaps(b.TimeRange()) {
		return out.sorted(scope), nil
	}
	tags, err := b.tags(ctx)
	if err != nil {
		return nil, err
	}
	for i := range tags {
		out.add(tags[i].scope, tags[i].key)
	}
	return out.sorted(scope), nil
}

func (b *Block) tags(ctx context.Context) ([]tagEntry, error) {
	data, err := b.r.Section(ctx, sectionTags)
	if err != nil {
		return nil, fmt.Errorf("read tags of traces block: %w", err)
	}
	tags, err := decodeTags(data)
	if err != nil {
		return nil, b.corrupt("tags", err)
	}
	return tags, nil
}

// TagValues implements Part. Short lists are in the tags section; for the others the columns of the
// row groups in the range are read.
func (b *Block) TagValues(ctx context.Context, scope TagScope, key string, start, end uint64, limit int) ([]Attribute, error) {
	s := Select{Start: start, End: end}
	v := newValues(limit)
	if !s.overlaps(b.TimeRange()) {
		return v.sorted(), nil
	}
	open := make(map[TagScope]bool) // scopes whose columns must be read
	if scope == ScopeIntrinsic {
		key = canonicalIntrinsic(key)
		open[scope] = true
	} else {
		tags, err := b.tags(ctx)
		if err != nil {
			return nil, err
		}
		for i := range tags {
			t := &tags[i]
			if t.key != key || scope != "" && scope != t.scope {
				continue
			}
			open[t.scope] = !t.complete
			for j := range t.values {
				v.add(&t.values[j])
			}
		}
	}
	for i := range b.dir.groups {
		if !s.overlaps(b.dir.groups[i].start, b.dir.groups[i].end) || v.full() {
			continue
		}
		g := b.group(i)
		for _, place := range append(attributeScopes[:], ScopeIntrinsic) {
			if !open[place] {
				continue
			}
			if err := g.addValues(ctx, v, place, key); err != nil {
				return nil, err
			}
		}
	}
	return v.sorted(), nil
}
