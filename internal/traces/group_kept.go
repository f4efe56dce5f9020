package traces

import (
	"slices"
	"unsafe"
)

// keptColumns are the columns of the spine of a row group, decoded and checked. What has not been asked for is nil.
// They are immutable.
type keptColumns struct {
	first        []int    // as those of group
	starts, ends []uint64 // of traces
	class        *narrow
	depths       *narrow
	loose        []int64 // of the tree: known where depths are
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
	if !g.learned {
		return
	}
	g.learned = false
	k := *g.known()
	size := 1<<10 + 3*8*len(g.first) + len(g.class) + len(g.depths) + 8*len(g.loose)
	g.store.keep(g.i, size, func() *keptColumns {
		if k.first == nil {
			k.first, k.starts, k.ends = slices.Clone(g.first), slices.Clone(g.starts), slices.Clone(g.ends)
		}
		if k.class == nil && g.class != nil {
			k.class = narrowed(g.class)
		}
		if k.depths == nil && g.depths != nil {
			k.depths, k.loose = narrowed(g.depths), slices.Clone(g.loose)
		}
		return &k
	})
}

// memory is what the columns hold, in bytes.
func (k *keptColumns) memory() int {
	return 1<<10 + 8*(len(k.first)+len(k.starts)+len(k.ends)+len(k.loose)) + k.class.memory() + k.depths.memory()
}

// narrow is a column of numbers in as many bytes each as the greatest needs: classes and depths are mostly below 256.
type narrow struct {
	bytes []uint8
	words []uint16
	all   []uint32
}

// narrowed returns a copy of list.
func narrowed(list []uint32) *narrow {
	most := uint32(0)
	for _, x := range list {
		most = max(most, x)
	}
	switch {
	case most < 1<<8:
		return &narrow{bytes: convert(make([]uint8, len(list)), list)}
	case most < 1<<16:
		return &narrow{words: convert(make([]uint16, len(list)), list)}
	}
	return &narrow{all: convert(make([]uint32, len(list)), list)}
}

// widen sets dst, which is as long as the column, to its numbers.
func (n *narrow) widen(dst []uint32) []uint32 {
	switch {
	case n.bytes != nil:
		return convert(dst, n.bytes)
	case n.words != nil:
		return convert(dst, n.words)
	}
	return convert(dst, n.all)
}

func (n *narrow) memory() int {
	if n == nil {
		return 0
	}
	return int(unsafe.Sizeof(*n)) + len(n.bytes) + 2*len(n.words) + 4*len(n.all)
}

// convert sets dst to src, which is as long.
func convert[D, S uint8 | uint16 | uint32](dst []D, src []S) []D {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = D(src[i])
	}
	return dst
}
