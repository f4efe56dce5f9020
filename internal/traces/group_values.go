package traces

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// storedTexts are the values of a text column as they are stored, which has been loaded.
type storedTexts struct {
	r     *column.Reader
	c     *column.Column
	codes []int64 // kindTable: the value of each row
	data  string  // all values, if they were rebuilt together
	ends  []uint32
}

// openTexts opens the page column at, with its numbers in the next one if it is a table. bulk rebuilds all
// values at once, which is faster where most of them are wanted.
func (g *group) openTexts(at int, table, bulk bool) (*storedTexts, error) {
	s := &storedTexts{r: g.r, c: g.dir.page.Columns[at]}
	if table {
		codes := g.dir.page.Columns[at+1]
		if !numbersIn(codes, s.c.Rows) {
			return nil, g.corrupt("table", errStamp)
		}
		s.codes = g.r.Int64s(codes)
		bulk = true
	}
	if bulk && s.c.Kind != column.Const {
		var v block.Values
		g.r.Values(&v, s.c, column.All)
		s.data, s.ends = view(v.Data), v.Ends
	}
	if err := g.r.Err(); err != nil {
		return nil, g.corrupt("texts", err)
	}
	return s, nil
}

// at returns value i.
func (s *storedTexts) at(i int) string {
	if s == nil {
		return ""
	}
	if s.codes != nil {
		i = int(s.codes[i])
	}
	switch {
	case s.c.Kind == column.Const:
		return view(s.c.Constant)
	case s.ends != nil:
		from := uint32(0)
		if i > 0 {
			from = s.ends[i-1]
		}
		return s.data[from:s.ends[i]]
	}
	return view(s.r.Append(nil, s.c, i))
}

// fixedTexts opens a fixed column of text, which has been loaded; nil if it isn't stored.
func (g *group) fixedTexts(fix int, bulk bool) (*storedTexts, error) {
	if g.dir.fixed[fix] < 0 {
		return nil, nil
	}
	return g.openTexts(g.dir.fixed[fix], g.dir.fixedTable[fix], bulk)
}

// stored is the values of an attribute column that stand in one column of the page.
type stored struct {
	def   *columnDef
	texts *storedTexts
	nums  []int64
}

// scalar sets a to stored value i.
func (s *stored) scalar(i int, a *Attribute) {
	switch {
	case s.def.typ.isText():
		if text := s.texts.at(i); a.Type == TypeString {
			a.Str = text
		} else if text != "" {
			a.Raw = []byte(text)
		}
	case s.def.typ.isFloat():
		a.Float = s.def.float(s.nums[i])
	default:
		a.Int = s.nums[i]
	}
}

// float returns the float that is stored as n.
func (c *columnDef) float(n int64) float64 {
	if c.scale == floatAsBits {
		return math.Float64frombits(uint64(n))
	}
	return float64(n) / pow10[c.scale]
}

// values reads an attribute column, which has been loaded.
type valueColumn struct {
	*columnDef
	main   stored
	ends   []int // of arrays: where each one's elements end
	except stored
	places []int // of exceptions, ascending
	byRow  []int32
	kept   attributesOfClasses // of kindClass: the values, where they are kept; then nothing else is set
	// byRow is, for kindClass, of each class the value, and for kindTrace, of each trace; -1: none.
}

// pages returns the columns of the page that make an attribute column.
func (g *group) pages(c int) []*column.Column {
	at := g.dir.pageOf[c]
	return g.dir.page.Columns[at : at+g.dir.columns[c].pages()]
}

// openColumn opens attribute column c, which has been loaded; for kindTrace the classes and the spine too.
func (g *group) openColumn(c int, bulk bool) (*valueColumn, error) {
	def := &g.dir.columns[c]
	v := &valueColumn{columnDef: def}
	at := g.dir.pageOf[c]
	if def.typ.isArray() {
		var err error
		if v.ends, err = g.arrayEnds(c); err != nil {
			return nil, err
		}
		at++
	}
	var err error
	if v.main, err = g.openStored(def, at, def.kind == kindTable, bulk || def.kind == kindClass); err != nil {
		return nil, err
	}
	if v.ends != nil && v.main.rows(g, at) != v.ends[len(v.ends)-1] {
		return nil, g.corrupt("arrays", fmt.Errorf("%d elements of arrays of %d", v.main.rows(g, at), v.ends[len(v.ends)-1]))
	}
	switch def.kind {
	case kindClass:
		v.byRow, err = g.classValues(c)
		if err == nil && def.except > 0 {
			v.places, err = g.exceptions(c)
		}
		if err == nil && def.except > 0 {
			v.except, err = g.openStored(def, at+2, false, bulk)
		}
	case kindTrace:
		v.byRow, err = g.traceValues(c)
	}
	return v, err
}

