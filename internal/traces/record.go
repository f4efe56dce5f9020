package traces

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
)

// A write-ahead log record is
//
//	byte     version, 1
//	uvarint  length of the tenant ID, then the ID
//	uvarint  spans
//	rest     s2 block of the OTLP TracesData message
//
// s2 takes OTLP down to a seventh at gigabytes a second, so the log's sync, not the processor, is
// what a write waits for.
const recordVersion = 1

// maxRecordBytes bounds what a record may claim to decompress to.
const maxRecordBytes = 1 << 30

// AppendRecord appends the write-ahead log record of a batch to dst.
func AppendRecord(dst []byte, tenant string, b *Batch) []byte {
	dst = append(dst, recordVersion)
	dst = binary.AppendUvarint(dst, uint64(len(tenant)))
	dst = append(dst, tenant...)
	dst = binary.AppendUvarint(dst, uint64(b.Spans))
	n := s2.MaxEncodedLen(len(b.OTLP))
	if n < 0 {
		panic(fmt.Sprintf("traces: a batch of %d bytes passed the size limits", len(b.OTLP)))
	}
	at := len(dst)
	if cap(dst)-at < n {
		dst = append(dst[:at:at], make([]byte, n)...)
	}
	return dst[:at+len(s2.Encode(dst[at:at+n], b.OTLP))]
}

var errRecord = errors.New("malformed traces record")

// DecodeRecord reads what AppendRecord wrote. The batch doesn't refer to rec.
func DecodeRecord(rec []byte) (tenant string, b *Batch, err error) {
	if len(rec) == 0 || rec[0] != recordVersion {
		return "", nil, fmt.Errorf("%w: unknown version", errRecord)
	}
	rec = rec[1:]
	n, used := binary.Uvarint(rec)
	if used <= 0 || n > uint64(len(rec)-used) {
		return "", nil, fmt.Errorf("%w: tenant is cut off", errRecord)
	}
	tenant, rec = string(rec[used:used+int(n)]), rec[used+int(n):]
	spans, used := binary.Uvarint(rec)
	if used <= 0 || spans > maxRecordBytes {
		return "", nil, fmt.Errorf("%w: number of spans", errRecord)
	}
	rec = rec[used:]
	// s2 can shrink a run without end, so only the absolute bound is checked before allocating.
	size, err := s2.DecodedLen(rec)
	if err != nil || size > maxRecordBytes {
		return "", nil, fmt.Errorf("%w: length of the batch", errRecord)
	}
	otlp, err := s2.Decode(nil, rec)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	return tenant, &Batch{OTLP: otlp, Spans: int(spans)}, nil
}
