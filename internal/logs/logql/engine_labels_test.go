package logql

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/logs"
)

// Names and values of labels that parts list themselves are those of their label sets.
func TestLabelStringsAgree(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		rows := make([]row, rapid.IntRange(1, 60).Draw(t, "rows"))
		value := rapid.SampledFrom([]string{"", "1", "2", "x", "é"})
		for i := range rows {
			rows[i] = row{labels: labels.FromStrings("a", value.Draw(t, "a"), "b", value.Draw(t, "b"), "c", "c").WithoutEmpty(), ts: int64(rapid.IntRange(0, 50).Draw(t, "time")), line: fmt.Sprint("line ", i)}
		}
		src := sourceOf(partsOf(t, dir, rows)...)
		start := int64(rapid.IntRange(-1, 52).Draw(t, "start"))
		end := start + int64(rapid.IntRange(0, 60).Draw(t, "length"))
		var matchers [][]logs.Matcher
		for range rapid.IntRange(0, 2).Draw(t, "sets") {
			matchers = append(matchers, []logs.Matcher{{Type: labels.MatchRegexp, Name: "a", Value: rapid.SampledFrom([]string{"1|2", ".+", "x", ""}).Draw(t, "a")}})
		}
		series, err := src.Series(context.Background(), "t", start, end, matchers)
		require.NoError(t, err)
		for _, name := range []string{"", "a", "b", "c", "d"} {
			want := []string{}
			for _, ls := range series {
				ls.Range(func(l labels.Label) {
					switch name {
					case "":
						want = append(want, l.Name)
					case l.Name:
						want = append(want, l.Value)
					}
				})
			}
			slices.Sort(want)
			want = slices.Compact(want)
			got, err := logs.LabelStrings(context.Background(), src, "t", start, end, matchers, name)
			require.NoError(t, err)
			require.Equal(t, want, append([]string{}, got...), name)
			// A source that lists no labels answers by its label sets.
			got, err = logs.LabelStrings(context.Background(), struct{ logs.Source }{src}, "t", start, end, matchers, name)
			require.NoError(t, err)
			require.Equal(t, want, append([]string{}, got...), name)
		}
	})
}
