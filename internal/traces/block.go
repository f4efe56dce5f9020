package traces

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hune-io/hune/internal/block"
)

// Block is a Part that reads a traces block by ranges. It keeps the index of row groups; columns are read for
// each question, but for some that its GroupCache keeps. Safe for concurrent use.
//
// A trace by its ID takes a piece of the filter of IDs, then of one row group the spine, a chunk of times, and
// the attributes: four range reads. A select walks the row groups newest first: those out of the time range
// are passed over, of the others only the columns that it asks for are read, and all columns of those row
// groups that have a trace for the answer.
type Block struct {
	groupSet
	r      *block.Reader
	index  *groupIndex
	ids    block.IDFilter
	cache  *GroupCache
	number uint64 // no other block of the process has it

	mu     sync.Mutex
	places []idPlace // of all traces, once they were asked for
}

// ownCacheBytes is what a block without a shared cache keeps of its row groups.
const ownCacheBytes = 8 << 20

// OpenBlock reads what a Block keeps. r stays the caller's to share and close.
func OpenBlock(ctx context.Context, r *block.Reader) (*Block, error) {
	return OpenBlockWith(ctx, r, NewGroupCache(ownCacheBytes))
}

// OpenBlockWith is OpenBlock for a block that shares its cache with others.
func OpenBlockWith(ctx context.Context, r *block.Reader, cache *GroupCache) (*Block, error) {
	if r.Has(sectionGroupsV1) {
		return nil, fmt.Errorf("open traces block %s: %w: traces blocks of version 1 can't be read", r.Name(), block.ErrVersion)
	}
	if r.Has(sectionSplitRows) {
		return nil, fmt.Errorf("open traces block %s: %w: traces in pieces in the form of section 213 can't be read", r.Name(), block.ErrVersion)
	}
	b := &Block{r: r, cache: cache, number: opened.Add(1)}
	b.groupSet = groupSet{store: b, lookup: b.findAtHand, index: b.idPlaces}
	if err := b.openSections(ctx); err != nil {
		return nil, fmt.Errorf("open traces block: %w", err)
	}
	b.entries = b.index.entries
	return b, nil
}

func (b *Block) openSections(ctx context.Context) error {
	err := b.section(ctx, sectionGroups, func(data []byte) (err error) {
		b.index, err = decodeGroupIndex(data)
		return err
	})
	if err != nil {
		return err
	}
	err = b.section(ctx, sectionIDs, func(data []byte) error {
		d := block.NewDecoder(data)
		b.ids = d.IDFilter()
		return d.Finish()
	})
	if err != nil || !b.r.Has(sectionSplit) {
		return err
	}
	return b.section(ctx, sectionSplit, func(data []byte) (err error) {
		b.split, err = decodeSplit(data, b.index)
		return err
	})
}

func (b *Block) section(ctx context.Context, kind block.Kind, decode func([]byte) error) error {
	data, err := b.r.Section(ctx, kind)
	if err != nil {
		return err
	}
	if err := decode(data); err != nil {
		return b.damaged(fmt.Sprintf("section %d", kind), 0, err)
	}
	return nil
}

func (b *Block) damaged(what string, offset uint64, err error) error {
	if block.IsCorruption(err) {
		return err
	}
	return &block.CorruptionError{Block: b.r.Name(), Section: what, Offset: int64(min(offset, 1<<62)), Err: err}
}

// corrupt implements groupStore.
func (b *Block) corrupt(i int, what string, err error) error {
	return b.damaged(fmt.Sprintf("row group %d, %s", i, what), b.index.places[i].ids, err)
}

// find returns where traces may be, by the filter of IDs.
func (b *Block) find(ctx context.Context, ids []ID) ([]tracePlace, error) {
	// Fast path: a question over several blocks asks each for the traces that they share, and has read the lists.
	if list := b.knownPlaces(); list != nil {
		return slices.Compact(placesOf(list, hashesOf(ids))), nil
	}
	var out []tracePlace
	for _, id := range ids {
		pages, err := b.r.LookupID(ctx, b.ids, block.HashID(id[:]))
		if err != nil {
			return nil, fmt.Errorf("look up trace %s: %w", id, err)
		}
		if pages.Any {
			return nil, b.damaged("filter of IDs", b.ids.Offset, errors.New("an ID is said to be anywhere"))
		}
		for _, n := range pages.List {
			p, ok := b.index.place(int(n))
			if !ok {
				return nil, b.damaged("filter of IDs", b.ids.Offset, fmt.Errorf("trace %d of %d", n, b.index.traces()))
			}
			out = append(out, p)
		}
	}
	slices.SortFunc(out, tracePlace.compare)
	return slices.Compact(out), nil
}

