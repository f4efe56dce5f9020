package logs

import (
	"context"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// genDeletion draws a deletion, some with a test that the filters can't say.
func genDeletion(t *rapid.T) Deletion {
	s := genSelect(t)
	d := Deletion{ID: rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "id"), Matchers: s.Matchers, Start: s.Start, End: s.End, Filters: s.Filters}
	if rapid.Bool().Draw(t, "with a test") {
		d.NewTest = func() RowTest {
			return func(_ labels.Labels, ts int64, line []byte, md []Label) bool {
				return ts%2 == 0 && (len(md) > 0 || len(line) > 5)
			}
		}
	}
	return d
}

// deletes says of a row of the model whether d deletes it.
func (d Deletion) deletes(r modelRow) bool {
	one := &model{rows: []modelRow{r}}
	if len(one.selectRows(Select{Matchers: d.Matchers, Start: d.Start, End: d.End, Filters: d.Filters})) == 0 {
		return false
	}
	return d.NewTest == nil || d.NewTest()(r.stream, r.Timestamp, []byte(r.Line), r.Metadata)
}

// without is what is left of a model.
func (m *model) without(list []Deletion) *model {
	out := &model{}
	for _, r := range m.rows {
		gone := false
		for _, d := range list {
			gone = gone || d.deletes(r)
		}
		if !gone {
			out.rows = append(out.rows, r)
		}
	}
	return out
}

// A part with deletions answers as one that never had the rows, whatever kind of part it is.
func TestDeletedRowsAreHidden(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batches := rapid.SliceOfN(rapid.Custom(genBatch), 1, 5).Draw(t, "batches")
		all := &model{}
		for _, b := range batches {
			all.append(b)
		}
		if len(all.rows) == 0 {
			return
		}
		list := rapid.SliceOfN(rapid.Custom(genDeletion), 0, 3).Draw(t, "deletions")
		d, err := CompileDeletions(list)
		require.NoError(t, err)
		want := all.without(list)
		head := NewHead(HeadOptions{SealBytes: rapid.SampledFrom([]int64{1, 100, 0}).Draw(t, "seal")})
		for _, b := range batches {
			head.Append(b)
		}
		written, _ := blockOf(t, head, BlockOptions{PageRows: rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "page rows")})
		for name, p := range map[string]Part{"head": head, "block": written, "remote": NewRemotePart(sourceOf(written), "t", -1<<63, 1<<63-1)} {
			hidden := WithoutDeleted(p, d)
			for range 4 {
				s := genSelect(t)
				got := collect(t, hidden.SelectRows(context.Background(), s))
				require.Equal(t, printRows(want.selectRows(s)), printRows(got), "%s: %+v", name, s)
				checkScan(t, name, want, sourceOf(hidden))
			}
			matched, err := d.Matched(context.Background(), p)
			require.NoError(t, err)
			for _, one := range list {
				has := len(all.rows) > len(all.without([]Deletion{one}).rows)
				require.Equal(t, has, strings.Contains(strings.Join(matched, " "), one.ID), "%s: rows of %s", name, one.ID)
			}
		}
	})
}

// A compaction that asks a Remover leaves out the rows that are deleted, and no other.
func TestRemover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := &model{}
		c := &Compaction{Options: BlockOptions{PageRows: rapid.SampledFrom([]int{0, 2, 9}).Draw(t, "page rows")}}
		for range rapid.IntRange(1, 3).Draw(t, "blocks") {
			batch := genBatch(t)
			all.append(batch)
			if h := headOf(batch); h.Rows() > 0 {
				b, _ := blockOf(t, h, BlockOptions{PageRows: rapid.SampledFrom([]int{0, 1, 9}).Draw(t, "rows")})
				c.Blocks = append(c.Blocks, b)
			}
		}
		list := rapid.SliceOfN(rapid.Custom(genDeletion), 0, 3).Draw(t, "deletions")
		want := all.without(list)
		if len(want.rows) == 0 {
			return
		}
		d, err := CompileDeletions(list)
		require.NoError(t, err)
		r := d.Remover()
		c.Touched = r.Touches
		c.Keep = func(ls labels.Labels, ts int64, line []byte, md []Label) bool { return !r.Deletes(ls, ts, line, md) }
		b := compactedBlock(t, c)
		require.Equal(t, int64(len(want.rows)), b.Rows())
		checkPart(t, "without the deleted", want, sourceOf(b))
		matched, err := d.Matched(context.Background(), b)
		require.NoError(t, err)
		require.Empty(t, matched)
	})
}

