package logs

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

// goldenOptions make small pages, so that a small block has many.
var goldenOptions = BlockOptions{PageRows: 8, PageBytes: 2000}

// goldenHead has every shape that a block knows: columns that all, some and no rows of a page have,
// more keys than a page has columns, a stream over several pages, streams that share one, lines of
// any bytes, one instant twice.
func goldenHead() *Head {
	b := &Batch{}
	var many []Label
	for i := range maxKeys + 5 {
		many = append(many, Label{fmt.Sprintf("key_%03d", i), fmt.Sprint(i)})
	}
	app := Stream{Labels: labels.FromStrings("app", "shop", "env", "prod", "service_name", "shop")}
	for i := range 20 {
		e := Entry{Timestamp: 1_768_435_200_000_000_000 + int64(i%15)*1_000_000, Line: fmt.Sprintf(`{"level":"info","n":%d}`, i)}
		e.Metadata = []Label{{DetectedLevel, LevelInfo}}
		if i%3 == 0 {
			e.Metadata = append(e.Metadata, Label{"trace_id", fmt.Sprintf("%032x", i*7919)})
		}
		app.Entries = append(app.Entries, e)
	}
	b.Streams = append(b.Streams, app,
		Stream{Labels: labels.FromStrings("app", "bytes"), Entries: []Entry{{5, "\x00\xff\n", nil}, {-7, "", nil}, {5, "ünï", []Label{{DetectedLevel, "notice"}}}}},
		Stream{Labels: labels.EmptyLabels(), Entries: []Entry{{math.MaxInt64, "no labels", nil}}},
		Stream{Labels: labels.FromStrings("app", "wide"), Entries: []Entry{{9, "many keys", many}, {10, "few keys", many[maxKeys+2:]}}},
	)
	for i := range 6 {
		b.Streams = append(b.Streams, Stream{Labels: labels.FromStrings("app", "small", "pod", fmt.Sprint(i)), Entries: []Entry{
			{int64(100 - i), "error " + strings.Repeat("x", 100*i), []Label{{DetectedLevel, LevelError}, {"pod_ip", "10.0.0." + fmt.Sprint(i)}}},
		}})
	}
	return headOf(b)
}

func golden(t testing.TB, name string, content []byte) []byte {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, content, 0o644))
	}
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return b
}

func writtenBlock(t testing.TB, h *Head, o BlockOptions) []byte {
	h.options.Block = o
	var buf bytes.Buffer
	require.NoError(t, h.writeData(context.Background(), &buf, testMeta()))
	return buf.Bytes()
}

func allRows(t testing.TB, p Part) string {
	return printRows(collect(t, p.SelectRows(context.Background(), Select{Start: math.MinInt64, End: math.MaxInt64, Direction: Forward})))
}

// TestGoldenOfVersion3: blocks without triples stay readable.
func TestGoldenOfVersion3(t *testing.T) {
	data, err := os.ReadFile("testdata/v3.hune")
	require.NoError(t, err)
	rows, err := os.ReadFile("testdata/v3.txt")
	require.NoError(t, err)
	b := openObject(t, &memoryObject{data: data})
	require.Equal(t, string(rows), allRows(t, b))
	r, err := block.Open(t.Context(), &memoryObject{data: data}, "test", int64(len(data)), block.ReaderOptions{})
	require.NoError(t, err)
	require.NoError(t, Verify(t.Context(), r, func(err error) { t.Error(err) }))
}

// Blocks of version 4 stay readable. What this program writes has the same content; the compressed
// bytes may differ with another version of the compressor.
func TestGolden(t *testing.T) {
	ctx := context.Background()
	written := writtenBlock(t, goldenHead(), goldenOptions)
	old := &memoryObject{data: golden(t, "v4.hune", written)}
	b := openObject(t, old)
	require.Equal(t, string(golden(t, "v4.txt", []byte(allRows(t, b)))), allRows(t, b))
	require.Equal(t, allRows(t, goldenHead()), allRows(t, b))

	read := func(data []byte, kind block.Kind) []byte {
		r, err := block.Open(ctx, &memoryObject{data: data}, "test", int64(len(data)), block.ReaderOptions{})
		require.NoError(t, err)
		s, err := r.Section(ctx, kind)
		require.NoError(t, err)
		return s
	}
	for _, kind := range []block.Kind{sectionStreams, sectionPostings} {
		require.Equal(t, read(old.data, kind), read(written, kind), "section %d", kind)
	}
	now := openObject(t, &memoryObject{data: written})
	require.Len(t, now.index.pages, len(b.index.pages))
	for i := range b.index.pages {
		require.Equal(t, b.index.pages[i].runs, now.index.pages[i].runs)
		require.Equal(t, b.index.pages[i].levels, now.index.pages[i].levels)
	}
	require.Equal(t, map[string]int64{LevelInfo: 20, LevelError: 6, LevelUnknown: 6}, b.Levels())

	r, err := block.Open(ctx, old, "test", int64(len(old.data)), block.ReaderOptions{})
	require.NoError(t, err)
	infos, err := block.Inspect(ctx, r, Sections...)
	require.NoError(t, err)
	require.Len(t, infos, 4)
	for _, info := range infos {
		require.NoError(t, info.Err)
		require.NotEmpty(t, info.Detail)
	}
}

