package traces

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// Compaction makes one block of several.
//
// The pieces of a trace become one, spans that several pieces have come once. A large row group all of whose
// traces are whole is copied as it is, without decoding it: what was compacted well once costs little the next
// time.
type Compaction struct {
	Blocks []*Block
	// Level says how hard to compress what is made anew.
	Level block.Level
	// Leave says why a trace is left out of the new block, "" if it isn't. Nil keeps all.
	Leave func(ID) (reason string)
}

// ErrEmpty says that there is nothing to make a block of: every trace is left out.
var ErrEmpty = errors.New("no trace is left")

// Split returns how many traces have pieces in several row groups of the block. A compaction joins those that one
// row group can hold.
func (b *Block) Split() int { return len(b.split) }

// Compacted says what a compaction did.
type Compacted struct {
	Spans      int64            // of the new block
	Duplicates int64            // that were left out
	Left       map[string]int64 // spans of the traces that were left out, by reason
	Copied     int              // row groups
	Made       int
}

// maxOpenGroups bounds the row groups that are decoded at a time.
const maxOpenGroups = 8

// Write writes the data file of the new block into dir, synced, and meta.json from meta, whose size, times and
// counts it fills in. After an error the folder holds rubbish.
func (c *Compaction) Write(ctx context.Context, dir string, meta *block.Meta) (done Compacted, err error) {
	m := merging{Compaction: c, ctx: ctx, shared: map[ID][]groupTrace{}, open: map[groupKey]*openedGroup{},
		done: Compacted{Left: map[string]int64{}}}
	err = writeBlockFile(dir, meta, c.Level, func(w *blockWriter) error { return m.run(w, meta) })
	if err == nil {
		err = writeMeta(dir, meta)
	}
	if err != nil {
		return m.done, fmt.Errorf("compact into traces block %s: %w", meta.ULID, err)
	}
	return m.done, nil
}

// writeMeta writes meta.json, synced with its folder.
func writeMeta(dir string, meta *block.Meta) (err error) {
	content, err := meta.Encode()
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, block.MetaFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	_, err = w.Write(content)
	return errors.Join(err, w.Flush(), f.Sync())
}

// groupKey names a row group of the inputs, groupTrace a trace of one.
type groupKey struct{ block, group int }

type groupTrace struct {
	groupKey
	ordinal int
	Piece
}

// merging is a compaction at work.
type merging struct {
	*Compaction
	ctx    context.Context
	shared map[ID][]groupTrace // the traces that have several pieces
	copied []groupKey
	queue  []groupTrace // the traces of the row groups that are made anew, in order; a shared one once
	last   map[groupKey]int
	open   map[groupKey]*openedGroup
	used   int
	out    *groupsOf
	done   Compacted
}

// openedGroup is a row group that is being read.
type openedGroup struct {
	*spanReader
	used int
}

func (m *merging) run(w *blockWriter, meta *block.Meta) error {
	read := int64(0)
	if err := m.findShared(); err != nil {
		return err
	}
	for b, in := range m.Blocks {
		for i := range in.entries {
			read += int64(in.entries[i].spans)
			if err := m.assign(groupKey{b, i}); err != nil {
				return err
			}
		}
	}
	if len(m.copied)+len(m.queue) == 0 {
		return ErrEmpty
	}
	if err := m.copy(w); err != nil {
		return err
	}
	if err := m.merge(w); err != nil {
		return err
	}
	if written := m.done.Spans + m.done.Duplicates; written+m.left() != read {
		return fmt.Errorf("%w: %d spans written, %d duplicates and %d left out of %d", ErrLost, m.done.Spans, m.done.Duplicates, m.left(), read)
	}
	m.describe(w, meta)
	return nil
}

// ErrLost says that spans are missing in a block that was made: a bug of ours. The inputs are to be left alone.
var ErrLost = errors.New("spans are missing")

