package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The version that this package writes. A reader refuses another major version; a higher minor
// version only adds what an older reader may ignore.
const (
	Major = 1
	Minor = 0
)

// Limits that a reader enforces before it allocates, and a writer before it writes.
const (
	MaxBlobLen    = 8 << 20  // raw bytes of one blob
	MaxSectionLen = 64 << 20 // raw bytes of one section
	MaxSections   = 1024
	MaxRows       = 1 << 20 // values in one encoded column
)

const (
	magic        = "HUNEBLK\x00"
	headerLen    = 16
	tailLen      = 32
	checksumLen  = 4
	maxFooterLen = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Kind says what a section holds. Kinds below 100 belong to the container, 100 to 199 to logs, 200
// to 299 to traces. A kind is never given a second meaning.
type Kind uint32

// Codec says how a payload is stored.
type Codec uint8

// The codecs. CodecZstd asks for compression; the writer falls back to CodecRaw where it gains
// nothing, so the codec of a Ref may differ from the one asked for.
const (
	CodecRaw  Codec = 0
	CodecZstd Codec = 1
)

func (c Codec) String() string {
	switch c {
	case CodecRaw:
		return "raw"
	case CodecZstd:
		return "zstd"
	}
	return fmt.Sprintf("codec(%d)", uint8(c))
}

// Ref leads to a blob. The zero Ref leads nowhere (offset 0 is the header).
type Ref struct {
	Offset    uint64 // first byte of the payload in the object
	StoredLen uint32 // bytes in the object, with the 4 bytes of checksum
	RawLen    uint32 // bytes after decoding
	Codec     Codec
}

// IsZero reports whether r leads nowhere.
func (r Ref) IsZero() bool { return r == Ref{} }

// AppendTo appends r's encoded form, at most 26 bytes.
func (r Ref) AppendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, r.Offset)
	dst = binary.AppendUvarint(dst, uint64(r.StoredLen))
	dst = binary.AppendUvarint(dst, uint64(r.RawLen))
	return append(dst, byte(r.Codec))
}

// Ref reads what Ref.AppendTo wrote.
func (d *Decoder) Ref() Ref {
	r := Ref{Offset: d.Uvarint(), StoredLen: d.uvarint32(), RawLen: d.uvarint32(), Codec: Codec(d.Byte())}
	if d.err != nil {
		return Ref{}
	}
	return r
}

// check says why r can't be a blob of an object whose payloads end at end, or nil.
func (r Ref) check(end uint64) error {
	switch {
	case r.Offset < headerLen || r.Offset > end || uint64(r.StoredLen) > end-r.Offset:
		return fmt.Errorf("blob at %d+%d lies outside of %d..%d", r.Offset, r.StoredLen, headerLen, end)
	case r.RawLen > MaxBlobLen:
		return fmt.Errorf("blob of %d bytes, at most %d are allowed", r.RawLen, MaxBlobLen)
	case r.StoredLen < checksumLen:
		return fmt.Errorf("blob of %d stored bytes has no room for its checksum", r.StoredLen)
	}
	return checkLengths(r.Codec, uint64(r.StoredLen-checksumLen), uint64(r.RawLen))
}

// checkLengths says why stored bytes of codec c can't decode to raw bytes, or nil.
func checkLengths(c Codec, stored, raw uint64) error {
	switch {
	case c > CodecZstd:
		return fmt.Errorf("unknown %v", c)
	case c == CodecRaw && stored != raw:
		return fmt.Errorf("%d raw bytes stored in %d", raw, stored)
	case c == CodecZstd && stored >= raw:
		// The writer stores raw what doesn't shrink, so this can't be its work.
		return fmt.Errorf("%d bytes compressed to %d", raw, stored)
	}
	return nil
}

// blobChecksum covers the payload and what a Ref says about it, so that a Ref which leads to another
// blob of the same length, or with another raw length, is found out.
func blobChecksum(payload []byte, c Codec, rawLen uint32) uint32 {
	var b [5]byte
	b[0] = byte(c)
	binary.LittleEndian.PutUint32(b[1:], rawLen)
	return crc32.Update(crc32.Checksum(payload, castagnoli), castagnoli, b[:])
}

// sectionEntry is one row of the footer's table.
type sectionEntry struct {
	kind   Kind
	codec  Codec
	offset uint64
	stored uint64
	raw    uint64
	crc    uint32 // of the stored payload
}

// Totals counts the blobs of a block.
type Totals struct {
	Blobs  uint64
	Stored uint64 // bytes in the object, checksums included
	Raw    uint64 // bytes after decoding
}

type footer struct {
	sections []sectionEntry
	totals   Totals
}

