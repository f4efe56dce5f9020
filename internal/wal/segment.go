package wal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/tsdb/wlog"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The fragment types of the segment format, in the low three bits of a fragment's first byte. The
// bits above mark compression, which this log doesn't use.
const (
	fragEnd    = 0 // the rest of the page is empty
	fragFull   = 1
	fragFirst  = 2
	fragMiddle = 3
	fragLast   = 4
)

const fragHeader = 7 // type, length (2 bytes, big endian), CRC32C of the payload (4 bytes)

// segmentReader reads the records of one segment, page by page.
//
// wlog's own reader ends at the first damaged place. This one counts the place and goes on with the
// next page: pages begin with a fragment, so it finds its feet there. A record is returned only if
// all of its fragments were read one after the other.
type segmentReader struct {
	r    *bufio.Reader
	off  int64 // of page in the segment
	page []byte
	pos  int // of the next fragment in page

	rec      []byte
	inRecord bool
	recStart int64 // offset of the record being read
	orphan   bool  // fragments of a record whose begin was damaged are being skipped

	// bad is called for each damaged place with its offset, and how many bytes are not used.
	bad func(off, skipped int64, err error)
}

func newSegmentReader(r io.Reader, bad func(off, skipped int64, err error)) *segmentReader {
	return &segmentReader{r: bufio.NewReaderSize(r, 16*pageSize), page: make([]byte, 0, pageSize), bad: bad}
}

var (
	errTorn     = errors.New("record is torn")
	errOrphan   = errors.New("fragment without the begin of its record")
	errSequence = errors.New("fragment out of sequence")
	errPadding  = errors.New("bytes after the end of a page's records")
	errEmpty    = errors.New("page is empty")
	errLength   = errors.New("fragment reaches beyond its page")
	errCRC      = errors.New("checksum mismatch")
	errType     = errors.New("unknown fragment type")
)

// next returns the next whole record, valid until the next call, or nil and io.EOF at the end. Any
// other error is the file's: the rest of the segment could not be read.
func (s *segmentReader) next() ([]byte, error) {
	for {
		if s.pos >= len(s.page) {
			if err := s.nextPage(); err != nil {
				return nil, s.atEnd(err)
			}
		}
		rec, err := s.fragment()
		if err != nil {
			s.damaged(err)
		}
		if rec != nil {
			return rec, nil
		}
	}
}

func (s *segmentReader) nextPage() error {
	s.off += int64(len(s.page))
	s.pos = 0
	n, err := io.ReadFull(s.r, s.page[:pageSize])
	s.page = s.page[:n]
	if n > 0 {
		return nil // a short last page is parsed; the next call ends
	}
	return err
}

// atEnd reports a record that the end of the file has torn.
func (s *segmentReader) atEnd(err error) error {
	if s.inRecord {
		s.inRecord = false
		s.bad(s.recStart, s.off-s.recStart, errTorn)
	}
	return err
}

// damaged skips to the next page, and drops the record that was being read.
func (s *segmentReader) damaged(err error) {
	start := s.off + int64(s.pos)
	if s.inRecord {
		start = s.recStart
	}
	s.bad(start, s.off+int64(len(s.page))-start, err)
	s.pos = len(s.page)
	s.inRecord, s.orphan = false, true
}

// fragment reads one fragment and returns the record that it completes, if any.
func (s *segmentReader) fragment() ([]byte, error) {
	p := s.page[s.pos:]
	kind := p[0]
	if kind == fragEnd {
		return nil, s.endOfPage(p)
	}
	if kind > fragLast {
		return nil, errType
	}
	if len(p) < fragHeader {
		return nil, errTorn
	}
	n := int(binary.BigEndian.Uint16(p[1:]))
	if n > pageSize-s.pos-fragHeader {
		return nil, errLength
	}
	if n > len(p)-fragHeader {
		return nil, errTorn
	}
	payload := p[fragHeader : fragHeader+n]
	if crc32.Checksum(payload, castagnoli) != binary.BigEndian.Uint32(p[3:]) {
		return nil, errCRC
	}
	// The checksum doesn't cover the type, so a fragment that doesn't fit is not trusted to be what
	// it says, and the page is given up.
	if s.inRecord != (kind == fragMiddle || kind == fragLast) {
		return nil, s.misfit(kind, fragHeader+n)
	}
	return s.take(kind, payload)
}

func (s *segmentReader) take(kind byte, payload []byte) ([]byte, error) {
	if !s.inRecord {
		s.rec, s.recStart = s.rec[:0], s.off+int64(s.pos)
	}
	if len(s.rec)+len(payload) > MaxRecordLen {
		return nil, fmt.Errorf("record of more than %d bytes", MaxRecordLen)
	}
	s.rec = append(s.rec, payload...)
	s.pos += fragHeader + len(payload)
	s.inRecord = kind == fragFirst || kind == fragMiddle
	s.orphan = false
	if s.inRecord {
		return nil, nil
	}
	if s.rec == nil {
		s.rec = []byte{} // a record may be empty, but not nil
	}
	return s.rec, nil
}

// misfit handles a fragment that can't stand where it does.
func (s *segmentReader) misfit(kind byte, n int) error {
	if s.inRecord {
		return errSequence
	}
	if !s.orphan {
		return errOrphan
	}
	// The begin of this record was damaged and reported; its later fragments add to what was lost.
	s.bad(s.off+int64(s.pos), int64(n), nil)
	s.pos += n
	s.orphan = kind != fragLast
	return nil
}

func (s *segmentReader) endOfPage(p []byte) error {
	if s.inRecord {
		return errSequence
	}
	if s.pos == 0 {
		// The writer begins a page only for a record: this one was never written, or lost.
		return errEmpty
	}
	for _, b := range p {
		if b != 0 {
			return errPadding
		}
	}
	s.pos = len(s.page)
	return nil
}

// segments returns the numbers of the segments in dir in ascending order.
func segments(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segs []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n >= 0 && fmt.Sprintf("%08d", n) == e.Name() {
			segs = append(segs, n)
		}
	}
	slices.Sort(segs)
	return segs, nil
}

// maxGap bounds how many missing segments fillGaps replaces. More than that is not the work of
// an accident.
const maxGap = 10_000

// fillGaps puts an empty segment where one is missing, since wlog refuses to open such a folder, and
// returns the segments that are there. Replay reports them.
func fillGaps(dir string) ([]int, error) {
	segs, err := segments(dir)
	if err != nil || len(segs) == 0 {
		return segs, err
	}
	first, last := segs[0], segs[len(segs)-1]
	missing := last - first + 1 - len(segs)
	if missing > maxGap {
		return nil, fmt.Errorf("%d segments are missing between %08d and %08d", missing, first, last)
	}
	for n := first; n < last && missing > 0; n++ {
		f, err := os.OpenFile(wlog.SegmentName(dir, n), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		missing--
	}
	return segs, nil
}
