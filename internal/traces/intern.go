package traces

import "strings"

// interner numbers the distinct strings of a head. Most text of spans repeats: a span record then
// holds one or two bytes where the text stood.
type interner struct {
	ids   map[string]uint32
	text  []string // by ID; only appended to, so that a reader may keep a shorter view of it
	bytes int64    // estimate of the memory held

	// tags are the keys of searchable attributes by where they stood: tags[place][id].
	tags [tagPlaces][]bool

	// What text is likely to be: most comes as it came last time, and comparing is cheaper than looking it up.
	after [tagPlaces][]uint32 // 1 + the key that followed last time, by 1 + the key before; 0: none
	value []uint32            // 1 + the value that it had last time, by key
	name  uint32              // 1 + the last name of a span
}

// guess returns the number of s, which likely is what *last says.
func (in *interner) guess(last *uint32, s string) uint32 {
	if n := *last; n > 0 && in.text[n-1] == s {
		return n - 1
	}
	id := in.id(s)
	*last = id + 1
	return id
}

// key returns the number of the key that stands after the key before, 1 + its number, 0 for the first.
func (in *interner) key(place int, before uint32, s string) uint32 {
	after := in.after[place]
	if int(before) < len(after) {
		if n := after[before]; n > 0 && in.text[n-1] == s {
			return n - 1
		}
	}
	id := in.id(s)
	in.noteTag(place, id)
	for int(before) >= len(after) {
		after = append(after, 0)
	}
	after[before] = id + 1
	in.after[place] = after
	return id
}

// valueOf returns the number of the text that a key has.
func (in *interner) valueOf(key uint32, s string) uint32 {
	for int(key) >= len(in.value) {
		in.value = append(in.value, 0)
	}
	return in.guess(&in.value[key], s)
}

// The places whose attributes go through appendAttributes.
const (
	onSpan = iota
	onEvent
	onLink
	tagPlaces
)

var placeScopes = [tagPlaces]TagScope{ScopeSpan, ScopeEvent, ScopeLink}

// noteTag remembers that the key with that ID was seen.
func (in *interner) noteTag(place int, id uint32) {
	seen := in.tags[place]
	for int(id) >= len(seen) {
		seen = append(seen, false)
	}
	seen[id] = true
	in.tags[place] = seen
}

// Two headers, a map slot at the load that maps have, the number, and what may be guessed of it.
const internOverhead = 64

// renewed returns an empty interner, which takes over the memory of the table; readers of the old one have its
// text. The old one must not be used any more.
func (in *interner) renewed() *interner {
	ids := in.ids
	in.ids = nil
	clear(ids)
	return &interner{ids: ids}
}

func newInterner() *interner { return &interner{ids: make(map[string]uint32)} }

// id returns the number of s. s may be a view of memory that changes later.
func (in *interner) id(s string) uint32 {
	if id, ok := in.ids[s]; ok {
		return id
	}
	s = strings.Clone(s)
	id := uint32(len(in.text))
	in.ids[s] = id
	in.text = append(in.text, s)
	in.bytes += int64(len(s)) + internOverhead
	return id
}

// keep returns a string that equals s and may be kept.
func (in *interner) keep(s string) string { return in.text[in.id(s)] }
