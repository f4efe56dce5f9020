// Package ring tells the processes of a cluster apart: who is alive, and who of them does what.
//
// A process has one Cluster, which gossips with the others, and a Ring for each role that shares its work.
// A ring is a circle of 32-bit hashes on which each member has tokens; what hashes to a place belongs to the
// members that are met first from there on. A member that dies, leaves or isn't ready yet is passed over:
// its share falls to the next ones, and nothing else changes hands.
//
//	Cluster ──► gossip (memberlist over TCP) ◄──► other processes
//	   ├──► Ring "ruler"       who evaluates a group of rules
//	   ├──► Ring "compactor"   who keeps the blocks of a tenant in order
//	   ├──► …
//	   └──► Elections          which of several senders of the same is listened to
//
// Views of members differ for a moment after each change, and during a partition: work may then be done twice, or for
// that moment not at all. Users of a ring must bear both.
//
// A nil *Cluster and a nil *Ring are those of a process that is alone: it owns everything. They cost nothing.
package ring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	gokitlog "github.com/go-kit/log"
	"github.com/grafana/dskit/dns"
	"github.com/grafana/dskit/flagext"
	"github.com/grafana/dskit/kv/codec"
	"github.com/grafana/dskit/kv/memberlist"
	dskit "github.com/grafana/dskit/ring"
	"github.com/grafana/dskit/services"
	sockaddr "github.com/hashicorp/go-sockaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// Options are what the program gives a Cluster.
