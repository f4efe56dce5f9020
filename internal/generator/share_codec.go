package generator

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/hune-io/hune/internal/tenant"
)

// sideMessage is a side of a request on its way to the generator that has its trace. It is written as
//
//	length uvarint of the rest │ flags │ trace 16 bytes │ span 8 bytes │ tenant, service, peer │ at u64 │ seconds, times float64 │ dimensions
//
// where a text is its length as uvarint and its bytes, dimensions are their number and texts, and all else is little-endian. What
// follows in a message of a later version is read over.
type sideMessage struct {
	tenant string
	key    edgeKey
	client bool
	side   side // that side alone
}

const (
	sideClient = 1 << iota
	sideFailed
	sideMessaging
	sideFiltered
	sideDimensions
)

// place is where the values of its dimensions stand.
func (m *sideMessage) place() int { return placeOf(m.client) }

// appendTo appends m to a message.
func (m *sideMessage) appendTo(dst []byte) []byte {
	s := &m.side
	service, seconds, at := s.server, s.serverTime, s.serverAt
	if m.client {
		service, seconds, at = s.client, s.clientTime, s.clientAt
	}
	var flags byte
	for _, f := range []struct {
		on   bool
		flag byte
	}{{m.client, sideClient}, {s.failed, sideFailed}, {s.messaging, sideMessaging}, {s.filtered, sideFiltered}, {s.dimensions != nil, sideDimensions}} {
		if f.on {
			flags |= f.flag
		}
	}
	var buf [256]byte
	b := append(buf[:0], flags)
	b = append(append(b, m.key.trace[:]...), m.key.span[:]...)
	b = appendText(appendText(appendText(b, m.tenant), service), s.peer)
	b = binary.LittleEndian.AppendUint64(b, at)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(seconds))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(s.times))
	if s.dimensions != nil {
		values := s.dimensions[m.place()]
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, v := range values {
			b = appendText(b, v)
		}
	}
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

var errSides = errors.New("sides of requests are damaged")

// countSides returns how many sides a message has.
func countSides(data []byte) (n int, err error) {
	d := sideDecoder{rest: data}
	for len(d.rest) > 0 {
		var m sideMessage
		if !d.next(&m) {
			return n, errSides
		}
		n++
	}
	return n, nil
}

// sideDecoder reads a message side by side.
type sideDecoder struct {
	rest []byte
	bad  bool
}

// next reads a side; false: the message is damaged. What m holds points into nothing of it.
func (d *sideDecoder) next(m *sideMessage) bool {
	one := sideDecoder{rest: d.bytes(d.uvarint())}
	if d.bad {
		return false
	}
	flags := one.byte()
	m.client = flags&sideClient != 0
	copy(m.key.trace[:], one.bytes(uint64(len(m.key.trace))))
	copy(m.key.span[:], one.bytes(uint64(len(m.key.span))))
	m.tenant = one.text()
	s := &m.side
	s.failed, s.messaging, s.filtered = flags&sideFailed != 0, flags&sideMessaging != 0, flags&sideFiltered != 0
	service := one.text()
	s.peer = one.text()
	at, seconds := one.uint64(), math.Float64frombits(one.uint64())
	s.times = math.Float64frombits(one.uint64())
	if m.client {
		s.client, s.clientAt, s.clientTime = service, at, seconds
	} else {
		s.server, s.serverAt, s.serverTime = service, at, seconds
	}
	if flags&sideDimensions != 0 {
		n := one.uvarint()
		if n > uint64(len(one.rest)) {
			return false
		}
		values := make([]string, n)
		for i := range values {
			values[i] = one.text()
		}
		s.dimensions = new([2][]string)
		s.dimensions[m.place()] = values
	}
	return !one.bad && service != "" && tenant.Validate(m.tenant) == nil && seconds >= 0 && s.times >= 0 && !math.IsInf(seconds, 0) && !math.IsInf(s.times, 0)
}

func (d *sideDecoder) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *sideDecoder) byte() byte {
	if b := d.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *sideDecoder) uint64() uint64 {
	if b := d.bytes(8); len(b) == 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *sideDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *sideDecoder) text() string {
	return string(d.bytes(d.uvarint()))
}
