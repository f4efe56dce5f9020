package block

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// RangeReader reads parts of objects.
//
// ReadRange returns the n bytes of object name from off on, fewer only if the object ends there.
// The result is shared: nobody may write to it. Safe for concurrent use.
type RangeReader interface {
	ReadRange(ctx context.Context, name string, off, n int64) ([]byte, error)
}

// ReaderOptions are a program's choices for one Reader; zero values take the defaults.
type ReaderOptions struct {
	SuffixLen   int64 // bytes fetched from the end at Open; default 256 KiB
	MaxGap      int64 // neighbouring blobs closer than this are fetched as one range; default 8 KiB
	MaxRange    int64 // a merged range grows to this many bytes at most; default 8 MiB
	MaxFetch    int64 // raw bytes that one call of Blobs may decode to; default 256 MiB
	Concurrency int   // ranges fetched at the same time by one call of Blobs; default 8

	// OnRead is called, where set, before every range that the Reader asks its source for. (Ranges
	// that reach object storage past the caches are counted by the bucket.)
	OnRead func(bytes int64)
}

func (o *ReaderOptions) setDefaults() {
	def := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.SuffixLen, 256<<10)
	def(&o.MaxGap, 8<<10)
	def(&o.MaxRange, 8<<20)
	def(&o.MaxFetch, 256<<20)
	if o.Concurrency <= 0 {
		o.Concurrency = 8
	}
	o.SuffixLen = max(o.SuffixLen, tailLen)
}

// Reader reads one block. Safe for concurrent use.
//
// It keeps the suffix that Open fetched (at most ReaderOptions.SuffixLen bytes) and nothing else:
// what Section and Blob return belongs to the caller, except that it must not be written to.
type Reader struct {
	src    RangeReader
	name   string
	size   int64
	end    uint64 // payloads end here, the footer begins
	minor  uint16
	footer *footer
	opts   ReaderOptions
	suffix atomic.Pointer[span]
}

// span is a part of the object in memory.
type span struct {
	off  int64
	data []byte
}

func (s *span) slice(off, n int64) []byte {
	if s == nil || off < s.off || n > s.off+int64(len(s.data))-off {
		return nil
	}
	return s.data[off-s.off:][:n:n]
}

// Open reads the footer of object name, whose size must be known (it is in its Meta). Put a cache in
// front of src to keep pages between readers.
func Open(ctx context.Context, src RangeReader, name string, size int64, opts ReaderOptions) (*Reader, error) {
	opts.setDefaults()
	r := &Reader{src: src, name: name, size: size, opts: opts}
	if size < headerLen+tailLen {
		return nil, r.corrupt("tail", 0, fmt.Errorf("%d bytes are too few for a block", size))
	}
	off := max(0, size-opts.SuffixLen)
	data, err := r.read(ctx, "tail", off, size-off)
	if err != nil {
		return nil, err
	}
	t, err := decodeTail(data[len(data)-tailLen:], uint64(size))
	if err != nil {
		return nil, r.corrupt("tail", size-tailLen, err)
	}
	r.minor, r.end = t.minor, uint64(size-tailLen)-uint64(t.footerLen)
	r.suffix.Store(&span{off: off, data: data})
	if err := r.readFooter(ctx, t); err != nil {
		return nil, err
	}
	if off == 0 {
		if err := checkHeader(data[:headerLen]); err != nil {
			return nil, r.corrupt("header", 0, err)
		}
	}
	return r, nil
}

func (r *Reader) readFooter(ctx context.Context, t tail) error {
	b, err := r.read(ctx, "footer", int64(r.end), int64(t.footerLen))
	if err != nil {
		return err
	}
	if crc32.Checksum(b, castagnoli) != t.footerCRC {
		return r.corrupt("footer", int64(r.end), errChecksum)
	}
	if r.footer, err = decodeFooter(b, r.end); err != nil {
		return r.corrupt("footer", int64(r.end), err)
	}
	return nil
}

