package block

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// viewsOf cuts data as pages do: the first and the last part may be shorter.
func viewsOf(data []byte, first, each int) *Views {
	v := &Views{first: min(first, len(data)), each: each}
	v.parts = append(v.parts, data[:v.first:v.first])
	for at := v.first; at < len(data); at += each {
		end := min(at+each, len(data))
		v.parts = append(v.parts, data[at:end:end])
	}
	return v
}

// What is read in pieces is what stands there, wherever parts end; a piece with a wrong byte is noticed, and no other one.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 1, 2000).Draw(t, "data")
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		blob := data[at:]
		p := PiecesOf(blob)
		stored := append([]byte(nil), data...)
		wrong := -1
		if rapid.Bool().Draw(t, "damaged") {
			wrong = rapid.IntRange(0, len(blob)-1).Draw(t, "wrong")
			stored[at+wrong] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		v := viewsOf(stored, rapid.IntRange(1, 300).Draw(t, "first"), rapid.IntRange(1, 300).Draw(t, "each"))
		var r PieceReader
		r.Reset(p, v, at)
		bad := false
		for range rapid.IntRange(1, 20).Draw(t, "reads") {
			n := rapid.IntRange(1, min(16, len(blob))).Draw(t, "n")
			off := rapid.IntRange(0, len(blob)-n).Draw(t, "off")
			got := r.Bytes(off, n)
			require.Equal(t, stored[at+off:at+off+n], got)
			bad = bad || wrong >= 0 && wrong/pieceLen >= off/pieceLen && wrong/pieceLen <= (off+n-1)/pieceLen
			if bad {
				require.ErrorIs(t, r.Err(), errChecksum)
			} else {
				require.NoError(t, r.Err())
			}
		}
	})
}

func TestPackedPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shift := rapid.IntRange(0, 63).Draw(t, "shift")
		list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) int64 { return rapid.Int64().Draw(t, "x") >> shift }), 1, 500).Draw(t, "list")
		blob := AppendPacked(nil, list)
		p := PackedPiecesOf(blob, len(list))
		if mode := blob[0]; mode != layoutPacked<<4|transformFrame {
			require.Nil(t, p)
			return
		}
		before := rapid.IntRange(0, 100).Draw(t, "before")
		views := viewsOf(append(make([]byte, before), blob...), rapid.IntRange(1, 300).Draw(t, "first"), rapid.IntRange(1, 300).Draw(t, "each"))
		var r PieceReader
		v := p.View(&r, views, before)
		for range 50 {
			i := rapid.IntRange(0, len(list)-1).Draw(t, "i")
			require.Equal(t, list[i], v.At(i))
		}
		require.NoError(t, r.Err())
		require.Nil(t, PackedPiecesOf(blob, len(list)+1), "another number of values")
		require.Nil(t, PackedPiecesOf(append(blob, 0), len(list)), "more than a column")
	})
	require.Nil(t, PackedPiecesOf(AppendInts(nil, []int64{3, 1, 2}), 3))
	many := make([]int64, 1000)
	for i := range many {
		many[i] = int64(i*i*7919) % 1e9
	}
	require.Nil(t, PackedPiecesOf(AppendMagnitudes(nil, many), len(many)))
}

// shown is a source that shows an object in parts.
type shown struct {
	data        []byte
	first, each int
}

func (s shown) ReadRange(_ context.Context, _ string, off, n int64) ([]byte, error) {
	return s.data[off : off+n], nil
}

func (s shown) Views(_ context.Context, _ string, off, n int64) ([][]byte, error) {
	return viewsOf(s.data[off:off+n], s.first, s.each).parts, nil
}

func TestReaderViews(t *testing.T) {
	ctx := context.Background()
	data := make([]byte, 1000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	r := &Reader{src: shown{data, 100, 64}, end: 1000}
	v, err := r.Views(ctx, 200, 500)
	require.NoError(t, err)
	var p PieceReader
	p.Reset(PiecesOf(data[200:700]), v, 0)
	for off := 0; off+8 <= 500; off += 3 {
		require.Equal(t, data[200+off:208+off], p.Bytes(off, 8))
	}
	require.NoError(t, p.Err())
	for _, none := range [][2]int{{600, 500}, {1001, 1}, {0, 0}} {
		v, err := r.Views(ctx, uint64(none[0]), none[1])
		require.NoError(t, err)
		require.Nil(t, v)
	}
	r.src = struct{ RangeReader }{r.src}
	v, err = r.Views(ctx, 200, 500)
	require.NoError(t, err)
	require.Nil(t, v, "a source that only copies")
}
