package logs

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

// faultsOf verifies a block; one that can't be opened has that one fault.
func faultsOf(t *testing.T, data []byte) (faults []error) {
	t.Helper()
	r, err := block.Open(t.Context(), &memoryObject{data: data}, "test", int64(len(data)), block.ReaderOptions{})
	if err != nil {
		return []error{err}
	}
	require.NoError(t, Verify(t.Context(), r, func(err error) { faults = append(faults, err) }))
	return faults
}

func TestVerify(t *testing.T) {
	good := writtenBlock(t, goldenHead(), goldenOptions)
	require.Empty(t, faultsOf(t, good))
	require.Empty(t, faultsOf(t, writtenBlock(t, headOf(tracedLines(1, 500, func(int) string { return someTrace })), BlockOptions{PageRows: 50})))

	// Every changed bit is found, and named with where it is.
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1 << (i % 8)
		faults := faultsOf(t, bad)
		require.NotEmpty(t, faults, "byte %d", i)
		for _, f := range faults {
			require.True(t, block.IsCorruption(f), "byte %d: %v", i, f)
			require.ErrorContains(t, f, "corrupt block test: ")
			require.ErrorContains(t, f, " at offset ")
		}
	}
}

// What has good checksums and lies is found too.
func TestVerifyFindsLies(t *testing.T) {
	for want, lie := range map[string]func(w *blockWriter){
		"run 0 has 8 rows of 331": func(w *blockWriter) { w.pages[1].entry.runs[0].bytes++ },
		"the index says":          func(w *blockWriter) { w.pages[1].entry.levels[2]++ },
		"lacks": func(w *blockWriter) {
			for i := range w.pages {
				w.pages[i].traces = nil
			}
		},
	} {
		h := goldenHead()
		h.options.Block = goldenOptions
		batches, err := h.sealed(t.Context())
		require.NoError(t, err)
		var buf writeBuffer
		w := newBlockWriter(&buf, goldenOptions)
		w.addBatches(batches)
		for i := range w.pages {
			w.pages[i].entry.runs = slices.Clone(w.pages[i].entry.runs)
		}
		lie(w)
		_, err = w.finish()
		require.NoError(t, err)
		faults := faultsOf(t, buf)
		require.NotEmpty(t, faults, want)
		require.ErrorContains(t, faults[0], want)
	}
}

type writeBuffer []byte

func (b *writeBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func TestInspectPage(t *testing.T) {
	b := openObject(t, &memoryObject{data: writtenBlock(t, goldenHead(), goldenOptions)})
	rows, metadata := 0, 0
	for i := range b.Pages() {
		info, err := b.Inspect(t.Context(), i)
		require.NoError(t, err)
		require.Equal(t, i, info.Page)
		require.NotEmpty(t, info.Columns)
		rows += info.Rows
		metadata += len(info.Keys)
	}
	require.EqualValues(t, b.Rows(), rows)
	require.Positive(t, metadata)
	_, err := b.Inspect(t.Context(), b.Pages())
	require.Error(t, err)
}