// answers is what a part says to a few questions, or the first error.
func answers(p Part) (string, error) {
	ctx := context.Background()
	var out strings.Builder
	for _, s := range []Select{
		{Start: math.MinInt64, End: math.MaxInt64, Direction: Forward},
		{Start: 0, End: 99, Matchers: []Matcher{{labels.MatchRegexp, "pod", ".+"}}, Filters: []LineFilter{{Match: []string{"xx"}}}},
		{Start: 0, End: 200, Matchers: []Matcher{{labels.MatchEqual, "env", ""}}, Limit: 3},
	} {
		for rows, err := range p.SelectRows(ctx, s) {
			if err != nil {
				return "", err
			}
			for i, ts := range rows.Timestamps {
				fmt.Fprintln(&out, ts, rows.Streams[rows.Stream[i]], string(rows.Lines[i]), rows.Metadata[i])
			}
		}
	}
	series, err := p.Series(ctx, 6, 99, [][]Matcher{{{labels.MatchNotEqual, "app", "shop"}}})
	if err != nil {
		return "", err
	}
	volumes, err := p.Volume(ctx, VolumeQuery{Start: 6, End: 97, Step: 9})
	if err != nil {
		return "", err
	}
	slices.SortFunc(volumes, func(a, b Volume) int { return labels.Compare(a.Labels, b.Labels) })
	fmt.Fprintln(&out, series, volumes)
	return out.String(), nil
}

func tryOpen(data []byte) (*Block, error) {
	ctx := context.Background()
	r, err := block.Open(ctx, &memoryObject{data: data}, "test", int64(len(data)), block.ReaderOptions{SuffixLen: 64})
	if err != nil {
		return nil, err
	}
	return OpenBlock(ctx, r)
}

// A changed bit is an error that names the block, or it is in bytes that nobody looks at.
func TestFlippedBits(t *testing.T) {
	data := golden(t, "v4.hune", writtenBlock(t, goldenHead(), goldenOptions))
	b, err := tryOpen(data)
	require.NoError(t, err)
	want, err := answers(b)
	require.NoError(t, err)
	for i := range data {
		bad := slices.Clone(data)
		bad[i] ^= 1 << (i % 8)
		got := ""
		b, err := tryOpen(bad)
		if err == nil {
			got, err = answers(b)
		}
		if err != nil {
			require.True(t, block.IsCorruption(err), "byte %d: %v", i, err)
			require.ErrorContains(t, err, "test")
			continue
		}
		require.Equal(t, want, got, "byte %d", i)
	}
}

