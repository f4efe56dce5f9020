package logs

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// Summary says of a block, without opening it, which labels and levels its rows can have. It is small
// enough to be kept with the list of all blocks (block.Meta), and is read as it stands: asking it costs
// about a microsecond and no memory.
//
// The zero Summary knows nothing and never rules a block out.
type Summary struct {
	known    bool
	complete bool // all label names are in names
	streams  uint64
	levels   levelCounts
	traceIDs block.IDFilter
	names    []byte // encoded
}

// The encoded form:
//
//	4 bytes  crc32c of what follows
//	byte     version, 1
//	uvarint  streams
//	8 × uvarint  rows by level
//	filter of trace IDs, see block.IDFilter
//	byte     1 if all label names follow, 0 if there are more
//	to the end, for each label name, ascending:
//	  string name
//	  string what is known of its values:
//	    byte  1 if streams without the label exist, else 0
//	    byte  form
//	    form 0: string value, ascending, to the end
//	    form 1: block.SmallFilter of the values
//	    form 2: nothing, the values are too many
const (
	summaryVersion = 1

	valuesListed   = 0
	valuesFiltered = 1
	valuesUnknown  = 2
)

// What a summary spends on one label name, and on all of them.
const (
	maxListedValues   = 64
	maxListedBytes    = 2 << 10
	maxFilteredValues = 8 << 10
	maxSummaryNames   = 256
	maxSummaryBytes   = 32 << 10
)

var summaryCRC = crc32.MakeTable(crc32.Castagnoli)

// appendSummary encodes the summary of a block with these streams, which are distinct.
func appendSummary(dst []byte, streams []labels.Labels, levels levelCounts, traceIDs block.IDFilter) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, summaryVersion)
	dst = binary.AppendUvarint(dst, uint64(len(streams)))
	for _, n := range levels {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = traceIDs.AppendTo(dst)
	dst = appendSummaryNames(dst, start+maxSummaryBytes, streams)
	binary.LittleEndian.PutUint32(dst[start:], crc32.Checksum(dst[start+4:], summaryCRC))
	return dst
}

// labelValues are the values of one label name.
type labelValues struct {
	name    string
	values  map[string]struct{} // no more than can be used
	streams int
}

func appendSummaryNames(dst []byte, limit int, streams []labels.Labels) []byte {
	byName := map[string]*labelValues{}
	for _, ls := range streams {
		ls.Range(func(l labels.Label) {
			v := byName[l.Name]
			if v == nil {
				v = &labelValues{name: l.Name, values: map[string]struct{}{}}
				byName[l.Name] = v
			}
			v.streams++
			if len(v.values) <= maxFilteredValues {
				v.values[l.Value] = struct{}{}
			}
		})
	}
	// Names of few values first: they say most for their size.
	list := make([]*labelValues, 0, len(byName))
	for _, v := range byName {
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b *labelValues) int {
		return cmp.Or(cmp.Compare(len(a.values), len(b.values)), cmp.Compare(a.name, b.name))
	})
	complete := byte(1)
	encoded := map[string][]byte{}
	size := len(dst)
	for _, v := range list {
		e := v.append(nil, len(streams), limit-size)
		if size += len(v.name) + len(e) + 8; len(encoded) == maxSummaryNames || size > limit {
			complete = 0
			break
		}
		encoded[v.name] = e
	}
	dst = append(dst, complete)
	slices.SortFunc(list, func(a, b *labelValues) int { return cmp.Compare(a.name, b.name) })
	for _, v := range list {
		if e := encoded[v.name]; e != nil {
			dst = block.AppendPrefixed(block.AppendPrefixed(dst, v.name), e)
		}
	}
	return dst
}

// append appends what is known of the values, in about room bytes at most.
func (v *labelValues) append(dst []byte, streams, room int) []byte {
	absent := byte(0)
	if v.streams < streams {
		absent = 1
	}
	dst = append(dst, absent)
	values := make([]string, 0, len(v.values))
	size := 0
	for value := range v.values {
		values = append(values, value)
		size += len(value) + 2
	}
	switch {
	case len(values) <= maxListedValues && size <= min(maxListedBytes, room):
		slices.Sort(values)
		dst = append(dst, valuesListed)
		for _, value := range values {
			dst = block.AppendPrefixed(dst, value)
		}
	case len(values) <= maxFilteredValues && 2*len(values) <= room:
		dst = append(append(dst, valuesFiltered), block.NewSmallFilter(values)...)
	default:
		dst = append(dst, valuesUnknown)
	}
	return dst
}

