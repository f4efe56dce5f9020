package logs

import (
	"fmt"

	"github.com/hune-io/hune/internal/block"
)

// The sections of a logs block of version 3, in the order in which they are written.
// docs/formats/logs-block.md draws them.
const (
	sectionTraceIDs block.Kind = 123
	sectionPostings block.Kind = 122
	sectionPages    block.Kind = 121
	sectionStreams  block.Kind = 120
)

// oldSections are the kinds that tell the versions that were never released and are not read.
var oldSections = map[block.Kind]int{100: 1, 110: 2}

// isOld returns the version of a block that is not read, or 0.
func isOld(r *block.Reader) int {
	for kind, version := range oldSections {
		if r.Has(kind) {
			return version
		}
	}
	return 0
}

// Sections describes the sections of logs blocks, for block.Inspect.
var Sections = []block.Describer{
	{Kind: sectionStreams, Name: "logs streams", Describe: func(b []byte) (string, error) {
		x, err := decodeStreams(b)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d streams, %d symbols", len(x.streams), len(x.symbols)), nil
	}},
	{Kind: sectionPages, Name: "logs pages", Describe: func(b []byte) (string, error) {
		x, err := decodePages(b, maxCount)
		return fmt.Sprintf("%d pages, %d rows, %d bytes of lines, %v", len(x.pages), x.rows, x.lineBytes, x.levels), err
	}},
	{Kind: sectionPostings, Name: "logs postings", Describe: func(b []byte) (string, error) {
		p, err := decodePostings(b, maxCount)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d label names", len(p.names)), nil
	}},
	{Kind: sectionTraceIDs, Name: "logs trace IDs", Describe: func(b []byte) (string, error) {
		f, err := decodeTraceFilter(b)
		return fmt.Sprintf("%d IDs on pages, in %d pieces", f.Entries, f.Pieces), err
	}},
}
