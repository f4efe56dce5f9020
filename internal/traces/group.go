package traces

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// groupStore gives the bytes of row groups.
type groupStore interface {
	// directory returns the directory of row group i.
	directory(ctx context.Context, i int) (*groupDirectory, error)
	// blobs returns the decoded blobs ids, ascending, of row group i, in memory of mem or in the store's own.
	blobs(ctx context.Context, i int, d *groupDirectory, ids []int, mem *block.Buffers) ([][]byte, error)
	// views shows the stored blobs from number from on, before to, of row group i: that of the trace IDs or those of chunks.
	// It returns nil where it can't: see block.Views.
	views(ctx context.Context, i int, d *groupDirectory, from, to int) (*block.Views, error)
	// kept returns the columns of row group i that an earlier question left with keep, nil for none: see GroupCache.
	kept(i int) *keptColumns
	// keep takes columns of row group i, of about size bytes, for later questions. They are made if there is room.
	keep(i, size int, make func() *keptColumns)
	// corrupt says that row group i is damaged.
	corrupt(i int, what string, err error) error
}

// group reads one row group. Columns are fetched when they are needed and kept for the life of the group,
// which is one question. Not safe for concurrent use.
type group struct {
	store groupStore
	i     int
	entry *groupEntry
	dir   *groupDirectory
	r     *column.Reader
	own   map[int][]byte // blobs that are not the page's
	mem   block.Buffers  // of all blobs

	// The spine, nil until it is asked for.
	first  []int    // first row of each trace, and the end
	starts []uint64 // of traces
	ends   []uint64
	class  *Codes
	depths *Codes
	loose  []int64  // rows
	wide   []uint32 // of class, see classList

	lengths []uint8                     // of all spans, where they were read
	chunks  []*chunkPieces              // of chunks that were read, nil: none
	ids     *block.Pieces               // of the trace IDs, where they were read
	values  map[int]attributesOfClasses // of attribute columns that were read
	viewed  []*chunkView                // chunks that are read in pieces, nil: none

	memory *spineMemory // of the spine, where it was read

	kept    *keptColumns // of earlier questions, nil: not asked for yet
	learned bool         // some of the spine was read that is not in kept
}

// spineMemory is what the tables of traces of a row group take, for the next one.
type spineMemory struct {
	first        []int
	starts, ends []uint64
}

var spines = sync.Pool{New: func() any { return new(spineMemory) }}

func openGroup(ctx context.Context, store groupStore, i int, e *groupEntry) (*group, error) {
	d, err := store.directory(ctx, i)
	if err != nil {
		return nil, err
	}
	return &group{store: store, i: i, entry: e, dir: d, r: column.NewReader(d.page), own: map[int][]byte{}}, nil
}

// release ends the use of g: its blobs and the numbers of its columns are no longer valid, traces that were built
// of it are.
func (g *group) release() {
	g.remember()
	g.r.Release()
	if g.memory != nil {
		spines.Put(g.memory)
		g.memory = nil
	}
	g.first, g.starts, g.ends, g.class, g.depths, g.wide, g.lengths, g.chunks, g.viewed, g.ids, g.values = nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil
	g.mem.Release()
}

func (g *group) corrupt(what string, err error) error {
	if block.IsCorruption(err) {
		return err
	}
	return g.store.corrupt(g.i, what, err)
}

// ask runs f over the columns until all that it wanted has been read; its last run counts. See column.Reader.
func (g *group) ask(ctx context.Context, f func()) error {
	for {
		f()
		if err := g.r.Err(); err != nil {
			return g.corrupt("columns", err)
		}
		wanted := g.r.Wanted()
		if len(wanted) == 0 {
			return nil
		}
		if err := g.fetch(ctx, wanted); err != nil {
			return err
		}
	}
}

// fetch reads blobs, which ascend.
func (g *group) fetch(ctx context.Context, ids []int) error {
	blobs, err := g.store.blobs(ctx, g.i, g.dir, ids, &g.mem)
	if err != nil {
		return err
	}
	for k, id := range ids {
		if id < g.dir.idBlob() {
			g.r.Supply(id, blobs[k])
			continue
		}
		if want := g.dir.ownBlob(id).raw; len(blobs[k]) != int(want) {
			return g.corrupt("blobs", fmt.Errorf("%d bytes, the directory says %d", len(blobs[k]), want))
		}
		g.own[id] = blobs[k]
	}
	return nil
}

// load reads all that columns are made of, and blobs of the group's own, with as few requests as possible.
func (g *group) load(ctx context.Context, columns []*column.Column, own ...int) error {
	for _, c := range columns {
		g.r.Want(c)
	}
	ids := g.r.Wanted()
	for _, id := range own {
		if g.own[id] == nil {
			ids = append(ids, id)
		}
	}
	if len(ids) > 0 {
		slices.Sort(ids)
		if err := g.fetch(ctx, ids); err != nil {
			return err
		}
	}
	if err := g.r.Err(); err != nil {
		return g.corrupt("columns", err)
	}
	return nil
}

