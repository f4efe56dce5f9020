package block

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"hash/crc32"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

const golden = "testdata/v1.hune"

// The content of the golden file. It must stay readable for ever: a change of the format is a new
// major version with a golden file of its own, and this one keeps passing.
var (
	goldenBlobs = [][]byte{
		[]byte("a short blob is stored raw"),
		[]byte(strings.Repeat("a long one is compressed. ", 40)),
		{},
	}
	goldenInts    = []int64{1700000000_000000000, 1700000001_000000000, 1700000002_000000000, 1700000003_000000001}
	goldenNoise   = []int64{math.MinInt64, -1, 0, 1, math.MaxInt64}
	goldenPacked  = []uint16{0, 1, 2, 3, 500, 7}
	goldenPlain   = []string{"alpha", "", "gamma"}
	goldenDict    = []string{"GET", "GET", "POST", "GET", "GET"}
	goldenFloats  = []float64{1.5, math.Inf(-1), math.Copysign(0, -1)}
	goldenWhole   = []float64{200, 404, 500}
	goldenBits    = []int{0, 3, 64, 99}
	goldenMany    = 100
	kindRefs      = Kind(1)
	kindColumns   = Kind(100)
	kindEmpty     = Kind(101)
	goldenStrings = []string{"service.name", "level"}
)

func goldenColumns() []byte {
	var b []byte
	b = AppendInts(b, goldenInts)
	b = AppendInts(b, goldenNoise)
	b = AppendPacked(b, goldenPacked)
	b = AppendStrings(b, valuesOf(goldenPlain...))
	b = AppendStrings(b, valuesOf(goldenDict...))
	b = AppendFloats(b, goldenFloats)
	b = AppendFloats(b, goldenWhole)
	bm, sparse := NewBitmap(goldenMany), NewBitmap(goldenMany)
	for _, i := range goldenBits {
		bm.Set(i)
	}
	sparse.Set(42)
	b = AppendBitmap(b, bm)
	b = AppendBitmap(b, sparse)
	sparse.Not()
	b = AppendBitmap(b, sparse)
	b = AppendStringList(b, goldenStrings)
	return binary.AppendVarint(b, -5)
}

func checkGoldenColumns(t require.TestingT, b []byte) {
	d := NewDecoder(b)
	require.Equal(t, goldenInts, DecodeInts[int64](d, nil, len(goldenInts)))
	require.Equal(t, goldenNoise, DecodeInts[int64](d, nil, len(goldenNoise)))
	require.Equal(t, goldenPacked, DecodeInts[uint16](d, nil, len(goldenPacked)))
	for _, want := range [][]string{goldenPlain, goldenDict} {
		var s Strings
		d.Strings(&s, len(want))
		require.Equal(t, len(want), s.Len())
		for i := range want {
			require.Equal(t, want[i], string(s.At(i)))
		}
	}
	for _, want := range [][]float64{goldenFloats, goldenWhole} {
		got := DecodeFloats(d, nil, len(want))
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, math.Float64bits(want[i]), math.Float64bits(got[i]))
		}
	}
	var bm Bitmap
	d.Bitmap(&bm, goldenMany)
	require.Equal(t, len(goldenBits), bm.Count())
	for _, i := range goldenBits {
		require.True(t, bm.Get(i))
	}
	d.Bitmap(&bm, goldenMany)
	require.Equal(t, 42, bm.Next(0))
	require.Equal(t, 1, bm.Count())
	d.Bitmap(&bm, goldenMany)
	require.False(t, bm.Get(42))
	require.Equal(t, goldenMany-1, bm.Count())
	require.Equal(t, goldenStrings, d.StringList())
	require.EqualValues(t, -5, d.Varint())
	require.NoError(t, d.Finish())
}

func writeGolden(t require.TestingT) []byte {
	var buf bytes.Buffer
	w := NewWriter(&buf, WriterOptions{})
	refs := binary.AppendUvarint(nil, uint64(len(goldenBlobs)))
	for _, b := range goldenBlobs {
		ref, err := w.Blob(b, CodecZstd)
		require.NoError(t, err)
		refs = ref.AppendTo(refs)
	}
	require.NoError(t, w.Section(kindColumns, goldenColumns(), CodecZstd))
	require.NoError(t, w.Section(kindEmpty, nil, CodecZstd))
	require.NoError(t, w.Section(kindRefs, refs, CodecRaw))
	_, err := w.Close()
	require.NoError(t, err)
	return buf.Bytes()
}

