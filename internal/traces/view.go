package traces

import "unsafe"

// view returns b as a string without a copy. The string must not outlive the caller's right to b,
// and b must not change meanwhile. Walking a request of megabytes would otherwise start by copying
// it, although checking keeps nothing and the head interns what it keeps.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