var errChecksum = errors.New("checksum mismatch")

func (r *Reader) corrupt(what string, off int64, err error) error {
	return &CorruptionError{Block: r.name, Section: what, Offset: off, Err: err}
}

// read returns exactly n bytes from off on.
func (r *Reader) read(ctx context.Context, what string, off, n int64) ([]byte, error) {
	return r.readInto(ctx, what, off, n, nil)
}

func (r *Reader) readInto(ctx context.Context, what string, off, n int64, mem *Buffers) ([]byte, error) {
	if b := r.suffix.Load().slice(off, n); b != nil {
		return b, nil
	}
	if r.opts.OnRead != nil {
		r.opts.OnRead(n)
	}
	b, err := r.readRange(ctx, off, n, mem)
	if err != nil {
		return nil, fmt.Errorf("read %s of block %s: %w", what, r.name, err)
	}
	if int64(len(b)) != n {
		return nil, r.corrupt(what, off, fmt.Errorf("%d of %d bytes, the object is shorter than it should be", len(b), n))
	}
	return b, nil
}

// Name returns the name of the object.
func (r *Reader) Name() string { return r.name }

// Size returns the size of the object.
func (r *Reader) Size() int64 { return r.size }

// Totals returns what the blobs of the block add up to.
func (r *Reader) Totals() Totals { return r.footer.totals }

// DropSuffix forgets the bytes that Open fetched, for a Reader that is kept for long; later reads of
// them go to the source again.
func (r *Reader) DropSuffix() { r.suffix.Store(nil) }

// Has reports whether the block has a section of that kind.
func (r *Reader) Has(kind Kind) bool { return r.footer.section(kind) != nil }

// Section returns the content of a section, or ErrNoSection.
func (r *Reader) Section(ctx context.Context, kind Kind) ([]byte, error) {
	e := r.footer.section(kind)
	if e == nil {
		return nil, fmt.Errorf("section %d of block %s: %w", kind, r.name, ErrNoSection)
	}
	what := fmt.Sprintf("section %d", kind)
	b, err := r.read(ctx, what, int64(e.offset), int64(e.stored))
	if err != nil {
		return nil, err
	}
	if crc32.Checksum(b, castagnoli) != e.crc {
		return nil, r.corrupt(what, int64(e.offset), errChecksum)
	}
	out, err := decompress(b, e.codec, int(e.raw))
	if err != nil {
		return nil, r.corrupt(what, int64(e.offset), err)
	}
	return out, nil
}

// Blob returns the content of one blob.
func (r *Reader) Blob(ctx context.Context, ref Ref) ([]byte, error) {
	stored, err := r.StoredBlob(ctx, ref)
	if err != nil {
		return nil, err
	}
	return r.decodeBlob(stored, ref, nil)
}

// StoredBlob returns a blob as it stands in the object, verified but not decoded, for
// Writer.StoredBlob.
func (r *Reader) StoredBlob(ctx context.Context, ref Ref) ([]byte, error) {
	if err := ref.check(r.end); err != nil {
		return nil, r.corrupt("blob", clampOffset(ref.Offset), err)
	}
	b, err := r.read(ctx, "blob", int64(ref.Offset), int64(ref.StoredLen))
	if err != nil {
		return nil, err
	}
	if err := verifyBlob(b, ref); err != nil {
		return nil, r.corrupt("blob", int64(ref.Offset), err)
	}
	return b, nil
}

// clampOffset makes an unchecked offset printable as an int64.
func clampOffset(off uint64) int64 { return int64(min(off, 1<<62)) }

func verifyBlob(stored []byte, ref Ref) error {
	if len(stored) != int(ref.StoredLen) || len(stored) < checksumLen {
		return errors.New("length mismatch")
	}
	payload := stored[:len(stored)-checksumLen]
	if binary.LittleEndian.Uint32(stored[len(payload):]) != blobChecksum(payload, ref.Codec, ref.RawLen) {
		return errChecksum
	}
	return nil
}

