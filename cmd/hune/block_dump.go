package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/spf13/cobra"

	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/traces"
)

var errEnough = errors.New("enough")

func newBlockDump() *cobra.Command {
	var limit, from int
	cmd := &cobra.Command{Use: "dump FILE", Short: "Print the rows of a block", Args: cobra.ExactArgs(1),
		Long: "Print the rows of a block of logs, page by page: time, labels, structured metadata, and the line in quotes;\n" +
			"of a block of traces, row group by row group, a line for each span: trace, span and parent ID, start, duration, service, name.",
		RunE: withBlock(func(cmd *cobra.Command, f *blockFile) (err error) {
			w := bufio.NewWriter(cmd.OutOrStdout())
			defer func() { err = errors.Join(err, w.Flush()) }()
			if traces.IsBlock(f.Reader) {
				return dumpTraces(cmd.Context(), w, f, from, limit)
			}
			b, err := f.logs(cmd.Context())
			if err != nil {
				return err
			}
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
	cmd.Flags().IntVar(&from, "from-page", 0, "the first `page`, or row group, to print")
	return cmd
}

// dumpTraces prints the spans of a block of traces.
func dumpTraces(ctx context.Context, w io.Writer, f *blockFile, from, limit int) error {
	b, err := traces.OpenBlock(ctx, f.Reader)
	if err != nil {
		return err
	}
	n := 0
	err = b.Dump(ctx, from, func(t *traces.Trace) error {
		for _, s := range t.Spans {
			if n++; limit > 0 && n > limit {
				return errEnough
			}
			_, err := fmt.Fprintf(w, "%s %s %s %s %s %q %q\n", t.ID, s.ID, s.ParentID, nanoTime(int64(s.Start)), time.Duration(s.End-s.Start), s.Resource.ServiceName, s.Name)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
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
