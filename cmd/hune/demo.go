package main

import (
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/hune-io/hune/internal/demo"
	"github.com/hune-io/hune/internal/tenant"
)

func newDemo() *cobra.Command {
	opts := demo.Options{Headers: map[string]string{}}
	var duration, id string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Send telemetry of an invented shop to an OTLP endpoint",
		Long: "Sends correlated metrics, logs and traces of an invented shop to any OTLP endpoint: gRPC (host:port) or\n" +
			"HTTP (a URL). The same seed gives the same shop.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if duration != "" {
				d, err := model.ParseDuration(duration)
				if err != nil {
					return err
				}
				opts.Duration = time.Duration(d)
			}
			opts.Tenant = id
			opts.Out = cmd.OutOrStdout()
			return demo.Run(cmd.Context(), opts)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&opts.Endpoint, "endpoint", "127.0.0.1:4317", "OTLP `endpoint`: host:port for gRPC, a URL for HTTP")
	fs.Float64Var(&opts.Rate, "rate", 5, "traces per second")
	fs.StringVar(&duration, "duration", "", "how long to send, a `duration` such as 10m; empty: until stopped")
	fs.Uint64Var(&opts.Seed, "seed", 1, "what the shop is made from")
	fs.BoolVar(&opts.Insecure, "insecure", true, "gRPC without TLS, HTTPS without checking the certificate")
	fs.StringToStringVar(&opts.Headers, "header", nil, "headers to send, `name=value`")
	fs.StringVar(&id, "tenant", "", "value of the "+tenant.Header+" `header`")
	return cmd
}
