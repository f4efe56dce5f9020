package traces

import "unsafe"

// Codes is a column of numbers in as many bytes each as the greatest needs: classes and depths are mostly below 256. It
// is immutable.
type Codes struct {
	bytes []uint8
	words []uint16
	all   []uint32
}

// narrowed returns a copy of list.
func narrowed(list []uint32) *Codes {
	most := uint32(0)
	for _, x := range list {
		most = max(most, x)
	}
	switch {
	case most < 1<<8:
		return &Codes{bytes: convert(make([]uint8, len(list)), list)}
	case most < 1<<16:
		return &Codes{words: convert(make([]uint16, len(list)), list)}
	}
	return &Codes{all: convert(make([]uint32, len(list)), list)}
}

// At returns number i.
func (c *Codes) At(i int) uint32 {
	switch {
	case c.bytes != nil:
		return uint32(c.bytes[i])
	case c.words != nil:
		return uint32(c.words[i])
	}
	return c.all[i]
}

// Copy sets dst to the numbers from number from on.
func (c *Codes) Copy(dst []uint32, from int) []uint32 {
	switch {
	case c.bytes != nil:
		return convert(dst, c.bytes[from:])
	case c.words != nil:
		return convert(dst, c.words[from:])
	}
	return convert(dst, c.all[from:])
}

// Bytes returns the numbers in a byte each, nil where that isn't how they are kept. They must not be changed.
func (c *Codes) Bytes() []uint8 { return c.bytes }

func (c *Codes) len() int {
	if c == nil {
		return 0
	}
	return len(c.bytes) + len(c.words) + len(c.all)
}

func (c *Codes) memory() int {
	if c == nil {
		return 0
	}
	return int(unsafe.Sizeof(*c)) + len(c.bytes) + 2*len(c.words) + 4*len(c.all)
}

// convert sets dst to the first numbers of src.
func convert[D, S uint8 | uint16 | uint32](dst []D, src []S) []D {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = D(src[i])
	}
	return dst
}
