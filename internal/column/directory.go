package column

import (
	"encoding/binary"

	"github.com/hune-io/hune/internal/block"
)

// The directory of a page is
//
//	uvarint   number of blobs, and for each
//	          byte      class, codec << 4
//	          uvarint   raw length
//	          uvarint   stored length less the checksum     (not CodecRaw)
//	uvarint   first blob of the value filter, uvarint number of its blobs
//	uvarint   number of columns, and for each uvarint rows, column
//
// A column, whose number of rows is known from where it stands, is
//
//	byte      kind, flags << 4
//	Const     uvarint length, value
//	Int       byte form; format; varint Min, uvarint Max-Min; IPv4 and Trimmed: byte MinLen, byte MaxLen;
//	          with a Clock: byte digits, where steady then varint residual and nothing more;
//	          payload; byte Zeros if there are any
//	          format: Decimal byte width, byte scale, | 0x80 if Trimmed; TimeOfDay byte scale, separator;
//	          DateTime byte scale, | 0x80 if Dotted; separator, date separator, uvarint length of the suffix, suffix
//	Hex       byte digits; payload without length
//	Dict      uvarint number of entries; column of the entries; payload
//	Text      uvarint MinLen, uvarint MaxLen-MinLen
//	          uvarint number of templates, without template 0; uvarint rows of template 0
//	          templates, from 1 on: uvarint rows; byte mode; uvarint length, pieces with a placeholder
//	                    (0x11, which is in none) between; uvarint Shared+1 of each slot
//	          payload of the IDs, unless one template has all rows
//	          uvarint number of shared columns; shared columns
//	          column of template 0, unless it has no rows; columns of the slots that are not shared
//	Raw       uvarint MinLen, uvarint MaxLen-MinLen, uint16 Chars, uvarint Run;
//	          payload of the lengths, unless they are equal or newlines end the values; payload
//	Sparse    uvarint number of values; column of the values; payload
//
// A payload is
//
//	varint    blob, less that of the payload before it of the same kind: strings (Raw), or not
//	uvarint   length
//
// Payloads stand in their blobs in the order in which the directory names them, without gaps, so that
// their offsets follow, and no two of them are the same bytes.

const (
	flagFiltered = 1 << 4 // Int, Hex, Raw
	flagRecency  = 1 << 5 // Dict
	flagNewlines = 1 << 5 // Raw: Terminated
	flagTriples  = 1 << 6 // Raw, and Text in parts
	flagFollow   = 1 << 5 // Text in parts: the triples of the page follow
	flagClock    = 1 << 5 // Int
	flagSteady   = 1 << 6 // Int: Clock.Steady
	flagZeros    = 1 << 7 // Int
	flagUpper    = 1 << 5 // Hex
	flagUUID     = 1 << 6 // Hex
	flagLetters  = 1 << 7 // Hex: there are digits from a to f
)

// formDotted marks in the scale of a DateTime that it is Dotted.
const formDotted = 0x80

// formTrimmed marks in the scale of a Decimal that it is Trimmed.
const formTrimmed = 0x80

// checksumLen is what block.Pack adds to a payload.
const checksumLen = 4

// AppendPage appends the directory of p. It is not compressed.
func AppendPage(dst []byte, p *Page) []byte {
	w := directoryWriter{dst: dst}
	w.page(p)
	return w.dst
}

// directoryWriter appends columns.
type directoryWriter struct {
	dst  []byte
	last [2]int // blob of the last payload, not of strings and of strings

	// Of a page of Shapes:
	shapes    *Shapes
	triples   bool   // the page has triples
	named     []bool // the blobs that payloads were in
	inPart    []bool // the same in a part, scratch
	scratch   []byte
	begins    *[2]begin // of a part: where its first payloads are, blob -1: nowhere yet
	lastBegin [2]begin  // of the part before
}

func (w *directoryWriter) page(p *Page) {
	w.uvarint(len(p.Blobs))
	for i := range p.Blobs {
		b := &p.Blobs[i]
		w.byte(byte(b.Class) | byte(b.Codec)<<4)
		w.uvarint(b.RawLen)
		if b.Codec != block.CodecRaw {
			w.uvarint(b.StoredLen - checksumLen)
		}
	}
	w.uvarint(p.Filter.First)
	w.uvarint(p.Filter.Blobs)
	w.uvarint(len(p.Columns))
	for _, c := range p.Columns {
		w.uvarint(c.Rows)
		if w.shapes != nil && c.Kind == Text {
			more := byte(0)
			if w.triples {
				more = flagFollow
			}
			w.kind(c, more)
			w.parted(c)
			continue
		}
		w.column(c)
	}
}

func (w *directoryWriter) byte(b byte)   { w.dst = append(w.dst, b) }
func (w *directoryWriter) uvarint(x int) { w.dst = binary.AppendUvarint(w.dst, uint64(x)) }

// blob writes where a payload is.
func (w *directoryWriter) blob(p Payload, k Kind) {
	which := 0
	if k == Raw {
		which = 1
	}
	last := &w.last[which]
	if w.begins != nil && w.begins[which].blob < 0 {
		*last = p.Blob
	}
	w.dst = binary.AppendVarint(w.dst, int64(p.Blob-*last))
	*last = p.Blob
	if w.named == nil {
		return
	}
	first := !w.named[p.Blob]
	w.named[p.Blob] = true
	if w.begins != nil && w.begins[which].blob < 0 {
		w.begins[which] = begin{int32(p.Blob), int32(p.Off)}
	} else if first {
		w.uvarint(p.Off)
	}
}

func (w *directoryWriter) payload(p Payload, k Kind) {
	w.blob(p, k)
	w.uvarint(p.Len)
}

