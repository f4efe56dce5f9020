package logql

import (
	"errors"
	"fmt"

	"github.com/hune-io/hune/internal/fault"
)

// ParseError says what is wrong with a query and where. Line and Col count from 1, in characters;
// both are 0 when the fault is in the meaning rather than at a place. Offset is the byte offset. Hint says what might
// have been meant; it is no part of the text, which is Loki's.
type ParseError struct {
	Msg       string
	Hint      string
	Line, Col int
	Offset    int
}

func (e *ParseError) Error() string {
	if e.Line == 0 && e.Col == 0 {
		return "parse error : " + e.Msg
	}
	return fmt.Sprintf("parse error at line %d, col %d: %s", e.Line, e.Col, e.Msg)
}

// invalidf is a fault in the meaning of a query.
func invalidf(format string, args ...any) error {
	return &ParseError{Msg: fmt.Sprintf(format, args...)}
}

// classed gives an error of a query its class: the user's, unless it has one or the query was given
// up.
func classed(err error) error {
	var e *fault.Error
	if err == nil || errors.As(err, &e) || fault.ClassOf(err) != fault.Internal {
		return err
	}
	return fault.New(fault.Invalid, err)
}
