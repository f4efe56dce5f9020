package storeapi

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/thanos-io/thanos/pkg/store/storepb"
	"golang.org/x/sync/errgroup"
	grpcmetadata "google.golang.org/grpc/metadata"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

const (
	// infoInterval is how often the servers are asked what they have, Thanos's, and infoTimeout how long
	// an answer may take.
	infoInterval = 5 * time.Second
	infoTimeout  = 5 * time.Second
	// lookupInterval is how often names are looked up, Thanos's, and lookupTimeout how long that may take.
	lookupInterval = 30 * time.Second
	lookupTimeout  = 5 * time.Second
	// maxMessage bounds one message of an answer: a series with all of its chunks, or a batch of them.
	maxMessage = 64 << 20
	// maxWarning bounds the text of a warning that a server sends.
	maxWarning = 1024
)

// thanosTenant is the header by which Thanos names tenants.
const thanosTenant = "thanos-tenant"

// HeadsHeader is there when a member of the same cluster asks. It reads the bucket itself and wants the heads alone,
// with series as they were written: external labels would set them apart from those that it has.
const HeadsHeader = "hune-heads-only"

// ClientOptions are what the program gives NewClient.
type ClientOptions struct {
	Endpoints []metrics.StoreEndpoint
	// Members returns the addresses of the other members of the cluster, in order, as they are at the moment. Of them
	// only what they have not shipped is asked. It must not block. Nil: this process is alone.
	Members    func() []string
	Resolver   Resolver // nil: the system's
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Client is a metrics.Source over other servers with a StoreAPI. Servers whose labels or times can't match
// are not asked. One that can't be reached, or fails, is left out of the answer with a warning. The other members of a
// cluster are asked for what they have not shipped yet.
type Client struct {
	opts     ClientOptions
	nodes    []*node
	requests *prometheus.CounterVec
}

var _ metrics.Source = (*Client)(nil)

// NewClient returns a client. Run keeps it informed about its servers.
func NewClient(opts ClientOptions) (*Client, error) {
	if opts.Resolver == nil {
		opts.Resolver = net.DefaultResolver
	}
	f := promauto.With(opts.Registerer)
	c := &Client{opts: opts, requests: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_store_endpoint_requests_total",
		Help: "Requests to other StoreAPI servers, by outcome."}, []string{"endpoint", "method", "outcome"})}
	up := prometheus.NewDesc("hune_metrics_store_endpoint_up", "Whether the last question what a StoreAPI server has was answered.", []string{"endpoint"}, nil)
	for _, e := range opts.Endpoints {
		n, err := newNode(e)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("store endpoint %s: %w", e.Address, err), c.Close())
		}
		c.nodes = append(c.nodes, n)
	}
	if opts.Members != nil {
		c.nodes = append(c.nodes, newMembers(opts.Members))
	}
	if opts.Registerer != nil {
		if err := opts.Registerer.Register(upCollector{c, up}); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// endpoints returns the servers that are known now, and what kept names from being looked up.
func (c *Client) endpoints() (list []*endpoint, failed error) {
	for _, n := range c.nodes {
		n.follow()
		n.mu.RLock()
		list = append(list, n.endpoints...)
		if n.err != nil {
			failed = errors.Join(failed, fmt.Errorf("store endpoint %s: %w", n.cfg.Address, n.err))
		}
		n.mu.RUnlock()
	}
	return list, failed
}

// upCollector exports which servers answer.
type upCollector struct {
	c    *Client
	desc *prometheus.Desc
}

func (u upCollector) Describe(ch chan<- *prometheus.Desc) { ch <- u.desc }

func (u upCollector) Collect(ch chan<- prometheus.Metric) {
	list, _ := u.c.endpoints()
	seen := map[string]bool{}
	for _, e := range list {
		if seen[e.addr] {
			continue // two names lead to it
		}
		seen[e.addr] = true
		value := 0.0
		if e.state() == nil {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(u.desc, prometheus.GaugeValue, value, e.addr)
	}
}

// Run asks the servers what they have until ctx is done.
func (c *Client) Run(ctx context.Context) error {
	ticker := time.NewTicker(infoInterval)
	defer ticker.Stop()
	for {
		c.Refresh(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Refresh looks names up where it is time, and asks all servers once what they have.
func (c *Client) Refresh(ctx context.Context) {
	var g errgroup.Group
	for _, n := range c.nodes {
		g.Go(func() error {
			if err := n.lookUp(ctx, c.opts.Resolver); err != nil && ctx.Err() == nil {
				c.opts.Logger.Warn("store endpoint can't be looked up, what was known before is kept", "endpoint", n.cfg.Address, "err", err)
			}
			n.refresh(ctx, c.opts.Logger)
			return nil
		})
	}
	_ = g.Wait() // each keeps its own error
}

// Close ends the connections.
func (c *Client) Close() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

// ask lets f ask each server that may have something, at the same time, and returns the answers. A server
// that fails is left out with a warning; the end of ctx is an error.
func ask[A any](ctx context.Context, c *Client, method, tenantID string, s metrics.Select, f func(context.Context, *endpoint) (A, error)) ([]A, error) {
	ms, err := metrics.ToMatchers(s.Matchers)
	if err != nil {
		return nil, err
	}
	wanted, err := c.wanted(ctx, s, ms)
	if err != nil {
		return nil, err
	}
	return askEach(ctx, c, method, tenantID, wanted, f)
}

// askEach lets f ask the wanted servers, as ask does.
func askEach[A any](ctx context.Context, c *Client, method, tenantID string, wanted []*endpoint, f func(context.Context, *endpoint) (A, error)) ([]A, error) {
	answers := make([]A, len(wanted))
	out := grpcmetadata.AppendToOutgoingContext(ctx, thanosTenant, tenantID, tenant.Header, tenantID)
	var g errgroup.Group
	for i, e := range wanted {
		g.Go(func() error {
			out := out
			if e.member {
				out = grpcmetadata.AppendToOutgoingContext(out, HeadsHeader, "1")
			}
			a, err := f(out, e)
			if err == nil {
				c.requests.WithLabelValues(e.addr, method, "success").Inc()
				answers[i] = a
				return nil
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			c.requests.WithLabelValues(e.addr, method, "error").Inc()
			metrics.AddWarning(ctx, fmt.Errorf("%s is left out of the answer: %w", e, err))
			return nil
		})
	}
	return answers, g.Wait()
}

// wanted returns the servers to ask. Of those that should be and can't, it leaves warnings.
func (c *Client) wanted(ctx context.Context, s metrics.Select, ms []*labels.Matcher) (out []*endpoint, err error) {
	list, failed := c.endpoints()
	if failed != nil && len(s.Stores) == 0 {
		metrics.AddWarning(ctx, fmt.Errorf("servers may be left out of the answer: %w", failed))
	}
	for _, e := range list {
		ok, err := e.isOf(ctx, s.Stores)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		switch err := e.out(); {
		case err != nil:
			metrics.AddWarning(ctx, fmt.Errorf("%s is left out of the answer: %w", e, err))
		case e.matches(s.Start, s.End, ms):
			out = append(out, e)
		}
	}
	return out, nil
}

// strategy says what a server shall do with what it can't have itself.
func strategy(s metrics.Select) storepb.PartialResponseStrategy {
	if s.WholeAnswer {
		return storepb.PartialResponseStrategy_ABORT
	}
	return storepb.PartialResponseStrategy_WARN
}

// SelectSeries implements metrics.Source.
func (c *Client) SelectSeries(ctx context.Context, id string, s metrics.Select) iter.Seq2[*metrics.ChunkSeries, error] {
	return func(yield func(*metrics.ChunkSeries, error) bool) {
		lists, err := ask(ctx, c, "Series", id, s, func(ctx context.Context, e *endpoint) ([]metrics.ChunkSeries, error) {
			return e.series(ctx, s)
		})
		if err != nil {
			yield(nil, err)
			return
		}
		merged := metrics.MergeSeries(lists)
		for i := range merged {
			if s.Limit > 0 && i == s.Limit || !yield(&merged[i], nil) {
				return
			}
		}
	}
}

// LabelNames implements metrics.Source.
func (c *Client) LabelNames(ctx context.Context, id string, s metrics.Select) ([]string, error) {
	return c.labels(ctx, "LabelNames", id, s, func(ctx context.Context, e *endpoint) ([]string, error) {
		r, err := e.store.LabelNames(ctx, &storepb.LabelNamesRequest{Start: s.Start, End: s.End, Matchers: FromMatchers(s.Matchers), Limit: int64(s.Limit),
			PartialResponseStrategy: strategy(s), PartialResponseDisabled: s.WholeAnswer})
		if err != nil {
			return nil, err
		}
		for _, text := range r.Warnings {
			e.warn(ctx, text)
		}
		return r.Names, nil
	})
}

// LabelValues implements metrics.Source.
func (c *Client) LabelValues(ctx context.Context, id, name string, s metrics.Select) ([]string, error) {
	return c.labels(ctx, "LabelValues", id, s, func(ctx context.Context, e *endpoint) ([]string, error) {
		r, err := e.store.LabelValues(ctx, &storepb.LabelValuesRequest{Label: name, Start: s.Start, End: s.End, Matchers: FromMatchers(s.Matchers), Limit: int64(s.Limit),
			PartialResponseStrategy: strategy(s), PartialResponseDisabled: s.WholeAnswer})
		if err != nil {
			return nil, err
		}
		for _, text := range r.Warnings {
			e.warn(ctx, text)
		}
		return r.Values, nil
	})
}

func (c *Client) labels(ctx context.Context, method, id string, s metrics.Select, f func(context.Context, *endpoint) ([]string, error)) ([]string, error) {
	lists, err := ask(ctx, c, method, id, s, f)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lists...)
	slices.Sort(all)
	all = slices.Compact(all)
	if s.Limit > 0 && len(all) > s.Limit {
		all = all[:s.Limit]
	}
	return all, nil
}
