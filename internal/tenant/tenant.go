// Package tenant names whose data a request is about and carries the name through a context.
//
// A tenant ID is 1 to 150 characters of [A-Za-z0-9!-_.*'()], never "." or "..": it is a path
// element in the bucket and on disk. The rules are those of Mimir, Loki and Tempo.
package tenant

import (
	"context"
	"errors"
	"fmt"
)

// Anonymous is the tenant of every request while multitenancy is off.
const Anonymous = "anonymous"

// Header is the HTTP header (and, in lower case, the gRPC metadata key) that names the tenant.
const Header = "X-Scope-OrgID"

const maxLength = 150

// ErrMissing says that multitenancy is on and the request named no tenant.
var ErrMissing = errors.New("no org id")

type contextKey struct{}

// NewContext returns ctx with the tenant set. The ID must have passed Validate.
func NewContext(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// FromContext returns the tenant of ctx, or ErrMissing.
func FromContext(ctx context.Context) (string, error) {
	if id, ok := ctx.Value(contextKey{}).(string); ok {
		return id, nil
	}
	return "", ErrMissing
}

// Validate reports why id can't be a tenant ID, or nil.
func Validate(id string) error {
	switch {
	case id == "":
		return ErrMissing
	case len(id) > maxLength:
		return fmt.Errorf("tenant ID is too long: %d characters, at most %d are allowed", len(id), maxLength)
	case id == "." || id == "..":
		return fmt.Errorf("tenant ID is %q, which is not allowed", id)
	}
	for i := 0; i < len(id); i++ {
		if !allowed(id[i]) {
			return fmt.Errorf("tenant ID %q contains unsupported character %q", id, id[i])
		}
	}
	return nil
}

func allowed(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '!', '-', '_', '.', '*', '\'', '(', ')':
		return true
	}
	return false
}
