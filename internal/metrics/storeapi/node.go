package storeapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	promconfig "github.com/prometheus/common/config"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/hune-io/hune/internal/metrics"
)

// Resolver looks names up. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// maxServers bounds the servers that one name may stand for.
const maxServers = 1000

// node is one entry of the configuration, with the servers that its address stands for.
type node struct {
	cfg   metrics.StoreEndpoint
	creds func(host string) (credentials.TransportCredentials, error)
	group *manual.Resolver // nil: each server is an endpoint
	// members says what the servers are, instead of the address; nil: it doesn't.
	members func() []string

	mu        sync.RWMutex
	err       error // of the last lookup
	due       time.Time
	endpoints []*endpoint
	closed    bool
}

func newNode(cfg metrics.StoreEndpoint) (*node, error) {
	n := &node{cfg: cfg, creds: transport(cfg.TLS)}
	lookup, name := cfg.Lookup()
	host, _, err := net.SplitHostPort(name)
	if err != nil {
		host = name
	}
	switch {
	case cfg.Group:
		n.group = manual.NewBuilderWithScheme("hune")
		n.group.InitialState(resolver.State{})
		if lookup == "" {
			n.group.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: name}}})
		}
		conn, err := n.dial("hune:///"+name, host, grpc.WithResolvers(n.group), grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
		if err != nil {
			return nil, err
		}
		n.endpoints = []*endpoint{newEndpoint(cfg.Address, cfg.Strict, conn)}
	case lookup == "":
		conn, err := n.dial(name, host)
		if err != nil {
			return nil, err
		}
		n.endpoints = []*endpoint{newEndpoint(name, cfg.Strict, conn)}
	default:
		n.err = errUnresolved
		// What is wrong with certificates is told at the start.
		if _, err := n.creds(host); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// newMembers makes the node of the members of a cluster.
func newMembers(members func() []string) *node {
	return &node{cfg: metrics.StoreEndpoint{Address: "cluster"}, creds: transport(nil), members: members}
}

// follow makes the members of this moment the servers of the node. It waits for nobody: connections are made
// when they are needed.
func (n *node) follow() {
	if n.members == nil {
		return
	}
	n.mu.RLock()
	same := n.closed || slices.EqualFunc(n.endpoints, n.members(), func(e *endpoint, addr string) bool { return e.addr == addr })
	n.mu.RUnlock()
	if same {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	// They are read again with the lock held, so that no older view of them replaces a newer one.
	members := n.members()
	found := make([]server, len(members))
	for i, addr := range members {
		found[i] = server{addr: addr}
	}
	n.err = n.take(found)
}

// close ends the connections for good.
func (n *node) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, e := range n.endpoints {
		errs = append(errs, e.conn.Close())
	}
	n.endpoints, n.closed = nil, true
	return errors.Join(errs...)
}

var errUnresolved = errors.New("its name has not been looked up yet")

// transport returns how to make the credentials for a host.
func transport(c *metrics.StoreTLS) func(host string) (credentials.TransportCredentials, error) {
	return func(host string) (credentials.TransportCredentials, error) {
		if c == nil {
			return insecure.NewCredentials(), nil
		}
		tls, err := promconfig.NewTLSConfig(&promconfig.TLSConfig{CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile,
			ServerName: cmp.Or(c.ServerName, host), InsecureSkipVerify: c.InsecureSkipVerify})
		if err != nil {
			return nil, fmt.Errorf("tls_config: %w", err)
		}
		return credentials.NewTLS(tls), nil
	}
}

func (n *node) dial(target, host string, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	creds, err := n.creds(host)
	if err != nil {
		return nil, err
	}
	if n.members != nil {
		more = append(more, grpc.WithKeepaliveParams(memberKeepalive), grpc.WithConnectParams(memberConnect))
	}
	return grpc.NewClient(target, append(more, grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(maxMessage)))...)
}

// Others can answer in place of a member that is gone, machine and all: it must not be waited for. What doesn't answer is
// noticed after 15 s, what can't be reached after 3 s, and is tried again after a few seconds more.
var (
	memberKeepalive = keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}
	memberConnect   = grpc.ConnectParams{MinConnectTimeout: 3 * time.Second, Backoff: backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 10 * time.Second}}
)

// server is what a lookup found: where it is, and the name that its certificate should have.
type server struct{ addr, host string }

