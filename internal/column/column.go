package column

import (
	"github.com/hune-io/hune/internal/block"
)

// Kind says how the values of a column are stored. The numbers are those of the format.
type Kind uint8

// The kinds, see the package comment.
const (
	Const  Kind = 0
	Int    Kind = 1
	Hex    Kind = 2
	Dict   Kind = 3
	Text   Kind = 4
	Raw    Kind = 5
	Sparse Kind = 6
)

// Class says what a blob is for. Blobs of one class stand together in a block.
type Class uint8

// The classes, in the order in which blocks hold them.
const (
	Spine   Class = 0 // timestamps, template numbers, levels: what counts need
	Strings Class = 1 // pools of small payloads, and entries of dictionaries
	Bulk    Class = 2 // large payloads
	Filters Class = 3 // value filters, in pieces of filterBlobLen bytes

	Classes = 4
)

// Payload is bytes of a blob. A payload that is longer than what the blob has from Off on goes on in the
// blobs that follow.
type Payload struct {
	Blob     int
	Off, Len int
}

// Stamp is what is known of the values of a column without opening it.
type Stamp struct {
	MinLen, MaxLen int     // in bytes
	Chars          Charset // of all values together
	Run            int     // no value has a longer run of letters and digits
	Min, Max       int64   // Int only: the least and the greatest value
}

// Column describes an encoded column. It is immutable. A page has thousands: what only some kinds have is
// behind pointers, which are never nil. Kinds that lack it share an empty one.
type Column struct {
	Kind       Kind
	Recency    bool  // Dict: a code is the distance to the newest entry, 0 a new entry
	Filtered   bool  // the values, or of Raw the UUIDs in them, are in the page's value filter
	Terminated bool  // Raw, see Lengths
	Triples    bool  // Raw, and Text of lines: the values have no runs of three letters but those of the page's Triples
	id         int32 // among the columns of the page
	Rows       int
	Stamp      Stamp

	// Payload: Int the integers (block.AppendInts), Hex the digits, Dict the codes, Raw the bytes, Sparse
	// the bitmap of the rows that have a value (block.AppendBitmap).
	Payload Payload

	Constant []byte // Const: the value

	// Values: Dict the entries, each distinct; Sparse the values of the rows that have one.
	Values *Column
	// Lengths: Raw the lengths of the values; nil where all are Stamp.MinLen long, and where Terminated: then
	// a newline follows each value in the payload, and none is in a value.
	Lengths *Column

	*NumberForm // Int, Hex
	*TextForm   // Text
}

// NumberForm is what Int and Hex columns have.
type NumberForm struct {
	Int   IntFormat // Int: how a number is printed
	Hex   HexFormat // Hex
	Clock *Clock    // Int: nil, or how it follows the timestamps of the page
	Zeros int       // Int: the payload holds what is to be multiplied by ten so many times
}

// TextForm is what a Text column has.
type TextForm struct {
	// IDs: the template of each row, Const or Int without a format of its own.
	IDs *Column
	// Templates: template 0 is for rows that fit no other: one slot, two empty pieces. It may have no rows.
	Templates []Template
	// Shared: the columns that several templates have a slot in. The values stand in the order of the
	// rows, whichever template they are of. Nil where they are in parts.
	Shared []*Column
	// parts: of a page of Shapes, the shared columns, then those of templates.
	parts  []slotPart
	shared int // how many of parts are shared columns
}

// Nothing writes to these.
var (
	plainNumbers = &NumberForm{}
	noTemplates  = &TextForm{}
)

func newColumn(k Kind, rows int) *Column {
	return &Column{Kind: k, Rows: rows, NumberForm: plainNumbers, TextForm: noTemplates}
}

// Mode says which grammar the rows of a template follow.
type Mode uint8

// The modes. JSON and Logfmt are strict: a parser of the grammar reads such a row without an error and
// finds the fields of the template, no more and no less.
const (
	Whole   Mode = 0 // template 0
	Generic Mode = 1
	JSON    Mode = 2
	Logfmt  Mode = 3
)

// Template is the common form of some rows: Pieces[0] Slots[0] Pieces[1] … Slots[n-1] Pieces[n].
type Template struct {
	Mode   Mode
	chars  Charset // of the rows; see stampText
	Rows   int
	run    int // no row has a longer run of letters and digits
	Pieces []string
	Slots  []Slot
	Fields []Field // JSON and Logfmt: in the order of the line
}

// Field is a field of a JSON or logfmt template. Every slot of such a template is the value of a field.
type Field struct {
	Path   []string // JSON: the keys from the outermost object on, as they stand in the line (escapes kept); logfmt: the key
	Slot   int      // -1: the value is static: an empty object, or a logfmt key without a value
	Quoted bool     // the value stands in quotes; it is stored without them, escapes kept
}

// BlobInfo is what a directory says of a blob. Where it stands follows from the blobs before it.
type BlobInfo struct {
	Class     Class
	Codec     block.Codec
	StoredLen int // with the checksum
	RawLen    int
}

// Page describes the columns that were encoded together.
type Page struct {
	Blobs   []BlobInfo
	Columns []*Column
	// Filter: the value filter of the page is the blobs Filter.First … Filter.First+Filter.Blobs-1. No
	// blobs: no Int or Hex column is Filtered.
	Filter  FilterInfo
	Triples *Triples    // nil: no column says that its triples are the page's
	columns int         // number of all columns, nested ones too; of those that were read
	source  *partSource // of parts; nil: there are none
}

// FilterInfo says where the value filter of a page is.
type FilterInfo struct{ First, Blobs int }

// Ref returns the reference of the blob, without its offset.
func (b BlobInfo) Ref() block.Ref {
	return block.Ref{StoredLen: uint32(b.StoredLen), RawLen: uint32(b.RawLen), Codec: b.Codec}
}
