package cache

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// quickLease is for tests that wait for leases to end.
var quickLease = leaseTimes{valid: 400 * time.Millisecond, renew: 50 * time.Millisecond, slack: 50 * time.Millisecond}

// member is a process that shares results.
type member struct {
	*Results
	stop func()
}

// members runs members of these names over one server.
func members(t testing.TB, times leaseTimes, change func(*RedisConfig), addr string, names ...string) map[string]*member {
	t.Helper()
	out := map[string]*member{}
	for _, name := range names {
		r := redisAt(t, change, addr)
		stopRedis := inUse(t, r)
		out[name] = &member{newResults(t, r, times, name, names...), nil}
		stop := runResults(t, out[name].Results)
		out[name].stop = func() { stop(); stopRedis() }
	}
	return out
}

func newResults(t testing.TB, r *Redis, times leaseTimes, self string, names ...string) *Results {
	t.Helper()
	s, err := NewResults(r, ResultsOptions{Self: func() string { return self }, Settled: time.Hour, Deleted: func() uint64 { return 0 }, Logger: r.logger, Registerer: prometheus.NewPedanticRegistry(),
		Others: func() []string {
			return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == self })
		}})
	require.NoError(t, err)
	s.times = times
	return s
}

func runResults(t testing.TB, s *Results) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

// sure waits until the member knows which answers can be used.
func (s *Results) sure(t testing.TB, tenant, key string, wanted bool) (v View, value []byte) {
	t.Helper()
	await(t, "all leases are there", func() bool {
		v, value = s.Look(ctx, tenant, key, wanted)
		return v.State == Sure
	})
	return v, value
}

// keep has an answer kept that others then find.
func (s *Results) keep(t testing.TB, tenant, key, answer string) View {
	t.Helper()
	v, _ := s.sure(t, tenant, key, true)
	require.True(t, s.Holds(v))
	written := testutil.ToFloat64(s.metrics.written)
	s.Keep(v, tenant, key, []byte(answer))
	await(t, "the answer is written", func() bool { return testutil.ToFloat64(s.metrics.written) == written+1 })
	return v
}

// What one member has answered others find, until one takes it back.
func TestResultsAreShared(t *testing.T) {
	server := startRedis(t)
	all := members(t, defaultLeaseTimes, nil, server.Addr, "a", "b")
	a, b := all["a"], all["b"]
	v := a.keep(t, "t", "q", "forty-two")
	require.NotZero(t, v.Stamp)
	got, value := b.sure(t, "t", "q", true)
	require.Equal(t, v.Stamp, got.Stamp)
	require.Equal(t, "forty-two", string(value))
	_, value = b.sure(t, "t", "q", false)
	require.Nil(t, value, "not wanted")
	other, value := b.sure(t, "u", "q", true)
	require.Nil(t, value, "of another tenant")
	_, value = b.sure(t, "t", "q2", true)
	require.Nil(t, value)

	require.NoError(t, b.TakeBack(ctx, "t"))
	got, value = a.sure(t, "t", "q", true)
	require.NotEqual(t, v.Stamp, got.Stamp)
	require.Nil(t, value)
	got, _ = a.sure(t, "u", "q", true)
	require.Equal(t, other.Stamp, got.Stamp, "tenants are apart")
	require.EqualValues(t, 1, testutil.ToFloat64(b.metrics.takenBack.WithLabelValues("told")))

	a.Keep(v, "t", "q", []byte("forty-one")) // computed before it was taken back
	await(t, "it is written", func() bool { return testutil.ToFloat64(a.metrics.written) == 2 })
	_, value = b.sure(t, "t", "q", true)
	require.Nil(t, value)
}

