package thanos

import (
	"net/url"
	"strings"
	"time"

	"github.com/thanos-io/thanos/pkg/targets/targetspb"
)

// targetsServer implements targetspb.TargetsServer.
type targetsServer struct{ *Server }

// Targets sends the targets that this process scrapes, and those that it dropped, with external labels.
func (s targetsServer) Targets(r *targetspb.TargetsRequest, stream targetspb.Targets_TargetsServer) error {
	var found struct {
		ActiveTargets  []target
		DroppedTargets []target
	}
	external, err := s.ask(stream.Context(), s.opts.Targets, "/api/v1/targets", url.Values{"state": {strings.ToLower(r.State.String())}}, &found)
	if err != nil {
		return err
	}
	out := &targetspb.TargetDiscovery{}
	for _, t := range found.ActiveTargets {
		out.ActiveTargets = append(out.ActiveTargets, &targetspb.ActiveTarget{DiscoveredLabels: labelSet(t.DiscoveredLabels, external), Labels: labelSet(t.Labels, external),
			ScrapePool: t.ScrapePool, ScrapeUrl: t.ScrapeURL, GlobalUrl: t.GlobalURL, LastError: t.LastError, LastScrape: t.LastScrape,
			LastScrapeDuration: t.LastScrapeDuration, Health: targetHealth(t.Health)})
	}
	for _, t := range found.DroppedTargets {
		out.DroppedTargets = append(out.DroppedTargets, &targetspb.DroppedTarget{DiscoveredLabels: labelSet(t.DiscoveredLabels, external)})
	}
	return stream.Send(targetspb.NewTargetsResponse(out))
}

type target struct {
	DiscoveredLabels, Labels                            map[string]string
	ScrapePool, ScrapeURL, GlobalURL, LastError, Health string
	LastScrape                                          time.Time
	LastScrapeDuration                                  float64
}

// targetHealth is unknown for a word that Thanos has not.
func targetHealth(name string) targetspb.TargetHealth {
	if h, ok := targetspb.TargetHealth_value[strings.ToUpper(name)]; ok {
		return targetspb.TargetHealth(h)
	}
	return targetspb.TargetHealth_UNKNOWN
}
