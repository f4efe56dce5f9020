package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// postings leads from label names and values to streams. It stays as it is stored; a list is decoded when
// a matcher needs it.
//
//	uvarint names; for each, ascending: uvarint name, uvarint values, uvarint bytes of lists
//	for each name again:
//	  index  for every 32nd value from the first on: value and where its list begins, 4 bytes each
//	  lists  for each value, ascending: uvarint value, uvarint bytes, streams
//
// Names and values are symbols; streams are the number of the first, then differences, as uvarints.
type postings struct {
	symbols *streamIndex
	names   []postingName
}

// postingName is the values of a name and their streams.
type postingName struct {
	name   uint32
	values int
	index  []byte
	lists  []byte
}

const (
	postingGroup    = 32
	postingIndexLen = 8
)

// appendPostings encodes what leads to streams by label. numbers are those of the symbols.
func appendPostings(dst []byte, streams []labels.Labels, numbers map[string]uint32) []byte {
	type list struct {
		last  uint32
		bytes []byte
	}
	names := make(map[uint32]map[uint32]*list)
	for i, ls := range streams {
		ls.Range(func(l labels.Label) {
			values := names[numbers[l.Name]]
			if values == nil {
				values = make(map[uint32]*list)
				names[numbers[l.Name]] = values
			}
			v := values[numbers[l.Value]]
			if v == nil {
				v = new(list)
				values[numbers[l.Value]] = v
			}
			v.bytes = binary.AppendUvarint(v.bytes, uint64(uint32(i)-v.last))
			v.last = uint32(i)
		})
	}
	var body []byte
	dst = binary.AppendUvarint(dst, uint64(len(names)))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		var index, lists []byte
		for i, value := range slices.Sorted(maps.Keys(names[name])) {
			if i%postingGroup == 0 {
				index = binary.LittleEndian.AppendUint32(index, value)
				index = binary.LittleEndian.AppendUint32(index, uint32(len(lists)))
			}
			lists = block.AppendPrefixed(binary.AppendUvarint(lists, uint64(value)), names[name][value].bytes)
		}
		dst = binary.AppendUvarint(dst, uint64(name))
		dst = binary.AppendUvarint(dst, uint64(len(names[name])))
		dst = binary.AppendUvarint(dst, uint64(len(lists)))
		body = append(append(body, index...), lists...)
	}
	return append(dst, body...)
}

// decodePostings reads the directory of the section. It keeps b. Who wants to find something joins it to the
// streams.
func decodePostings(b []byte) (*postings, error) {
	d := block.NewDecoder(b)
	p := &postings{names: make([]postingName, d.Count(maxCount, 3))}
	sizes := make([]int, len(p.names))
	for i := range p.names {
		n := &p.names[i]
		n.name, n.values = uint32(d.Count(maxCount, 0)), d.Count(maxCount, 0)
		sizes[i] = d.Count(block.MaxSectionLen, 0)
		if i > 0 && p.names[i-1].name >= n.name {
			d.Failf("label names are out of order")
		}
		if d.Err() != nil {
			break
		}
	}
	for i := range p.names {
		n := &p.names[i]
		n.index = d.Bytes((n.values + postingGroup - 1) / postingGroup * postingIndexLen)
		n.lists = d.Bytes(sizes[i])
	}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return p, nil
}

// join sets whose lists these are.
func (p *postings) join(streams *streamIndex) error {
	if n := len(p.names); n > 0 && int(p.names[n-1].name) >= len(streams.symbols) { // they ascend
		return fmt.Errorf("label name is symbol %d of %d", p.names[n-1].name, len(streams.symbols))
	}
	p.symbols, streams.lists = streams, p
	return nil
}

// name returns the values of a label name, or nil.
func (p *postings) name(name string) *postingName {
	symbol, ok := p.symbols.find(name)
	if !ok {
		return nil
	}
	i, ok := slices.BinarySearchFunc(p.names, symbol, func(n postingName, want uint32) int { return int(n.name) - int(want) })
	if !ok {
		return nil
	}
	return &p.names[i]
}

// strings returns the names of the labels of all streams, or the values of one, ascending.
func (p *postings) strings(name string) ([]string, error) {
	if name == "" {
		names := make([]string, len(p.names))
		for i := range p.names {
			names[i] = p.symbols.symbol(p.names[i].name)
		}
		return names, nil
	}
	n := p.name(name)
	if n == nil {
		return nil, nil
	}
	values := make([]string, 0, n.values)
	known := uint32(len(p.symbols.symbols))
	err := n.each(n.lists, func(value uint32, _ []byte) bool {
		if value < known {
			values = append(values, p.symbols.symbol(value))
		}
		return true
	})
	return values, err
}

var errPostings = errors.New("label values are out of order")

// each calls f for each value and its list, until it returns false.
func (n *postingName) each(lists []byte, f func(value uint32, streams []byte) bool) error {
	d := block.NewDecoder(lists)
	before := int64(-1)
	for d.Len() > 0 {
		value, streams := d.Uvarint(), d.Prefixed()
		if d.Err() != nil {
			break
		}
		if int64(value) <= before || value > maxCount {
			return errPostings
		}
		before = int64(value)
		if !f(uint32(value), streams) {
			return nil
		}
	}
	return d.Err()
}

// list returns the list of a value, nil if no stream has it.
func (n *postingName) list(value uint32) (streams []byte, err error) {
	groups := len(n.index) / postingIndexLen
	lo, hi := 0, groups // the last group that begins at or before value is the one before lo
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if binary.LittleEndian.Uint32(n.index[mid*postingIndexLen:]) <= value {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return nil, nil
	}
	from, to := n.offset(lo-1), len(n.lists)
	if lo < groups {
		to = n.offset(lo)
	}
	if from > to || to > len(n.lists) {
		return nil, fmt.Errorf("lists of label values at %d..%d of %d", from, to, len(n.lists))
	}
	err = n.each(n.lists[from:to], func(v uint32, list []byte) bool {
		if v == value {
			streams = list
		}
		return v < value
	})
	return streams, err
}