func (w *directoryWriter) column(c *Column) {
	w.kind(c, 0)
	s := &c.Stamp
	switch c.Kind {
	case Const:
		w.dst = block.AppendPrefixed(w.dst, c.Constant)
	case Int:
		w.format(&c.Int)
		w.dst = binary.AppendVarint(w.dst, s.Min)
		w.dst = binary.AppendUvarint(w.dst, uint64(s.Max)-uint64(s.Min))
		if c.Int.ownLengths() {
			w.dst = append(w.dst, byte(s.MinLen), byte(s.MaxLen))
		}
		if k := c.Clock; k != nil {
			w.byte(byte(k.Digits))
			if k.Steady {
				w.dst = binary.AppendVarint(w.dst, k.Residual)
				return
			}
		}
		w.payload(c.Payload, Int)
		if c.Zeros > 0 {
			w.byte(byte(c.Zeros))
		}
	case Hex:
		w.byte(byte(c.Hex.Digits))
		w.blob(c.Payload, Hex)
	case Dict, Sparse:
		w.uvarint(c.Values.Rows)
		w.column(c.Values)
		w.payload(c.Payload, c.Kind)
	case Text:
		w.text(c)
	case Raw:
		w.uvarint(s.MinLen)
		w.uvarint(s.MaxLen - s.MinLen)
		w.dst = binary.LittleEndian.AppendUint16(w.dst, uint16(s.Chars))
		w.uvarint(s.Run)
		if c.Lengths != nil {
			w.payload(c.Lengths.Payload, Int)
		}
		w.payload(c.Payload, Raw)
	}
}

// kind appends the kind of c and its flags, and more.
func (w *directoryWriter) kind(c *Column, more byte) {
	f := c.flags()
	if !w.triples {
		f &^= triplesFlag(c)
	}
	w.byte(byte(c.Kind) | f | more)
}

// triplesFlag is the flag of c that tells of triples.
func triplesFlag(c *Column) byte {
	if c.Triples {
		return flagTriples
	}
	return 0
}

func (c *Column) flags() (f byte) {
	set := func(on bool, flag byte) {
		if on {
			f |= flag
		}
	}
	set(c.Filtered, flagFiltered)
	f |= triplesFlag(c)
	switch c.Kind {
	case Int:
		set(c.Clock != nil, flagClock)
		set(c.Clock != nil && c.Clock.Steady, flagSteady)
		set(c.Zeros > 0, flagZeros)
	case Dict:
		set(c.Recency, flagRecency)
	case Raw:
		set(c.Terminated, flagNewlines)
	case Hex:
		set(c.Hex.Upper, flagUpper)
		set(c.Hex.UUID, flagUUID)
		set(c.Stamp.Chars&(HexLower|HexUpper) != 0, flagLetters)
	}
	return f
}

func (w *directoryWriter) format(f *IntFormat) {
	w.byte(byte(f.Form))
	switch f.Form {
	case Decimal:
		trimmed := byte(0)
		if f.Trimmed {
			trimmed = formTrimmed
		}
		w.dst = append(w.dst, byte(f.Width), byte(f.Scale)|trimmed)
	case TimeOfDay:
		w.dst = append(w.dst, byte(f.Scale), f.Separator)
	case DateTime:
		dotted := byte(0)
		if f.Dotted {
			dotted = formDotted
		}
		w.dst = append(w.dst, byte(f.Scale)|dotted, f.Separator, f.DateSeparator)
		w.dst = block.AppendPrefixed(w.dst, f.Suffix)
	}
}

func (w *directoryWriter) text(c *Column) {
	w.uvarint(c.Stamp.MinLen)
	w.uvarint(c.Stamp.MaxLen - c.Stamp.MinLen)
	w.uvarint(len(c.Templates) - 1)
	w.uvarint(c.Templates[0].Rows)
	for k := 1; k < len(c.Templates); k++ {
		w.template(&c.Templates[k])
	}
	if c.IDs.Kind != Const {
		w.payload(c.IDs.Payload, Int)
	}
	w.uvarint(c.sharedCount())
	for i := range c.sharedCount() {
		w.column(c.sharedColumn(i))
	}
	if c.Templates[0].Rows > 0 {
		w.column(c.Templates[0].Slots[0].Values())
	}
	for k := 1; k < len(c.Templates); k++ {
		for _, s := range c.Templates[k].Slots {
			if s.Shared < 0 {
				w.column(s.Values())
			}
		}
	}
}

func (w *directoryWriter) template(t *Template) {
	w.uvarint(t.Rows)
	w.byte(byte(t.Mode))
	n := len(t.Slots)
	for _, p := range t.Pieces {
		n += len(p)
	}
	w.uvarint(n)
	for i, p := range t.Pieces {
		if i > 0 {
			w.byte(placeholder)
		}
		w.dst = append(w.dst, p...)
	}
	for _, s := range t.Slots {
		w.uvarint(s.Shared + 1)
	}
}

// number gives each column of the page its id, in the order of the directory.
func (p *Page) number() {
	p.columns = 0
	for _, c := range p.Columns {
		p.numberColumn(c)
	}
}

func (p *Page) numberColumn(c *Column) {
	if c == nil {
		return
	}
	c.id = int32(p.columns)
	p.columns++
	p.numberColumn(c.Values)
	p.numberColumn(c.Lengths)
	p.numberColumn(c.IDs)
	for _, s := range c.Shared {
		p.numberColumn(s)
	}
	for k := range c.Templates {
		for _, s := range c.Templates[k].Slots {
			if s.Shared < 0 {
				p.numberColumn(s.Values())
			}
		}
	}
}
