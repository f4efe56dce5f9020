package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

var errShort = errors.New("unexpected end of data")

// Decoder reads an encoded byte string front to back. The first fault sticks: every later read
// returns zero values, so a caller reads a whole structure and checks Err once. It never panics and
// never allocates by a length that the remaining bytes can't hold.
//
// The zero Decoder reads nothing. Byte strings that it returns alias its input.
type Decoder struct {
	buf []byte
	err error
}

// NewDecoder returns a Decoder over b.
func NewDecoder(b []byte) *Decoder { return &Decoder{buf: b} }

// Reset makes d read b, forgetting an earlier error.
func (d *Decoder) Reset(b []byte) { d.buf, d.err = b, nil }

// Err returns the first fault, or nil.
func (d *Decoder) Err() error { return d.err }

// Len returns how many bytes are left, zero after a fault.
func (d *Decoder) Len() int { return len(d.buf) }

// Fail makes err the Decoder's fault unless it has one. A caller reports with it what only it can
// know to be wrong.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.buf = nil
}

// Failf is Fail(fmt.Errorf(…)).
func (d *Decoder) Failf(format string, args ...any) { d.Fail(fmt.Errorf(format, args...)) }

// Finish returns the first fault, and counts bytes that nobody read as one.
func (d *Decoder) Finish() error {
	if d.err == nil && len(d.buf) > 0 {
		d.Failf("%d bytes too many", len(d.buf))
	}
	return d.err
}

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	if len(d.buf) == 0 {
		d.Fail(errShort)
		return 0
	}
	b := d.buf[0]
	d.buf = d.buf[1:]
	return b
}

// Uvarint reads what binary.AppendUvarint wrote.
func (d *Decoder) Uvarint() uint64 {
	// Fast path: most counts and lengths are below 128.
	if len(d.buf) > 0 && d.buf[0] < 0x80 {
		v := d.buf[0]
		d.buf = d.buf[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.buf)
	if n <= 0 {
		d.failVarint(n)
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

// Uvarints fills dst with uvarints below limit; a greater one is a fault. It is Uvarint for long lists.
func (d *Decoder) Uvarints(dst []uint32, limit int) {
	buf, at := d.buf, 0
	for i := range dst {
		v, shift := uint64(0), 0
		for {
			if at == len(buf) {
				d.Fail(errShort)
				return
			}
			b := buf[at]
			at++
			if v |= uint64(b&0x7f) << shift; b < 0x80 {
				break
			}
			if shift += 7; shift > 28 {
				d.Failf("varint of more than 32 bits")
				return
			}
		}
		if v >= uint64(limit) {
			d.Failf("number %d of %d", v, limit)
			return
		}
		dst[i] = uint32(v)
	}
	d.buf = buf[at:]
}

// Varint reads what binary.AppendVarint wrote (zigzag).
func (d *Decoder) Varint() int64 {
	v, n := binary.Varint(d.buf)
	if n <= 0 {
		d.failVarint(n)
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

func (d *Decoder) failVarint(n int) {
	if n == 0 {
		d.Fail(errShort)
		return
	}
	d.Failf("varint of more than 64 bits")
}

func (d *Decoder) uvarint32() uint32 {
	v := d.Uvarint()
	if v > math.MaxUint32 {
		d.Failf("%d doesn't fit 32 bits", v)
		return 0
	}
	return uint32(v)
}

// Count reads a number of things that are to follow, each of at least minLen bytes. More than
// limit, or more than the remaining bytes can hold, is a fault and gives 0.
func (d *Decoder) Count(limit, minLen int) int {
	v := d.Uvarint()
	if v > uint64(limit) {
		d.Failf("count %d, at most %d are allowed", v, limit)
		return 0
	}
	if minLen > 0 && v > uint64(len(d.buf)/minLen) {
		d.Fail(errShort)
		return 0
	}
	return int(v)
}

// Uint32 reads four bytes, little endian.
func (d *Decoder) Uint32() uint32 {
	if b := d.Bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Uint64 reads eight bytes, little endian.
func (d *Decoder) Uint64() uint64 {
	if b := d.Bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Float64 reads eight bytes, little endian.
func (d *Decoder) Float64() float64 { return math.Float64frombits(d.Uint64()) }

// Bytes reads n bytes. The result aliases the input; it is nil on a fault.
func (d *Decoder) Bytes(n int) []byte {
	if n < 0 || n > len(d.buf) {
		d.Fail(errShort)
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

// Prefixed reads a uvarint length and that many bytes. The result aliases the input.
func (d *Decoder) Prefixed() []byte {
	n := d.Uvarint()
	if n > uint64(len(d.buf)) {
		d.Fail(errShort)
		return nil
	}
	return d.Bytes(int(n))
}

// String is Prefixed with a copy.
func (d *Decoder) String() string { return string(d.Prefixed()) }

// AppendPrefixed appends the length of s as a uvarint, and s.
func AppendPrefixed[T ~string | ~[]byte](dst []byte, s T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
