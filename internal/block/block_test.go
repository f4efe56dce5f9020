package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// memory is a RangeReader over one object in memory that remembers what was asked of it.
type memory struct {
	data []byte
	err  error

	mu   sync.Mutex
	asks [][2]int64 // offset, length
}

func (m *memory) ReadRange(_ context.Context, _ string, off, n int64) ([]byte, error) {
	m.mu.Lock()
	m.asks = append(m.asks, [2]int64{off, n})
	m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	off = min(off, int64(len(m.data)))
	return m.data[off:min(off+n, int64(len(m.data)))], nil
}

func (m *memory) open(t testing.TB, opts ReaderOptions) *Reader {
	t.Helper()
	r, err := Open(context.Background(), m, "t/logs/b/data.hune", int64(len(m.data)), opts)
	require.NoError(t, err)
	return r
}

// sample returns the content of blob i: text for even i, noise for odd ones.
func sample(i, n int) []byte {
	if i%2 == 0 {
		return []byte(strings.Repeat(fmt.Sprintf("line %d of the sample. ", i), n/20+1))[:n]
	}
	rnd := rand.New(rand.NewPCG(uint64(i), 1))
	b := make([]byte, n)
	for k := range b {
		b[k] = byte(rnd.Uint32())
	}
	return b
}

// write makes a block of the given blobs and sections.
func write(t testing.TB, blobs [][]byte, sections map[Kind][]byte) (*memory, []Ref) {
	t.Helper()
	var buf bytes.Buffer
	w := NewWriter(&buf, WriterOptions{})
	var refs []Ref
	for _, b := range blobs {
		ref, err := w.Blob(b, CodecZstd)
		require.NoError(t, err)
		refs = append(refs, ref)
	}
	for k := range Kind(1000) {
		if s, ok := sections[k]; ok {
			require.NoError(t, w.Section(k, s, CodecZstd))
		}
	}
	size, err := w.Close()
	require.NoError(t, err)
	require.EqualValues(t, buf.Len(), size)
	return &memory{data: buf.Bytes()}, refs
}

func TestRoundTrip(t *testing.T) {
	ctx := context.Background()
	var blobs [][]byte
	for i, n := range []int{0, 1, 63, 64, 65, 1000, 100_000, 300_000, 4, 70_000} {
		blobs = append(blobs, sample(i, n))
	}
	sections := map[Kind][]byte{1: nil, 7: sample(2, 50_000), 100: []byte("x")}
	m, refs := write(t, blobs, sections)
	r := m.open(t, ReaderOptions{SuffixLen: 1000})
	for i, ref := range refs {
		got, err := r.Blob(ctx, ref)
		require.NoError(t, err)
		require.True(t, bytes.Equal(blobs[i], got), "blob %d", i)
		d := NewDecoder(ref.AppendTo(nil))
		require.Equal(t, ref, d.Ref())
		require.NoError(t, d.Finish())
	}
	got, err := r.Blobs(ctx, refs)
	require.NoError(t, err)
	for i := range refs {
		require.True(t, bytes.Equal(blobs[i], got[i]), "blob %d", i)
	}
	for k, want := range sections {
		got, err := r.Section(ctx, k)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
	}
	_, err = r.Section(ctx, 8)
	require.ErrorIs(t, err, ErrNoSection)
	require.Equal(t, uint64(len(blobs)), r.Totals().Blobs)
}

func TestNoiseIsStoredRaw(t *testing.T) {
	_, refs := write(t, [][]byte{sample(1, 10_000), sample(2, 10_000)}, nil)
	require.Equal(t, CodecRaw, refs[0].Codec)
	require.EqualValues(t, 10_004, refs[0].StoredLen)
	require.Equal(t, CodecZstd, refs[1].Codec)
	require.Less(t, refs[1].StoredLen, uint32(200))
}

func TestOpenIsOneRequest(t *testing.T) {
	m, _ := write(t, [][]byte{sample(1, 1<<20)}, map[Kind][]byte{1: sample(1, 100_000)})
	r := m.open(t, ReaderOptions{})
	_, err := r.Section(context.Background(), 1)
	require.NoError(t, err)
	require.Len(t, m.asks, 1)
	r.DropSuffix()
	_, err = r.Section(context.Background(), 1)
	require.NoError(t, err)
	require.Len(t, m.asks, 2)
}

