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

// Two headers, a map slot at the load that maps have, and the number.
const internOverhead = 56

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