// findShared finds the traces with several pieces, in one block or in several.
func (m *merging) findShared() error {
	parts := make([]Part, len(m.Blocks))
	for i, b := range m.Blocks {
		parts[i] = b
		split := make([]*splitTrace, len(b.split))
		for k := range split {
			copied := b.split[k]
			split[k] = &copied
		}
		if err := b.nameSplit(m.ctx, split); err != nil {
			return err
		}
		for _, t := range split {
			m.shared[t.ID] = nil
		}
	}
	list, err := sharedTraces(m.ctx, parts)
	for _, t := range list {
		m.shared[t.ID] = nil
	}
	return err
}

// assign decides what becomes of a row group.
func (m *merging) assign(key groupKey) error {
	b := m.Blocks[key.block]
	g, err := b.groupSet.open(m.ctx, key.group)
	if err != nil {
		return err
	}
	if err := errors.Join(g.spine(m.ctx), g.loadIDs(m.ctx)); err != nil {
		return err
	}
	list := make([]groupTrace, 0, g.entry.traces)
	whole := true
	for t := range g.entry.traces {
		id := g.id(t)
		if reason := m.leave(id); reason != "" {
			m.done.Left[reason] += int64(g.first[t+1] - g.first[t])
			whole = false
			continue
		}
		list = append(list, groupTrace{key, t, Piece{id, g.starts[t], g.ends[t]}})
		if _, ok := m.shared[id]; ok {
			whole = false
		}
	}
	if whole && g.entry.spans >= maxGroupSpans/2 {
		m.copied = append(m.copied, key)
		return nil
	}
	for _, t := range list {
		if pieces, ok := m.shared[t.ID]; ok {
			if m.shared[t.ID] = append(pieces, t); len(pieces) > 0 {
				continue // the first one stands for all
			}
		}
		m.queue = append(m.queue, t)
	}
	return nil
}

func (m *merging) leave(id ID) string {
	if m.Leave == nil {
		return ""
	}
	return m.Leave(id)
}

// left returns how many spans were left out with their traces.
func (m *merging) left() (n int64) {
	for _, spans := range m.done.Left {
		n += spans
	}
	return n
}

// copy puts the row groups that stay as they are into the new block.
func (m *merging) copy(w *blockWriter) error {
	tags := map[int]bool{}
	for _, key := range m.copied {
		b := m.Blocks[key.block]
		if !tags[key.block] { // a superset of what the row group has
			entries, err := b.tags(m.ctx)
			if err != nil {
				return err
			}
			w.tags.joinEntries(entries)
			tags[key.block] = true
		}
		g, err := b.storedGroup(m.ctx, key.group)
		if err != nil {
			return err
		}
		if err := w.add(g); err != nil {
			return err
		}
		m.done.Copied++
		m.done.Spans += int64(g.entry.spans)
	}
	return nil
}

// storedGroup reads a row group as it is stored.
func (b *Block) storedGroup(ctx context.Context, i int) (*encodedGroup, error) {
	d, err := b.directory(ctx, i)
	if err != nil {
		return nil, err
	}
	out := &encodedGroup{entry: b.entries[i], dir: d, blobs: make([][]byte, d.blobs()), tags: newTagList()}
	p := &b.index.places[i]
	group, err := b.r.Blob(ctx, b.index.directories[p.group])
	if err != nil {
		return nil, err
	}
	out.directory = slices.Clone(group[p.directory.off:][:p.directory.len])
	ids := make([]int, d.blobs())
	for k := range ids {
		ids[k] = k
	}
	for k, ref := range d.refs(p, ids) {
		if out.blobs[k], err = b.r.StoredBlob(ctx, ref); err != nil {
			return nil, fmt.Errorf("read row group %d: %w", i, err)
		}
	}
	g, err := b.groupSet.open(ctx, i)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(g.spine(ctx), g.loadIDs(ctx)); err != nil {
		return nil, err
	}
	for t := range g.entry.traces {
		out.traces = append(out.traces, Piece{g.id(t), g.starts[t], g.ends[t]})
	}
	return out, nil
}

