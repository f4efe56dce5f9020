package app

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/grafana/dskit/services"

	"github.com/hune-io/hune/internal/ring"
	"github.com/hune-io/hune/internal/ruler"
)

// makeCluster makes what this process knows other processes by, if it is to know any.
func (a *App) makeCluster(context.Context) (_ services.Service, err error) {
	a.rings = map[string]*ring.Ring{}
	a.cluster, err = ring.NewCluster(ring.Options{Config: a.cfg.Cluster, HTTP: a.server.addr(), Dir: filepath.Join(a.cfg.Data, "cluster"),
		Logger: a.logger, Registerer: a.registry})
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	if a.cluster == nil {
		return nil, nil // not a nil *Cluster in an interface
	}
	return a.cluster, nil
}

// ringOf makes the ring of a role, which every process with this role enters.
func ringOf(role string) func(a *App, ctx context.Context) (services.Service, error) {
	return func(a *App, _ context.Context) (services.Service, error) {
		r := a.cluster.Ring(role, 1)
		a.rings[role] = r
		if r == nil {
			return nil, nil
		}
		return r, nil
	}
}

// clusterPages show who shares what, at the paths where users of Loki, Tempo and Mimir look.
func (a *App) clusterPages(mux *http.ServeMux) {
	mux.Handle("GET /ring", a.cluster)
	mux.HandleFunc("/ruler/ring", a.cluster.ServeRing("ruler"))
	mux.HandleFunc("/compactor/ring", a.cluster.ServeRing("compactor"))
	mux.HandleFunc("/store-gateway/ring", a.cluster.ServeRing("store"))
	mux.HandleFunc("/scraper/ring", a.cluster.ServeRing("scraper"))
	mux.HandleFunc("GET /memberlist", a.cluster.ServeGossip)
	if a.rings["ruler"] != nil {
		mux.HandleFunc("GET "+ruler.StatePath, a.ruler.ServeState)
	}
}
