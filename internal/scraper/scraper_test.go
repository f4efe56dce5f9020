package scraper

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	webapi "github.com/prometheus/prometheus/web/api/v1"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

var (
	_ webapi.TargetRetriever      = (*Scraper)(nil)
	_ webapi.ScrapePoolsRetriever = (*Scraper)(nil)
)

// pushed is what one scrape brought, copied out of the batch.
type pushed struct {
	tenant string
	series map[string]metrics.Series
}

type sink struct {
	got chan pushed
	err error
}

func (s *sink) PushMetrics(ctx context.Context, b *metrics.Batch) (metrics.PushResult, error) {
	if s.err != nil {
		return metrics.PushResult{}, s.err
	}
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return metrics.PushResult{}, err
	}
	p := pushed{id, map[string]metrics.Series{}}
	for _, x := range b.Series {
		old := p.series[x.Labels.Get("__name__")]
		x.Samples = append(append([]metrics.Sample(nil), old.Samples...), x.Samples...)
		p.series[x.Labels.Get("__name__")] = x
	}
	select {
	case s.got <- p:
	case <-ctx.Done():
	}
	return metrics.PushResult{Rejected: []metrics.Rejection{{Reason: "test", Message: "test", Count: 1}}}, nil
}

// await returns the first scrape for which ok holds.
func (s *sink) await(t *testing.T, ok func(pushed) bool) pushed {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case p := <-s.got:
			if ok(p) {
				return p
			}
		case <-deadline:
			t.Fatal("the scrape never came")
		}
	}
}

func (p pushed) has(name string) bool { _, ok := p.series[name]; return ok }

func parse(t testing.TB, text string) Config {
	t.Helper()
	c := DefaultConfig()
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	require.NoError(t, dec.Decode(&c))
	return c
}

func job(name, target string) string {
	return fmt.Sprintf("  - {job_name: %s, scrape_interval: 200ms, scrape_timeout: 150ms, scrape_native_histograms: true, static_configs: [{targets: [%q]}]}\n", name, target)
}

func run(t *testing.T, o Options) *Scraper {
	t.Helper()
	s, err := New(o)
	require.NoError(t, err)
	require.NoError(t, services.StartAndAwaitRunning(t.Context(), s))
	t.Cleanup(func() { require.NoError(t, services.StopAndAwaitTerminated(context.Background(), s)) })
	return s
}

func TestScrape(t *testing.T) {
	reg := prometheus.NewRegistry()
	total := prometheus.NewCounter(prometheus.CounterOpts{Name: "orders_total", Help: "Orders."})
	total.(prometheus.ExemplarAdder).AddWithExemplar(3, prometheus.Labels{"trace_id": "abc"})
	native := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latency_seconds", Help: "Latency.", NativeHistogramBucketFactor: 1.1})
	native.Observe(0.5)
	gone := prometheus.NewGauge(prometheus.GaugeOpts{Name: "gone", Help: "Goes."})
	reg.MustRegister(total, native, gone)
	target := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true, EnableOpenMetricsTextCreatedSamples: true}))
	defer target.Close()
	addr := strings.TrimPrefix(target.URL, "http://")

	out := &sink{got: make(chan pushed)}
	s := run(t, Options{Config: parse(t, "scrape_configs:\n"+job("shop", addr)), Pusher: out, Tenant: "t1"})
	p := out.await(t, func(p pushed) bool { return p.has("orders_total") })
	require.Equal(t, "t1", p.tenant)

	orders := p.series["orders_total"]
	require.Equal(t, labels.FromStrings("__name__", "orders_total", "instance", addr, "job", "shop"), orders.Labels)
	require.Len(t, orders.Samples, 1)
	require.Equal(t, 3.0, orders.Samples[0].V)
	require.InDelta(t, time.Now().UnixMilli(), orders.Samples[0].T, 60_000)
	require.InDelta(t, time.Now().UnixMilli(), orders.Samples[0].Start, 60_000, "the start timestamp")
	require.Less(t, orders.Samples[0].Start, orders.Samples[0].T)
	require.Equal(t, "abc", orders.Exemplars[0].Labels.Get("trace_id"))
	require.Equal(t, "Orders.", orders.Metadata.Help)
	require.Equal(t, "counter", string(orders.Metadata.Type))

	latency := p.series["latency_seconds"]
	require.Len(t, latency.Histograms, 1)
	require.EqualValues(t, 1, latency.Histograms[0].H.Count)
	require.NotZero(t, latency.Histograms[0].Start)
	require.Equal(t, 1.0, p.series["up"].Samples[0].V, "up is part of the same batch")
	require.True(t, p.has("scrape_duration_seconds"))

	require.Equal(t, []string{"shop"}, s.ScrapePools())
	require.Len(t, s.TargetsActive()["shop"], 1)
	require.Equal(t, "up", strings.ToLower(string(s.TargetsActive()["shop"][0].Health())))
	require.Contains(t, s.ConfigText(), "job_name: shop")
	cfg, err := s.ScrapePoolConfig("shop")
	require.NoError(t, err)
	require.Equal(t, "shop", cfg.JobName)

	// What disappears gets a staleness marker, once.
	reg.Unregister(gone)
	p = out.await(t, func(p pushed) bool {
		return p.has("gone") && value.IsStaleNaN(p.series["gone"].Samples[0].V)
	})
	out.await(t, func(p pushed) bool { return !p.has("gone") })

	// So does all of a target that is down, except for what says so.
	target.CloseClientConnections()
	target.Close()
	p = out.await(t, func(p pushed) bool { return p.series["up"].Samples[0].V == 0 })
	require.True(t, value.IsStaleNaN(p.series["orders_total"].Samples[0].V))
	require.True(t, value.IsStaleNaN(math.Float64frombits(value.StaleNaN)))
}