// fixed returns the columns of the page that hold fixed columns, those that are stored.
func (g *group) fixed(list ...int) []*column.Column {
	var out []*column.Column
	for _, i := range list {
		if at := g.dir.fixed[i]; at >= 0 {
			out = append(out, g.dir.page.Columns[at])
			if g.dir.fixedTable[i] {
				out = append(out, g.dir.page.Columns[at+1])
			}
		}
	}
	return out
}

// ints returns a fixed column of n numbers, which has been loaded; one that isn't stored is zeros. The
// numbers are shared.
func (g *group) ints(fix, n int) []int64 {
	if g.dir.fixed[fix] < 0 {
		if n <= len(zeros) {
			return zeros[:n:n]
		}
		return make([]int64, n)
	}
	return g.r.Int64s(g.dir.page.Columns[g.dir.fixed[fix]])
}

// below returns a fixed column of n numbers, which has been loaded, all less than limit; one that isn't stored is
// zeros. The numbers are shared.
func (g *group) below(fix, n, limit int) []uint32 {
	if at := g.dir.fixed[fix]; at >= 0 {
		return g.r.Below(g.dir.page.Columns[at], uint32(limit))
	}
	if n <= len(smallZeros) {
		return smallZeros[:n:n]
	}
	return make([]uint32, n)
}

// zeros are the numbers of columns that aren't stored; nobody writes them.
var (
	zeros      [1 << 15]int64
	smallZeros [1 << 15]uint32
)

// numbers are a fixed column of numbers; nil: all are zero.
type numbers []int64

func (n numbers) at(i int) int64 {
	if n == nil {
		return 0
	}
	return n[i]
}

// numbers returns a fixed column of numbers, which has been loaded. They are shared.
func (g *group) numbers(fix int) numbers {
	if g.dir.fixed[fix] < 0 {
		return nil
	}
	return g.r.Int64s(g.dir.page.Columns[g.dir.fixed[fix]])
}

// inRange reports whether a fixed column of numbers is in [0, limit).
func (g *group) inRange(fix, limit int) bool {
	at := g.dir.fixed[fix]
	if at < 0 {
		return limit > 0
	}
	return numbersIn(g.dir.page.Columns[at], limit)
}

// numbersIn reports whether the numbers of c are in [0, limit), by its stamp, which the reader keeps it to.
func numbersIn(c *column.Column, limit int) bool {
	return c.Rows == 0 || c.Kind == column.Int && c.Stamp.Min >= 0 && c.Stamp.Max < int64(limit)
}

var errStamp = errors.New("numbers are out of range")

// spine reads the table of traces.
func (g *group) spine(ctx context.Context) error {
	if g.first != nil {
		return nil
	}
	if k := g.known(); k.first != nil {
		g.first, g.starts, g.ends = k.first, k.starts, k.ends
		return nil
	}
	if err := g.load(ctx, g.fixed(fixTraceRows, fixTraceStart, fixTraceLength)); err != nil {
		return err
	}
	n := g.entry.traces
	rows, starts, lengths := g.ints(fixTraceRows, n), g.ints(fixTraceStart, n), g.ints(fixTraceLength, n)
	if !g.inRange(fixTraceRows, g.entry.spans+1) || g.r.Err() != nil {
		return g.corrupt("traces", errors.Join(errStamp, g.r.Err()))
	}
	g.memory = spines.Get().(*spineMemory)
	m := g.memory
	m.first, m.starts, m.ends = resized(m.first, n+1), resized(m.starts, n), resized(m.ends, n)
	first := m.first
	g.starts, g.ends = m.starts, m.ends
	first[0] = 0
	for i := range n {
		first[i+1] = first[i] + int(rows[i])
		g.starts[i], g.ends[i] = uint64(starts[i]), uint64(starts[i]+lengths[i])
		if rows[i] == 0 || g.starts[i] < g.entry.minStart || g.starts[i] > g.entry.maxStart || g.ends[i] < g.starts[i] || g.ends[i] > g.entry.maxEnd {
			return g.corrupt("traces", fmt.Errorf("trace %d of %d spans is out of the row group's range", i, rows[i]))
		}
	}
	if first[n] != g.entry.spans {
		return g.corrupt("traces", fmt.Errorf("traces have %d spans, the row group has %d", first[n], g.entry.spans))
	}
	g.first, g.learned = first, true
	return nil
}

// classes reads the class of each span.
func (g *group) classes(ctx context.Context) error {
	if g.class != nil {
		return nil
	}
	if k := g.known(); k.class != nil {
		g.class = k.class
		return nil
	}
	if err := g.load(ctx, g.fixed(fixClass)); err != nil {
		return err
	}
	class := g.below(fixClass, g.entry.spans, len(g.dir.classes))
	if err := g.r.Err(); err != nil {
		return g.corrupt("classes", err)
	}
	g.class, g.learned = &Codes{all: class}, true
	return nil
}

