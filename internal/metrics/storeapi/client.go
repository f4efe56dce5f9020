package storeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/thanos-io/thanos/pkg/info/infopb"
	"github.com/thanos-io/thanos/pkg/store/storepb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	grpcmetadata "google.golang.org/grpc/metadata"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

const (
	// infoInterval is how often the servers are asked what they have, Thanos's, and infoTimeout how long
	// an answer may take.
	infoInterval = 5 * time.Second
	infoTimeout  = 5 * time.Second
	// maxMessage bounds one message of an answer: a series with all of its chunks, or a batch of them.
	maxMessage = 64 << 20
	// maxWarning bounds the text of a warning that a server sends.
	maxWarning = 1024
)

// thanosTenant is the header by which Thanos names tenants.
const thanosTenant = "thanos-tenant"

// ClientOptions are what the program gives NewClient.
type ClientOptions struct {
	Endpoints  []string // host:port each; gRPC without TLS
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Client is a metrics.Source over other servers with a StoreAPI. Servers whose labels or times can't match
// are not asked. One that can't be reached, or fails, is left out of the answer with a warning.
type Client struct {
	opts      ClientOptions
	endpoints []*endpoint
	requests  *prometheus.CounterVec
}

var _ metrics.Source = (*Client)(nil)

// endpoint is one server.
type endpoint struct {
	addr  string
	conn  *grpc.ClientConn
	store storepb.StoreClient
	info  infopb.InfoClient

	mu         sync.RWMutex
	err        error // of the last question what it has; errUnknown before the first
	labelSets  []labels.Labels
	mint, maxt int64
}

var errUnknown = errors.New("it has not answered yet")

// NewClient returns a client. Run keeps it informed about its servers.
func NewClient(opts ClientOptions) (*Client, error) {
	f := promauto.With(opts.Registerer)
	c := &Client{opts: opts, requests: f.NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_store_endpoint_requests_total",
		Help: "Requests to other StoreAPI servers, by outcome."}, []string{"endpoint", "method", "outcome"})}
	up := prometheus.NewDesc("hune_metrics_store_endpoint_up", "Whether the last question what a StoreAPI server has was answered.", []string{"endpoint"}, nil)
	for _, addr := range opts.Endpoints {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(maxMessage)))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("store endpoint %s: %w", addr, err), c.Close())
		}
		c.endpoints = append(c.endpoints, &endpoint{addr: addr, conn: conn, store: storepb.NewStoreClient(conn), info: infopb.NewInfoClient(conn), err: errUnknown})
	}
	if opts.Registerer != nil {
		if err := opts.Registerer.Register(upCollector{c, up}); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// upCollector exports which servers answer.
type upCollector struct {
	c    *Client
	desc *prometheus.Desc
}

func (u upCollector) Describe(ch chan<- *prometheus.Desc) { ch <- u.desc }

func (u upCollector) Collect(ch chan<- prometheus.Metric) {
	for _, e := range u.c.endpoints {
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

// Refresh asks all servers once what they have.
func (c *Client) Refresh(ctx context.Context) {
	var g errgroup.Group
	for _, e := range c.endpoints {
		g.Go(func() error {
			before := e.state()
			err := e.refresh(ctx)
			if ctx.Err() == nil && err != nil && before == nil {
				c.opts.Logger.Warn("store endpoint can't be reached, queries are answered without it", "endpoint", e.addr, "err", err)
			}
			return nil
		})
	}
	_ = g.Wait() // each keeps its own error
}

func (e *endpoint) state() error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.err
}

func (e *endpoint) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, err := e.info.Info(ctx, &infopb.InfoRequest{})
	if err == nil && info.Store == nil {
		err = errors.New("it has no StoreAPI")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err = err; err != nil {
		return err
	}
	e.mint, e.maxt, e.labelSets = info.Store.MinTime, info.Store.MaxTime, nil
	for _, set := range info.LabelSets {
		b := labels.NewScratchBuilder(len(set.Labels))
		for _, l := range set.Labels {
			b.Add(l.Name, l.Value)
		}
		b.Sort()
		e.labelSets = append(e.labelSets, b.Labels())
	}
	return nil
}

// matches reports whether a server may have something of a selection.
func (e *endpoint) matches(start, end int64, ms []*labels.Matcher) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.mint > end || e.maxt < start {
		return false
	}
	return len(e.labelSets) == 0 || slices.ContainsFunc(e.labelSets, func(set labels.Labels) bool {
		return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool {
			v := set.Get(m.Name)
			return v != "" && !m.Matches(v)
		})
	})
}

