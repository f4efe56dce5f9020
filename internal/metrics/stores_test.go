package metrics

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"go.yaml.in/yaml/v3"
)

// The head and the blocks of the bucket are stores with an address; each block has external labels of its own.
func TestLocalStores(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	opts := testHeadOptions(t, t.TempDir(), bkt)
	opts.Config.ExternalLabels = map[string]string{"zone": "mine"}
	h := openTestHeads(t, opts)
	push(t, h, "a", floats("mine", Sample{T: at(0), V: 1}))
	putBlock(t, bkt, map[string]string{"zone": "north"}, 0, 2*time.Hour, time.Hour)
	putBlock(t, bkt, map[string]string{"zone": "south"}, 0, 2*time.Hour, time.Hour)
	store := newTestStore(t, bkt)
	require.NoError(t, store.Refresh(t.Context()))
	for selector, want := range map[string][]string{
		"": {"mine", "north", "south"}, `__address__="local/head"`: {"mine"}, `__address__="local/bucket"`: {"north", "south"},
		`zone="north"`: {"north"}, `zone!="north"`: {"mine", "south"}, `zone="north", __address__="local/head"`: nil,
		`zone="none"`: nil, `__address__=~"local/.*"`: {"mine", "north", "south"}, `cluster="not a label of any"`: {"mine", "north", "south"},
	} {
		q := &Query{Kind: SeriesKind, Matchers: [][]Matcher{{{Type: labels.MatchNotEqual, Name: labels.MetricName}}}, Start: MinTime, End: MaxTime}
		if selector != "" {
			ms, err := ParseSelector("{" + selector + "}")
			require.NoError(t, err)
			q.Stores = [][]Matcher{FromMatchers(ms)}
		}
		got := map[string]bool{}
		r, err := newTestEngine().Run(t.Context(), "a", q, h, store)
		require.NoError(t, err)
		for _, ls := range r.Series {
			if zone := ls.Get("zone"); zone != "" {
				got[zone] = true
			} else {
				got[ls.Get(labels.MetricName)] = true
			}
		}
		require.Len(t, got, len(want), selector)
		require.Equal(t, len(want) == 0, len(r.Warnings) == 1 && r.Warnings.AsErrors()[0] == errNoStore, selector)
		require.False(t, r.Partial)
		for _, w := range want {
			require.True(t, got[w], "%s: %s", selector, w)
		}
		q.Kind, q.Label = LabelValues, labels.MetricName
		r, err = newTestEngine().Run(t.Context(), "a", q, h, store)
		require.NoError(t, err)
		require.Equal(t, len(want) > 0, len(r.Strings) > 0, selector)
	}

	head, bucket := h.Store("a"), store.Store("a")
	require.Equal(t, HeadAddress, head.Address)
	require.Equal(t, []labels.Labels{labels.FromStrings("replica", "0", "tenant", "a", "zone", "mine")}, head.LabelSets)
	require.Equal(t, []int64{at(0), at(0)}, []int64{head.MinTime, head.MaxTime})
	require.ElementsMatch(t, []labels.Labels{labels.FromStrings("zone", "north"), labels.FromStrings("zone", "south")}, bucket.LabelSets)
	require.Equal(t, []int64{day0.UnixMilli(), day0.Add(2 * time.Hour).UnixMilli()}, []int64{bucket.MinTime, bucket.MaxTime})
	require.Greater(t, h.Store("nobody").MinTime, h.Store("nobody").MaxTime)
	require.Empty(t, store.Store("nobody").LabelSets)
}

func TestStoreEndpointConfig(t *testing.T) {
	parse := func(text string) ([]StoreEndpoint, error) {
		c := DefaultConfig()
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			return nil, err
		}
		return c.StoreEndpoints, c.Validate()
	}
	got, err := parse(`
store_endpoints:
- 10.0.0.1:10901
- dnssrv+_grpc._tcp.thanos
- {address: "dns+stores:10901", group: true, tls_config: {}}
- address: sidecar:10901
  strict: true
  tls_config: {ca_file: ca, cert_file: cert, key_file: key, server_name: thanos, insecure_skip_verify: true}
`)
	require.NoError(t, err)
	require.Equal(t, []StoreEndpoint{{Address: "10.0.0.1:10901"}, {Address: "dnssrv+_grpc._tcp.thanos"}, {Address: "dns+stores:10901", Group: true, TLS: &StoreTLS{}},
		{Address: "sidecar:10901", Strict: true, TLS: &StoreTLS{CAFile: "ca", CertFile: "cert", KeyFile: "key", ServerName: "thanos", InsecureSkipVerify: true}}}, got)
	text, err := yaml.Marshal(map[string]any{"store_endpoints": got})
	require.NoError(t, err)
	again, err := parse(string(text))
	require.NoError(t, err)
	require.Equal(t, got, again, "as /config shows it")

	for entry, want := range map[string]string{
		"thanos":                           `metrics.store_endpoints.0: "thanos" is not host:port`,
		"':1'":                             `":1" is not host:port`,
		"dns+thanos":                       `"thanos" is not host:port`,
		"dnsserv+thanos:1":                 `there is no lookup "dnsserv", only dns, dnsdualstack, dnssrv and dnssrvnoa`,
		"dnssrv+":                          "names nothing to look up",
		"{address: dns+a:1, strict: true}": "is looked up, which a strict endpoint can't be",
		"{address: a:1, tls_config: {cert_file: x}}": "cert_file and key_file go together",
		"{address: a:1, tls: {}}":                    `line 1: unknown key "tls", known here are address, strict, group, tls_config`,
		"{address: a:1, tls_config: {ca: x}}":        `unknown key "ca", known here are ca_file`,
		"{address: a:1, tls_config: true}":           "want a mapping with the keys ca_file",
		"[a:1]":                                      "want a mapping with the keys address",
		"a:1, a:1":                                   `metrics.store_endpoints.1: "a:1" is there twice`,
		"{address: a:1, group: 7}":                   "bool",
		"{address: a:1, tls_config: {insecure_skip_verify: [\"x\"]}}": "bool",
	} {
		_, err := parse("store_endpoints: [" + entry + "]")
		require.ErrorContains(t, err, want, entry)
	}
}
