package column

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

// The rows of a template are those that are rebuilt row by row, whether it is asked for them first or after
// the template numbers were read.
func TestTemplateValues(t *testing.T) {
	for _, set := range loggen.Sets() {
		lines := set.Lines(1, 200_000)
		enc := encodeLines(lines)
		blobs := unpack(t, enc)
		fresh, known := reopen(t, enc.Page, blobs), reopen(t, enc.Page, blobs)
		c := fresh.page.Columns[0]
		if c.Kind != Text {
			continue
		}
		marked := make([]bool, len(c.Templates))
		for k := range c.Templates {
			var got, again block.Values
			fresh.TemplateValues(&got, c, k)
			require.Equal(t, c.Templates[k].Rows, got.Len())
			same := known.page.Columns[0]
			rows := known.TemplateRows(same, k)
			known.TemplateValues(&again, same, k)
			for j := range got.Len() {
				row := j
				if rows != nil {
					row = int(rows[j])
				}
				require.Equal(t, string(lines.At(row)), string(got.At(j)), set.Name)
				require.Equal(t, string(got.At(j)), string(again.At(j)))
			}
			clear(marked)
			marked[k] = true
			for _, r := range []*Reader{reopen(t, enc.Page, blobs), known} {
				some := r.RowsOfTemplates(r.page.Columns[0], marked)
				require.Equal(t, c.Templates[k].Rows, some.Count(c.Rows))
				for _, row := range rows {
					require.True(t, some.Has(int(row)))
				}
			}
		}
		require.NoError(t, fresh.Err())
		require.NoError(t, known.Err())
	}
}
