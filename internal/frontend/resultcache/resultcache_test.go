package resultcache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is a value for each evaluation time.
type answer []point

type point struct{ t, v int64 }

var codec = Codec[answer]{
	Cut: func(a answer, from, to int64) answer {
		return slices.DeleteFunc(slices.Clone(a), func(p point) bool { return p.t < from || p.t > to })
	},
	Join: func(parts []answer) answer { return slices.Concat(parts...) },
	Size: func(a answer) int64 { return int64(16 * len(a)) },
}

func newCache(size int64, changes *Changes) *Cache[answer] {
	return New(Options[answer]{Size: size, Codec: codec, Changes: changes, Registerer: prometheus.NewRegistry(), Name: "test"})
}

// source is rows of times, of which an evaluation time counts those in the window before it.
type source struct {
	rows   []int64
	window int64
	ahead  int64
	asked  [][2]int64
	mu     sync.Mutex
}

func (s *source) answer(r *Request, start, end int64) answer {
	var out answer
	for t := start; t <= end; t += r.Step {
		n := int64(0)
		for _, row := range s.rows {
			if row > t+s.ahead-s.window && row <= t+s.ahead {
				n++
			}
		}
		out = append(out, point{t, n})
	}
	return out
}

func (s *source) ask(r *Request) func(context.Context, int64, int64) (answer, error) {
	return func(_ context.Context, start, end int64) (answer, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, [2]int64{start, end})
		return s.answer(r, start, end), nil
	}
}

// Answers are the same with the cache as without, whatever is asked, written and deleted in between.
func TestCachedIsUncached(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := new(Changes)
		src := &source{window: rapid.Int64Range(1, 30).Draw(t, "window"), ahead: rapid.Int64Range(0, 10).Draw(t, "ahead")}
		c := newCache(rapid.Int64Range(300, 20_000).Draw(t, "size"), changes)
		now, token := int64(100), 0
		const freshness = 20
		for range rapid.IntRange(1, 40).Draw(t, "actions") {
			switch rapid.IntRange(0, 5).Draw(t, "action") {
			case 0: // a write, late or not
				row := rapid.Int64Range(0, now).Draw(t, "row")
				src.rows = append(src.rows, row)
				if row <= now-freshness {
					changes.Note("t", row)
				}
			case 1:
				now += rapid.Int64Range(0, 40).Draw(t, "later")
			case 2: // a deletion
				if rapid.Bool().Draw(t, "deletes") {
					src.rows = slices.DeleteFunc(src.rows, func(r int64) bool { return r%7 == 0 })
					token++
				}
			default:
				r := Request{Tenant: "t", Key: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), Ahead: src.ahead, Fresh: now - freshness - src.ahead, Token: token}
				r.Step = map[string]int64{"a": 5, "b": 7}[r.Key]
				phase := rapid.SampledFrom([]int64{0, 0, 0, 1}).Draw(t, "phase")
				r.Start = phase + r.Step*rapid.Int64Range(0, 30).Draw(t, "start")
				r.End = r.Start + r.Step*rapid.Int64Range(0, 20).Draw(t, "length")
				got, stats, err := c.Get(context.Background(), r, src.ask(&r))
				require.NoError(t, err)
				require.Equal(t, src.answer(&r, r.Start, r.End), got)
				require.Equal(t, int64(len(got)), stats.Requested)
				require.LessOrEqual(t, c.Bytes(), c.o.Size)
			}
		}
		size := int64(0)
		for e := c.oldest; e != nil; e = e.next {
			require.Same(t, e, c.entries[e.key])
			size += e.kept.size
		}
		require.Equal(t, size, c.Bytes())
	})
}