func TestScrapesItself(t *testing.T) {
	target := httptest.NewServer(promhttp.HandlerFor(prometheus.NewRegistry(), promhttp.HandlerOpts{}))
	defer target.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(target.URL, "http://"), ":")
	s := run(t, Options{Config: DefaultConfig(), Pusher: &sink{got: make(chan pushed, 100)}, Self: "0.0.0.0:" + port})
	require.Equal(t, "job_name: hune", firstLine(s.ConfigText(), "job_name"))

	for text, want := range map[string][]string{
		"scrape_configs: [{job_name: other}]":                       {"other", "hune"},
		"scrape_configs: [{job_name: hune, metrics_path: /x}]":      {"hune"},
		"{scrape_self: false, scrape_configs: [{job_name: other}]}": {"other"},
		"{scrape_self: false}":                                      nil,
		"{global: {scrape_interval: 5s}}":                           {"hune"},
	} {
		c := parse(t, text)
		cfg, err := c.load(":4320", s.logger)
		require.NoError(t, err)
		var names []string
		for _, j := range cfg.ScrapeConfigs {
			names = append(names, j.JobName)
		}
		require.Equal(t, want, names, text)
	}
}

func firstLine(text, key string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if strings.Contains(line, key) {
			return strings.TrimLeft(line, " -")
		}
	}
	return ""
}

func TestReachable(t *testing.T) {
	for in, want := range map[string]string{
		":80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "[::1]:80", "10.0.0.1:80": "10.0.0.1:80", "host:80": "host:80", "odd": "odd",
	} {
		require.Equal(t, want, reachable(in))
	}
}

func TestReload(t *testing.T) {
	var hits [2]atomic.Int64
	var targets [2]string
	for i := range targets {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			hits[i].Add(1)
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprintf(w, "target_%d 1\n", i)
		}))
		defer srv.Close()
		targets[i] = strings.TrimPrefix(srv.URL, "http://")
	}
	out := &sink{got: make(chan pushed)}
	s := run(t, Options{Config: parse(t, "scrape_configs:\n"+job("a", targets[0])), Pusher: out})
	p := out.await(t, func(p pushed) bool { return p.has("target_0") })
	require.Equal(t, tenant.Anonymous, p.tenant)

	require.Error(t, s.Reload(parse(t, "scrape_configs: [{jobname: x}]")))
	require.Equal(t, []string{"a"}, s.ScrapePools(), "a bad configuration changes nothing")
	out.await(t, func(p pushed) bool { return p.has("target_0") })

	done := make(chan error, 1)
	go func() { done <- s.Reload(parse(t, "scrape_configs:\n"+job("b", targets[1]))) }()
	out.await(t, func(p pushed) bool { return p.has("target_1") })
	require.NoError(t, <-done)
	require.Equal(t, []string{"b"}, s.ScrapePools())
}

