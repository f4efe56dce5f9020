package ring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafana/dskit/kv/memberlist"
	dskit "github.com/grafana/dskit/ring"
	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// tokensEach is how many places on the circle a member has. With 128 the shares of three members differ by a
// tenth or so.
const tokensEach = 128

// forgetAfter is how many heartbeat timeouts a dead member is still shown.
const forgetAfter = 10

// lookEvery is how often members are looked at for being silent too long: nobody tells of that.
const lookEvery = time.Second

// Ring is who shares the work of one role. Members are named by the addresses of their main ports. It is a
// service: while it runs this process is a member, though it owns nothing before Cluster.Activate.
type Ring struct {
	services.Service

	cluster     *Cluster
	role, key   string
	replication int
	members     prometheus.Gauge

	client     *memberlist.Client     // set by start
	lifecycler *dskit.BasicLifecycler // set by start

	table atomic.Pointer[table]

	mu        sync.Mutex
	listeners []func()
}

func newRing(c *Cluster, role string, replication int) *Ring {
	r := &Ring{cluster: c, role: role, key: "ring/" + role, replication: max(1, replication),
		members: promauto.With(c.o.Registerer).NewGauge(prometheus.GaugeOpts{Name: "hune_ring_members",
			Help: "Members of the ring of a role that share its work, as this process sees it.", ConstLabels: prometheus.Labels{"role": role}})}
	r.table.Store(&table{})
	r.Service = services.NewBasicService(r.start, r.run, r.stop).WithName("ring of " + role)
	return r
}

// start makes this process known as one that will be a member.
func (r *Ring) start(ctx context.Context) error {
	err := r.enter(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("ring of %s: %w", r.role, err), r.stop(nil))
	}
	return nil
}

func (r *Ring) enter(ctx context.Context) error {
	kv, err := r.cluster.kv.GetMemberlistKV()
	if err != nil {
		return err
	}
	if r.client, err = memberlist.NewClient(kv, r.cluster.codec); err != nil {
		return err
	}
	cfg := r.cluster.o.Config
	period, timeout := time.Duration(cfg.HeartbeatPeriod), time.Duration(cfg.HeartbeatTimeout)
	var delegate dskit.BasicLifecyclerDelegate = dskit.NewInstanceRegisterDelegate(dskit.JOINING, tokensEach)
	delegate = dskit.NewAutoForgetDelegate(forgetAfter*timeout, delegate, r.cluster.logger)
	if dir := r.cluster.o.Dir; dir != "" {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
		delegate = dskit.NewTokensPersistencyDelegate(filepath.Join(dir, r.role+".tokens"), dskit.JOINING, delegate, r.cluster.logger)
	}
	r.lifecycler, err = dskit.NewBasicLifecycler(dskit.BasicLifecyclerConfig{ID: r.cluster.self, Addr: r.cluster.self,
		HeartbeatPeriod: period, HeartbeatTimeout: timeout, NumTokens: tokensEach}, r.role, r.key, client{r.client, r.cluster.self}, delegate, r.cluster.logger, r.cluster.o.Registerer)
	if err != nil {
		return err
	}
	// It ends when stop says so, not with this service: until then it goes on saying that it is alive.
	err = r.lifecycler.StartAsync(context.WithoutCancel(ctx))
	if err == nil {
		err = r.lifecycler.AwaitRunning(ctx)
	}
	if err != nil {
		return err
	}
	return r.look(ctx)
}

// run follows who is there.
func (r *Ring) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	told := make(chan struct{}, 1)
	var watch sync.WaitGroup
	watch.Go(func() {
		r.client.WatchKey(ctx, r.key, func(any) bool {
			select {
			case told <- struct{}{}:
			default:
			}
			return true
		})
	})
	defer watch.Wait()
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("ring of %s: %w", r.role, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-told:
		case <-tick.C:
		}
		if err := r.lifecycler.FailureCase(); err != nil {
			return fmt.Errorf("ring of %s: %w", r.role, err)
		}
	}
}

// stop leaves the ring.
func (r *Ring) stop(error) error {
	if r.lifecycler == nil {
		return nil
	}
	return services.StopAndAwaitTerminated(context.Background(), r.lifecycler)
}