// lookUp looks the name up if it is one and it is time. What can't be looked up leaves the servers as they are.
func (n *node) lookUp(ctx context.Context, r Resolver) error {
	lookup, name := n.cfg.Lookup()
	n.mu.RLock()
	due := n.due
	n.mu.RUnlock()
	if lookup == "" || time.Now().Before(due) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := resolve(ctx, r, lookup, name)
	if err == nil && len(found) == 0 {
		err = errors.New("the lookup found no server")
	}
	if len(found) > maxServers {
		err = fmt.Errorf("the lookup found %d servers, more than %d", len(found), maxServers)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = err
	if err != nil || n.closed {
		return err // once more with the next question what servers have
	}
	n.due = time.Now().Add(lookupInterval)
	return n.take(found)
}

// take makes what a lookup found the servers of the node. n.mu must be held.
func (n *node) take(found []server) error {
	if n.group != nil {
		addrs := make([]resolver.Address, len(found))
		for i, s := range found {
			addrs[i] = resolver.Address{Addr: s.addr}
		}
		n.group.UpdateState(resolver.State{Addresses: addrs})
		return nil
	}
	var errs []error
	kept := make([]*endpoint, 0, len(found))
	for _, s := range found {
		i := slices.IndexFunc(n.endpoints, func(e *endpoint) bool { return e.addr == s.addr })
		if i >= 0 {
			kept = append(kept, n.endpoints[i])
			continue
		}
		conn, err := n.dial(s.addr, s.host)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		e := newEndpoint(s.addr, false, conn)
		e.member = n.members != nil
		kept = append(kept, e)
	}
	for _, e := range n.endpoints {
		if !slices.Contains(kept, e) {
			errs = append(errs, e.conn.Close()) // questions under way end with an error, and a warning
		}
	}
	n.endpoints = kept
	return errors.Join(errs...)
}

// resolve looks a name up as Thanos does.
func resolve(ctx context.Context, r Resolver, lookup, name string) (found []server, err error) {
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		host, port = name, ""
	}
	switch lookup {
	case metrics.LookupA, metrics.LookupDualStack:
		return addresses(ctx, r, host, host, port)
	default:
		_, records, err := r.LookupSRV(ctx, "", "", host)
		if err != nil {
			return nil, err
		}
		for _, rec := range records {
			target := strings.TrimSuffix(rec.Target, ".")
			at := cmp.Or(port, strconv.Itoa(int(rec.Port)))
			if lookup == metrics.LookupSRVNoA {
				found = append(found, server{net.JoinHostPort(target, at), target})
				continue
			}
			list, err := addresses(ctx, r, rec.Target, target, at)
			if err != nil {
				return nil, err
			}
			found = append(found, list...)
		}
		return distinct(found), nil
	}
}

// addresses looks up the addresses of a host.
func addresses(ctx context.Context, r Resolver, lookup, host, port string) ([]server, error) {
	ips, err := r.LookupNetIP(ctx, "ip", lookup)
	if err != nil {
		return nil, err
	}
	found := make([]server, len(ips))
	for i, ip := range ips {
		found[i] = server{net.JoinHostPort(ip.Unmap().String(), port), host}
	}
	return distinct(found), nil
}

func distinct(list []server) []server {
	slices.SortFunc(list, func(a, b server) int { return cmp.Compare(a.addr, b.addr) })
	return slices.CompactFunc(list, func(a, b server) bool { return a.addr == b.addr })
}

// refresh asks the servers of the node what they have.
func (n *node) refresh(ctx context.Context, logger *slog.Logger) {
	n.follow()
	n.mu.RLock()
	list := slices.Clone(n.endpoints)
	n.mu.RUnlock()
	var g errgroup.Group
	g.SetLimit(refreshAtOnce)
	for _, e := range list {
		g.Go(func() error {
			before := e.state()
			err := e.refresh(ctx)
			if ctx.Err() == nil && err != nil && (before == nil || errors.Is(before, errUnknown)) {
				logger.Warn("a store can't be reached, queries are answered without it", "endpoint", e.addr, "err", err)
			}
			return nil
		})
	}
	_ = g.Wait() // each keeps its own error
}

// refreshAtOnce is how many servers of a name are asked at the same time.
const refreshAtOnce = 32
