package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func memory(t testing.TB, size int64) *Memory {
	t.Helper()
	m, err := NewMemory(size, nil)
	require.NoError(t, err)
	return m
}

func TestMemoryIsBounded(t *testing.T) {
	for _, size := range []int64{0, 1000, 100_000, 10 << 20} {
		m := memory(t, size)
		for i := range 2000 {
			m.Set(ctx, Key{"o", int64(i)}, make([]byte, rand.IntN(20_000)))
			m.Get(ctx, Key{"o", int64(rand.IntN(i + 1))})
			if i%100 == 0 {
				require.LessOrEqual(t, m.Bytes(), size)
			}
		}
		var ghosts, entries int
		for i := range m.shards {
			ghosts += len(m.shards[i].ghosts)
			entries += len(m.shards[i].entries)
		}
		require.LessOrEqual(t, m.Bytes(), size)
		require.LessOrEqual(t, ghosts, 2000)
		if size == 0 {
			require.Zero(t, entries)
		}
		if size >= 100_000 {
			require.Positive(t, entries)
		}
	}
}

func TestMemoryReplaces(t *testing.T) {
	m := memory(t, 1<<20)
	k := Key{"o", 1}
	_, ok := m.Get(ctx, k)
	require.False(t, ok)
	m.Set(ctx, k, []byte("old"))
	m.Set(ctx, k, []byte("new"))
	v, ok := m.Get(ctx, k)
	require.True(t, ok)
	require.Equal(t, "new", string(v))
	require.EqualValues(t, 3+entryOverhead, m.Bytes())
}

// TestScanKeepsHotPages reads a few pages again and again while a scan of a hundred times the cache
// goes through: S3-FIFO keeps them, LRU would not.
func TestScanKeepsHotPages(t *testing.T) {
	m := memory(t, 1<<20)
	page := make([]byte, 10_000)
	const hot = 10
	read := func(k Key) bool {
		_, ok := m.Get(ctx, k)
		if !ok {
			m.Set(ctx, k, page)
		}
		return ok
	}
	for range 3 {
		for i := range hot {
			read(Key{"hot", int64(i)})
		}
	}
	hits := 0
	for i := range 10_000 {
		read(Key{"scan", int64(i)})
		if i%500 == 0 { // rarely: five times the cache is scanned in between
			for k := range hot {
				if read(Key{"hot", int64(k)}) {
					hits++
				}
			}
		}
	}
	require.Equal(t, 20*hot, hits)
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m, err := NewMemory(100_000, reg)
	require.NoError(t, err)
	for i := range 20 {
		m.Set(ctx, Key{"o", int64(i)}, make([]byte, 10_000))
	}
	m.Get(ctx, Key{"o", 19})
	m.Get(ctx, Key{"o", 0})
	require.EqualValues(t, 1, testutil.ToFloat64(m.metrics.hits))
	require.EqualValues(t, 1, testutil.ToFloat64(m.metrics.misses))
	require.Positive(t, testutil.ToFloat64(m.metrics.evictions))
	_, err = NewMemory(1, reg)
	require.Error(t, err)
	_, err = NewPages(nil, m, reg)
	require.NoError(t, err)
	_, err = NewPages(nil, m, reg)
	require.Error(t, err)
}

// source serves one object and counts what it is asked for.
type source struct {
	data  []byte
	delay time.Duration

	mu    sync.Mutex
	calls []string
	err   error
}

