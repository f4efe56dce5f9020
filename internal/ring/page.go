package ring

import (
	"cmp"
	"encoding/json"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	dskit "github.com/grafana/dskit/ring"
	"github.com/grafana/dskit/services"
)

// Status is what a process knows of its cluster.
type Status struct {
	Self    string    `json:"self"` // "" where it is alone
	Cluster string    `json:"cluster"`
	Now     time.Time `json:"now"`
	Rings   []State   `json:"rings"`
}

// State is one ring.
type State struct {
	Role    string   `json:"role"`
	Members []Member `json:"members"`
}

// Member is a member of a ring. Its state is JOINING until all its roles are ready, then ACTIVE, LEAVING while it
// stops, and UNHEALTHY if it was silent too long; only ACTIVE members do their share.
type Member struct {
	ID         string    `json:"id"`
	Address    string    `json:"address"`
	State      string    `json:"state"`
	Heartbeat  time.Time `json:"heartbeat"`
	Registered time.Time `json:"registered"`
	Share      float64   `json:"share"` // of the work, from 0 to 1
	Tokens     []uint32  `json:"tokens"`
}

// Status returns what this process knows.
func (c *Cluster) Status(r *http.Request) Status {
	out := Status{Now: time.Now().UTC(), Rings: []State{}}
	if c == nil {
		return out
	}
	out.Self, out.Cluster = c.self, c.o.Config.Name
	for _, ring := range c.list() {
		out.Rings = append(out.Rings, ring.status(r))
	}
	return out
}

func (r *Ring) status(req *http.Request) State {
	out := State{Role: r.role, Members: []Member{}}
	if r.State() != services.Running {
		return out
	}
	v, err := r.client.Get(req.Context(), r.key)
	if err != nil {
		return out // it is stopping
	}
	desc, shares := dskit.GetOrCreateRingDesc(v), r.table.Load().shares()
	for id, m := range desc.Ingesters {
		state := m.State.String()
		if !m.IsHeartbeatHealthy(time.Duration(r.cluster.o.Config.HeartbeatTimeout), time.Now()) {
			state = "UNHEALTHY"
		}
		out.Members = append(out.Members, Member{ID: id, Address: m.Addr, State: state, Heartbeat: time.Unix(m.Timestamp, 0).UTC(),
			Registered: m.GetRegisteredAt().UTC(), Share: shares[id], Tokens: m.Tokens})
	}
	slices.SortFunc(out.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// shares is how much of the circle each member owns first.
func (t *table) shares() map[string]float64 {
	out := map[string]float64{}
	for i, k := range t.tokens {
		before := t.tokens[(i+len(t.tokens)-1)%len(t.tokens)].place
		out[t.members[k.member]] += float64(k.place-before) / (1 << 32) // over the top, too
	}
	if len(t.members) == 1 {
		out[t.members[0]] = 1
	}
	return out
}

var page = template.Must(template.New("rings").Funcs(template.FuncMap{
	"percent": func(f float64) float64 { return math.Round(f*1000) / 10 },
	"since":   func(t, now time.Time) time.Duration { return now.Sub(t).Truncate(time.Second) },
}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Rings</title>
<style>body{font-family:sans-serif;margin:2em}table{border-collapse:collapse}td,th{padding:.3em .8em;border:1px solid #999;text-align:left}</style></head><body>
<h1>Rings</h1>
{{if not .Self}}<p>This process is alone: <code>cluster.join</code> names no members. It does all the work of its roles.</p>
{{else}}<p>This is <b>{{.Self}}</b> in the cluster <b>{{.Cluster}}</b>, at {{.Now}}. See also <a href="memberlist">its gossip</a>.</p>{{end}}
{{$now := .Now}}{{$self := .Self}}{{range .Rings}}<h2>{{.Role}}</h2>
<table><tr><th>Member</th><th>State</th><th>Share</th><th>Tokens</th><th>Last heartbeat</th><th>Since</th></tr>
{{range .Members}}<tr><td>{{if eq .ID $self}}<b>{{.ID}}</b>{{else}}<a href="http://{{.Address}}/ring">{{.ID}}</a>{{end}}</td><td>{{.State}}</td><td>{{percent .Share}} %</td><td>{{len .Tokens}}</td><td>{{since .Heartbeat $now}} ago</td><td>{{.Registered}}</td></tr>
{{end}}</table>
{{end}}</body></html>
`))

// ServeHTTP shows all rings: as a page, or as JSON to those who accept that.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status := c.Status(r)
	if wantsJSON(r) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(status)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, status)
}

func wantsJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/json") || r.URL.Query().Get("format") == "json"
}

// ServeRing shows the ring of one role in the form of Loki and Mimir, whose page can also forget members.
func (c *Cluster) ServeRing(role string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, ring := range c.list() {
			if ring.role == role && ring.State() == services.Running {
				ring.lifecycler.ServeHTTP(w, r)
				return
			}
		}
		alone(w, r)
	}
}

// alone answers where there is no ring to show.
func alone(w http.ResponseWriter, r *http.Request) {
	if wantsJSON(r) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"shards": []any{}, "now": time.Now().UTC()})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("This process shares this work with nobody: cluster.join names no members, or the role does not run here.\n"))
}
