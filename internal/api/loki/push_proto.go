package loki

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// The messages of the push protocol (github.com/grafana/loki/pkg/push, push.proto), read straight
// from the wire: the generated code copies every line and makes a time.Time of each timestamp.
//
//	PushRequest  1 streams (Stream)
//	Stream       1 labels  2 entries (Entry)  3 hash
//	Entry        1 timestamp (1 seconds, 2 nanos)  2 line  3 structured metadata (1 name, 2 value)

var (
	errTruncated = errors.New("unexpected end of message")
	errVarint    = errors.New("integer is longer than 64 bits")
	errWireType  = errors.New("unknown wire type")
)

// message walks the fields of a protobuf message.
type message struct {
	buf  []byte
	num  uint64
	wire byte
	data []byte // of a length-delimited field
	n    uint64 // of the others
	err  error
}

// next reads a field. It reports false at the end and at a fault, which is in err.
func (m *message) next() bool {
	if m.err != nil || len(m.buf) == 0 {
		return false
	}
	tag := m.uvarint()
	if m.err != nil {
		return false
	}
	m.num, m.wire = tag>>3, byte(tag&7)
	if m.num == 0 {
		m.err = errors.New("field number 0")
		return false
	}
	switch m.wire {
	case 0:
		m.n = m.uvarint()
	case 1:
		m.fixed(8)
	case 2:
		size := m.uvarint()
		if m.err == nil && size > uint64(len(m.buf)) {
			m.err = errTruncated
		}
		if m.err == nil {
			m.data, m.buf = m.buf[:size], m.buf[size:]
		}
	case 5:
		m.fixed(4)
	default:
		m.err = fmt.Errorf("%w %d", errWireType, m.wire)
	}
	return m.err == nil
}

func (m *message) uvarint() uint64 {
	v, n := binary.Uvarint(m.buf)
	switch {
	case n == 0:
		m.err = errTruncated
	case n < 0:
		m.err = errVarint
	default:
		m.buf = m.buf[n:]
	}
	return v
}

func (m *message) fixed(n int) {
	if len(m.buf) < n {
		m.err = errTruncated
		return
	}
	m.buf = m.buf[n:]
}

// bytes reports whether the field is number num with a text or message in it.
func (m *message) bytes(num uint64) bool { return m.num == num && m.wire == 2 }

func protoError(where string, err error) error {
	var classed *fault.Error
	if errors.As(err, &classed) {
		return err
	}
	return fault.Invalidf("decode push request: %s: %w", where, err)
}

// proto decodes a PushRequest.
func (d *pushDecoder) proto(data []byte) error {
	m := message{buf: data}
	for m.next() {
		if !m.bytes(1) {
			continue
		}
		d.streams++
		if err := d.protoStream(m.data); err != nil {
			return protoError(fmt.Sprintf("stream %d", d.streams-1), err)
		}
	}
	if m.err != nil {
		return protoError("request", m.err)
	}
	return nil
}

func (d *pushDecoder) protoStream(data []byte) error {
	if err := d.count(); err != nil {
		return err
	}
	m := message{buf: data}
	var name []byte
	from := len(d.entries)
	n := 0
	for m.next() {
		switch {
		case m.bytes(1):
			name = m.data
		case m.bytes(2):
			if err := d.protoEntry(m.data); err != nil {
				return fmt.Errorf("entry %d: %w", n, err)
			}
			n++
		}
	}
	if m.err != nil {
		return m.err
	}
	ls, err := d.cache.get(name)
	if err != nil {
		d.badLabels(string(name), err, from)
		return nil
	}
	d.addStream(ls, from)
	return nil
}

func (d *pushDecoder) protoEntry(data []byte) error {
	if err := d.count(); err != nil {
		return err
	}
	m := message{buf: data}
	var e logs.Entry
	from := len(d.metadata)
	var seconds, nanos int64
	for m.next() {
		switch {
		case m.bytes(1):
			ts := message{buf: m.data}
			for ts.next() {
				switch {
				case ts.num == 1 && ts.wire == 0:
					seconds = int64(ts.n)
				case ts.num == 2 && ts.wire == 0:
					nanos = int64(int32(ts.n))
				}
			}
			if ts.err != nil {
				return fmt.Errorf("timestamp: %w", ts.err)
			}
		case m.bytes(2):
			e.Line = view(m.data)
		case m.bytes(3):
			if err := d.protoLabel(m.data); err != nil {
				return err
			}
		}
	}
	if m.err != nil {
		return m.err
	}
	ts, ok := nanoseconds(seconds, nanos)
	if !ok {
		d.reject(reasonBadTimestamp, fmt.Sprintf("timestamp of %d s and %d ns is not a time between the years 1678 and 2261", seconds, nanos), 1)
		d.metadata = d.metadata[:from]
		return nil
	}
	e.Timestamp = ts
	e.Metadata = d.metadata[from:len(d.metadata):len(d.metadata)]
	d.entries = append(d.entries, e)
	return nil
}

func nanoseconds(seconds, nanos int64) (int64, bool) {
	const most = math.MaxInt64/1_000_000_000 - 1
	if seconds > most || seconds < -most || nanos < 0 || nanos >= 1e9 {
		return 0, false
	}
	return seconds*1e9 + nanos, true
}

func (d *pushDecoder) protoLabel(data []byte) error {
	if err := d.count(); err != nil {
		return err
	}
	m := message{buf: data}
	var l logs.Label
	for m.next() {
		switch {
		case m.bytes(1):
			l.Name = view(m.data)
		case m.bytes(2):
			l.Value = view(m.data)
		}
	}
	if m.err != nil {
		return fmt.Errorf("structured metadata: %w", m.err)
	}
	d.metadata = append(d.metadata, l)
	return nil
}
