package traces

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/hune-io/hune/internal/block"
)

const (
	// maxTagValues is the number of values, and maxTagBytes their size, up to which a block lists all.
	maxTagValues = 64
	maxTagBytes  = 4096
)

type tagKey struct {
	scope TagScope
	key   string
}

// tagList collects the attribute keys of a row group or a block, each with its values while they are few.
type tagList struct {
	keys map[tagKey]*values
}

func newTagList() *tagList { return &tagList{make(map[tagKey]*values)} }

// of returns the values of a key, which is listed from now on.
func (l *tagList) of(k tagKey) *values {
	v := l.keys[k]
	if v == nil {
		k.key = strings.Clone(k.key)
		v = newValues(maxTagValues + 1) // full means incomplete
		l.keys[k] = v
	}
	return v
}

func (l *tagList) add(scope TagScope, a *Attribute) {
	if v := l.of(tagKey{scope, a.Key}); !v.full() {
		v.add(a) // nothing for what can't be searched: such a key is listed, without values
	}
}

func (l *tagList) addAll(scope TagScope, attrs []Attribute) {
	for i := range attrs {
		l.add(scope, &attrs[i])
	}
}

// addResource adds the attributes of a resource, see values.addResource.
func (l *tagList) addResource(r *Resource) {
	l.addAll(ScopeResource, r.Attributes)
	if v := l.of(tagKey{ScopeResource, serviceName}); r.ServiceName == "" && !v.full() {
		v.addText("")
	}
}

// addColumn adds the values of a column that e has just encoded.
func (l *tagList) addColumn(c *attributeColumn, e *columnEncoder) {
	v := l.of(tagKey{placeScopes[c.place], c.key})
	if c.typ == TypeOpaque {
		return
	}
	a := Attribute{Type: c.typ}
	if c.typ.isArray() {
		a.Type = elementOf(c.typ)
	}
	add := func(i int) bool {
		c.scalarAt(i, a.Type, &a)
		v.add(&a)
		return !v.full()
	}
	if c.kind == kindClass || c.kind == kindTrace {
		for _, i := range e.picked {
			add(i)
		}
		for _, i := range e.except {
			add(i)
		}
		return
	}
	for i := range max(c.textCount(), len(c.nums)) {
		if v.full() || !add(i) {
			return
		}
	}
}

// join adds what another list has.
func (l *tagList) join(o *tagList) {
	for k, v := range o.keys {
		to := l.of(k)
		for i := range v.list {
			if to.full() {
				break
			}
			to.add(&v.list[i])
		}
	}
}

// size is what the list holds in memory, about.
func (l *tagList) size() int {
	n := 0
	for k, v := range l.keys {
		n += 160 + len(k.key) + 192*len(v.list)
	}
	return n
}

// entries returns what a block says of the keys, in order.
func (l *tagList) entries() []tagEntry {
	out := make([]tagEntry, 0, len(l.keys))
	for k, v := range l.keys {
		e := tagEntry{scope: k.scope, key: k.key, complete: !v.full()}
		size := 0
		for i := range v.list {
			size += 10 + len(v.list[i].Str)
		}
		if e.complete = e.complete && size <= maxTagBytes; e.complete {
			e.values = v.sorted()
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b tagEntry) int {
		return cmp.Or(cmp.Compare(a.scope, b.scope), cmp.Compare(a.key, b.key))
	})
	return out
}

// joinEntries adds what a block says of its keys.
func (l *tagList) joinEntries(entries []tagEntry) {
	for i := range entries {
		e := &entries[i]
		to := l.of(tagKey{e.scope, e.key})
		for j := range e.values {
			if !to.full() {
				to.add(&e.values[j])
			}
		}
		if !e.complete {
			to.closed = true
		}
	}
}

// tagEntry is one attribute key of a block.
type tagEntry struct {
	scope    TagScope
	key      string
	complete bool // values are all there are
	values   []Attribute
}

func appendTags(dst []byte, tags []tagEntry) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(tags)))
	for _, t := range tags {
		dst = block.AppendPrefixed(dst, string(t.scope))
		dst = block.AppendPrefixed(dst, t.key)
		if !t.complete {
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, 1)
		dst = binary.AppendUvarint(dst, uint64(len(t.values)))
		for i := range t.values {
			dst = block.AppendPrefixed(dst, AppendValue(nil, &t.values[i]))
		}
	}
	return dst
}

func decodeTags(data []byte) ([]tagEntry, error) {
	d := block.NewDecoder(data)
	tags := make([]tagEntry, d.Count(block.MaxRows, 3))
	w := walker{limits: unlimited}
	for i := range tags {
		t := &tags[i]
		t.scope, t.key = TagScope(d.String()), d.String()
		if t.complete = d.Byte() == 1; !t.complete {
			continue
		}
		t.values = make([]Attribute, d.Count(maxTagValues, 1))
		for j := range t.values {
			if err := w.value(d.String(), &t.values[j], true); err != nil {
				d.Fail(err)
			}
		}
	}
	return tags, d.Finish()
}