// rows returns how many values there are.
func (s *stored) rows(g *group, at int) int {
	if s.texts != nil && s.texts.codes != nil {
		return len(s.texts.codes)
	}
	return g.dir.page.Columns[at].Rows
}

func (g *group) openStored(def *columnDef, at int, table, bulk bool) (stored, error) {
	s := stored{def: def}
	var err error
	if def.typ.isText() {
		s.texts, err = g.openTexts(at, table, bulk)
		return s, err
	}
	s.nums = g.r.Int64s(g.dir.page.Columns[at])
	if err = g.r.Err(); err != nil {
		err = g.corrupt("numbers", err)
	}
	return s, err
}

func (g *group) arrayEnds(c int) ([]int, error) {
	lens := g.dir.page.Columns[g.dir.pageOf[c]]
	ends := make([]int, lens.Rows)
	end := 0
	for i, n := range g.r.Int64s(lens) {
		if n <= 0 || n > maxElements || end > block.MaxRows {
			return nil, g.corrupt("arrays", fmt.Errorf("array of %d elements", n))
		}
		end += int(n)
		ends[i] = end
	}
	if err := g.r.Err(); err != nil {
		return nil, g.corrupt("arrays", err)
	}
	return ends, nil
}

var errValues = errors.New("the number of values is not that of the spans that have them")

// has returns which classes have the column.
func (g *group) has(c int) []bool {
	out := make([]bool, len(g.dir.classes))
	for i := range g.dir.classes {
		out[i] = slices.Contains(g.dir.shapes[g.dir.classes[i].shape], uint32(c+1))
	}
	return out
}

// classValues returns which stored value each class has of a column of kindClass.
func (g *group) classValues(c int) ([]int32, error) {
	out := make([]int32, len(g.dir.classes))
	n := int32(0)
	for i, has := range g.has(c) {
		if out[i] = -1; has {
			out[i] = n
			n++
		}
	}
	if int(n) != g.dir.page.Columns[g.dir.pageOf[c]].Rows {
		return nil, g.corrupt("classes", errValues)
	}
	return out, nil
}

// exceptions returns which values of a column of kindClass are not those of their classes.
func (g *group) exceptions(c int) ([]int, error) {
	places := g.dir.page.Columns[g.dir.pageOf[c]+1]
	out := make([]int, places.Rows)
	last := int64(0)
	for i, step := range g.r.Int64s(places) {
		if step < 0 || step == 0 && i > 0 || last+step >= int64(g.dir.columns[c].values) {
			return nil, g.corrupt("exceptions", errStamp)
		}
		last += step
		out[i] = int(last)
	}
	if err := g.r.Err(); err != nil {
		return nil, g.corrupt("exceptions", err)
	}
	return out, nil
}

// traceValues returns which stored value each trace has of a column of kindTrace.
func (g *group) traceValues(c int) ([]int32, error) {
	has := g.has(c)
	out := make([]int32, g.entry.traces)
	n, classes := int32(0), g.classList()
	for t := range out {
		out[t] = -1
		for _, class := range classes[g.first[t]:g.first[t+1]] {
			if has[class] {
				out[t] = n
				n++
				break
			}
		}
	}
	if int(n) != g.dir.page.Columns[g.dir.pageOf[c]].Rows {
		return nil, g.corrupt("traces", errValues)
	}
	return out, nil
}

// get sets a to value i of the column, which a span of that class and trace has. alloc makes room for the
// elements of an array.
func (v *valueColumn) get(i int, class uint32, trace int, a *Attribute, alloc func(int) []Attribute) {
	if v.kept != nil {
		*a = v.kept[class]
		return
	}
	a.Key, a.Type = v.key, v.typ
	switch {
	case v.ends != nil:
		from := 0
		if i > 0 {
			from = v.ends[i-1]
		}
		a.Array = alloc(v.ends[i] - from)
		for j := range a.Array {
			a.Array[j].Type = elementOf(v.typ)
			v.main.scalar(from+j, &a.Array[j])
		}
	case v.kind == kindClass:
		if len(v.places) > 0 {
			if k, ok := slices.BinarySearch(v.places, i); ok {
				v.except.scalar(k, a)
				return
			}
		}
		v.main.scalar(int(v.byRow[class]), a)
	case v.kind == kindTrace:
		v.main.scalar(int(v.byRow[trace]), a)
	default:
		v.main.scalar(i, a)
	}
}