func appendHeader(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint16(dst, Major)
	dst = binary.LittleEndian.AppendUint16(dst, Minor)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func checkHeader(b []byte) error {
	if string(b[:8]) != magic {
		return errors.New("wrong magic in the header")
	}
	if binary.LittleEndian.Uint32(b[12:]) != crc32.Checksum(b[:12], castagnoli) {
		return errors.New("header checksum mismatch")
	}
	return checkMajor(binary.LittleEndian.Uint16(b[8:]))
}

func checkMajor(v uint16) error {
	if v != Major {
		return fmt.Errorf("%w: %d, this program reads %d", ErrVersion, v, Major)
	}
	return nil
}

func (f *footer) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(f.sections)))
	for _, s := range f.sections {
		dst = binary.AppendUvarint(dst, uint64(s.kind))
		dst = binary.AppendUvarint(dst, s.offset)
		dst = binary.AppendUvarint(dst, s.stored)
		dst = binary.AppendUvarint(dst, s.raw)
		dst = append(dst, byte(s.codec))
		dst = binary.LittleEndian.AppendUint32(dst, s.crc)
	}
	dst = binary.AppendUvarint(dst, f.totals.Blobs)
	dst = binary.AppendUvarint(dst, f.totals.Stored)
	return binary.AppendUvarint(dst, f.totals.Raw)
}

// decodeFooter reads a footer that begins at offset end. Bytes after the known fields belong to a
// higher minor version and are ignored.
func decodeFooter(b []byte, end uint64) (*footer, error) {
	d := NewDecoder(b)
	f := &footer{sections: make([]sectionEntry, 0, d.Count(MaxSections, 9))}
	for range cap(f.sections) {
		s := sectionEntry{kind: Kind(d.uvarint32()), offset: d.Uvarint(), stored: d.Uvarint(), raw: d.Uvarint(),
			codec: Codec(d.Byte()), crc: d.Uint32()}
		if d.err != nil {
			break
		}
		if s.offset < headerLen || s.offset > end || s.stored > end-s.offset {
			return nil, fmt.Errorf("section %d at %d+%d lies outside of %d..%d", s.kind, s.offset, s.stored, headerLen, end)
		}
		if s.raw > MaxSectionLen {
			return nil, fmt.Errorf("section %d has %d bytes, at most %d are allowed", s.kind, s.raw, MaxSectionLen)
		}
		if err := checkLengths(s.codec, s.stored, s.raw); err != nil {
			return nil, fmt.Errorf("section %d: %w", s.kind, err)
		}
		if f.section(s.kind) != nil {
			return nil, fmt.Errorf("section %d appears twice", s.kind)
		}
		f.sections = append(f.sections, s)
	}
	f.totals = Totals{Blobs: d.Uvarint(), Stored: d.Uvarint(), Raw: d.Uvarint()}
	return f, d.err
}

func (f *footer) section(k Kind) *sectionEntry {
	for i := range f.sections {
		if f.sections[i].kind == k {
			return &f.sections[i]
		}
	}
	return nil
}

// tail is the last 32 bytes of a block.
type tail struct {
	footerLen uint32
	footerCRC uint32
	size      uint64 // of the whole object
	minor     uint16
}

func (t tail) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, t.footerLen)
	dst = binary.LittleEndian.AppendUint32(dst, t.footerCRC)
	dst = binary.LittleEndian.AppendUint64(dst, t.size)
	dst = binary.LittleEndian.AppendUint16(dst, Major)
	dst = binary.LittleEndian.AppendUint16(dst, t.minor)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, magic...)
}

// decodeTail reads the tail b of an object of size bytes.
func decodeTail(b []byte, size uint64) (tail, error) {
	if string(b[24:]) != magic {
		return tail{}, errors.New("wrong magic at the end")
	}
	if binary.LittleEndian.Uint32(b[20:]) != crc32.Checksum(b[:20], castagnoli) {
		return tail{}, errors.New("tail checksum mismatch")
	}
	if err := checkMajor(binary.LittleEndian.Uint16(b[16:])); err != nil {
		return tail{}, err
	}
	t := tail{
		footerLen: binary.LittleEndian.Uint32(b), footerCRC: binary.LittleEndian.Uint32(b[4:]),
		size: binary.LittleEndian.Uint64(b[8:]), minor: binary.LittleEndian.Uint16(b[18:]),
	}
	if t.size != size {
		return tail{}, fmt.Errorf("object has %d bytes, its tail says %d", size, t.size)
	}
	if t.footerLen > maxFooterLen || uint64(t.footerLen) > size-headerLen-tailLen {
		return tail{}, fmt.Errorf("footer of %d bytes in an object of %d", t.footerLen, size)
	}
	return t, nil
}
