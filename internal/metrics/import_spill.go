package metrics

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
)

const (
	// spillBuffer is what each window of an import holds in memory, maxWindows how many there may be: nine
	// years of two hours in 640 MB at worst.
	spillBuffer = 16 << 10
	maxWindows  = 40_000
)

// spill keeps samples on the disk, in a file for each window of time.
//
// A record is a byte, the time as an unsigned varint from the start of the window, and the eight bytes of the
// value. The byte is 0 for another sample of the series of the record before; where it is 1, the labels of a
// new series stand between it and the time: their number, and each name and value with its length in front.
type spill struct {
	dir     string
	width   int64
	windows map[int64]*spillWindow
}

type spillWindow struct {
	buf  []byte
	last labels.Labels
}

func newSpill(dir string, width int64) *spill {
	return &spill{dir: dir, width: width, windows: map[int64]*spillWindow{}}
}

// add keeps one sample.
func (s *spill) add(ls labels.Labels, t int64, v float64) error {
	start := t - floorMod(t, s.width)
	w := s.windows[start]
	if w == nil {
		if len(s.windows) == maxWindows {
			return fmt.Errorf("more than %d windows of two hours: import a shorter range at a time", maxWindows)
		}
		w = &spillWindow{}
		s.windows[start] = w
	}
	if labels.Equal(w.last, ls) && !ls.IsEmpty() {
		w.buf = append(w.buf, 0)
	} else {
		w.last = ls.Copy()
		w.buf = binary.AppendUvarint(append(w.buf, 1), uint64(ls.Len()))
		ls.Range(func(l labels.Label) {
			w.buf = append(binary.AppendUvarint(w.buf, uint64(len(l.Name))), l.Name...)
			w.buf = append(binary.AppendUvarint(w.buf, uint64(len(l.Value))), l.Value...)
		})
	}
	w.buf = binary.AppendUvarint(w.buf, uint64(t-start))
	w.buf = binary.LittleEndian.AppendUint64(w.buf, math.Float64bits(v))
	if len(w.buf) < spillBuffer {
		return nil
	}
	return s.flush(start, w)
}

func (s *spill) path(start int64) string { return filepath.Join(s.dir, strconv.FormatInt(start, 10)) }

// flush appends what is in memory to the window's file. It is opened for that alone: there may be more
// windows than a process may have files.
func (s *spill) flush(start int64, w *spillWindow) error {
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path(start), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(w.buf)
	w.buf = w.buf[:0]
	return errors.Join(err, f.Close())
}

// finish writes what is left and returns the starts of the windows in order.
func (s *spill) finish() ([]int64, error) {
	starts := slices.Sorted(maps.Keys(s.windows))
	for _, start := range starts {
		if err := s.flush(start, s.windows[start]); err != nil {
			return nil, err
		}
	}
	s.windows = map[int64]*spillWindow{}
	return starts, nil
}

// read passes the samples of a window on, in the order in which they came.
func (s *spill) read(start int64, visit func(ls labels.Labels, t int64, v float64) error) (err error) {
	f, err := os.Open(s.path(start))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := bufio.NewReaderSize(f, 64<<10)
	var ls labels.Labels
	var value [8]byte
	for {
		kind, err := r.ReadByte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if kind == 1 {
			if ls, err = readLabels(r); err != nil {
				return fmt.Errorf("read %s: %w", s.path(start), err)
			}
		}
		t, err := binary.ReadUvarint(r)
		if err == nil {
			_, err = io.ReadFull(r, value[:])
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", s.path(start), err)
		}
		if err := visit(ls, start+int64(t), math.Float64frombits(binary.LittleEndian.Uint64(value[:]))); err != nil {
			return err
		}
	}
}

func readLabels(r *bufio.Reader) (labels.Labels, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return labels.EmptyLabels(), err
	}
	b := labels.NewScratchBuilder(int(min(n, 64)))
	text := func() (string, error) {
		size, err := binary.ReadUvarint(r)
		if err != nil {
			return "", err
		}
		if size > maxEntry {
			return "", fmt.Errorf("a label of %d bytes", size)
		}
		data := make([]byte, size)
		_, err = io.ReadFull(r, data)
		return string(data), err
	}
	for range n {
		name, err := text()
		if err != nil {
			return labels.EmptyLabels(), err
		}
		value, err := text()
		if err != nil {
			return labels.EmptyLabels(), err
		}
		b.Add(name, value)
	}
	b.Sort()
	return b.Labels(), nil
}
