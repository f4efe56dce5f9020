package logs

import (
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// Rows of a stream mostly arrive in order of time, and many have the metadata of the row before: then whole
// chunks go into pages, and what add would do for each row is done once for all of them.

// inOrder reports whether the rows of the chunks, one after another, are in order of time.
func inOrder(chunks []*headChunk) bool {
	for i, c := range chunks {
		if c.unsorted || i > 0 && c.min < chunks[i-1].max {
			return false
		}
	}
	return true
}

// addChunk adds the rows of a chunk, which are in order of time, to the stream that was begun last.
func (w *pageWriter) addChunk(c *headChunk, names []string) {
	for row := 0; row < len(c.ts); {
		if row += w.page.addRows(w.current, c, row, names, &w.options); row < len(c.ts) {
			w.flush()
		}
	}
}

// addRows adds the rows of c from row from on, as many as fit, and returns how many these are.
func (p *pageBuilder) addRows(stream uint32, c *headChunk, from int, names []string, o *BlockOptions) int {
	set := packedMetadata{c.metadataAt, c.metadata, names}
	p.enter(0, nil)
	first, i := len(p.ts), from
	start := c.lineStart(from)
	shift := uint32(len(p.lines.Data)) - start // may wrap around, as adding it does
	size, metadataSize, before := p.size, p.metadataSize, start
	for ; i < len(c.ts); i++ {
		if at := c.metadataOf(i); at != p.set.at {
			p.metadata = set.appendMetadata(p.metadata[:0], i)
			p.enter(at, p.metadata)
		}
		more := int(c.ends[i]-before) + p.set.size
		if n := first + i - from; n > 0 && (size+more > o.PageBytes || n >= o.PageRows) {
			break
		}
		size += more
		metadataSize += p.set.size
		before = c.ends[i]
		p.lines.Ends = append(p.lines.Ends, before+shift)
		p.levels[p.set.level]++
		if at := p.set.at; at != 0 {
			p.set.add(uint32(first + i - from))
		}
	}
	if i > from {
		p.lines.Data = append(p.lines.Data, c.lines[start:before]...)
		p.ts = append(p.ts, c.ts[from:i]...)
		r := p.run(stream)
		r.extend(c.ts[from])
		r.extend(c.ts[i-1])
		r.rows += uint32(i - from)
		r.bytes += uint64(size - p.size)
		p.size, p.metadataSize = size, metadataSize
	}
	return i - from
}

// run returns the run at hand, which is one of stream.
func (p *pageBuilder) run(stream uint32) *pageRun {
	if p.newRun {
		p.runs = append(p.runs, pageRun{timeRange: noTime, stream: stream})
		p.newRun = false
	}
	return &p.runs[len(p.runs)-1]
}

// metadataSet is metadata that several rows have, and where it goes.
type metadataSet struct {
	at       uint32 // where it is in the chunk, see headChunk
	size     int
	level    int // which of levels
	values   []Label
	columns  []*columnBuilder // of values; nil: the overflow column
	overflow *columnBuilder
	packed   []byte // for overflow
}

// enter makes md, which is at at, the set of the rows that are added next. At least one must be.
func (p *pageBuilder) enter(at uint32, md []Label) {
	s := &p.set
	*s = metadataSet{at: at, size: int(metadataSize(md)), values: md, columns: s.columns[:0], overflow: &p.overflow, packed: s.packed[:0]}
	for _, l := range md {
		if l.Name == DetectedLevel {
			s.level = max(0, slices.Index(levels[:], l.Value))
		}
		c := p.column(l.Name)
		if s.columns = append(s.columns, c); c == nil {
			s.packed = block.AppendPrefixed(block.AppendPrefixed(s.packed, l.Name), l.Value)
		}
	}
}

// add gives the set to a row.
func (s *metadataSet) add(row uint32) {
	for i, c := range s.columns {
		if c != nil {
			c.rows = append(c.rows, row)
			c.values.AppendString(s.values[i].Value)
		}
	}
	if len(s.packed) > 0 {
		s.overflow.rows = append(s.overflow.rows, row)
		s.overflow.values.Append(s.packed)
	}
}

// lineStart returns where line i begins.
func (c *headChunk) lineStart(i int) uint32 {
	if i == 0 {
		return 0
	}
	return c.ends[i-1]
}
