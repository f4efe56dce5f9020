// Package block is the container file of log and trace blocks: blobs and sections behind one footer.
//
// A block is one object, immutable, of one tenant and one signal. The container knows nothing of
// rows: it stores byte strings with a checksum, finds them again by range reads, and lends signals
// the column codecs to fill them.
//
//	┌──────────────────────────────────────────────┐ 0
//	│ header   magic, major, minor, crc            │ 16 bytes
//	├──────────────────────────────────────────────┤
//	│ blob     payload, crc32c                     │ found by a Ref that a section holds
//	│ blob …                                       │
//	│ section  payload                             │ found by its Kind in the footer
//	│ section …                                    │ written last = read first
//	├──────────────────────────────────────────────┤
//	│ footer   section table, totals               │
//	├──────────────────────────────────────────────┤
//	│ tail     footer length and crc, size, magic  │ 32 bytes
//	└──────────────────────────────────────────────┘ size
//
// Readers fetch the last 256 KiB in one request; with the sections that a query needs first written
// last, that one request is normally enough to decide whether the rest is needed at all. The layout
// is drawn byte by byte in docs/formats/block.md and pinned by testdata/v1.hune.
//
// What a reader promises: every offset and length is checked against the object's size before
// anything is allocated, no blob is larger than MaxBlobLen, a wrong byte gives a *CorruptionError
// and never a panic or another answer. An unknown section kind is ignored, an unknown major version
// is refused.
//
// A block lives in a bucket at TENANT/SIGNAL/ULID/ as data.hune with meta.json beside it. meta.json
// is written last and deleted first: a folder without one is not a block.
package block
