package logs

import (
	"fmt"

	"github.com/hune-io/hune/internal/block"
)

// The sections of a logs block of version 2, in the order in which they are written.
// docs/formats/logs-block.md draws them. Version 1, kinds 100 to 102, was never released and is not
// read.
const (
	sectionTraceIDs block.Kind = 113
	sectionPostings block.Kind = 112
	sectionPages    block.Kind = 111
	sectionStreams  block.Kind = 110

	sectionStreamsV1 block.Kind = 100
)

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
