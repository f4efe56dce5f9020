// Package fault classes errors by what the caller should do about them.
//
// Roles and signals return a *Error where they know the class; protocol adapters turn the class
// into their own status (HTTP, gRPC) and body. An error without a class is Internal: a bug of ours
// or a broken disk, never the user's fault.
package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Class says whose fault an error is and whether the same request may succeed later.
type Class int

// The classes.
const (
	Internal      Class = iota // ours: 500, retry
	Invalid                    // the request is wrong and stays wrong: 400
	TooLarge                   // over a size limit: 413
	RateLimited                // over a rate, try again later: 429
	Unavailable                // not ready, full or shutting down, try again: 503
	NotFound                   // 404
	Unprocessable              // well-formed, but can't be executed within the limits: 422
	Unsupported                // a media type, encoding or version that is not known: 415
	NotYet                     // a part of a language or API that Hune does not have yet: 501
	Canceled                   // the caller went away: 499
	Timeout                    // the time budget ran out: 504
)

var statuses = [...]int{
	Internal: http.StatusInternalServerError, Invalid: http.StatusBadRequest, TooLarge: http.StatusRequestEntityTooLarge,
	RateLimited: http.StatusTooManyRequests, Unavailable: http.StatusServiceUnavailable, NotFound: http.StatusNotFound,
	Unprocessable: http.StatusUnprocessableEntity, Unsupported: http.StatusUnsupportedMediaType,
	NotYet: http.StatusNotImplemented, Canceled: 499, Timeout: http.StatusGatewayTimeout,
}

// Error is an error with a class.
type Error struct {
	Class      Class
	Reason     string        // short machine word for metrics, such as "rate_limited"; may be empty
	RetryAfter time.Duration // for RateLimited and Unavailable; zero leaves it to the client
	Err        error         // what the user reads
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error that carries the message.
func (e *Error) Unwrap() error { return e.Err }

// New gives err a class. It returns nil for a nil err.
func New(c Class, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Class: c, Err: err}
}

// Errorf is fmt.Errorf with a class.
func Errorf(c Class, format string, args ...any) error {
	return &Error{Class: c, Err: fmt.Errorf(format, args...)}
}

// Invalidf is Errorf(Invalid, …), the most frequent one.
func Invalidf(format string, args ...any) error {
	return &Error{Class: Invalid, Err: fmt.Errorf(format, args...)}
}

// ClassOf returns the class of the outermost classed error in the chain. Context errors are
// Canceled and Timeout; anything else is Internal.
func ClassOf(err error) Class {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Class
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	}
	return Internal
}

// Status returns the HTTP status of err's class.
func Status(err error) int { return statuses[ClassOf(err)] }

// RetryAfter returns how long the client should wait, or zero.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// Permanent reports whether sending the same request again can't help.
func Permanent(err error) bool {
	switch ClassOf(err) {
	case Invalid, TooLarge, NotFound, Unprocessable, Unsupported, NotYet:
		return true
	}
	return false
}
