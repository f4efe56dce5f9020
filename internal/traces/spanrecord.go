package traces

import (
	"encoding/binary"
	"math"
)

// A span record is a span in a head's memory, about a tenth of what its objects would take:
//
//	8 bytes   span ID ┐
//	byte      kind    │ what makes two spans the same
//	8 bytes   start   │
//	8 bytes   end     ┘
//	byte      which of the rare fields follow
//	uvarint   order of arrival
//	byte      status
//	uvarints  name, resource, scope
//	          rare fields, in the order of their bits
//	          attributes; events; links
//
// Strings are numbers of the head's interner. Records are written by appendRecord and read by
// recordReader alone and never leave the process, so reading doesn't check them.
const recordKeyLen = 25

const (
	hasParent = 1 << iota
	hasMessage
	hasState
	hasFlags
	hasDropped
	hasEvents
	hasLinks
)

func rareFields(s *Span) (bits byte) {
	set := func(is bool, bit byte) {
		if is {
			bits |= bit
		}
	}
	set(s.ParentID != SpanID{}, hasParent)
	set(s.StatusMessage != "", hasMessage)
	set(s.TraceState != "", hasState)
	set(s.Flags != 0, hasFlags)
	set(s.DroppedAttributes|s.DroppedEvents|s.DroppedLinks != 0, hasDropped)
	set(len(s.Events) > 0, hasEvents)
	set(len(s.Links) > 0, hasLinks)
	return bits
}

// appendSpanKey appends the first recordKeyLen bytes of a record.
func appendSpanKey(dst []byte, s *Span) []byte {
	dst = append(append(dst, s.ID[:]...), byte(s.Kind))
	dst = binary.LittleEndian.AppendUint64(dst, s.Start)
	return binary.LittleEndian.AppendUint64(dst, s.End)
}

func (in *interner) appendRecord(dst []byte, s *Span, resource, scope uint32) []byte {
	dst = appendSpanKey(dst, s)
	rare := rareFields(s)
	dst = append(dst, rare)
	dst = binary.AppendUvarint(dst, uint64(s.Order))
	dst = append(dst, byte(s.Status))
	dst = binary.AppendUvarint(dst, uint64(in.guess(&in.name, s.Name)))
	dst = binary.AppendUvarint(dst, uint64(resource))
	dst = binary.AppendUvarint(dst, uint64(scope))
	if rare&hasParent != 0 {
		dst = append(dst, s.ParentID[:]...)
	}
	if rare&hasMessage != 0 {
		dst = in.appendText(dst, s.StatusMessage)
	}
	if rare&hasState != 0 {
		dst = in.appendText(dst, s.TraceState)
	}
	if rare&hasFlags != 0 {
		dst = binary.AppendUvarint(dst, uint64(s.Flags))
	}
	if rare&hasDropped != 0 {
		dst = binary.AppendUvarint(dst, uint64(s.DroppedAttributes))
		dst = binary.AppendUvarint(dst, uint64(s.DroppedEvents))
		dst = binary.AppendUvarint(dst, uint64(s.DroppedLinks))
	}
	dst = in.appendAttributes(dst, s.Attributes, onSpan)
	if rare&hasEvents != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(s.Events)))
		for i := range s.Events {
			e := &s.Events[i]
			dst = binary.LittleEndian.AppendUint64(dst, e.Time)
			dst = in.appendText(dst, e.Name)
			dst = binary.AppendUvarint(dst, uint64(e.DroppedAttributesCount))
			dst = in.appendAttributes(dst, e.Attributes, onEvent)
		}
	}
	if rare&hasLinks != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(s.Links)))
		for i := range s.Links {
			l := &s.Links[i]
			dst = append(append(dst, l.TraceID[:]...), l.SpanID[:]...)
			dst = in.appendText(dst, l.TraceState)
			dst = binary.AppendUvarint(dst, uint64(l.DroppedAttributesCount))
			dst = binary.AppendUvarint(dst, uint64(l.Flags))
			dst = in.appendAttributes(dst, l.Attributes, onLink)
		}
	}
	return dst
}

func (in *interner) appendText(dst []byte, s string) []byte {
	return binary.AppendUvarint(dst, uint64(in.id(s)))
}

func (in *interner) appendAttributes(dst []byte, attrs []Attribute, place int) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(attrs)))
	before := uint32(0)
	for i := range attrs {
		a := &attrs[i]
		key := in.key(place, before, a.Key)
		before = key + 1
		dst = binary.AppendUvarint(dst, uint64(key)<<4|uint64(a.Type))
		if a.Type == TypeString {
			dst = binary.AppendUvarint(dst, uint64(in.valueOf(key, a.Str)))
		} else {
			dst = in.appendValue(dst, a)
		}
	}
	return dst
}

