package metrics

import (
	"cmp"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

// current returns the blocks that no other one holds the data of: whose sources are not all among
// those of a block of the same resolution. Of two blocks made of the same sources the one of the higher level
// counts, then the newer one.
func current(metas []*metadata.Meta) []*metadata.Meta {
	return slices.DeleteFunc(slices.Clone(metas), func(m *metadata.Meta) bool { return replacement(m, metas) != nil })
}

// replacement returns the block that holds the data of m, nil if there is none.
func replacement(m *metadata.Meta, metas []*metadata.Meta) *metadata.Meta {
	for _, other := range metas {
		if replaces(other, m) {
			return other
		}
	}
	return nil
}

func replaces(by, m *metadata.Meta) bool {
	if by.ULID == m.ULID || by.Thanos.Downsample.Resolution != m.Thanos.Downsample.Resolution ||
		by.MinTime > m.MinTime || by.MaxTime < m.MaxTime || len(m.Compaction.Sources) == 0 ||
		!containsAll(by.Compaction.Sources, m.Compaction.Sources) {
		return false
	}
	if len(by.Compaction.Sources) > len(m.Compaction.Sources) {
		return true
	}
	return cmp.Or(cmp.Compare(by.Compaction.Level, m.Compaction.Level), by.ULID.Compare(m.ULID)) > 0
}

func containsAll(in, all []ulid.ULID) bool {
	if len(all) > len(in) {
		return false
	}
	set := make(map[ulid.ULID]bool, len(in))
	for _, id := range in {
		set[id] = true
	}
	return !slices.ContainsFunc(all, func(id ulid.ULID) bool { return !set[id] })
}

// chooseResolution returns the blocks to read for [start, end]: the coarsest resolution of at most
// maxResolution milliseconds, and where it has nothing the next finer one. Time that is left then, because
// finer data are past their retention, is filled from coarser blocks, the finest first.
func chooseResolution(metas []*metadata.Meta, start, end, maxResolution int64) []*metadata.Meta {
	groups := map[int64][]*metadata.Meta{}
	for _, m := range metas {
		if overlaps(&m.BlockMeta, start, end) {
			r := m.Thanos.Downsample.Resolution
			groups[r] = append(groups[r], m)
		}
	}
	if len(groups) == 0 {
		return nil
	}
	var out []*metadata.Meta
	free := []interval{{start, end}}
	for _, r := range resolutionOrder(groups, maxResolution) {
		var used []interval
		for _, m := range groups[r] {
			if touches(&m.BlockMeta, free) {
				out = append(out, m)
				used = append(used, interval{m.MinTime, m.MaxTime - 1})
			}
		}
		// Blocks of one resolution may overlap: they take their time away only together.
		for _, u := range used {
			free = without(free, u)
		}
	}
	return out
}

func resolutionOrder(groups map[int64][]*metadata.Meta, most int64) []int64 {
	var fine, coarse []int64
	for r := range groups {
		if r <= most {
			fine = append(fine, r)
		} else {
			coarse = append(coarse, r)
		}
	}
	slices.SortFunc(fine, func(a, b int64) int { return cmp.Compare(b, a) })
	slices.Sort(coarse)
	return append(fine, coarse...)
}

// interval is a range of time in milliseconds, both ends inclusive.
type interval struct{ from, to int64 }

func touches(m *tsdb.BlockMeta, free []interval) bool {
	return slices.ContainsFunc(free, func(i interval) bool { return overlaps(m, i.from, i.to) })
}

// without cuts an interval out of others.
func without(list []interval, cut interval) []interval {
	var out []interval
	for _, i := range list {
		if cut.to < i.from || cut.from > i.to {
			out = append(out, i)
			continue
		}
		if i.from < cut.from {
			out = append(out, interval{i.from, cut.from - 1})
		}
		if i.to > cut.to {
			out = append(out, interval{cut.to + 1, i.to})
		}
	}
	return out
}
