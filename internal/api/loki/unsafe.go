package loki

import "unsafe"

// view returns b as a string without a copy, for lines that point into the request body: the pusher
// keeps nothing of a batch, and the body is released after it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf returns s as bytes without a copy. Nobody may change them.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
