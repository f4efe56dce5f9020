package ring

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// Config is the user's settings of the cluster.
type Config struct {
	// Join are the gossip addresses of members, as host:port; a host with several addresses stands for all of them, and
	// dnssrv+NAME is looked up. This process may be among them. Default none: it is alone, and opens no port for it.
	Join []string `yaml:"join"`
	// Listen is the gossip address of this process (TCP). Default 0.0.0.0:7946.
	Listen string `yaml:"listen"`
	// Advertise is where others reach Listen, as host:port. Default: Listen, or the private address of the machine where
	// Listen names no host.
	Advertise string `yaml:"advertise"`
	// HTTPAddress is where others reach the main port, as host:port; it is also the name of this member. Default:
	// http.listen, with the host of Advertise where that names none.
	HTTPAddress string `yaml:"http_address"`
	// Name is the name of the cluster: members of others are refused. Default hune.
	Name string `yaml:"name"`
	// Secret seals what members tell each other about who they are and what they own: processes with another
	// or none are refused. At least 16 characters. Default none.
	Secret string `yaml:"secret"`
	// HeartbeatPeriod is how often a member says that it is alive. Default 5s.
	HeartbeatPeriod model.Duration `yaml:"heartbeat_period"`
	// HeartbeatTimeout is after how long a silent member counts as dead, and others take over what it owns. The clocks
	// of members must agree better than that. Default 30s.
	HeartbeatTimeout model.Duration `yaml:"heartbeat_timeout"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Listen: "0.0.0.0:7946", Name: "hune", HeartbeatPeriod: model.Duration(5 * time.Second), HeartbeatTimeout: model.Duration(30 * time.Second)}
}

// Alone reports whether there is no cluster to join.
func (c Config) Alone() bool { return len(c.Join) == 0 }

// minSecret keeps out secrets that can be guessed: a digest of it is part of each message.
const minSecret = 16

// Validate reports every fault of c.
func (c Config) Validate() error {
	var errs []error
	if host, _, err := splitAddress(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("listen: %w", err))
	} else if net.ParseIP(host) == nil {
		errs = append(errs, fmt.Errorf("listen: the host of %q must be an IP address", c.Listen))
	}
	for name, addr := range map[string]string{"advertise": c.Advertise, "http_address": c.HTTPAddress} {
		if host, port, err := splitAddress(addr); addr != "" && (err != nil || host == "" || port == 0) {
			errs = append(errs, fmt.Errorf("%s: %q is not host:port", name, addr))
		}
	}
	if slices.Contains(c.Join, "") {
		errs = append(errs, errors.New("join: an address is empty"))
	}
	if c.Name == "" || len(c.Name) > 100 {
		errs = append(errs, errors.New("name: must have 1 to 100 bytes"))
	}
	if c.Secret != "" && len(c.Secret) < minSecret {
		errs = append(errs, fmt.Errorf("secret: must have at least %d characters", minSecret))
	}
	if time.Duration(c.HeartbeatPeriod) < time.Second {
		errs = append(errs, fmt.Errorf("heartbeat_period: %s is shorter than 1s, in which times are told", c.HeartbeatPeriod))
	}
	if c.HeartbeatTimeout < 2*c.HeartbeatPeriod {
		errs = append(errs, fmt.Errorf("heartbeat_timeout: %s is shorter than twice heartbeat_period (%s)", c.HeartbeatTimeout, c.HeartbeatPeriod))
	}
	return errors.Join(errs...)
}

func splitAddress(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q: the port must be a number", addr)
	}
	return host, int(n), nil
}
