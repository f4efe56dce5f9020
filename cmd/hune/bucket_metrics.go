package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/spf13/cobra"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/metrics"
)

func newBucketInspect(f *bucketFlags) *cobra.Command {
	return &cobra.Command{Use: "inspect BLOCK", Short: "Show all that the bucket says of a block of metrics", Args: cobra.ExactArgs(1),
		RunE: f.with(func(cmd *cobra.Command, args []string, b objstore.Bucket) error {
			id, err := parseBlock(args[0])
			if err != nil {
				return err
			}
			list, err := metrics.ListBucket(cmd.Context(), b, f.one())
			if err != nil {
				return err
			}
			i := slices.IndexFunc(list, func(m metrics.BucketBlock) bool { return m.ID == id })
			if i < 0 {
				return fmt.Errorf("tenant %s has no block of metrics %s", f.one(), id)
			}
			m := &list[i]
			fmt.Fprintf(cmd.OutOrStdout(), "block %s of tenant %s: %s\n", id, f.one(), stateOf(m))
			if m.Meta == nil {
				return nil
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(m.Meta)
		})}
}

func parseBlock(text string) (ulid.ULID, error) {
	id, err := ulid.ParseStrict(text)
	if err != nil {
		return id, fmt.Errorf("%q is not the name of a block", text)
	}
	return id, nil
}

// errBadBlocks is the end of a verification that found something.
var errBadBlocks = errors.New("there are blocks that are not as they should be")

func newBucketVerify(f *bucketFlags) *cobra.Command {
	return &cobra.Command{Use: "verify [BLOCK...]", Short: "Download blocks of metrics and read all of each",
		Long: "Download blocks of metrics, one at a time, compare their files with meta.json and read all series and chunks. Without BLOCK, all of them.",
		RunE: f.with(func(cmd *cobra.Command, args []string, b objstore.Bucket) error {
			tenants, err := f.tenants(cmd.Context(), b)
			if err != nil {
				return err
			}
			var only []ulid.ULID
			for _, a := range args {
				id, err := parseBlock(a)
				if err != nil {
					return err
				}
				only = append(only, id)
			}
			seen, bad := 0, 0
			for _, tenant := range tenants {
				list, err := metrics.ListBucket(cmd.Context(), b, tenant)
				if err != nil {
					return err
				}
				for i := range list {
					m := &list[i]
					if len(only) > 0 && !slices.Contains(only, m.ID) {
						continue
					}
					seen++
					verdict := "whole"
					if m.Meta == nil {
						verdict = m.Fault
					} else if err := metrics.VerifyBlock(cmd.Context(), b, tenant, m.ID, os.TempDir()); err != nil {
						verdict = oneLine(err)
					}
					if verdict != "whole" {
						bad++
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s/%s: %s\n", tenant, m.ID, verdict)
				}
			}
			if seen < len(only) {
				return fmt.Errorf("%d of the blocks are not in the bucket", len(only)-seen)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d blocks, %d bad\n", seen, bad)
			if bad > 0 {
				return errBadBlocks
			}
			return nil
		})}
}

func newBucketRewrite(f *bucketFlags) *cobra.Command {
	var selectors []string
	var from, to string
	cmd := &cobra.Command{Use: "rewrite BLOCK", Short: "Write a block of metrics anew, without series that match", Args: cobra.ExactArgs(1),
		Long: "Write a block of metrics anew, without the samples of the series that match. The old block is marked and deleted by the compactor after its delay.\n" +
			"Stop the compactor before.",
		RunE: f.with(func(cmd *cobra.Command, args []string, b objstore.Bucket) error {
			id, err := parseBlock(args[0])
			if err != nil {
				return err
			}
			gone, err := deletions(selectors, from, to)
			if err != nil {
				return err
			}
			dir, err := os.MkdirTemp("", "hune-rewrite-")
			if err != nil {
				return err
			}
			defer func() { _ = os.RemoveAll(dir) }()
			c := metrics.NewCompactor(metrics.CompactorOptions{Dir: dir, Bucket: b, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
				Now: time.Now, Keep: func(string, int64) time.Duration { return 0 }})
			made, err := c.Rewrite(cmd.Context(), f.one(), id, gone)
			switch {
			case err != nil:
				return err
			case made == (ulid.ULID{}):
				fmt.Fprintf(cmd.OutOrStdout(), "nothing of block %s is left\n", id)
			default:
				fmt.Fprintf(cmd.OutOrStdout(), "block %s was written anew as %s\n", id, made)
			}
			return nil
		})}
	fs := cmd.Flags()
	fs.StringArrayVar(&selectors, "delete", nil, "series `selector`, such as '{job=\"x\"}', of what to leave out; several are allowed")
	fs.StringVar(&from, "from", "", "first `time` to leave out (RFC 3339); empty for the beginning")
	fs.StringVar(&to, "to", "", "last `time` to leave out (RFC 3339); empty for the end")
	return cmd
}

// deletions makes of the flags of rewrite what is to be left out.
func deletions(selectors []string, from, to string) (*metrics.Deletions, error) {
	start, end := int64(metrics.MinTime), int64(metrics.MaxTime)
	for text, at := range map[*string]*int64{&from: &start, &to: &end} {
		if *text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, *text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a time in RFC 3339, such as 2026-03-01T11:00:00Z", *text)
		}
		*at = t.UnixMilli()
	}
	var list []metrics.Deletion
	for i, s := range selectors {
		ms, err := metrics.ParseSelector(s)
		if err != nil {
			return nil, fmt.Errorf("selector %q: %w", s, err)
		}
		list = append(list, metrics.Deletion{ID: fmt.Sprintf("rewrite-%d-%s-%d-%d", i, s, start, end), Matchers: ms, Start: start, End: end})
	}
	return metrics.NewDeletions(list), nil
}

func newMetrics() *cobra.Command {
	var f bucketFlags
	cmd := &cobra.Command{Use: "metrics", Short: "Work with metrics"}
	f.add(cmd)
	var external map[string]string
	imp := &cobra.Command{Use: "import PATH...", Short: "Bring old metrics into the bucket",
		Long: "Bring old metrics into the bucket: PATH is a TSDB block, a folder with blocks (the data folder of a Prometheus), or a file in the OpenMetrics\n" +
			"text format whose samples have timestamps. The server may run meanwhile; it finds the blocks at its next look.",
		Args: cobra.MinimumNArgs(1),
		RunE: f.with(func(cmd *cobra.Command, args []string, b objstore.Bucket) error {
			dir, err := os.MkdirTemp("", "hune-import-")
			if err != nil {
				return err
			}
			defer func() { _ = os.RemoveAll(dir) }()
			opts := metrics.ImportOptions{Bucket: b, Tenant: f.one(), Labels: f.cfg.Metrics.BlockLabels("", ""), Dir: dir, Now: time.Now, Done: func(m tsdb.BlockMeta) {
				fmt.Fprintf(cmd.OutOrStdout(), "block %s: %s to %s, %d series, %d samples\n", m.ULID, time.UnixMilli(m.MinTime).UTC().Format(time.RFC3339),
					time.UnixMilli(m.MaxTime).UTC().Format(time.RFC3339), m.Stats.NumSeries, m.Stats.NumSamples)
			}}
			for name, value := range external {
				opts.Labels[name] = value
			}
			for _, path := range args {
				info, err := os.Stat(path)
				if err != nil {
					return err
				}
				if info.IsDir() {
					err = metrics.ImportBlocks(cmd.Context(), opts, path)
				} else {
					err = metrics.ImportOpenMetrics(cmd.Context(), opts, path)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})}
	imp.Flags().StringToStringVar(&external, "label", nil, "external label `name=value` of the blocks, beside those of metrics.external_labels")
	cmd.AddCommand(imp)
	return cmd
}
