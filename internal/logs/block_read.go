package logs

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// Block answers from one block. It is a Part; safe for concurrent use.
//
// It keeps the sections of streams, postings and pages in memory, the first two as they are stored. A
// select reads only the pages that hold a matching stream in the time range, when the answer has come to
// their time, and of a page first its directory, then the blobs of the columns that decide, then those of
// the rows that are left.
type Block struct {
	pageSet
	r        *block.Reader
	postings *postings
	traceIDs block.IDFilter
	cache    *DirectoryCache
}

// ownCacheBytes is what a block without a shared cache keeps of its directories: those of some dozens of
// pages.
const ownCacheBytes = 8 << 20

// OpenBlock reads the sections of a logs block. The Block uses r for as long as it lives, and keeps some
// directories decoded.
func OpenBlock(ctx context.Context, r *block.Reader) (*Block, error) {
	return OpenBlockWith(ctx, r, NewDirectoryCache(ownCacheBytes))
}

// OpenBlockWith is OpenBlock for a block that shares its cache with others.
func OpenBlockWith(ctx context.Context, r *block.Reader, cache *DirectoryCache) (*Block, error) {
	if version := isOld(r); version > 0 {
		return nil, fmt.Errorf("open logs block %s: %w: logs blocks of version %d can't be read", r.Name(), block.ErrVersion, version)
	}
	b := &Block{r: r, cache: cache}
	b.pageSet = pageSet{name: r.Name(), store: b, stored: r.Size(), find: b.findStreams}
	if err := b.openSections(ctx); err != nil {
		return nil, fmt.Errorf("open logs block: %w", err)
	}
	return b, nil
}

// openSections reads the sections, all at the same time: each costs a request to the bucket, and those of many
// streams milliseconds to decode.
func (b *Block) openSections(ctx context.Context) error {
	var streams *streamIndex
	var lists *postings
	g, ctx := errgroup.WithContext(ctx)
	read := func(kind block.Kind, decode func([]byte) error) {
		g.Go(func() error { return b.section(ctx, kind, decode) })
	}
	read(sectionStreams, func(data []byte) (err error) {
		streams, err = decodeStreams(data)
		return err
	})
	read(pagesSection(b.r), func(data []byte) (err error) {
		b.index, err = decodePages(data)
		return err
	})
	read(sectionPostings, func(data []byte) (err error) {
		lists, err = decodePostings(data)
		return err
	})
	if b.r.Has(sectionTraceIDs) { // else no row names a trace
		read(sectionTraceIDs, func(data []byte) (err error) {
			b.traceIDs, err = decodeTraceFilter(data)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return b.join(streams, lists)
}

// join checks that the sections fit together.
func (b *Block) join(streams *streamIndex, lists *postings) (err error) {
	if b.filled, err = b.index.eachStream(streams.len()); err != nil {
		return b.corrupt(fmt.Sprintf("section %d", pagesSection(b.r)), 0, err)
	}
	if err := lists.join(streams); err != nil {
		return b.corrupt(fmt.Sprintf("section %d", sectionPostings), 0, err)
	}
	b.streams, b.postings = streams, lists
	return nil
}

func (b *Block) section(ctx context.Context, kind block.Kind, decode func([]byte) error) error {
	data, err := b.r.Section(ctx, kind)
	if err != nil {
		return err
	}
	if err := decode(data); err != nil {
		return b.corrupt(fmt.Sprintf("section %d", kind), 0, err)
	}
	return nil
}

func (b *Block) corrupt(section string, offset uint64, err error) error {
	return &block.CorruptionError{Block: b.r.Name(), Section: section, Offset: int64(min(offset, 1<<62)), Err: err}
}

// directory implements pageStore.
func (b *Block) directory(ctx context.Context, i int, stats *Stats) (*pageDirectory, error) {
	e := &b.index.pages[i]
	v, err := b.cache.get(ctx, directoryKey{b, e.place.group, i}, fmt.Sprintf("%p/%d", b, i), func(ctx context.Context) (directoryValue, error) {
		group, err := b.directories(ctx, e.place.group, stats)
		if err != nil {
			return directoryValue{}, err
		}
		d, err := b.decodeDirectory(group, i)
		if err != nil {
			return directoryValue{}, err
		}
		return directoryValue{decoded: d, size: d.memory()}, nil
	})
	return v.decoded, err
}

// directoryGroup is directories that were stored together.
type directoryGroup struct {
	raw    []byte // of the pages, behind the shapes that they share
	shapes *column.Shapes
}

// directories returns a group of directories.
func (b *Block) directories(ctx context.Context, group int, stats *Stats) (*directoryGroup, error) {
	ref := b.index.groups[group]
	v, err := b.cache.get(ctx, directoryKey{b, group, -1}, fmt.Sprintf("%p.%d", b, group), func(ctx context.Context) (directoryValue, error) {
		stats.read(1, int64(ref.StoredLen))
		raw, err := b.r.Blob(ctx, ref)
		if err != nil {
			return directoryValue{}, err
		}
		shapes, err := column.DecodeShapes(block.NewDecoder(raw))
		if err != nil {
			return directoryValue{}, b.corrupt("directories", ref.Offset, err)
		}
		return directoryValue{group: &directoryGroup{raw, shapes}, size: len(raw) + shapes.Memory()}, nil
	})
	return v.group, err
}

func (b *Block) decodeDirectory(group *directoryGroup, i int) (*pageDirectory, error) {
	e := &b.index.pages[i]
	at, offset := e.place.directory, b.index.groups[e.place.group].Offset
	if at.off+at.len > len(group.raw) {
		return nil, b.corrupt("directories", offset, fmt.Errorf("%d+%d of %d bytes", at.off, at.len, len(group.raw)))
	}
	d, err := decodePageDirectory(group.raw[at.off:at.off+at.len:at.off+at.len], e.rows, e.keys, group.shapes)
	if err != nil {
		return nil, b.corrupt(fmt.Sprintf("directory of page %d", i), offset, err)
	}
	return d, nil
}

// loadDirectory reads what is usually read when it is asked for.
func (b *Block) loadDirectory(d *pageDirectory, i int) error {
	if err := d.page.Load(); err != nil {
		return b.corrupt(fmt.Sprintf("directory of page %d", i), b.index.groups[b.index.pages[i].place.group].Offset, err)
	}
	return nil
}

// blobs implements pageStore.
func (b *Block) blobs(ctx context.Context, i int, d *pageDirectory, ids []int, stats *Stats, mem *block.Buffers) ([][]byte, error) {
	refs := d.refs(b.index.pages[i].place.bases, ids)
	size := int64(0)
	for _, r := range refs {
		size += int64(r.StoredLen)
	}
	stats.read(1, size)
	return b.r.BlobsInto(ctx, refs, mem)
}

// findStreams returns the streams that match all of the matchers.
func (b *Block) findStreams(set matcherSet) (*block.Bitmap, error) {
	found, err := b.postings.find(set, b.streams.len())
	if err != nil {
		return nil, b.corrupt(fmt.Sprintf("section %d", sectionPostings), 0, err)
	}
	return found, nil
}
