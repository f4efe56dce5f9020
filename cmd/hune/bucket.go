package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/config"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
)

// bucketFlags say which bucket a command works on.
type bucketFlags struct {
	configFile, data, tenant string
	cfg                      config.Config // once the bucket is open
}

func (f *bucketFlags) add(cmd *cobra.Command) {
	fs := cmd.PersistentFlags()
	fs.StringVar(&f.configFile, "config", "", "configuration `file` (YAML) that names the bucket")
	fs.StringVar(&f.data, "data", config.Default().Data, "data `folder`, where the bucket is a folder in it")
	fs.StringVar(&f.tenant, "tenant", "", "`tenant`; empty for all, or where one is needed, anonymous")
}

// open opens the bucket that the server of the same configuration has.
func (f *bucketFlags) open(cmd *cobra.Command) (objstore.Bucket, error) {
	file := f.configFile
	if file == "" {
		file = os.Getenv(config.EnvPrefix + "CONFIG")
	}
	cfg, err := config.Load(file, os.Environ())
	if err != nil {
		return nil, err
	}
	if cmd.Flags().Changed("data") {
		cfg.Data = f.data
	}
	if f.tenant != "" {
		if err := tenant.Validate(f.tenant); err != nil {
			return nil, err
		}
	}
	f.cfg = cfg
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return nil, err
	}
	b, err := bucket.Open(cfg.Storage, data, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return nil, fmt.Errorf("open the bucket: %w", err)
	}
	return b, nil
}

// with makes what a command does with the bucket.
func (f *bucketFlags) with(do func(cmd *cobra.Command, args []string, b objstore.Bucket) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		b, err := f.open(cmd)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		return do(cmd, args, b)
	}
}

func (f *bucketFlags) one() string {
	if f.tenant == "" {
		return tenant.Anonymous
	}
	return f.tenant
}

// tenants are those that a command is about.
func (f *bucketFlags) tenants(ctx context.Context, b objstore.Bucket) ([]string, error) {
	if f.tenant != "" {
		return []string{f.tenant}, nil
	}
	return block.Tenants(ctx, b)
}

func newBucket() *cobra.Command {
	var f bucketFlags
	cmd := &cobra.Command{Use: "bucket", Short: "Look at the blocks in the bucket",
		Long: "Look at the blocks in the bucket, check them, mark them, or write them anew. The bucket is that of the configuration."}
	f.add(cmd)
	cmd.AddCommand(newBucketLs(&f), newBucketInspect(&f), newBucketVerify(&f), newBucketRewrite(&f), newBucketMark(&f))
	return cmd
}

func newBucketLs(f *bucketFlags) *cobra.Command {
	of := ""
	cmd := &cobra.Command{Use: "ls", Short: "List blocks", Args: cobra.NoArgs,
		RunE: f.with(func(cmd *cobra.Command, _ []string, b objstore.Bucket) error {
			if of != "" && !slices.Contains(signal.All, signal.Signal(of)) {
				return fmt.Errorf("unknown signal %q: the signals are metrics, logs and traces", of)
			}
			tenants, err := f.tenants(cmd.Context(), b)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "TENANT\tSIGNAL\tBLOCK\tFROM\tRANGE\tRESOLUTION\tLEVEL\tROWS\tBYTES\tSTATE")
			for _, id := range tenants {
				for _, s := range signal.All {
					if of != "" && of != string(s) {
						continue
					}
					if err := listBlocks(cmd.Context(), w, b, id, s); err != nil {
						return err
					}
				}
			}
			return w.Flush()
		})}
	cmd.Flags().StringVar(&of, "signal", "", "metrics, logs or traces; empty for all")
	return cmd
}

func listBlocks(ctx context.Context, w io.Writer, b objstore.Bucket, tenant string, s signal.Signal) error {
	if s == signal.Metrics {
		return listMetrics(ctx, w, b, tenant)
	}
	use, aside, err := block.Catalog(ctx, b, tenant, s)
	if err != nil {
		return fmt.Errorf("list %s blocks of tenant %s: %w", s, tenant, err)
	}
	for _, id := range append(slices.Clone(use), aside...) {
		state := "current"
		if slices.Contains(aside, id) {
			state = "set aside"
		}
		m, err := block.ReadMeta(ctx, b, tenant, s, id)
		if err != nil {
			fmt.Fprintf(w, "%s\t%s\t%s\t\t\t\t\t\t\t%s\n", tenant, s, id, oneLine(err))
			continue
		}
		from, to := time.Unix(0, m.MinTime).UTC(), time.Unix(0, m.MaxTime).UTC()
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t\t%d\t%d\t%s\t%s\n", tenant, s, id, from.Format(time.RFC3339), to.Sub(from).Round(time.Second), m.Level, m.Rows,
			humanize.IBytes(uint64(max(m.StoredBytes, 0))), state)
	}
	return nil
}

func listMetrics(ctx context.Context, w io.Writer, b objstore.Bucket, tenant string) error {
	list, err := metrics.ListBucket(ctx, b, tenant)
	if err != nil {
		return err
	}
	for i := range list {
		m := &list[i]
		if m.Meta == nil {
			fmt.Fprintf(w, "%s\tmetrics\t%s\t\t\t\t\t\t\t%s\n", tenant, m.ID, stateOf(m))
			continue
		}
		from, to := time.UnixMilli(m.Meta.MinTime).UTC(), time.UnixMilli(m.Meta.MaxTime).UTC()
		resolution := "raw"
		if r := m.Meta.Thanos.Downsample.Resolution; r > 0 {
			resolution = (time.Duration(r) * time.Millisecond).String()
		}
		fmt.Fprintf(w, "%s\tmetrics\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", tenant, m.ID, from.Format(time.RFC3339), to.Sub(from).Round(time.Second), resolution,
			m.Meta.Compaction.Level, m.Meta.Stats.NumSamples, humanize.IBytes(uint64(max(m.Bytes(), 0))), stateOf(m))
	}
	return nil
}

var markWords = map[string]string{
	metrics.MarkDeletion: "deleted after a delay", metrics.MarkNoCompact: "not to be compacted", metrics.MarkNoDownsample: "not to be downsampled",
}

// stateOf says what becomes of a block of metrics.
func stateOf(b *metrics.BucketBlock) string {
	var words []string
	if b.Fault != "" {
		words = append(words, b.Fault)
	}
	if b.ReplacedBy != (ulid.ULID{}) {
		words = append(words, "replaced by "+b.ReplacedBy.String())
	}
	for _, m := range b.Marks {
		word := markWords[m.Mark] + ", marked " + m.At.UTC().Format(time.RFC3339)
		if m.Details != "" {
			word += " (" + strings.ReplaceAll(m.Details, "\n", "; ") + ")"
		}
		words = append(words, word)
	}
	if len(words) == 0 {
		return "current"
	}
	return strings.Join(words, ", ")
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
