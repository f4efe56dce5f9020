package bucket

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/thanos-io/objstore"
)

// Counter adds up what the requests under one context read from object storage: what a query cost.
// Safe for concurrent use.
type Counter struct {
	requests atomic.Int64
	bytes    atomic.Int64
}

// Requests returns how many objects or ranges were asked for.
func (c *Counter) Requests() int64 { return c.requests.Load() }

// Bytes returns how many bytes of them were read.
func (c *Counter) Bytes() int64 { return c.bytes.Load() }

type counterKey struct{}

// NewContext returns ctx with a Counter in it that the bucket adds to.
func NewContext(ctx context.Context, c *Counter) context.Context {
	return context.WithValue(ctx, counterKey{}, c)
}

// FromContext returns the Counter of ctx, or nil.
func FromContext(ctx context.Context) *Counter {
	c, _ := ctx.Value(counterKey{}).(*Counter)
	return c
}

// counted feeds the Counter of each call's context, and knows errors that were wrapped on the way.
type counted struct {
	objstore.InstrumentedBucket
}

// IsObjNotFoundErr implements objstore.Bucket. The providers look at the outermost error only, which
// after a fmt.Errorf is no longer theirs.
func (b *counted) IsObjNotFoundErr(err error) bool {
	return anyInChain(err, b.InstrumentedBucket.IsObjNotFoundErr)
}

// IsAccessDeniedErr implements objstore.Bucket.
func (b *counted) IsAccessDeniedErr(err error) bool {
	return anyInChain(err, b.InstrumentedBucket.IsAccessDeniedErr)
}

// anyInChain reports whether is holds for err or an error that it wraps.
func anyInChain(err error, is func(error) bool) bool {
	if err == nil {
		return false
	}
	if is(err) {
		return true
	}
	switch w := err.(type) {
	case interface{ Unwrap() error }:
		return anyInChain(w.Unwrap(), is)
	case interface{ Unwrap() []error }:
		for _, e := range w.Unwrap() {
			if anyInChain(e, is) {
				return true
			}
		}
	}
	return false
}

func (b *counted) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	rc, err := b.InstrumentedBucket.Get(ctx, name)
	return count(ctx, rc, err)
}

func (b *counted) GetRange(ctx context.Context, name string, off, length int64) (io.ReadCloser, error) {
	rc, err := b.InstrumentedBucket.GetRange(ctx, name, off, length)
	return count(ctx, rc, err)
}

func (b *counted) WithExpectedErrs(f objstore.IsOpFailureExpectedFunc) objstore.Bucket {
	inner := b.InstrumentedBucket.WithExpectedErrs(f)
	if i, ok := inner.(objstore.InstrumentedBucket); ok {
		return &counted{i}
	}
	return inner
}

func (b *counted) ReaderWithExpectedErrs(f objstore.IsOpFailureExpectedFunc) objstore.BucketReader {
	return b.WithExpectedErrs(f)
}

func count(ctx context.Context, rc io.ReadCloser, err error) (io.ReadCloser, error) {
	c := FromContext(ctx)
	if c == nil {
		return rc, err
	}
	c.requests.Add(1)
	if err != nil {
		return nil, err
	}
	return &countedReader{rc, c}, nil
}

type countedReader struct {
	io.ReadCloser
	c *Counter
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.c.bytes.Add(int64(n))
	return n, err
}

// ObjectSize keeps what objstore knows about the size of the object.
func (r *countedReader) ObjectSize() (int64, error) { return objstore.TryToGetSize(r.ReadCloser) }