// readBlock reads everything in a block: its sections and the blobs that section kindRefs leads to.
func readBlock(data []byte, suffix int64) (sections map[Kind][]byte, blobs [][]byte, err error) {
	ctx := context.Background()
	r, err := Open(ctx, &memory{data: data}, "b", int64(len(data)), ReaderOptions{SuffixLen: suffix})
	if err != nil {
		return nil, nil, err
	}
	sections = map[Kind][]byte{}
	for _, e := range r.footer.sections {
		if sections[e.kind], err = r.Section(ctx, e.kind); err != nil {
			return nil, nil, err
		}
	}
	d := NewDecoder(sections[kindRefs])
	refs := make([]Ref, d.Count(100, 4))
	for i := range refs {
		refs[i] = d.Ref()
	}
	if err := d.Finish(); err != nil {
		return nil, nil, err
	}
	blobs, err = r.Blobs(ctx, refs)
	return sections, blobs, err
}

func TestGolden(t *testing.T) {
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata", 0o777))
		require.NoError(t, os.WriteFile(golden, writeGolden(t), 0o666))
	}
	data, err := os.ReadFile(golden)
	require.NoError(t, err)
	for _, b := range [][]byte{data, writeGolden(t)} {
		sections, blobs, err := readBlock(b, 0)
		require.NoError(t, err)
		require.Len(t, sections, 3)
		require.Empty(t, sections[kindEmpty])
		checkGoldenColumns(t, sections[kindColumns])
		require.Len(t, blobs, len(goldenBlobs))
		for i := range blobs {
			require.True(t, bytes.Equal(goldenBlobs[i], blobs[i]))
		}
	}
}

// same reports whether a damaged block reads as the whole one does.
func same(sections, want map[Kind][]byte, blobs, wantBlobs [][]byte) bool {
	if len(sections) != len(want) || len(blobs) != len(wantBlobs) {
		return false
	}
	for k := range want {
		if !bytes.Equal(sections[k], want[k]) {
			return false
		}
	}
	for i := range blobs {
		if !bytes.Equal(blobs[i], wantBlobs[i]) {
			return false
		}
	}
	return true
}

// TestEveryBit flips each bit of a block: the reader reports corruption, or reads what was written.
func TestEveryBit(t *testing.T) {
	data, err := os.ReadFile(golden)
	require.NoError(t, err)
	sections, blobs, err := readBlock(data, 0)
	require.NoError(t, err)
	silent := 0
	for i := range data {
		for bit := range 8 {
			data[i] ^= 1 << bit
			for _, suffix := range []int64{0, 40, 300} {
				s, b, err := readBlock(data, suffix)
				switch {
				case err == nil && !same(s, sections, b, blobs):
					t.Fatalf("bit %d of byte %d, suffix %d: wrong answer", bit, i, suffix)
				case err == nil:
					silent++
					require.Less(t, i, headerLen, "bit %d of byte %d: nobody noticed", bit, i)
				case !IsCorruption(err):
					t.Fatalf("bit %d of byte %d: %v is not a CorruptionError", bit, i, err)
				}
			}
			data[i] ^= 1 << bit
		}
	}
	// Only the header goes unnoticed, where the suffix doesn't reach it.
	require.Equal(t, 2*8*headerLen, silent)
}

// TestEveryLength truncates a block to each length, and adds bytes to it.
func TestEveryLength(t *testing.T) {
	data, err := os.ReadFile(golden)
	require.NoError(t, err)
	for n := range data {
		_, _, err := readBlock(data[:n], 0)
		require.True(t, IsCorruption(err), "%d bytes: %v", n, err)
		_, err = Open(context.Background(), &memory{data: data[:n]}, "b", int64(len(data)), ReaderOptions{})
		require.True(t, IsCorruption(err), "%d bytes of %d: %v", n, len(data), err)
	}
	_, _, err = readBlock(append(data, 0), 0)
	require.True(t, IsCorruption(err))
}

func TestHostileRefs(t *testing.T) {
	data, err := os.ReadFile(golden)
	require.NoError(t, err)
	r := (&memory{data: data}).open(t, ReaderOptions{})
	for _, ref := range []Ref{
		{}, {Offset: 0, StoredLen: 10, RawLen: 6}, {Offset: math.MaxUint64, StoredLen: 10, RawLen: 6},
		{Offset: 16, StoredLen: 3, RawLen: 0}, {Offset: 16, StoredLen: math.MaxUint32, RawLen: 6},
		{Offset: uint64(len(data)), StoredLen: 4}, {Offset: r.end, StoredLen: 4}, {Offset: r.end - 3, StoredLen: 4},
		{Offset: 16, StoredLen: 30, RawLen: math.MaxUint32, Codec: CodecZstd}, {Offset: 16, StoredLen: 30, RawLen: 25},
		{Offset: 16, StoredLen: 30, RawLen: 26, Codec: 9}, {Offset: 17, StoredLen: 30, RawLen: 26},
		{Offset: 16, StoredLen: 30, RawLen: 27, Codec: CodecZstd},
	} {
		_, err := r.Blob(context.Background(), ref)
		require.True(t, IsCorruption(err), "%+v: %v", ref, err)
		_, err = r.Blobs(context.Background(), []Ref{ref, ref})
		require.True(t, IsCorruption(err), "%+v: %v", ref, err)
	}
}

