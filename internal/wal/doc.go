// Package wal keeps what the ingester acknowledged until a block with the same data is in the bucket.
//
// A record is durable when Append returns nil: its segment is synced, with one sync for all writers
// that were waiting. Records come back from Replay in the order in which they were written, whole
// and checked by CRC32C, or not at all.
//
//	Append ─┐                       ┌─ write ─ fsync ─┐
//	Append ─┼─► queue (bounded) ──► │ one committer   ├──► all of the batch return
//	Append ─┘                       └─────────────────┘
//
// Segments are files of numbered names in the format of Prometheus's log (tsdb/wlog), which is drawn
// in docs/formats/wal.md. A process never appends to a segment of an earlier one, so that a torn
// tail stays where the crash left it. Reading goes on after a damaged place at the next page of 32
// KiB, and in any case with the next segment; what had to be skipped is counted and reported.
//
// A write or sync that fails is final: a kernel may drop the dirty pages of a failed fsync, so trying
// again could report as durable what is lost. Every waiting and later Append fails until the log is
// opened anew.
package wal
