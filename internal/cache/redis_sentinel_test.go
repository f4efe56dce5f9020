package cache

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/cache/redistest"
)

// startSentinel starts a Sentinel that watches over a server, by the name m.
func startSentinel(t *testing.T, master *redisServer) *redisServer {
	t.Helper()
	s := &redisServer{redistest.New(t), t, nil}
	_, port, err := net.SplitHostPort(s.Addr)
	require.NoError(t, err)
	host, masterPort, err := net.SplitHostPort(master.Addr)
	require.NoError(t, err)
	config := filepath.Join(t.TempDir(), "sentinel.conf") // it writes there what it learns
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor m %s %s 1\nsentinel down-after-milliseconds m 60000\n", port, host, masterPort)
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	s.Run(config, "--sentinel")
	// It looks around every 10 s, and does nothing for 30 s after it had to wait for the processor for 2 s. Versions before
	// 7.0 don't know how to be told otherwise.
	s.do("SENTINEL", "DEBUG", "info-period", "200", "tilt-trigger", "60000", "tilt-period", "200")
	return s
}

// Who the server is, Sentinels say; and after a fail-over it is another one.
func TestRedisSentinel(t *testing.T) {
	t.Parallel() // a Sentinel looks around every 10 s
	master := startRedis(t)
	host, port, err := net.SplitHostPort(master.Addr)
	require.NoError(t, err)
	replica := startRedis(t, "--replicaof", host, port)
	sentinel := startSentinel(t, master)
	await(t, "the replica follows", func() bool { return len(sentinel.must("SENTINEL", "REPLICAS", "m").items) == 1 })

	gone := redistest.FreeAddr(t)
	r := redisAt(t, func(c *RedisConfig) { c.Sentinel.Master = "m" }, gone, sentinel.Addr)
	r.pause = time.Second / 10
	inUse(t, r)
	s := newSource(100 * PageSize)
	requirePages(t, sharedPages(t, s, r), s, 0, 8, "0+8")
	awaitWritten(t, r, 8)
	await(t, "the replica has the pages", func() bool { return replica.number("DBSIZE") == 8 })

	results := newResults(t, r, quickLease, "a", "a")
	results.o.Others = func() []string { return []string{"a"} } // another one of the same lease
	stop := runResults(t, results)
	old := results.keep(t, "t", "q", "forty-two")
	stop()
	asks := int64(0)
	await(t, "pages go to the new master", func() bool {
		if string(replica.must("ROLE").items[0].text) != "master" {
			sentinel.do("SENTINEL", "FAILOVER", "m") // it gives up where it has not heard of the replica lately
		}
		asks++
		requirePagesOf(t, sharedPages(t, s, r), s, 8+asks%90)
		c := r.client.Load()
		return c != nil && c.nodes[0].addr == replica.Addr && replica.number("DBSIZE") > 11
	})
	requirePages(t, sharedPages(t, s, r), s, 0, 8)
	results.lease = lease{}
	runResults(t, results)
	v, value := results.sure(t, "t", "q", true)
	require.NotEqual(t, old.Stamp, v.Stamp, "the new master need not have all that the old one was told")
	require.Nil(t, value)
	require.Zero(t, testutil.ToFloat64(r.metrics.damaged))
}

// A Sentinel that doesn't know, or that says nonsense, is as good as none.
func TestSentinelDoesNotKnow(t *testing.T) {
	t.Parallel()
	master := startRedis(t)
	sentinel := startSentinel(t, master)
	at := func(name string, change func(*RedisConfig), addrs ...string) error {
		r := redisAt(t, func(c *RedisConfig) {
			c.Sentinel.Master = name
			if change != nil {
				change(c)
			}
		}, addrs...)
		c, err := r.connect(ctx)
		if err == nil {
			c.close()
		}
		return err
	}
	require.NoError(t, at("m", nil, sentinel.Addr))
	require.ErrorContains(t, at("other", nil, sentinel.Addr), `knows no master "other"`)
	require.ErrorContains(t, at("m", nil, master.Addr), "ERR unknown command")
	require.Error(t, at("m", func(c *RedisConfig) { c.Sentinel.Password = "x" }, sentinel.Addr))
	host, port, err := net.SplitHostPort(master.Addr)
	require.NoError(t, err)
	replica := startRedis(t, "--replicaof", host, port)
	await(t, "the replica follows", func() bool { return string(replica.must("ROLE").items[0].text) == "slave" })
	require.ErrorContains(t, at("m", nil, startSentinel(t, replica).Addr), "is not the master")
}
