package traces

import (
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// keptColumns are the columns of the spine of a row group, decoded and checked, and what most questions ask about its
// spans. What has not been asked for is nil. They are immutable.
type keptColumns struct {
	first        []int    // as those of group
	starts, ends []uint64 // of traces
	class        *Codes
	depths       *Codes
	loose        []int64                     // of the tree: known where depths are
	rows         *classRows                  // nil: see ordersRows
	lengths      []uint8                     // of spans, see lengthCode
	chunks       []*chunkPieces              // nil: none
	ids          *block.Pieces               // of the trace IDs
	values       map[int]attributesOfClasses // of attribute columns, nil: none
	full         bool                        // there was no room for more
}

// noColumns is what is known of a row group that no question was about.
var noColumns keptColumns

// known returns what is kept of the spine.
func (g *group) known() *keptColumns {
	if g.kept == nil {
		if g.kept = g.store.kept(g.i); g.kept == nil {
			g.kept = &noColumns
		}
	}
	return g.kept
}

// remember keeps what was read of the spine beside what is kept already.
func (g *group) remember() {
	ordered := g.ordersRows()
	if !g.learned && !ordered {
		return
	}
	g.learned = false
	k := *g.known()
	size := k.memory() + piecesMemory(g.chunks) + g.ids.Memory() + valuesMemory(g.values)
	if k.first == nil {
		size += 3 * 8 * len(g.first)
	}
	if k.class == nil {
		size += g.class.len()
	}
	if ordered {
		size += 2 * g.entry.spans
	}
	if k.depths == nil {
		size += g.depths.len() + 8*len(g.loose)
	}
	if k.lengths == nil {
		size += len(g.lengths)
	}
	g.store.keep(g.i, size, func() *keptColumns {
		if k.first == nil {
			k.first, k.starts, k.ends = slices.Clone(g.first), slices.Clone(g.starts), slices.Clone(g.ends)
		}
		if k.class == nil && g.class != nil {
			k.class = narrowed(g.class.all)
		}
		if ordered {
			k.rows = rowsByClass(g.classList(), len(g.dir.classes))
		}
		if k.depths == nil && g.depths != nil {
			k.depths, k.loose = narrowed(g.depths.all), slices.Clone(g.loose)
		}
		if k.lengths == nil {
			k.lengths = g.lengths
		}
		if k.ids == nil {
			k.ids = g.ids
		}
		k.values = mergeValues(k.values, g.values)
		k.chunks = mergeChunks(k.chunks, g.chunks)
		return &k
	})
}

// ordersRows reports whether this question is the second one that asks for classes, which then makes the rows by class: one
// that is asked first after a start has enough to do.
func (g *group) ordersRows() bool {
	k := g.known()
	return g.class != nil && k.class != nil && k.rows == nil && !k.full && g.entry.spans <= maxClassRows
}

// memory is what the columns hold, in bytes.
func (k *keptColumns) memory() int {
	return 1<<10 + 8*(len(k.first)+len(k.starts)+len(k.ends)+len(k.loose)) + k.class.memory() + k.depths.memory() + k.rows.memory() +
		cap(k.lengths) + piecesMemory(k.chunks) + k.ids.Memory() + valuesMemory(k.values)
}

func piecesMemory(chunks []*chunkPieces) (n int) {
	for _, c := range chunks {
		n += 8 + c.memory()
	}
	return n
}
