package block

import (
	"context"
	"fmt"
)

// Describer knows the sections of a signal: their names, and what to say about the content of one.
type Describer struct {
	Kind Kind
	Name string
	// Describe, where set, says in a few words what the decoded section holds.
	Describe func(data []byte) (string, error)
}

// Version returns the version of the container that the block was written in.
func (r *Reader) Version() (major, minor uint16) { return Major, r.minor }

// Sections returns how many sections the block has, and their bytes in the object.
func (r *Reader) Sections() (n int, stored int64) {
	for _, e := range r.footer.sections {
		stored += int64(e.stored)
	}
	return len(r.footer.sections), stored
}

// SectionInfo is one row of the section table of a block.
type SectionInfo struct {
	Kind   Kind
	Name   string // "" if no Describer knows the kind
	Offset int64
	Stored int64
	Raw    int64
	Codec  Codec
	CRC    uint32
	Detail string // what the Describer said
	Err    error  // why the section can't be read or described
}

// Inspect reads every section of r and tells what is in it, in the order of the file. A damaged
// section is a row with Err set; only a source that doesn't answer fails the call.
func Inspect(ctx context.Context, r *Reader, known ...Describer) ([]SectionInfo, error) {
	infos := make([]SectionInfo, 0, len(r.footer.sections))
	for _, e := range r.footer.sections {
		info := SectionInfo{Kind: e.kind, Offset: int64(e.offset), Stored: int64(e.stored), Raw: int64(e.raw), Codec: e.codec, CRC: e.crc}
		data, err := r.Section(ctx, e.kind)
		if err != nil && !IsCorruption(err) {
			return nil, fmt.Errorf("inspect block %s: %w", r.name, err)
		}
		info.Err = err
		for _, d := range known {
			if d.Kind != e.kind {
				continue
			}
			info.Name = d.Name
			if err == nil && d.Describe != nil {
				info.Detail, info.Err = d.Describe(data)
			}
		}
		infos = append(infos, info)
	}
	return infos, nil
}
