package prometheus

import (
	"encoding/binary"
	"errors"
	"math"
	"unsafe"
)

// wire reads protobuf from bytes that nobody has checked. The first fault sticks in err and ends
// every loop over fields; nothing is allocated.
type wire struct {
	b   []byte
	err error
}

var (
	errTruncated = errors.New("protobuf: unexpected end of message")
	errVarint    = errors.New("protobuf: varint is longer than 64 bits")
	errWireType  = errors.New("protobuf: invalid field number or wire type")
)

// The wire types.
const (
	typeVarint  = 0
	typeFixed64 = 1
	typeBytes   = 2
	typeFixed32 = 5
)

func (w *wire) fail(err error) {
	if w.err == nil {
		w.err = err
	}
	w.b = nil
}

// next reads the tag of the next field; false at the end or after a fault.
func (w *wire) next() (field uint64, typ int, ok bool) {
	if len(w.b) == 0 || w.err != nil {
		return 0, 0, false
	}
	tag := w.uvarint()
	field, typ = tag>>3, int(tag&7)
	if w.err == nil && (field == 0 || field > 1<<29-1) {
		w.fail(errWireType)
	}
	return field, typ, w.err == nil
}

func (w *wire) uvarint() uint64 {
	if len(w.b) > 0 && w.b[0] < 0x80 { // Fast path: one byte.
		v := w.b[0]
		w.b = w.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(w.b)
	switch {
	case n == 0:
		w.fail(errTruncated)
		return 0
	case n < 0:
		w.fail(errVarint)
		return 0
	}
	w.b = w.b[n:]
	return v
}

// bytes reads a length-delimited field; the bytes are those of the message.
func (w *wire) bytes() []byte {
	n := w.uvarint()
	if w.err != nil {
		return nil
	}
	if n > uint64(len(w.b)) {
		w.fail(errTruncated)
		return nil
	}
	out := w.b[:n:n]
	w.b = w.b[n:]
	return out
}

func (w *wire) double() float64 {
	if len(w.b) < 8 {
		w.fail(errTruncated)
		return 0
	}
	v := binary.LittleEndian.Uint64(w.b)
	w.b = w.b[8:]
	return math.Float64frombits(v)
}

// skip passes over a field that is not known. A known field of another wire type comes here as
// well, as in the generated decoders' successors: it is not the field that we know.
func (w *wire) skip(typ int) {
	switch typ {
	case typeVarint:
		w.uvarint()
	case typeFixed64:
		w.drop(8)
	case typeBytes:
		w.bytes()
	case typeFixed32:
		w.drop(4)
	default:
		w.fail(errWireType)
	}
}

func (w *wire) drop(n int) {
	if len(w.b) < n {
		w.fail(errTruncated)
		return
	}
	w.b = w.b[n:]
}

// text views bytes as a string: valid as long as the request body is.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
