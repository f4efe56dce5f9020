// Command hune is the whole of Hune: the server with all its roles, and the tools that speak to it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/common/version"
	"github.com/spf13/cobra"

	"github.com/hune-io/hune/internal/telemetry"
)

func main() {
	nameLibraries()
	// A second signal kills: the first one has started an orderly stop.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "hune:", err)
		os.Exit(1)
	}
}

// nameLibraries gives libraries that answer with a version of their own, as Alertmanager's /api/v2/status does, this program's.
func nameLibraries() {
	b := telemetry.Build()
	version.Version, version.Revision, version.BuildDate = b.Version, b.Revision, b.Time
}

func newCommand() *cobra.Command {
	serve := newServe()
	root := &cobra.Command{
		Use:   "hune",
		Short: "Metrics, logs and traces in one program",
		Long: "Hune keeps metrics, logs and traces, and answers for them as Prometheus, Loki and Tempo do.\n" +
			"Without a command it does what 'hune serve' does.",
		Args:          cobra.NoArgs,
		RunE:          serve.RunE,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.Flags().AddFlagSet(serve.Flags())
	root.AddCommand(serve, newCheck(), newVersion(), newQuery(), newBlock(), newBucket(), newMetrics(), newDemo(), newTest())
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}
