package gather

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// Where scrapers show their targets, and what these say of their metrics, as Prometheus does.
const (
	targetsPath  = "/api/v1/targets"
	metadataPath = "/api/v1/targets/metadata"
)

// scraped is an answer about targets, or a part of one.
type scraped[D any] struct {
	Status   string   `json:"status"`
	Data     D        `json:"data"`
	Warnings []string `json:"warnings,omitempty"`
	Infos    []string `json:"infos,omitempty"`
}

type targets struct {
	Active  []json.RawMessage `json:"activeTargets"`
	Dropped []json.RawMessage `json:"droppedTargets"`
	// Counts are those of dropped targets by pool: also of those that are not listed.
	Counts map[string]int `json:"droppedTargetCounts"`
}

// serveTargets puts together the targets of all scrapers. Each has those that it scrapes, and drops those that would be
// its own.
func (g *Gatherer) serveTargets(w http.ResponseWriter, r *http.Request, next http.Handler, others []string) {
	gatherScraped(g, w, r, next, others, func(all *targets, part targets) {
		all.Active = append(all.Active, part.Active...)
		all.Dropped = append(all.Dropped, part.Dropped...)
		for pool, n := range part.Counts {
			if all.Counts == nil {
				all.Counts = map[string]int{}
			}
			all.Counts[pool] += n
		}
		for _, list := range [][]json.RawMessage{all.Active, all.Dropped} {
			slices.SortStableFunc(list, func(x, y json.RawMessage) int { return cmp.Compare(poolOf(x), poolOf(y)) })
		}
	})
}

// serveMetadata puts together what the targets of all scrapers say of their metrics. As in Prometheus what is said of all
// metrics of a target is not cut by the limit.
func (g *Gatherer) serveMetadata(w http.ResponseWriter, r *http.Request, next http.Handler, others []string) {
	limit, err := strconv.Atoi(r.FormValue("limit"))
	limited := err == nil && limit >= 0
	gatherScraped(g, w, r, next, others, func(all *[]json.RawMessage, part []json.RawMessage) {
		if limited && len(*all) >= limit {
			return
		}
		*all = append(*all, part...)
		if limited && r.FormValue("metric") != "" && len(*all) > limit {
			*all = (*all)[:limit]
		}
	})
}

// gatherScraped answers with what is here and what the others have, put together by add.
func gatherScraped[D any](g *Gatherer, w http.ResponseWriter, r *http.Request, next http.Handler, others []string, add func(all *D, part D)) {
	query := r.URL.Query()
	here := ask(next, r, query)
	all, err := decodeScraped[D](here.body.Bytes())
	if here.status != http.StatusOK || err != nil {
		here.copyTo(w) // a mistake in the question, most likely: the others would say the same
		return
	}
	parts := each(others, func(addr string) *scraped[D] {
		body, err := g.fetch(r, query, addr)
		if err == nil {
			var p *scraped[D]
			if p, err = decodeScraped[D](body); err == nil {
				return p
			}
		}
		return &scraped[D]{Warnings: []string{fmt.Sprintf("%s did not answer, what it scrapes is missing: %s", addr, err)}}
	})
	for _, p := range parts {
		add(&all.Data, p.Data)
		all.Warnings = append(all.Warnings, p.Warnings...)
		all.Infos = append(all.Infos, p.Infos...)
	}
	writeJSON(w, all)
}

func decodeScraped[D any](body []byte) (*scraped[D], error) {
	out := &scraped[D]{}
	if err := json.Unmarshal(body, out); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	return out, nil
}

// poolOf is the pool of a target, by which Prometheus orders them.
func poolOf(raw json.RawMessage) string {
	var target struct{ ScrapePool string }
	_ = json.Unmarshal(raw, &target) // one of a kind that isn't known comes first
	return target.ScrapePool
}
