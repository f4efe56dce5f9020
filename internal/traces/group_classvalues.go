package traces

import (
	"context"
	"maps"
	"strings"
	"unsafe"
)

// attributesOfClasses are the values that the spans of each class have of an attribute, with its type; of classes without
// it they are zero. They are immutable.
type attributesOfClasses []Attribute

// attributesByClass returns the values of a column of kindClass without exceptions. They are kept from the second question
// on; before, or where there is no room, the result is nil.
func (g *group) attributesByClass(ctx context.Context, c int) (attributesOfClasses, error) {
	k := g.known()
	if values := k.values[c]; values != nil {
		return values, nil
	}
	if values := g.values[c]; values != nil || k.class == nil || k.full {
		return values, nil
	}
	if err := g.load(ctx, g.pages(c)); err != nil {
		return nil, err
	}
	v, err := g.openColumn(c, true)
	if err != nil {
		return nil, err
	}
	values := make(attributesOfClasses, len(g.dir.classes))
	for class := range values {
		if v.byRow[class] >= 0 {
			a := &values[class]
			v.get(0, uint32(class), 0, a, nil)
			a.Str = strings.Clone(a.Str) // of memory that is given back
		}
	}
	if g.values == nil {
		g.values = map[int]attributesOfClasses{}
	}
	g.values[c], g.learned = values, true
	return values, nil
}

// match returns the classes with a value that passes.
func (a attributesOfClasses) match(v *ValueTest, has []bool) RowSet {
	out := make([]bool, len(a))
	for class := range a {
		out[class] = has[class] && v.attribute(&a[class])
	}
	return classSet(out)
}

// mergeValues returns what two tables know together.
func mergeValues(a, b map[int]attributesOfClasses) map[int]attributesOfClasses {
	if len(b) == 0 {
		return a
	}
	out := maps.Clone(b)
	maps.Copy(out, a)
	return out
}

// valuesMemory is what values hold, in bytes.
func valuesMemory(values map[int]attributesOfClasses) (n int) {
	for _, list := range values {
		n += 64 + len(list)*int(unsafe.Sizeof(Attribute{}))
		for i := range list {
			n += len(list[i].Str) + len(list[i].Raw)
		}
	}
	return n
}
