package metrics

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// StoreEndpoint is another server with Thanos's StoreAPI, or several with one name. In YAML it is a mapping, or
// the address alone.
type StoreEndpoint struct {
	// Address is host:port, or a name to look up as in Thanos: dns+host:port for its addresses,
	// dnsdualstack+host:port for those of both families, dnssrv+name for the addresses of its SRV records,
	// dnssrvnoa+name for their host names.
	Address string `yaml:"address"`
	// Strict has a server asked that doesn't answer what it has, too. It must have a fixed address.
	Strict bool `yaml:"strict,omitempty"`
	// Group says that all servers of the name hold the same: each question goes to one of them.
	Group bool `yaml:"group,omitempty"`
	// TLS is spoken when it is there, with {} as well.
	TLS *StoreTLS `yaml:"tls_config,omitempty"`
}

// StoreTLS says how a StoreAPI server is trusted. The authorities are read for each connection, the client's certificate
// for each handshake.
type StoreTLS struct {
	// CAFile holds the certificates of the authorities to trust; default those of the system.
	CAFile string `yaml:"ca_file,omitempty"`
	// CertFile and KeyFile are the client's own certificate, if it needs one.
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
	// ServerName is the name in the server's certificate; default the host of the address.
	ServerName string `yaml:"server_name,omitempty"`
	// InsecureSkipVerify takes any certificate.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify,omitempty"`
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (e *StoreEndpoint) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		return node.Decode(&e.Address)
	}
	if err := checkKeys(node, "address", "strict", "group", "tls_config"); err != nil {
		return err
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value != "tls_config" {
			continue
		}
		if err := checkKeys(node.Content[i+1], "ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify"); err != nil {
			return err
		}
	}
	type plain StoreEndpoint
	return node.Decode((*plain)(e))
}

// checkKeys reports a key of a mapping that is none of those known: nodes have no strict decoding.
func checkKeys(node *yaml.Node, known ...string) error {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: want a mapping with the keys %s", node.Line, strings.Join(known, ", "))
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; !slices.Contains(known, key.Value) {
			return fmt.Errorf("line %d: unknown key %q, known here are %s", key.Line, key.Value, strings.Join(known, ", "))
		}
	}
	return nil
}

// MarshalYAML implements yaml.Marshaler.
func (e StoreEndpoint) MarshalYAML() (any, error) {
	if e == (StoreEndpoint{Address: e.Address}) {
		return e.Address, nil
	}
	type plain StoreEndpoint
	return plain(e), nil
}

// The kinds of names that a StoreEndpoint's Address can have.
const (
	LookupA         = "dns"
	LookupDualStack = "dnsdualstack"
	LookupSRV       = "dnssrv"
	LookupSRVNoA    = "dnssrvnoa"
)

// Lookup splits the address: a lookup is one of the above, or empty for an address that stands for itself.
func (e StoreEndpoint) Lookup() (lookup, name string) {
	if lookup, name, ok := strings.Cut(e.Address, "+"); ok {
		return lookup, name
	}
	return "", e.Address
}

// Validate reports what is wrong with e.
func (e StoreEndpoint) Validate() error {
	lookup, name := e.Lookup()
	switch lookup {
	case "", LookupA, LookupDualStack:
		if host, port, err := net.SplitHostPort(name); err != nil || host == "" || port == "" {
			return fmt.Errorf("%q is not host:port", name)
		}
	case LookupSRV, LookupSRVNoA:
		if name == "" {
			return fmt.Errorf("%q names nothing to look up", e.Address)
		}
	default:
		return fmt.Errorf("%q: there is no lookup %q, only %s, %s, %s and %s", e.Address, lookup, LookupA, LookupDualStack, LookupSRV, LookupSRVNoA)
	}
	if lookup != "" && e.Strict {
		return fmt.Errorf("%q is looked up, which a strict endpoint can't be", e.Address)
	}
	if t := e.TLS; t != nil && (t.CertFile == "") != (t.KeyFile == "") {
		return errors.New("tls_config: cert_file and key_file go together")
	}
	return nil
}
