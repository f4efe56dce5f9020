package collector

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// defaultConfig writes the configuration that runs when the user brings none, or "" if there is
// nothing to run. No step of it is asynchronous, so that a client's success means that the data is
// in the write-ahead log. docs/collector.md shows it and says why it is so.
//
// The limits of body sizes are larger than the collector's for gRPC (4 MiB), because batches of 8192
// spans with long attributes are larger; hune_guard makes that safe.
func defaultConfig(o *Options) string {
	var receivers, extensions, limiters, pipelines strings.Builder
	if o.OTLPGRPC != "" || o.OTLPHTTP != "" {
		extensions.WriteString("extensions:\n  hune_guard: {}\n")
		receivers.WriteString("  otlp:\n    protocols:\n")
		if o.OTLPGRPC != "" {
			fmt.Fprintf(&receivers, `      grpc:
        endpoint: %q
        include_metadata: true
        max_recv_msg_size_mib: 16
        middlewares: [{id: hune_guard}]
`, o.OTLPGRPC)
		}
		if o.OTLPHTTP != "" {
			fmt.Fprintf(&receivers, `      http:
        endpoint: %q
        include_metadata: true
        max_request_body_size: 33554432
        middlewares: [{id: hune_guard}]
`, o.OTLPHTTP)
		}
		for _, signal := range []string{"metrics", "logs", "traces"} {
			fmt.Fprintf(&limiters, limiter, signal)
			fmt.Fprintf(&pipelines, "    %[1]s: {receivers: [otlp], processors: [memory_limiter/%[1]s], exporters: [hune]}\n", signal)
		}
	}
	if o.Config.HostMetrics {
		fmt.Fprintf(&receivers, `  host_metrics:
    collection_interval: %s
    scrapers:
      cpu: {}
      memory: {}
      load: {}
      disk: {}
      filesystem:
        # Those of containers and of the kernel come and go, and say nothing about the machine.
        exclude_fs_types: {match_type: strict, fs_types: [autofs, binfmt_misc, bpf, cgroup2, configfs, debugfs, devpts, devtmpfs,
          fusectl, hugetlbfs, mqueue, nsfs, overlay, proc, pstore, rpc_pipefs, securityfs, squashfs, sysfs, tmpfs, tracefs]}
      network: {}
      paging: {}
`, time.Duration(o.Config.HostMetricsInterval))
		fmt.Fprintf(&limiters, limiter, "host")
		pipelines.WriteString("    metrics/host: {receivers: [host_metrics], processors: [memory_limiter/host, resource/host], exporters: [hune/host]}\n")
	}
	if pipelines.Len() == 0 {
		return ""
	}
	list := "[]"
	if extensions.Len() > 0 {
		list = "[hune_guard]"
	}
	return extensions.String() + "receivers:\n" + receivers.String() + "processors:\n" + limiters.String() + fmt.Sprintf(`  resource/host:
    attributes:
      - {key: service.name, value: host, action: insert}
      - {key: service.instance.id, value: %[1]q, action: insert}
      - {key: host.name, value: %[1]q, action: insert}
exporters:
  hune: {}
  hune/host: {tenant: %[2]q}
service:
  extensions: %[3]s
  pipelines:
%[4]s`, hostName(), o.Tenant, list, pipelines.String())
}

// limiter is one for each pipeline: a memory limiter that pipelines share is started once for each of
// them, and its second start races with the checks of the first.
const limiter = "  memory_limiter/%s: {check_interval: 1s, limit_percentage: 80, spike_limit_percentage: 10}\n"

func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	// What stands in a configuration is expanded: a host name must not be able to say ${env:…}.
	return strings.ReplaceAll(name, "$", "_")
}
