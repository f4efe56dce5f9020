package block

import (
	"errors"
	"fmt"
)

// ErrVersion marks a block of a major version that this program can't read: a newer program wrote
// it. The block is whole, upgrade to read it.
var ErrVersion = errors.New("unknown block version")

// ErrNoSection says that a block has no section of the kind asked for: an older or smaller block.
var ErrNoSection = errors.New("no such section")

// CorruptionError says that bytes of a block are not what was written. Reading again may help only
// if the fault lies in a cache or in transport.
type CorruptionError struct {
	Block   string // object name
	Section string // what was being read: "tail", "footer", "section 101", "blob"
	Offset  int64  // where it begins in the object
	Err     error
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("corrupt block %s: %s at offset %d: %v", e.Block, e.Section, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *CorruptionError) Unwrap() error { return e.Err }

// IsCorruption reports whether err says that a block is damaged.
func IsCorruption(err error) bool {
	var c *CorruptionError
	return errors.As(err, &c)
}
