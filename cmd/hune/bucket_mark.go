package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/metrics"
)

func newBucketMark(f *bucketFlags) *cobra.Command {
	var as, details string
	var remove bool
	cmd := &cobra.Command{Use: "mark BLOCK...", Short: "Mark blocks of metrics, or take marks away", Args: cobra.MinimumNArgs(1),
		Long: "Mark blocks of metrics as Thanos does, or take marks away with --remove:\n" +
			"  deletion        the compactor deletes it after compactor.metrics_delete_delay\n" +
			"  no-compact      the compactor merges it with no other; it marks damaged blocks so, too\n" +
			"  no-downsample   the compactor makes no downsampled block of it",
		RunE: f.with(func(cmd *cobra.Command, args []string, b objstore.Bucket) error {
			for _, a := range args {
				id, err := parseBlock(a)
				if err != nil {
					return err
				}
				word := "is marked"
				if remove {
					word = "is no longer marked"
					err = metrics.UnmarkBlock(cmd.Context(), b, f.one(), id, as)
				} else {
					err = metrics.MarkBlock(cmd.Context(), b, f.one(), id, metrics.BlockMark{Mark: as, Details: details, At: time.Now()})
				}
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "block %s %s: %s\n", id, word, as)
			}
			return nil
		})}
	fs := cmd.Flags()
	fs.StringVar(&as, "as", "", "the `mark`: deletion, no-compact or no-downsample")
	fs.StringVar(&details, "details", "", "why, for people")
	fs.BoolVar(&remove, "remove", false, "take the mark away")
	if err := cmd.MarkFlagRequired("as"); err != nil {
		panic("hune: bucket mark has no flag --as: " + err.Error())
	}
	return cmd
}