func TestDeletionsThatCannotConcern(t *testing.T) {
	head := headOf(&Batch{Streams: []Stream{{Labels: labels.FromStrings("app", "a"), Entries: []Entry{{10, "x", nil}, {20, "y", nil}}}}})
	equal := func(v string) []Matcher { return []Matcher{{labels.MatchEqual, "app", v}} }
	compile := func(d Deletion) *Deletions {
		out, err := CompileDeletions([]Deletion{d})
		require.NoError(t, err)
		return out
	}
	for name, d := range map[string]*Deletions{
		"none": nil, "before": compile(Deletion{Start: 0, End: 10}), "after": compile(Deletion{Start: 21, End: 30}), "empty": compile(Deletion{Start: 15, End: 15}),
	} {
		require.Same(t, head, WithoutDeleted(head, d), "%s: the part itself, at no cost", name)
	}
	d := compile(Deletion{ID: "1", Matchers: equal("b"), Start: 0, End: 100})
	require.NotNil(t, d.concerning(Select{Start: 0, End: 10}))
	require.NotNil(t, d.concerning(Select{Start: 0, End: 10, Matchers: equal("b")}))
	require.Nil(t, d.concerning(Select{Start: 0, End: 10, Matchers: equal("a")}), "other streams")
	require.Nil(t, d.concerning(Select{Start: 100, End: 110}), "another time")

	_, err := CompileDeletions([]Deletion{{ID: "bad", Matchers: []Matcher{{labels.MatchRegexp, "a", "("}}}})
	require.ErrorContains(t, err, "deletion bad: ")
	_, err = CompileDeletions([]Deletion{{ID: "bad", Filters: []LineFilter{{Regexp: true, Match: []string{"("}}}}})
	require.ErrorContains(t, err, "deletion bad: ")

	require.Equal(t, []string{"1"}, d.IDs())
	require.Nil(t, d.Without(func(id string) bool { return id == "1" }))
	require.Zero(t, (*Deletions)(nil).Len())
	require.Empty(t, (*Deletions)(nil).IDs())
}

func TestHiddenRowsOfAFailingPart(t *testing.T) {
	head := headOf(&Batch{Streams: []Stream{{Labels: labels.FromStrings("app", "a"), Entries: []Entry{{10, "x", nil}, {20, "y", nil}}}}})
	d, err := CompileDeletions([]Deletion{{Start: 10, End: 11}})
	require.NoError(t, err)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for rows, err := range WithoutDeleted(head, d).SelectRows(canceled, Select{End: 100}) {
		require.Nil(t, rows)
		require.ErrorIs(t, err, context.Canceled)
	}
	_, err = d.Matched(canceled, head)
	require.ErrorIs(t, err, context.Canceled)
}

// What deletions cost a select over a block: none that concern it, one by its stream alone, one with a
// line filter.
func BenchmarkHiddenRows(b *testing.B) {
	head := headOf(benchBatches(20, 10, 500)...)
	part, _ := blockOf(b, head, BlockOptions{})
	oldest, newest := part.TimeRange()
	all := Select{Start: oldest, End: newest + 1, Direction: Forward}
	first := part.streams.at(0)
	var ms []Matcher
	first.Range(func(l labels.Label) { ms = append(ms, Matcher{labels.MatchEqual, l.Name, l.Value}) })
	for _, c := range []struct {
		name      string
		deletions []Deletion
	}{
		{"none", nil},
		{"of another time", []Deletion{{Start: newest + 1, End: newest + 2}}},
		{"a stream", []Deletion{{Matchers: ms, Start: oldest, End: newest + 1}}},
		{"a word", []Deletion{{Start: oldest, End: newest + 1, Filters: []LineFilter{{Match: []string{"nowhere to be found"}}}}}},
	} {
		d, err := CompileDeletions(c.deletions)
		require.NoError(b, err)
		p := WithoutDeleted(part, d)
		b.Run("select/"+c.name, func(b *testing.B) {
			for b.Loop() {
				for _, err := range p.SelectRows(b.Context(), all) {
					require.NoError(b, err)
				}
			}
			b.ReportMetric(float64(part.Rows())*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
		b.Run("scan/"+c.name, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, p.Scan(b.Context(), all, func(context.Context, *Page) error { return nil }))
			}
			b.ReportMetric(float64(part.Rows())*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
