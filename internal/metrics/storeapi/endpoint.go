package storeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/gogo/protobuf/types"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/thanos-io/thanos/pkg/exemplars/exemplarspb"
	"github.com/thanos-io/thanos/pkg/info/infopb"
	"github.com/thanos-io/thanos/pkg/metadata/metadatapb"
	"github.com/thanos-io/thanos/pkg/store/storepb"
	"google.golang.org/grpc"

	"github.com/hune-io/hune/internal/metrics"
)

// endpoint is one server, or a group of equal ones.
type endpoint struct {
	addr   string
	strict bool
	member bool // of the cluster: what it has not shipped is asked of it, whatever it says that it has
	conn   *grpc.ClientConn
	store  storepb.StoreClient
	info   infopb.InfoClient

	exemplarsClient exemplarspb.ExemplarsClient
	metadataClient  metadatapb.MetadataClient

	mu         sync.RWMutex
	err        error // of the last question what it has; errUnknown before the first
	component  string
	labelSets  []labels.Labels
	mint, maxt int64
	checked    time.Time

	exemplars, metadata      bool // that it has
	exemplarMin, exemplarMax int64
}

var errUnknown = errors.New("it has not answered yet")

func newEndpoint(addr string, strict bool, conn *grpc.ClientConn) *endpoint {
	return &endpoint{addr: addr, strict: strict, conn: conn, store: storepb.NewStoreClient(conn), info: infopb.NewInfoClient(conn),
		exemplarsClient: exemplarspb.NewExemplarsClient(conn), metadataClient: metadatapb.NewMetadataClient(conn),
		err: errUnknown, mint: math.MinInt64, maxt: math.MaxInt64}
}

// String names it in messages.
func (e *endpoint) String() string {
	if e.member {
		return "cluster member " + e.addr
	}
	return "store endpoint " + e.addr
}

// out is the reason why it isn't asked, nil if it is. A member that has not said yet what it has is asked at
// once: it may have been found a moment ago, and what it holds is nowhere else.
func (e *endpoint) out() error {
	err := e.state()
	if e.strict || e.member && errors.Is(err, errUnknown) {
		return nil
	}
	return err
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
	e.checked = time.Now()
	if e.err = err; err != nil {
		return err // what it had before still says which questions are for it
	}
	e.component, e.mint, e.maxt, e.labelSets = info.ComponentType, info.Store.MinTime, info.Store.MaxTime, nil
	for _, set := range info.LabelSets {
		e.labelSets = append(e.labelSets, ToLabels(set.Labels))
	}
	e.exemplars, e.metadata = info.Exemplars != nil, info.MetricMetadata != nil
	if e.exemplars {
		e.exemplarMin, e.exemplarMax = info.Exemplars.MinTime, info.Exemplars.MaxTime
	}
	return nil
}

// isOf reports whether it is among the stores that a query asks.
func (e *endpoint) isOf(ctx context.Context, stores [][]metrics.Matcher) (bool, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return metrics.StoreWanted(ctx, stores, e.addr, e.labelSets...)
}

// matches reports whether a server may have something of a selection.
func (e *endpoint) matches(start, end int64, ms []*labels.Matcher) bool {
	if e.member {
		return true
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.mint <= end && e.maxt >= start && e.labelsMatch(ms)
}

// labelsMatch reports whether external labels of a server may be those of a selection. e.mu must be held.
func (e *endpoint) labelsMatch(ms []*labels.Matcher) bool {
	return len(e.labelSets) == 0 || slices.ContainsFunc(e.labelSets, func(set labels.Labels) bool {
		return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool {
			v := set.Get(m.Name)
			return v != "" && !m.Matches(v)
		})
	})
}

// series reads all that a server has of a selection.
func (e *endpoint) series(ctx context.Context, s metrics.Select) ([]metrics.ChunkSeries, error) {
	req := seriesRequest(s)
	if s.MaxResolution > 0 {
		req.Aggregates = Aggregates
	}
	out, _, err := e.stream(ctx, req)
	return out, err
}

func seriesRequest(s metrics.Select) *storepb.SeriesRequest {
	return &storepb.SeriesRequest{MinTime: s.Start, MaxTime: s.End, Matchers: FromMatchers(s.Matchers), SkipChunks: s.SkipChunks, Limit: int64(s.Limit),
		MaxResolutionWindow: s.MaxResolution, Aggregates: []storepb.Aggr{storepb.Aggr_RAW}, PartialResponseStrategy: strategy(s), PartialResponseDisabled: s.WholeAnswer}
}

// stream reads the answer to a request, with the last hints in it.
func (e *endpoint) stream(ctx context.Context, req *storepb.SeriesRequest) (out []metrics.ChunkSeries, hints *types.Any, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := e.store.Series(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			return sorted(out), hints, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if h := r.GetHints(); h != nil {
			hints = h
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
				return nil, nil, err
			}
			if req.SkipChunks || len(converted.Chunks) > 0 {
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
	metrics.AddWarning(ctx, fmt.Errorf("%s: %s", e, text[:min(len(text), maxWarning)]))
}