// mutated rewrites a block with every payload passed through change, checksums right.
func mutated(t testing.TB, data []byte, change func(what string, payload []byte) []byte) []byte {
	ctx := context.Background()
	b, err := tryOpen(data)
	require.NoError(t, err)
	var buf bytes.Buffer
	w := block.NewWriter(&buf, block.WriterOptions{})
	classes := [column.Classes]string{"spine", "strings", "bulk", "filters"}
	dirs := make([]*pageDirectory, len(b.index.pages))
	for i := range b.index.pages {
		e := &b.index.pages[i]
		d, err := b.directory(ctx, i, nil)
		require.NoError(t, err)
		require.NoError(t, b.loadDirectory(d, i))
		ids := make([]int, len(d.page.Blobs))
		for k := range ids {
			ids[k] = k
		}
		blobs, err := b.blobs(ctx, i, d, ids, nil, nil)
		require.NoError(t, err)
		for class := range column.Class(column.Classes) {
			e.place.bases[class] = uint64(w.Offset())
			for k := range d.page.Blobs {
				info := &d.page.Blobs[k]
				if info.Class != class {
					continue
				}
				ref, err := w.Blob(change(classes[class], slices.Clone(blobs[k])), block.CodecZstd)
				require.NoError(t, err)
				info.Codec, info.StoredLen, info.RawLen = ref.Codec, int(ref.StoredLen), int(ref.RawLen)
			}
		}
		dirs[i] = d
	}
	b.index.groups = nil
	for i, d := range dirs {
		e := &b.index.pages[i]
		var shapes column.Shapes
		one := d.appendTo(nil, &shapes)
		head := shapes.AppendTo(nil)
		raw := change("directory", append(head, one...))
		ref, err := w.Blob(raw, block.CodecZstd)
		require.NoError(t, err)
		e.place.group = len(b.index.groups)
		e.place.directory.off, e.place.directory.len = min(len(head), len(raw)), max(0, len(raw)-len(head))
		b.index.groups = append(b.index.groups, ref)
	}
	section := func(kind block.Kind, what string) []byte {
		s, err := b.r.Section(ctx, kind)
		require.NoError(t, err)
		return change(what, slices.Clone(s))
	}
	require.NoError(t, w.Section(sectionPostings, section(sectionPostings, "postings"), block.CodecZstd))
	require.NoError(t, w.Section(sectionPages, change("pages", b.index.appendTo(nil)), block.CodecZstd))
	require.NoError(t, w.Section(sectionStreams, section(sectionStreams, "streams"), block.CodecZstd))
	_, err = w.Close()
	require.NoError(t, err)
	return buf.Bytes()
}

var payloads = []string{"spine", "strings", "bulk", "filters", "directory", "postings", "pages", "streams"}

// FuzzBlock writes hostile payloads behind right checksums: whatever they say, a block answers or
// errs.
func FuzzBlock(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "v4.hune"))
	if err != nil {
		f.Fatal(err)
	}
	for i := range payloads {
		f.Add(uint8(i), uint16(0), []byte{0xff, 0xff, 0xff, 0xff, 0x0f})
		f.Add(uint8(i), uint16(7), []byte{1})
		f.Add(uint8(i), uint16(65535), []byte{})
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint16, change []byte) {
		bad := mutated(t, data, func(what string, p []byte) []byte {
			if what != payloads[int(which)%len(payloads)] {
				return p
			}
			if len(change) == 0 { // cut
				return p[:min(int(at), len(p))]
			}
			i := int(at) % (len(p) + 1)
			return append(p[:i:i], append(slices.Clone(change), p[min(len(p), i+len(change)):]...)...)
		})
		b, err := tryOpen(bad)
		if err == nil {
			_, err = answers(b)
		}
		if err != nil && !block.IsCorruption(err) {
			t.Fatalf("not a corruption: %v", err)
		}
	})
}

// Every byte of every payload set to a few telling values.
func TestHostilePayloads(t *testing.T) {
	data := golden(t, "v4.hune", writtenBlock(t, goldenHead(), goldenOptions))
	same := mutated(t, data, func(_ string, p []byte) []byte { return p })
	b, err := tryOpen(same)
	require.NoError(t, err)
	require.Equal(t, allRows(t, goldenHead()), allRows(t, b))
	faults := 0
	for _, target := range payloads {
		for at := range 40 {
			for _, v := range []byte{0, 0x7f, 0xff} {
				bad := mutated(t, data, func(what string, p []byte) []byte {
					if what == target && at < len(p) {
						p[at] = v
					}
					return p
				})
				b, err := tryOpen(bad)
				if err == nil {
					_, err = answers(b)
				}
				if err != nil {
					require.True(t, block.IsCorruption(err), "%s byte %d = %d: %v", target, at, v, err)
					faults++
				}
			}
		}
	}
	require.Greater(t, faults, 200)
}

