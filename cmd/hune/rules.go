package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/grafana/regexp"
	"github.com/spf13/cobra"

	"github.com/hune-io/hune/internal/ruler"
	"github.com/hune-io/hune/internal/ruler/unittest"
	"github.com/hune-io/hune/internal/rules"
)

func newCheckRules() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "rules FILES",
		Short: "Check rule files: PromQL, LogQL and TraceQL",
		Long: "Check rule files. Faults are told with line and column. What is valid but doubtful is a warning: rules that are\n" +
			"there twice, alerts without severity, templates that name labels which the expression drops, expensive queries.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			faults, doubts := 0, 0
			for _, name := range args {
				content, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				f, errs := rules.DecodeFile(content, ruler.Check)
				for _, err := range errs {
					fmt.Fprintf(out, "%s:%v\n", name, err)
				}
				faults += len(errs)
				if len(errs) > 0 {
					continue
				}
				for _, text := range ruler.Lint(f) {
					fmt.Fprintf(out, "%s: warning: %s\n", name, text)
					doubts++
				}
				n := 0
				for _, g := range f.Groups {
					n += len(g.Rules)
				}
				fmt.Fprintf(out, "%s: %d rules in %d groups are valid\n", name, n, len(f.Groups))
			}
			switch {
			case faults > 0:
				return fmt.Errorf("%d faults in the rules", faults)
			case strict && doubts > 0:
				return fmt.Errorf("%d warnings about the rules", doubts)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings are faults")
	return cmd
}

func newTest() *cobra.Command {
	test := &cobra.Command{Use: "test", Short: "Test what is written for Hune"}
	var run []string
	cmd := &cobra.Command{
		Use:   "rules FILES",
		Short: "Run unit tests of rules",
		Long: "Run unit tests of rules, in the format of 'promtool test rules', with input_logs and logql_expr_test for rules about logs.\n" +
			"See docs/alerting.md.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			only, err := anyOf(run)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			failed := 0
			for _, name := range args {
				f, err := unittest.Read(name)
				if err != nil {
					return err
				}
				results, err := f.Run(only)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				for _, r := range results {
					if len(r.Faults) == 0 {
						fmt.Fprintf(out, "%s: %s: passed\n", name, r.Test)
						continue
					}
					failed++
					fmt.Fprintf(out, "%s: %s: FAILED\n", name, r.Test)
					for _, err := range r.Faults {
						fmt.Fprintf(out, "  %v\n", err)
					}
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d tests of rules failed", failed)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&run, "run", nil, "run only tests whose name matches this `regexp`; several are joined by or")
	test.AddCommand(cmd)
	return test
}

// anyOf compiles expressions of which one must match; none at all stand for everything.
func anyOf(texts []string) (*regexp.Regexp, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	text := ""
	for i, t := range slices.Compact(texts) {
		if i > 0 {
			text += "|"
		}
		text += "(?:" + t + ")"
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, errors.Join(errors.New("--run"), err)
	}
	return re, nil
}
