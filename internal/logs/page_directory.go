package logs

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// pageDirectory says which columns a page has:
//
//	column 0       timestamps
//	column 1       lines
//	column 2 …     metadata, one for each of names, ascending
//	the last one   overflow, where there is one: the metadata of keys beyond the first maxKeys, a value
//	               for each row that has any: (string name, string value)*
//
// It is encoded as the columns; the keys stand in the index of pages.
type pageDirectory struct {
	*pageKeys
	page *column.Page
}

const (
	timestampColumn = iota
	lineColumn
	firstMetadataColumn
)

// appendTo appends the directory, whose templates it adds to the shapes of its group.
func (d *pageDirectory) appendTo(dst []byte, shapes *column.Shapes) []byte {
	return shapes.AppendPage(dst, d.page)
}

// decodePageDirectory reads the directory of a page of so many rows with such keys. It keeps b.
func decodePageDirectory(b []byte, rows int, keys *pageKeys, shapes *column.Shapes) (*pageDirectory, error) {
	page, err := shapes.DecodePage(b)
	if err != nil {
		return nil, err
	}
	want := firstMetadataColumn + len(keys.names)
	if keys.overflow {
		want++
	}
	if len(page.Columns) != want {
		return nil, fmt.Errorf("%d columns, want %d", len(page.Columns), want)
	}
	if k := page.Columns[timestampColumn].Kind; k != column.Int && k != column.Const {
		return nil, errors.New("timestamps are no numbers")
	}
	for i, c := range page.Columns {
		if c.Rows != rows {
			return nil, fmt.Errorf("column %d of %d rows, want %d", i, c.Rows, rows)
		}
	}
	return &pageDirectory{keys, page}, nil
}

// lines is the column of lines.
func (d *pageDirectory) lines() *column.Column { return d.page.Columns[lineColumn] }

func (d *pageDirectory) timestamps() *column.Column { return d.page.Columns[timestampColumn] }

// metadata returns the column of a key, or nil.
func (d *pageDirectory) metadata(name string) *column.Column {
	if i, ok := slices.BinarySearch(d.names, name); ok {
		return d.page.Columns[firstMetadataColumn+i]
	}
	return nil
}

// overflowColumn returns the overflow column, or nil.
func (d *pageDirectory) overflowColumn() *column.Column {
	if !d.overflow {
		return nil
	}
	return d.page.Columns[len(d.page.Columns)-1]
}

// memory is what the directory holds, about, in bytes.
func (d *pageDirectory) memory() int { return 512 + d.page.Memory() }

// refs returns where the blobs of a page are, given where those of each class begin.
func (d *pageDirectory) refs(bases [column.Classes]uint64, ids []int) []block.Ref {
	out := make([]block.Ref, 0, len(ids))
	next := 0
	for i, info := range d.page.Blobs {
		if next == len(ids) {
			break
		}
		if i == ids[next] {
			out = append(out, block.Ref{Offset: bases[info.Class], StoredLen: uint32(info.StoredLen), RawLen: uint32(info.RawLen), Codec: info.Codec})
			next++
		}
		bases[info.Class] += uint64(info.StoredLen)
	}
	return out
}
