package scraper

// Service discovery, one by one: each costs every user memory, and what a few lines of configuration turn
// on should not cost those who don't write them. Static targets are built in. The heavy ones stand in
// discovery_kubernetes.go and discovery_clouds.go, behind build tags; docs/scraping.md has what
// was measured.
import (
	_ "github.com/prometheus/prometheus/discovery/consul"
	_ "github.com/prometheus/prometheus/discovery/dns"
	_ "github.com/prometheus/prometheus/discovery/eureka"
	_ "github.com/prometheus/prometheus/discovery/file"
	_ "github.com/prometheus/prometheus/discovery/http"
	_ "github.com/prometheus/prometheus/discovery/marathon"
	_ "github.com/prometheus/prometheus/discovery/moby" // docker, dockerswarm
	_ "github.com/prometheus/prometheus/discovery/nomad"
	_ "github.com/prometheus/prometheus/discovery/puppetdb"
	_ "github.com/prometheus/prometheus/discovery/triton"
	_ "github.com/prometheus/prometheus/discovery/uyuni"
	_ "github.com/prometheus/prometheus/discovery/xds"       // kuma
	_ "github.com/prometheus/prometheus/discovery/zookeeper" // nerve, serverset
)

// buildTags says which build tag brings a discovery that is not always there.
var buildTags = map[string]string{
	"kubernetes": "kubernetes",
	"azure":      "clouds", "digitalocean": "clouds", "ec2": "clouds", "ecs": "clouds", "gce": "clouds", "hetzner": "clouds", "ionos": "clouds",
	"lightsail": "clouds", "linode": "clouds", "openstack": "clouds", "ovhcloud": "clouds", "scaleway": "clouds", "stackit": "clouds", "vultr": "clouds",
}
