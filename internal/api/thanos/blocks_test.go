package thanos

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/gogo/protobuf/types"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/store/hintspb"
	"github.com/thanos-io/thanos/pkg/store/storepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/metrics/storeapi"
)

// sharer is a store that shares the blocks of a bucket with others, by gRPC.
type sharer struct {
	*member
	*storeapi.Peers
	registry *prometheus.Registry
	owners   func(block ulid.ULID) []string
}

// Owners implements metrics.Stores.
func (s *sharer) Owners(_ string, block ulid.ULID) []string {
	owners := s.owners(block)
	for i := range owners {
		if owners[i] == s.addr {
			owners[i] = ""
		}
	}
	return owners
}

func newSharer(t *testing.T, bkt objstore.Bucket) *sharer {
	t.Helper()
	s := &sharer{registry: prometheus.NewRegistry()}
	s.Peers = storeapi.NewPeers(func() []string { return *s.others.Load() }, s.registry)
	t.Cleanup(func() { require.NoError(t, s.Peers.Close()) })
	store, err := metrics.NewBlockStore(metrics.BlockStoreOptions{Dir: t.TempDir(), Config: metrics.DefaultConfig().Store, Bucket: bkt, Stores: s,
		Logger: slog.New(slog.DiscardHandler), Registerer: s.registry})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	s.member = newMember(t, bkt, func(m *member) { m.store, m.opts.Blocks = store, store })
	return s
}

// reads counts the blocks that a store read, or asked others for.
func (s *sharer) reads(t *testing.T, where string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "hune_metrics_store_block_reads_total" && m.Label[0].GetValue() == where {
				return m.Counter.GetValue()
			}
		}
	}
	return 0
}

// Members that share the blocks of a bucket answer as one that has them alone. When one of them is gone they still do.
func TestMembersShareBlocks(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	members := []*sharer{newSharer(t, bkt), newSharer(t, bkt), newSharer(t, bkt)}
	writer, one := newMember(t, bkt), newMember(t, bkt)
	place := map[ulid.ULID]int{}
	for i, m := range members {
		m.knows(members[(i+1)%3].member, members[(i+2)%3].member)
		m.owners = func(block ulid.ULID) []string {
			first := place[block] % 3
			return []string{members[first].addr, members[(first+1)%3].addr}
		}
	}
	const tenants = 6
	batches := rapid.Custom(drawBatch)
	for i := range 4 * tenants {
		id := fmt.Sprint("tenant-", i%tenants)
		push(t, writer, id, batches.Example(i))
		require.NoError(t, writer.heads.Flush(t.Context(), id))
	}
	require.NoError(t, one.store.Refresh(t.Context()))
	for i, b := range one.store.Blocks("") {
		place[b.Meta.ULID] = i
	}
	for _, m := range members {
		m.client = one.client // no member has a head with anything in it
		require.NoError(t, m.store.Refresh(t.Context()))
	}
	check := func() {
		for i := range tenants {
			id := fmt.Sprint("tenant-", i)
			want, _ := one.ask(t, id)
			for _, m := range members {
				got, warnings := m.ask(t, id)
				require.Empty(t, warnings)
				require.Equal(t, want, got)
			}
		}
	}
	check()
	for _, m := range members {
		require.Positive(t, m.reads(t, "here"))
		require.Positive(t, m.reads(t, "there"))
		require.Positive(t, m.reads(t, "for_others"))
		require.Zero(t, m.reads(t, "instead"))
	}
	// Of two owners one is gone: the other answers. Then it is as well.
	members[2].stop()
	both := []string{members[2].addr, members[1].addr}
	members[0].owners = func(ulid.ULID) []string { return slices.Clone(both) }
	second := members[1]
	members = members[:1]
	check()
	require.Zero(t, members[0].reads(t, "instead"))
	second.stop()
	check()
	require.Positive(t, members[0].reads(t, "instead"))
}

// What a member asks for is checked; what isn't for members is not changed by it.
func TestBlockRequests(t *testing.T) {
	f := newFixture(t, func(f *fixture) { f.opts.Blocks = f.store })
	blocks := f.store.Blocks("")
	require.NotEmpty(t, blocks)
	known, unknown := blocks[0].Meta.ULID.String(), ulid.Make().String()
	ask := func(ms ...storepb.LabelMatcher) (series int, answered []string, err error) {
		hints, err := types.MarshalAny(&hintspb.SeriesRequestHints{BlockMatchers: ms})
		require.NoError(t, err)
		stream, err := storepb.NewStoreClient(f.conn).Series(metadata.AppendToOutgoingContext(t.Context(), storeapi.BlocksHeader, "1"),
			&storepb.SeriesRequest{MinTime: 0, MaxTime: at(0), Matchers: []storepb.LabelMatcher{{Name: "__name__", Value: "m"}}, Hints: hints})
		require.NoError(t, err)
		for {
			r, err := stream.Recv()
			if err != nil {
				if err == io.EOF {
					err = nil
				}
				return series, answered, err
			}
			if s := r.GetSeries(); s != nil {
				for _, l := range s.Labels {
					require.NotEqual(t, "tenant", l.Name, "as it is in the block")
				}
				series++
			}
			if h := r.GetHints(); h != nil {
				var response hintspb.SeriesResponseHints
				require.NoError(t, types.UnmarshalAny(h, &response))
				for _, b := range response.QueriedBlocks {
					answered = append(answered, b.Id)
				}
			}
		}
	}
	ids := func(list ...string) storepb.LabelMatcher {
		return storepb.LabelMatcher{Type: storepb.LabelMatcher_RE, Name: "__block_id", Value: strings.Join(list, "|")}
	}
	series, answered, _ := ask(ids(known, unknown))
	require.Equal(t, 5, series)
	require.Equal(t, []string{known}, answered)
	series, answered, _ = ask(ids(unknown))
	require.Zero(t, series)
	require.Empty(t, answered)
	series, answered, _ = ask(ids(known), storepb.LabelMatcher{Name: "__deletion_id", Value: "unheard of"})
	require.Zero(t, series)
	require.Empty(t, answered, "what is deleted for the one who asks is not known here")
	half := 0
	for _, shard := range []string{"0/2", "1/2"} {
		series, _, _ = ask(ids(known), storepb.LabelMatcher{Name: "__shard", Value: shard})
		require.Less(t, series, 5)
		half += series
	}
	require.Equal(t, 5, half)
	for _, bad := range []storepb.LabelMatcher{ids("x"), ids(""), {Name: "__shard", Value: "2/2"}, {Name: "__shard", Value: "one"}, {Name: "other"}} {
		_, _, err := ask(bad)
		require.Equal(t, codes.InvalidArgument, status.Code(err), bad.String())
	}
}
