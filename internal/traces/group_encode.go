package traces

import (
	"encoding/binary"
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// encodedGroup is a row group that is ready to be put into a block, or to be read from memory.
type encodedGroup struct {
	entry     groupEntry
	directory []byte
	dir       *groupDirectory // the same, decoded
	blobs     [][]byte        // stored form, as groupDirectory numbers them, unless they are spilled
	spilled   *spilled
	traces    []Piece // in their order
	tags      *tagList
}

// size is what the group holds, about, wherever its blobs are: that is what a head is cut by.
func (g *encodedGroup) size() int64 {
	n := len(g.directory) + g.dir.memory() + 32*len(g.traces)
	for _, b := range g.blobs {
		n += 32 + cap(b)
	}
	if s := g.spilled; s != nil {
		n += 8*len(s.ends) + int(s.ends[len(s.ends)-1]-s.ends[0])
	}
	return int64(n)
}

// encode ends the row group. The builder is empty afterwards.
func (g *groupBuilder) encode(level block.Level) (*encodedGroup, error) {
	w := groupWriter{groupBuilder: g, level: level, dir: &groupDirectory{}}
	out := w.encode()
	g.reset()
	// The directory in memory shares nothing with what was encoded, but resources with other row groups, and is proved
	// by the decoder.
	var err error
	out.dir, err = decodeGroupDirectory(out.directory, &out.entry, &g.known)
	return out, err
}

// groupWriter is a groupBuilder at its end.
type groupWriter struct {
	*groupBuilder
	level  block.Level
	dir    *groupDirectory
	tags   *tagList
	blobs  [][]byte
	packed []byte
}

func (g *groupWriter) encode() *encodedGroup {
	g.entry.repeats = g.shapes.repeats
	g.dir.classNames, g.dir.classScopes = true, true
	g.tags = newTagList()
	g.chooseColumns()
	g.fillRest()
	g.narrowClasses()
	own := g.ownBlobs()
	g.encodeFixed()
	g.encodeColumns()
	g.sharedTags()
	encoded := g.enc.Finish()
	g.dir.page = encoded.Page
	out := &encodedGroup{entry: g.entry, blobs: append(encoded.Blobs, own...), tags: g.tags, traces: make([]Piece, g.entry.traces)}
	for i := range out.traces {
		p := &out.traces[i]
		copy(p.ID[:], g.traceIDs[16*i:])
		p.Start = uint64(g.traceStart[i])
		p.End = p.Start + uint64(g.traceLen[i])
	}
	out.directory = g.appendDirectory(nil)
	return out
}

// chooseColumns gives the frequent keys columns of their own, in a stable order.
func (g *groupWriter) chooseColumns() {
	for _, c := range g.columns.all {
		c.index = 0
	}
	own := slices.DeleteFunc(slices.Clone(g.columns.all), func(c *attributeColumn) bool {
		return c.values < min(minColumnValues, g.entry.spans) || max(c.values, c.textCount(), len(c.nums)) > block.MaxRows
	})
	slices.SortStableFunc(own, func(a, b *attributeColumn) int { return b.values - a.values })
	for i, c := range own[:min(len(own), maxColumns)] {
		c.index = i + 1
	}
	g.columns.all = own[:min(len(own), maxColumns)]
}

// restReader hands out the values of columns that go to the rest, in the order in which they came.
type restReader struct{ value, element map[*attributeColumn]int }

// next sets a to the next value of c.
func (r *restReader) next(c *attributeColumn, a *Attribute) {
	*a = Attribute{Key: c.key, Type: c.typ}
	i := r.value[c]
	r.value[c]++
	if !c.typ.isArray() {
		c.scalarAt(i, c.typ, a)
		return
	}
	a.Array = make([]Attribute, c.lens[i])
	for j := range a.Array {
		a.Array[j].Type = elementOf(c.typ)
		c.scalarAt(r.element[c], elementOf(c.typ), &a.Array[j])
		r.element[c]++
	}
}

func (c *attributeColumn) scalarAt(i int, typ ValueType, a *Attribute) {
	switch typ {
	case TypeString:
		a.Str = c.text(i)
	case TypeOpaque:
		a.Raw = []byte(c.text(i))
	case TypeFloat:
		a.Float = floatOf(c.nums[i])
	default:
		a.Int = int64(c.nums[i])
	}
}

// fillRest gathers the attributes without a column.
func (g *groupWriter) fillRest() {
	rest := &restReader{map[*attributeColumn]int{}, map[*attributeColumn]int{}}
	for row, class := range g.class {
		g.restOf(rest, fixRestSpan, g.shapes.used[g.classes.list[class].shape], uint32(row))
	}
	for _, of := range [][2]int{{fixEventShape, fixRestEvent}, {fixLinkShape, fixRestLink}} {
		shapes := &g.fixed[of[0]]
		for i := range shapes.len() {
			g.restOf(rest, of[1], g.shapes.used[shapes.intAt(i)], 0)
		}
	}
}

var restScope = map[int]TagScope{fixRestSpan: ScopeSpan, fixRestEvent: ScopeEvent, fixRestLink: ScopeLink}

// restOf gathers those of one span, event or link.
func (g *groupWriter) restOf(rest *restReader, fix int, n *shapeNode, row uint32) {
	if !n.hasRest() {
		return
	}
	var path []*attributeColumn
	for ; n.column != nil; n = n.before {
		if n.column.index == 0 {
			path = append(path, n.column)
		}
	}
	g.scratch = g.scratch[:0]
	var a Attribute
	for _, c := range slices.Backward(path) {
		rest.next(c, &a)
		g.scratch = appendRest(g.scratch, &a)
		g.tags.add(restScope[fix], &a)
	}
	g.fixed[fix].text(string(g.scratch))
}

func (n *shapeNode) hasRest() bool {
	for ; n.column != nil; n = n.before {
		if n.column.index == 0 {
			return true
		}
	}
	return false
}

// narrowClasses takes names, then scopes, out of the classes where there are too many of them.
func (g *groupWriter) narrowClasses() {
	if len(g.classes.list) > maxClasses {
		g.dir.classNames = false
		g.fixed[fixName].fillTexts() // stored whatever the names are
		for _, class := range g.class {
			g.fixed[fixName].text(g.names.list[g.classes.list[class].name])
		}
		g.reclass(func(k *classKey) { k.name = 0 })
	}
	if len(g.classes.list) > maxClasses {
		g.dir.classScopes = false
		for _, class := range g.class {
			g.fixed[fixScope].int(int64(g.classes.list[class].scope))
		}
		g.reclass(func(k *classKey) { k.scope = 0 })
	}
}

// reclass changes what the classes tell.
func (g *groupWriter) reclass(change func(*classKey)) {
	var classes table[classKey]
	to := make([]uint32, len(g.classes.list))
	for i, k := range g.classes.list {
		change(&k)
		to[i] = classes.id(k)
	}
	for row, class := range g.class {
		g.class[row] = to[class]
	}
	g.classes = classes
}

// ownBlobs makes the blobs that are not the page's: trace IDs, then of each chunk starts, durations and IDs.
func (g *groupWriter) ownBlobs() [][]byte {
	g.dir.ids = g.pack(g.traceIDs, block.CodecRaw)
	var scratch []byte
	for from := 0; from < g.entry.spans; from += chunkSpans {
		to := min(from+chunkSpans, g.entry.spans)
		for _, times := range [][]int64{g.start[from:to], g.duration[from:to]} {
			var info blobInfo
			info, scratch = g.packTimes(times, scratch)
			g.dir.chunks = append(g.dir.chunks, info)
		}
		g.dir.chunks = append(g.dir.chunks, g.pack(g.spanIDs[8*from:8*to], block.CodecRaw))
	}
	return g.blobs
}

// packedShare is what times in packed bits may take more than compressed ones: one part in so many. Most of a time
// is noise. Compression saves a little of it, and costs more to undo than all else that most questions do; in
// packed bits, single times are read where they are.
const packedShare = 4

// lateShare says from how many orphans on a row group is one of late pieces: one span in so many. It takes more
// space than it will once its traces are joined, so its times are stored in the fewest bytes.
const lateShare = 8

// packTimes makes the blob of the starts or durations of a chunk.
func (g *groupWriter) packTimes(times []int64, scratch []byte) (blobInfo, []byte) {
	scratch = block.AppendInts(scratch[:0], times)
	info := g.pack(scratch, block.CodecZstd)
	most := int(info.stored)
	if len(g.loose) > g.entry.spans/lateShare {
		scratch = block.AppendMagnitudes(scratch[:0], times)
	} else {
		scratch = block.AppendPacked(scratch[:0], times)
		most += most / packedShare
	}
	if len(scratch) > most {
		return info, scratch
	}
	g.blobs = g.blobs[:len(g.blobs)-1]
	return g.pack(scratch, block.CodecRaw), scratch
}

func (g *groupWriter) pack(data []byte, codec block.Codec) blobInfo {
	var ref block.Ref
	g.packed, ref = block.Pack(g.packed[:0], data, codec, g.level)
	g.blobs = append(g.blobs, slices.Clone(g.packed))
	return blobInfo{ref.Codec, ref.StoredLen, ref.RawLen}
}

// encodeFixed encodes the fixed columns that have something to say.
func (g *groupWriter) encodeFixed() {
	f := &g.fixed
	f[fixTraceRows], f[fixTraceStart], f[fixTraceLength] = fixedInts(g.traceRows), fixedInts(g.traceStart), fixedInts(g.traceLen)
	classes := make([]int64, len(g.class))
	for i, c := range g.class {
		classes[i] = int64(c)
	}
	f[fixClass], f[fixDepth] = fixedInts(classes), fixedInts(g.depth)
	last := int64(0)
	loose := make([]int64, len(g.loose))
	for i, row := range g.loose {
		loose[i], last = row-last, row
	}
	f[fixLoose] = fixedColumn{ints: loose, some: len(loose) > 0}
	f[fixResource], f[fixOrder], f[fixLooseWhich] = fixedInts(g.resource), fixedInts(g.order), fixedInts(g.looseWhich)
	e := &g.cols
	e.reset(g.enc)
	for i := range f {
		if i == fixLooseParent && len(g.loose) > 0 {
			g.enc.Strings(&g.looseParents)
			continue
		}
		if !f[i].some {
			continue
		}
		switch {
		case i <= lastSpine:
			g.enc.Ints(f[i].ints, column.Spine)
		case !fixedText[i]:
			g.enc.Ints(f[i].ints, column.Strings)
		default:
			c := attributeColumn{columnDef: columnDef{typ: TypeString}, texts: f[i].texts}
			e.plain(&c)
			g.dir.fixedTable[i] = c.kind == kindTable
		}
	}
	// These share their memory with the builder.
	for _, i := range []int{fixTraceRows, fixTraceStart, fixTraceLength, fixResource, fixOrder, fixClass, fixDepth, fixLoose, fixLooseWhich} {
		f[i] = fixedColumn{some: f[i].some}
	}
	f[fixLooseParent].some = len(g.loose) > 0
}

// encodeColumns encodes the attribute columns and gathers their values for the tags.
func (g *groupWriter) encodeColumns() {
	twice := map[*attributeColumn]bool{}
	for _, n := range g.shapes.used {
		if !n.twice {
			continue
		}
		seen := map[*attributeColumn]bool{}
		for ; n.column != nil; n = n.before {
			twice[n.column] = twice[n.column] || seen[n.column]
			seen[n.column] = true
		}
	}
	e := &g.cols
	e.classes, e.traceOf, e.nClass, e.nTrace = g.class, g.traceOf, len(g.classes.list), g.entry.traces
	for _, c := range g.columns.all {
		e.encode(c, !twice[c])
		g.dir.columns = append(g.dir.columns, c.columnDef)
		g.tags.addColumn(c, e)
	}
}

// sharedTags gathers the tags of resources and scopes.
func (g *groupWriter) sharedTags() {
	for r := range g.resources.byPlace {
		if r != nil {
			g.tags.addResource(r)
		}
	}
	for s := range g.scopes.byPlace {
		if s != nil {
			g.tags.addAll(ScopeInstrumentation, s.Attributes)
		}
	}
}

// appendDirectory appends the directory, see the format page.
func (g *groupWriter) appendDirectory(dst []byte) []byte {
	flags := byte(0)
	if g.dir.classNames {
		flags |= flagClassNames
	}
	if g.dir.classScopes {
		flags |= flagClassScope
	}
	dst = append(dst, flags)
	dst = block.AppendStringList(dst, g.resources.services.list)
	dst = binary.AppendUvarint(dst, uint64(len(g.resources.messages.list)))
	for i, m := range g.resources.messages.list {
		dst = binary.AppendUvarint(dst, uint64(g.resources.service[i]))
		dst = block.AppendPrefixed(dst, m)
	}
	dst = block.AppendStringList(dst, g.scopes.messages.list)
	var names []string
	if g.dir.classNames {
		names = g.names.list
	}
	dst = block.AppendStringList(dst, names)
	dst = binary.AppendUvarint(dst, uint64(len(g.shapes.used)))
	for _, n := range g.shapes.used {
		list := n.list()
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		for _, c := range list {
			dst = binary.AppendUvarint(dst, uint64(c))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(g.classes.list)))
	for _, k := range g.classes.list {
		for _, n := range []uint32{k.shape, k.service, k.name, k.scope} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
		dst = append(dst, byte(k.kind)|byte(k.status)<<4)
	}
	dst = g.appendColumns(dst)
	var stored, tables uint64
	for i := range g.fixed {
		if g.fixed[i].some {
			stored |= 1 << i
		}
		if g.dir.fixedTable[i] {
			tables |= 1 << i
		}
	}
	dst = binary.AppendUvarint(dst, stored)
	dst = binary.AppendUvarint(dst, tables)
	dst = g.dir.ids.appendTo(dst)
	for i := range g.dir.chunks {
		dst = g.dir.chunks[i].appendTo(dst)
	}
	return column.AppendPage(dst, g.dir.page)
}

func (g *groupWriter) appendColumns(dst []byte) []byte {
	var keys table[string]
	for i := range g.dir.columns {
		keys.id(g.dir.columns[i].key)
	}
	dst = block.AppendStringList(dst, keys.list)
	dst = binary.AppendUvarint(dst, uint64(len(g.dir.columns)))
	for i := range g.dir.columns {
		dst = g.dir.columns[i].appendTo(dst, uint64(keys.id(g.dir.columns[i].key)))
	}
	return dst
}

func (b *blobInfo) appendTo(dst []byte) []byte {
	dst = append(dst, byte(b.codec))
	dst = binary.AppendUvarint(dst, uint64(b.raw))
	return binary.AppendUvarint(dst, uint64(b.stored))
}
