package logs

import "unsafe"

// view returns b as a string without copying it. It is for memory that is written once and then
// only read: decoded records, arenas of the head, pages of a block. The string keeps b alive.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
