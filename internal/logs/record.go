package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// A write-ahead log record is one batch of one tenant:
//
//	record  = version (1 byte, 1) chunk*
//	chunk   = uvarint stored length, s2 block of at most chunkBytes raw bytes
//	payload = the chunks, decoded and joined:
//	          string tenant
//	          uvarint symbols, string*                 label names and values, metadata names
//	          uvarint streams, stream*
//	stream  = uvarint labels, (uvarint name, uvarint value)*        symbol numbers
//	          uvarint entries, entry*
//	entry   = varint timestamp − the timestamp before it in the record
//	          string line
//	          uvarint metadata, (uvarint name, string value)*
//	string  = uvarint length, bytes
//
// Integrity is the log's business: records arrive here checksummed. The decoder still trusts no
// number in them.
const recordVersion = 1

// chunkBytes bounds what the decoder allocates on the word of one length field.
const chunkBytes = 4 << 20

// ErrBadRecord says that a record is damaged or of a version that this Hune does not know.
var ErrBadRecord = errors.New("bad logs record")

// recordEncoder is the scratch space of AppendRecord.
type recordEncoder struct {
	symbols map[string]uint64
	table   []byte
	body    []byte
}

var recordEncoders = sync.Pool{New: func() any { return &recordEncoder{symbols: map[string]uint64{}} }}

// maxPooledBytes keeps one huge batch from pinning its scratch space.
const maxPooledBytes = 8 << 20

func (e *recordEncoder) release() {
	if cap(e.body) > maxPooledBytes || len(e.symbols) > 1<<16 {
		return
	}
	clear(e.symbols)
	e.table, e.body = e.table[:0], e.body[:0]
	recordEncoders.Put(e)
}

func (e *recordEncoder) symbol(s string) {
	n, ok := e.symbols[s]
	if !ok {
		n = uint64(len(e.symbols))
		e.symbols[s] = n
		e.table = block.AppendPrefixed(e.table, s)
	}
	e.body = binary.AppendUvarint(e.body, n)
}

// AppendRecord appends the write-ahead log record of b to dst.
func AppendRecord(dst []byte, tenant string, b *Batch) []byte {
	e := recordEncoders.Get().(*recordEncoder)
	defer e.release()
	e.body = append(e.body, make([]byte, headRoom)...)
	e.body = slices.Grow(e.body, bodySize(b))
	e.appendBody(b)
	head := block.AppendPrefixed(make([]byte, 0, 256), tenant)
	head = binary.AppendUvarint(head, uint64(len(e.symbols)))
	head = append(head, e.table...)
	dst = append(dst, recordVersion)
	// The two parts are short or long, never both: join the short ones so that s2 sees them whole.
	if n := headRoom - len(head); n >= 0 && len(e.body)-n <= chunkBytes {
		copy(e.body[n:], head) // Fast path: there is room in front.
		return appendChunk(dst, e.body[n:])
	}
	body := e.body[headRoom:]
	if len(head)+len(body) <= chunkBytes {
		return appendChunk(dst, append(head, body...))
	}
	for _, part := range [][]byte{head, body} {
		for len(part) > 0 {
			n := min(len(part), chunkBytes)
			dst = appendChunk(dst, part[:n])
			part = part[n:]
		}
	}
	return dst
}

// headRoom is left before the body for what stands in front of it, which is known last: labels and names of
// most batches fit.
const headRoom = 4 << 10

// bodySize is what the body of b takes, about.
func bodySize(b *Batch) int {
	const perEntry = 14 // timestamp, lengths, a level
	n := 0
	for i := range b.Streams {
		for j := range b.Streams[i].Entries {
			n += len(b.Streams[i].Entries[j].Line) + perEntry
		}
	}
	return n
}

// appendBody appends the streams of b.
func (e *recordEncoder) appendBody(b *Batch) {
	e.body = binary.AppendUvarint(e.body, uint64(len(b.Streams)))
	last := int64(0)
	for i := range b.Streams {
		s := &b.Streams[i]
		e.body = binary.AppendUvarint(e.body, uint64(s.Labels.Len()))
		s.Labels.Range(func(l labels.Label) {
			e.symbol(l.Name)
			e.symbol(l.Value)
		})
		e.body = binary.AppendUvarint(e.body, uint64(len(s.Entries)))
		for j := range s.Entries {
			entry := &s.Entries[j]
			e.body = binary.AppendVarint(e.body, entry.Timestamp-last)
			last = entry.Timestamp
			e.body = block.AppendPrefixed(e.body, entry.Line)
			e.body = binary.AppendUvarint(e.body, uint64(len(entry.Metadata)))
			for _, l := range entry.Metadata {
				e.symbol(l.Name)
				e.body = block.AppendPrefixed(e.body, l.Value)
			}
		}
	}
}

