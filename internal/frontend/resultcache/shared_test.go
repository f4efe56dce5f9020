package resultcache

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// sharedCodec is codec with a form that two bytes can be wrong in.
func sharedCodec() Codec[answer] {
	c := codec
	c.Append = func(dst []byte, a answer) ([]byte, bool, error) {
		for _, p := range a {
			if p.v < 0 {
				return dst, false, nil
			}
			dst = binary.AppendVarint(binary.AppendVarint(dst, p.t), p.v)
		}
		return dst, true, nil
	}
	c.Decode = func(b []byte) (a answer, err error) {
		d := unpacker{b: b}
		for len(d.b) > 0 {
			a = append(a, point{d.varint(), d.varint()})
		}
		if d.bad {
			return nil, errPacked
		}
		return a, nil
	}
	return c
}

func sharingCache() *Cache[answer] {
	return New(Options[answer]{Size: 10_000, Codec: sharedCodec(), Registerer: prometheus.NewRegistry(), Name: "test"})
}

func TestPack(t *testing.T) {
	c, r := sharingCache(), &Request{Step: 10}
	want := []extent[answer]{{-20, 10, answer{{-20, 1}, {10, 2}}}, {50, 50, nil}}
	packed, err := c.pack(r, want)
	require.NoError(t, err)
	got, err := c.unpack(r, packed)
	require.NoError(t, err)
	require.Equal(t, want, got)

	_, err = c.unpack(&Request{Step: 11}, packed)
	require.ErrorIs(t, err, errPacked, "another step")
	_, err = c.pack(r, []extent[answer]{{0, 0, answer{{0, -1}}}})
	require.ErrorIs(t, err, errNotEncoded)
	_, err = c.pack(r, []extent[answer]{{0, 0, make(answer, maxDecoded)}})
	require.ErrorIs(t, err, errLarge)
	for i := range packed {
		_, err = c.unpack(r, packed[:i])
		require.ErrorIs(t, err, errPacked)
	}
	plain, err := s2.Decode(nil, packed)
	require.NoError(t, err)
	for name, b := range map[string][]byte{"another version": append([]byte{2}, plain[1:]...), "more": append(slices.Clone(plain), 0), "none": nil, "large": make([]byte, maxDecoded+1),
		"in no order": must(c.pack(r, []extent[answer]{want[1], want[0]}))} {
		if name != "in no order" {
			b = s2.Encode(nil, b)
		}
		_, err := c.unpack(r, b)
		require.ErrorIs(t, err, errPacked, name)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// What is missing is counted on the grid of the request, and only as far as answers are kept.
func TestMissing(t *testing.T) {
	k := kept[answer]{extents: []extent[answer]{{0, 100, nil}, {135, 185, nil}, {200, 300, nil}}}
	for name, c := range map[string]struct {
		r           Request
		missing, of int64
	}{
		"all there":     {Request{Start: 20, End: 90, Fresh: 1000}, 0, 8},
		"some":          {Request{Start: 50, End: 250, Fresh: 1000}, 9, 21},
		"another grid":  {Request{Start: 25, End: 95, Fresh: 1000}, 8, 8},
		"not yet kept":  {Request{Start: 50, End: 150, Fresh: 111}, 1, 7},
		"none is kept":  {Request{Start: 50, End: 150, Fresh: 49}, 0, 0},
		"before it all": {Request{Start: -100, End: -50, Fresh: 1000}, 6, 6},
	} {
		c.r.Step = 10
		missing, of := k.missing(&c.r)
		require.Equal(t, [2]int64{c.missing, c.of}, [2]int64{missing, of}, name)
	}
}

func FuzzUnpack(f *testing.F) {
	c := sharingCache()
	f.Add(must(c.pack(&Request{Step: 10}, []extent[answer]{{0, 10, answer{{0, 1}, {10, 2}}}, {50, 50, nil}})))
	f.Add([]byte{sharedVersion})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := &Request{Step: 10}
		for _, value := range [][]byte{in, s2.Encode(nil, in)} {
			extents, err := c.unpack(r, value)
			if err != nil {
				continue
			}
			packed, err := c.pack(r, extents)
			if err != nil {
				continue // a negative value
			}
			again, err := c.unpack(r, packed)
			require.NoError(t, err)
			require.Equal(t, extents, again)
		}
	})
}
