package block

import (
	"encoding/binary"
	"fmt"
)

// Pack appends data as a Writer would store it, payload and checksum, and returns how: a Ref that lacks
// its offset. The bytes are for Writer.StoredBlob, or for Unpack.
func Pack(dst, data []byte, c Codec, l Level) ([]byte, Ref) {
	start := len(dst)
	dst, c = compress(dst, data, c, l)
	dst = binary.LittleEndian.AppendUint32(dst, blobChecksum(dst[start:], c, uint32(len(data))))
	return dst, Ref{StoredLen: uint32(len(dst) - start), RawLen: uint32(len(data)), Codec: c}
}

// Unpack verifies and decodes what Pack made. The result may alias stored.
func Unpack(stored []byte, ref Ref) ([]byte, error) { return UnpackInto(stored, ref, nil) }

// UnpackInto is Unpack with memory of mem: the result is valid until its Release.
func UnpackInto(stored []byte, ref Ref, mem *Buffers) ([]byte, error) {
	if ref.RawLen > MaxBlobLen {
		return nil, fmt.Errorf("blob of %d bytes, at most %d are allowed", ref.RawLen, MaxBlobLen)
	}
	if err := verifyBlob(stored, ref); err != nil {
		return nil, err
	}
	if err := checkLengths(ref.Codec, uint64(len(stored)-checksumLen), uint64(ref.RawLen)); err != nil {
		return nil, err
	}
	return decompressInto(stored[:len(stored)-checksumLen], ref.Codec, int(ref.RawLen), mem)
}
