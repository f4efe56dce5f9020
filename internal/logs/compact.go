package logs

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// Compaction makes one block of several.
//
// Rows that several blocks have come once. A large page whose rows no other page can double, and whose
// streams have about as much of it as they could, is copied as it is, without decoding it: what was
// compacted well once costs little the next time.
type Compaction struct {
	// Blocks are the inputs. Rows of one instant and stream come in their order.
	Blocks []*Block
	// Touched reports whether Keep may drop a row of a stream in a range of time, both ends inclusive.
	// Nil: never, all rows stay.
	Touched func(stream labels.Labels, oldest, newest int64) bool
	// Keep reports whether a row stays. It is asked for rows where Touched says true, perhaps for others
	// too.
	Keep func(stream labels.Labels, ts int64, line []byte, md []Label) bool
	// Options are those of the new block. The zero value is right but for Level: block.Better.
	Options BlockOptions
}

// Write writes the block into the existing folder dir: the data file, and meta.json from meta, whose
// size, times and counts it fills in. All is synced when it returns nil. Where no row is left the error is
// ErrEmpty. After an error the folder holds rubbish.
func (c *Compaction) Write(ctx context.Context, dir string, meta *block.Meta) error {
	if err := writeFiles(dir, meta, func(f io.Writer) error { return c.writeData(ctx, f, meta) }); err != nil {
		return fmt.Errorf("compact into logs block %s: %w", meta.ULID, err)
	}
	return nil
}

func (c *Compaction) writeData(ctx context.Context, f io.Writer, meta *block.Meta) error {
	w := newBlockWriter(f, c.Options)
	sets := make([]*pageSet, len(c.Blocks))
	for i, b := range c.Blocks {
		sets[i] = &b.pageSet
	}
	var numbers [][]uint32
	w.streams, numbers = unite(sets)
	var pages []pageRef
	for k, s := range sets {
		for i := range s.index.pages {
			pages = append(pages, pageRef{set: s, page: i, numbers: numbers[k], rank: k})
		}
	}
	copied, merged := c.split(pages, w.streams)
	traces := make([][][]block.IDHash, len(c.Blocks)) // by block and page
	for _, p := range copied {
		if traces[p.rank] == nil {
			var err error
			if traces[p.rank], err = c.Blocks[p.rank].tracesOf(ctx); err != nil {
				return err
			}
		}
		e, err := c.Blocks[p.rank].copyPage(ctx, p.page, traces[p.rank][p.page])
		if err != nil {
			return err
		}
		w.pages = append(w.pages, e.renumbered(p.numbers))
	}
	made, err := c.merge(ctx, merged, w.streams)
	if err != nil {
		return err
	}
	w.pages = append(w.pages, made...)
	slices.SortStableFunc(w.pages, func(a, b encodedPage) int {
		return cmp.Or(cmp.Compare(a.entry.runs[0].stream, b.entry.runs[0].stream), cmp.Compare(a.entry.runs[0].min, b.entry.runs[0].min))
	})
	w.dropStreams()
	return w.finishBlock(meta)
}

// wholeShare is the part of the best page, as its inverse, from which on a page is not worth making anew.
const wholeShare = 2

// split tells the pages that can be copied from those whose rows must be merged.
func (c *Compaction) split(pages []pageRef, streams []labels.Labels) (copied, merged []pageRef) {
	options := c.Options
	options.setDefaults()
	doubled := doubledPages(pages)
	sizes := streamSizes([][]pageRef{pages}, len(streams))
	for i, p := range pages {
		if !doubled[i] && p.whole(&options, sizes) && !c.touches(p, streams) {
			copied = append(copied, p)
		} else {
			merged = append(merged, p)
		}
	}
	return copied, merged
}

// whole reports whether the page is large, and its streams have much of it: as far as what there is of them
// allows. sizes are the bytes of all streams.
func (p pageRef) whole(o *BlockOptions, sizes []int64) bool {
	e := p.entry()
	if int(e.lineBytes+e.metadataBytes) < o.PageBytes/wholeShare && e.rows < o.PageRows/wholeShare {
		return false
	}
	has, could := int64(0), int64(0)
	for i, r := range e.runs {
		has += int64(r.bytes)
		could += min(sizes[p.stream(i)], int64(o.PageBytes))
	}
	// Pages are full of short rows before they are full of bytes.
	return has >= could/wholeShare || len(e.runs) == 1
}

// streamSizes returns the bytes of each of n streams in all pages.
func streamSizes(seqs [][]pageRef, n int) []int64 {
	sizes := make([]int64, n)
	for _, pages := range seqs {
		for _, p := range pages {
			for i, r := range p.entry().runs {
				sizes[p.stream(i)] += int64(r.bytes)
			}
		}
	}
	return sizes
}

