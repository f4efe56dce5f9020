package block

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// idBlock is a block with nothing but a filter of IDs.
func idBlock(t testing.TB, entries []IDEntry) ([]byte, IDFilter) {
	t.Helper()
	var buf bytes.Buffer
	w := NewWriter(&buf, WriterOptions{})
	_, err := w.Blob([]byte("something before"), CodecRaw)
	require.NoError(t, err)
	var b IDFilterBuilder
	for _, e := range entries {
		b.Add(e.Hash, e.Page)
	}
	f, err := b.Write(w)
	require.NoError(t, err)
	_, err = w.Close()
	require.NoError(t, err)
	d := NewDecoder(f.AppendTo(nil))
	require.Equal(t, f, d.IDFilter())
	require.NoError(t, d.Finish())
	return buf.Bytes(), f
}

func randomIDs(n, pages int, seed uint64) []IDEntry {
	rnd := rand.New(rand.NewPCG(seed, 1))
	entries := make([]IDEntry, n)
	for i := range entries {
		entries[i] = IDEntry{HashID(binary.BigEndian.AppendUint64(nil, rnd.Uint64())), uint32(rnd.IntN(pages))}
	}
	return entries
}

// Every entry is found on its page by one read of one piece; what was not added is found next to never.
func TestIDFilter(t *testing.T) {
	for _, n := range []int{0, 1, 2, 300, 20_000, 300_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			entries := randomIDs(n, 60, uint64(n))
			data, f := idBlock(t, entries)
			src := &countingSource{data: data}
			for _, e := range entries[:min(n, 2000)] {
				src.requests, src.bytes = 0, 0
				p, err := f.Lookup(t.Context(), src, "test", int64(len(data)), e.Hash)
				require.NoError(t, err)
				require.True(t, p.Has(int(e.Page)), "%v in %v", e, p)
				require.Equal(t, [2]int{1, f.PieceLen + checksumLen}, [2]int{src.requests, src.bytes})
				require.LessOrEqual(t, src.bytes, 1024)
			}
			wrong := 0
			for i := range uint64(5000) {
				p, err := f.Lookup(t.Context(), src, "test", int64(len(data)), HashID(binary.LittleEndian.AppendUint64(nil, i)))
				require.NoError(t, err)
				if !p.None() {
					wrong++
				}
			}
			require.LessOrEqual(t, wrong, 5)
			if n > 1000 {
				perEntry := float64(f.Pieces) * idPieceStored / float64(f.Entries)
				require.Less(t, perEntry, 4.0)
				t.Logf("%d entries: %.2f bytes each", n, perEntry)
			}
		})
	}
}

type countingSource struct {
	data            []byte
	requests, bytes int
}

func (s *countingSource) ReadRange(_ context.Context, _ string, off, n int64) ([]byte, error) {
	s.requests++
	s.bytes += int(n)
	off = min(off, int64(len(s.data)))
	return s.data[off:min(off+n, int64(len(s.data)))], nil
}

// An ID that is everywhere doesn't fill the filter: it is on any page.
func TestIDFilterBoundsPagesOfAnID(t *testing.T) {
	entries := randomIDs(3000, 5000, 3)
	for page := range uint32(5000) {
		entries = append(entries, IDEntry{77, page})
	}
	for page := range uint32(MaxIDPages) {
		entries = append(entries, IDEntry{99, page}, IDEntry{99, page})
	}
	data, f := idBlock(t, entries)
	r, err := Open(t.Context(), &countingSource{data: data}, "test", int64(len(data)), ReaderOptions{})
	require.NoError(t, err)
	p, err := r.LookupID(t.Context(), f, 77)
	require.NoError(t, err)
	require.Equal(t, IDPages{Any: true}, p)
	p, err = r.LookupID(t.Context(), f, 99)
	require.NoError(t, err)
	require.Len(t, p.List, MaxIDPages)
}

