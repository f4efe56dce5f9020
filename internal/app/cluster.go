package app

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"time"

	"github.com/grafana/dskit/services"

	"github.com/hune-io/hune/internal/generator"
	"github.com/hune-io/hune/internal/ring"
	"github.com/hune-io/hune/internal/ruler"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
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

// ringOf makes the ring of a role, which every process with this role enters. Only blocks of metrics have several owners.
func ringOf(role string) func(a *App, ctx context.Context) (services.Service, error) {
	return func(a *App, _ context.Context) (services.Service, error) {
		replication := 1
		if role == "store" {
			replication = a.cfg.Metrics.Store.ReplicationFactor
		}
		r := a.cluster.Ring(role, replication)
		a.rings[role] = r
		if r == nil {
			return nil, nil
		}
		return r, nil
	}
}

// makeElections makes what tells the distributors of a cluster which replica of each pair of Prometheus servers is stored.
func (a *App) makeElections(context.Context) (services.Service, error) {
	if a.elections = a.cluster.Elections(); a.elections == nil {
		return nil, nil
	}
	return a.elections, nil
}

// sharedTraces is what the generator of this process knows of the others; nil if it is alone.
func (a *App) sharedTraces() *generator.Share {
	r := a.rings["generator"]
	if r == nil {
		return nil
	}
	return &generator.Share{Instance: a.cluster.Self(), Client: http.DefaultClient, Owner: a.elsewhereOf(r)}
}

// elsewhereOf says which other member owns what has a hash; "": none, or this process does.
func (a *App) elsewhereOf(r *ring.Ring) func(hash uint32) string {
	self := a.cluster.Self()
	return func(hash uint32) string {
		if owner := r.First(hash); owner != self {
			return owner
		}
		return ""
	}
}

// clusterPages show who shares what, at the paths where users of Loki, Tempo and Mimir look.
func (a *App) clusterPages(mux *http.ServeMux) {
	mux.Handle("GET /ring", a.cluster)
	mux.HandleFunc("/ingester/ring", a.cluster.ServeRing("ingester"))
	mux.HandleFunc("/store-gateway/ring", a.cluster.ServeRing("store"))
	mux.HandleFunc("/ruler/ring", a.cluster.ServeRing("ruler"))
	mux.HandleFunc("/compactor/ring", a.cluster.ServeRing("compactor"))
	mux.HandleFunc("/scraper/ring", a.cluster.ServeRing("scraper"))
	mux.HandleFunc("/distributor/ring", a.cluster.ServeRing("distributor"))
	mux.HandleFunc("/metrics-generator/ring", a.cluster.ServeRing("generator"))
	mux.HandleFunc("GET /memberlist", a.cluster.ServeGossip)
	if a.rings["ruler"] != nil {
		mux.HandleFunc("GET "+ruler.StatePath, a.ruler.ServeState)
	}
	if a.rings["generator"] != nil {
		mux.HandleFunc("POST "+generator.SidesPath, a.generator.ServeSides)
	}
}

// metricsWindow is how old samples may be that come to light: late ones, and those of other members, which nobody sees
// while a member is restarted, and which are in the bucket when the head that has them is cut.
func (a *App) metricsWindow() time.Duration {
	c := a.cfg.Metrics
	if a.cluster == nil {
		return time.Duration(c.OutOfOrderWindow)
	}
	return time.Duration(c.OutOfOrderWindow + 2*c.BlockRange + c.IdleFlush)
}

// compacts says which signals of which tenants the compactor of this process works on; nil is all of all.
func (a *App) compacts() func(tenant string, s signal.Signal) bool {
	r := a.rings["compactor"]
	if r == nil {
		return nil
	}
	return func(tenant string, s signal.Signal) bool { return r.Owns(compactedAt(tenant, s)) }
}

func compactedAt(tenant string, s signal.Signal) uint32 { return ring.Hash(tenant, string(s)) }

// deletions are the paths that write requests to delete, which have one writer: the owner of the signal of the tenant.
var deletions = map[string]signal.Signal{
	"/loki/api/v1/delete": signal.Logs, "/api/hune/v1/traces/delete": signal.Traces,
	"/api/v1/admin/tsdb/delete_series": signal.Metrics, "/api/v1/admin/tsdb/clean_tombstones": signal.Metrics,
}

// sentOn marks a request that another member has sent on: it goes no further.
const sentOn = "Hune-Sent-On"

// toOwner sends requests about deletions to the member that carries them out.
func (a *App) toOwner(next http.Handler) http.Handler {
	r := a.rings["compactor"]
	if r == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s, ok := deletions[req.URL.Path]
		id, err := tenant.FromContext(req.Context())
		if !ok || err != nil || r.Owns(compactedAt(id, s)) {
			next.ServeHTTP(w, req)
			return
		}
		owners := r.Owners(compactedAt(id, s))
		if len(owners) == 0 || req.Header.Get(sentOn) != "" {
			http.Error(w, fmt.Sprintf("which compactor works on the %s of the tenant is about to change: try again", s), http.StatusServiceUnavailable)
			return
		}
		proxy := httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(&url.URL{Scheme: "http", Host: owners[0]})
				p.Out.Header.Set(sentOn, a.cluster.Self())
			},
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				http.Error(w, fmt.Sprintf("the compactor that works on the %s of the tenant: %s", s, err), http.StatusBadGateway)
			},
		}
		proxy.ServeHTTP(w, req)
	})
}
