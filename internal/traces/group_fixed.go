package traces

import "slices"

// fixedColumn collects values of a column that is not of an attribute. Which field holds them depends on the column, see
// fixedText. Most such columns have nothing to say in most row groups, and then hold nothing: zeros, or empty texts, are
// counted until another value comes.
type fixedColumn struct {
	ints  []int64
	texts []string
	zeros int  // how many came before, while some is false
	some  bool // a value is not zero, or not empty
}

func (c *fixedColumn) int(v int64) {
	if !c.some {
		if v == 0 {
			c.zeros++
			return
		}
		c.fillInts()
	}
	c.ints = append(c.ints, v)
}

func (c *fixedColumn) text(s string) {
	if !c.some {
		if s == "" {
			c.zeros++
			return
		}
		c.fillTexts()
	}
	c.texts = append(c.texts, s)
}

// fillInts and fillTexts write the zeros that were counted, so that the column is stored.
func (c *fixedColumn) fillInts() {
	c.ints = append(c.ints, make([]int64, c.zeros)...)
	c.zeros, c.some = 0, true
}

func (c *fixedColumn) fillTexts() {
	c.texts = append(c.texts, make([]string, c.zeros)...)
	c.zeros, c.some = 0, true
}

// len returns how many values were collected.
func (c *fixedColumn) len() int { return c.zeros + len(c.ints) + len(c.texts) }

// intAt returns a number.
func (c *fixedColumn) intAt(i int) int64 {
	if !c.some {
		return 0
	}
	return c.ints[i]
}

func (c *fixedColumn) reset() {
	clear(c.texts)
	*c = fixedColumn{ints: c.ints[:0], texts: c.texts[:0]}
}

// fixedInts returns the column of numbers that stand elsewhere.
func fixedInts(v []int64) fixedColumn {
	return fixedColumn{ints: v, some: slices.ContainsFunc(v, func(x int64) bool { return x != 0 })}
}
