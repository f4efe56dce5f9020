package metrics

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
	"github.com/thanos-io/thanos/pkg/dedup"
)

// errSamplesLost says that a block that was made has fewer samples than one of its inputs: a bug of
// ours. The inputs are left alone.
var errSamplesLost = errors.New("samples are missing")

// damagedInput says which input of a job is damaged.
type damagedInput struct {
	id  ulid.ULID
	err error
}

func (d *damagedInput) Error() string { return fmt.Sprintf("block %s: %v", d.id, d.err) }
func (d *damagedInput) Unwrap() error { return d.err }

// do carries out a job. A damaged input is marked, and the others can be planned anew.
func (c *Compactor) do(ctx context.Context, t *tenantMetrics, j compaction) error {
	start := c.opts.Now()
	id, size, err := c.make(ctx, t, j)
	if err == nil {
		c.metrics.jobs.WithLabelValues(j.kind(), "success").Inc()
		c.metrics.lastJob.Set(float64(c.opts.Now().Unix()))
		c.opts.Logger.Info("metric blocks compacted", "tenant", t.id, "kind", j.kind(), "block", id, "inputs", len(j.inputs),
			"resolution", j.resolution, "bytes", size, "duration", c.opts.Now().Sub(start))
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	c.metrics.jobs.WithLabelValues(j.kind(), "error").Inc()
	var damaged *damagedInput
	if errors.As(err, &damaged) {
		if t.has(damaged.id, metadata.NoCompactMarkFilename) {
			return c.keepWhole(ctx, t, damaged.id, damaged.err)
		}
		return c.quarantine(ctx, t, damaged.id, damaged.err)
	}
	return fmt.Errorf("%s %d metric blocks of tenant %s, the first is %s: %w", j.kind(), len(j.inputs), t.id, j.inputs[0].ULID, err)
}

// make downloads the inputs, makes the output and uploads it. Nothing of it stays on the local disk.
func (c *Compactor) make(ctx context.Context, t *tenantMetrics, j compaction) (id ulid.ULID, size int64, err error) {
	dir, err := os.MkdirTemp(c.opts.Dir, "metrics-")
	if err != nil {
		return id, 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	dirs := make([]string, len(j.inputs))
	for i, m := range j.inputs {
		dirs[i] = filepath.Join(dir, m.ULID.String())
		if err := downloadBlock(ctx, t.bkt, m, dirs[i]); err != nil {
			if errors.Is(err, errDamaged) {
				return id, 0, &damagedInput{m.ULID, err}
			}
			return id, 0, err
		}
		c.metrics.read.Add(float64(dirSize(dirs[i])))
	}
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		return id, 0, err
	}
	lost := &deletingPopulator{gone: j.gone, resolution: j.resolution, external: map[ulid.ULID]labels.Labels{}}
	for _, m := range j.inputs {
		lost.external[m.ULID] = externalOf(m, t.id)
	}
	if j.kind() == "downsample" {
		id, err = downsampleDir(ctx, j, dirs[0], out)
	} else {
		id, err = c.mergeDirs(ctx, j, dirs, out, lost)
	}
	if err != nil {
		if ctx.Err() != nil {
			return id, 0, err
		}
		return id, 0, errors.Join(err, blameInput(ctx, j, dirs))
	}
	if id == (ulid.ULID{}) { // none of the inputs has a sample
		for _, m := range j.inputs {
			if lost.samples > 0 {
				if err := c.deleteEmptied(ctx, t, m); err != nil {
					return id, 0, err
				}
				continue
			}
			if err := c.mark(ctx, t, m.ULID, "empty", "holds no samples"); err != nil {
				return id, 0, err
			}
		}
		return id, 0, nil
	}
	name := outputName(j)
	meta, err := renameBlock(out, id, name)
	if err != nil {
		return id, 0, err
	}
	if err := checkSamples(j, meta, lost.samples); err != nil {
		return id, 0, err
	}
	section := metadata.Thanos{Labels: j.labels, Source: metadata.CompactorSource, Downsample: metadata.ThanosDownsample{Resolution: j.resolution}}
	size, err = uploadBlock(ctx, t.bkt, filepath.Join(out, name.String()), section, c.opts.Now())
	if err != nil {
		return id, 0, fmt.Errorf("upload block %s: %w", name, err)
	}
	c.metrics.written.Add(float64(size))
	c.metrics.deletedSamples.Add(float64(lost.samples))
	c.noteClean(blockKey{t.id, name}, j.gone.IDs())
	return name, size, nil
}

// mergeDirs merges blocks with Prometheus's compactor, without what is deleted. Zero: nothing is left.
func (c *Compactor) mergeDirs(ctx context.Context, j compaction, dirs []string, out string, p *deletingPopulator) (ulid.ULID, error) {
	merge := storage.NewCompactingChunkSeriesMerger(storage.ChainedSeriesMerge)
	if j.dedup || j.resolution > 0 {
		merge = dedup.NewChunkSeriesMerger()
	}
	compactor, err := tsdb.NewLeveledCompactor(ctx, nil, c.opts.Logger, []int64{compactRanges[0].Milliseconds()}, downsample.NewPool(), merge)
	if err != nil {
		return ulid.ULID{}, err
	}
	ids, err := compactor.CompactWithBlockPopulator(out, dirs, nil, p)
	if err != nil || len(ids) == 0 {
		return ulid.ULID{}, err
	}
	return ids[0], nil
}

// downsampleDir downsamples a block with Thanos's code.
func downsampleDir(ctx context.Context, j compaction, dir, out string) (id ulid.ULID, err error) {
	b, err := tsdb.OpenBlock(nil, dir, downsample.NewPool(), nil)
	if err != nil {
		return id, err
	}
	id, err = downsample.Downsample(ctx, nopLogger{}, j.inputs[0], b, out, j.resolution)
	return id, errors.Join(err, b.Close())
}

// renameBlock gives a block the name that follows from its inputs.
func renameBlock(dir string, from, to ulid.ULID) (*metadata.Meta, error) {
	meta, err := metadata.ReadFromDir(filepath.Join(dir, from.String()))
	if err != nil {
		return nil, err
	}
	meta.ULID = to
	if err := os.Rename(filepath.Join(dir, from.String()), filepath.Join(dir, to.String())); err != nil {
		return nil, err
	}
	return meta, meta.WriteToDir(nopLogger{}, filepath.Join(dir, to.String()))
}

// checkSamples makes sure, as far as that can be told, that no samples were lost: those of one input are
// distinct. Deduplicated replicas and downsampled data have fewer.
func checkSamples(j compaction, out *metadata.Meta, deleted uint64) error {
	if j.dedup || j.resolution > 0 {
		return nil
	}
	for _, in := range j.inputs {
		if out.Stats.NumSamples+deleted < in.Stats.NumSamples {
			return fmt.Errorf("%w: %d of %d in block %s alone", errSamplesLost, out.Stats.NumSamples, in.Stats.NumSamples, in.ULID)
		}
	}
	return nil
}

// outputName returns the name of the block that a job makes: of the time of its newest input, and
// otherwise a hash of the inputs, the resolution and the requests to delete that it carries out.
func outputName(j compaction) (id ulid.ULID) {
	ids := make([]ulid.ULID, len(j.inputs))
	newest := uint64(0)
	for i, m := range j.inputs {
		ids[i], newest = m.ULID, max(newest, m.ULID.Time())
	}
	slices.SortFunc(ids, ulid.ULID.Compare)
	h := sha256.New()
	for _, in := range ids {
		h.Write(in[:])
	}
	fmt.Fprintf(h, "%d %v", j.resolution, j.dedup)
	for _, request := range j.gone.IDs() {
		fmt.Fprintf(h, " %s", request)
	}
	_ = id.SetEntropy(h.Sum(nil)[:10]) // of the right length
	_ = id.SetTime(newest)             // of a ULID
	return id
}

// blameInput finds the input that can't be read, if that is why a job failed.
func blameInput(ctx context.Context, j compaction, dirs []string) error {
	for i, m := range j.inputs {
		if err := verifyDir(ctx, dirs[i]); err != nil && ctx.Err() == nil {
			return &damagedInput{m.ULID, fmt.Errorf("%w: %w", errDamaged, err)}
		}
	}
	return nil
}

// verifyDir reads all series and chunks of a block.
func verifyDir(ctx context.Context, dir string) (err error) {
	b, err := tsdb.OpenBlock(nil, dir, downsample.NewPool(), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return verifyReader(ctx, b)
}

func verifyReader(ctx context.Context, b tsdb.BlockReader) error {
	ir, err := b.Index()
	if err != nil {
		return err
	}
	defer ir.Close()
	cr, err := b.Chunks()
	if err != nil {
		return err
	}
	defer cr.Close()
	name, value := index.AllPostingsKey()
	p, err := ir.Postings(ctx, name, value)
	if err != nil {
		return err
	}
	var s seriesDecoder
	for p.Next() {
		if err := ir.Series(p.At(), &s.builder, &s.metas); err != nil {
			return fmt.Errorf("series %d: %w", p.At(), err)
		}
		for _, m := range s.metas {
			if err := verifyChunk(cr, m); err != nil {
				return fmt.Errorf("chunk %d of series %s: %w", m.Ref, s.builder.Labels(), err)
			}
		}
	}
	return p.Err()
}

func verifyChunk(cr tsdb.ChunkReader, m chunks.Meta) error {
	chunk, _, err := cr.ChunkOrIterable(m)
	if err != nil || chunk.Encoding() == downsample.ChunkEncAggr {
		return err
	}
	it := chunk.Iterator(nil)
	for it.Next() != chunkenc.ValNone {
		if t := it.AtT(); t < m.MinTime || t > m.MaxTime {
			return fmt.Errorf("a sample at %d is outside of %d to %d", t, m.MinTime, m.MaxTime)
		}
	}
	return it.Err()
}

// downloadBlock copies a block to dir and checks it against its list of files.
func downloadBlock(ctx context.Context, bkt objstore.BucketReader, meta *metadata.Meta, dir string) error {
	files, err := filesOf(ctx, bkt, meta)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "chunks"), 0o755); err != nil {
		return err
	}
	for _, f := range files {
		if err := downloadFile(ctx, bkt, path.Join(meta.ULID.String(), f.RelPath), filepath.Join(dir, filepath.FromSlash(f.RelPath)), f); err != nil {
			return err
		}
	}
	return meta.WriteToDir(nopLogger{}, dir)
}

// filesOf is the file list of meta.json, or what the bucket has when an old Thanos wrote none.
func filesOf(ctx context.Context, bkt objstore.BucketReader, meta *metadata.Meta) ([]metadata.File, error) {
	var files []metadata.File
	for _, f := range meta.Thanos.Files {
		if f.RelPath == "index" || strings.HasPrefix(f.RelPath, "chunks/") {
			files = append(files, f)
		}
	}
	if len(files) > 0 {
		return files, nil
	}
	prefix := meta.ULID.String() + "/"
	files = append(files, metadata.File{RelPath: "index"})
	err := bkt.Iter(ctx, prefix+"chunks/", func(name string) error {
		files = append(files, metadata.File{RelPath: strings.TrimPrefix(name, prefix)})
		return nil
	})
	return files, err
}

func downloadFile(ctx context.Context, bkt objstore.BucketReader, name, to string, want metadata.File) error {
	r, err := bkt.Get(ctx, name)
	if err != nil {
		if bkt.IsObjNotFoundErr(err) {
			return fmt.Errorf("%w: %s is missing", errDamaged, want.RelPath)
		}
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer r.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	err = copyVerified(f, r, want)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}
