package logql

import (
	"bytes"

	"github.com/buger/jsonparser"

	"github.com/hune-io/hune/internal/column"
)

// reading says how the value of a label is read from the bytes of a column.
type reading struct {
	mode      column.Mode // Whole: the bytes are the value
	quoted    bool
	expr      bool // the label is that of an expression
	keepEmpty bool
}

// presence says whether a row has a label.
type presence uint8

const (
	isMissing presence = iota
	isThere
	isUnsure // the pipeline has to say
)

// plain reports whether the bytes of every value of c are the value of the label.
func (h reading) plain(c *column.Column) bool {
	switch {
	case h.mode == column.Whole:
		return true
	case c.Stamp.Chars&column.High != 0:
		return false // may not be UTF-8
	case h.mode == column.JSON && !h.quoted:
		return c.Kind == column.Int // else there may be null and arrays
	case h.mode == column.Logfmt && c.Stamp.MinLen == 0 && !h.keepEmpty && !h.expr:
		return false
	}
	return !h.quoted || c.Stamp.Chars&column.Backslash == 0
}

// sure reports whether every row that has a value in c has the label.
func (h reading) sure(c *column.Column) bool {
	if h.mode == column.JSON {
		return h.quoted || c.Kind == column.Int
	}
	return (c.Stamp.MinLen > 0 || h.keepEmpty) && !(h.quoted && c.Stamp.Chars&column.Backslash != 0)
}

// text returns the value of a label, as the parser would make it of the bytes in the line. It is valid until
// the next call with the same s.
func (h reading) text(s *labelSet, raw []byte) (string, presence) {
	s.arena = s.arena[:0]
	switch h.mode {
	case column.JSON:
		return h.jsonText(s, raw)
	case column.Logfmt:
		return h.logfmtText(s, raw)
	}
	return view(raw), isThere
}

func (h reading) jsonText(s *labelSet, raw []byte) (string, presence) {
	if h.quoted {
		return unescapeJSON(s, raw), isThere
	}
	if len(raw) == 0 {
		return "", isUnsure
	}
	switch raw[0] {
	case 'n':
		if h.expr {
			return "", isThere
		}
		return "", isMissing
	case '[':
		if !h.expr {
			return "", isMissing
		}
		return unescapeJSON(s, raw), isThere
	case '{':
		return "", isUnsure
	}
	return view(raw), isThere
}

func (h reading) logfmtText(s *labelSet, raw []byte) (string, presence) {
	if len(raw) == 0 {
		if h.expr || h.keepEmpty {
			return "", isThere
		}
		return "", isMissing
	}
	if !h.quoted || bytes.IndexByte(raw, '\\') < 0 {
		return validText(s, raw), isThere
	}
	s.arena = append(s.arena, raw...)
	out, err := jsonparser.Unescape(raw, s.arena)
	if err != nil {
		return "", isUnsure
	}
	return validText(s, out), isThere
}