// merge makes the other row groups anew.
func (m *merging) merge(w *blockWriter) error {
	for i := range m.queue {
		t := &m.queue[i]
		for _, p := range m.shared[t.ID] {
			t.Start = min(t.Start, p.Start)
		}
	}
	slices.SortFunc(m.queue, func(a, b groupTrace) int {
		return cmp.Or(newestFirst(b.Start, b.ID, a.Start, a.ID), cmp.Compare(a.block, b.block), cmp.Compare(a.group, b.group))
	})
	m.last = map[groupKey]int{}
	for i := range m.queue {
		for _, p := range m.pieces(&m.queue[i]) {
			m.last[p.groupKey] = i
		}
	}
	m.out = newGroupsOf(m.Level, func(g *encodedGroup) error {
		m.done.Made++
		m.done.Spans += int64(g.entry.spans)
		return w.add(g)
	})
	defer m.out.release()
	for i := range m.queue {
		if i%64 == 0 && m.ctx.Err() != nil {
			return context.Cause(m.ctx)
		}
		if err := m.put(i); err != nil {
			return err
		}
	}
	return m.out.flush()
}

// pieces returns the pieces of a trace of the queue.
func (m *merging) pieces(t *groupTrace) []groupTrace {
	if list := m.shared[t.ID]; len(list) > 0 {
		return list
	}
	return []groupTrace{*t}
}

// put writes trace i of the queue.
func (m *merging) put(i int) error {
	pieces := m.pieces(&m.queue[i])
	list := make([]*Trace, len(pieces))
	spans, events, links := 0, 0, 0
	for k, p := range pieces {
		t, err := m.read(p)
		if err != nil {
			return err
		}
		list[k] = t
		size := sizeOf(t)
		spans, events, links = spans+size.spans, events+size.events, links+size.links
		if m.last[p.groupKey] == i {
			delete(m.open, p.groupKey)
		}
	}
	if spans > maxTraceSpans || events > maxTraceChildren || links > maxTraceChildren {
		// No row group may hold it: its pieces stay apart, and readers join them.
		slices.SortFunc(list, func(a, b *Trace) int {
			x, _ := a.Bounds()
			y, _ := b.Bounds()
			return cmp.Compare(x, y)
		})
		for _, t := range list {
			if err := m.out.add(t); err != nil {
				return err
			}
		}
		return nil
	}
	joined := JoinTraces(list...)
	m.done.Duplicates += int64(spans - len(joined.Spans))
	return m.out.add(joined)
}

// read returns a piece.
func (m *merging) read(p groupTrace) (*Trace, error) {
	o := m.open[p.groupKey]
	if o == nil {
		g, err := m.Blocks[p.block].groupSet.open(m.ctx, p.group)
		if err != nil {
			return nil, err
		}
		if err := g.spine(m.ctx); err != nil {
			return nil, err
		}
		all := make([]int, g.entry.traces)
		for t := range all {
			all[t] = t
		}
		r, err := g.spanReader(m.ctx, all, nil)
		if err != nil {
			return nil, err
		}
		m.makeRoom()
		o = &openedGroup{spanReader: r}
		m.open[p.groupKey] = o
	}
	m.used++
	o.used = m.used
	return o.trace(p.ordinal)
}

// makeRoom closes the row group that was used least recently where too many are open.
func (m *merging) makeRoom() {
	if len(m.open) < maxOpenGroups {
		return
	}
	var oldest groupKey
	used := math.MaxInt
	for key, o := range m.open {
		if o.used < used {
			oldest, used = key, o.used
		}
	}
	delete(m.open, oldest)
}

// describe fills in what meta says of the spans.
func (m *merging) describe(w *blockWriter, meta *block.Meta) {
	meta.Rows = m.done.Spans
	for i := range w.index.entries {
		e := &w.index.entries[i]
		if i == 0 {
			meta.MinTime, meta.MaxTime = int64(e.minStart), int64(e.maxEnd)
		}
		meta.MinTime, meta.MaxTime = min(meta.MinTime, int64(e.minStart)), max(meta.MaxTime, int64(e.maxEnd))
	}
	// Of duplicates and of what is left out it isn't known how many bytes they came in.
	if all := m.done.Spans + m.done.Duplicates + m.left(); all > 0 {
		meta.RawBytes = int64(float64(meta.RawBytes) * float64(m.done.Spans) / float64(all))
	}
}
