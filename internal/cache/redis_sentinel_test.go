package cache

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// startSentinel starts a Sentinel that watches over a server, by the name m.
func startSentinel(t *testing.T, master *redisServer, more ...string) *redisServer {
	t.Helper()
	s := &redisServer{t: t, addr: freeAddr(t)}
	_, port, err := net.SplitHostPort(s.addr)
	require.NoError(t, err)
	host, masterPort, err := net.SplitHostPort(master.addr)
	require.NoError(t, err)
	config := filepath.Join(t.TempDir(), "sentinel.conf") // it writes there what it learns
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor m %s %s 1\nsentinel down-after-milliseconds m 60000\n", port, host, masterPort)
	for _, line := range more {
		text += line + "\n"
	}
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	path, err := exec.LookPath("redis-server")
	require.NoError(t, err)
	s.cmd = exec.Command(path, config, "--sentinel")
	require.NoError(t, s.cmd.Start())
	t.Cleanup(s.kill)
	await(t, "the sentinel listens", func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return s
}

// Who the server is, Sentinels say; and after a fail-over it is another one.
func TestRedisSentinel(t *testing.T) {
	master := startRedis(t)
	host, port, err := net.SplitHostPort(master.addr)
	require.NoError(t, err)
	replica := startRedis(t, "--replicaof", host, port)
	sentinel := startSentinel(t, master)
	await(t, "the replica follows", func() bool { return len(sentinel.must("SENTINEL", "REPLICAS", "m").items) == 1 })

	gone := freeAddr(t)
	r := redisAt(t, func(c *RedisConfig) { c.Sentinel.Master = "m" }, gone, sentinel.addr)
	r.pause = time.Second / 10
	inUse(t, r)
	s := newSource(100 * PageSize)
	requirePages(t, sharedPages(t, s, r), s, 0, 8, "0+8")
	awaitWritten(t, r, 8)
	await(t, "the replica has the pages", func() bool { return replica.number("DBSIZE") == 8 })

	await(t, "the sentinel begins a fail-over", func() bool { return sentinel.do("SENTINEL", "FAILOVER", "m").err() == nil })
	page := int64(8)
	await(t, "pages go to the new master", func() bool {
		if page < 100 {
			requirePagesOf(t, sharedPages(t, s, r), s, page)
			page++
		}
		role := replica.must("ROLE").items[0].text
		return string(role) == "master" && replica.number("DBSIZE") > 8 && r.up()
	})
	requirePages(t, sharedPages(t, s, r), s, 0, 8)
	require.Zero(t, testutil.ToFloat64(r.metrics.damaged))
}

// A Sentinel that doesn't know, or that says nonsense, is as good as none.
func TestSentinelDoesNotKnow(t *testing.T) {
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
	require.NoError(t, at("m", nil, sentinel.addr))
	require.ErrorContains(t, at("other", nil, sentinel.addr), `knows no master "other"`)
	require.ErrorContains(t, at("m", nil, master.addr), "ERR unknown command")
	require.Error(t, at("m", func(c *RedisConfig) { c.Sentinel.Password = "x" }, sentinel.addr))
	host, port, err := net.SplitHostPort(master.addr)
	require.NoError(t, err)
	replica := startRedis(t, "--replicaof", host, port)
	await(t, "the replica follows", func() bool { return string(replica.must("ROLE").items[0].text) == "slave" })
	require.ErrorContains(t, at("m", nil, startSentinel(t, replica).addr), "is not the master")
}
