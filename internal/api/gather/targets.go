package gather

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// targetsPath is where scrapers show their targets, as Prometheus does.
const targetsPath = "/api/v1/targets"

// targets is an answer about targets, or a part of one.
type targets struct {
	Status   string      `json:"status"`
	Data     targetsData `json:"data"`
	Warnings []string    `json:"warnings,omitempty"`
	Infos    []string    `json:"infos,omitempty"`
}

type targetsData struct {
	Active  []json.RawMessage `json:"activeTargets"`
	Dropped []json.RawMessage `json:"droppedTargets"`
	// Counts are those of dropped targets by pool: also of those that are not listed.
	Counts map[string]int `json:"droppedTargetCounts"`
}

// serveTargets puts together the targets of all scrapers. Each has those that it scrapes, and drops those that would be
// its own.
func (g *Gatherer) serveTargets(w http.ResponseWriter, r *http.Request, next http.Handler, others []string) {
	query := r.URL.Query()
	here := ask(next, r, query)
	all, err := decodeTargets(here.body.Bytes())
	if here.status != http.StatusOK || err != nil {
		here.copyTo(w)
		return
	}
	parts := each(others, func(addr string) *targets {
		body, err := g.fetch(r, query, addr)
		if err == nil {
			var p *targets
			if p, err = decodeTargets(body); err == nil {
				return p
			}
		}
		return &targets{Warnings: []string{fmt.Sprintf("%s did not answer, what it scrapes is missing: %s", addr, err)}}
	})
	for _, p := range parts {
		all.add(p)
	}
	for _, list := range [][]json.RawMessage{all.Data.Active, all.Data.Dropped} {
		slices.SortStableFunc(list, func(x, y json.RawMessage) int { return cmp.Compare(poolOf(x), poolOf(y)) })
	}
	writeJSON(w, all)
}

func decodeTargets(body []byte) (*targets, error) {
	out := &targets{}
	if err := json.Unmarshal(body, out); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	return out, nil
}

func (t *targets) add(o *targets) {
	t.Data.Active = append(t.Data.Active, o.Data.Active...)
	t.Data.Dropped = append(t.Data.Dropped, o.Data.Dropped...)
	for pool, n := range o.Data.Counts {
		if t.Data.Counts == nil {
			t.Data.Counts = map[string]int{}
		}
		t.Data.Counts[pool] += n
	}
	t.Warnings = append(t.Warnings, o.Warnings...)
	t.Infos = append(t.Infos, o.Infos...)
}

// poolOf is the pool of a target, by which Prometheus orders them.
func poolOf(raw json.RawMessage) string {
	var target struct{ ScrapePool string }
	_ = json.Unmarshal(raw, &target) // one of a kind that isn't known comes first
	return target.ScrapePool
}
