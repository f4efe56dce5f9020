package scraper

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/require"
)

// Every discovery of Prometheus is there, or is refused with the name of the build tag that brings it. This test
// runs with the tags and without.
func TestDiscoveries(t *testing.T) {
	built := discoveries()
	for _, name := range []string{
		"azure", "consul", "digitalocean", "dns", "docker", "dockerswarm", "ec2", "ecs", "eureka", "file", "gce", "hetzner", "http", "ionos", "kubernetes",
		"kuma", "lightsail", "linode", "marathon", "nerve", "nomad", "openstack", "ovhcloud", "puppetdb", "scaleway", "serverset", "stackit", "static", "triton",
		"uyuni", "vultr",
	} {
		t.Run(name, func(t *testing.T) {
			err := parse(t, "scrape_configs:\n- job_name: a\n  "+name+"_sd_configs: []\n").Validate()
			if name == "static" {
				return // is no plugin; its key is static_configs
			}
			if slices.Contains(built, name) {
				require.NoError(t, err)
				return
			}
			require.NotEmpty(t, buildTags[name], "it is neither built in nor behind a tag")
			require.EqualError(t, err, "scrape_configs: line 3: unknown key "+name+
				"_sd_configs: this program is built without it: take the release, or build with -tags "+buildTags[name])
		})
	}
}

// Each target belongs to one shard, whatever the job makes of its address.
func TestShards(t *testing.T) {
	const shards, targets = 3, 300
	owners := map[string]int{}
	for shard := range shards {
		c := parse(t, fmt.Sprintf(`
scrape_shards: %d
scrape_shard: %d
scrape_configs:
  - job_name: probe
    relabel_configs:
      - {source_labels: [__address__], target_label: __param_target}
      - {source_labels: [__param_target], target_label: instance}
      - {target_label: __address__, replacement: "blackbox:9115"}
`, shards, shard))
		cfg, err := c.load("127.0.0.1:1", slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.Empty(t, cfg.ScrapeConfigs[1].RelabelConfigs, "every shard scrapes itself")
		mine := 0
		for i := range targets {
			address := fmt.Sprintf("10.0.%d.%d:9100", i/256, i%256)
			got, keep := relabel.Process(labels.FromStrings("__address__", address), cfg.ScrapeConfigs[0].RelabelConfigs...)
			if !keep {
				continue
			}
			mine++
			require.NotContains(t, owners, address)
			owners[address] = shard
			require.Equal(t, address, got.Get("instance"))
			require.Equal(t, "blackbox:9115", got.Get("__address__"))
		}
		require.InDelta(t, targets/shards, mine, targets/shards/2)
	}
	require.Len(t, owners, targets)
	for _, bad := range []string{"{scrape_shards: -1}", "{scrape_shards: 2, scrape_shard: 2}", "{scrape_shard: -1}"} {
		require.ErrorContains(t, parse(t, bad).Validate(), "scrape_shard: ", bad)
	}
}
