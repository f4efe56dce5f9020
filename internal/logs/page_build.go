package logs

import (
	"maps"
	"slices"
	"sync"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// encodedPage is a page that is ready to be put into a block, or to be read from memory.
type encodedPage struct {
	entry     pageEntry // without a place
	directory *pageDirectory
	blobs     [][]byte       // stored form
	traces    []block.IDHash // of the trace IDs that the rows name, ascending
}

// size is what the page holds in memory, about.
func (p *encodedPage) size() int64 {
	n := p.directory.memory() + 4*len(p.traces) + 32*len(p.blobs) + 40*len(p.entry.runs)
	for _, b := range p.blobs {
		n += cap(b)
	}
	return int64(n)
}

// renumbered returns p with its streams under other numbers, which ascend as the old ones do.
func (p encodedPage) renumbered(numbers []uint32) encodedPage {
	p.entry.runs = slices.Clone(p.entry.runs)
	for i := range p.entry.runs {
		r := &p.entry.runs[i]
		r.stream = numbers[r.stream]
	}
	return p
}

// pageBuilder collects the rows of a page.
type pageBuilder struct {
	encoder      *column.Encoder
	ts           []int64
	lines        block.Values
	columns      map[string]*columnBuilder
	used         int // columns with values
	overflow     columnBuilder
	runs         []pageRun
	newRun       bool // the next row begins a run
	size         int  // of lines and metadata
	metadataSize int
	levels       levelCounts
	scratch      []byte
	metadata     []Label // of the set at hand
	set          metadataSet
	collector    traceCollector
}

// columnBuilder collects the values of one key: of row rows[i] the value values.At(i).
type columnBuilder struct {
	rows   []uint32
	values block.Values
}

// builders keep page builders between blocks, by level: their encoders have some 20 MiB of tables and
// buffers, and remember what kinds of columns paid off.
var builders [block.Better + 1]builderPool

// builderPool keeps a few page builders. The collector of garbage leaves it alone, as it does not a sync.Pool:
// to make 20 MiB of tables anew for every block costs a tenth of the time that encoding takes.
type builderPool struct {
	mu   sync.Mutex
	free []*pageBuilder
}

// builtAtOnce is how many builders of a level are kept: two blocks of it are rarely written at the same time.
const builtAtOnce = 2

func (b *builderPool) get(level block.Level) *pageBuilder {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := len(b.free) - 1; last >= 0 {
		p := b.free[last]
		b.free = b.free[:last]
		return p
	}
	return newPageBuilder(level)
}

func (b *builderPool) put(p *pageBuilder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) < builtAtOnce {
		b.free = append(b.free, p)
	}
}

func newPageBuilder(level block.Level) *pageBuilder {
	return &pageBuilder{encoder: column.NewEncoder(level), columns: map[string]*columnBuilder{}, newRun: true}
}

func (p *pageBuilder) rows() int { return len(p.ts) }

// fits reports whether an entry of size bytes has room beside what is there.
func (p *pageBuilder) fits(size int, o *BlockOptions) bool {
	return p.rows() == 0 || p.size+size <= o.PageBytes && p.rows() < o.PageRows
}

// add adds a row of a stream.
func (p *pageBuilder) add(stream uint32, ts int64, line []byte, md []Label) {
	mdSize := int(metadataSize(md))
	r := p.run(stream)
	r.extend(ts)
	r.rows++
	r.bytes += uint64(len(line) + mdSize)
	row := uint32(p.rows())
	p.ts = append(p.ts, ts)
	p.lines.Append(line)
	p.size += len(line) + mdSize
	p.metadataSize += mdSize
	p.levels[p.addMetadata(row, md)]++
}

// addMetadata adds the metadata of a row and returns which of levels it names.
func (p *pageBuilder) addMetadata(row uint32, md []Label) (level int) {
	p.scratch = p.scratch[:0]
	for _, l := range md {
		if l.Name == DetectedLevel {
			level = max(0, slices.Index(levels[:], l.Value))
		}
		if c := p.column(l.Name); c != nil {
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
func (p *pageBuilder) column(name string) *columnBuilder {
	c := p.columns[name]
	if c != nil && c.values.Len() > 0 {
		return c
	}
	if p.used >= maxKeys {
		return nil
	}
	if c == nil {
		c = new(columnBuilder)
		p.columns[string(append([]byte(nil), name...))] = c
	}
	p.used++
	return c
}

// encode ends the page. The builder is empty afterwards.
func (p *pageBuilder) encode() encodedPage {
	e := pageEntry{
		timeRange: noTime, rows: p.rows(), lineBytes: uint64(len(p.lines.Data)), metadataBytes: uint64(p.metadataSize),
		levels: p.levels, runs: slices.Clone(p.runs),
	}
	for _, r := range p.runs {
		e.join(r.timeRange)
	}
	d := &pageDirectory{pageKeys: &pageKeys{overflow: p.overflow.values.Len() > 0}}
	e.keys = d.pageKeys
	p.encoder.Ints(p.ts, column.Spine)
	lines := p.encoder.Lines(&p.lines)
	for _, name := range slices.Sorted(maps.Keys(p.columns)) {
		if c := p.columns[name]; c.values.Len() > 0 {
			d.names = append(d.names, name)
			present := c.present(e.rows)
			if name == DetectedLevel {
				p.encoder.SparseInSpine(present, &c.values) // what a histogram of lines asks for
			} else {
				p.encoder.Sparse(present, &c.values)
			}
		}
	}
	if d.overflow {
		p.encoder.Sparse(p.overflow.present(e.rows), &p.overflow.values)
	}
	encoded := p.encoder.Finish()
	d.page = encoded.Page
	traces := p.traces(lines.Stamp.Run)
	p.reset()
	return encodedPage{entry: e, directory: d, blobs: encoded.Blobs, traces: traces}
}

// present returns which of so many rows have a value.
func (c *columnBuilder) present(rows int) *block.Bitmap {
	present := block.NewBitmap(rows)
	for _, row := range c.rows {
		present.Set(int(row))
	}
	return present
}

// reset empties p and keeps its memory, but not for columns that the page didn't use.
func (p *pageBuilder) reset() {
	p.ts = p.ts[:0]
	p.lines.Reset()
	if cap(p.lines.Data) > 2*maxPageBytes {
		p.lines = block.Values{} // one huge line must not be held for ever
	}
	maps.DeleteFunc(p.columns, func(_ string, c *columnBuilder) bool { return c.values.Len() == 0 })
	for _, c := range p.columns {
		c.reset()
	}
	p.overflow.reset()
	p.used, p.size, p.metadataSize, p.levels = 0, 0, 0, levelCounts{}
	p.runs, p.newRun = p.runs[:0], true
	clear(p.metadata[:cap(p.metadata)]) // they are of a chunk, which would be kept
}

func (c *columnBuilder) reset() {
	c.rows = c.rows[:0]
	c.values.Reset()
}
