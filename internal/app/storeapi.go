package app

import (
	"context"
	"fmt"
	"slices"

	"github.com/grafana/dskit/services"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/api/thanos"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/metrics/storeapi"
	"github.com/hune-io/hune/internal/ring"
)

// makeEndpoints makes the client of other StoreAPI servers and of the other members of the cluster, if there are any.
func (a *App) makeEndpoints(context.Context) (services.Service, error) {
	opts := storeapi.ClientOptions{Endpoints: a.cfg.Metrics.StoreEndpoints, Logger: a.logger, Registerer: a.registry}
	if members := a.rings["ingester"]; members != nil {
		opts.Members = members.Known
	}
	if len(opts.Endpoints) == 0 && opts.Members == nil {
		return nil, nil
	}
	client, err := storeapi.NewClient(opts)
	if err != nil {
		return nil, fmt.Errorf("metrics.store_endpoints: %w", err)
	}
	a.endpoints = append(a.endpoints, client)
	return services.NewBasicService(nil, client.Run, func(error) error { return client.Close() }).WithName("endpoints"), nil
}

// makePeers makes what the store of this process asks the others by, if it is in a cluster.
func (a *App) makePeers(context.Context) (services.Service, error) {
	r := a.rings["store"]
	if r == nil {
		return nil, nil
	}
	client := storeapi.NewPeers(r.Known, a.registry)
	a.peers = stores{client, r, a.cluster.Self()}
	return services.NewIdleService(nil, func(error) error { return client.Close() }).WithName("peers"), nil
}

// stores are those that share the blocks of metrics by ring.
type stores struct {
	*storeapi.Peers
	ring *ring.Ring
	self string
}

// Owners implements metrics.Stores.
func (s stores) Owners(tenant string, block ulid.ULID) []string {
	owners := s.ring.Owners(ring.Hash(tenant, block.String()))
	if i := slices.Index(owners, s.self); i >= 0 {
		owners[i] = ""
	}
	return owners
}

// remoteMetrics are the sources of metrics outside of this process.
func (a *App) remoteMetrics() (out []metrics.Source) {
	for _, c := range a.endpoints {
		out = append(out, c)
	}
	return out
}

// metricStores are all that queries of a tenant's metrics read.
func (a *App) metricStores(tenant string) (out []metrics.StoreStatus) {
	if a.heads != nil {
		out = append(out, a.heads.Store(tenant))
	}
	if a.blocks != nil {
		out = append(out, a.blocks.Store(tenant))
	}
	for _, c := range a.endpoints {
		out = append(out, c.Stores()...)
	}
	return out
}

// mountStoreAPI lets Thanos use this process as a store, if it holds any metrics.
func (a *App) mountStoreAPI() {
	opts := thanos.Options{Tenants: a.cfg.Multitenancy, MaxBytes: int64(a.cfg.Metrics.Query.MaxBytes), MinTime: a.oldestMetrics,
		External: func(tenant string) labels.Labels {
			return labels.FromMap(a.cfg.Metrics.BlockLabels(tenant, metrics.DefaultReplica)).WithoutEmpty()
		}}
	if a.ruler != nil {
		opts.Rules = a.mux
	}
	if a.scraper != nil {
		opts.Targets = a.mux
	}
	if a.heads != nil {
		opts.Sources, opts.Heads = append(opts.Sources, a.heads), []metrics.Source{a.heads}
	}
	if a.store != nil {
		opts.Sources, opts.Blocks = append(opts.Sources, a.store), a.blocks
	}
	if len(opts.Sources) > 0 {
		thanos.New(opts).Register(a.grpc)
	}
}

// oldestMetrics is when the metrics of this process begin, in milliseconds.
func (a *App) oldestMetrics() (oldest int64, ok bool) {
	if a.heads != nil {
		oldest, ok = a.heads.MinTime()
	}
	if a.blocks == nil {
		return oldest, ok
	}
	for _, b := range a.blocks.Blocks("") {
		if b.Bad == "" && (!ok || b.Meta.MinTime < oldest) {
			oldest, ok = b.Meta.MinTime, true
		}
	}
	return oldest, ok
}
