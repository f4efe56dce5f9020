package cache

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// open returns a client of the server, of the cluster, or of the server that the Sentinels name now. When they name
// another one operations fail, and the next client knows it.
func (c RedisConfig) open(ctx context.Context, tlsConfig *tls.Config) (*redisClient, error) {
	l := login{username: c.Username, password: c.Password, db: c.DB}
	client, err := c.openWith(ctx, dialer(l, tlsConfig), tlsConfig)
	if err != nil {
		return nil, err
	}
	l.run = true
	if n := client.node(c.resultsPrefix()); n != nil {
		client.results = newRedisNode(n.addr, dialer(l, tlsConfig))
	}
	return client, nil
}

func (c RedisConfig) openWith(ctx context.Context, dial func(context.Context, string) (*redisConn, error), tlsConfig *tls.Config) (*redisClient, error) {
	if c.Sentinel.Master == "" {
		return openRedis(ctx, c.Addresses, dial)
	}
	var errs []error
	for _, sentinel := range c.Addresses {
		addr, err := c.Sentinel.ask(ctx, sentinel, tlsConfig)
		if err == nil {
			var client *redisClient
			if client, err = openMaster(ctx, addr, dial); err == nil {
				return client, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// ask returns the address that a Sentinel has for the master.
func (s RedisSentinel) ask(ctx context.Context, addr string, tlsConfig *tls.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	n := newRedisNode(addr, dialer(login{username: s.Username, password: s.Password}, tlsConfig))
	defer n.close()
	replies, err := n.do(ctx, command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.Master), 1)
	if err != nil {
		return "", fmt.Errorf("sentinel %w", err)
	}
	reply := replies[0]
	switch {
	case reply.err() != nil:
		return "", fmt.Errorf("sentinel %s: %w", addr, reply.err())
	case reply.null:
		return "", fmt.Errorf("sentinel %s knows no master %q", addr, s.Master)
	case len(reply.items) != 2:
		return "", fmt.Errorf("sentinel %s: %w", addr, errProtocol)
	}
	host, port := string(reply.items[0].text), string(reply.items[1].text)
	if host == "" || port == "" {
		return "", fmt.Errorf("sentinel %s: %w", addr, errProtocol)
	}
	return net.JoinHostPort(host, port), nil
}

// openMaster connects to what a Sentinel named. Its word may be old, so the server is asked for its own.
func openMaster(ctx context.Context, addr string, dial func(context.Context, string) (*redisConn, error)) (*redisClient, error) {
	c, err := openRedisAt(ctx, addr, dial)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	replies, err := c.nodes[0].do(ctx, command("ROLE"), 1)
	if err == nil {
		err = replies[0].err()
	}
	if err == nil && (len(replies[0].items) == 0 || string(replies[0].items[0].text) != "master") {
		err = errors.New("is not the master")
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s, which a sentinel names: %w", addr, err)
	}
	return c, nil
}

// demoted reports whether a reply is that of a server which is no master, or not any more.
func (r redisReply) demoted() bool {
	return r.kind == '-' && bytes.HasPrefix(r.text, []byte("READONLY "))
}
