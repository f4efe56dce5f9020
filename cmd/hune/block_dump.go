package main

import (
	"bufio"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/spf13/cobra"

	"github.com/hune-io/hune/internal/logs"
)

var errEnough = errors.New("enough")

func newBlockDump() *cobra.Command {
	var limit, from int
	cmd := &cobra.Command{Use: "dump FILE", Short: "Print the rows of a block of logs", Args: cobra.ExactArgs(1),
		Long: "Print the rows of a block of logs, page by page: time, labels, structured metadata, and the line in quotes.",
		RunE: withBlock(func(cmd *cobra.Command, f *blockFile) (err error) {
			b, err := f.logs(cmd.Context())
			if err != nil {
				return err
			}
			w := bufio.NewWriter(cmd.OutOrStdout())
			defer func() { err = errors.Join(err, w.Flush()) }()
			n := 0
			err = b.Dump(cmd.Context(), from, func(stream labels.Labels, ts int64, line []byte, md []logs.Label) error {
				if n++; limit > 0 && n > limit {
					return errEnough
				}
				_, err := fmt.Fprintf(w, "%s %s {%s} %q\n", nanoTime(ts), stream, metadataText(md), line)
				return err
			})
			if errors.Is(err, errEnough) {
				return nil
			}
			return err
		})}
	cmd.Flags().IntVar(&limit, "limit", 0, "most `rows` to print; 0: all")
	cmd.Flags().IntVar(&from, "from-page", 0, "the first `page` to print")
	return cmd
}

func metadataText(md []logs.Label) string {
	var out []byte
	for i, l := range md {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = fmt.Appendf(out, "%s=%q", l.Name, l.Value)
	}
	return string(out)
}