// decodeBlob decodes a verified blob.
func (r *Reader) decodeBlob(stored []byte, ref Ref, mem *Buffers) ([]byte, error) {
	out, err := decompressInto(stored[:len(stored)-checksumLen], ref.Codec, int(ref.RawLen), mem)
	if err != nil {
		return nil, r.corrupt("blob", int64(ref.Offset), err)
	}
	return out, nil
}

// Blobs returns the contents of many blobs, in the order of refs. Neighbours are fetched with one
// request, requests run in parallel. One bad blob fails the call; ask for it alone to learn whether
// the others are good.
func (r *Reader) Blobs(ctx context.Context, refs []Ref) ([][]byte, error) {
	return r.BlobsInto(ctx, refs, nil)
}

// BlobsInto is Blobs with memory of mem: the contents are valid until its Release.
func (r *Reader) BlobsInto(ctx context.Context, refs []Ref, mem *Buffers) ([][]byte, error) {
	var raw int64
	for _, ref := range refs {
		if err := ref.check(r.end); err != nil {
			return nil, r.corrupt("blob", clampOffset(ref.Offset), err)
		}
		raw += int64(ref.RawLen)
	}
	if raw > r.opts.MaxFetch {
		return nil, fmt.Errorf("read %d blobs of block %s: %d bytes at once, at most %d are allowed", len(refs), r.name, raw, r.opts.MaxFetch)
	}
	out := make([][]byte, len(refs))
	groups := r.group(refs)
	if len(groups) == 1 {
		// Fast path: no goroutine for the common case of one contiguous row group.
		if err := r.fetch(ctx, refs, groups[0], out, mem); err != nil {
			return nil, err
		}
		return out, nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Concurrency)
	for _, idx := range groups {
		g.Go(func() error { return r.fetch(ctx, refs, idx, out, mem) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// group sorts refs by offset and cuts them where a gap or the size of a range asks for it. The
// groups hold indexes into refs.
func (r *Reader) group(refs []Ref) [][]int {
	order := make([]int, len(refs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case refs[a].Offset < refs[b].Offset:
			return -1
		case refs[a].Offset > refs[b].Offset:
			return 1
		}
		return int(int64(refs[a].StoredLen) - int64(refs[b].StoredLen))
	})
	var groups [][]int
	var first, start, end int64
	for i, k := range order {
		off, n := int64(refs[k].Offset), int64(refs[k].StoredLen)
		if i > 0 && (off-end >= r.opts.MaxGap || max(end, off+n)-start > r.opts.MaxRange) {
			groups = append(groups, order[first:i])
			first, start, end = int64(i), off, off+n
			continue
		}
		if i == 0 {
			start = off
		}
		end = max(end, off+n)
	}
	if len(order) > 0 {
		groups = append(groups, order[first:])
	}
	return groups
}

// fetch reads the blobs refs[idx…], sorted by offset, with one request, and decodes them to out.
func (r *Reader) fetch(ctx context.Context, refs []Ref, idx []int, out [][]byte, mem *Buffers) error {
	start, end := int64(refs[idx[0]].Offset), int64(0)
	for _, k := range idx {
		end = max(end, int64(refs[k].Offset)+int64(refs[k].StoredLen))
	}
	b, err := r.readInto(ctx, "blobs", start, end-start, mem)
	if err != nil {
		return err
	}
	alone := len(idx) == 1
	for _, k := range idx {
		ref := refs[k]
		stored := b[int64(ref.Offset)-start:][:ref.StoredLen:ref.StoredLen]
		if err := verifyBlob(stored, ref); err != nil {
			return r.corrupt("blob", int64(ref.Offset), err)
		}
		if out[k], err = r.decodeBlob(stored, ref, mem); err != nil {
			return err
		}
		if ref.Codec == CodecRaw && !alone && mem == nil {
			// A raw blob would pin the whole merged range for as long as its caller keeps it.
			out[k] = bytes.Clone(out[k])
		}
	}
	return nil
}
