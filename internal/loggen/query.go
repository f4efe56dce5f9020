package loggen

import (
	"bytes"

	"github.com/hune-io/hune/internal/block"
)

// QueryKind says what a query asks, and so how fast it should be.
type QueryKind string

// The kinds.
const (
	StaticWord    QueryKind = "static word"    // Text, which stands in the fixed part of some templates
	AbsentWord    QueryKind = "absent word"    // Text, which no line has
	LoneID        QueryKind = "lone id"        // an identifier of one or a few lines, see Query.Needle
	Partial       QueryKind = "part of value"  // Text, a piece of the values of a field
	FieldText     QueryKind = "field as text"  // Text, a field with its value as it stands in the line
	Regexp        QueryKind = "regexp"         // Text, an RE2 expression
	NumericFilter QueryKind = "numeric filter" // the Parser's Field >= Least
	UnwrapSum     QueryKind = "unwrap sum"     // the sum of the Parser's Field
	CountAll      QueryKind = "count"          // of all lines
	CountWord     QueryKind = "count of word"  // over time, of lines with Text
)

// Query is a question about a set.
type Query struct {
	Kind QueryKind
	Text string // what to look for, unless the kind says otherwise
	// Literal: Regexp a text that every match contains, for a scan that wants to be quick.
	Literal string

	After  string // LoneID: the identifier follows this text, up to a space or a mark
	Length int    // LoneID: what is of another length is none; 0: any length

	Parser string // NumericFilter, UnwrapSum: json or logfmt
	Field  string
	Least  float64
	// Marker: NumericFilter, UnwrapSum: what stands before the value in a line, for a scan without parser.
	Marker string
}

// Needle returns the text to search for. For LoneID it is the identifier of a line near the middle of
// lines, or false where no line has one.
func (q Query) Needle(lines *block.Values) (string, bool) {
	if q.Kind != LoneID {
		return q.Text, true
	}
	for i := lines.Len() / 2; i < lines.Len(); i++ {
		_, rest, ok := bytes.Cut(lines.At(i), []byte(q.After))
		if !ok {
			continue
		}
		id := rest
		if end := bytes.IndexAny(rest, " \"?)],:"); end >= 0 {
			id = rest[:end]
		}
		if len(id) > 0 && (q.Length == 0 || len(id) == q.Length) {
			return string(id), true
		}
	}
	return "", false
}

// common is asked of every set.
func common(more ...Query) []Query {
	return append([]Query{{Kind: CountAll}, {Kind: AbsentWord, Text: absent}}, more...)
}

// absent is in no line of any set.
const absent = "nosuchword"
