package wal

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/stretchr/testify/require"
)

// fifo makes a pipe at path and opens its reading end.
func fifo(t *testing.T, path string) io.Reader {
	t.Helper()
	require.NoError(t, syscall.Mkfifo(path, 0o666))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// copyLog copies the segments of dir as a crash would leave them: one after the other, each at the
// length that it has at that moment.
func copyLog(t *testing.T, from, to string) {
	t.Helper()
	segs, err := segments(from)
	require.NoError(t, err)
	for _, n := range segs {
		b, err := os.ReadFile(wlog.SegmentName(from, n))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(wlog.SegmentName(to, n), b, 0o666))
	}
}

// TestCrash copies the log at random moments while writers run, damages what was written after the
// last acknowledged byte, and wants back every record that was acknowledged before the copy.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Options{SegmentSize: 300_000})
	var mu sync.Mutex
	acked := map[uint64]bool{}
	stop := make(chan struct{})
	tokens := make(chan struct{}) // paces the writers, so that the log doesn't outgrow its readers
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := g * 1_000_000; ; i++ {
				select {
				case <-stop:
					return
				case <-tokens:
				}
				if err := w.Append(ctx, record(i)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[uint64(i)] = true
				mu.Unlock()
			}
		})
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 25 {
		for range 20 + rnd.IntN(40) {
			tokens <- struct{}{}
		}
		mu.Lock()
		before := make([]uint64, 0, len(acked))
		for i := range acked {
			before = append(before, i)
		}
		mu.Unlock()
		crash := t.TempDir()
		copyLog(t, dir, crash)
		if round%2 == 0 {
			tear(t, crash, rnd)
		}
		found := map[uint64]bool{}
		recs, _ := replayAll(t, crash)
		for _, rec := range recs {
			i := binary.BigEndian.Uint64(rec)
			require.False(t, found[i], "record %d twice", i)
			require.Equal(t, record(int(i)), rec)
			found[i] = true
		}
		for _, i := range before {
			require.True(t, found[i], "round %d: acknowledged record %d is lost", round, i)
		}
	}
	close(stop)
	wg.Wait()
}

// tear appends half a record, or noise, to the last segment, as a write in flight may.
func tear(t *testing.T, dir string, rnd *rand.Rand) {
	segs, err := segments(dir)
	require.NoError(t, err)
	name := wlog.SegmentName(dir, segs[len(segs)-1])
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0o666)
	require.NoError(t, err)
	defer f.Close()
	noise := make([]byte, rnd.IntN(1000))
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	_, err = f.Write(append([]byte{fragFirst, 0x01, 0x00, 1, 2, 3, 4}, noise...))
	require.NoError(t, err)
}

// threeSegments writes records 0 to 299 to three segments of a hundred and returns their files.
func threeSegments(t testing.TB) (dir string, files [3][]byte) {
	dir = t.TempDir()
	w := open(t, dir, Options{})
	for i := range 300 {
		if i > 0 && i%100 == 0 {
			_, err := w.NextSegment()
			require.NoError(t, err)
		}
		require.NoError(t, w.Append(ctx, record(i)))
	}
	require.NoError(t, w.Close())
	for n := range files {
		b, err := os.ReadFile(wlog.SegmentName(dir, n))
		require.NoError(t, err)
		files[n] = b
	}
	return dir, files
}

// TestDamage damages the middle one of three segments. The others must come back whole, the damaged
// one with nothing wrong in it, and whatever is missing must be reported.
func TestDamage(t *testing.T) {
	_, files := threeSegments(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	damages := map[string]func([]byte) []byte{
		"truncated":   func(b []byte) []byte { return b[:rnd.IntN(len(b))] },
		"bit flipped": func(b []byte) []byte { b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8); return b },
		"page zeroed": func(b []byte) []byte {
			clear(b[rnd.IntN(len(b)/pageSize)*pageSize:][:pageSize])
			return b
		},
		"noise": func(b []byte) []byte {
			for i := rnd.IntN(len(b)); i < len(b); i++ {
				b[i] = byte(rnd.Uint32())
			}
			return b
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				dir := t.TempDir()
				for n, b := range files {
					if n == 1 {
						b = damage(append([]byte(nil), b...))
					}
					require.NoError(t, os.WriteFile(wlog.SegmentName(dir, n), b, 0o666))
				}
				recs, stats := replayAll(t, dir)
				var found [3]int
				last := -1
				for _, rec := range recs {
					i := int(binary.BigEndian.Uint64(rec))
					require.Greater(t, i, last)
					last = i
					require.True(t, bytes.Equal(record(i), rec), "record %d", i)
					found[i/100]++
				}
				require.Equal(t, 100, found[0])
				require.Equal(t, 100, found[2])
				if found[1] < 100 && name != "truncated" {
					require.Positive(t, stats.Damaged)
					require.Positive(t, stats.Skipped)
				}
				// One page is damaged: no more records are lost than begin or continue in it.
				if name == "bit flipped" {
					require.GreaterOrEqual(t, found[1], 30)
				}
			}
		})
	}
}

func TestMissingSegment(t *testing.T) {
	dir, _ := threeSegments(t)
	require.NoError(t, os.Remove(wlog.SegmentName(dir, 1)))
	recs, stats := replayAll(t, dir)
	require.Len(t, recs, 200)
	require.Equal(t, 1, stats.Damaged)
	require.ErrorContains(t, stats.Corruptions[0].Err, "1 segments are missing")
	recs, _ = replayAll(t, dir)
	require.Len(t, recs, 200)

	far := t.TempDir()
	for _, n := range []int{1, 50_000_000} {
		require.NoError(t, os.WriteFile(wlog.SegmentName(far, n), nil, 0o666))
	}
	_, err := Open(far, Options{})
	require.ErrorContains(t, err, "segments are missing")
}

func TestUnreadableSegment(t *testing.T) {
	dir, _ := threeSegments(t)
	name := wlog.SegmentName(dir, 1)
	require.NoError(t, os.Remove(name))
	require.NoError(t, os.Mkdir(name, 0o777)) // can be opened, but not read
	recs, stats := replayAll(t, dir)
	require.Len(t, recs, 200)
	require.Equal(t, 1, stats.Damaged)

	require.NoError(t, os.Remove(name))
	require.NoError(t, os.Symlink(filepath.Join(dir, "nowhere"), name))
	w, err := Open(dir, Options{})
	require.NoError(t, err)
	defer w.Close()
	_, err = w.Replay(ctx, func(int, []byte) error { return nil })
	require.ErrorIs(t, err, os.ErrNotExist) // can't be opened: it may be whole, so this isn't damage
}

func FuzzSegmentReader(f *testing.F) {
	_, files := threeSegments(f)
	f.Add(files[0][:2*pageSize])
	f.Add(files[0][:100])
	f.Add([]byte{})
	f.Add(make([]byte, pageSize+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		var skipped, read int64
		sr := newSegmentReader(&chunks{b}, func(off, n int64, err error) {
			if off < 0 || n < 0 || off+n > int64(len(b)) {
				t.Fatalf("damage at %d+%d of %d bytes", off, n, len(b))
			}
			skipped += n
		})
		for {
			rec, err := sr.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			read += int64(len(rec))
		}
		if read+skipped > int64(len(b)) {
			t.Fatalf("%d bytes read and %d skipped of %d", read, skipped, len(b))
		}
	})
}

// chunks reads b in pieces of 1,000 bytes.
type chunks struct{ b []byte }

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.b[:min(1000, len(c.b))])
	c.b = c.b[n:]
	return n, nil
}