// A select reads the pages that can match, and of those the columns that it needs.
func TestReadsOnlyWhatItNeeds(t *testing.T) {
	batches := benchBatches(50, 10, 100)
	head := headOf(batches...)
	b, obj := blockOf(t, head, BlockOptions{PageRows: 1000})
	require.Greater(t, len(b.index.pages), 40)
	oldest, newest := b.TimeRange()
	all := Select{Start: oldest, End: newest + 1}
	ask := func(s Select) (rows int, st QueryStats) {
		obj.bytes.Store(0)
		ctx, stats := WithStats(context.Background())
		for r, err := range b.SelectRows(ctx, s) {
			require.NoError(t, err)
			rows += len(r.Timestamps)
		}
		st = stats.Snapshot()
		require.LessOrEqual(t, st.BytesRead, obj.bytes.Load())
		return rows, st
	}
	everything, full := ask(all)
	require.Equal(t, head.Rows(), everything)
	require.Equal(t, int64(len(b.index.pages)), full.Pages)
	require.Equal(t, int64(everything), full.LinesProcessed)
	require.Equal(t, int64(1), full.Blocks)

	s := all
	s.Limit = 10
	rows, st := ask(s)
	require.Equal(t, 10, rows)
	require.LessOrEqual(t, st.Pages, int64(2), "the newest rows are of one stream")

	s = all
	s.Matchers = []Matcher{{labels.MatchEqual, "pod", "pod-3"}}
	rows, st = ask(s)
	require.Equal(t, head.Rows()/10, rows)
	require.LessOrEqual(t, st.Pages, int64(7))

	s = all
	s.Filters = []LineFilter{{Match: []string{"no such word"}}}
	rows, st = ask(s)
	require.Zero(t, rows)
	require.Less(t, st.BytesRead, full.BytesRead, "no metadata")

	s = all
	s.Matchers = []Matcher{{labels.MatchEqual, "pod", "none"}}
	rows, st = ask(s)
	require.Zero(t, rows)
	require.Zero(t, st)
	s = Select{Start: newest + 1, End: newest + 9}
	rows, st = ask(s)
	require.Zero(t, rows)
	require.Zero(t, st)
}

// Many streams in few pages, few streams in many pages, one row.
func TestPageLayout(t *testing.T) {
	small := &Batch{}
	for i := range 3000 {
		small.Streams = append(small.Streams, Stream{Labels: labels.FromStrings("pod", fmt.Sprint(i)), Entries: []Entry{{int64(i), "x", nil}}})
	}
	b, _ := blockOf(t, headOf(small), BlockOptions{})
	require.Len(t, b.index.pages, 1)
	require.Len(t, b.index.pages[0].runs, 3000)

	large := &Batch{Streams: []Stream{{Labels: labels.FromStrings("a", "1")}, {Labels: labels.FromStrings("a", "2")}, {Labels: labels.FromStrings("a", "3")}}}
	for i := range 3000 {
		e := Entry{Timestamp: int64(i), Line: strings.Repeat("y", 1000)}
		large.Streams[0].Entries = append(large.Streams[0].Entries, e)
		large.Streams[1].Entries = append(large.Streams[1].Entries, e)
	}
	large.Streams[2].Entries = []Entry{{1, "tiny", nil}}
	b, _ = blockOf(t, headOf(large), BlockOptions{})
	require.Len(t, b.index.pages, 2, "each large stream begins a page, the tiny one shares")
	require.Len(t, b.index.pages[0].runs, 1)
	require.Len(t, b.index.pages[1].runs, 2)
}

// A select that needs more memory than it may is done in slices of time: nothing is lost, doubled or
// out of order.
func TestTimeSlices(t *testing.T) {
	head := headOf(benchBatches(40, 10, 20)...)
	b, _ := blockOf(t, head, BlockOptions{PageRows: 100})
	ctx := context.Background()
	oldest, newest := b.TimeRange()
	for _, d := range []Direction{Forward, Backward} {
		s := Select{Start: oldest + 1000, End: newest - 1000, Direction: d}
		q, err := compileSelect(ctx, s)
		require.NoError(t, err)
		found, err := b.begin(ctx, q)
		require.NoError(t, err)
		require.Len(t, b.timeSlices(q, found, 1<<30), 1)
		parts := b.timeSlices(q, found, 20_000)
		require.Greater(t, len(parts), 20)
		got := collect(t, func(yield func(*Rows, error) bool) {
			for _, r := range parts {
				part := *q
				part.start, part.end = r.min, r.max
				if !b.selectSlice(ctx, &part, found, yield) {
					return
				}
			}
		})
		require.Equal(t, printRows(collect(t, head.SelectRows(ctx, s))), printRows(got))
	}
	all := &selection{start: math.MinInt64, end: math.MaxInt64}
	g, err := tryOpen(writtenBlock(t, goldenHead(), goldenOptions)) // from the first century to the last
	require.NoError(t, err)
	found, err := g.begin(ctx, all)
	require.NoError(t, err)
	parts := g.timeSlices(all, found, 100)
	require.Equal(t, int64(-7), parts[len(parts)-1].min)
	require.Equal(t, int64(1_768_435_200_014_000_001), parts[0].max, "one behind the newest row that a select can ask for")
	for i := range parts[1:] {
		require.Equal(t, parts[i].min, parts[i+1].max)
	}
	all.limit = 1
	require.Len(t, g.timeSlices(all, found, 100), 1)
}
