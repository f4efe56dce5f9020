package logs

import (
	"fmt"

	"github.com/hune-io/hune/internal/block"
)

// The sections of a logs block of version 4, in the order in which they are written.
// docs/formats/logs-block.md draws them.
const (
	sectionTraceIDs block.Kind = 123
	sectionPostings block.Kind = 122
	sectionPages    block.Kind = 124
	sectionStreams  block.Kind = 120
)

// sectionPages3 is sectionPages of version 3, whose pages have no triples. It is read, and not written any more.
const sectionPages3 block.Kind = 121

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
	{Kind: sectionPages, Name: "logs pages", Describe: describePages},
	{Kind: sectionPages3, Name: "logs pages of version 3", Describe: describePages},
	{Kind: sectionPostings, Name: "logs postings", Describe: func(b []byte) (string, error) {
		p, err := decodePostings(b)
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

func describePages(b []byte) (string, error) {
	x, err := decodePages(b)
	return fmt.Sprintf("%d pages, %d rows, %d bytes of lines, %v", len(x.pages), x.rows, x.lineBytes, x.levels), err
}

// pagesSection returns the kind of the section of pages that r has.
func pagesSection(r *block.Reader) block.Kind {
	if !r.Has(sectionPages) && r.Has(sectionPages3) {
		return sectionPages3
	}
	return sectionPages
}