// A dashboard that moves on asks for what is new, and for what was not settled.
func TestOnlyGapsAreAsked(t *testing.T) {
	src, c := &source{window: 10}, newCache(10_000, nil)
	get := func(start, end, fresh int64) Stats {
		r := Request{Tenant: "t", Key: "q", Start: start, End: end, Step: 10, Fresh: fresh}
		src.asked = nil
		_, stats, err := c.Get(t.Context(), r, src.ask(&r))
		require.NoError(t, err)
		return stats
	}
	require.Equal(t, Stats{Requested: 11, Stored: 9}, get(0, 100, 85))
	require.Equal(t, Stats{Requested: 11, Found: 8, Stored: 1}, get(10, 110, 95))
	require.Equal(t, [][2]int64{{90, 110}}, src.asked)
	require.Equal(t, Stats{Requested: 3, Found: 3}, get(40, 60, 95))
	require.Empty(t, src.asked)
	get(500, 600, 700)
	get(300, 320, 700)
	require.Equal(t, Stats{Requested: 16, Found: 11, Stored: 5}, get(450, 600, 700))
	require.Equal(t, [][2]int64{{450, 490}}, src.asked)
}

// What is asked for often stays; another tenant finds nothing of the first.
func TestOldestGoesFirst(t *testing.T) {
	src, c := &source{window: 10}, newCache(3000, nil)
	get := func(tenant, key string) int64 {
		r := Request{Tenant: tenant, Key: key, Start: 0, End: 200, Step: 10, Fresh: 1000}
		_, stats, err := c.Get(t.Context(), r, src.ask(&r))
		require.NoError(t, err)
		return stats.Found
	}
	require.Zero(t, get("t", "often"))
	for _, key := range []string{"b", "c", "d", "e", "f"} {
		require.Zero(t, get("t", key))
		require.EqualValues(t, 21, get("t", "often"), key)
	}
	require.Zero(t, get("t", "b"), "made room")
	require.Zero(t, get("u", "often"))
}

func TestErrorsAreNotKept(t *testing.T) {
	c := newCache(3000, nil)
	r := Request{Tenant: "t", Key: "q", Start: 0, End: 100, Step: 10, Fresh: 1000}
	boom := errors.New("boom")
	_, _, err := c.Get(t.Context(), r, func(context.Context, int64, int64) (answer, error) { return nil, boom })
	require.ErrorIs(t, err, boom)
	require.Zero(t, c.Bytes())
}

// What Changes says is never less than what was noted.
func TestChangesForgetNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := new(Changes)
		times := rapid.SliceOfN(rapid.Int64Range(-1000, 1000), 0, 4*maxChanges).Draw(t, "times")
		for _, at := range times {
			c.Note("t", at)
		}
		require.LessOrEqual(t, len(times), int(c.now("t")))
		for seq := range len(times) {
			from, changed := c.since("t", uint64(seq))
			require.True(t, changed)
			require.LessOrEqual(t, from, slices.Min(times[seq:]))
			if len(times) <= maxChanges {
				require.Equal(t, slices.Min(times[seq:]), from)
			}
		}
		_, changed := c.since("t", c.now("t"))
		require.False(t, changed)
		_, changed = c.since("other", 0)
		require.False(t, changed)
	})
}

func TestFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Flights[int]
		release := make(chan struct{})
		asked := 0
		ask := func(ctx context.Context) (int, error) {
			asked++
			select {
			case <-release:
				return 7, nil
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		}
		first, cancel := context.WithCancel(t.Context())
		type outcome struct {
			v      int
			joined bool
			err    error
		}
		done := make(chan outcome, 4)
		start := func(ctx context.Context) {
			go func() {
				v, joined, err := f.Do(ctx, "q", ask)
				done <- outcome{v, joined, err}
			}()
			synctest.Wait()
		}
		start(first)
		start(t.Context())
		start(t.Context())
		require.Equal(t, 1, asked)
		impatient, leave := context.WithCancel(t.Context())
		start(impatient)
		leave()
		require.ErrorIs(t, (<-done).err, context.Canceled)
		cancel() // of who asks: another one asks in its place
		require.ErrorIs(t, (<-done).err, context.Canceled)
		synctest.Wait()
		require.Equal(t, 2, asked)
		close(release)
		a, b := <-done, <-done
		require.Equal(t, 14, a.v+b.v)
		require.NotEqual(t, a.joined, b.joined)
		require.Empty(t, f.open)
	})
}
