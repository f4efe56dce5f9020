package storeapi

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gogo/protobuf/proto"
	"github.com/gogo/protobuf/types"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/thanos-io/thanos/pkg/store/hintspb"
	"github.com/thanos-io/thanos/pkg/store/storepb"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

// Peers asks the other stores of a cluster for blocks that they own. Safe for concurrent use.
type Peers struct {
	node     *node
	requests *prometheus.CounterVec
}

// NewPeers returns a client of those that members names, in order; it must not block. Connections are made when they are
// needed.
func NewPeers(members func() []string, reg prometheus.Registerer) *Peers {
	return &Peers{node: newMembers(members), requests: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{Name: "hune_metrics_store_member_requests_total",
		Help: "Requests for blocks of metrics to other members of the cluster, by outcome."}, []string{"member", "method", "outcome"})}
}

// Close ends the connections.
func (p *Peers) Close() error { return p.node.close() }

// peerBatch is how many series come in one message.
const peerBatch = 16

// SeriesOf asks the store at an address for the series of blocks, and returns for which it answers.
func (p *Peers) SeriesOf(ctx context.Context, address, id string, s metrics.BlockSelect) (found []metrics.ChunkSeries, answered []ulid.ULID, err error) {
	err = p.ask(ctx, address, "Series", id, func(ctx context.Context, e *endpoint) error {
		hints, err := types.MarshalAny(&hintspb.SeriesRequestHints{BlockMatchers: FromBlocks(s)})
		if err != nil {
			return err
		}
		req := seriesRequest(s.Select)
		// Where no raw data are left, coarser blocks are read whatever was asked for.
		req.Aggregates = append([]storepb.Aggr{storepb.Aggr_RAW}, Aggregates...)
		req.Hints, req.ResponseBatchSize = hints, peerBatch
		var got *types.Any
		if found, got, err = e.stream(ctx, req); err != nil {
			return err
		}
		var response hintspb.SeriesResponseHints
		answered, err = queried(got, &response, func() []hintspb.Block { return response.QueriedBlocks })
		return err
	})
	return found, answered, err
}

// LabelsOf asks for names of labels, or for values of the one that is named.
func (p *Peers) LabelsOf(ctx context.Context, address, id, label string, s metrics.BlockSelect) (found []string, answered []ulid.ULID, err error) {
	method, f := "LabelValues", func(ctx context.Context, e *endpoint) error {
		hints, err := types.MarshalAny(&hintspb.LabelValuesRequestHints{BlockMatchers: FromBlocks(s)})
		if err != nil {
			return err
		}
		r, err := e.store.LabelValues(ctx, &storepb.LabelValuesRequest{Label: label, Start: s.Start, End: s.End, Matchers: FromMatchers(s.Matchers), Limit: int64(s.Limit), Hints: hints})
		if err != nil {
			return err
		}
		var response hintspb.LabelValuesResponseHints
		found = r.Values
		answered, err = queried(r.Hints, &response, func() []hintspb.Block { return response.QueriedBlocks })
		return err
	}
	if label == "" {
		method, f = "LabelNames", func(ctx context.Context, e *endpoint) error {
			hints, err := types.MarshalAny(&hintspb.LabelNamesRequestHints{BlockMatchers: FromBlocks(s)})
			if err != nil {
				return err
			}
			r, err := e.store.LabelNames(ctx, &storepb.LabelNamesRequest{Start: s.Start, End: s.End, Matchers: FromMatchers(s.Matchers), Limit: int64(s.Limit), Hints: hints})
			if err != nil {
				return err
			}
			var response hintspb.LabelNamesResponseHints
			found = r.Names
			answered, err = queried(r.Hints, &response, func() []hintspb.Block { return response.QueriedBlocks })
			return err
		}
	}
	err = p.ask(ctx, address, method, id, f)
	return found, answered, err
}

// queried reads from hints of an answer which blocks it is of; without hints none.
func queried(hints *types.Any, into proto.Message, blocks func() []hintspb.Block) ([]ulid.ULID, error) {
	if hints == nil {
		return nil, nil
	}
	if err := types.UnmarshalAny(hints, into); err != nil {
		return nil, fmt.Errorf("hints of the answer: %w", err)
	}
	var ids []ulid.ULID
	for _, b := range blocks() {
		id, err := ulid.ParseStrict(b.Id)
		if err != nil {
			return nil, fmt.Errorf("hints of the answer: block %q: %w", b.Id, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// ask lets f ask one store. What was too much for it is an Unprocessable error.
func (p *Peers) ask(ctx context.Context, address, method, id string, f func(context.Context, *endpoint) error) error {
	e, err := p.endpoint(address)
	if err == nil {
		err = f(grpcmetadata.AppendToOutgoingContext(ctx, thanosTenant, id, tenant.Header, id, BlocksHeader, "1"), e)
	}
	if err == nil {
		p.requests.WithLabelValues(address, method, "success").Inc()
		return nil
	}
	if ctx.Err() == nil {
		p.requests.WithLabelValues(address, method, "error").Inc()
	}
	err = fmt.Errorf("cluster member %s: %w", address, err)
	if status.Code(err) == codes.ResourceExhausted {
		err = fault.New(fault.Unprocessable, err)
	}
	return err
}

var errNoMember = errors.New("it is no member any more")

func (p *Peers) endpoint(address string) (*endpoint, error) {
	p.node.follow()
	p.node.mu.RLock()
	defer p.node.mu.RUnlock()
	i := slices.IndexFunc(p.node.endpoints, func(e *endpoint) bool { return e.addr == address })
	if i < 0 {
		return nil, errNoMember
	}
	return p.node.endpoints[i], nil
}