var errSummary = errors.New("checksum mismatch")

// ParseSummary reads what a block's Meta has. It keeps b.
func ParseSummary(b []byte) (Summary, error) {
	if len(b) < 5 || binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], summaryCRC) {
		return Summary{}, fmt.Errorf("read summary of a logs block: %w", errSummary)
	}
	return parseSummaryBody(b[4:])
}

func parseSummaryBody(b []byte) (Summary, error) {
	d := block.NewDecoder(b)
	if v := d.Byte(); v != summaryVersion {
		return Summary{}, fmt.Errorf("read summary of a logs block: %w: %d", block.ErrVersion, v)
	}
	s := Summary{known: true, streams: d.Uvarint()}
	for i := range s.levels {
		s.levels[i] = d.Uvarint()
	}
	s.traceIDs = d.IDFilter()
	s.complete = d.Byte() == 1
	s.names = d.Bytes(d.Len())
	if err := d.Err(); err != nil {
		return Summary{}, fmt.Errorf("read summary of a logs block: %w", err)
	}
	return s, nil
}

// Streams returns how many streams the block has.
func (s *Summary) Streams() int64 { return int64(s.streams) }

// MayMatch reports whether a stream of the block may match all of the matchers. False is certain.
func (s *Summary) MayMatch(ms ...*labels.Matcher) bool {
	for _, m := range ms {
		if s.known && !s.mayMatch(m) {
			return false
		}
	}
	return true
}

func (s *Summary) mayMatch(m *labels.Matcher) bool {
	d := block.NewDecoder(s.names)
	for d.Len() > 0 {
		name, values := view(d.Prefixed()), d.Prefixed()
		if d.Err() != nil {
			return true // not what was written: it doesn't decide
		}
		if name == m.Name {
			return mayMatchValues(values, m)
		}
	}
	return !s.complete || m.Matches("")
}

// mayMatchValues reports whether m may match one of the values of a label.
func mayMatchValues(values []byte, m *labels.Matcher) bool {
	d := block.NewDecoder(values)
	if absent := d.Byte(); absent != 0 && m.Matches("") {
		return true
	}
	switch d.Byte() {
	case valuesListed:
		for d.Len() > 0 {
			if m.Matches(view(d.Prefixed())) {
				return true
			}
		}
		return d.Err() != nil
	case valuesFiltered:
		list, ok := listedValues(m)
		filter := block.SmallFilter(d.Bytes(d.Len()))
		return !ok || slices.ContainsFunc(list, filter.MayHold)
	}
	return true
}

// MayHaveLevel reports whether a row of the block may have a detected level that all of the matchers
// match. False is certain.
func (s *Summary) MayHaveLevel(ms ...*labels.Matcher) bool {
	return !s.known || len(ms) == 0 || s.levels.mayHave(ms)
}

// strings returns the names of labels, or with a name all of its values, ascending, where the summary has all of them.
// They are memory of the summary.
func (s *Summary) strings(name string) (out []string, ok bool) {
	if !s.known || name == "" && !s.complete {
		return nil, false
	}
	d := block.NewDecoder(s.names)
	for d.Len() > 0 {
		label, values := view(d.Prefixed()), d.Prefixed()
		switch {
		case d.Err() != nil:
			return nil, false
		case name == "":
			out = append(out, label)
		case name == label:
			return allValues(values)
		}
	}
	return out, s.complete
}

// allValues returns the values of a label if they are listed.
func allValues(values []byte) (out []string, ok bool) {
	d := block.NewDecoder(values)
	d.Byte() // whether streams lack the label
	if d.Byte() != valuesListed {
		return nil, false
	}
	for d.Len() > 0 {
		out = append(out, view(d.Prefixed()))
	}
	return out, d.Err() == nil
}