func (n *postingName) offset(group int) int {
	return int(binary.LittleEndian.Uint32(n.index[group*postingIndexLen+4:]))
}

// addStreams sets the streams of a list in b.
func addStreams(list []byte, b *block.Bitmap) error {
	d := block.NewDecoder(list)
	stream := uint64(0)
	for d.Len() > 0 {
		delta := d.Uvarint()
		if stream += delta; d.Err() != nil || delta > maxCount || stream >= uint64(b.Len()) {
			return fmt.Errorf("postings name stream %d of %d", stream, b.Len())
		}
		b.Set(int(stream))
	}
	return d.Err()
}

// find returns the streams, of so many, that match all of the matchers.
func (p *postings) find(set matcherSet, streams int) (*block.Bitmap, error) {
	found := block.NewBitmap(streams)
	found.SetAll()
	one := block.NewBitmap(streams)
	for _, m := range cheapestFirst(set) {
		if n := p.name(m.Name); searchCost(m) > 0 && n != nil && found.Count() < n.values/fewStreams {
			// Fast path: looking at the streams that are left is cheaper than trying all values.
			p.keep(found, n.name, m)
			continue
		}
		one.Reset(streams)
		if err := p.findOne(m, one); err != nil {
			return nil, err
		}
		found.And(one)
	}
	return found, nil
}

// cheapestFirst puts matchers that list their values first: they cost next to nothing and leave less for the others.
func cheapestFirst(set matcherSet) matcherSet {
	set = slices.Clone(set)
	slices.SortStableFunc(set, func(a, b *labels.Matcher) int { return searchCost(a) - searchCost(b) })
	return set
}

// fewStreams is how many values are tried in the time in which the value of one stream is found.
const fewStreams = 2

// searchCost is 0 for a matcher whose streams can be looked up, 1 for one that is tried on values.
func searchCost(m *labels.Matcher) int {
	if m.Type == labels.MatchEqual || m.Type == labels.MatchNotEqual || len(m.SetMatches()) > 0 {
		return 0
	}
	return 1
}

// keep takes the streams out of found that m doesn't match. Each value is tried once.
func (p *postings) keep(found *block.Bitmap, name uint32, m *labels.Matcher) {
	tried := map[uint32]bool{}
	absent := m.Matches("")
	gone := block.NewBitmap(found.Len())
	for i := found.Next(0); i >= 0; i = found.Next(i + 1) {
		matches := absent
		if value, ok := p.symbols.value(i, name); ok {
			if matches, ok = tried[value]; !ok {
				matches = m.Matches(p.symbols.symbol(value))
				tried[value] = matches
			}
		}
		if !matches {
			gone.Set(i)
		}
	}
	gone.Not()
	found.And(gone)
}

// findOne sets the streams that match m in the empty set out. A matcher that matches a missing label
// finds all streams but those with a value that doesn't match.
func (p *postings) findOne(m *labels.Matcher, out *block.Bitmap) error {
	absent := m.Matches("")
	if n := p.name(m.Name); n != nil {
		wanted := m
		if absent {
			var err error
			if wanted, err = m.Inverse(); err != nil {
				return err
			}
		}
		if err := p.union(n, wanted, out); err != nil {
			return err
		}
	}
	if absent {
		out.Not()
	}
	return nil
}

// union sets the streams with a value that m matches, which isn't "". Each value is tried once, however
// many streams have it; where m lists its values, they are looked up.
func (p *postings) union(n *postingName, m *labels.Matcher, out *block.Bitmap) error {
	if values, ok := listedValues(m); ok {
		for _, v := range values {
			symbol, ok := p.symbols.find(v)
			if !ok {
				continue
			}
			list, err := n.list(symbol)
			if err != nil {
				return err
			}
			if err := addStreams(list, out); err != nil {
				return err
			}
		}
		return nil
	}
	var failed error
	err := n.each(n.lists, func(value uint32, list []byte) bool {
		if value >= uint32(len(p.symbols.symbols)) {
			failed = fmt.Errorf("label value is symbol %d of %d", value, len(p.symbols.symbols))
		} else if m.Matches(p.symbols.symbol(value)) {
			failed = addStreams(list, out)
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}

// listedValues returns the only values that m can match, where it lists them: name="a", name=~"a|b".
func listedValues(m *labels.Matcher) (values []string, ok bool) {
	switch m.Type {
	case labels.MatchEqual:
		return []string{m.Value}, true
	case labels.MatchRegexp:
		values = m.SetMatches()
		return values, len(values) > 0
	}
	return nil, false
}

// check reads all lists.
func (p *postings) check(streams int) error {
	all := block.NewBitmap(streams)
	for i := range p.names {
		n := &p.names[i]
		count := 0
		var failed error
		err := n.each(n.lists, func(value uint32, list []byte) bool {
			count++
			if value >= uint32(len(p.symbols.symbols)) {
				failed = fmt.Errorf("label value is symbol %d of %d", value, len(p.symbols.symbols))
				return false
			}
			if failed = addStreams(list, all); failed != nil {
				return false
			}
			found, err := n.list(value)
			if err == nil && string(found) != string(list) {
				err = fmt.Errorf("label value %q is not where the index says", p.symbols.symbol(value))
			}
			failed = err
			return err == nil
		})
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		if count != n.values {
			return fmt.Errorf("%d values of label %q, want %d", count, p.symbols.symbol(n.name), n.values)
		}
	}
	return nil
}