// Nothing is used where a member that can write has no lease, or keeps younger answers than others.
func TestAllLeasesMustBeThere(t *testing.T) {
	server := startRedis(t)
	all := members(t, quickLease, nil, server.Addr, "a", "b")
	all["a"].sure(t, "t", "q", true)

	with := newResults(t, all["a"].redis, quickLease, "a", "a", "b", "silent")
	v, _ := with.Look(ctx, "t", "q", true)
	require.Equal(t, Unsure, v.State)
	require.False(t, with.Holds(v))
	younger := newResults(t, all["a"].redis, quickLease, "a", "a", "b")
	younger.o.Settled = time.Minute
	v, _ = younger.Look(ctx, "t", "q", true)
	require.Equal(t, Unsure, v.State)
	knows := newResults(t, all["a"].redis, quickLease, "a", "a", "b")
	knows.o.Deleted = func() uint64 { return 1 }
	v, _ = knows.Look(ctx, "t", "q", true)
	require.Equal(t, Unsure, v.State)
	alone := newResults(t, all["a"].redis, quickLease, "a", "a")
	v, _ = alone.Look(ctx, "t", "q", true)
	require.Equal(t, Alone, v.State)
	require.True(t, alone.Holds(v))

	v, _ = all["a"].sure(t, "t", "q", true)
	require.True(t, all["a"].Holds(v))
	require.False(t, with.Holds(v), "there is one more member")
	require.False(t, alone.Holds(v))
	all["b"].stop()
	await(t, "the lease of b ends", func() bool {
		v, _ = all["a"].Look(ctx, "t", "q", true)
		return v.State == Unsure
	})
}

// Answers of before do not come back with the members of before: who was away meanwhile can have brought something.
func TestMembersComeAndGo(t *testing.T) {
	server := startRedis(t)
	members(t, quickLease, nil, server.Addr, "b", "a")
	r := redisAt(t, nil, server.Addr)
	inUse(t, r)
	a := newResults(t, r, quickLease, "a")
	var others atomic.Value
	others.Store([]string{"b"})
	a.o.Others = func() []string { return others.Load().([]string) }
	runResults(t, a)
	old := a.keep(t, "t", "q", "forty-two")
	others.Store([]string{"b", "c"})
	await(t, "it is noticed", func() bool {
		a.lease.mu.Lock()
		defer a.lease.mu.Unlock()
		return len(a.lease.members) == 3
	})
	others.Store([]string{"b"})
	v, value := a.sure(t, "t", "q", true)
	require.NotEqual(t, old.Stamp, v.Stamp)
	require.Nil(t, value)

	others.Store([]string(nil))
	alone, _ := a.Look(ctx, "t", "q", true)
	require.Equal(t, Alone, alone.State)
	v, _ = a.Look(ctx, "t", "q", true)
	require.Equal(t, alone, v)
	others.Store([]string{"b"})
	a.sure(t, "t", "q", true)
	others.Store([]string(nil))
	v, _ = a.Look(ctx, "t", "q", true)
	require.Equal(t, Alone, v.State)
	require.NotEqual(t, alone.Stamp, v.Stamp)
}

// A user who may use pages, but not what results need, is no reason to leave the server out.
func TestResultsNeedMore(t *testing.T) {
	server := startRedis(t, "--user", "default", "on", "nopass", "~*", "+@all", "--user", "pages", "on", ">x", "~*", "+get", "+set", "+cluster|slots")
	r := redisAt(t, func(c *RedisConfig) { c.Username, c.Password = "pages", "x" }, server.Addr)
	inUse(t, r)
	s := newResults(t, r, quickLease, "a", "a", "b")
	require.ErrorIs(t, s.renew(ctx), errNoRun)
	for range 2 * maxFailures {
		v, _ := s.Look(ctx, "t", "q", true)
		require.Equal(t, Unsure, v.State)
	}
	require.NoError(t, s.TakeBack(ctx, "t"))
	require.True(t, r.up())
}

