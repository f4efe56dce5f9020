package cache

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

// RedisConfig says where the Redis is that several processes share pages and results in. What it holds is as good as the
// bucket: who can write to it decides what queries answer.
type RedisConfig struct {
	// Addresses, host:port, of one server, of some members of a cluster, or of Sentinels. Default none: no Redis is used.
	Addresses []string `yaml:"addresses"`
	// Sentinel is for a server that Sentinels watch over, whose addresses are given then.
	Sentinel RedisSentinel `yaml:"sentinel"`
	// Username to log in with; default that of the server's default user.
	Username string `yaml:"username"`
	// Password to log in with. Default none.
	Password string `yaml:"password"`
	// DB is the number of the database; a cluster has only 0. Default 0.
	DB int `yaml:"db"`
	// TLS is spoken when it is there, with {} as well. Its keys are ca_file, cert_file, key_file, server_name and
	// insecure_skip_verify.
	TLS *RedisTLS `yaml:"tls_config,omitempty"`
	// Timeout is how long a query waits for results, or for up to 64 pages, at most, before it goes to the bucket. Default
	// 100ms.
	Timeout model.Duration `yaml:"timeout"`
	// TTL is how long a page or a result is kept, at most; results no longer than a day. Default 24h.
	TTL model.Duration `yaml:"ttl"`
	// Prefix starts every key. Those who use different buckets need different ones, and so do clusters. Default "hune:".
	Prefix string `yaml:"prefix"`
}

// RedisSentinel says which server to ask Sentinels for.
type RedisSentinel struct {
	// Master is the name that the Sentinels know the server by. Default none: addresses are not those of Sentinels.
	Master string `yaml:"master"`
	// Username to log in to the Sentinels with; default that of their default user.
	Username string `yaml:"username"`
	// Password to log in to the Sentinels with, which is not that of the server. Default none.
	Password string `yaml:"password"`
}

// RedisTLS says how a Redis is trusted. The files are read when a connection to a server that was out of use is made.
type RedisTLS struct {
	// CAFile holds the certificates of the authorities to trust; default those of the system.
	CAFile string `yaml:"ca_file,omitempty"`
	// CertFile is the client's own certificate, if it needs one.
	CertFile string `yaml:"cert_file,omitempty"`
	// KeyFile is the key of the client's own certificate.
	KeyFile string `yaml:"key_file,omitempty"`
	// ServerName is the name in the server's certificate; default the host of the address.
	ServerName string `yaml:"server_name,omitempty"`
	// InsecureSkipVerify takes any certificate.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify,omitempty"`
}

func defaultRedisConfig() RedisConfig {
	return RedisConfig{Addresses: []string{}, Timeout: model.Duration(100 * time.Millisecond), TTL: model.Duration(24 * time.Hour), Prefix: "hune:"}
}

// Enabled reports whether there is a Redis to use.
func (c RedisConfig) Enabled() bool { return len(c.Addresses) > 0 }

// validate reports every fault of c, each with its key.
func (c RedisConfig) validate() error {
	var errs []error
	for i, addr := range c.Addresses {
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
			errs = append(errs, fmt.Errorf("redis.addresses[%d]: %q is not host:port", i, addr))
		}
	}
	if c.DB < 0 {
		errs = append(errs, fmt.Errorf("redis.db: %d is negative", c.DB))
	}
	if c.DB > 0 && len(c.Addresses) > 1 && c.Sentinel.Master == "" {
		errs = append(errs, errors.New("redis.db: several addresses are those of a cluster, which has only database 0"))
	}
	if c.Username != "" && c.Password == "" {
		errs = append(errs, errors.New("redis.username: goes with a password"))
	}
	if c.Sentinel.Username != "" && c.Sentinel.Password == "" {
		errs = append(errs, errors.New("redis.sentinel.username: goes with a password"))
	}
	if c.Sentinel.Password != "" && c.Sentinel.Master == "" {
		errs = append(errs, errors.New("redis.sentinel.password: goes with a master"))
	}
	if t := c.TLS; t != nil && (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, errors.New("redis.tls_config: cert_file and key_file go together"))
	}
	if c.Timeout <= 0 {
		errs = append(errs, errors.New("redis.timeout: must be positive"))
	}
	if c.TTL < model.Duration(time.Second) {
		errs = append(errs, errors.New("redis.ttl: must be at least 1s"))
	}
	return errors.Join(errs...)
}

// tlsConfig reads the files; nil without TLS.
func (c RedisConfig) tlsConfig() (*tls.Config, error) {
	t := c.TLS
	if t == nil {
		return nil, nil
	}
	out, err := promconfig.NewTLSConfig(&promconfig.TLSConfig{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile,
		ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify})
	if err != nil {
		return nil, fmt.Errorf("tls_config: %w", err)
	}
	return out, nil
}
