package logs

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// PageInfo says what a page of a block consists of. Bytes are without those of the page's directory.
type PageInfo struct {
	Page          int              `json:"page"`
	Rows          int              `json:"rows"`
	Streams       int              `json:"streams"`
	Oldest        int64            `json:"oldest"` // nanoseconds since 1970
	Newest        int64            `json:"newest"`
	LineBytes     int64            `json:"line_bytes"`
	MetadataBytes int64            `json:"metadata_bytes"`
	Levels        map[string]int64 `json:"levels"`
	Stored        map[string]int64 `json:"stored"` // bytes in the object by class
	Raw           map[string]int64 `json:"raw"`    // and decoded
	Directory     int64            `json:"directory"`
	Templates     int              `json:"templates"`
	Keys          []string         `json:"keys,omitempty"` // of structured metadata that have a column
	Columns       map[string]int   `json:"columns"`        // how many of each kind, those within columns too
	Filter        int64            `json:"filter"`         // raw bytes of the value filter
}

var classNames = [column.Classes]string{column.Spine: "spine", column.Strings: "strings", column.Bulk: "bulk", column.Filters: "filters"}

var kindNames = [...]string{column.Const: "const", column.Int: "int", column.Hex: "hex", column.Dict: "dict", column.Text: "text",
	column.Raw: "raw", column.Sparse: "sparse"}

// Pages returns how many pages the block has.
func (b *Block) Pages() int { return len(b.index.pages) }

// Inspect reads the directory of a page.
func (b *Block) Inspect(ctx context.Context, page int) (PageInfo, error) {
	if page < 0 || page >= len(b.index.pages) {
		return PageInfo{}, fmt.Errorf("page %d of %d", page, len(b.index.pages))
	}
	e := &b.index.pages[page]
	info := PageInfo{Page: page, Rows: e.rows, Streams: len(e.runs), Oldest: e.min, Newest: e.max, LineBytes: int64(e.lineBytes),
		MetadataBytes: int64(e.metadataBytes), Levels: map[string]int64{}, Stored: map[string]int64{}, Raw: map[string]int64{},
		Directory: int64(e.place.directory.len), Columns: map[string]int{}}
	for i, n := range e.levels {
		if n > 0 {
			info.Levels[levels[i]] = int64(n)
		}
	}
	d, err := b.directory(ctx, page, nil)
	if err != nil {
		return PageInfo{}, err
	}
	if err := b.loadDirectory(d, page); err != nil {
		return PageInfo{}, err
	}
	info.Keys = d.names
	for i, blob := range d.page.Blobs {
		name := classNames[blob.Class]
		info.Stored[name] += int64(blob.StoredLen)
		info.Raw[name] += int64(blob.RawLen)
		if f := d.page.Filter; i >= f.First && i < f.First+f.Blobs {
			info.Filter += int64(blob.RawLen)
		}
	}
	for _, c := range d.page.Columns {
		info.count(c)
	}
	return info, nil
}

// count counts a column, and those that its values are in.
func (p *PageInfo) count(c *column.Column) {
	if c == nil {
		return
	}
	p.Columns[kindNames[c.Kind]]++
	p.Templates += len(c.Templates)
	p.count(c.Values)
	for s := range c.SharedColumns() {
		p.count(s)
	}
	for i := range c.Templates {
		for _, s := range c.Templates[i].Slots {
			if s.Shared < 0 {
				p.count(s.Values())
			}
		}
	}
}

// IsBlock reports whether r is a block of logs.
func IsBlock(r *block.Reader) bool { return r.Has(sectionStreams) || isOld(r) > 0 }

// Dump gives the rows of the block to visit, from the first one of a page on, in the order of the block,
// until it returns an error. What it gives is valid until visit returns.
func (b *Block) Dump(ctx context.Context, page int, visit func(stream labels.Labels, ts int64, line []byte, md []Label) error) error {
	if page < 0 || page > len(b.index.pages) {
		return fmt.Errorf("page %d of %d", page, len(b.index.pages))
	}
	for ; page < len(b.index.pages); page++ {
		runs := b.index.pages[page].runs
		var stopped error
		err := b.page(page, nil).Each(ctx, column.All, func(run uint32, ts int64, line []byte, md []Label) bool {
			stopped = visit(b.streams.at(int(runs[run].stream)), ts, line, md)
			return stopped == nil
		})
		if err = errors.Join(stopped, err); err != nil {
			return err
		}
	}
	return nil
}