// appendChunk appends a chunk. Its length is a uvarint of four bytes even where fewer would do, so
// that s2 can write behind it in place.
func appendChunk(dst, raw []byte) []byte {
	const lengthBytes = 4
	at := len(dst)
	need := lengthBytes + s2.MaxEncodedLen(len(raw))
	if cap(dst)-at < need {
		dst = append(dst, make([]byte, need)...)[:at]
	}
	room := dst[at+lengthBytes : at+need]
	n := len(s2.Encode(room, raw))
	dst = dst[:at+lengthBytes+n]
	v := uint64(n)
	for i := range lengthBytes {
		dst[at+i] = byte(v)&0x7f | 0x80
		v >>= 7
	}
	dst[at+lengthBytes-1] &= 0x7f
	return dst
}

// DecodeRecord decodes a record. The batch shares one new buffer and nothing of rec.
func DecodeRecord(rec []byte) (tenant string, b *Batch, err error) {
	if len(rec) == 0 || rec[0] != recordVersion {
		return "", nil, fmt.Errorf("%w: unknown version", ErrBadRecord)
	}
	payload, err := decodeChunks(rec[1:])
	if err != nil {
		return "", nil, err
	}
	// A symbol can be named again and again, so the label sets can be larger than the record. Real
	// ones are not a thousand times larger.
	d := recordDecoder{Decoder: block.NewDecoder(payload), budget: 64<<20 + 1024*len(payload)}
	tenant = view(d.Prefixed())
	b = d.batch()
	if err := d.Finish(); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrBadRecord, err)
	}
	return tenant, b, nil
}

func decodeChunks(in []byte) ([]byte, error) {
	var payload []byte
	for len(in) > 0 {
		stored, n := binary.Uvarint(in)
		if n <= 0 || stored > uint64(len(in)-n) {
			return nil, fmt.Errorf("%w: chunk length", ErrBadRecord)
		}
		chunk := in[n : n+int(stored)]
		in = in[n+int(stored):]
		raw, err := s2.DecodedLen(chunk)
		if err != nil || raw > chunkBytes {
			return nil, fmt.Errorf("%w: chunk size", ErrBadRecord)
		}
		at := len(payload)
		if cap(payload)-at < raw {
			payload = append(payload, make([]byte, raw)...)
		} else {
			payload = payload[:at+raw]
		}
		if _, err := s2.Decode(payload[at:at+raw:at+raw], chunk); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadRecord, err)
		}
	}
	return payload, nil
}

// maxLabelPart is what package labels can hold in a name or a value.
const maxLabelPart = 1<<24 - 1

// recordDecoder reads the payload of a record, and the section of streams of a block, which is alike.
type recordDecoder struct {
	*block.Decoder
	symbols []string
	builder labels.ScratchBuilder
	budget  int // bytes that label sets may still grow by
}

// maxCount bounds counts beyond what the bytes that are left bound already.
const maxCount = math.MaxInt32

func (d *recordDecoder) readSymbols() {
	d.symbols = make([]string, d.Count(maxCount, 1))
	for i := range d.symbols {
		d.symbols[i] = view(d.Prefixed())
		if len(d.symbols[i]) > maxLabelPart {
			d.Failf("symbol of %d bytes", len(d.symbols[i]))
		}
	}
}

func (d *recordDecoder) batch() *Batch {
	d.readSymbols()
	b := &Batch{Streams: make([]Stream, d.Count(maxCount, 2))}
	last := int64(0)
	for i := range b.Streams {
		s := &b.Streams[i]
		s.Labels = d.labels()
		s.Entries = make([]Entry, d.Count(maxCount, 3))
		last = d.entries(s.Entries, last)
		if d.Err() != nil {
			return nil
		}
	}
	return b
}

// symbol reads a symbol number.
func (d *recordDecoder) symbol() string {
	n := d.Uvarint()
	if n >= uint64(len(d.symbols)) {
		d.Failf("symbol %d of %d", n, len(d.symbols))
		return ""
	}
	return d.symbols[n]
}

// labels reads a label set. The names must ascend: everything behind the log relies on it.
func (d *recordDecoder) labels() labels.Labels {
	n := d.Count(maxCount, 2)
	d.builder.Reset()
	before := ""
	for i := range n {
		name, value := d.symbol(), d.symbol()
		if d.budget -= len(name) + len(value); d.budget < 0 {
			d.Failf("label sets are too large")
		}
		if i > 0 && name <= before {
			d.Failf("label %q after %q", name, before)
		}
		if d.Err() != nil {
			return labels.EmptyLabels()
		}
		before = name
		d.builder.Add(name, value)
	}
	return d.builder.Labels()
}

func (d *recordDecoder) entries(entries []Entry, last int64) int64 {
	var arena []Label
	for j := range entries {
		last += d.Varint()
		entries[j].Timestamp = last
		entries[j].Line = view(d.Prefixed())
		n := d.Count(maxCount, 2)
		if d.Err() != nil {
			return last
		}
		if n == 0 {
			continue
		}
		if cap(arena)-len(arena) < n {
			arena = make([]Label, 0, max(n, min(n*(len(entries)-j), 1024)))
		}
		from := len(arena)
		for range n {
			arena = append(arena, Label{d.symbol(), view(d.Prefixed())})
		}
		entries[j].Metadata = arena[from:len(arena):len(arena)]
	}
	return last
}
