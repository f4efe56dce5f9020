package cache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/cache/redistest"
)

// A server that doesn't answer is waited for three times, and then not at all until it answers again.
func TestSlowServerIsLeftOut(t *testing.T) {
	server := startRedis(t)
	s := newSource(100 * PageSize)
	r := redisAt(t, func(c *RedisConfig) { c.Timeout = model.Duration(50 * time.Millisecond) }, server.Addr)
	inUse(t, r)
	p := sharedPages(t, s, r)
	server.Pause()
	page := int64(0)
	for r.up() {
		requirePages(t, p, s, page, 1, fmt.Sprintf("%d+1", page))
		page++
	}
	// Writes count, too: of three failures at least one is a read.
	require.LessOrEqual(t, page, int64(maxFailures))
	asked := testutil.ToFloat64(r.metrics.misses)
	requirePages(t, p, s, 50, 1, "50+1")
	require.Equal(t, asked, testutil.ToFloat64(r.metrics.misses), "it is not asked")
	await(t, "it is tried again", func() bool { return testutil.ToFloat64(r.metrics.errors.WithLabelValues("connect")) > 0 })
	require.False(t, r.up())
	server.Resume()
	await(t, "redis is in use again", r.up)
}

// A server that is too slow for reads but not for writes is left out all the same, for as long as it is slow.
func TestWritesDontHideSlowReads(t *testing.T) {
	server := startRedis(t)
	slow := new(atomic.Bool)
	addr := delayed(t, server.Addr, slow, 200*time.Millisecond)
	s := newSource(100 * PageSize)
	r := redisAt(t, func(c *RedisConfig) { c.Timeout = model.Duration(50 * time.Millisecond) }, addr)
	inUse(t, r)
	p := sharedPages(t, s, r)
	slow.Store(true)
	for page := int64(0); r.up(); page++ {
		require.Less(t, page, int64(2*maxFailures))
		requirePages(t, p, s, page, 1, fmt.Sprintf("%d+1", page))
		await(t, "the page is written", func() bool { return !r.up() || testutil.ToFloat64(r.metrics.written) == float64(page+1) })
	}
	await(t, "it is tried again", func() bool { return testutil.ToFloat64(r.metrics.errors.WithLabelValues("connect")) > 1 })
	require.False(t, r.up())
}

// delayed returns an address from which everything goes to the server at addr, whose answers come later while slow.
func delayed(t *testing.T, addr string, slow *atomic.Bool, delay time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	pass := func(from, to net.Conn, wait func()) {
		defer func() { _, _ = from.Close(), to.Close() }()
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			wait()
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	serving.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				_ = client.Close()
				continue
			}
			serving.Go(func() { pass(client, server, func() {}) })
			serving.Go(func() {
				pass(server, client, func() {
					if slow.Load() {
						<-time.After(delay)
					}
				})
			})
		}
	})
	t.Cleanup(func() { require.NoError(t, l.Close()); serving.Wait() })
	return l.Addr().String()
}

// The server is killed while many read, comes back, and goes again. Nobody gets an error or a wrong byte.
func TestKilledInBetween(t *testing.T) {
	server := startRedis(t)
	s := newSource(300*PageSize + 7)
	r := redisAt(t, nil, server.Addr)
	inUse(t, r)
	var readers sync.WaitGroup
	quit := make(chan struct{})
	for range 4 {
		p := pages(t, s, 20*PageSize) // the memory is too small: most is read again
		p.Share(r)
		readers.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				off, n := rand.Int64N(int64(len(s.data))), rand.Int64N(10*PageSize)
				got, err := p.ReadRange(ctx, "o", off, n)
				if err != nil || !bytes.Equal(got, s.data[off:min(off+n, int64(len(s.data)))]) {
					t.Errorf("%d+%d: %d bytes, %v", off, n, len(got), err)
					return
				}
			}
		})
	}
	defer readers.Wait()
	defer close(quit)
	for range 3 {
		hits := testutil.ToFloat64(r.metrics.hits)
		await(t, "pages are found", func() bool { return testutil.ToFloat64(r.metrics.hits) > hits })
		server.Kill()
		await(t, "redis is left out", func() bool { return !r.up() })
		server.Start()
		await(t, "redis is in use", r.up)
	}
}

