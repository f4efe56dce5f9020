package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hune-io/hune/internal/app"
	"github.com/hune-io/hune/internal/config"
)

type serveFlags struct {
	configFile, data, roles, http, otlpGRPC, otlpHTTP string
}

func newServe() *cobra.Command {
	var f serveFlags
	def := config.Default()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.load(cmd.Flags())
			if err != nil {
				return err
			}
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			return serve(cmd.Context(), cfg, app.Options{Log: os.Stderr, ConfigFile: f.file(), Reload: hangup,
				Load: func() (config.Config, error) { return f.load(cmd.Flags()) }})
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.configFile, "config", "", "configuration `file` (YAML)")
	fs.StringVar(&f.data, "data", def.Data, "`folder` for everything that is kept on this machine")
	fs.StringVar(&f.roles, "role", strings.Join(def.Roles, ","), "roles to run, a comma-separated `list`; the roles that these need run too")
	fs.StringVar(&f.http, "http", def.HTTP.Listen, "`address` of all HTTP APIs and the UI")
	fs.StringVar(&f.otlpGRPC, "otlp-grpc", def.OTLP.GRPCListen, "`address` of the OTLP gRPC receiver; empty for none")
	fs.StringVar(&f.otlpHTTP, "otlp-http", def.OTLP.HTTPListen, "`address` of the OTLP HTTP receiver; empty for none")
	return cmd
}

// load reads the configuration; flags that were given win over environment and file.
func (f *serveFlags) load(fs *pflag.FlagSet) (config.Config, error) {
	cfg, err := config.Load(f.file(), os.Environ())
	if err != nil {
		return cfg, err
	}
	for name, set := range map[string]func(){
		"data":      func() { cfg.Data = f.data },
		"role":      func() { cfg.Roles = strings.Split(f.roles, ",") },
		"http":      func() { cfg.HTTP.Listen = f.http },
		"otlp-grpc": func() { cfg.OTLP.GRPCListen = f.otlpGRPC },
		"otlp-http": func() { cfg.OTLP.HTTPListen = f.otlpHTTP },
	} {
		if fs.Changed(name) {
			set()
		}
	}
	return cfg, cfg.Validate()
}

func (f *serveFlags) file() string {
	if f.configFile != "" {
		return f.configFile
	}
	return os.Getenv(config.EnvPrefix + "CONFIG")
}

func serve(ctx context.Context, cfg config.Config, opts app.Options) error {
	a, err := app.New(ctx, cfg, opts)
	if err != nil {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return nil // stopped while it was starting
		}
		return err
	}
	return a.Run(ctx)
}
