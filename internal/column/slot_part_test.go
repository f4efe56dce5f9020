package column

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

// partedPage is a page of some lines of a set, none of whose parts has been read, and its blobs.
func partedPage(t *testing.T, set string, size int) (*block.Values, *Page, [][]byte) {
	s, ok := loggen.Find(set)
	require.True(t, ok)
	v := s.Lines(1, size)
	enc := encodeLines(v)
	return v, withShapes(t, enc.Page), unpack(t, enc)
}

func read(p *Page) (n int) {
	for i := range p.Columns[0].parts {
		if p.Columns[0].parts[i].isRead.Load() {
			n++
		}
	}
	return n
}

// A question reads the parts that it is about.
func TestPartsAreReadWhenAsked(t *testing.T) {
	_, p, blobs := partedPage(t, "json", 1<<18)
	lines := p.Columns[0]
	require.Greater(t, len(lines.parts), 5)
	ask := func(needle string) Set {
		r := NewReader(p)
		for i, b := range blobs {
			r.Supply(i, b)
		}
		found := r.Match(lines, Contains, []byte(needle))
		require.NoError(t, r.Err())
		return found
	}
	require.True(t, ask(strings.Repeat("z", 300)).IsNone(), "no column has so long a word")
	require.Zero(t, read(p))
	require.True(t, ask(`{"`).IsAll(), "templates alone tell, but for rows that fit none")
	before := read(p)
	require.LessOrEqual(t, before, 1)
	require.LessOrEqual(t, lines.Templates[1].Rows, lines.Templates[1].Slots[len(lines.Templates[1].Slots)-1].Values().Rows)
	require.Equal(t, before+1, read(p))
	require.NoError(t, p.Load())
	require.Equal(t, len(lines.parts), read(p))
}

// Any number of readers share a page.
func TestPartsAreReadByMany(t *testing.T) {
	want, p, blobs := partedPage(t, "kubernetes", 1<<18)
	var g errgroup.Group
	got := make([]block.Values, 8)
	for i := range got {
		g.Go(func() error {
			r := NewReader(p)
			for i, b := range blobs {
				r.Supply(i, b)
			}
			r.Match(p.Columns[0], Contains, []byte{byte('a' + i)})
			r.Values(&got[i], p.Columns[0], All)
			return r.Err()
		})
	}
	require.NoError(t, g.Wait())
	for i := range got {
		require.Empty(t, firstDifference(want, &got[i]))
	}
}

// A part that is damaged is an error of every reader of the page, and its values are empty.
func TestDamagedPart(t *testing.T) {
	_, p, blobs := partedPage(t, "json", 1<<16)
	lines := p.Columns[0]
	damaged := &lines.parts[len(lines.parts)-1]
	damaged.end-- // the last byte is missing
	r := NewReader(p)
	for i, b := range blobs {
		r.Supply(i, b)
	}
	require.NoError(t, r.Err())
	require.Error(t, p.Load())
	require.Error(t, r.Err())
	require.Error(t, NewReader(p).Err())
	for _, c := range damaged.columns() {
		require.Equal(t, int(damaged.rows), c.Rows)
		require.Empty(t, c.Constant)
	}
}

// What a part says of its columns must be true.
func TestPartStamps(t *testing.T) {
	_, p, _ := partedPage(t, "json", 1<<16)
	for i := range p.Columns[0].parts {
		x := &p.Columns[0].parts[i]
		if x.stamp.Chars&Digits != 0 {
			x.stamp.Chars &^= Digits
			x.columns()
			require.ErrorContains(t, p.Err(), "not as it says")
			return
		}
	}
	t.Fatal("no part has digits")
}
