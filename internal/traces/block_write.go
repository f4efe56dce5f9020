package traces

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// blockWriter writes one block from traces that come in order of their start.
type blockWriter struct {
	w       *block.Writer
	dir     directory
	ids     []idEntry
	tags    map[tagKey]*values
	traces  []*Trace // of the open row group
	spans   int
	bytes   int
	payload []byte
	group   *groupBuilder
}

type tagKey struct {
	scope TagScope
	key   string
}

func newBlockWriter(w *block.Writer) *blockWriter {
	return &blockWriter{w: w, tags: make(map[tagKey]*values), group: newGroupBuilder()}
}

// add takes a trace, which must not start before the one before. size is a guess at its bytes.
func (b *blockWriter) add(t *Trace, size int) error {
	if b.spans > 0 && (b.spans+len(t.Spans) > maxGroupSpans || b.bytes+size > maxGroupBytes) {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.traces = append(b.traces, t)
	b.spans += len(t.Spans)
	b.bytes += size
	return nil
}

// flush writes the open row group.
func (b *blockWriter) flush() error {
	if len(b.traces) == 0 {
		return nil
	}
	g := b.group
	g.reset()
	for i, t := range b.traces {
		g.count(t)
		b.noteTags(t)
		start, end := t.Bounds()
		b.ids = append(b.ids, idEntry{Piece{t.ID, start, end}, len(b.dir.groups), i})
	}
	g.choose()
	for _, t := range b.traces {
		g.add(t)
	}
	dir, err := b.writeGroup(g)
	if err != nil {
		return fmt.Errorf("row group %d: %w", len(b.dir.groups), err)
	}
	b.dir.groups = append(b.dir.groups, dir)
	clear(b.traces)
	b.traces, b.spans, b.bytes = b.traces[:0], 0, 0
	return nil
}

func (b *blockWriter) writeGroup(g *groupBuilder) (groupDir, error) {
	dir := groupDir{traces: len(g.traceRows), spans: len(g.kind), events: len(g.eventTime), links: len(g.linkFlags),
		resources: len(g.resources.list), scopes: len(g.scopes.list), start: g.start, end: g.end}
	write := func(x *extent, encode func(dst []byte) []byte) error {
		b.payload = encode(b.payload[:0])
		for data := b.payload; len(data) > 0; {
			n := min(len(data), block.MaxBlobLen)
			ref, err := b.w.Blob(data[:n], block.CodecZstd)
			if err != nil {
				return err
			}
			*x, data = append(*x, ref), data[n:]
		}
		return nil
	}
	for i, encode := range g.fixed() {
		if encode == nil {
			continue
		}
		if err := write(&dir.fixed[i], encode); err != nil {
			return dir, err
		}
	}
	for _, c := range g.columns {
		dir.columns = append(dir.columns, c.columnDef)
		var x extent
		if err := write(&x, c.appendTo); err != nil {
			return dir, err
		}
		dir.data = append(dir.data, x)
	}
	return dir, nil
}

// finish writes the last row group and the sections, those that a reader needs first last.
func (b *blockWriter) finish() error {
	if err := b.flush(); err != nil {
		return err
	}
	slices.SortFunc(b.ids, func(x, y idEntry) int { return compareIDs(x.ID, y.ID) })
	var fences []idFence
	for page := range slices.Chunk(b.ids, idPageLen) {
		b.payload = appendIDPage(b.payload[:0], page)
		ref, err := b.w.Blob(b.payload, block.CodecZstd)
		if err != nil {
			return err
		}
		fences = append(fences, idFence{page[0].ID, len(page), ref})
	}
	if err := b.w.Section(sectionTags, appendTags(nil, b.tagEntries()), block.CodecZstd); err != nil {
		return err
	}
	if err := b.w.Section(sectionIDs, appendFences(nil, fences), block.CodecRaw); err != nil {
		return err
	}
	return b.w.Section(sectionGroups, b.dir.appendTo(nil), block.CodecZstd)
}

func (b *blockWriter) noteTags(t *Trace) {
	var resource *Resource
	var scope *Scope
	for _, s := range t.Spans {
		b.noteAll(ScopeSpan, s.Attributes)
		if s.Resource != resource && s.Resource != nil {
			b.noteAll(ScopeResource, s.Resource.Attributes)
		}
		if s.Scope != scope && s.Scope != nil {
			b.noteAll(ScopeInstrumentation, s.Scope.Attributes)
		}
		resource, scope = s.Resource, s.Scope
		for i := range s.Events {
			b.noteAll(ScopeEvent, s.Events[i].Attributes)
		}
		for i := range s.Links {
			b.noteAll(ScopeLink, s.Links[i].Attributes)
		}
	}
}

func (b *blockWriter) noteAll(scope TagScope, attrs []Attribute) {
	for i := range attrs {
		a := &attrs[i]
		v := b.tags[tagKey{scope, a.Key}]
		if v == nil {
			v = newValues(maxTagValues + 1) // full means incomplete
			b.tags[tagKey{scope, a.Key}] = v
		}
		if !v.full() {
			v.add(a) // nothing for what can't be searched: such a key is listed, without values
		}
	}
}

func (b *blockWriter) tagEntries() []tagEntry {
	out := make([]tagEntry, 0, len(b.tags))
	for k, v := range b.tags {
		e := tagEntry{scope: k.scope, key: k.key, complete: !v.full()}
		size := 0
		for i := range v.list {
			size += 10 + len(v.list[i].Str)
		}
		if e.complete = e.complete && size <= maxTagBytes; e.complete {
			e.values = v.sorted()
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b tagEntry) int {
		return cmp.Or(cmp.Compare(a.scope, b.scope), cmp.Compare(a.key, b.key))
	})
	return out
}

// writeTo writes every trace of the head. The head must not change meanwhile.
func (h *Head) writeTo(ctx context.Context, w *block.Writer) error {
	s := h.snapshot(nil)
	slices.SortFunc(s.traces, func(a, b snapshotTrace) int { return newestFirst(b.start, b.id, a.start, a.id) })
	bw := newBlockWriter(w)
	r := s.tables()
	for i := range s.traces {
		if i%256 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t := &s.traces[i]
		size := 0
		for _, record := range t.spans {
			size += 4 * len(record) // text is shared: about what it is when written out
		}
		if bw.spans > 0 && bw.spans+len(t.spans) > maxGroupSpans {
			if err := bw.flush(); err != nil {
				return err
			}
			r.reset() // the group's spans are written
		}
		if err := bw.add(r.trace(t.id, t.spans), size); err != nil {
			return err
		}
	}
	return bw.finish()
}

// attributeColumn collects the values of one attribute column.
type attributeColumn struct {
	columnDef
	index  uint32 // in shapes: 1 + its place among the columns; 0 is the rest
	text   textColumn
	ints   []int64
	floats []float64
	lens   []int64 // of arrays
}

func (c *attributeColumn) add(a *Attribute) {
	c.values++
	switch a.Type {
	case TypeString:
		c.text.add(a.Str)
	case TypeInt, TypeBool:
		c.ints = append(c.ints, a.Int)
	case TypeFloat:
		c.floats = append(c.floats, a.Float)
	case TypeOpaque:
		c.text.add(string(a.Raw))
	default:
		c.lens = append(c.lens, int64(len(a.Array)))
		for i := range a.Array {
			c.add(&a.Array[i])
			c.values--
		}
	}
}

// appendTo appends the column's payload: the lengths of arrays, then all elements.
func (c *attributeColumn) appendTo(dst []byte) []byte {
	typ := c.typ
	if typ >= TypeStringArray && typ < TypeOpaque {
		dst = appendInts(dst, c.lens)
		typ = elementOf(typ)
	}
	switch typ {
	case TypeInt, TypeBool:
		return appendInts(dst, c.ints)
	case TypeFloat:
		return appendFloats(dst, c.floats)
	}
	return c.text.appendTo(dst)
}

// Columns longer than one encoded column may be are several, one after the other.

func appendInts(dst []byte, v []int64) []byte {
	for chunk := range slices.Chunk(v, block.MaxRows) {
		dst = block.AppendInts(dst, chunk)
	}
	return dst
}

func appendFloats(dst []byte, v []float64) []byte {
	for chunk := range slices.Chunk(v, block.MaxRows) {
		dst = block.AppendFloats(dst, chunk)
	}
	return dst
}

// textColumn collects strings. Each distinct one is kept once, so that a long string on every span
// takes its length once, here as in the head.
type textColumn struct {
	ids     map[string]uint32
	entries block.Values
	codes   []uint32
}

func (c *textColumn) add(s string) {
	id, ok := c.ids[s]
	if !ok {
		if c.ids == nil {
			c.ids = make(map[string]uint32)
		}
		id = uint32(len(c.ids))
		c.ids[s] = id
		c.entries.AppendString(s)
	}
	c.codes = append(c.codes, id)
}

// Forms of a text column.
const (
	textPlain = 0 // the values
	textDict  = 1 // distinct values and a code for each row
)

// appendTo appends the column: a dictionary if at most half of the values are distinct.
func (c *textColumn) appendTo(dst []byte) []byte {
	if len(c.codes) <= chunkRows {
		return c.appendChunk(dst)
	}
	for codes := range slices.Chunk(c.codes, chunkRows) {
		var part textColumn
		for _, code := range codes {
			part.add(string(c.entries.At(int(code))))
		}
		dst = part.appendChunk(dst)
	}
	return dst
}

func (c *textColumn) appendChunk(dst []byte) []byte {
	if 2*c.entries.Len() <= len(c.codes) {
		return block.AppendDict(append(dst, textDict), &block.Dict{Entries: c.entries, Codes: c.codes})
	}
	var plain block.Values
	for _, code := range c.codes {
		plain.Append(c.entries.At(int(code)))
	}
	return block.AppendValues(append(dst, textPlain), &plain)
}

// appendRest appends an attribute of the rest column to a value of it.
func appendRest(dst []byte, a *Attribute) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(a.Key)))
	dst = append(dst, a.Key...)
	dst = append(dst, byte(a.Type))
	return AppendValue(dst, a)
}