func TestBlobsMergesNeighbours(t *testing.T) {
	// Five blobs of 50,000 bytes; asking for 0, 1, 3 leaves a gap of one blob (merged), with a gap
	// limit below that it makes two requests.
	var blobs [][]byte
	for i := range 5 {
		blobs = append(blobs, sample(2*i+1, 50_000))
	}
	m, refs := write(t, blobs, nil)
	for limit, want := range map[int64]int{64 << 10: 1, 10_000: 2} {
		r := m.open(t, ReaderOptions{SuffixLen: 100, MaxGap: limit})
		m.asks = nil
		got, err := r.Blobs(context.Background(), []Ref{refs[3], refs[0], refs[1], refs[3]})
		require.NoError(t, err)
		require.Len(t, m.asks, want)
		for i, k := range []int{3, 0, 1, 3} {
			require.True(t, bytes.Equal(blobs[k], got[i]))
		}
	}
	r := m.open(t, ReaderOptions{SuffixLen: 100, MaxRange: 110_000})
	m.asks = nil
	_, err := r.Blobs(context.Background(), refs)
	require.NoError(t, err)
	require.Len(t, m.asks, 3)
	none, err := r.Blobs(context.Background(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
	r = m.open(t, ReaderOptions{MaxFetch: 60_000})
	_, err = r.Blobs(context.Background(), refs)
	require.ErrorContains(t, err, "at most 60000 are allowed")
}

func TestStoredBlobCopies(t *testing.T) {
	ctx := context.Background()
	blobs := [][]byte{sample(0, 5000), sample(1, 5000)}
	m, refs := write(t, blobs, nil)
	r := m.open(t, ReaderOptions{})
	var buf bytes.Buffer
	w := NewWriter(&buf, WriterOptions{Level: Better})
	var copies []Ref
	for _, ref := range refs {
		stored, err := r.StoredBlob(ctx, ref)
		require.NoError(t, err)
		c, err := w.StoredBlob(stored, ref)
		require.NoError(t, err)
		copies = append(copies, c)
		_, err = w.StoredBlob(stored[1:], ref)
		require.Error(t, err)
	}
	_, err := w.Close()
	require.NoError(t, err)
	got, err := (&memory{data: buf.Bytes()}).open(t, ReaderOptions{}).Blobs(ctx, copies)
	require.NoError(t, err)
	require.Equal(t, blobs, got)
}

func TestWriterRefuses(t *testing.T) {
	w := NewWriter(&bytes.Buffer{}, WriterOptions{})
	_, err := w.Blob(make([]byte, MaxBlobLen+1), CodecZstd)
	require.ErrorContains(t, err, "at most")
	require.NoError(t, w.Section(5, []byte("a"), CodecRaw))
	require.ErrorContains(t, w.Section(5, []byte("b"), CodecRaw), "already has one")
	require.ErrorContains(t, w.Section(6, make([]byte, MaxSectionLen+1), CodecRaw), "at most")
	_, err = w.Close()
	require.NoError(t, err)
	_, err = w.Close()
	require.Error(t, err)
	_, err = w.Blob(nil, CodecRaw)
	require.Error(t, err)
}

// failAfter fails once n bytes were written.
type failAfter int

var errDisk = errors.New("disk full")

func (f *failAfter) Write(p []byte) (int, error) {
	if *f -= failAfter(len(p)); *f < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestWriterErrorSticks(t *testing.T) {
	f := failAfter(100)
	w := NewWriter(&f, WriterOptions{})
	_, err := w.Blob(sample(1, 60), CodecRaw)
	require.NoError(t, err)
	_, err = w.Blob(sample(1, 60), CodecRaw)
	require.ErrorIs(t, err, errDisk)
	require.ErrorIs(t, w.Section(1, nil, CodecRaw), errDisk)
	_, err = w.Close()
	require.ErrorIs(t, err, errDisk)
}

func TestSourceErrorIsNotCorruption(t *testing.T) {
	m, refs := write(t, [][]byte{sample(1, 1000)}, nil)
	r := m.open(t, ReaderOptions{SuffixLen: 100})
	m.err = errDisk
	_, err := r.Blob(context.Background(), refs[0])
	require.ErrorIs(t, err, errDisk)
	require.False(t, IsCorruption(err))
	_, err = Open(context.Background(), m, "x", int64(len(m.data)), ReaderOptions{})
	require.ErrorIs(t, err, errDisk)
}

func TestUnknownVersion(t *testing.T) {
	b := tail{size: 100, minor: 9}.appendTo(nil)
	got, err := decodeTail(b, 100)
	require.NoError(t, err) // a higher minor version is fine
	require.EqualValues(t, 9, got.minor)
	require.ErrorIs(t, checkMajor(2), ErrVersion)
}

func TestInspect(t *testing.T) {
	m, _ := write(t, nil, map[Kind][]byte{3: sample(1, 500), 9: []byte("nine"), 10: []byte("ten")})
	r := m.open(t, ReaderOptions{})
	infos, err := Inspect(context.Background(), r, Describer{Kind: 9, Name: "nine", Describe: func(b []byte) (string, error) {
		return fmt.Sprintf("%d bytes", len(b)), nil
	}}, Describer{Kind: 10, Name: "ten"})
	require.NoError(t, err)
	require.Len(t, infos, 3)
	require.Equal(t, "4 bytes", infos[1].Detail)
	require.Equal(t, "nine", infos[1].Name)
	require.Equal(t, "ten", infos[2].Name)

	r.suffix.Load().data[infos[0].Offset]++ // damage the first section
	infos, err = Inspect(context.Background(), r)
	require.NoError(t, err)
	require.True(t, IsCorruption(infos[0].Err))
	require.NoError(t, infos[1].Err)
}