// Of a cluster one member has all that belongs to results, and no question is sent on from another.
func TestResultsInCluster(t *testing.T) {
	nodes := startCluster(t)
	all := members(t, defaultLeaseTimes, nil, nodes[0].Addr, "a", "b")
	old := all["a"].keep(t, "t", "q", "forty-two")
	_, value := all["b"].sure(t, "t", "q", true)
	require.Equal(t, "forty-two", string(value))
	require.NoError(t, all["b"].TakeBack(ctx, "t"))
	v, _ := all["a"].sure(t, "t", "q", true)
	require.NotEqual(t, old.Stamp, v.Stamp)
	has := nodes[slotOf(all["a"].redis.cfg.resultsPrefix())/(redisSlots/2)]
	require.EqualValues(t, 4, has.number("DBSIZE"))
}

// Who can't reach the server waits until nobody relies on it any more; and what was asked of a server that stood still
// does not bring an old lease back.
func TestTakeBackWithoutServer(t *testing.T) {
	server := startRedis(t)
	all := members(t, quickLease, func(c *RedisConfig) { c.Timeout = 20 * 1000 * 1000 }, server.Addr, "a", "b")
	a, b := all["a"], all["b"]
	old := a.keep(t, "t", "q", "forty-two")
	server.Pause()
	require.NoError(t, b.TakeBack(ctx, "t"))
	_, none, _ := b.lease.held(time.Now())
	require.True(t, none)
	server.Resume()
	for range 1000 {
		v, value := a.Look(ctx, "t", "q", true)
		require.NotEqual(t, old.Stamp, v.Stamp)
		require.Nil(t, value)
	}
	v, value := a.sure(t, "t", "q", true)
	require.NotEqual(t, old.Stamp, v.Stamp)
	require.Nil(t, value)

	server.Kill()
	short, cancel := context.WithCancelCause(ctx)
	gone := errors.New("the client is gone")
	cancel(gone)
	b.lease.mu.Lock()
	b.lease.until = time.Now().Add(time.Hour)
	b.lease.mu.Unlock()
	require.ErrorIs(t, b.TakeBack(short, "t"), gone)
	b.lease.mu.Lock()
	b.lease.until = time.Now()
	b.lease.mu.Unlock()
	require.NoError(t, b.TakeBack(short, "t"), "without a lease there is nothing to wait for")
}

// A process that has no lease can't wait for its end: what can't be taken back is not acknowledged.
func TestTakeBackWithoutLease(t *testing.T) {
	server := startRedis(t)
	a := members(t, defaultLeaseTimes, nil, server.Addr, "a", "b")["a"]
	old := a.keep(t, "t", "q", "forty-two")
	s := newResults(t, a.redis, defaultLeaseTimes, "")
	require.NoError(t, s.TakeBack(ctx, "t"))
	v, _ := a.sure(t, "t", "q", true)
	require.NotEqual(t, old.Stamp, v.Stamp)
	s = newResults(t, redisAt(t, nil, server.Addr), defaultLeaseTimes, "")
	require.ErrorIs(t, s.TakeBack(ctx, "t"), errLeftOut)
}

// A server that comes back with what it held a while ago has forgotten what was taken back since.
func TestServerForgets(t *testing.T) {
	server := startRedis(t)
	all := members(t, defaultLeaseTimes, nil, server.Addr, "a", "b")
	a, b := all["a"], all["b"]
	old := a.keep(t, "t", "q", "forty-two")
	server.must("SAVE")
	require.NoError(t, b.TakeBack(ctx, "t"))
	server.Kill()
	await(t, "redis is left out", func() bool { a.Look(ctx, "t", "q", true); return !a.redis.up() })
	server.Start()
	await(t, "redis is in use", a.redis.up)
	require.EqualValues(t, 1, server.number("EXISTS", a.redis.cfg.generationKey("t")), "it is there again")
	for range 100 {
		v, value := a.Look(ctx, "t", "q", true)
		require.NotEqual(t, old.Stamp, v.Stamp)
		require.Nil(t, value)
	}
	// What it has from before the restart it can't rely on: the server that took it may still be there.
	_, none, ok := b.lease.held(time.Now())
	await(t, "b meets the new run", func() bool {
		_, none, ok = b.lease.held(time.Now())
		return none || !ok
	})
}

