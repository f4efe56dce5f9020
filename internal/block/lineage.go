package block

import "github.com/oklog/ulid/v2"

// Current returns the blocks that readers should read, in their order: without those whose rows are in
// another one, which was made of them. Both are there from the moment a compaction is done until its
// inputs are deleted, which takes a while so that queries under way can end.
//
// Only a block of a higher level replaces another, so no damaged meta file can make two blocks replace
// each other.
func Current(metas []Meta) []Meta {
	replaced := Replaced(metas)
	if len(replaced) == 0 {
		return metas
	}
	out := make([]Meta, 0, len(metas))
	for _, m := range metas {
		if _, ok := replaced[m.ULID]; !ok {
			out = append(out, m)
		}
	}
	return out
}

// Replaced returns the blocks whose rows are in another one, each with a block that replaces it.
func Replaced(metas []Meta) map[ulid.ULID]*Meta {
	var levels map[ulid.ULID]int
	var out map[ulid.ULID]*Meta
	for i := range metas {
		for _, source := range metas[i].Sources {
			if levels == nil {
				levels, out = levelsOf(metas), map[ulid.ULID]*Meta{}
			}
			if level, ok := levels[source]; ok && metas[i].Level > level {
				out[source] = &metas[i]
			}
		}
	}
	return out
}

func levelsOf(metas []Meta) map[ulid.ULID]int {
	levels := make(map[ulid.ULID]int, len(metas))
	for i := range metas {
		levels[metas[i].ULID] = metas[i].Level
	}
	return levels
}