func (s *source) ReadRange(ctx context.Context, name string, off, n int64) ([]byte, error) {
	s.mu.Lock()
	s.calls = append(s.calls, fmt.Sprintf("%d+%d", off/PageSize, n/PageSize))
	err := s.err
	s.mu.Unlock()
	select {
	case <-time.After(s.delay):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	off = min(off, int64(len(s.data)))
	return s.data[off:min(int64(len(s.data)), off+n)], nil
}

func newSource(n int) *source {
	s := &source{data: make([]byte, n)}
	for i := range s.data {
		s.data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return s
}

func pages(t testing.TB, s *source, size int64) *Pages {
	t.Helper()
	p, err := NewPages(s, memory(t, size), nil)
	require.NoError(t, err)
	return p
}

func TestPagesEqualSource(t *testing.T) {
	s := newSource(5*PageSize + 123)
	rapid.Check(t, func(t *rapid.T) {
		m, err := NewMemory(rapid.SampledFrom([]int64{0, 3 * PageSize, 100 * PageSize}).Draw(t, "cache"), nil)
		require.NoError(t, err)
		p, err := NewPages(s, m, nil)
		require.NoError(t, err)
		for range 10 {
			off := rapid.Int64Range(0, 6*PageSize).Draw(t, "off")
			n := rapid.Int64Range(0, 6*PageSize).Draw(t, "n")
			got, err := p.ReadRange(ctx, "o", off, n)
			require.NoError(t, err)
			want, err := s.ReadRange(ctx, "o", off, n)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got), "%d+%d: %d bytes, want %d", off, n, len(got), len(want))
			parts, err := p.Views(ctx, "o", off, n)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, bytes.Join(parts, nil)), "%d+%d in %d parts", off, n, len(parts))
		}
	})
}

func TestPagesFetchRuns(t *testing.T) {
	s := newSource(40 * PageSize)
	p := pages(t, s, 100*PageSize)
	read := func(from, n int64, want ...string) {
		t.Helper()
		s.calls = nil
		_, err := p.ReadRange(ctx, "o", from*PageSize, n*PageSize)
		require.NoError(t, err)
		require.Equal(t, want, s.calls)
	}
	read(0, 3, "0+3")
	read(0, 3)
	read(2, 3, "3+2")
	read(10, 1, "10+1")
	read(8, 5, "8+5")            // one request over the page in the middle
	read(20, 6, "20+6")          //
	read(18, 10, "18+2", "26+2") // a hole of six pages is not worth reading again
	read(39, 5, "39+5")          // beyond the end: short
	_, err := p.ReadRange(ctx, "o", -1, 5)
	require.Error(t, err)
	_, err = p.ReadRange(ctx, "o", 0, maxRange+1)
	require.Error(t, err)
}

func TestPagesFetchOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(10 * PageSize)
		s.delay = time.Second
		p := pages(t, s, 100*PageSize)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				got, err := p.ReadRange(ctx, "o", 100, 3*PageSize)
				if err != nil || !bytes.Equal(got, s.data[100:100+3*PageSize]) {
					t.Errorf("wrong answer: %v", err)
				}
			})
		}
		wg.Wait()
		require.Len(t, s.calls, 1)
		require.Empty(t, p.flights)
	})
}

// TestLeaderGivesUp cancels the caller that fetches: the other one must get its page all the same.
func TestLeaderGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(PageSize)
		s.delay = time.Second
		p := pages(t, s, 100*PageSize)
		leader, cancel := context.WithCancel(ctx)
		first := make(chan error, 1)
		go func() {
			_, err := p.ReadRange(leader, "o", 0, 10)
			first <- err
		}()
		synctest.Wait()
		second := make(chan error, 1)
		go func() {
			_, err := p.ReadRange(ctx, "o", 0, 10)
			second <- err
		}()
		impatient, stop := context.WithTimeout(ctx, time.Millisecond)
		defer stop()
		_, err := p.ReadRange(impatient, "o", 0, 10)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
		require.ErrorIs(t, <-first, context.Canceled)
		require.NoError(t, <-second)
		require.Len(t, s.calls, 2)
	})
}

func TestSourceError(t *testing.T) {
	s := newSource(PageSize)
	broken := errors.New("broken")
	s.err = broken
	p := pages(t, s, 100*PageSize)
	_, err := p.ReadRange(ctx, "o", 0, 10)
	require.ErrorIs(t, err, broken)
	s.err = nil // an error is not kept
	_, err = p.ReadRange(ctx, "o", 0, 10)
	require.NoError(t, err)
}

func TestConfig(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	require.Error(t, Config{Size: -1}.Validate())
}

func BenchmarkHit(b *testing.B) {
	s := newSource(100 * PageSize)
	for _, n := range []int64{1000, 200_000} {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			p := pages(b, s, 200*PageSize)
			b.SetBytes(n)
			b.ReportAllocs()
			for i := range b.N {
				if _, err := p.ReadRange(ctx, "o", int64(i)*7919%(90*PageSize), n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
