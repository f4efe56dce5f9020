package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
	"github.com/hune-io/hune/internal/logs"
)

// tenantID owns all blocks.
const tenantID = "bench"

// stored is a corpus as a block of one stream, whose label set is its name.
type stored struct {
	corpus  *corpus
	meta    *block.Meta
	file    *countedFile
	appends time.Duration // processor time of the head
	writes  time.Duration // processor time from the head to the block
}

// store puts a corpus into a head and writes that as a block. The caller closes it.
func (b *bench) store(ctx context.Context, c *corpus) (s *stored, err error) {
	s = &stored{corpus: c, meta: &block.Meta{Version: block.MetaVersion, ULID: ulid.MustNew(1, bytes.NewReader(make([]byte, 10))),
		Tenant: tenantID, Producer: "bench", Created: time.Unix(1, 0)}}
	dir := filepath.Join(b.dir, c.set.Name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	head := logs.NewHead(logs.HeadOptions{})
	s.appends = measure(func() { err = fill(head, c) })
	if err != nil {
		return nil, err
	}
	s.writes = measure(func() { err = head.WriteBlock(ctx, dir, s.meta) })
	if err != nil {
		return nil, err
	}
	if s.file, err = openCounted(filepath.Join(dir, block.DataFile)); err != nil {
		return nil, err
	}
	return s, s.learnDirectories(ctx)
}

// learnDirectories finds out which reads are of directories: those of a scan that wants nothing more.
func (s *stored) learnDirectories(ctx context.Context) error {
	blk, err := s.open(ctx)
	if err != nil {
		return err
	}
	s.file.learn()
	if err := openPages(ctx, blk, everything(s.corpus.set)); err != nil {
		return err
	}
	s.file.reset()
	return nil
}

// fill appends a corpus in batches of the size that clients send.
func fill(head *logs.Head, c *corpus) error {
	const entries = 1000
	stream := logs.Stream{Labels: labels.FromStrings("set", c.set.Name)}
	added := 0
	for i := range c.lines.Len() {
		stream.Entries = append(stream.Entries, logs.Entry{Timestamp: c.timestamps[i], Line: view(c.lines.At(i))})
		if len(stream.Entries) == entries || i == c.lines.Len()-1 {
			added += head.Append(&logs.Batch{Streams: []logs.Stream{stream}}).Added
			stream.Entries = stream.Entries[:0]
		}
	}
	if added != c.lines.Len() {
		return fmt.Errorf("the head took %d of %d lines of %s", added, c.lines.Len(), c.set.Name)
	}
	return nil
}

// view is b as a string without a copy; b doesn't change as long as a corpus lives.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// open opens the block anew, so that nothing is decoded, and counts reads from zero. The sections at its
// end are read already, but no page: the bytes that come with them by the way are forgotten.
func (s *stored) open(ctx context.Context) (*logs.Block, error) {
	r, err := block.Open(ctx, s.file, s.corpus.set.Name, s.meta.Data.Size, block.ReaderOptions{})
	if err != nil {
		return nil, err
	}
	blk, err := logs.OpenBlock(ctx, r)
	if err != nil {
		return nil, err
	}
	r.DropSuffix()
	s.file.reset()
	return blk, nil
}

// check reads everything and compares it with what went in.
func (s *stored) check(ctx context.Context) error {
	blk, err := s.open(ctx)
	if err != nil {
		return err
	}
	i := 0
	for rows, err := range blk.SelectRows(ctx, everything(s.corpus.set)) {
		if err != nil {
			return err
		}
		for j, line := range rows.Lines {
			if i >= s.corpus.lines.Len() || rows.Timestamps[j] != s.corpus.timestamps[i] || !bytes.Equal(line, s.corpus.lines.At(i)) {
				return fmt.Errorf("line %d of %s was not stored as it came", i, s.corpus.set.Name)
			}
			i++
		}
	}
	if i != s.corpus.lines.Len() {
		return fmt.Errorf("the block of %s has %d of %d lines", s.corpus.set.Name, i, s.corpus.lines.Len())
	}
	return nil
}

func (s *stored) close() error { return s.file.f.Close() }

// everything selects the stream of a set, oldest line first.
func everything(set loggen.Set) logs.Select {
	return logs.Select{Matchers: []logs.Matcher{{Type: labels.MatchEqual, Name: "set", Value: set.Name}},
		Start: 0, End: math.MaxInt64, Direction: logs.Forward}
}