// What is read back is what was added, so a filter can be made of filters.
func TestIDEntries(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) IDEntry {
			return IDEntry{
				IDHash(rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(0, 20), rapid.Uint32Range(1<<32-3, 1<<32-1)).Draw(t, "hash")),
				rapid.OneOf(rapid.Uint32Range(0, 40), rapid.Just(uint32(AnyPage))).Draw(t, "page"),
			}
		}), 0, 3000).Draw(rt, "entries")
		data, f := idBlock(t, entries)
		r, err := Open(t.Context(), &countingSource{data: data}, "test", int64(len(data)), ReaderOptions{})
		require.NoError(rt, err)
		got, err := r.IDEntries(t.Context(), f)
		require.NoError(rt, err)
		want := compactIDs(slices.Clone(entries))
		require.Equal(rt, len(want), len(got))
		for i := range want {
			require.Equal(rt, want[i], got[i])
		}
		for _, e := range entries {
			p, err := r.LookupID(t.Context(), f, e.Hash)
			require.NoError(rt, err)
			require.True(rt, p.Has(int(e.Page)))
		}
	})
}

// A damaged piece is an error, and spoils no other one.
func TestIDFilterDamage(t *testing.T) {
	entries := randomIDs(20_000, 9, 4)
	data, f := idBlock(t, entries)
	for _, at := range []int{0, 1, 500, 1019, 1023} {
		bad := slices.Clone(data)
		bad[f.ref(7).Offset+uint64(at)] ^= 4
		damaged := 0
		for _, e := range entries {
			p, err := f.Lookup(t.Context(), &countingSource{data: bad}, "test", int64(len(bad)), e.Hash)
			if idPiece(e.Hash, f.Pieces) == 7 {
				require.True(t, IsCorruption(err), "%v", err)
				damaged++
				continue
			}
			require.NoError(t, err)
			require.True(t, p.Has(int(e.Page)))
		}
		require.Positive(t, damaged)
	}
	// Two pieces that changed places have good checksums.
	bad := slices.Clone(data)
	copy(bad[f.ref(3).Offset:], data[f.ref(4).Offset:][:idPieceStored])
	i := slices.IndexFunc(entries, func(e IDEntry) bool { return idPiece(e.Hash, f.Pieces) == 3 })
	_, err := f.Lookup(t.Context(), &countingSource{data: bad}, "test", int64(len(bad)), entries[i].Hash)
	require.ErrorContains(t, err, "piece 4 where 3 should be")

	f.Offset = 1 << 60
	_, err = f.Lookup(t.Context(), &countingSource{data: data}, "test", int64(len(data)), 1)
	require.True(t, IsCorruption(err))
}

func FuzzIDPiece(f *testing.F) {
	good := appendIDPieces(nil, compactIDs(randomIDs(200, 5, 1)))
	f.Add(good)
	f.Add(make([]byte, idPieceLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := decodeIDPiece(b, 0, 1)
		if err == nil && !slices.IsSortedFunc(entries, func(a, b IDEntry) int { return int(int64(a.Hash) - int64(b.Hash)) }) {
			t.Fatal("hashes out of order")
		}
	})
}

func TestSmallFilter(t *testing.T) {
	require.False(t, NewSmallFilter(nil).MayHold("x"))
	require.False(t, SmallFilter("short").MayHold("x"))
	var values []string
	for i := range 3000 {
		values = append(values, fmt.Sprintf("pod-%d", i))
	}
	f := NewSmallFilter(values)
	for _, v := range values {
		require.True(t, f.MayHold(v))
	}
	wrong := 0
	for i := range 10_000 {
		if f.MayHold(fmt.Sprintf("other-%d", i)) {
			wrong++
		}
	}
	require.Less(t, wrong, 300)
	require.Less(t, len(f), 3000*10/8+smallBucketLen)
}

func BenchmarkIDFilterLookup(b *testing.B) {
	entries := randomIDs(100_000, 60, 1)
	data, f := idBlock(b, entries)
	src := &countingSource{data: data}
	i := 0
	for b.Loop() {
		if _, err := f.Lookup(b.Context(), src, "test", int64(len(data)), entries[i%len(entries)].Hash); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkIDFilterBuild(b *testing.B) {
	entries := randomIDs(100_000, 60, 1)
	for b.Loop() {
		appendIDPieces(nil, compactIDs(slices.Clone(entries)))
	}
}
