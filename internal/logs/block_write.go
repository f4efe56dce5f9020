package logs

import (
	"io"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// BlockOptions are a program's choices for the layout of a block; zero values take the defaults.
type BlockOptions struct {
	PageBytes int         // lines and metadata of a page; default and most: 4 MiB
	PageRows  int         // rows of a page; default and most: 65536
	Level     block.Level // of compression
}

// A page of 4 MiB fits the processor's cache while it is encoded and compresses within a few percent
// of the best (8 MiB gains 2 to 4 %); the bound on rows is for short lines.
const (
	maxPageBytes = 4 << 20
	maxPageRows  = 64 << 10

	// A stream with at least this share of a page begins a page of its own.
	ownPageShare = 4

	// maxKeys bounds the metadata columns of a page. Keys beyond, which come last, share the overflow
	// column.
	maxKeys = 128

	// A group of directories shares the static text of templates, which page after page has, and is compressed
	// as one.
	// It is what a query reads and decodes at least, so it must not be large.
	groupBytes = 128 << 10
	groupPages = 16
)

func (o *BlockOptions) setDefaults() {
	if o.PageBytes <= 0 || o.PageBytes > maxPageBytes {
		o.PageBytes = maxPageBytes
	}
	if o.PageRows <= 0 || o.PageRows > maxPageRows {
		o.PageRows = maxPageRows
	}
}

// blockWriter writes a block: rows, streams in ascending order of labels and the rows of a stream in
// order of time, or pages that were encoded before. It holds the stored form of all pages until finish,
// since blobs of one class stand together.
type blockWriter struct {
	pageWriter
	w     *block.Writer
	index pageIndex
	// traceIDs leads from trace IDs to pages. It is known after finish.
	traceIDs block.IDFilter
	err      error
}

func newBlockWriter(w io.Writer, o BlockOptions) *blockWriter {
	o.setDefaults()
	return &blockWriter{pageWriter: pageWriter{options: o}, w: block.NewWriter(w, block.WriterOptions{Level: o.Level}), index: pageIndex{times: noTime}}
}

// finish writes what is left and the sections.
func (w *blockWriter) finish() (size int64, err error) {
	w.end()
	places := w.blobs()
	w.directories(places)
	for i := range w.pages {
		p := w.pages[i].entry
		p.place = places[i]
		w.index.add(p)
	}
	symbols, numbers := w.symbols()
	w.traceFilter()
	w.section(sectionPostings, appendPostings(nil, w.streams, numbers))
	w.section(sectionPages, w.index.appendTo(nil))
	w.section(sectionStreams, appendStreams(nil, symbols, numbers, w.streams))
	if w.err != nil {
		return 0, w.err
	}
	return w.w.Close()
}

// blobs writes the blobs of all pages, class by class.
func (w *blockWriter) blobs() []pagePlace {
	places := make([]pagePlace, len(w.pages))
	for class := range column.Class(column.Classes) {
		for i := range w.pages {
			p := &w.pages[i]
			places[i].bases[class] = uint64(w.w.Offset())
			for j, info := range p.directory.page.Blobs {
				if info.Class == class && w.err == nil {
					_, w.err = w.w.StoredBlob(p.blobs[j], info.Ref())
				}
			}
		}
	}
	return places
}

// directories writes the directories of all pages in groups.
func (w *blockWriter) directories(places []pagePlace) {
	g := groupWriter{w: w, places: places}
	for i := range w.pages {
		g.add(i)
	}
	g.flush()
}

// groupWriter collects the directories of a group, the shapes that they share apart.
type groupWriter struct {
	w      *blockWriter
	places []pagePlace
	first  int // page of the group
	pages  int // of the group
	shapes column.Shapes
	bytes  []byte
}

// add adds the directory of page i. A group is written before it is large: no directory is too long for what is
// left of a blob then.
func (g *groupWriter) add(i int) {
	before := len(g.bytes)
	g.bytes = g.w.pages[i].directory.appendTo(g.bytes, &g.shapes)
	g.places[i].group = len(g.w.index.groups)
	g.places[i].directory.off, g.places[i].directory.len = before, len(g.bytes)-before
	if g.pages++; g.pages == groupPages || len(g.bytes)+g.shapes.Len() >= groupBytes {
		g.flush()
	}
}

// flush writes the group at hand: the shapes, then the directories.
func (g *groupWriter) flush() {
	if g.pages == 0 || g.w.err != nil {
		return
	}
	group := g.shapes.AppendTo(nil)
	for i := g.first; i < g.first+g.pages; i++ {
		g.places[i].directory.off += len(group)
	}
	var ref block.Ref
	ref, g.w.err = g.w.w.Blob(append(group, g.bytes...), block.CodecZstd)
	g.w.index.groups = append(g.w.index.groups, ref)
	*g = groupWriter{w: g.w, places: g.places, first: g.first + g.pages, bytes: g.bytes[:0]}
}

func (w *blockWriter) section(k block.Kind, data []byte) {
	if w.err == nil {
		w.err = w.w.Section(k, data, block.CodecZstd)
	}
}

// symbols returns the sorted names and values of all streams, and their numbers.
func (w *blockWriter) symbols() ([]string, map[string]uint32) {
	numbers := make(map[string]uint32)
	for _, ls := range w.streams {
		ls.Range(func(l labels.Label) {
			numbers[l.Name] = 0
			numbers[l.Value] = 0
		})
	}
	list := slices.Sorted(maps.Keys(numbers))
	for i, s := range list {
		numbers[s] = uint32(i)
	}
	return list, numbers
}
