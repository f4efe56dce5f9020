package logs

import (
	"cmp"
	"encoding/binary"
	"io"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// BlockOptions are a program's choices for the layout of a block; zero values take the defaults.
type BlockOptions struct {
	PageBytes int         // lines and metadata of a page; default and most: 4 MiB
	PageRows  int         // rows of a page; default and most: 65536
	Level     block.Level // of compression
}

// A page of 4 MiB fits the processor's cache while it is encoded and compresses within a few percent
// of the best (log-engine: 8 MiB gains 2 to 4 %); the bound on rows is for short lines.
const (
	maxPageBytes = 4 << 20
	maxPageRows  = 64 << 10

	// A stream with at least this share of a page begins a page of its own.
	ownPageShare = 4

	// maxKeys bounds the columns of a page. Keys beyond, which come last, share the overflow column.
	maxKeys = 128

	// lineBlobBytes is where the lines of a page are cut into blobs; only a single line of more
	// makes a second blob.
	lineBlobBytes = maxPageBytes
)

func (o *BlockOptions) setDefaults() {
	if o.PageBytes <= 0 || o.PageBytes > maxPageBytes {
		o.PageBytes = maxPageBytes
	}
	if o.PageRows <= 0 || o.PageRows > maxPageRows {
		o.PageRows = maxPageRows
	}
}

// blockWriter writes a block row by row, streams in ascending order of labels, the rows of a stream
// in order of time.
type blockWriter struct {
	w       *block.Writer
	options BlockOptions
	streams []labels.Labels
	keys    map[string]uint32
	keyList []string
	pages   []pageEntry
	page    pageBuilder
	buf     []byte
	err     error

	times         timeRange
	rows          int64
	lineBytes     int64
	metadataBytes int64
}

func newBlockWriter(w io.Writer, o BlockOptions) *blockWriter {
	o.setDefaults()
	return &blockWriter{
		w: block.NewWriter(w, block.WriterOptions{Level: o.Level}), options: o, keys: map[string]uint32{},
		page: pageBuilder{columns: map[uint32]*columnBuilder{}}, times: noTime,
	}
}

// stream begins a stream. size is what its rows will hold, about, in bytes.
func (w *blockWriter) stream(ls labels.Labels, size int64) {
	if own := int64(w.options.PageBytes / ownPageShare); size >= own && int64(w.page.size) >= own {
		w.flush()
	}
	w.streams = append(w.streams, ls)
	w.page.newRun = true
}

// add adds a row to the stream that was begun last.
func (w *blockWriter) add(ts int64, line []byte, md []Label) {
	mdSize := int(metadataSize(md))
	p := &w.page
	if p.rows() > 0 && (p.size+len(line)+mdSize > w.options.PageBytes || p.rows() >= w.options.PageRows) {
		w.flush()
	}
	if p.newRun {
		p.runs = append(p.runs, pageRun{timeRange: noTime, stream: uint32(len(w.streams) - 1)})
		p.newRun = false
	}
	r := &p.runs[len(p.runs)-1]
	r.extend(ts)
	r.rows++
	r.bytes += uint64(len(line) + mdSize)
	row := uint32(p.rows())
	p.ts = append(p.ts, ts)
	p.lengths = append(p.lengths, uint32(len(line)))
	p.lines = append(p.lines, line...)
	p.size += len(line) + mdSize
	p.metadataSize += mdSize
	p.levels[p.addMetadata(w, row, md)]++
}

// finish writes what is left and the sections.
func (w *blockWriter) finish() (size int64, err error) {
	w.flush()
	symbols, numbers := w.symbols()
	w.section(sectionPostings, appendPostings(nil, w.postings(numbers)))
	w.section(sectionPages, appendPages(nil, w.keyList, w.pages))
	w.section(sectionStreams, appendStreams(nil, symbols, numbers, w.streams))
	if w.err != nil {
		return 0, w.err
	}
	return w.w.Close()
}

func (w *blockWriter) section(k block.Kind, data []byte) {
	if w.err == nil {
		w.err = w.w.Section(k, data, block.CodecZstd)
	}
}

func (w *blockWriter) blob(data []byte) (ref block.Ref) {
	if w.err == nil {
		ref, w.err = w.w.Blob(data, block.CodecZstd)
	}
	return ref
}

// flush writes the page at hand. The stream at hand goes on in the next one.
func (w *blockWriter) flush() {
	p := &w.page
	if p.rows() == 0 {
		return
	}
	e := pageEntry{
		timeRange: noTime, rows: p.rows(), lineBytes: uint64(len(p.lines)), metadataBytes: uint64(p.metadataSize),
		levels: p.levels, runs: slices.Clone(p.runs),
	}
	for _, r := range p.runs {
		e.join(r.timeRange)
	}
	w.buf = block.AppendInts(w.buf[:0], p.ts)
	e.timestamps = w.blob(w.buf)
	w.buf = block.AppendInts(w.buf[:0], p.lengths)
	e.lengths = w.blob(w.buf)
	for lines := p.lines; len(lines) > 0; {
		n := min(len(lines), lineBlobBytes)
		e.lines = append(e.lines, w.blob(lines[:n]))
		lines = lines[n:]
	}
	w.flushColumns(&e)
	w.pages = append(w.pages, e)
	w.times.join(e.timeRange)
	w.rows += int64(e.rows)
	w.lineBytes += int64(e.lineBytes)
	w.metadataBytes += int64(e.metadataBytes)
	p.reset()
}

func (w *blockWriter) flushColumns(e *pageEntry) {
	p := &w.page
	for _, key := range slices.Sorted(maps.Keys(p.columns)) {
		c := p.columns[key]
		if c.values.Len() == 0 {
			continue
		}
		e.columns = append(e.columns, pageColumn{key, w.blob(c.appendTo(w.buf[:0], e.rows))})
	}
	// Readers give metadata in the order of columns.
	slices.SortFunc(e.columns, func(a, b pageColumn) int { return cmp.Compare(w.keyList[a.key], w.keyList[b.key]) })
	if p.overflow.values.Len() > 0 {
		e.overflow = w.blob(p.overflow.appendTo(w.buf[:0], e.rows))
	}
}

// pageBuilder collects the rows of a page.
type pageBuilder struct {
	ts           []int64
	lengths      []uint32
	lines        []byte
	columns      map[uint32]*columnBuilder // by key
	used         int                       // columns with values
	overflow     columnBuilder
	runs         []pageRun
	newRun       bool // the next row begins a run
	size         int  // of lines and metadata
	metadataSize int
	levels       levelCounts
	scratch      []byte
}

// columnBuilder collects the values of one key: of row rows[i] the value values.At(i).
type columnBuilder struct {
	rows   []uint32
	values block.Values
}

func (p *pageBuilder) rows() int { return len(p.ts) }

// reset empties p and keeps its memory, but not for columns that the page didn't use.
func (p *pageBuilder) reset() {
	p.ts, p.lengths, p.lines = p.ts[:0], p.lengths[:0], p.lines[:0]
	maps.DeleteFunc(p.columns, func(_ uint32, c *columnBuilder) bool { return c.values.Len() == 0 })
	for _, c := range p.columns {
		c.reset()
	}
	p.overflow.reset()
	p.used, p.size, p.metadataSize, p.levels = 0, 0, 0, levelCounts{}
	p.runs, p.newRun = p.runs[:0], true
}

func (c *columnBuilder) reset() {
	c.rows = c.rows[:0]
	c.values.Reset()
}

// appendTo encodes the column: which rows have a value, and the values.
func (c *columnBuilder) appendTo(dst []byte, rows int) []byte {
	present := block.NewBitmap(rows)
	for _, row := range c.rows {
		present.Set(int(row))
	}
	return block.AppendStrings(block.AppendBitmap(dst, present), &c.values)
}

// addMetadata adds the metadata of a row and returns which of levels it names.
func (p *pageBuilder) addMetadata(w *blockWriter, row uint32, md []Label) (level int) {
	p.scratch = p.scratch[:0]
	for _, l := range md {
		if l.Name == DetectedLevel {
			level = max(0, slices.Index(levels[:], l.Value))
		}
		if c := p.column(w, l.Name); c != nil {
			c.rows = append(c.rows, row)
			c.values.AppendString(l.Value)
			continue
		}
		p.scratch = block.AppendPrefixed(block.AppendPrefixed(p.scratch, l.Name), l.Value)
	}
	if len(p.scratch) > 0 {
		p.overflow.rows = append(p.overflow.rows, row)
		p.overflow.values.Append(p.scratch)
	}
	return level
}

// column returns the column of a key, or nil if the page has no room for another one.
func (p *pageBuilder) column(w *blockWriter, name string) *columnBuilder {
	key, ok := w.keys[name]
	if !ok {
		if p.used >= maxKeys {
			return nil
		}
		key = uint32(len(w.keyList))
		w.keys[name] = key
		w.keyList = append(w.keyList, name)
	}
	c := p.columns[key]
	if c == nil {
		c = new(columnBuilder)
	}
	if c.values.Len() == 0 {
		if p.used >= maxKeys {
			return nil
		}
		p.used++
		p.columns[key] = c
	}
	return c
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

func (w *blockWriter) postings(numbers map[string]uint32) []postingName {
	type list struct {
		last  uint32
		bytes []byte
	}
	lists := make(map[[2]uint32]*list)
	for i, ls := range w.streams {
		ls.Range(func(l labels.Label) {
			key := [2]uint32{numbers[l.Name], numbers[l.Value]}
			v := lists[key]
			if v == nil {
				v = new(list)
				lists[key] = v
			}
			v.bytes = binary.AppendUvarint(v.bytes, uint64(uint32(i)-v.last))
			v.last = uint32(i)
		})
	}
	var names []postingName
	for _, key := range slices.SortedFunc(maps.Keys(lists), func(a, b [2]uint32) int { return slices.Compare(a[:], b[:]) }) {
		if len(names) == 0 || names[len(names)-1].name != key[0] {
			names = append(names, postingName{name: key[0]})
		}
		n := &names[len(names)-1]
		n.values = append(n.values, postingValue{key[1], lists[key].bytes})
	}
	return names
}
