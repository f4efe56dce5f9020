package cache

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/cache/redistest"
)

// startCluster starts two servers that are a cluster, with half of the slots each.
func startCluster(t *testing.T) []*redisServer {
	return startClusterOf(t, func(args ...string) *redisServer { return startRedis(t, args...) })
}

func startClusterOf(t *testing.T, start func(args ...string) *redisServer) []*redisServer {
	t.Helper()
	nodes, firstBus := make([]*redisServer, 2), ""
	for i := range nodes {
		_, bus, err := net.SplitHostPort(redistest.FreeAddr(t))
		require.NoError(t, err)
		nodes[i] = start("--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-require-full-coverage", "yes")
		nodes[i].must("CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(i*8192), fmt.Sprint(i*8192+8191))
		if i == 0 {
			firstBus = bus
			continue
		}
		host, port, err := net.SplitHostPort(nodes[0].Addr)
		require.NoError(t, err)
		nodes[i].must("CLUSTER", "MEET", host, port, firstBus)
	}
	for _, n := range nodes {
		await(t, "the nodes know each other", func() bool { return strings.Contains(string(n.must("CLUSTER", "INFO").text), "cluster_state:ok") })
	}
	return nodes
}

// The members of a cluster have the pages between them.
func TestRedisCluster(t *testing.T) {
	nodes := startCluster(t)
	s := newSource(150 * PageSize)
	r := redisAt(t, nil, nodes[0].Addr)
	stop := inUse(t, r)
	require.Len(t, r.client.Load().nodes, 2)
	requirePages(t, sharedPages(t, s, r), s, 0, 150, "0+150")
	awaitWritten(t, r, 150)
	stop()
	require.Zero(t, testutil.ToFloat64(r.metrics.dropped))
	for _, n := range nodes {
		require.Positive(t, n.number("DBSIZE"))
	}
	r = redisAt(t, nil, nodes[1].Addr, nodes[0].Addr)
	inUse(t, r)
	p := sharedPages(t, s, r)
	requirePages(t, p, s, 0, 100)
	nodes[0].Kill()
	for i := int64(100); i < 150; i++ {
		_, err := p.ReadRange(ctx, "o", i*PageSize, PageSize)
		require.NoError(t, err)
	}
}

// Members of a cluster are spoken with over TLS, also those that the first one names.
func TestRedisClusterTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificates(t, cert, key)
	trust := RedisTLS{CAFile: cert, CertFile: cert, KeyFile: key}
	nodes := startClusterOf(t, func(args ...string) *redisServer {
		return startRedisTLS(t, trust, append(args, "--tls-cluster", "yes")...)
	})
	s := newSource(40 * PageSize)
	r := redisAt(t, func(c *RedisConfig) { c.TLS = &trust }, nodes[0].Addr)
	inUse(t, r)
	requirePages(t, sharedPages(t, s, r), s, 0, 40, "0+40")
	awaitWritten(t, r, 40)
	for _, n := range nodes {
		require.Positive(t, n.number("DBSIZE"))
	}
	requirePages(t, sharedPages(t, s, r), s, 0, 40)
}

// After slots have moved to another member pages are found again, as soon as it is known where.
func TestSlotsMove(t *testing.T) {
	nodes := startCluster(t)
	r := redisAt(t, nil, nodes[0].Addr)
	inUse(t, r)
	key := Key{Object: "o"}
	for slotOf(r.key(key)) >= redisSlots/2 {
		key.Page++
	}
	s := newSource(100 * PageSize)
	p := sharedPages(t, s, r)
	requirePages(t, p, s, key.Page, 1, fmt.Sprintf("%d+1", key.Page))
	await(t, "the page is written", func() bool { return nodes[0].number("DBSIZE") == 1 })
	nodes[0].must("FLUSHALL")
	id := string(nodes[1].must("CLUSTER", "MYID").text)
	for i := len(nodes) - 1; i >= 0; i-- { // first who gets it
		nodes[i].must("CLUSTER", "SETSLOT", fmt.Sprint(slotOf(r.key(key))), "NODE", id)
	}
	await(t, "the page is where it belongs", func() bool {
		requirePagesOf(t, sharedPages(t, s, r), s, key.Page)
		return nodes[1].number("EXISTS", r.key(key)) == 1
	})
}

// requirePagesOf is requirePages for a page that may come from anywhere.
func requirePagesOf(t *testing.T, p *Pages, s *source, page int64) {
	t.Helper()
	got, err := p.ReadRange(ctx, "o", page*PageSize, PageSize)
	require.NoError(t, err)
	require.Equal(t, s.data[page*PageSize:(page+1)*PageSize], got)
}

// Examples of the specification of Redis Cluster.
func TestSlotOf(t *testing.T) {
	for key, want := range map[string]int{"123456789": 12739, "": 0, "{123456789}x": 12739, "a{123456789}{b}": 12739} {
		require.Equal(t, want, slotOf(key), key)
	}
	require.NotEqual(t, slotOf("{}a"), slotOf("{}b"))
	require.Equal(t, slotOf("{user1000}.following"), slotOf("{user1000}.followers"))
}

func TestBadSlots(t *testing.T) {
	bulk := func(text string) redisReply { return redisReply{kind: '$', text: []byte(text)} }
	list := func(items ...redisReply) redisReply { return redisReply{kind: '*', items: items} }
	node := list(bulk("h"), bulk("1"))
	for name, ranges := range map[string]redisReply{
		"no list": list(bulk("x")), "no node": list(list(bulk("0"), bulk("1"))), "no number": list(list(bulk("a"), bulk("1"), node)),
		"too many": list(list(bulk("0"), bulk("16384"), node)), "negative": list(list(bulk("-1"), bulk("3"), node)), "no port": list(list(bulk("0"), bulk("1"), list(bulk("h")))),
	} {
		c := &redisClient{}
		require.ErrorIs(t, c.learn(newRedisNode("a:1", nil), ranges, nil), errProtocol, name)
		c.close()
	}
}
