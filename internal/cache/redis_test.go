package cache

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/cache/redistest"
)

// redisServer is a server of a test that can be asked.
type redisServer struct {
	*redistest.Server
	t   testing.TB
	tls *tls.Config // nil: not spoken
}

func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	s := &redisServer{redistest.New(t, args...), t, nil}
	s.Start()
	return s
}

// do runs a command on the server, as an administrator would.
func (s *redisServer) do(args ...string) redisReply {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := dialer(login{}, s.tls)(ctx, s.Addr)
	require.NoError(s.t, err)
	defer func() { _ = c.Close() }()
	replies, err := c.do(ctx, command(args...), 1)
	require.NoError(s.t, err)
	return replies[0]
}

// must is do for what must succeed.
func (s *redisServer) must(args ...string) redisReply {
	s.t.Helper()
	r := s.do(args...)
	require.NoError(s.t, r.err())
	return r
}

func (s *redisServer) number(args ...string) int64 {
	s.t.Helper()
	n, err := strconv.ParseInt(string(s.must(args...).text), 10, 64)
	require.NoError(s.t, err)
	return n
}

func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	require.Eventually(t, f, time.Minute, 5*time.Millisecond, what)
}

// redisAt returns a Redis for tests: one that waits long for answers, and not long before it connects again.
func redisAt(t testing.TB, change func(*RedisConfig), addrs ...string) *Redis {
	t.Helper()
	cfg := DefaultConfig().Redis
	cfg.Addresses, cfg.Timeout = addrs, model.Duration(10*time.Second)
	if change != nil {
		change(&cfg)
	}
	require.NoError(t, cfg.validate())
	r, err := NewRedis(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewPedanticRegistry())
	require.NoError(t, err)
	r.pause = 20 * time.Millisecond
	return r
}

// run runs r until the function that it returns is called, or the test ends.
func run(t testing.TB, r *Redis) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

func (r *Redis) up() bool { return r.client.Load() != nil }

// inUse runs r and waits until it is in use.
func inUse(t testing.TB, r *Redis) (stop func()) {
	t.Helper()
	stop = run(t, r)
	await(t, "redis is in use", r.up)
	return stop
}

// sharedPages are pages of s whose memory is empty, before r.
func sharedPages(t testing.TB, s *source, r *Redis) *Pages {
	t.Helper()
	p := pages(t, s, 1000*PageSize)
	p.Share(r)
	return p
}

// requirePages reads pages from..from+n and wants what the source has, fetched from it by calls.
func requirePages(t *testing.T, p *Pages, s *source, from, n int64, calls ...string) {
	t.Helper()
	s.calls = nil
	got, err := p.ReadRange(ctx, "o", from*PageSize, n*PageSize)
	require.NoError(t, err)
	end := min(int64(len(s.data)), (from+n)*PageSize)
	require.True(t, bytes.Equal(s.data[min(end, from*PageSize):end], got), "other bytes than the source has")
	require.Equal(t, calls, s.calls)
}

func awaitWritten(t testing.TB, r *Redis, n float64) {
	t.Helper()
	await(t, "pages are written", func() bool { return testutil.ToFloat64(r.metrics.written) == n })
}

