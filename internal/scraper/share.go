package scraper

import (
	"context"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"

	"github.com/hune-io/hune/internal/ring"
)

// targets are what discovery found, by job.
type targets = map[string][]*targetgroup.Group

// shared passes on what of discovery is this scraper's, anew when the members of the ring change, until ctx is done.
// What matters is the address that was discovered, before relabelling: as with scrape_shards.
func (s *Scraper) shared(ctx context.Context, from <-chan targets, to chan<- targets) {
	var all targets
	for {
		select {
		case <-ctx.Done():
			return
		case next, ok := <-from:
			if !ok {
				return
			}
			all = next
		case <-s.moved:
			if all == nil {
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case to <- s.own(all):
		}
	}
}

// own leaves the targets that the ring gives to this scraper. The job that scrapes this process stays whole.
func (s *Scraper) own(all targets) targets {
	out := make(targets, len(all))
	for job, groups := range all {
		if job == selfJob && s.addsSelf.Load() {
			out[job] = groups
			continue
		}
		kept := make([]*targetgroup.Group, 0, len(groups))
		for _, g := range groups {
			// A group without targets must be there as well: it says that those that it had are gone.
			part := &targetgroup.Group{Source: g.Source, Labels: g.Labels}
			for _, t := range g.Targets {
				addr, ok := t[model.AddressLabel]
				if !ok {
					addr = g.Labels[model.AddressLabel]
				}
				if s.ring.Owns(ring.Hash(job, string(addr))) {
					part.Targets = append(part.Targets, t)
				}
			}
			kept = append(kept, part)
		}
		out[job] = kept
	}
	return out
}
