package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Writer writes one block to a stream. Not safe for concurrent use.
//
// The first error of the stream sticks: every later call returns it, and the file is worthless.
// Write sections in the reverse order of need, since readers fetch the end first.
type Writer struct {
	w      io.Writer
	opts   WriterOptions
	off    uint64
	crc    uint32 // of everything written
	buf    []byte
	footer footer
	err    error
	closed bool
}

// WriterOptions are a program's choices for one block; the zero value is right for a head's cut.
type WriterOptions struct {
	Level Level
}

// NewWriter returns a Writer and writes the header to w. w should be buffered or a file: every blob
// is one Write.
func NewWriter(w io.Writer, opts WriterOptions) *Writer {
	b := &Writer{w: w, opts: opts}
	b.write(appendHeader(nil))
	return b
}

var errClosed = errors.New("block writer is closed")

func (w *Writer) write(p []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(p)
	if err == nil && n != len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.err = fmt.Errorf("write block at offset %d: %w", w.off, err)
		return
	}
	w.off += uint64(n)
	w.crc = crc32.Update(w.crc, castagnoli, p)
}

// Blob writes data, of at most MaxBlobLen bytes, and returns where it is. data is not kept.
func (w *Writer) Blob(data []byte, c Codec) (Ref, error) {
	if err := w.check(len(data), MaxBlobLen); err != nil {
		return Ref{}, fmt.Errorf("write blob: %w", err)
	}
	w.buf, c = compress(w.buf[:0], data, c, w.opts.Level)
	crc := blobChecksum(w.buf, c, uint32(len(data)))
	w.buf = binary.LittleEndian.AppendUint32(w.buf, crc)
	return w.putBlob(w.buf, uint32(len(data)), c)
}

// StoredBlob writes a blob as it stands in another block: stored is what Reader.StoredBlob returned
// for ref. It lets compaction move columns without decoding them.
func (w *Writer) StoredBlob(stored []byte, ref Ref) (Ref, error) {
	if err := w.check(int(ref.RawLen), MaxBlobLen); err != nil {
		return Ref{}, fmt.Errorf("copy blob: %w", err)
	}
	if err := verifyBlob(stored, ref); err != nil {
		return Ref{}, fmt.Errorf("copy blob: %w", err)
	}
	return w.putBlob(stored, ref.RawLen, ref.Codec)
}

func (w *Writer) putBlob(stored []byte, rawLen uint32, c Codec) (Ref, error) {
	ref := Ref{Offset: w.off, StoredLen: uint32(len(stored)), RawLen: rawLen, Codec: c}
	w.write(stored)
	if w.err != nil {
		return Ref{}, w.err
	}
	w.footer.totals.Blobs++
	w.footer.totals.Stored += uint64(len(stored))
	w.footer.totals.Raw += uint64(rawLen)
	return ref, nil
}

// Section writes data, of at most MaxSectionLen bytes, under kind, which must be new in this block.
func (w *Writer) Section(kind Kind, data []byte, c Codec) error {
	if err := w.check(len(data), MaxSectionLen); err != nil {
		return fmt.Errorf("write section %d: %w", kind, err)
	}
	if w.footer.section(kind) != nil {
		return fmt.Errorf("write section %d: the block already has one", kind)
	}
	if len(w.footer.sections) == MaxSections {
		return fmt.Errorf("write section %d: the block already has %d sections", kind, MaxSections)
	}
	w.buf, c = compress(w.buf[:0], data, c, w.opts.Level)
	e := sectionEntry{kind: kind, codec: c, offset: w.off, stored: uint64(len(w.buf)), raw: uint64(len(data)),
		crc: crc32.Checksum(w.buf, castagnoli)}
	w.write(w.buf)
	if w.err != nil {
		return w.err
	}
	w.footer.sections = append(w.footer.sections, e)
	return nil
}

func (w *Writer) check(n, limit int) error {
	switch {
	case w.err != nil:
		return w.err
	case w.closed:
		return errClosed
	case n > limit:
		return fmt.Errorf("%d bytes, at most %d are allowed", n, limit)
	}
	return nil
}

// Offset returns how many bytes have been written.
func (w *Writer) Offset() int64 { return int64(w.off) }

// Totals returns what the blobs written so far add up to.
func (w *Writer) Totals() Totals { return w.footer.totals }

// Close writes footer and tail and returns the size of the block. It doesn't close or sync the
// stream. A second Close is an error.
func (w *Writer) Close() (size int64, err error) {
	if err := w.check(0, 0); err != nil {
		return 0, err
	}
	w.closed = true
	b := w.footer.appendTo(w.buf[:0])
	n := len(b)
	t := tail{footerLen: uint32(n), footerCRC: crc32.Checksum(b, castagnoli), size: w.off + uint64(n) + tailLen, minor: Minor}
	w.write(t.appendTo(b))
	return int64(w.off), w.err
}

// CRC returns the CRC32C of the whole file, for Meta. Valid after Close.
func (w *Writer) CRC() uint32 { return w.crc }