// Nobody takes a damaged answer, or one of another key.
func TestResultFormat(t *testing.T) {
	key := RedisConfig{Prefix: "hune:"}.resultKey("t", "setting", "q")
	require.Equal(t, "hune:{results1}:r:537e1c939484906c055088880ed5d24c", key)
	value := appendResult(nil, key, 7, []byte("forty-two"))
	require.Equal(t, "0000000000000007", hex.EncodeToString(value[:8]))
	require.Equal(t, slotOf("{results1}"), slotOf(key))
	data, ok := decodeResult(key, 7, value)
	require.True(t, ok)
	require.Equal(t, "forty-two", string(data))
	for i := range value {
		damaged := slices.Clone(value)
		damaged[i] ^= 1
		_, ok = decodeResult(key, 7, damaged)
		require.False(t, ok)
		_, ok = decodeResult(key, 7, value[:i])
		require.False(t, ok)
	}
	_, ok = decodeResult(key+"1", 7, value)
	require.False(t, ok)
}

// Answers that wait are bounded, and large ones are left out.
func TestQueueOfResults(t *testing.T) {
	server := startRedis(t)
	a := members(t, defaultLeaseTimes, nil, server.Addr, "a", "b")["a"]
	v, _ := a.sure(t, "t", "q", true)
	s := newResults(t, a.redis, defaultLeaseTimes, "a", "a", "b") // nobody writes
	s.Keep(v, "t", "q", make([]byte, MaxResult+1))
	s.Keep(View{}, "t", "q", nil)
	require.EqualValues(t, 2, testutil.ToFloat64(s.metrics.dropped))
	for range 20 {
		s.Keep(v, "t", "q", make([]byte, MaxResult))
	}
	require.Len(t, s.queue, 7)
	require.LessOrEqual(t, s.queued.Load(), int64(maxQueuedBytes))
	require.EqualValues(t, 15, testutil.ToFloat64(s.metrics.dropped))
}

func BenchmarkLook(b *testing.B) {
	server := startRedis(b)
	a := members(b, defaultLeaseTimes, nil, server.Addr, "a", "b", "c")["a"]
	a.keep(b, "t", "q", string(make([]byte, 64<<10)))
	for name, wanted := range map[string]bool{"own": false, "found=64KiB": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v, _ := a.Look(ctx, "t", "q", wanted); v.State != Sure {
					b.Fatal("unsure")
				}
			}
		})
	}
}

func FuzzDecodeResult(f *testing.F) {
	f.Add("k", uint64(7), []byte("12345678"))
	f.Add("k", uint64(7), appendResult(nil, "k", 7, []byte("forty-two")))
	f.Fuzz(func(t *testing.T, key string, stamp uint64, value []byte) {
		if data, ok := decodeResult(key, stamp, value); ok {
			require.Equal(t, value, appendResult(nil, key, stamp, data))
		}
		data, ok := decodeResult(key, stamp, appendResult(nil, key, stamp, value))
		require.True(t, ok)
		require.True(t, bytes.Equal(value, data))
	})
}

// scripted is a connection to a server that answers whatever it is asked by the next of its lines.
type scripted struct {
	net.Conn
	sent    bytes.Buffer
	answers *bytes.Reader
}

func (s *scripted) Write(b []byte) (int, error) { return s.sent.Write(b) }
func (s *scripted) Read(b []byte) (int, error)  { return s.answers.Read(b[:min(len(b), 1)]) }
func (s *scripted) SetDeadline(time.Time) error { return nil }
func (s *scripted) Close() error                { return nil }

