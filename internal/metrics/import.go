package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/fileutil"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
)

// importSource is what the Thanos section of imported blocks says of their origin.
const importSource = metadata.SourceType("hune-import")

// ImportOptions say where imported metrics go.
type ImportOptions struct {
	Bucket objstore.Bucket // the root of the bucket
	Tenant string
	Labels map[string]string // external, beside tenant and replica
	Dir    string            // for work; the import removes what it puts there
	Now    func() time.Time
	// Done is told of each block when it is in the bucket and verified. Optional.
	Done func(m tsdb.BlockMeta)
}

func (o ImportOptions) section() metadata.Thanos {
	external := maps.Clone(o.Labels)
	if external == nil {
		external = map[string]string{}
	}
	external[labelTenant], external[labelReplica] = o.Tenant, "import"
	return metadata.Thanos{Labels: external, Source: importSource}
}

// upload puts a block in the bucket.
func (o ImportOptions) upload(ctx context.Context, dir string) error {
	meta, err := metadata.ReadFromDir(dir)
	if err != nil {
		return err
	}
	if _, err := uploadBlock(ctx, tenantBucket(o.Bucket, o.Tenant), dir, o.section(), o.Now()); err != nil {
		return fmt.Errorf("upload block %s: %w", meta.ULID, err)
	}
	if o.Done != nil {
		o.Done(meta.BlockMeta)
	}
	return nil
}

// ImportBlocks uploads the TSDB blocks in a folder, or the one that the folder is, without their tombstones'
// samples. It can be repeated: what is in the bucket already is not sent again. A folder without blocks is an
// error.
func ImportBlocks(ctx context.Context, opts ImportOptions, dir string) error {
	dirs := []string{dir}
	if _, err := os.Stat(filepath.Join(dir, metadata.MetaFilename)); err != nil {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		dirs = nil
		for _, e := range entries {
			if _, err := ulid.ParseStrict(e.Name()); err == nil && e.IsDir() {
				dirs = append(dirs, filepath.Join(dir, e.Name()))
			}
		}
	}
	if len(dirs) == 0 {
		return fmt.Errorf("%s is no TSDB block and holds none", dir)
	}
	for _, d := range dirs {
		if err := importBlock(ctx, opts, d); err != nil {
			return fmt.Errorf("import %s: %w", d, err)
		}
	}
	return nil
}

func importBlock(ctx context.Context, opts ImportOptions, dir string) error {
	if err := verifyDir(ctx, dir); err != nil {
		return err
	}
	meta, err := metadata.ReadFromDir(dir)
	if err != nil {
		return err
	}
	if meta.Thanos.Downsample.Resolution != 0 {
		return errors.New("the block is downsampled: only raw data can be imported")
	}
	if meta.Stats.NumTombstones == 0 {
		return opts.upload(ctx, dir)
	}
	// Tombstones stay behind in an upload: the block is written anew without what they delete.
	work, err := os.MkdirTemp(opts.Dir, "import-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	compactor, err := tsdb.NewLeveledCompactor(ctx, nil, slog.New(slog.DiscardHandler), []int64{compactRanges[0].Milliseconds()}, downsample.NewPool(), nil)
	if err != nil {
		return err
	}
	ids, err := compactor.Compact(work, []string{dir}, nil)
	if err != nil || len(ids) == 0 { // nothing is left
		return err
	}
	// Under a name that follows from the block's, so that importing again finds it.
	name := outputName(compaction{inputs: []*metadata.Meta{meta}})
	if _, err := renameBlock(work, ids[0], name); err != nil {
		return err
	}
	return opts.upload(ctx, filepath.Join(work, name.String()))
}

// ImportOpenMetrics makes blocks of a file in the OpenMetrics text format, aligned to two hours, and uploads
// them. Every sample needs its time, and those of one series come in order. The file is read once; its
// samples wait on the disk by block, so that memory holds one block at a time. Blocks get new names: a file
// that is imported twice is there twice until compaction merges it.
func ImportOpenMetrics(ctx context.Context, opts ImportOptions, file string) (err error) {
	input, err := fileutil.OpenMmapFile(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, input.Close()) }()
	work, err := os.MkdirTemp(opts.Dir, "import-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	spill := newSpill(filepath.Join(work, "spill"), compactRanges[len(compactRanges)-1].Milliseconds())
	if err := spillOpenMetrics(ctx, input.Bytes(), spill); err != nil {
		return fmt.Errorf("import %s: %w", file, err)
	}
	windows, err := spill.finish()
	if err != nil {
		return err
	}
	for _, w := range windows {
		if err := importWindow(ctx, opts, spill, w, filepath.Join(work, "block")); err != nil {
			return fmt.Errorf("import %s: %w", file, err)
		}
	}
	return nil
}

// spillOpenMetrics sorts the samples of a text by their windows.
func spillOpenMetrics(ctx context.Context, text []byte, s *spill) error {
	p := textparse.NewOpenMetricsParser(text, labels.NewSymbolTable())
	var ls, last labels.Labels
	var lastTime int64
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		entry, err := p.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("parse OpenMetrics: %w", err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		p.Labels(&ls)
		_, t, v := p.Series()
		if t == nil {
			return fmt.Errorf("series %s has a sample without a timestamp", ls)
		}
		if n > 0 && labels.Equal(ls, last) && *t <= lastTime {
			return fmt.Errorf("series %s at %s: the sample is not newer than the one before", ls, formatMillis(*t))
		}
		last, lastTime = ls, *t
		if err := s.add(ls, *t, v); err != nil {
			return err
		}
	}
}

// importCommit is how many samples are appended before a commit.
const importCommit = 5000

// importWindow makes a block of one window and uploads it.
func importWindow(ctx context.Context, opts ImportOptions, s *spill, window int64, dir string) (err error) {
	// Twice as wide as it needs to be: a head takes nothing that is older than half a block.
	w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, 2*s.width)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close(), os.RemoveAll(dir)) }()
	app, n := w.Appender(ctx), 0
	err = s.read(window, func(ls labels.Labels, t int64, v float64) error {
		if _, err := app.Append(0, ls, t, v); err != nil {
			return fmt.Errorf("series %s at %s: %w", ls, formatMillis(t), err)
		}
		if n++; n%importCommit > 0 {
			return nil
		}
		err := app.Commit()
		app = w.Appender(ctx)
		return err
	})
	if err != nil {
		return errors.Join(err, app.Rollback())
	}
	if err := app.Commit(); err != nil {
		return err
	}
	id, err := w.Flush(ctx)
	if err != nil {
		return err
	}
	out := filepath.Join(dir, id.String())
	meta, err := metadata.ReadFromDir(out)
	if err != nil {
		return err
	}
	// A head drops in silence what is out of order within a commit: samples of a series that stands in
	// several places of the file.
	if lost := n - int(meta.Stats.NumSamples); lost > 0 {
		return fmt.Errorf("%d samples from %s on are not in the order of their times, or repeated", lost, formatMillis(window))
	}
	return opts.upload(ctx, out)
}
