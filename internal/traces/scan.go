package traces

import (
	"encoding/binary"
	"strings"
)

// SpanView is a span as it stands in an OTLP message: what derived metrics need of it, the attributes unread.
// Its strings are views of the message.
type SpanView struct {
	TraceID             ID
	ID, ParentID        SpanID
	Name, StatusMessage string
	TraceState          string
	Kind                Kind
	Status              Status
	Start, End          uint64
	Size                int // bytes of the encoded span

	attributes []string // KeyValue messages
}

// SpanVisitor receives what ScanOTLP finds. Nothing that it is given may be kept.
type SpanVisitor interface {
	// Resource starts the spans of a resource, which DecodeResource reads.
	Resource(raw string)
	Span(s *SpanView)
}

// ScanOTLP visits the spans of a message that Check let through, which is several times cheaper than
// reading them: attributes, events and links are passed over. It is for numbers about spans that are stored
// already; the error is Invalid where the message is malformed in what it reads.
func ScanOTLP(data []byte, v SpanVisitor) error {
	s := spanScanner{v: v}
	c, f := cursor{s: view(data)}, field{}
	for c.next(&f) {
		if f.num == 1 && c.want(&f, wireBytes) && !s.resourceSpans(f.data) {
			return malformed("resource_spans", errTruncated)
		}
	}
	if c.err != nil {
		return malformed("traces_data", c.err)
	}
	return nil
}

type spanScanner struct {
	v    SpanVisitor
	span SpanView
}

func (s *spanScanner) resourceSpans(data string) bool {
	c, f := cursor{s: data}, field{}
	resource := ""
	for c.next(&f) {
		if f.num == 1 && c.want(&f, wireBytes) {
			resource += f.data // a second one is merged, as protobuf says
		}
	}
	s.v.Resource(resource)
	c = cursor{s: data, err: c.err}
	for c.next(&f) {
		if f.num != 2 || !c.want(&f, wireBytes) {
			continue
		}
		inner, g := cursor{s: f.data}, field{}
		for inner.next(&g) {
			if g.num == 2 && inner.want(&g, wireBytes) {
				if !s.span.read(g.data) {
					return false
				}
				s.v.Span(&s.span)
			}
		}
		if inner.err != nil {
			return false
		}
	}
	return c.err == nil
}

// read fills s from a Span message. It walks by offset, with numbers of one and two bytes read in place: calls
// for each of the thirty fields of a span would be most of its cost.
func (s *SpanView) read(data string) bool {
	*s = SpanView{Size: len(data), attributes: s.attributes[:0]}
	for i := 0; i < len(data); {
		key := uint64(data[i])
		if i++; key >= 0x80 {
			if key, i = uvarintAt(data, i-1); i < 0 {
				return false
			}
		}
		switch key & 7 {
		case wireBytes:
			var n uint64
			switch {
			case i < len(data) && data[i] < 0x80:
				n, i = uint64(data[i]), i+1
			case i+1 < len(data) && data[i+1] < 0x80:
				n, i = uint64(data[i]&0x7f)|uint64(data[i+1])<<7, i+2
			default:
				if n, i = uvarintAt(data, i); i < 0 {
					return false
				}
			}
			if n > uint64(len(data)-i) {
				return false
			}
			body := data[i : i+int(n)]
			i += int(n)
			if key == 9<<3|wireBytes {
				s.attributes = append(s.attributes, body) // most fields of most spans
			} else if !s.bytesField(key>>3, body) {
				return false
			}
		case wireVarint:
			var n uint64
			if n, i = uvarintAt(data, i); i < 0 {
				return false
			}
			if key>>3 == 6 && n <= uint64(KindConsumer) {
				s.Kind = Kind(n)
			}
		case wireFixed64:
			if len(data)-i < 8 {
				return false
			}
			switch key >> 3 {
			case 7:
				s.Start = le64(data[i:])
			case 8:
				s.End = le64(data[i:])
			}
			i += 8
		case wireFixed32:
			if len(data)-i < 4 {
				return false
			}
			i += 4
		default:
			return false
		}
	}
	return true
}