// hashesOf returns the hashes of IDs, ascending.
func hashesOf(ids []ID) []block.IDHash {
	out := make([]block.IDHash, len(ids))
	for i := range ids {
		out[i] = block.HashID(ids[i][:])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// knownPlaces returns what idPlaces has read, nil if it hasn't or is about to.
func (b *Block) knownPlaces() []idPlace {
	if !b.mu.TryLock() {
		return nil
	}
	defer b.mu.Unlock()
	return b.places
}

// idPlaces returns the places of all traces, in order of hashes. They are read once: twelve bytes a trace.
func (b *Block) idPlaces(ctx context.Context) ([]idPlace, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.places != nil {
		return b.places, nil
	}
	entries, err := b.r.IDEntries(ctx, b.ids)
	if err != nil {
		return nil, fmt.Errorf("read filter of IDs: %w", err)
	}
	places := make([]idPlace, len(entries))
	for i, e := range entries {
		p, ok := b.index.place(int(e.Page))
		if !ok {
			return nil, b.damaged("filter of IDs", b.ids.Offset, fmt.Errorf("trace %d of %d", e.Page, b.index.traces()))
		}
		places[i] = newIDPlace(e.Hash, p)
	}
	b.places = places
	return places, nil
}

// directoryResources are resources of directories that were read lately: those of one block are mostly the same, and most
// of what reading one takes.
var directoryResources = sync.Pool{New: func() any { return new(resourceCache) }}

// directory implements groupStore.
func (b *Block) directory(ctx context.Context, i int) (*groupDirectory, error) {
	key := cacheKey{b.number, i}
	if d := b.cache.directory(key); d != nil {
		return d, nil
	}
	p := &b.index.places[i]
	data, err := b.r.Blob(ctx, b.index.directories[p.group])
	if err != nil {
		return nil, fmt.Errorf("read directory of row group %d: %w", i, err)
	}
	if p.directory.off+p.directory.len > len(data) {
		return nil, b.corrupt(i, "directory", fmt.Errorf("%d+%d of %d bytes", p.directory.off, p.directory.len, len(data)))
	}
	known := directoryResources.Get().(*resourceCache)
	d, err := decodeGroupDirectory(data[p.directory.off:][:p.directory.len], &b.entries[i], known)
	directoryResources.Put(known)
	if err != nil {
		return nil, b.corrupt(i, "directory", err)
	}
	b.cache.addDirectory(key, d)
	return d, nil
}

// views implements groupStore.
func (b *Block) views(ctx context.Context, i int, d *groupDirectory, from, to int) (*block.Views, error) {
	if from == d.idBlob() {
		return b.r.Views(ctx, b.index.places[i].ids, int(d.ids.stored))
	}
	at := d.chunkBlob(0)
	return b.r.Views(ctx, b.index.places[i].chunks+uint64(d.storedChunks(at, from)), d.storedChunks(from, to))
}

// kept implements groupStore.
func (b *Block) kept(i int) *keptColumns { return b.cache.columnsOf(cacheKey{b.number, i}) }

// keep implements groupStore.
func (b *Block) keep(i, size int, make func() *keptColumns) {
	b.cache.addColumns(cacheKey{b.number, i}, size, make)
}

// blobs implements groupStore.
func (b *Block) blobs(ctx context.Context, i int, d *groupDirectory, ids []int, mem *block.Buffers) ([][]byte, error) {
	blobs, err := b.r.BlobsInto(ctx, d.refs(&b.index.places[i], ids), mem)
	if err != nil {
		return nil, fmt.Errorf("read row group %d: %w", i, err)
	}
	return blobs, nil
}

// Tags implements Part. It knows the keys of the whole block.
func (b *Block) Tags(ctx context.Context, scope TagScope, start, end uint64) (map[TagScope][]string, error) {
	out := make(tagSet)
	if s := (Select{Start: start, End: end}); !s.overlaps(b.TimeRange()) {
		return out.sorted(scope), nil
	}
	tags, err := b.tags(ctx)
	if err != nil {
		return nil, err
	}
	for i := range tags {
		out.add(tags[i].scope, tags[i].key)
	}
	return out.sorted(scope), nil
}

func (b *Block) tags(ctx context.Context) (tags []tagEntry, err error) {
	err = b.section(ctx, sectionTags, func(data []byte) error {
		tags, err = decodeTags(data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read tags of traces block: %w", err)
	}
	return tags, nil
}

// TagValues implements Part. Short lists are in the tags section; for the others the columns of the
// row groups in the range are read.
func (b *Block) TagValues(ctx context.Context, scope TagScope, key string, start, end uint64, limit int) ([]Attribute, error) {
	s := Select{Start: start, End: end}
	v := newValues(limit)
	if !s.overlaps(b.TimeRange()) {
		return v.sorted(), nil
	}
	if scope == ScopeIntrinsic {
		err := b.tagValues(ctx, v, []TagScope{scope}, canonicalIntrinsic(key), &s)
		return v.sorted(), err
	}
	tags, err := b.tags(ctx)
	if err != nil {
		return nil, err
	}
	var open []TagScope // scopes whose columns must be read
	for i := range tags {
		t := &tags[i]
		if t.key != key || scope != "" && scope != t.scope {
			continue
		}
		if !t.complete {
			open = append(open, t.scope)
		}
		for j := range t.values {
			v.add(&t.values[j])
		}
	}
	if len(open) > 0 {
		err = b.tagValues(ctx, v, open, key, &s)
	}
	return v.sorted(), err
}
