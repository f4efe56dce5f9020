package traces

import (
	"unsafe"

	"github.com/hune-io/hune/internal/block"
)

// classRows are the rows of a row group in order of their classes: a question about few spans, such as those with an
// error, then looks at the rows of some classes instead of at the class of each row. They are immutable.
type classRows struct {
	ends []uint32 // of each class, where its rows end
	rows []uint16 // those of a class ascend
}

// maxClassRows is how many rows two bytes can number.
const maxClassRows = 1 << 16

// rowsByClass returns the rows, at most maxClassRows, in order of their classes.
func rowsByClass(class []uint32, classes int) *classRows {
	c := &classRows{ends: make([]uint32, classes), rows: make([]uint16, len(class))}
	for _, n := range class {
		c.ends[n]++
	}
	sum := uint32(0)
	for n, count := range c.ends {
		c.ends[n] = sum // where they begin, until the rows are there
		sum += count
	}
	for row, n := range class {
		c.rows[c.ends[n]] = uint16(row)
		c.ends[n]++
	}
	return c
}

// of returns the rows of a class, ascending.
func (c *classRows) of(class int) []uint16 {
	from := uint32(0)
	if class > 0 {
		from = c.ends[class-1]
	}
	return c.rows[from:c.ends[class]]
}

// count returns how many rows some classes have.
func (c *classRows) count(in []bool) (n int) {
	for class, is := range in {
		if is {
			n += len(c.of(class))
		}
	}
	return n
}

func (c *classRows) memory() int {
	if c == nil {
		return 0
	}
	return int(unsafe.Sizeof(*c)) + 4*cap(c.ends) + 2*cap(c.rows)
}

// fewRows says which share of the rows at most, one in so many, is worth to be taken from classRows.
const fewRows = 8

// fewOf returns the rows by class if those of some classes are few, else nil.
func (g *group) fewOf(in []bool) *classRows {
	if rows := g.known().rows; rows != nil && rows.count(in)*fewRows <= g.entry.spans {
		return rows
	}
	return nil
}

// addTo adds the rows of some classes to b.
func (c *classRows) addTo(b *block.Bitmap, in []bool) {
	for class, is := range in {
		if is {
			for _, row := range c.of(class) {
				b.Set(int(row))
			}
		}
	}
}

// mark marks the traces, of which it is given the first rows, that have a row of some classes.
func (c *classRows) mark(traces []bool, in []bool, first []int) {
	for class, is := range in {
		if !is {
			continue
		}
		for t, rest := 0, c.of(class); len(rest) > 0; {
			t = traceFrom(first, t, int(rest[0]))
			traces[t] = true
			for len(rest) > 0 && int(rest[0]) < first[t+1] {
				rest = rest[1:]
			}
		}
	}
}