// What is queued when it ends is still written.
func TestQueueIsWrittenAtTheEnd(t *testing.T) {
	server := startRedis(t)
	r := redisAt(t, nil, server.Addr)
	c, err := r.connect(ctx)
	require.NoError(t, err)
	defer c.close()
	r.client.Store(c)
	for i := range 3 * writePages / 2 {
		r.put(Key{"o", int64(i)}, []byte("page"))
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	r.write(ended)
	require.Empty(t, r.queue)
	require.EqualValues(t, 3*writePages/2, server.number("DBSIZE"))
}

// What one reads from the bucket, others find in Redis; and what is missing there is all that is fetched.
func TestRedisIsShared(t *testing.T) {
	server := startRedis(t)
	s := newSource(200*PageSize + 123)
	first := redisAt(t, nil, server.Addr)
	stop := inUse(t, first)
	requirePages(t, sharedPages(t, s, first), s, 0, 210, "0+210")
	awaitWritten(t, first, 210)
	stop()
	require.EqualValues(t, 210, testutil.ToFloat64(first.metrics.misses))
	require.Zero(t, testutil.ToFloat64(first.metrics.dropped))

	second := redisAt(t, nil, server.Addr)
	inUse(t, second)
	p := sharedPages(t, s, second)
	requirePages(t, p, s, 0, 210)
	require.EqualValues(t, 210, testutil.ToFloat64(second.metrics.hits))
	requirePages(t, p, s, 3, 20) // from memory: Redis is not asked again
	require.EqualValues(t, 210, testutil.ToFloat64(second.metrics.hits))

	for _, page := range []int64{7, 9, 100} {
		server.must("DEL", second.key(Key{"o", page}))
	}
	requirePages(t, sharedPages(t, s, second), s, 0, 210, "7+3", "100+1")
	for _, change := range []func(*RedisConfig){func(c *RedisConfig) { c.Prefix = "other:" }, func(c *RedisConfig) { c.DB = 3 }} {
		other := redisAt(t, change, server.Addr)
		inUse(t, other)
		requirePages(t, sharedPages(t, s, other), s, 0, 4, "0+4")
	}
	ttl := server.number("PTTL", second.key(Key{"o", 0}))
	require.Greater(t, ttl, (23 * time.Hour).Milliseconds())
	require.LessOrEqual(t, ttl, (24 * time.Hour).Milliseconds())
}

// A value that is not the page of its key is a miss, and is written anew.
func TestNonsenseIsAMiss(t *testing.T) {
	server := startRedis(t)
	s := newSource(10 * PageSize)
	r := redisAt(t, nil, server.Addr)
	stop := inUse(t, r)
	requirePages(t, sharedPages(t, s, r), s, 0, 8, "0+8")
	awaitWritten(t, r, 8)
	stop()
	value := func(page int64) []byte {
		return server.must("GET", r.key(Key{"o", page})).text
	}
	flipped := value(1)
	flipped[len(flipped)/2] ^= 1
	for page, v := range map[int64][]byte{0: {}, 1: flipped, 2: value(3), 3: value(3)[:PageSize/2], 4: []byte("short"), 5: make([]byte, 5*PageSize), 6: append(value(6), 0)} {
		server.must("SET", r.key(Key{"o", page}), string(v))
	}
	server.must("DEL", r.key(Key{"o", 7}))
	server.must("RPUSH", r.key(Key{"o", 7}), "a list")

	r = redisAt(t, nil, server.Addr)
	stop = inUse(t, r)
	requirePages(t, sharedPages(t, s, r), s, 0, 8, "0+8")
	require.EqualValues(t, 8, testutil.ToFloat64(r.metrics.damaged))
	require.EqualValues(t, 8, testutil.ToFloat64(r.metrics.misses))
	awaitWritten(t, r, 8)
	stop()
	r = redisAt(t, nil, server.Addr)
	inUse(t, r)
	requirePages(t, sharedPages(t, s, r), s, 0, 8)
}

// A user who may do nothing with pages is as good as no server.
func TestRedisLogin(t *testing.T) {
	server := startRedis(t, "--user", "default", "on", "nopass", "~*", "+@all", "--user", "hune", "on", ">right horse", "~hune:*", "+@all", "--user", "blind", "on", ">b", "resetkeys", "+@all")
	login := func(user, password string) *Redis {
		return redisAt(t, func(c *RedisConfig) { c.Username, c.Password = user, password }, server.Addr)
	}
	inUse(t, login("hune", "right horse"))
	for user, password := range map[string]string{"hune": "wrong horse", "blind": "b", "nobody": "x"} {
		_, err := login(user, password).connect(ctx)
		require.Error(t, err)
		var reply redisError
		require.ErrorAs(t, err, &reply)
	}
}

// Over TLS both sides show who they are.
func TestRedisTLS(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	writeCertificates(t, file("cert.pem"), file("key.pem"))
	trust := RedisTLS{CAFile: file("cert.pem"), CertFile: file("cert.pem"), KeyFile: file("key.pem")}
	server := startRedisTLS(t, trust)
	with := func(c *RedisTLS) *Redis { return redisAt(t, func(cfg *RedisConfig) { cfg.TLS = c }, server.Addr) }
	r := with(&trust)
	inUse(t, r)
	s := newSource(10 * PageSize)
	requirePages(t, sharedPages(t, s, r), s, 0, 10, "0+10")
	for name, c := range map[string]*RedisTLS{
		"no certificate": {CAFile: file("cert.pem")},
		"not trusted":    {CertFile: file("cert.pem"), KeyFile: file("key.pem")},
		"other name":     {CAFile: file("cert.pem"), CertFile: file("cert.pem"), KeyFile: file("key.pem"), ServerName: "elsewhere"},
		"no file":        {CAFile: file("none.pem")},
		"no tls":         nil,
	} {
		_, err := with(c).connect(ctx)
		require.Error(t, err, name)
	}
}

// startRedisTLS starts a server that is known by the same certificates as its clients.
func startRedisTLS(t testing.TB, trust RedisTLS, args ...string) *redisServer {
	t.Helper()
	config, err := RedisConfig{TLS: &trust}.tlsConfig()
	require.NoError(t, err)
	s := &redisServer{redistest.New(t, append(args, "--tls-cert-file", trust.CertFile, "--tls-key-file", trust.KeyFile, "--tls-ca-cert-file", trust.CAFile)...), t, config}
	s.TLS = true
	s.Start()
	return s
}

// writeCertificates writes a certificate of 127.0.0.1 that is its own authority.
func writeCertificates(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for file, b := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(b), 0o600))
	}
}

