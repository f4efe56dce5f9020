package scraper

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
)

// exposition serves a text as the metrics of a target and returns its address.
func exposition(t *testing.T, contentType, text string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func jobWith(addr, options string) string {
	return fmt.Sprintf("scrape_configs:\n  - {job_name: a, scrape_interval: 200ms, scrape_timeout: 150ms, static_configs: [{targets: [%q]}], %s}\n", addr, options)
}

// What breaks a limit makes the whole scrape fail, as in Prometheus: up is 0 and nothing else is stored of it.
func TestScrapeLimits(t *testing.T) {
	const text = "a{x=\"long value\",y=\"1\"} 1\nb 2\nc 3\n"
	for _, c := range []struct {
		options string
		up      float64
	}{
		{"sample_limit: 3", 1}, {"sample_limit: 2", 0},
		{"label_limit: 5", 1}, {"label_limit: 2", 0}, // with instance and job
		{"label_name_length_limit: 8", 1}, {"label_name_length_limit: 7", 0}, // instance
		{"label_value_length_limit: 30", 1}, {"label_value_length_limit: 5", 0},
		{"body_size_limit: 1KB", 1}, {"body_size_limit: 10B", 0},
		{"target_limit: 1", 1},
		{"metric_name_validation_scheme: legacy, metric_name_escaping_scheme: underscores", 1},
	} {
		t.Run(c.options, func(t *testing.T) {
			t.Parallel()
			out := &sink{got: make(chan pushed)}
			run(t, Options{Config: parse(t, jobWith(exposition(t, "text/plain", text), c.options)), Pusher: out})
			p := out.await(t, func(p pushed) bool { return p.has("up") })
			require.Equal(t, c.up, p.series["up"].Samples[0].V)
			require.Equal(t, c.up == 1, p.has("b"))
		})
	}
}

// Names in UTF-8 are stored as they are, and refused where the job says so.
func TestScrapeUTF8Names(t *testing.T) {
	const text = "# TYPE \"http.server.duration\" gauge\n{\"http.server.duration\",\"k8s.pod\"=\"ü\"} 1\n"
	addr := exposition(t, "text/plain; version=1.0.0; escaping=allow-utf-8", text)
	out := &sink{got: make(chan pushed)}
	run(t, Options{Config: parse(t, jobWith(addr, "sample_limit: 100")), Pusher: out})
	p := out.await(t, func(p pushed) bool { return p.has("http.server.duration") })
	require.Equal(t, "ü", p.series["http.server.duration"].Labels.Get("k8s.pod"))

	strict := &sink{got: make(chan pushed)}
	run(t, Options{Config: parse(t, jobWith(addr, "metric_name_validation_scheme: legacy, metric_name_escaping_scheme: underscores")), Pusher: strict})
	p = strict.await(t, func(p pushed) bool { return p.has("up") })
	require.Zero(t, p.series["up"].Samples[0].V)
}

// Native histograms come alone, or with their classic buckets, or not at all.
func TestScrapeHistograms(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latency", Help: "Latency.", Buckets: []float64{1, 2}, NativeHistogramBucketFactor: 1.1})
	h.Observe(1.5)
	reg.MustRegister(h)
	target := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	t.Cleanup(target.Close)
	for _, c := range []struct {
		options         string
		native, classic bool
	}{
		{"scrape_native_histograms: false", false, true},
		{"scrape_native_histograms: true", true, false},
		{"scrape_native_histograms: true, always_scrape_classic_histograms: true", true, true},
		{"scrape_native_histograms: false, convert_classic_histograms_to_nhcb: true", true, false},
	} {
		t.Run(c.options, func(t *testing.T) {
			t.Parallel()
			out := &sink{got: make(chan pushed)}
			run(t, Options{Config: parse(t, jobWith(strings.TrimPrefix(target.URL, "http://"), c.options)), Pusher: out})
			p := out.await(t, func(p pushed) bool { return p.has("latency") || p.has("latency_bucket") })
			require.Equal(t, c.native, len(p.series["latency"].Histograms) == 1)
			require.Equal(t, c.classic, p.has("latency_bucket"))
		})
	}
}
