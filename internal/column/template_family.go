package column

import (
	"cmp"
	"slices"
	"strings"
)

// Slots of several templates that hold the same thing become one column, in the order of the rows: the
// values of a JSON key, or a timestamp that all lines begin with. It pays only where the values are of one
// kind: a message that is constant in each of its templates would stop being so.

const (
	headSlots    = 8    // slots of generic lines that may be shared, from the first on
	sampleRows   = 3000 // rows whose values are compared, from the middle of the page
	sampleFew    = 4    // members with fewer rows there are sampled from their beginning
	sampleAtMost = 64   // rows, then
)

// member is a slot of a template.
type member struct{ template, slot int }

// family is the slots that may share a column, of each template one at most, by ascending template.
type family struct{ members []member }

// findFamilies returns what may be shared, in order of appearance.
func (b *textBuilder) findFamilies() []*family {
	byKey := map[string]*family{}
	var order []*family
	add := func(key string, m member) {
		f := byKey[key]
		if f == nil {
			f = &family{}
			byKey[key] = f
			order = append(order, f)
		}
		if n := len(f.members); n == 0 || f.members[n-1].template != m.template {
			f.members = append(f.members, m)
		}
	}
	for k := 1; k < len(b.templates); k++ {
		t := &b.templates[k]
		for i := range t.Fields {
			if s := t.Fields[i].Slot; s >= 0 {
				add(fieldKey(t.Mode, &t.Fields[i]), member{k, s})
			}
		}
		if t.Mode == Generic && b.grain == lineGrain {
			head := "G"
			for s := range min(len(t.Slots), headSlots) {
				head += t.Pieces[s] + string(rune(placeholder))
				add(head, member{k, s})
			}
		}
	}
	return slices.DeleteFunc(order, func(f *family) bool { return len(f.members) < 2 })
}

func fieldKey(m Mode, f *Field) string {
	key := string(rune(modeLetters[m])) + strings.Join(f.Path, "\x00")
	if f.Quoted && m == JSON {
		key += "\x00"
	}
	return key
}

// sample is what is known of the values of a member.
type sample struct {
	hashes []uint64 // distinct
	first  []byte
}

func (s *sample) constant() bool { return len(s.hashes) == 1 }

// window returns which rows of each template are among those whose values are compared.
func (b *textBuilder) window() (from, to []int) {
	from, to = make([]int, len(b.templates)), make([]int, len(b.templates))
	n := len(b.rows)
	lo := max(0, n-sampleRows) / 2
	for _, k := range b.ids[:lo] {
		from[k]++
	}
	copy(to, from)
	for _, k := range b.ids[lo:min(n, lo+sampleRows)] {
		to[k]++
	}
	for k := range to {
		if to[k]-from[k] < sampleFew {
			from[k], to[k] = 0, min(b.templates[k].Rows, sampleAtMost)
		}
	}
	return from, to
}

// sample hashes the values of a member into set.
func (b *textBuilder) sample(m member, set *hashSet) sample {
	values := b.slots[m.template][m.slot]
	s := sample{first: b.e.bytes(values[0])}
	values = values[b.from[m.template]:b.to[m.template]]
	set.reset(len(values))
	for _, v := range values {
		if h := hashBytes(b.e.bytes(v)); set.add(h) {
			s.hashes = append(s.hashes, h)
		}
	}
	return s
}

// prune keeps the members whose values are of the same kind as those of the largest: both are times, or
// a fifth of the sampled values is the same, and neither is constant unless both are, with one value.
func (b *textBuilder) prune(f *family) {
	rows := func(m member) int { return b.templates[m.template].Rows }
	largest := slices.MaxFunc(f.members, func(x, y member) int { return cmp.Compare(rows(x), rows(y)) })
	all, own := &b.e.seen, &b.e.seenToo
	big := b.sample(largest, all)
	f.members = slices.DeleteFunc(f.members, func(m member) bool {
		if m == largest {
			return false
		}
		s := b.sample(m, own)
		common := 0
		for _, h := range s.hashes {
			if all.has(h) {
				common++
			}
		}
		switch {
		case looksLikeTime(s.first) && looksLikeTime(big.first) && len(s.first) == len(big.first):
			return false
		case s.constant() || big.constant():
			return !(s.constant() && big.constant() && common == 1)
		}
		return common*5 < min(len(s.hashes), len(big.hashes))
	})
}

func looksLikeTime(b []byte) bool {
	return len(b) >= timeLen && (b[2] == ':' || looksLikeDateTime(b))
}

// numbered is a value and its row.
type numbered struct {
	row   uint32
	value extent
}

// mergeMembers returns the values of the members in the order of the rows, and the rows. Where these are
// few of all rows, they are sorted: a page may have very many small families.
func (b *textBuilder) mergeMembers(f *family) ([]extent, []uint32) {
	n := 0
	for _, m := range f.members {
		n += b.templates[m.template].Rows
	}
	b.values, b.valueRows = resize(b.values, n)[:0], resize(b.valueRows, n)[:0]
	if n*16 < len(b.ids) {
		b.numbered = b.numbered[:0]
		for _, m := range f.members {
			for j, row := range b.rowsOf[m.template] {
				b.numbered = append(b.numbered, numbered{row, b.slots[m.template][m.slot][j]})
			}
		}
		slices.SortFunc(b.numbered, func(x, y numbered) int { return cmp.Compare(x.row, y.row) })
		for _, v := range b.numbered {
			b.values, b.valueRows = append(b.values, v.value), append(b.valueRows, v.row)
		}
		return b.values, b.valueRows
	}
	b.left = resize(b.left, len(b.templates))
	clear(b.left)
	for _, m := range f.members {
		b.left[m.template] = b.slots[m.template][m.slot]
	}
	for row, k := range b.ids {
		if l := b.left[k]; len(l) > 0 {
			b.values, b.valueRows = append(b.values, l[0]), append(b.valueRows, uint32(row))
			b.left[k] = l[1:]
		}
	}
	return b.values, b.valueRows
}
