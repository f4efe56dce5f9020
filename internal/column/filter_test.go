package column

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The hash, the choice of the block and the bits are part of the format: filters on disk rely on them.
func TestFilterFormat(t *testing.T) {
	for _, c := range []struct {
		value string
		hash  uint64
		block int // of 1000
		bits  [6]uint32
	}{
		{"", 0xef46db3751d8e999, 934, [6]uint32{238, 7, 207, 228, 117, 180}},
		{"4bf92f3577b34da6a3ce929d0e0e4736", 0x2ab28d25664b8cfd, 166, [6]uint32{40, 7, 166, 109, 112, 165}},
		{"-1608999687919862906", 0xbba91f4d66e455d, 45, [6]uint32{81, 61, 231, 43, 80, 229}},
	} {
		h := filterHash([]byte(c.value))
		require.Equal(t, c.hash, h, c.value)
		require.Equal(t, c.block, filterBlock(h, 1000), c.value)
		for i, salt := range filterSalts {
			require.Equal(t, c.bits[i], filterBit(h, salt), c.value)
		}
	}

	var b filterBuilder
	require.Nil(t, b.build())
	b.add([]byte("4bf92f3577b34da6a3ce929d0e0e4736"))
	b.add([]byte("4bf92f3577b34da6a3ce929d0e0e4736"))
	want := make([]byte, 32)
	for _, bit := range []int{40, 7, 166, 109, 112, 165} {
		want[bit/8] |= 1 << (bit % 8)
	}
	require.Equal(t, [][]byte{want}, b.build())
	b.reset()
	require.Nil(t, b.build())
}

func TestFilterPieces(t *testing.T) {
	for _, c := range []struct{ values, pieces, last int }{
		{1, 1, 32},
		{25, 1, 32},
		{26, 1, 64},
		{819, 1, 1024},
		{820, 2, 1024},
		{10_000, 13, 1024},
	} {
		var b filterBuilder
		for i := range c.values {
			b.add(binary.LittleEndian.AppendUint32(nil, uint32(i)))
		}
		pieces := b.build()
		require.Len(t, pieces, c.pieces, "%d values", c.values)
		require.Len(t, pieces[c.pieces-1], c.last, "%d values", c.values)
		for _, p := range pieces[:c.pieces-1] {
			require.Len(t, p, filterBlobLen)
		}
	}
}

// pageOfFilter returns a page that has nothing but a filter of values, and a Reader that is given no
// blobs.
func pageOfFilter(values [][]byte) (*Reader, [][]byte) {
	var b filterBuilder
	for _, v := range values {
		b.add(v)
	}
	pieces := b.build()
	p := &Page{Blobs: []BlobInfo{{Class: Bulk, RawLen: 100}}, Filter: FilterInfo{First: 1, Blobs: len(pieces)}}
	for _, piece := range pieces {
		p.Blobs = append(p.Blobs, BlobInfo{Class: Filters, RawLen: len(piece)})
	}
	return NewReader(p), pieces
}

func TestFilterProbe(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([][]byte, 20_000)
	for i := range values {
		values[i] = binary.LittleEndian.AppendUint64(nil, rng.Uint64())
	}
	r, pieces := pageOfFilter(values)

	maybe, known := r.mayHold(values[0])
	require.True(t, maybe, "without the piece the answer is maybe")
	require.False(t, known)
	wanted := r.Wanted()
	require.Len(t, wanted, 1, "one piece answers")
	for i, p := range pieces {
		r.Supply(1+i, p)
	}
	for _, v := range values {
		maybe, known := r.mayHold(v)
		require.True(t, maybe)
		require.True(t, known)
	}
	wrong := 0
	for range 100_000 {
		if maybe, _ := r.mayHold(binary.LittleEndian.AppendUint64(nil, rng.Uint64())); maybe {
			wrong++
		}
	}
	require.Less(t, wrong, 2_000, "of 100 000 probes for values that aren't there")
	t.Logf("%d of 100 000 probes answered maybe for nothing", wrong)
	require.Empty(t, r.Wanted())
	require.NoError(t, r.Err())
}

func TestFilterlessPageMayHoldAnything(t *testing.T) {
	r, _ := pageOfFilter(nil)
	maybe, known := r.mayHold([]byte("x"))
	require.True(t, maybe)
	require.True(t, known)
	require.Empty(t, r.Wanted())
}