// A server that is full takes no pages; those that it has are read.
func TestFullServer(t *testing.T) {
	server := startRedis(t, "--maxmemory-policy", "noeviction")
	s := newSource(300 * PageSize)
	r := redisAt(t, nil, server.Addr)
	stop := inUse(t, r)
	requirePages(t, sharedPages(t, s, r), s, 0, 10, "0+10")
	awaitWritten(t, r, 10)
	stop()
	server.must("CONFIG", "SET", "maxmemory", "1")

	r = redisAt(t, nil, server.Addr)
	r.pause = time.Hour
	stop = inUse(t, r)
	p := sharedPages(t, s, r)
	requirePages(t, p, s, 100, 50, "100+50")
	await(t, "pages are refused", func() bool { return testutil.ToFloat64(r.metrics.dropped) == 50 })
	require.EqualValues(t, 1, testutil.ToFloat64(r.metrics.errors.WithLabelValues("write")), "it was asked once")
	require.True(t, r.up())
	requirePages(t, p, s, 0, 10)
	stop()
}

// What waits to be written is bounded, also at the end.
func TestQueueIsBounded(t *testing.T) {
	server := startRedis(t)
	r := redisAt(t, nil, server.Addr)
	r.put(Key{"o", 0}, nil)
	require.Empty(t, r.queue, "nobody will write it")
	require.EqualValues(t, 1, testutil.ToFloat64(r.metrics.dropped))
	c, err := r.connect(ctx)
	require.NoError(t, err)
	defer c.close()
	r.client.Store(c)
	for i := range queuedPages + 10 {
		r.put(Key{"o", int64(i)}, make([]byte, PageSize))
	}
	require.Len(t, r.queue, queuedPages)
	require.EqualValues(t, 11, testutil.ToFloat64(r.metrics.dropped))
	server.Kill()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	r.write(ended)
	require.LessOrEqual(t, testutil.ToFloat64(r.metrics.dropped), float64(11+queuedPages))
	require.Greater(t, testutil.ToFloat64(r.metrics.dropped), float64(11))
}

// Nothing needs a server: not the start, not queries; and it is used once it is there.
func TestServerComesLater(t *testing.T) {
	s := newSource(10 * PageSize)
	addr := redistest.FreeAddr(t)
	r := redisAt(t, nil, addr)
	run(t, r)
	await(t, "it has been tried", func() bool { return testutil.ToFloat64(r.metrics.errors.WithLabelValues("connect")) > 1 })
	p := sharedPages(t, s, r)
	requirePages(t, p, s, 0, 4, "0+4")
	server := redistest.New(t)
	server.Addr = addr
	server.Start()
	await(t, "redis is in use", r.up)
	requirePages(t, p, s, 4, 4, "4+4")
}

// What listens at the address may be anything.
func TestOtherServers(t *testing.T) {
	for name, answer := range map[string]string{
		"silent": "", "http": "HTTP/1.1 400 Bad Request\r\n\r\n", "error": "-ERR no\r\n-ERR no\r\n-ERR no\r\n-ERR no\r\n", "bytes": "\x00\xff\x17\x80\r\n\r\n", "cut": "*5\r\n$3\r\nab",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			var serving sync.WaitGroup
			serving.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					serving.Go(func() {
						defer func() { _ = c.Close() }()
						buf := make([]byte, 1000)
						for {
							if _, err := c.Read(buf); err != nil {
								return
							}
							if _, err := io.WriteString(c, answer); err != nil {
								return
							}
						}
					})
				}
			})
			t.Cleanup(func() { require.NoError(t, l.Close()); serving.Wait() })
			r := redisAt(t, nil, l.Addr().String())
			run(t, r)
			await(t, "it has been tried", func() bool { return testutil.ToFloat64(r.metrics.errors.WithLabelValues("connect")) > 0 })
			s := newSource(2 * PageSize)
			requirePages(t, sharedPages(t, s, r), s, 0, 2, "0+2")
		})
	}
}

// Whoever gives up while Redis is asked is told so, and it is not the server's fault.
func TestCallerGivesUpOnRedis(t *testing.T) {
	server := startRedis(t)
	s := newSource(100 * PageSize)
	r := redisAt(t, nil, server.Addr)
	inUse(t, r)
	p := sharedPages(t, s, r)
	server.Pause()
	s.delay = time.Minute
	for i := range int64(2 * maxFailures) {
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		_, err := p.ReadRange(short, "o", i*PageSize, 10)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	require.True(t, r.up())
	require.Zero(t, testutil.ToFloat64(r.metrics.errors.WithLabelValues("read")))
	require.Empty(t, p.flights)
}
