// Package conformance replays recorded answers of the servers that Hune stands in for against Hune.
//
// Each corpus is a folder (traceql, logql) with a data set, requests, the answers of the original,
// and a list of what Hune answers otherwise. The functions take the server under test as an argument,
// so the same corpus runs against an engine over memory and against the whole program.
package conformance
