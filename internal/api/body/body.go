// Package body reads HTTP request bodies: it undoes the content encoding and bounds the size
// before and after, so that neither an endless upload nor a decompression bomb costs memory.
package body

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/hune-io/hune/internal/fault"
)

// Limits bound one body, in bytes. Zero means the default.
type Limits struct {
	Compressed   int64 // on the wire; default 32 MiB
	Decompressed int64 // after decoding; default 128 MiB
	// InFlight bounds the decoded bytes of all bodies that are being worked on together. Nil: no bound.
	InFlight *Budget
}

// Budget is an amount of bytes that bodies share. A body takes what it decodes to and gives it back
// when its Buffer is released; one that finds nothing left is refused as fault.Unavailable. Safe for
// concurrent use.
type Budget struct {
	total int64
	used  atomic.Int64
}

// NewBudget returns a budget of n bytes.
func NewBudget(n int64) *Budget { return &Budget{total: n} }

// Used returns the bytes taken.
func (b *Budget) Used() int64 { return b.used.Load() }

// take reserves n bytes, all or nothing. A nil budget has no end.
func (b *Budget) take(n int64) error {
	if b == nil {
		return nil
	}
	if b.used.Add(n) > b.total {
		b.used.Add(-n)
		return &fault.Error{Class: fault.Unavailable, Reason: "too_many_bodies", RetryAfter: time.Second,
			Err: fmt.Errorf("requests under way hold %d bytes of bodies: no room for more, try again", b.total)}
	}
	return nil
}

func (b *Budget) give(n int64) {
	if b != nil {
		b.used.Add(-n)
	}
}

const (
	defaultCompressed   = 32 << 20
	defaultDecompressed = 128 << 20
)

func (l Limits) orDefault() Limits {
	if l.Compressed <= 0 {
		l.Compressed = defaultCompressed
	}
	if l.Decompressed <= 0 {
		l.Decompressed = defaultDecompressed
	}
	return l
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooled keeps one huge request from pinning its buffer for ever.
const maxPooled = 4 << 20

// Buffer is a decoded body. Bytes is valid until Release.
type Buffer struct {
	buf    *bytes.Buffer
	budget *Budget
	taken  int64
}

// Bytes returns the decoded body.
func (b *Buffer) Bytes() []byte { return b.buf.Bytes() }

// Release gives the memory back. Bytes must not be used afterwards.
func (b *Buffer) Release() {
	b.budget.give(b.taken)
	if b.buf.Cap() <= maxPooled {
		b.buf.Reset()
		buffers.Put(b.buf)
	}
	b.buf = nil
}

// Read reads and decodes the body of r. The encodings are those of the Content-Encoding header:
// identity, gzip, deflate (zlib-less, as RFC 1951 in practice), zstd, snappy (framed or block).
// Errors are classed: Invalid, TooLarge or Unsupported, and name what was wrong.
func Read(r *http.Request, limits Limits) (*Buffer, error) {
	limits = limits.orDefault()
	if r.ContentLength > limits.Compressed {
		return nil, tooLarge("request body", limits.Compressed)
	}
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	src := &boundedReader{r: r.Body, left: limits.Compressed, err: tooLarge("request body", limits.Compressed)}
	if encoding == "snappy" {
		return readSnappy(src, limits)
	}
	dec, closeDec, err := decoder(encoding, src, limits)
	if err != nil {
		return nil, err
	}
	defer closeDec()
	return readAll(dec, encoding, limits)
}

// ReadSnappyBlock reads a body in snappy's block format whatever its headers say, as Prometheus
// remote write and the Loki push protocol send it.
func ReadSnappyBlock(r *http.Request, limits Limits) (*Buffer, error) {
	limits = limits.orDefault()
	if r.ContentLength > limits.Compressed {
		return nil, tooLarge("request body", limits.Compressed)
	}
	return readSnappy(&boundedReader{r: r.Body, left: limits.Compressed, err: tooLarge("request body", limits.Compressed)}, limits)
}

func decoder(encoding string, src io.Reader, limits Limits) (io.Reader, func(), error) {
	nothing := func() {}
	switch encoding {
	case "", "identity", "none":
		return src, nothing, nil
	case "gzip", "x-gzip":
		zr, err := gzip.NewReader(src)
		if err != nil {
			return nil, nil, invalid("gzip", err)
		}
		return zr, func() { _ = zr.Close() }, nil
	case "deflate":
		zr := flate.NewReader(src)
		return zr, func() { _ = zr.Close() }, nil
	case "zstd":
		zr, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxMemory(uint64(limits.Decompressed)+1), zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return nil, nil, invalid("zstd", err)
		}
		return zr, zr.Close, nil
	}
	return nil, nil, fault.Errorf(fault.Unsupported, "unsupported Content-Encoding %q: use gzip, zstd, snappy, deflate or none", encoding)
}