// classList returns the class of each span, which have been read, for who looks at all of them one by one.
func (g *group) classList() []uint32 {
	switch {
	case g.wide != nil:
	case g.class.all != nil:
		g.wide = g.class.all
	default:
		g.wide = g.class.Copy(g.r.Scratch(g.entry.spans), 0)
	}
	return g.wide
}

// tree reads the depths, and which spans of depth 0 are no roots.
func (g *group) tree(ctx context.Context) error {
	if g.depths != nil {
		return nil
	}
	if err := g.spine(ctx); err != nil {
		return err
	}
	if k := g.known(); k.depths != nil {
		g.depths, g.loose = k.depths, k.loose
		return nil
	}
	if err := g.load(ctx, g.fixed(fixDepth, fixLoose)); err != nil {
		return err
	}
	depths := g.below(fixDepth, g.entry.spans, g.entry.spans)
	var loose []int64
	if at := g.dir.fixed[fixLoose]; at >= 0 {
		last := int64(0)
		for i, step := range g.ints(fixLoose, 0) {
			if last += step; i > 0 && step <= 0 || step < 0 || last >= int64(g.entry.spans) || depths[last] != 0 {
				return g.corrupt("tree", fmt.Errorf("span %d is said to have a parent elsewhere", last))
			}
			loose = append(loose, last)
		}
	}
	if err := g.r.Err(); err != nil {
		return g.corrupt("tree", err)
	}
	if !deepens(depths, g.first) {
		return g.corrupt("tree", g.tooDeep(depths))
	}
	g.depths, g.loose, g.learned = &Codes{all: depths}, loose, true
	return nil
}

// deepens reports whether the first span of each trace has depth 0, and each other at most one more than the one before
// it. Depths are below 1<<31.
func deepens(depths []uint32, first []int) bool {
	wrong := uint32(0)
	for _, row := range first[:len(first)-1] {
		wrong |= -depths[row]
	}
	for i, depth := range depths[min(1, len(depths)):] {
		wrong |= depths[i] + 1 - depth
	}
	return wrong>>31 == 0
}

// tooDeep says of depths that don't deepen where.
func (g *group) tooDeep(depths []uint32) error {
	for t := range g.entry.traces {
		limit := uint32(0)
		for i, depth := range depths[g.first[t]:g.first[t+1]] {
			if depth > limit {
				return fmt.Errorf("span %d has depth %d, at most %d is possible", g.first[t]+i, depth, limit)
			}
			limit = depth + 1
		}
	}
	return nil
}

// placed returns how many spans of a trace have a place in the tree: they come first. The tree has been read.
func (g *group) placed(trace int) int {
	i := sort.Search(len(g.loose), func(i int) bool { return g.loose[i] >= int64(g.first[trace]) })
	if i < len(g.loose) && g.loose[i] < int64(g.first[trace+1]) {
		return int(g.loose[i]) - g.first[trace]
	}
	return g.first[trace+1] - g.first[trace]
}

// traceOf returns the trace of a row.
func (g *group) traceOf(row int) int { return sort.SearchInts(g.first, row+1) - 1 }

// id returns the ID of a trace. The blob of IDs has been loaded.
func (g *group) id(trace int) (id ID) {
	copy(id[:], g.own[g.dir.idBlob()][16*trace:])
	return id
}

// loadIDs reads the trace IDs.
func (g *group) loadIDs(ctx context.Context) error { return g.load(ctx, nil, g.dir.idBlob()) }

// chunkInts decodes the starts (0) or durations (1) of a chunk into the memory of dst.
func (g *group) chunkInts(dst []int64, chunk, which int) ([]int64, error) {
	d := block.NewDecoder(g.own[g.dir.chunkBlob(chunk)+which])
	dst = block.DecodeInts(d, dst, min(chunkSpans, g.entry.spans-chunk*chunkSpans))
	if err := d.Finish(); err != nil {
		return nil, g.corrupt("times", err)
	}
	return dst, nil
}

// viewChunk is chunkInts for who needs few of the numbers; the view before gives its memory.
func (g *group) viewChunk(before *block.IntsView, chunk, which int) (block.IntsView, error) {
	d := block.NewDecoder(g.own[g.dir.chunkBlob(chunk)+which])
	v := block.ViewInts(d, before.Scratch(), min(chunkSpans, g.entry.spans-chunk*chunkSpans))
	if err := d.Finish(); err != nil {
		return block.IntsView{}, g.corrupt("times", err)
	}
	return v, nil
}

// spanIDs returns the span IDs of a chunk, whose blobs have been loaded.
func (g *group) spanIDs(chunk int) ([]byte, error) {
	b := g.own[g.dir.chunkBlob(chunk)+2]
	if n := min(chunkSpans, g.entry.spans-chunk*chunkSpans); len(b) != 8*n {
		return nil, g.corrupt("span IDs", fmt.Errorf("%d bytes for %d spans", len(b), n))
	}
	return b, nil
}
