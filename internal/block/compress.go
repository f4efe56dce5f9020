package block

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Level is how hard the writer compresses. Readers don't care.
type Level int

// The levels. Fast is for blocks that are cut from a head, Better for compaction: it buys 1 to 3 %
// on columns for several times the CPU, which pays only where a block is written once and kept.
const (
	Fast Level = iota
	Better
)

// minCompress is the size below which a zstd frame can't be smaller than its content by enough to
// pay for the decoder call.
const minCompress = 64

var encoders = [...]sync.Pool{
	Fast:   {New: func() any { return newEncoder(zstd.SpeedFastest) }},
	Better: {New: func() any { return newEncoder(zstd.SpeedDefault) }},
}

func newEncoder(l zstd.EncoderLevel) *zstd.Encoder {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(l),
		zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false), // the container has its own
		// Level 1 leaves literals unencoded by default, which costs columns up to half of their ratio.
		zstd.WithAllLitEntropyCompression(true),
		// Makes every frame carry its content size, which the decoder checks before it allocates.
		zstd.WithSingleSegment(true),
	)
	if err != nil {
		panic("zstd encoder options are constant and valid: " + err.Error())
	}
	return e
}

var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxSectionLen),
		zstd.WithDecodeAllCapLimit(true), // never decode beyond the buffer that was given
	)
	if err != nil {
		panic("zstd decoder options are constant and valid: " + err.Error())
	}
	return d
}}

// compress appends data to dst in the codec that pays: asked for zstd, it returns CodecRaw where the
// frame would not save at least 1/32.
func compress(dst, data []byte, c Codec, l Level) ([]byte, Codec) {
	if c == CodecRaw || len(data) < minCompress {
		return append(dst, data...), CodecRaw
	}
	start := len(dst)
	e := encoders[l].Get().(*zstd.Encoder)
	dst = e.EncodeAll(data, dst)
	encoders[l].Put(e)
	if len(dst)-start > len(data)-len(data)/32 {
		return append(dst[:start], data...), CodecRaw
	}
	return dst, CodecZstd
}

// decompress decodes payload to exactly rawLen bytes. With CodecRaw the result is payload itself.
// The caller has checked rawLen against its limit.
func decompress(payload []byte, c Codec, rawLen int) ([]byte, error) {
	return decompressInto(payload, c, rawLen, nil)
}

// decompressInto is decompress into memory of mem.
func decompressInto(payload []byte, c Codec, rawLen int, mem *Buffers) ([]byte, error) {
	switch c {
	case CodecRaw:
		if len(payload) != rawLen {
			return nil, fmt.Errorf("%d bytes, want %d", len(payload), rawLen)
		}
		return payload, nil
	case CodecZstd:
		return unzstd(payload, rawLen, mem)
	}
	return nil, fmt.Errorf("unknown %v", c)
}

func unzstd(payload []byte, rawLen int, mem *Buffers) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(payload); err != nil {
		return nil, fmt.Errorf("zstd header: %w", err)
	}
	if h.Skippable || !h.HasFCS || h.FrameContentSize != uint64(rawLen) {
		return nil, errors.New("zstd frame is not of the length that its reference says")
	}
	d := decoders.Get().(*zstd.Decoder)
	out, err := d.DecodeAll(payload, mem.get(rawLen)[:0:rawLen])
	decoders.Put(d)
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if len(out) != rawLen {
		return nil, fmt.Errorf("%d bytes after decompression, want %d", len(out), rawLen)
	}
	return out, nil
}