func TestFileDiscoveryAndConfigFiles(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintln(w, "found 1")
	}))
	defer srv.Close()
	dir := t.TempDir()
	sd, jobs := filepath.Join(dir, "targets.json"), filepath.Join(dir, "jobs.yaml")
	require.NoError(t, os.WriteFile(sd, fmt.Appendf(nil, `[{"targets":[%q],"labels":{"team":"x"}}]`, strings.TrimPrefix(srv.URL, "http://")), 0o600))
	require.NoError(t, os.WriteFile(jobs, fmt.Appendf(nil, "scrape_configs:\n  - {job_name: files, scrape_interval: 200ms, scrape_timeout: 150ms, file_sd_configs: [{files: [%q]}]}\n", sd), 0o600))
	out := &sink{got: make(chan pushed)}
	run(t, Options{Config: parse(t, fmt.Sprintf("scrape_config_files: [%q]", jobs)), Pusher: out})
	p := out.await(t, func(p pushed) bool { return p.has("found") })
	require.Equal(t, "x", p.series["found"].Labels.Get("team"))
}

func TestBadConfigurations(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":       {"global:\n  scrape_interval: 5s\nscrape_configs:\n  - job_name: x\n    metric_path: /x\n", "scrape_configs: line 5: unknown key metric_path"},
		"unknown global":    {"global:\n  interval: 5s\n", "scrape_configs: line 2: unknown key interval"},
		"unknown discovery": {"scrape_configs:\n  - job_name: x\n    yellowpages_sd_configs: []\n", "line 3: unknown key yellowpages_sd_configs: this program discovers by static, consul, dns, docker"},
		"no name":           {"scrape_configs: [{metrics_path: /x}]", "job_name is empty"},
		"twice":             {"scrape_configs: [{job_name: x}, {job_name: x}]", `found multiple scrape configs with job name "x"`},
		"timeout":           {"scrape_configs: [{job_name: x, scrape_interval: 5s, scrape_timeout: 10s}]", "scrape timeout greater than scrape interval"},
		"duration":          {"scrape_configs: [{job_name: x, scrape_interval: often}]", "not a valid duration string"},
		"not a list":        {"scrape_configs: {job_name: x}", "line 1: want a list"},
	} {
		t.Run(name, func(t *testing.T) {
			err := parse(t, c.text).Validate()
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
			_, err = New(Options{Config: parse(t, c.text), Pusher: &sink{}})
			require.Error(t, err)
		})
	}
	require.NoError(t, DefaultConfig().Validate())
}

func TestConfigSurvivesYAML(t *testing.T) {
	for _, text := range []string{"{}", "{scrape_self: false, scrape_configs: [{job_name: x}], global: {scrape_interval: 7s}}"} {
		c := parse(t, text)
		out, err := yaml.Marshal(c)
		require.NoError(t, err)
		back := parse(t, string(out))
		require.Equal(t, c.ScrapeSelf, back.ScrapeSelf)
		a, err := c.load("", nil)
		require.NoError(t, err)
		b, err := back.load("", nil)
		require.NoError(t, err)
		require.Equal(t, a.String(), b.String())
	}
}

func TestTwoInOneProcess(t *testing.T) {
	reg := prometheus.NewRegistry()
	for range 2 { // one after the other on one registry, two at once on two
		s, err := New(Options{Config: DefaultConfig(), Pusher: &sink{}, Registerer: reg})
		require.NoError(t, err)
		other := run(t, Options{Config: DefaultConfig(), Pusher: &sink{}, Registerer: prometheus.NewRegistry()})
		require.NoError(t, services.StartAndAwaitRunning(t.Context(), s))
		require.NoError(t, services.StopAndAwaitTerminated(t.Context(), s))
		require.Equal(t, services.Running, other.State())
	}
}