// look makes the table anew if who shares the work has changed, and says so.
func (r *Ring) look(ctx context.Context) error {
	v, err := r.client.Get(ctx, r.key)
	if err != nil {
		return fmt.Errorf("read the ring: %w", err)
	}
	next := newTable(dskit.GetOrCreateRingDesc(v), time.Duration(r.cluster.o.Config.HeartbeatTimeout), time.Now())
	before := r.table.Swap(next)
	if next.equal(before) {
		return nil
	}
	r.members.Set(float64(len(next.members)))
	r.cluster.o.Logger.Info("members of a ring changed", "ring", r.role, "members", next.members)
	r.mu.Lock()
	listeners := slices.Clone(r.listeners)
	r.mu.Unlock()
	for _, f := range listeners {
		f()
	}
	return nil
}

// OnChange has f called after each change of who owns what. It must not block.
func (r *Ring) OnChange(f func()) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners = append(r.listeners, f)
}

// Owners are the members that own what has this hash, the first one first; there may be none at the moment.
// That of a nil ring is this process, of which there is no name: "".
func (r *Ring) Owners(hash uint32) []string {
	if r == nil {
		return []string{""}
	}
	return r.table.Load().owners(hash, r.replication)
}

// First is the member that owns what has this hash before all others, "" where there is none at the moment, or this process
// is alone.
func (r *Ring) First(hash uint32) string {
	if r == nil {
		return ""
	}
	return r.table.Load().first(hash)
}

// Owns reports whether this process is an owner of what has this hash.
func (r *Ring) Owns(hash uint32) bool {
	return r == nil || slices.Contains(r.Owners(hash), r.cluster.self)
}

// Others are the members but this process, in order.
func (r *Ring) Others() []string {
	if r == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.table.Load().members), func(m string) bool { return m == r.cluster.self })
}

// Known are all but this process that the ring shows, in order: also those that aren't ready, are leaving or are
// silent, until they are forgotten.
func (r *Ring) Known() []string {
	if r == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.table.Load().known), func(m string) bool { return m == r.cluster.self })
}

// Hash is the place of a thing that is named by parts.
func Hash(parts ...string) uint32 {
	h := fnv.New32a()
	for i, p := range parts {
		if i > 0 {
			_, _ = h.Write([]byte("/"))
		}
		_, _ = h.Write([]byte(p))
	}
	return h.Sum32()
}

// table is the circle at one moment: the members that do their share, and their tokens in order.
type table struct {
	members []string // in order
	known   []string // members and all others, in order
	tokens  []token
}

type token struct {
	place  uint32
	member int32
}

// newTable leaves out who isn't ready, is leaving, or was silent longer than timeout.
func newTable(d *dskit.Desc, timeout time.Duration, now time.Time) *table {
	t := &table{}
	for id, m := range d.Ingesters {
		t.known = append(t.known, id)
		if m.State == dskit.ACTIVE && m.IsHeartbeatHealthy(timeout, now) {
			t.members = append(t.members, id)
		}
	}
	slices.Sort(t.known)
	slices.Sort(t.members)
	for i, id := range t.members {
		for _, place := range d.Ingesters[id].Tokens {
			t.tokens = append(t.tokens, token{place, int32(i)})
		}
	}
	slices.SortFunc(t.tokens, func(a, b token) int {
		return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.member, b.member))
	})
	return t
}

// equal reports whether the same members own the same.
func (t *table) equal(o *table) bool {
	return slices.Equal(t.members, o.members) && slices.Equal(t.tokens, o.tokens)
}

// after is the number of the first token after a place, that of the end where there is none.
func (t *table) after(hash uint32) int {
	at, _ := slices.BinarySearchFunc(t.tokens, hash, func(k token, h uint32) int {
		if k.place <= h {
			return -1
		}
		return 1
	})
	return at
}

// first is the member that is met first from a place on, "" if there is none.
func (t *table) first(hash uint32) string {
	if len(t.tokens) == 0 {
		return ""
	}
	return t.members[t.tokens[t.after(hash)%len(t.tokens)].member]
}

// owners goes round from a place on until it has met n members, or all.
func (t *table) owners(hash uint32, n int) []string {
	n = min(n, len(t.members))
	out := make([]string, 0, n)
	at := t.after(hash)
	for i := 0; i < len(t.tokens) && len(out) < n; i++ {
		m := t.members[t.tokens[(at+i)%len(t.tokens)].member]
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}