func (c *Compaction) touches(p pageRef, streams []labels.Labels) bool {
	if c.Touched == nil {
		return false
	}
	for i, r := range p.entry().runs {
		if c.Touched(streams[p.stream(i)], r.min, r.max) {
			return true
		}
	}
	return false
}

// doubledPages reports for each page whether another one has rows of one of its streams at the same
// time.
func doubledPages(pages []pageRef) []bool {
	type interval struct {
		timeRange
		stream uint32
		page   int
	}
	var runs []interval
	for i, p := range pages {
		for k, r := range p.entry().runs {
			runs = append(runs, interval{r.timeRange, p.stream(k), i})
		}
	}
	slices.SortFunc(runs, func(a, b interval) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.min, b.min))
	})
	out := make([]bool, len(pages))
	var reach interval
	for i, r := range runs {
		if i > 0 && r.stream == reach.stream && r.min <= reach.max {
			out[r.page], out[reach.page] = true, true
		}
		if i == 0 || r.stream != reach.stream || r.max > reach.max {
			reach = r
		}
	}
	return out
}

// copyPage reads page i, whose rows name the traces, as it stands.
func (b *Block) copyPage(ctx context.Context, i int, traces []block.IDHash) (encodedPage, error) {
	d, err := b.directory(ctx, i, nil)
	if err != nil {
		return encodedPage{}, err
	}
	if err := b.loadDirectory(d, i); err != nil {
		return encodedPage{}, err
	}
	e := encodedPage{entry: b.index.pages[i], directory: d, traces: traces}
	ids := make([]int, len(d.page.Blobs))
	for k := range ids {
		ids[k] = k
	}
	for _, ref := range d.refs(e.entry.place.bases, ids) {
		stored, err := b.r.StoredBlob(ctx, ref)
		if err != nil {
			return encodedPage{}, err
		}
		e.blobs = append(e.blobs, stored)
	}
	return e, nil
}

// maxCursors bounds how many pages a merge holds decoded: 5 to 10 MB each.
const maxCursors = 24

// merge makes pages of the rows of pages. Where the pages are in more sequences than can be merged at
// once, neighbours are merged into pages in memory first, and these then.
func (c *Compaction) merge(ctx context.Context, pages []pageRef, streams []labels.Labels) ([]encodedPage, error) {
	seqs := sequences(pages)
	for len(seqs) > maxCursors {
		var fewer [][]pageRef
		// Neighbours, since rows of one instant come in the order of the inputs.
		for some := range slices.Chunk(seqs, maxCursors) {
			made, err := c.mergeSome(ctx, some, streams, block.Fast)
			if err != nil {
				return nil, err
			}
			fewer = append(fewer, inMemory(made, streams))
		}
		seqs = fewer
	}
	return c.mergeSome(ctx, seqs, streams, c.Options.Level)
}

// inMemory makes a sequence of pages that were just encoded.
func inMemory(pages []encodedPage, streams []labels.Labels) []pageRef {
	set := &pageSet{name: "(merged)", streams: labelSets(streams), index: pageIndex{times: noTime}, store: memoryPages(pages)}
	same := make([]uint32, len(streams))
	for i := range same {
		same[i] = uint32(i)
	}
	out := make([]pageRef, len(pages))
	for i := range pages {
		set.index.add(pages[i].entry)
		out[i] = pageRef{set: set, page: i, numbers: same}
	}
	return out
}

func (c *Compaction) mergeSome(ctx context.Context, seqs [][]pageRef, streams []labels.Labels, level block.Level) ([]encodedPage, error) {
	w := &pageWriter{options: c.Options}
	w.options.setDefaults()
	w.options.Level = level
	sizes := streamSizes(seqs, len(streams))
	last := uint32(0)
	begun := false
	err := mergePages(ctx, seqs, func(stream uint32, ts int64, line []byte, md []Label) error {
		if c.Keep != nil && !c.Keep(streams[stream], ts, line, md) {
			return nil
		}
		if !begun || stream != last {
			w.begin(stream, sizes[stream])
			last, begun = stream, true
		}
		w.add(ts, line, md)
		return nil
	})
	w.end()
	return w.pages, err
}

// dropStreams leaves out the streams that have no rows.
func (w *blockWriter) dropStreams() {
	used := block.NewBitmap(len(w.streams))
	for i := range w.pages {
		for _, r := range w.pages[i].entry.runs {
			used.Set(int(r.stream))
		}
	}
	numbers := make([]uint32, len(w.streams))
	kept := w.streams[:0]
	for i := used.Next(0); i >= 0; i = used.Next(i + 1) {
		numbers[i] = uint32(len(kept))
		kept = append(kept, w.streams[i])
	}
	w.streams = kept
	for i := range w.pages {
		w.pages[i] = w.pages[i].renumbered(numbers)
	}
}