func TestRedisConfig(t *testing.T) {
	for want, change := range map[string]func(*RedisConfig){
		`redis.addresses[1]: "b" is not host:port`:       func(c *RedisConfig) { c.Addresses = []string{"a:1", "b"} },
		`redis.db: -1 is negative`:                       func(c *RedisConfig) { c.DB = -1 },
		`redis.db: several addresses are those of`:       func(c *RedisConfig) { c.Addresses, c.DB = []string{"a:1", "b:1"}, 1 },
		`redis.sentinel.username: goes with a password`:  func(c *RedisConfig) { c.Sentinel = RedisSentinel{Master: "m", Username: "me"} },
		`redis.sentinel.password: goes with a master`:    func(c *RedisConfig) { c.Sentinel.Password = "x" },
		`redis.username: goes with a password`:           func(c *RedisConfig) { c.Username = "me" },
		`redis.tls_config: cert_file and key_file go`:    func(c *RedisConfig) { c.TLS = &RedisTLS{CertFile: "x"} },
		`redis.timeout: must be positive`:                func(c *RedisConfig) { c.Timeout = 0 },
		`redis.ttl: must be at least 1s`:                 func(c *RedisConfig) { c.TTL = model.Duration(time.Millisecond) },
		"redis.timeout: must be positive\nredis.ttl: mu": func(c *RedisConfig) { c.Timeout, c.TTL = 0, 0 },
	} {
		cfg := DefaultConfig()
		change(&cfg.Redis)
		require.ErrorContains(t, cfg.Validate(), want)
	}
	cfg := DefaultConfig()
	cfg.Redis.Addresses = []string{"a:1", "[::1]:2"}
	cfg.Redis.Username, cfg.Redis.Password, cfg.Redis.TLS = "me", "x", &RedisTLS{}
	require.NoError(t, cfg.Validate())
	require.Error(t, errors.Join(cfg.Redis.validate(), Config{Size: -1, Redis: cfg.Redis}.Validate()))
}

// BenchmarkRedisHit reads pages that Redis has and the memory has not.
func BenchmarkRedisHit(b *testing.B) {
	server := startRedis(b)
	s := newSource(64 * PageSize)
	r := redisAt(b, nil, server.Addr)
	inUse(b, r)
	_, err := sharedPages(b, s, r).ReadRange(ctx, "o", 0, 64*PageSize)
	require.NoError(b, err)
	awaitWritten(b, r, 64)
	p := pages(b, s, 0) // keeps nothing
	p.Share(r)
	for _, n := range []int64{1, 64} {
		b.Run(fmt.Sprintf("pages=%d", n), func(b *testing.B) {
			b.SetBytes(n * PageSize)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.ReadRange(ctx, "o", 0, n*PageSize); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
