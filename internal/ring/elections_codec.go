package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// electionsCodec writes elections as
//
//	version 1 │ count uvarint │ each: tenant, name, chosen │ term uvarint │ since, heard varint
//
// in order of tenant and name, where a text is its length as uvarint and its bytes.
type electionsCodec struct{}

const (
	electionsVersion = 1
	// leastElection is the fewest bytes that one is written with: a count that doesn't fit the rest is damage.
	leastElection = 6
)

var errElections = errors.New("elections are damaged")

// CodecID implements codec.Codec.
func (electionsCodec) CodecID() string { return "huneElections" }

// Encode implements codec.Codec.
func (electionsCodec) Encode(v any) ([]byte, error) {
	e, ok := v.(*elections)
	if !ok {
		return nil, fmt.Errorf("elections are not %T", v)
	}
	groups := slices.SortedFunc(maps.Keys(e.of), func(a, b Group) int {
		if c := strings.Compare(a.Tenant, b.Tenant); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	out := binary.AppendUvarint([]byte{electionsVersion}, uint64(len(groups)))
	for _, g := range groups {
		election := e.of[g]
		for _, text := range []string{g.Tenant, g.Name, election.Chosen} {
			out = append(binary.AppendUvarint(out, uint64(len(text))), text...)
		}
		out = binary.AppendUvarint(out, election.Term)
		out = binary.AppendVarint(binary.AppendVarint(out, election.Since), election.Heard)
	}
	return out, nil
}

// Decode implements codec.Codec.
func (electionsCodec) Decode(data []byte) (any, error) {
	if len(data) == 0 || data[0] != electionsVersion {
		return nil, fmt.Errorf("%w: not of version %d", errElections, electionsVersion)
	}
	d := electionsDecoder{rest: data[1:]}
	n := d.uvarint()
	if n > uint64(len(d.rest)/leastElection) {
		return nil, fmt.Errorf("%w: %d of them in %d bytes", errElections, n, len(d.rest))
	}
	out := &elections{of: make(map[Group]Election, n)}
	for range n {
		g := Group{d.text(), d.text()}
		out.of[g] = Election{Chosen: d.text(), Term: d.uvarint(), Since: d.varint(), Heard: d.varint()}
	}
	if d.bad || len(d.rest) > 0 || uint64(len(out.of)) != n {
		return nil, fmt.Errorf("%w: %d bytes", errElections, len(data))
	}
	return out, nil
}

// electionsDecoder notes damage, and goes on with zeros.
type electionsDecoder struct {
	rest []byte
	bad  bool
}

func (d *electionsDecoder) skip(n int) {
	if n <= 0 {
		d.bad, d.rest = true, nil
		return
	}
	d.rest = d.rest[n:]
}

func (d *electionsDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.skip(n)
	return v
}

func (d *electionsDecoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	d.skip(n)
	return v
}

func (d *electionsDecoder) text() string {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return ""
	}
	text := string(d.rest[:n])
	d.rest = d.rest[n:]
	return text
}
