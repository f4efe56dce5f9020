// Package column stores a page's values, log lines above all, by what they look like, and answers
// searches on the stored form.
//
// A column is a list of byte strings, always rebuilt byte for byte. The encoder looks at the values and
// picks a kind for them:
//
//	Const   one value for all rows; it stands in the directory, there is no payload
//	Int     numbers, fixed-point numbers, IPv4 addresses, times of day and dates, as integers and the
//	        format that prints every one of them exactly as it was. A line's own time is stored as what
//	        tells it from the timestamp of the line, often nothing at all, see Clock
//	Hex     hexadecimal of one width and case, UUIDs among them: two digits a byte
//	Dict    few distinct values: a column of entries and a code for each row
//	Text    lines: templates of static pieces with slots between them; the values of a slot are
//	        a column again. JSON and logfmt lines have a slot for each field
//	Raw     anything else: lengths and bytes, or, where values are long, a newline behind each
//	Sparse  values for some of the rows only
//
// The description of a column (Column) is small and is read first. It carries stamps of what the values
// can be: lengths, characters, the longest alphanumeric run, least and greatest number. A search runs
// over descriptions before it opens a payload: a word that stands in the static pieces of a template
// selects all of its rows, a word that no slot can hold selects none.
//
// # Pages, blobs, classes
//
// The columns of a Page share blobs, compressed pieces of payload. Small payloads are pooled so that
// hundreds of slots don't cost hundreds of frames. A blob has a Class, which says how it is used, so that
// a block can keep blobs of one class together and a reader fetches a class of many pages with one
// request.
//
// # Reading
//
// A Reader works with the blobs that are at hand and notes those that it misses, see Reader. A caller
// that has all bytes in memory gives them all; one that reads by range fetches what was noted and asks
// again.
//
// A page has thousands of columns, and a question is about few. The directory of a page of lines has its columns in
// parts, which are decoded when somebody asks for one; what a part says of its columns is often enough to pass it by,
// see Shapes and Slot.
//
// Descriptions and blobs are bytes from elsewhere: decoding trusts no number in them, and a wrong one is
// an error, never a panic, or memory beyond a small multiple of what was read, of maxFreeCells numbers, and
// of maxValuesLen bytes of values.
package column
