package logql

import "unsafe"

// view returns b as a string without a copy. The string is valid as long as b's memory is left
// alone: for values taken from a line that is until the source moves on, so what outlives the row
// is cloned (see labelSet.snapshot). Without it every parsed value of every line would be allocated.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// viewBytes is the other way round; the bytes must not be written.
func viewBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