func (s *SpanView) bytesField(num uint64, body string) bool {
	switch num {
	case 1:
		return copy(s.TraceID[:], body) == len(body)
	case 2:
		return copy(s.ID[:], body) == len(body)
	case 3:
		s.TraceState = body
	case 4:
		return copy(s.ParentID[:], body) == len(body)
	case 5:
		s.Name = body
	case 15:
		return s.status(body)
	}
	return true
}

func (s *SpanView) status(data string) bool {
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		switch f.num {
		case 2:
			if c.want(&f, wireBytes) {
				s.StatusMessage = f.data
			}
		case 3:
			if c.want(&f, wireVarint) && f.val <= uint64(StatusError) {
				s.Status = Status(f.val)
			}
		}
	}
	return c.err == nil
}

// uvarintAt reads a varint at i and returns where it ends, or a negative offset.
func uvarintAt(s string, i int) (uint64, int) {
	var v uint64
	for n := range binary.MaxVarintLen64 {
		if i+n >= len(s) {
			break
		}
		b := s[i+n]
		v |= uint64(b&0x7f) << (7 * n)
		if b < 0x80 {
			return v, i + n + 1
		}
	}
	return 0, -1
}

// AttributeKeys are keys to look for in many spans.
type AttributeKeys struct {
	names   []string
	lengths [4]uint64 // a bit for each length below 256: most other keys are passed over by it
}

// NewAttributeKeys returns the keys as a set whose order counts.
func NewAttributeKeys(names []string) *AttributeKeys {
	k := &AttributeKeys{names: names}
	for _, n := range names {
		k.lengths[len(n)>>6&3] |= 1 << (len(n) & 63)
	}
	return k
}

// Len is how many keys there are.
func (k *AttributeKeys) Len() int { return len(k.names) }

// RawValue is an attribute's value as it stands in a message, "" where there is none.
type RawValue string

// RawOf encodes the value of an attribute.
func RawOf(a *Attribute) RawValue {
	b := []byte{2<<3 | wireBytes, 0}
	return RawValue(endMessage(AppendValue(b, a), len(b)))
}

// Scalar reads the value. ok is false unless it is text, a number or a boolean; text is a view of v.
func (v RawValue) Scalar() (a Attribute, ok bool) {
	c, f := cursor{s: string(v)}, field{}
	value := ""
	for c.next(&f) {
		if f.num == 2 && f.typ == wireBytes {
			value, ok = f.data, true
		}
	}
	if !ok || c.err != nil {
		return Attribute{}, false
	}
	last, err := lastValue(value)
	ok = err == nil && scalar(&last, &a) == nil
	return a, ok
}

// Find sets found[i] to the value of the first attribute with key i, a view of the message. found must be as
// long as the keys.
func (s *SpanView) Find(k *AttributeKeys, found []RawValue) {
	clear(found)
	for _, data := range s.attributes {
		// Fast path: the key is the first field, as every encoder writes it, and short.
		var key, value string
		if len(data) > 2 && data[0] == 1<<3|wireBytes && data[1] < 0x80 && len(data) >= 2+int(data[1]) {
			key, value = data[2:2+int(data[1])], data[2+int(data[1]):]
		} else {
			key, value = keyOf(data), data
		}
		if k.lengths[len(key)>>6&3]&(1<<(len(key)&63)) == 0 {
			continue
		}
		for i, name := range k.names {
			if name == key && found[i] == "" {
				found[i] = RawValue(value)
			}
		}
	}
}

// keyOf returns the key of a KeyValue message, "" where there is none.
func keyOf(data string) (key string) {
	c, f := cursor{s: data}, field{}
	for c.next(&f) {
		if f.num == 1 && f.typ == wireBytes {
			key = f.data
		}
	}
	return key
}

// DecodeResource reads a Resource message. The result doesn't refer to raw.
func DecodeResource(raw string) (*Resource, error) {
	w := walker{limits: unlimited}
	r := &Resource{}
	if err := w.resourceMessage(strings.Clone(raw), r); err != nil {
		return nil, malformed("resource", err)
	}
	for i := range r.Attributes {
		if a := &r.Attributes[i]; a.Key == "service.name" && a.Type == TypeString {
			r.ServiceName = a.Str
			break
		}
	}
	return r, nil
}
