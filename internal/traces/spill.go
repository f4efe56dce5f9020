package traces

import (
	"fmt"
	"io"
	"os"

	"github.com/hune-io/hune/internal/block"
)

// spillFile holds the blobs of a head's sealed row groups outside of the heap, where they would take twice their size:
// the collector lets the heap grow by as much as it holds. It has no name, so that nothing is left of it when the
// process ends, and it is not synced: what it holds is in the log as well. It is closed when nobody refers to it any
// more, which *os.File does: questions may still read it when the head has become a block.
type spillFile struct {
	f    *os.File
	size int64
}

// newSpillFile makes an empty one in dir, which is made if it isn't there.
func newSpillFile(dir string) (*spillFile, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "sealed-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // where a file in use can't be removed, who owns dir does it at the next start
	return &spillFile{f: f}, nil
}

// spilled says where the blobs of a row group are.
type spilled struct {
	file io.ReaderAt
	ends []int64 // of each blob, and before them where the first begins
}

// keep writes the blobs of g to the file and lets go of them.
func (s *spillFile) keep(g *encodedGroup) error {
	at := s.size
	ends := []int64{at}
	for _, b := range g.blobs {
		if _, err := s.f.WriteAt(b, at); err != nil {
			return err
		}
		at += int64(len(b))
		ends = append(ends, at)
	}
	s.size = at
	g.spilled, g.blobs = &spilled{s.f, ends}, nil
	return nil
}

// stored returns blobs of the group in their stored form.
func (g *encodedGroup) stored(ids []int, mem *block.Buffers) ([][]byte, error) {
	out := make([][]byte, len(ids))
	if g.spilled == nil {
		for k, id := range ids {
			out[k] = g.blobs[id]
		}
		return out, nil
	}
	ends := g.spilled.ends
	for k := 0; k < len(ids); {
		n := 1
		for k+n < len(ids) && ids[k+n] == ids[k]+n {
			n++
		}
		from, to := ends[ids[k]], ends[ids[k]+n]
		data := mem.Get(int(to - from))[:to-from]
		if _, err := g.spilled.file.ReadAt(data, from); err != nil {
			return nil, fmt.Errorf("read sealed spans: %w", err)
		}
		for ; n > 0; n-- {
			out[k] = data[ends[ids[k]]-from : ends[ids[k]+1]-from]
			k++
		}
	}
	return out, nil
}

// loaded returns the group with its blobs in memory, each on its own: a block that is written keeps some of them.
func (g *encodedGroup) loaded() (*encodedGroup, error) {
	if g.spilled == nil {
		return g, nil
	}
	out := *g
	out.blobs = make([][]byte, len(g.spilled.ends)-1)
	for i := range out.blobs {
		blob, err := g.stored([]int{i}, nil)
		if err != nil {
			return nil, err
		}
		out.blobs[i] = blob[0]
	}
	return &out, nil
}