// TestHostileFooter builds footers whose checksums are right and whose content is not.
func TestHostileFooter(t *testing.T) {
	for name, entries := range map[string][]sectionEntry{
		"outside":    {{kind: 1, offset: 1 << 40, stored: 1, raw: 1}},
		"header":     {{kind: 1, offset: 3, stored: 1, raw: 1}},
		"overflow":   {{kind: 1, offset: headerLen, stored: math.MaxUint64, raw: 1}},
		"huge":       {{kind: 1, offset: headerLen, stored: 10, raw: 1 << 50, codec: CodecZstd}},
		"raw length": {{kind: 1, offset: headerLen, stored: 10, raw: 11}},
		"codec":      {{kind: 1, offset: headerLen, stored: 10, raw: 10, codec: 7}},
		"twice":      {{kind: 1, offset: headerLen, stored: 0}, {kind: 1, offset: headerLen, stored: 0}},
	} {
		f := footer{sections: entries}
		_, err := decodeFooter(f.appendTo(nil), 1000)
		require.Error(t, err, name)
	}
	f := footer{sections: []sectionEntry{{kind: 1, offset: headerLen}}, totals: Totals{Blobs: 1}}
	_, err := decodeFooter(append(f.appendTo(nil), "of a later minor version"...), 1000)
	require.NoError(t, err)
}

// TestZstdBomb puts a frame under a Ref that says too little or too much of it.
func TestZstdBomb(t *testing.T) {
	frame, codec := compress(nil, make([]byte, 1<<20), CodecZstd, Fast)
	require.Equal(t, CodecZstd, codec)
	_, err := unzstd(frame, 1<<20, nil)
	require.NoError(t, err)
	for _, n := range []int{0, 1000, 1<<20 - 1, 1<<20 + 1, MaxBlobLen} {
		_, err := unzstd(frame, n, nil)
		require.Error(t, err)
	}
	_, err = unzstd(append(frame, frame...), 1<<20, nil)
	require.Error(t, err)
	_, err = unzstd(nil, 0, nil)
	require.Error(t, err)
}

// FuzzOpen reads a block whose payload and footer are hostile and whose checksums of them are right:
// the container may fail as it likes, with a CorruptionError.
func FuzzOpen(f *testing.F) {
	data, err := os.ReadFile(golden)
	require.NoError(f, err)
	r := (&memory{data: data}).open(f, ReaderOptions{})
	refs, err := r.Section(context.Background(), kindRefs)
	require.NoError(f, err)
	f.Add(data[headerLen:r.end], data[r.end:len(data)-tailLen], refs, int64(0))
	f.Add(data[headerLen:100], data[r.end:len(data)-tailLen], refs, int64(50))
	f.Add([]byte{}, (&footer{}).appendTo(nil), []byte{}, int64(40))
	f.Fuzz(func(t *testing.T, payload, foot, refs []byte, suffix int64) {
		ctx := context.Background()
		data := append(append(appendHeader(nil), payload...), foot...)
		data = tail{footerLen: uint32(len(foot)), footerCRC: crc32.Checksum(foot, castagnoli), size: uint64(len(data) + tailLen)}.appendTo(data)
		r, err := Open(ctx, &memory{data: data}, "b", int64(len(data)), ReaderOptions{SuffixLen: suffix % 1000})
		if err != nil {
			require.True(t, IsCorruption(err), "%v", err)
			return
		}
		infos, err := Inspect(ctx, r)
		require.NoError(t, err)
		for _, info := range infos {
			require.True(t, info.Err == nil || IsCorruption(info.Err), "%v", info.Err)
		}
		d := NewDecoder(refs)
		list := make([]Ref, d.Count(100, 4))
		for i := range list {
			list[i] = d.Ref()
			if _, err := r.Blob(ctx, list[i]); err != nil {
				require.True(t, IsCorruption(err), "%v", err)
			}
		}
		if _, err := r.Blobs(ctx, list); err != nil {
			require.True(t, IsCorruption(err) || strings.Contains(err.Error(), "at once"), "%v", err)
		}
	})
}

// FuzzFooter decodes hostile footers: the part of the file that a checksum protects from accidents,
// but not from malice.
func FuzzFooter(f *testing.F) {
	w := footer{sections: []sectionEntry{{kind: 1, offset: headerLen, stored: 10, raw: 10, crc: 7}}}
	f.Add(w.appendTo(nil), uint64(1000))
	f.Fuzz(func(t *testing.T, b []byte, end uint64) {
		got, err := decodeFooter(b, end%(1<<40))
		if err != nil {
			return
		}
		again, err := decodeFooter(got.appendTo(nil), end%(1<<40))
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}
