package alertmanager

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/alertmanager/cluster"
	"github.com/prometheus/common/model"
)

// Config is the section `alertmanager` of the configuration.
type Config struct {
	// ConfigFile is an alertmanager.yml as Alertmanager takes it. Empty: alerts are visible in the page and
	// over the API, and nobody is told. Tenants that set their own configuration don't see it.
	ConfigFile string `yaml:"config_file"`
	// Retention is how long expired silences and what was notified are remembered. Default 120h.
	Retention model.Duration `yaml:"retention"`
	// GCInterval is how often resolved alerts are dropped. Default 30m.
	GCInterval model.Duration `yaml:"alerts_gc_interval"`
	// MaintenanceInterval is how often the state on disk is written anew, smaller, and copied to the bucket. Default 15m.
	MaintenanceInterval model.Duration `yaml:"maintenance_interval"`
	// PollInterval is how often configurations that tenants set are looked for in the bucket. Default 1m.
	PollInterval model.Duration `yaml:"poll_interval"`
	// MaxAlerts bounds the alerts of a tenant. Default 100000.
	MaxAlerts int `yaml:"max_alerts"`
	// MaxSilences bounds the silences of a tenant, expired ones that are still remembered included; 0 for no bound. Default 10000.
	MaxSilences int `yaml:"max_silences"`
	// MaxSilenceSize bounds one silence; 0 for no bound. Default 16KiB.
	MaxSilenceSize units.Base2Bytes `yaml:"max_silence_size"`
	// Concurrency bounds the GET requests answered at once for a tenant; 0 for 8, or the number of processors if that is more. Default 0.
	Concurrency int `yaml:"concurrency"`
	// Cluster joins several Alertmanagers, so that each alert is notified by one of them.
	Cluster ClusterConfig `yaml:"cluster"`
}

// ClusterConfig is the gossip of Alertmanager: Hune and Alertmanager 0.34 can be members of one cluster
// (as the tenant anonymous).
type ClusterConfig struct {
	// Listen is the address for gossip, UDP and TCP; empty for none. Default empty.
	Listen string `yaml:"listen"`
	// Advertise is the address that other members use, if it is not that of Listen.
	Advertise string `yaml:"advertise"`
	// Peers are addresses of other members; a host name may stand for several.
	Peers []string `yaml:"peers"`
	// Name of this member, which must not change over restarts for the sake of its state in the bucket. Default: the host's name.
	Name string `yaml:"name"`
	// Label keeps clusters apart that share a network.
	Label string `yaml:"label"`
	// TLSConfigFile encrypts gossip; its format is Alertmanager's.
	TLSConfigFile string `yaml:"tls_config_file"`
	// PeerTimeout is how long each member waits for those before it to notify first. Default 15s.
	PeerTimeout model.Duration `yaml:"peer_timeout"`
	// SettleTimeout is how long a start waits for the others before it notifies. Default 1m.
	SettleTimeout model.Duration `yaml:"settle_timeout"`
	// GossipInterval is the time between two messages to a member. Default 200ms.
	GossipInterval model.Duration `yaml:"gossip_interval"`
	// PushPullInterval is the time between two exchanges of the full state. Default 1m.
	PushPullInterval model.Duration `yaml:"push_pull_interval"`
	// ReconnectInterval is the time between attempts to reach members that were lost. Default 10s.
	ReconnectInterval model.Duration `yaml:"reconnect_interval"`
	// ReconnectTimeout is how long lost members are tried. Default 6h.
	ReconnectTimeout model.Duration `yaml:"reconnect_timeout"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Retention: model.Duration(120 * time.Hour), GCInterval: model.Duration(30 * time.Minute), MaintenanceInterval: model.Duration(15 * time.Minute),
		PollInterval: model.Duration(time.Minute), MaxAlerts: 100_000, MaxSilences: 10_000, MaxSilenceSize: 16 * units.KiB,
		Cluster: ClusterConfig{PeerTimeout: model.Duration(15 * time.Second), SettleTimeout: model.Duration(time.Minute),
			GossipInterval: model.Duration(cluster.DefaultGossipInterval), PushPullInterval: model.Duration(cluster.DefaultPushPullInterval),
			ReconnectInterval: model.Duration(cluster.DefaultReconnectInterval), ReconnectTimeout: model.Duration(cluster.DefaultReconnectTimeout)},
	}
}

// Validate reports every fault of c but those of the file that it names, which New reads.
func (c Config) Validate() error {
	var errs []error
	positive := func(name string, d model.Duration) {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("alertmanager.%s: must be above 0s", name))
		}
	}
	positive("retention", c.Retention)
	positive("alerts_gc_interval", c.GCInterval)
	positive("maintenance_interval", c.MaintenanceInterval)
	positive("poll_interval", c.PollInterval)
	if c.MaxAlerts <= 0 {
		errs = append(errs, errors.New("alertmanager.max_alerts: must be above 0"))
	}
	if c.MaxSilences < 0 || c.MaxSilenceSize < 0 || c.Concurrency < 0 {
		errs = append(errs, errors.New("alertmanager: max_silences, max_silence_size and concurrency must not be negative"))
	}
	if c.Cluster.Listen == "" {
		if len(c.Cluster.Peers) > 0 {
			errs = append(errs, errors.New("alertmanager.cluster.peers: needs alertmanager.cluster.listen, the address of this member"))
		}
		return errors.Join(errs...)
	}
	for name, addr := range map[string]string{"listen": c.Cluster.Listen, "advertise": c.Cluster.Advertise} {
		if addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			errs = append(errs, fmt.Errorf("alertmanager.cluster.%s: %w", name, err))
		}
	}
	positive("cluster.gossip_interval", c.Cluster.GossipInterval)
	positive("cluster.push_pull_interval", c.Cluster.PushPullInterval)
	positive("cluster.settle_timeout", c.Cluster.SettleTimeout)
	return errors.Join(errs...)
}
