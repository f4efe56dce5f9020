package traces

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// The protobuf wire format, read by hand: OTLP arrives at hundreds of thousands of spans a second,
// and generated code would build objects that are taken apart again at once. Nothing here allocates;
// every length is checked against what is left of its message.

// Wire types. The deprecated groups (3, 4) are malformed to us: OTLP never had any.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var (
	errTruncated = errors.New("message ends inside a field")
	errOverflow  = errors.New("varint is longer than 10 bytes")
	errFieldZero = errors.New("field number is zero or too large")
	errWireType  = errors.New("field has the wrong wire type")
)

// field is one field of a message: val holds numbers, data holds bytes, strings and messages.
type field struct {
	num  uint32
	typ  uint8
	val  uint64
	data string
}

// cursor reads the fields of one message. The first error sticks and ends the reading.
type cursor struct {
	s   string
	err error
}

// next reads one field and reports whether there was one.
func (c *cursor) next(f *field) bool {
	if c.err != nil || len(c.s) == 0 {
		return false
	}
	key := c.uvarint()
	num := key >> 3
	if c.err == nil && (num == 0 || num > 1<<29-1) {
		c.err = errFieldZero
	}
	if c.err != nil {
		return false
	}
	f.num, f.typ, f.data = uint32(num), uint8(key&7), ""
	switch f.typ {
	case wireVarint:
		f.val = c.uvarint()
	case wireFixed64:
		if len(c.s) < 8 {
			c.err = errTruncated
			return false
		}
		f.val, c.s = le64(c.s), c.s[8:]
	case wireFixed32:
		if len(c.s) < 4 {
			c.err = errTruncated
			return false
		}
		f.val, c.s = uint64(c.s[0])|uint64(c.s[1])<<8|uint64(c.s[2])<<16|uint64(c.s[3])<<24, c.s[4:]
	case wireBytes:
		n := c.uvarint()
		if c.err == nil && n > uint64(len(c.s)) {
			c.err = errTruncated
		}
		if c.err != nil {
			return false
		}
		f.data, c.s = c.s[:n], c.s[n:]
	default:
		c.err = errWireType
	}
	return c.err == nil
}

// want makes a wrong wire type of a known field an error.
func (c *cursor) want(f *field, typ uint8) bool {
	if f.typ != typ && c.err == nil {
		c.err = errWireType
	}
	return c.err == nil
}

func (c *cursor) uvarint() uint64 {
	// Fast path: most keys and lengths are one byte.
	if len(c.s) > 0 && c.s[0] < 0x80 {
		v := uint64(c.s[0])
		c.s = c.s[1:]
		return v
	}
	var v uint64
	for i := 0; i < len(c.s); i++ {
		b := c.s[i]
		if i == 9 && b > 1 {
			c.err = errOverflow
			return 0
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			c.s = c.s[i+1:]
			return v
		}
	}
	c.err = errTruncated
	return 0
}

func le64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func appendKey(dst []byte, num, typ int) []byte {
	return binary.AppendUvarint(dst, uint64(num)<<3|uint64(typ))
}

func appendVarintField(dst []byte, num int, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(appendKey(dst, num, wireVarint), v)
}

func appendFixed64Field(dst []byte, num int, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.LittleEndian.AppendUint64(appendKey(dst, num, wireFixed64), v)
}

func appendFixed32Field(dst []byte, num int, v uint32) []byte {
	if v == 0 {
		return dst
	}
	return binary.LittleEndian.AppendUint32(appendKey(dst, num, wireFixed32), v)
}

func appendStringField(dst []byte, num int, s string) []byte {
	if s == "" {
		return dst
	}
	dst = binary.AppendUvarint(appendKey(dst, num, wireBytes), uint64(len(s)))
	return append(dst, s...)
}

func appendBytesField(dst []byte, num int, b []byte) []byte {
	dst = binary.AppendUvarint(appendKey(dst, num, wireBytes), uint64(len(b)))
	return append(dst, b...)
}

// beginMessage opens an embedded message and returns where its body starts; endMessage writes the
// length. A body of 128 bytes or more is moved up for the longer length, which is cheaper than
// computing every size before.
func beginMessage(dst []byte, num int) ([]byte, int) {
	dst = append(appendKey(dst, num, wireBytes), 0)
	return dst, len(dst)
}

func endMessage(dst []byte, start int) []byte {
	n := len(dst) - start
	if n < 0x80 {
		dst[start-1] = byte(n)
		return dst
	}
	extra := (bits.Len(uint(n))+6)/7 - 1
	for range extra {
		dst = append(dst, 0)
	}
	copy(dst[start+extra:], dst[start:start+n])
	binary.PutUvarint(dst[start-1:], uint64(n))
	return dst
}
