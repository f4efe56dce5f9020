package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/freeport"
)

// The answers about targets, from a scraper that scrapes.
func TestTargetsAPI(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "# HELP orders_total Orders.\n# TYPE orders_total counter\norders_total 3\n# HELP queue Jobs.\n# TYPE queue gauge\nqueue 1\n")
	}))
	defer target.Close()
	addr := strings.TrimPrefix(target.URL, "http://")
	f := startWith(t, fmt.Sprintf(`
scrape_configs:
  - job_name: shop
    scrape_interval: 3s
    scrape_timeout: 3s
    static_configs: [{targets: [%q, "gone:1"], labels: {zone: eu}}]
    relabel_configs:
      - {source_labels: [__address__], regex: "gone.*", action: drop}
      - {source_labels: [zone], target_label: region}
  - job_name: down
    scrape_interval: 3s
    scrape_timeout: 3s
    sample_limit: 1
    static_configs: [{targets: [%q]}]
`, addr, addr))

	type targets struct {
		ActiveTargets []struct {
			DiscoveredLabels, Labels                                                                       map[string]string
			ScrapePool, ScrapeURL, GlobalURL, LastError, Health, ScrapeInterval, ScrapeTimeout, LastScrape string
		}
		DroppedTargets []struct {
			DiscoveredLabels map[string]string
			ScrapePool       string
		}
		DroppedTargetCounts map[string]int
	}
	ask := func(path string, data any) {
		t.Helper()
		answer := struct {
			Status, Error string
			Data          any
		}{Data: data}
		text := f.get(t, path)
		require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
		require.Equal(t, "success", answer.Status, text)
	}
	var got targets
	require.Eventually(t, func() bool {
		got = targets{}
		ask("/api/v1/targets", &got)
		known := len(got.ActiveTargets) == 2
		for _, a := range got.ActiveTargets {
			known = known && a.Health != "unknown"
		}
		return known
	}, 30*time.Second, 10*time.Millisecond)

	down, shop := got.ActiveTargets[0], got.ActiveTargets[1]
	require.Equal(t, "down", down.ScrapePool)
	require.Equal(t, "down", down.Health)
	require.Contains(t, down.LastError, "sample limit exceeded")
	require.Equal(t, map[string]string{"instance": addr, "job": "shop", "region": "eu", "zone": "eu"}, shop.Labels)
	require.Equal(t, addr, shop.DiscoveredLabels["__address__"])
	require.Equal(t, []string{"up", "", "3s", "3s", "http://" + addr + "/metrics"}, []string{shop.Health, shop.LastError, shop.ScrapeInterval, shop.ScrapeTimeout, shop.ScrapeURL})
	require.Equal(t, map[string]int{"shop": 1, "down": 0}, got.DroppedTargetCounts)
	require.Len(t, got.DroppedTargets, 1)
	require.Equal(t, "gone:1", got.DroppedTargets[0].DiscoveredLabels["__address__"])

	got = targets{}
	ask("/api/v1/targets?state=active&scrapePool=shop", &got)
	require.Len(t, got.ActiveTargets, 1)
	require.Empty(t, got.DroppedTargets)
	got = targets{}
	ask("/api/v1/targets?state=dropped", &got)
	require.Empty(t, got.ActiveTargets)
	require.Len(t, got.DroppedTargets, 1)

	var pools struct{ ScrapePools []string }
	ask("/api/v1/scrape_pools", &pools)
	require.Equal(t, []string{"down", "shop"}, pools.ScrapePools)

	var metadata []struct {
		Target                   map[string]string
		Metric, Type, Help, Unit string
	}
	ask("/api/v1/targets/metadata?match_target="+url.QueryEscape(`{job="shop"}`), &metadata)
	require.Len(t, metadata, 2)
	metadata = nil
	ask("/api/v1/targets/metadata?metric=orders_total&match_target="+url.QueryEscape(`{job="shop"}`), &metadata)
	require.Len(t, metadata, 1)
	require.Equal(t, []string{"counter", "Orders.", ""}, []string{metadata[0].Type, metadata[0].Help, metadata[0].Unit})
	require.Equal(t, "eu", metadata[0].Target["region"])
	require.Contains(t, f.get(t, "/api/v1/targets/metadata?match_target=nonsense("), `"errorType":"bad_data"`)
	require.Contains(t, f.get(t, "/api/v1/targets/metadata?limit=x"), `"errorType":"bad_data"`)

	var relabelled struct {
		Steps []struct {
			Output map[string]string
			Keep   bool
		}
	}
	ask("/api/v1/targets/relabel_steps?scrapePool=shop&labels="+url.QueryEscape(`{"__address__":"x:1","zone":"us"}`), &relabelled)
	require.Len(t, relabelled.Steps, 2)
	require.Equal(t, "us", relabelled.Steps[1].Output["region"])
	require.True(t, relabelled.Steps[1].Keep)
	relabelled.Steps = nil
	ask("/api/v1/targets/relabel_steps?scrapePool=shop&labels="+url.QueryEscape(`{"__address__":"gone:2"}`), &relabelled)
	require.False(t, relabelled.Steps[0].Keep)
	require.Contains(t, f.get(t, "/api/v1/targets/relabel_steps?scrapePool=nobody&labels={}"), `"status":"error"`)
	require.Contains(t, f.get(t, "/api/v1/targets/relabel_steps?labels={}"), `"errorType":"bad_data"`)
}

// A member of a cluster scrapes itself under its address there: what it listens on may be the same on all.
func TestMembersScrapeThemselves(t *testing.T) {
	gossip, err := freeport.Take()
	require.NoError(t, err)
	cluster := fmt.Sprintf("cluster: {listen: %q, join: [%q], http_address: 'hune-0.example:4320'}\n", gossip, gossip)
	f := startWith(t, cluster)
	f.base = strings.Replace(f.base, "scrape_self: false\n", "", 1)
	f.write(t, cluster)
	resp, err := http.Post("http://"+f.Addr()+"/-/reload", "", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Eventually(t, func() bool {
		var got struct {
			Data struct {
				ActiveTargets []struct{ Labels map[string]string }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(f.get(t, "/api/v1/targets")), &got))
		return len(got.Data.ActiveTargets) == 1 && got.Data.ActiveTargets[0].Labels["instance"] == "hune-0.example:4320"
	}, time.Minute, 20*time.Millisecond)
}