func readAll(dec io.Reader, encoding string, limits Limits) (*Buffer, error) {
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	b := &Buffer{buf: buf, budget: limits.InFlight}
	limited := &boundedReader{r: dec, left: limits.Decompressed, err: tooLarge("decompressed request body", limits.Decompressed)}
	if _, err := buf.ReadFrom(&chargedReader{limited, b}); err != nil {
		b.Release()
		var classed *fault.Error
		if errors.As(err, &classed) {
			return nil, err
		}
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
			return nil, tooLarge("decompressed request body", limits.Decompressed)
		}
		if encoding == "" {
			return nil, fault.Invalidf("read request body: %w", err)
		}
		return nil, invalid(encoding, err)
	}
	return b, nil
}

func readSnappy(src io.Reader, limits Limits) (*Buffer, error) {
	raw, err := readAll(src, "", limits)
	if err != nil {
		return nil, err
	}
	defer raw.Release()
	in := raw.Bytes()
	if bytes.HasPrefix(in, []byte("\xff\x06\x00\x00sNaPpY")) {
		return readAll(snappy.NewReader(bytes.NewReader(in)), "snappy", limits)
	}
	// The block format states its decoded length first: check it before allocating anything.
	n, err := snappy.DecodedLen(in)
	if err != nil {
		return nil, invalid("snappy", err)
	}
	if int64(n) > limits.Decompressed {
		return nil, tooLarge("decompressed request body", limits.Decompressed)
	}
	// Snappy can't shrink data more than about 21 times: a larger claim is a lie, and believing
	// it would let a body of a few bytes allocate the whole limit.
	if n > 64+len(in)*32 {
		return nil, invalid("snappy", snappy.ErrCorrupt)
	}
	if err := limits.InFlight.take(int64(n)); err != nil {
		return nil, err
	}
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	buf.Grow(n)
	out, err := snappy.Decode(buf.AvailableBuffer()[:n], in)
	b := &Buffer{buf, limits.InFlight, int64(n)}
	if err != nil {
		b.Release()
		return nil, invalid("snappy", err)
	}
	buf.Write(out)
	return b, nil
}

func invalid(encoding string, err error) error {
	return fault.Invalidf("decode %s request body: %w", encoding, err)
}

func tooLarge(what string, limit int64) error {
	return fault.New(fault.TooLarge, fmt.Errorf("%s is larger than the limit of %d bytes", what, limit))
}

// chargedReader takes what it reads out of the buffer's budget.
type chargedReader struct {
	r io.Reader
	b *Buffer
}

func (c *chargedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 {
		if err := c.b.budget.take(int64(n)); err != nil {
			return 0, err
		}
		c.b.taken += int64(n)
	}
	return n, err
}

// boundedReader answers err instead of reading past left bytes.
type boundedReader struct {
	r    io.Reader
	left int64
	err  error
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.err
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n, b.err
	}
	return n, err
}
