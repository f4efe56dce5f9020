package column

import "unsafe"

// partMemory is how many times as much as their bytes in the directory columns of parts hold, about, once they
// are read.
const partMemory = 16

// Memory is what the page holds, about, in bytes. What has not been read yet of it is taken to be.
func (p *Page) Memory() int {
	n := int(unsafe.Sizeof(*p)) + 32*len(p.Blobs) + p.Triples.memory()
	for _, c := range p.Columns {
		n += c.Memory()
		for i := range c.parts {
			n += partMemory * int(c.parts[i].end-c.parts[i].from)
		}
	}
	return n
}

// Memory is what the description of the column holds, about, without its parts.
func (c *Column) Memory() int {
	if c == nil {
		return 0
	}
	n := int(unsafe.Sizeof(*c)) + len(c.Constant) + c.Values.Memory() + c.Lengths.Memory() + c.IDs.Memory()
	if c.NumberForm != plainNumbers {
		n += int(unsafe.Sizeof(*c.NumberForm))
	}
	if c.Clock != nil {
		n += int(unsafe.Sizeof(*c.Clock))
	}
	if c.TextForm != noTemplates {
		n += int(unsafe.Sizeof(*c.TextForm))
	}
	for _, s := range c.Shared {
		n += s.Memory()
	}
	for i := range c.Templates {
		n += c.Templates[i].memory()
	}
	return n
}

func (t *Template) memory() int {
	n := int(unsafe.Sizeof(*t)) + 16*len(t.Pieces) + 64*len(t.Fields)
	for _, p := range t.Pieces {
		n += len(p)
	}
	for _, s := range t.Slots {
		n += int(unsafe.Sizeof(s))
		if s.Shared < 0 && s.part == nil {
			n += s.Values().Memory()
		}
	}
	return n
}