func (in *interner) appendValue(dst []byte, a *Attribute) []byte {
	switch a.Type {
	case TypeString:
		return in.appendText(dst, a.Str)
	case TypeInt, TypeBool:
		return binary.AppendVarint(dst, a.Int)
	case TypeFloat:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(a.Float))
	case TypeOpaque:
		dst = binary.AppendUvarint(dst, uint64(len(a.Raw)))
		return append(dst, a.Raw...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(a.Array)))
	for i := range a.Array {
		dst = in.appendValue(dst, &a.Array[i])
	}
	return dst
}

// recordReader turns records back into spans. Spans live in its slabs.
type recordReader struct {
	text      []string
	resources []*Resource
	scopes    []*Scope
	spans     slab[Span]
	attrs     slab[Attribute]
	events    slab[Event]
	links     slab[Link]
	b         []byte
	// numbered: the Int of an attribute that is text is the number of the text in the table.
	numbered bool
}

// reset takes back every span that span returned.
func (r *recordReader) reset() {
	r.spans.reset()
	r.attrs.reset()
	r.events.reset()
	r.links.reset()
}

// detach lets the spans returned so far live on their own.
func (r *recordReader) detach() {
	r.spans, r.attrs, r.events, r.links = slab[Span]{}, slab[Attribute]{}, slab[Event]{}, slab[Link]{}
}

func (r *recordReader) uvarint() uint64 {
	// Fast path: most numbers are small.
	if v := r.b[0]; v < 0x80 {
		r.b = r.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.b)
	r.b = r.b[n:]
	return v
}

func (r *recordReader) uint64() uint64 {
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *recordReader) byte() byte {
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *recordReader) string() string { return r.text[r.uvarint()] }

func (r *recordReader) copy(dst []byte) { r.b = r.b[copy(dst, r.b):] }

func (r *recordReader) span(record []byte) *Span {
	r.b = record
	s := &r.spans.alloc(1)[0]
	r.copy(s.ID[:])
	s.Kind = Kind(r.byte())
	s.Start, s.End = r.uint64(), r.uint64()
	rare := r.byte()
	s.Order = uint32(r.uvarint())
	s.Status = Status(r.byte())
	s.Name = r.string()
	s.Resource, s.Scope = r.resources[r.uvarint()], r.scopes[r.uvarint()]
	if rare&hasParent != 0 {
		r.copy(s.ParentID[:])
	}
	if rare&hasMessage != 0 {
		s.StatusMessage = r.string()
	}
	if rare&hasState != 0 {
		s.TraceState = r.string()
	}
	if rare&hasFlags != 0 {
		s.Flags = uint32(r.uvarint())
	}
	if rare&hasDropped != 0 {
		s.DroppedAttributes, s.DroppedEvents, s.DroppedLinks = uint32(r.uvarint()), uint32(r.uvarint()), uint32(r.uvarint())
	}
	s.Attributes = r.attributes()
	if rare&hasEvents != 0 {
		s.Events = r.events.alloc(int(r.uvarint()))
		for i := range s.Events {
			e := &s.Events[i]
			e.Time, e.Name, e.DroppedAttributesCount = r.uint64(), r.string(), uint32(r.uvarint())
			e.Attributes = r.attributes()
		}
	}
	if rare&hasLinks != 0 {
		s.Links = r.links.alloc(int(r.uvarint()))
		for i := range s.Links {
			l := &s.Links[i]
			r.copy(l.TraceID[:])
			r.copy(l.SpanID[:])
			l.TraceState, l.DroppedAttributesCount, l.Flags = r.string(), uint32(r.uvarint()), uint32(r.uvarint())
			l.Attributes = r.attributes()
		}
	}
	return s
}

func (r *recordReader) attributes() []Attribute {
	attrs := r.attrs.alloc(int(r.uvarint()))
	for i := range attrs {
		key := r.uvarint()
		attrs[i].Key, attrs[i].Type = r.text[key>>4], ValueType(key&15)
		r.value(&attrs[i])
	}
	return attrs
}

func (r *recordReader) value(a *Attribute) {
	switch a.Type {
	case TypeString:
		n := r.uvarint()
		if a.Str = r.text[n]; r.numbered {
			a.Int = int64(n)
		}
	case TypeInt, TypeBool:
		v, n := binary.Varint(r.b)
		a.Int, r.b = v, r.b[n:]
	case TypeFloat:
		a.Float = math.Float64frombits(r.uint64())
	case TypeOpaque:
		if n := r.uvarint(); n > 0 {
			a.Raw = r.b[:n:n]
			r.b = r.b[n:]
		}
	default:
		a.Array = r.attrs.alloc(int(r.uvarint()))
		for i := range a.Array {
			a.Array[i].Type = elementOf(a.Type)
			r.value(&a.Array[i])
		}
	}
}
