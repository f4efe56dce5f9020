package thanos

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/credentials"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/metrics/storeapi"
	"github.com/hune-io/hune/internal/tenant"
)

func newClient(t *testing.T, r storeapi.Resolver, endpoints ...metrics.StoreEndpoint) *storeapi.Client {
	t.Helper()
	c, err := storeapi.NewClient(storeapi.ClientOptions{Endpoints: endpoints, Resolver: r, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// zones asks for the series of m, with what is changed of the query.
func zones(t *testing.T, c *storeapi.Client, change ...func(*metrics.Query)) (series int, warnings []error, err error) {
	t.Helper()
	q := &metrics.Query{Kind: metrics.Instant, Expr: "m", Start: at(-40 * time.Minute), End: at(-40 * time.Minute)}
	for _, f := range change {
		f(q)
	}
	e := metrics.NewEngine(metrics.EngineOptions{Config: metrics.DefaultConfig().Query, Logger: slog.New(slog.DiscardHandler)})
	r, err := e.Run(t.Context(), tenant.Anonymous, q, c)
	if err != nil {
		return 0, nil, err
	}
	return len(r.Value.(promql.Vector)), r.Warnings.AsErrors(), nil
}

// authority makes certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // of its own certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key, a.file, _ = a.issue(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes a certificate and its key to files.
func (a *authority) issue(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(a.t, err)
	template.SerialNumber, template.Subject = serial, pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(a.t, err)
	certFile, keyFile := filepath.Join(a.dir, serial.String()+".crt"), filepath.Join(a.dir, serial.String()+".key")
	require.NoError(a.t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(a.t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return cert, key, certFile, keyFile
}

// A server with TLS is asked when its certificate is of a trusted authority and for its name; one that wants to
// know its clients, by those with a certificate.
func TestEndpointsWithTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	_, _, certFile, keyFile := ca.issue(&x509.Certificate{DNSNames: []string{"store.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	_, _, clientCert, clientKey := ca.issue(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	server := func(auth tls.ClientAuthType) *fixture {
		return newFixture(t, func(f *fixture) {
			f.creds = credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: auth, ClientCAs: pool})
		})
	}
	open, mutual := server(tls.NoClientCert), server(tls.RequireAndVerifyClientCert)
	_, port, err := net.SplitHostPort(open.addr)
	require.NoError(t, err)
	for _, c := range []struct {
		name string
		addr string
		tls  *metrics.StoreTLS
		want string // of the warning; empty: it answers
	}{
		{"trusted", open.addr, &metrics.StoreTLS{CAFile: ca.file, ServerName: "store.example"}, ""},
		{"the name of the address", "dns+store.example:" + port, &metrics.StoreTLS{CAFile: ca.file}, ""},
		{"another authority", open.addr, &metrics.StoreTLS{CAFile: other.file, ServerName: "store.example"}, "certificate signed by unknown authority"},
		{"another name", open.addr, &metrics.StoreTLS{CAFile: ca.file, ServerName: "else.example"}, "valid for store.example, not else.example"},
		{"the system's authorities", open.addr, &metrics.StoreTLS{ServerName: "store.example"}, "certificate signed by unknown authority"},
		{"anything", open.addr, &metrics.StoreTLS{InsecureSkipVerify: true}, ""},
		{"no TLS", open.addr, nil, "is left out of the answer"},
		{"a client with a certificate", mutual.addr, &metrics.StoreTLS{CAFile: ca.file, ServerName: "store.example", CertFile: clientCert, KeyFile: clientKey}, ""},
		{"a client without", mutual.addr, &metrics.StoreTLS{CAFile: ca.file, ServerName: "store.example"}, "is left out of the answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(t, fakeNames{"store.example": {"127.0.0.1"}}, metrics.StoreEndpoint{Address: c.addr, TLS: c.tls})
			client.Refresh(t.Context())
			n, warnings, err := zones(t, client)
			require.NoError(t, err)
			if c.want == "" {
				require.Empty(t, warnings)
				require.Equal(t, 5, n)
				return
			}
			require.Zero(t, n)
			require.ErrorContains(t, warnings[0], c.want)
		})
	}
	for name, bad := range map[string]*metrics.StoreTLS{"no such file": {CAFile: filepath.Join(ca.dir, "none")}, "no certificate": {CAFile: keyFile}, "a key of another": {CertFile: certFile, KeyFile: clientKey}} {
		for _, addr := range []string{open.addr, "dns+store.example:1"} {
			_, err := storeapi.NewClient(storeapi.ClientOptions{Endpoints: []metrics.StoreEndpoint{{Address: addr, TLS: bad}}})
			require.ErrorContains(t, err, "store endpoint "+addr+": tls_config", name)
		}
	}
}

// fakeNames resolves names to addresses, and _service names to the names of their SRV records.
type fakeNames map[string][]string

func (f fakeNames) LookupNetIP(_ context.Context, _, host string) (out []netip.Addr, err error) {
	if _, ok := f[host]; !ok {
		return nil, errors.New("no such host")
	}
	for _, a := range f[host] {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

func (f fakeNames) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	if _, ok := f[name]; !ok {
		return "", nil, errors.New("no such service")
	}
	var out []*net.SRV
	for _, target := range f[name] {
		host, port, err := net.SplitHostPort(target)
		if err != nil {
			return "", nil, err
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return "", nil, err
		}
		out = append(out, &net.SRV{Target: host + ".", Port: uint16(n)})
	}
	return name, out, nil
}

func addresses(c *storeapi.Client) (out []string) {
	for _, s := range c.Stores() {
		out = append(out, s.Address)
	}
	return out
}

// A name stands for all servers that a lookup finds, as its prefix says.
func TestEndpointsByName(t *testing.T) {
	f := newFixture(t)
	_, port, err := net.SplitHostPort(f.addr)
	require.NoError(t, err)
	names := fakeNames{"stores.example": {"127.0.0.1"}, "_grpc._tcp.stores.example": {"a.example:" + port, "b.example:7"}, "a.example.": {"127.0.0.1"}, "b.example.": {"127.0.0.9", "::1"}}
	for addr, want := range map[string][]string{
		"dns+stores.example:" + port:             {f.addr},
		"dnsdualstack+stores.example:" + port:    {f.addr},
		"dnssrv+_grpc._tcp.stores.example":       {f.addr, "127.0.0.9:7", "[::1]:7"},
		"dnssrv+_grpc._tcp.stores.example:90":    {"127.0.0.1:90", "127.0.0.9:90", "[::1]:90"},
		"dnssrvnoa+_grpc._tcp.stores.example":    {"a.example:" + port, "b.example:7"},
		"dnssrvnoa+_grpc._tcp.stores.example:90": {"a.example:90", "b.example:90"},
	} {
		require.NoError(t, metrics.StoreEndpoint{Address: addr}.Validate())
		c := newClient(t, names, metrics.StoreEndpoint{Address: addr})
		_, warnings, err := zones(t, c)
		require.NoError(t, err)
		require.ErrorContains(t, warnings[0], "store endpoint "+addr+": its name has not been looked up yet")
		c.Refresh(t.Context())
		require.ElementsMatch(t, want, addresses(c), addr)
	}
	c := newClient(t, names, metrics.StoreEndpoint{Address: "dns+stores.example:" + port}, metrics.StoreEndpoint{Address: "dns+nobody.example:1"})
	c.Refresh(t.Context())
	n, warnings, err := zones(t, c)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	require.Len(t, warnings, 1)
	require.ErrorContains(t, warnings[0], "store endpoint dns+nobody.example:1: no such host")
	_, _, err = zones(t, c, func(q *metrics.Query) { q.WholeAnswer = true })
	require.ErrorContains(t, err, "no such host")
}

// A group is one store, whichever of its servers answers; when one is gone, the other is asked.
func TestEndpointGroup(t *testing.T) {
	one, two := newFixture(t), newFixture(t)
	srv := fakeNames{"group": {one.addr, two.addr}}
	c := newClient(t, srv, metrics.StoreEndpoint{Address: "dnssrvnoa+group", Group: true})
	c.Refresh(t.Context())
	require.Equal(t, []string{"dnssrvnoa+group"}, addresses(c))
	asked := func(f *fixture) bool { return f.asked.Load() > 0 }
	require.Eventually(t, func() bool { // the second connection may take longer than the first
		n, warnings, err := zones(t, c)
		require.NoError(t, err)
		require.Empty(t, warnings)
		require.Equal(t, 5, n)
		return asked(one) && asked(two)
	}, time.Minute, time.Millisecond)
	require.Len(t, addresses(c), 1)
}

// A strict endpoint is asked though it never said what it has: its failure is that of the question.
func TestStrictEndpoint(t *testing.T) {
	f := newFixture(t)
	c := newClient(t, nil, metrics.StoreEndpoint{Address: f.addr, Strict: true})
	n, warnings, err := zones(t, c)
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, 5, n, "before the first question what it has")
	require.ErrorContains(t, metrics.StoreEndpoint{Address: "dns+x:1", Strict: true}.Validate(), "strict")
}

// storeMatch[] chooses servers by address and external labels. A warning says that there is no such one; none is about
// others.
func TestStoresAreChosen(t *testing.T) {
	f := newFixture(t)
	down, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, down.Close())
	c := newClient(t, nil, metrics.StoreEndpoint{Address: f.addr}, metrics.StoreEndpoint{Address: down.Addr().String()})
	c.Refresh(t.Context())
	address := func(typ labels.MatchType, value string) []metrics.Matcher {
		return []metrics.Matcher{{Type: typ, Name: metrics.AddressLabel, Value: value}}
	}
	external := func(name, value string) []metrics.Matcher { return []metrics.Matcher{{Name: name, Value: value}} }
	for _, k := range []struct {
		name     string
		stores   [][]metrics.Matcher
		series   int
		warnings int
	}{
		{"all", nil, 5, 1},
		{"an address", [][]metrics.Matcher{address(labels.MatchEqual, f.addr)}, 5, 0},
		{"the other", [][]metrics.Matcher{address(labels.MatchNotEqual, f.addr)}, 0, 1},
		{"either", [][]metrics.Matcher{address(labels.MatchEqual, f.addr), address(labels.MatchEqual, down.Addr().String())}, 5, 1},
		{"neither", [][]metrics.Matcher{address(labels.MatchRegexp, "local/.*")}, 0, 1},
		{"a label that it has", [][]metrics.Matcher{append(external("tenant", tenant.Anonymous), address(labels.MatchEqual, f.addr)...)}, 5, 0},
		{"another value", [][]metrics.Matcher{append(external("tenant", "else"), address(labels.MatchEqual, f.addr)...)}, 0, 1},
		{"a label that it hasn't", [][]metrics.Matcher{append(external("zone", "else"), address(labels.MatchEqual, f.addr)...)}, 5, 0},
	} {
		n, warnings, err := zones(t, c, func(q *metrics.Query) { q.Stores = k.stores })
		require.NoError(t, err, k.name)
		require.Equal(t, []int{k.series, k.warnings}, []int{n, len(warnings)}, k.name)
	}
	r := &metrics.Query{Kind: metrics.LabelNames, Start: at(-time.Hour), End: at(0), Stores: [][]metrics.Matcher{address(labels.MatchEqual, "none")}}
	res, err := metrics.NewEngine(metrics.EngineOptions{Config: metrics.DefaultConfig().Query, Logger: slog.New(slog.DiscardHandler)}).Run(t.Context(), tenant.Anonymous, r, c, f.heads, f.store)
	require.NoError(t, err)
	require.Empty(t, res.Strings)
	require.ErrorContains(t, res.Warnings.AsErrors()[0], "no store matches storeMatch[]")
	require.Len(t, res.Warnings, 1)
}

// partial_response=false reaches other servers: what they would warn of, they refuse.
func TestWholeAnswersOfEndpoints(t *testing.T) {
	f := newFixture(t, func(f *fixture) { f.opts.Sources = append(f.opts.Sources, warner{}) })
	c := newClient(t, nil, metrics.StoreEndpoint{Address: f.addr})
	c.Refresh(t.Context())
	n, warnings, err := zones(t, c)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	require.ErrorContains(t, warnings[0], "store endpoint "+f.addr+": block 1 is damaged")
	_, _, err = zones(t, c, func(q *metrics.Query) { q.WholeAnswer = true })
	require.ErrorContains(t, err, "partial_response=false")
	require.ErrorContains(t, err, "code = Aborted desc = block 1 is damaged")
}