type Options struct {
	Config Config
	// HTTP is the address of the main port, as it is listened on.
	HTTP string
	// Dir is where tokens are kept, so that a member that comes back owns what it owned. "": nowhere.
	Dir        string
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Cluster is the gossip of this process, as a service.
type Cluster struct {
	services.Service // the gossip

	o      Options
	self   string // name and main port of this process
	codec  codec.Codec
	kv     *memberlist.KVInitService
	logger gokitlog.Logger

	electionsCodec codec.Codec

	mu    sync.Mutex
	rings []*Ring // in order of their names

	changes sync.WaitGroup // that nobody waits for any more: they end with their rings
}

// NewCluster returns the cluster of this process, nil if it is alone. Nothing is opened before the service starts.
func NewCluster(o Options) (*Cluster, error) {
	if o.Config.Alone() {
		return nil, nil
	}
	c := &Cluster{o: o, logger: kitLogger{o.Logger}}
	cfg, err := c.gossip()
	if err != nil {
		return nil, err
	}
	if c.codec, err = seal(dskit.GetCodec(), o.Config.Secret, "hune ring"); err != nil {
		return nil, err
	}
	if c.electionsCodec, err = seal(electionsCodec{}, o.Config.Secret, "hune elections"); err != nil {
		return nil, err
	}
	cfg.Codecs = []codec.Codec{c.codec, c.electionsCodec}
	c.kv = memberlist.NewKVInitService(&cfg, c.logger, dns.NewProvider(c.logger, o.Registerer, dns.GolangResolverType), o.Registerer)
	c.Service = services.NewBasicService(c.start, c.run, c.stop).WithName("cluster")
	return c, nil
}

// How long a stop waits for the others to hear that this process leaves, and for each of the last two steps of the
// gossip: the program as a whole has nine seconds. Who doesn't hear it notices.
const (
	leaveTimeout  = 2 * time.Second
	gossipTimeout = time.Second
)

// gossip translates the settings and finds out under which addresses this process is reached.
func (c *Cluster) gossip() (memberlist.KVConfig, error) {
	var out memberlist.KVConfig
	flagext.DefaultValues(&out)
	cfg := c.o.Config
	host, port, err := splitAddress(cfg.Listen)
	if err != nil {
		return out, fmt.Errorf("cluster.listen: %w", err)
	}
	out.TCPTransport.BindAddrs, out.TCPTransport.BindPort = flagext.StringSlice{host}, port
	if cfg.Advertise != "" {
		if host, port, err = splitAddress(cfg.Advertise); err != nil {
			return out, fmt.Errorf("cluster.advertise: %w", err)
		}
	}
	ip, err := address(host)
	if err != nil {
		return out, fmt.Errorf("cluster.advertise: %w", err)
	}
	out.AdvertiseAddr, out.AdvertisePort = ip.String(), port
	if c.self, err = httpAddress(cfg, c.o.HTTP, host, ip); err != nil {
		return out, err
	}
	out.NodeName = c.self
	out.ClusterLabel = label(cfg.Name, cfg.Secret)
	out.JoinMembers = slices.Clone(cfg.Join)
	// A member that was away, or that started before those that it was told to join, is found again.
	out.RejoinInterval = 6 * time.Duration(cfg.HeartbeatPeriod)
	out.LeaveTimeout, out.BroadcastTimeoutForLocalUpdatesOnShutdown = gossipTimeout, gossipTimeout
	out.LeftIngestersTimeout = 10 * time.Duration(cfg.HeartbeatTimeout)
	return out, nil
}

// address is the IP address that others reach host under.
func address(host string) (net.IP, error) {
	ip := net.ParseIP(host)
	switch {
	case ip == nil && host != "":
		found, err := net.LookupIP(host)
		if err != nil {
			return nil, err
		}
		return found[0], nil
	case ip != nil && !ip.IsUnspecified():
		return ip, nil
	}
	private, err := sockaddr.GetPrivateIP()
	if err != nil {
		return nil, err
	}
	if ip = net.ParseIP(private); ip == nil {
		return nil, errors.New("this machine has no private address: name the one that others reach it under")
	}
	return ip, nil
}

// httpAddress is where others reach the main port: its own host where it names one, else that of the gossip.
func httpAddress(cfg Config, listen, host string, ip net.IP) (string, error) {
	if cfg.HTTPAddress != "" {
		return cfg.HTTPAddress, nil
	}
	own, port, err := splitAddress(listen)
	if err != nil {
		return "", fmt.Errorf("http.listen: %w", err)
	}
	if parsed := net.ParseIP(own); own == "" || parsed != nil && parsed.IsUnspecified() {
		if own = host; net.ParseIP(host) != nil || host == "" {
			own = ip.String()
		}
	}
	return net.JoinHostPort(own, strconv.Itoa(port)), nil
}

// start opens the port and joins: when it is done, the rings are known as far as anybody could be asked.
func (c *Cluster) start(ctx context.Context) error {
	if err := services.StartAndAwaitRunning(context.WithoutCancel(ctx), c.kv); err != nil {
		return err
	}
	kv, err := c.kv.GetMemberlistKV()
	if err == nil {
		err = kv.AwaitRunning(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("join the cluster from %s: %w", c.o.Config.Listen, err), c.stop(nil))
	}
	return nil
}

func (c *Cluster) run(ctx context.Context) error {
	err := c.kv.AwaitTerminated(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("gossip of the cluster: %w", err)
}

func (c *Cluster) stop(error) error {
	defer c.changes.Wait()
	return services.StopAndAwaitTerminated(context.Background(), c.kv)
}

// Self is the name of this process in all rings, "" if it is alone.
func (c *Cluster) Self() string {
	if c == nil {
		return ""
	}
	return c.self
}

// Ring makes the ring of a role, in which this process is a member while the ring runs as a service. That must
// stop before the cluster does. What is owned has replication owners. It is nil if this process is alone.
func (c *Cluster) Ring(role string, replication int) *Ring {
	if c == nil {
		return nil
	}
	r := newRing(c, role, replication)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rings = append(c.rings, r)
	slices.SortFunc(c.rings, func(a, b *Ring) int { return strings.Compare(a.role, b.role) })
	return r
}

// Activate makes this process a full member of its rings: from now on it owns its share. It is called when all
// roles are ready, so that nothing falls to one who can't do it yet.
func (c *Cluster) Activate(ctx context.Context) error { return c.change(ctx, dskit.ACTIVE) }

// Leave hands over what this process owns, while it still goes on with what it is at.
func (c *Cluster) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	return c.change(ctx, dskit.LEAVING)
}

// change is done in all rings at once: times are told in seconds, and a second change within one waits for the next.
// It returns when ctx ends, even where a ring is still at something else, such as telling that it is alive.
func (c *Cluster) change(ctx context.Context, state dskit.InstanceState) error {
	if c == nil {
		return nil
	}
	rings := c.list()
	done := make(chan error, len(rings))
	n := 0
	for _, r := range rings {
		if r.State() == services.Running {
			n++
			c.changes.Go(func() { done <- r.lifecycler.ChangeState(ctx, state) })
		}
	}
	var errs []error
	for range n {
		select {
		case err := <-done:
			errs = append(errs, err)
		case <-ctx.Done():
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
	}
	return errors.Join(errs...)
}

func (c *Cluster) list() []*Ring {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.rings)
}

// ServeGossip shows the gossip as a page.
func (c *Cluster) ServeGossip(w http.ResponseWriter, r *http.Request) {
	if c == nil {
		alone(w, r)
		return
	}
	c.kv.ServeHTTP(w, r)
}
