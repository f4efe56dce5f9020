package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/hune-io/hune/internal/config"
	"github.com/hune-io/hune/internal/telemetry"
)

func newCheck() *cobra.Command {
	check := &cobra.Command{Use: "check", Short: "Check files before they are used"}
	check.AddCommand(&cobra.Command{
		Use:   "config FILE",
		Short: "Check a configuration file",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(args[0], os.Environ())
			if err != nil {
				return err
			}
			for _, text := range cfg.Warnings() {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", text)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is valid\n", args[0])
			return err
		},
	})
	check.AddCommand(newCheckRules())
	return check
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), telemetry.Build())
			return err
		},
	}
}
