package column

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

// Spread gives each row what its template's rows and the places of their values say, whichever slots are asked for:
// here the first slot of every third template, the last of the next, and one value for the others' rows.
func TestSpread(t *testing.T) {
	for _, set := range loggen.Sets() {
		r := reopened(t, set.Lines(1, 200_000))
		c := r.page.Columns[0]
		if c.Kind != Text {
			continue
		}
		from := make([]Placed[int], len(c.Templates))
		want, got := make([]int, c.Rows), make([]int, c.Rows)
		for k := range c.Templates {
			from[k] = placedFor(c, k)
			rows := r.TemplateRows(c, k)
			for j := range c.Templates[k].Rows {
				row, i := j, 0
				if rows != nil {
					row = int(rows[j])
				}
				if from[k].Slot >= 0 {
					i = j
					if places := r.SlotRows(c, k, from[k].Slot); places != nil {
						i = int(places[j])
					}
				}
				want[row] = from[k].Vals[i]
			}
		}
		Spread(r, c, got, from)
		require.NoError(t, r.Err())
		require.Equal(t, want, got, set.Name)
	}
}

func reopened(t *testing.T, lines *block.Values) *Reader {
	enc := encodeLines(lines)
	return reopen(t, enc.Page, unpack(t, enc))
}

func placedFor(c *Column, k int) Placed[int] {
	slots := c.Templates[k].Slots
	if k%3 == 2 || len(slots) == 0 {
		return Placed[int]{Slot: -1, Vals: []int{-k}}
	}
	s := 0
	if k%3 == 1 {
		s = len(slots) - 1
	}
	vals := make([]int, slots[s].Values().Rows)
	for i := range vals {
		vals[i] = i + 1
	}
	return Placed[int]{Slot: s, Vals: vals}
}

// Template numbers that are not those of the templates' rows are damage.
func TestSpreadDamaged(t *testing.T) {
	set, ok := loggen.Find("json")
	require.True(t, ok)
	r := reopened(t, set.Lines(1, 200_000))
	c := r.page.Columns[0]
	from := make([]Placed[int], len(c.Templates))
	for k := range from {
		from[k] = placedFor(c, k)
	}
	ids := r.Below(c.IDs, uint32(len(c.Templates)))
	for row, k := range ids {
		if k == 3 {
			ids[row] = 1
			break
		}
	}
	Spread(r, c, make([]int, c.Rows), from)
	require.ErrorIs(t, r.Err(), errMismatch)
}