// Close ends the connections.
func (c *Client) Close() error {
	var errs []error
	for _, e := range c.endpoints {
		errs = append(errs, e.conn.Close())
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
	var wanted []*endpoint
	for _, e := range c.endpoints {
		switch err := e.state(); {
		case err != nil:
			metrics.AddWarning(ctx, fmt.Errorf("store endpoint %s is left out of the answer: %w", e.addr, err))
		case e.matches(s.Start, s.End, ms):
			wanted = append(wanted, e)
		}
	}
	answers := make([]A, len(wanted))
	out := grpcmetadata.AppendToOutgoingContext(ctx, thanosTenant, tenantID, tenant.Header, tenantID)
	var g errgroup.Group
	for i, e := range wanted {
		g.Go(func() error {
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
			metrics.AddWarning(ctx, fmt.Errorf("store endpoint %s is left out of the answer: %w", e.addr, err))
			return nil
		})
	}
	return answers, g.Wait()
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

// series reads all that a server has of a selection.
func (e *endpoint) series(ctx context.Context, s metrics.Select) (out []metrics.ChunkSeries, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	req := &storepb.SeriesRequest{MinTime: s.Start, MaxTime: s.End, Matchers: FromMatchers(s.Matchers), SkipChunks: s.SkipChunks, Limit: int64(s.Limit),
		MaxResolutionWindow: s.MaxResolution, Aggregates: []storepb.Aggr{storepb.Aggr_RAW}, PartialResponseStrategy: storepb.PartialResponseStrategy_WARN}
	if s.MaxResolution > 0 {
		req.Aggregates = Aggregates
	}
	stream, err := e.store.Series(ctx, req)
	if err != nil {
		return nil, err
	}
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			return sorted(out), nil
		}
		if err != nil {
			return nil, err
		}
		if text := r.GetWarning(); text != "" {
			e.warn(ctx, text)
		}
		list := []*storepb.Series{}
		if one := r.GetSeries(); one != nil {
			list = append(list, one)
		} else if batch := r.GetBatch(); batch != nil {
			list = batch.Series
		}
		for _, m := range list {
			converted, err := ToSeries(m)
			if err != nil {
				return nil, err
			}
			if s.SkipChunks || len(converted.Chunks) > 0 {
				out = append(out, converted)
			}
		}
	}
}

// sorted puts the parts of each series together. They are sorted by right, but other servers may hold
// another order for right.
func sorted(list []metrics.ChunkSeries) []metrics.ChunkSeries {
	slices.SortStableFunc(list, func(a, b metrics.ChunkSeries) int { return labels.Compare(a.Labels, b.Labels) })
	out := list[:0]
	for _, s := range list {
		if n := len(out); n > 0 && labels.Equal(out[n-1].Labels, s.Labels) {
			out[n-1] = metrics.MergeSeries([][]metrics.ChunkSeries{{out[n-1]}, {s}})[0]
			continue
		}
		out = append(out, s)
	}
	return out
}

func (e *endpoint) warn(ctx context.Context, text string) {
	metrics.AddWarning(ctx, fmt.Errorf("store endpoint %s: %s", e.addr, text[:min(len(text), maxWarning)]))
}

// LabelNames implements metrics.Source.
func (c *Client) LabelNames(ctx context.Context, id string, s metrics.Select) ([]string, error) {
	return c.labels(ctx, "LabelNames", id, s, func(ctx context.Context, e *endpoint) ([]string, error) {
		r, err := e.store.LabelNames(ctx, &storepb.LabelNamesRequest{Start: s.Start, End: s.End, Matchers: FromMatchers(s.Matchers), Limit: int64(s.Limit)})
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
		r, err := e.store.LabelValues(ctx, &storepb.LabelValuesRequest{Label: name, Start: s.Start, End: s.End, Matchers: FromMatchers(s.Matchers), Limit: int64(s.Limit)})
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

// Exemplars implements metrics.Source: the StoreAPI has none.
func (c *Client) Exemplars(context.Context, string, int64, int64, [][]metrics.Matcher) ([]metrics.ExemplarSeries, error) {
	return nil, nil
}

// Metadata implements metrics.Source: the StoreAPI has none.
func (c *Client) Metadata(context.Context, string, string, int) (map[string][]metadata.Metadata, error) {
	return nil, nil
}

// Codec is the codec that clients of the StoreAPI must use.
func Codec() encoding.CodecV2 { return codec{} }

// codec reads messages into memory of their own. Labels and chunks of Thanos's messages point into what
// they were decoded from, and gRPC's own codec uses that again for the next message.
type codec struct{}

// Name implements encoding.CodecV2.
func (codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(interface{ Marshal() ([]byte, error) })
	if !ok {
		return nil, fmt.Errorf("storeapi: %T is no message", v)
	}
	data, err := m.Marshal()
	return mem.BufferSlice{mem.SliceBuffer(data)}, err
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(interface{ Unmarshal([]byte) error })
	if !ok {
		return fmt.Errorf("storeapi: %T is no message", v)
	}
	return m.Unmarshal(data.Materialize())
}