func onScript(t testing.TB, answers []byte) (*Results, *scripted) {
	r := redisAt(t, nil, "a:1")
	conn := &scripted{answers: bytes.NewReader(answers)}
	node := newRedisNode("a:1", func(context.Context, string) (*redisConn, error) {
		// It is read byte by byte: answers to what was not asked yet have not come.
		return &redisConn{Conn: conn, r: bufio.NewReader(conn), most: maxResult, run: "run"}, nil
	})
	r.client.Store(&redisClient{results: node})
	return newResults(t, r, defaultLeaseTimes, "a", "a", "b"), conn
}

// A lease ends at a time by the server's clock: a request that lies about for long does nothing.
func TestLeaseEndsAtATime(t *testing.T) {
	s, conn := onScript(t, []byte("*2\r\n$4\r\n1000\r\n$6\r\n250000\r\n+OK\r\n"))
	began := time.Now()
	require.NoError(t, s.renew(ctx))
	took := time.Since(began)
	words := strings.Split(conn.sent.String(), "\r\n")
	at := slices.Index(words, "PXAT")
	require.Positive(t, at, words)
	end, err := strconv.ParseInt(words[at+2], 10, 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, end, int64(1000_250+10_000))
	require.LessOrEqual(t, end, 1000_250+10_000+took.Milliseconds())
	require.False(t, s.lease.until.Before(began.Add(11*time.Second)))
}

// Nothing that a server can say is a panic, or an answer that it is not.
func FuzzResultsReplies(f *testing.F) {
	f.Add([]byte("*4\r\n$1\r\ng\r\n$11\r\nx:3600000:0\r\n$11\r\ny:3600000:0\r\n$-1\r\n"))
	f.Add([]byte("*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n+OK\r\n"))
	f.Add([]byte("*2\r\n$1\r\n1\r\n$1\r\n2\r\n+OK\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, _ := onScript(t, in)
		v, value := s.Look(ctx, "t", "q", true)
		require.Equal(t, v.State == Sure, v.Stamp != 0)
		require.Nil(t, value)
		s, _ = onScript(t, in)
		_ = s.renew(ctx)
		s, _ = onScript(t, in)
		s.lease = lease{value: "v", run: "run", until: time.Now().Add(time.Millisecond)}
		_ = s.TakeBack(ctx, "t")
	})
}

// A server that says that another one has the results is asked for the cluster anew.
func TestResultsMoved(t *testing.T) {
	s, _ := onScript(t, bytes.Repeat([]byte("-MOVED 1 b:1\r\n"), 3*maxFailures))
	for range maxFailures {
		require.True(t, s.redis.up())
		v, _ := s.Look(ctx, "t", "q", true)
		require.Equal(t, Unsure, v.State)
	}
	require.False(t, s.redis.up())
	s, _ = onScript(t, bytes.Repeat([]byte("-OOM command not allowed\r\n"), 3*maxFailures))
	for range maxFailures {
		require.ErrorAs(t, s.writeOne(ctx, queuedResult{}, "1"), new(redisError))
	}
	require.True(t, s.redis.up(), "that it is full says nothing about what it has")
}

// That nothing can be relied on is told once, when it lasts.
func TestUnsureIsTold(t *testing.T) {
	var log bytes.Buffer
	logger, why, now := slog.New(slog.NewTextHandler(&log, nil)), errors.New("there is no lease of b"), time.Unix(1000, 0)
	var u unsure
	told := func(after time.Duration) int {
		u.note(logger, why, now.Add(after))
		return strings.Count(log.String(), "there is no lease of b")
	}
	require.Equal(t, 0, told(0))
	require.Equal(t, 0, told(tellUnsure))
	require.Equal(t, 1, told(tellUnsure+1))
	require.Equal(t, 1, told(time.Hour))
	u.end()
	require.Equal(t, 1, told(2*time.Hour))
	require.Equal(t, 2, told(2*time.Hour+tellUnsure+1))
}
