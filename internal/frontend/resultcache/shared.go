package resultcache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"

	"github.com/hune-io/hune/internal/cache"
)

// What processes leave for each other under a key are extents, compressed with S2: a version, 1, the step, the number of
// extents, and of each its ends, the length of its encoded answer, and that. Numbers are varints.
const sharedVersion = 1

// maxDecoded bounds what is unpacked: as much as MaxResult can be when it holds much of the same.
const maxDecoded = 16 * cache.MaxResult

// worth is the part of a request that is worth fetching from others, and of what is kept that is worth leaving for them:
// one in so many. A dashboard that is shown again computes its newest few evaluation times sooner than all are fetched.
const worth = 8

// look returns what is kept under key, here or by others, and still true.
func (c *Cache[T]) look(ctx context.Context, key string, r *Request, seq uint64) (kept[T], cache.View) {
	old := c.lookup(key, r)
	if c.o.Shared == nil {
		return old, cache.View{State: cache.Alone}
	}
	missing, of := old.missing(r)
	view, value := c.o.Shared.Look(ctx, r.Tenant, sharedKey(r), worth*missing > of)
	if old.stamp != view.Stamp {
		old = kept[T]{}
	}
	if value == nil {
		return old, view
	}
	theirs, err := c.unpack(r, value)
	if err != nil {
		c.damaged.Inc()
		return old, view
	}
	k := kept[T]{extents: old.extents, seq: seq, token: r.Token, stamp: view.Stamp}
	for _, x := range theirs {
		k.extents = c.merge(r, k, x)
	}
	c.store(key, k)
	return k, view
}

// sharedKey is Key with all that an answer depends on but its times, and what Shared knows.
func sharedKey(r *Request) string { return fmt.Sprintf("%v\x00%s", r.Token, r.Key) }

// holds reports whether what was computed since view was looked at may be kept.
func (c *Cache[T]) holds(view cache.View) bool { return c.o.Shared == nil || c.o.Shared.Holds(view) }

// missing returns how many evaluation times of r are not in k, of those that are kept at all.
func (k kept[T]) missing(r *Request) (missing, of int64) {
	end := r.last(min(r.End, r.Fresh))
	if end < r.Start {
		return 0, 0
	}
	of = r.count(r.Start, end)
	missing = of
	for _, x := range k.extents {
		if from, to := max(x.from, r.Start), min(x.to, end); from <= to && (x.from-r.Start)%r.Step == 0 {
			missing -= r.count(from, to)
		}
	}
	return missing, of
}

// share leaves k for others, if enough of it is new to them.
func (c *Cache[T]) share(r *Request, view cache.View, k *kept[T]) {
	if view.State != cache.Sure {
		return
	}
	all := int64(0)
	for _, x := range k.extents {
		all += r.count(x.from, x.to)
	}
	if worth*k.own < all {
		return
	}
	k.own = 0
	packed, err := c.pack(r, k.extents)
	if err != nil {
		c.unshared.Inc()
		return
	}
	c.o.Shared.Keep(view, r.Tenant, sharedKey(r), packed)
}

var (
	errNotEncoded = errors.New("the answer can't be encoded")
	errLarge      = errors.New("the answer is too large")
	errPacked     = errors.New("this is no answer that was left")
)

func (c *Cache[T]) pack(r *Request, extents []extent[T]) ([]byte, error) {
	b := binary.AppendVarint([]byte{sharedVersion}, r.Step)
	b = binary.AppendUvarint(b, uint64(len(extents)))
	var answer []byte
	for _, x := range extents {
		var ok bool
		var err error
		if answer, ok, err = c.o.Codec.Append(answer[:0], x.v); err != nil {
			return nil, err
		}
		if !ok {
			return nil, errNotEncoded
		}
		b = binary.AppendVarint(binary.AppendVarint(b, x.from), x.to)
		b = append(binary.AppendUvarint(b, uint64(len(answer))), answer...)
		if len(b) > maxDecoded {
			return nil, errLarge
		}
	}
	return s2.Encode(nil, b), nil
}

// unpack returns the extents in a value, ascending and apart.
func (c *Cache[T]) unpack(r *Request, value []byte) ([]extent[T], error) {
	if n, err := s2.DecodedLen(value); err != nil || n > maxDecoded {
		return nil, errPacked
	}
	b, err := s2.Decode(nil, value)
	if err != nil || len(b) == 0 || b[0] != sharedVersion {
		return nil, errPacked
	}
	d := unpacker{b: b[1:]}
	if d.varint() != r.Step {
		return nil, errPacked
	}
	var out []extent[T]
	for range d.uvarint() {
		x := extent[T]{from: d.varint(), to: d.varint()}
		answer := d.take(d.uvarint())
		if d.bad || x.to < x.from || len(out) > 0 && x.from <= out[len(out)-1].to {
			return nil, errPacked
		}
		if x.v, err = c.o.Codec.Decode(answer); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	if d.bad || len(d.b) > 0 {
		return nil, errPacked
	}
	return out, nil
}

// unpacker reads from the front of b.
type unpacker struct {
	b   []byte
	bad bool
}

func (d *unpacker) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	return d.read(v, n)
}

func (d *unpacker) varint() int64 {
	v, n := binary.Varint(d.b)
	return int64(d.read(uint64(v), n))
}

func (d *unpacker) read(v uint64, n int) uint64 {
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *unpacker) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}
