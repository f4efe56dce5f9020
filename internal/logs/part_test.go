package logs

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grafana/regexp"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

// Libraries of object stores start goroutines as they are loaded; everything else must end.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// model is the plainest implementation of a Part: a list. It is what the others are compared with.
type model struct{ rows []modelRow }

type modelRow struct {
	stream labels.Labels
	Entry
}

func (m *model) append(b *Batch) {
	for _, s := range b.Streams {
		for _, e := range s.Entries {
			same := func(r modelRow) bool {
				return labels.Equal(r.stream, s.Labels) && r.Timestamp == e.Timestamp && r.Line == e.Line && slices.Equal(r.Metadata, e.Metadata)
			}
			if !slices.ContainsFunc(m.rows, same) {
				m.rows = append(m.rows, modelRow{s.Labels, e})
			}
		}
	}
}

func modelMatches(ms []Matcher, ls labels.Labels) bool {
	for _, m := range ms {
		if !labels.MustNewMatcher(m.Type, m.Name, m.Value).Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

func (m *model) selectRows(s Select) []modelRow {
	var out []modelRow
	for _, r := range m.rows {
		ok := r.Timestamp >= s.Start && r.Timestamp < s.End && modelMatches(s.Matchers, r.stream)
		ok = ok && s.Shard.Has(r.stream)
		for _, spans := range s.Spans {
			in := slices.ContainsFunc(spans.Times[StreamHash(r.stream)], func(s Span) bool { return s.Start <= r.Timestamp && r.Timestamp < s.End })
			ok = ok && in == spans.Only
		}
		for _, f := range s.Filters {
			hit := slices.ContainsFunc(f.Match, func(n string) bool {
				if f.Regexp {
					return regexp.MustCompile(n).MatchString(r.Line)
				}
				return strings.Contains(r.Line, n)
			})
			ok = ok && hit != f.Negate
		}
		if ok {
			out = append(out, r)
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		if a, b := out[i].Timestamp, out[j].Timestamp; a != b {
			return (a < b) == (s.Direction == Forward)
		}
		return labels.Compare(out[i].stream, out[j].stream) < 0
	})
	if s.Limit > 0 && len(out) > s.Limit {
		out = out[:s.Limit]
	}
	return out
}

func (m *model) volume(start, end int64, ms []Matcher) map[string]int64 {
	out := map[string]int64{}
	for _, r := range m.selectRows(Select{Matchers: ms, Start: start, End: end}) {
		out[r.stream.String()]++
	}
	return out
}

// collect copies rows out of a sequence, and checks their shape.
func collect(t require.TestingT, seq iter.Seq2[*Rows, error]) []modelRow {
	var out []modelRow
	for rows, err := range seq {
		require.NoError(t, err)
		n := len(rows.Timestamps)
		require.NotZero(t, n)
		require.Len(t, rows.Stream, n)
		require.Len(t, rows.Lines, n)
		if rows.Metadata != nil {
			require.Len(t, rows.Metadata, n)
		}
		for i := range n {
			r := modelRow{rows.Streams[rows.Stream[i]], Entry{Timestamp: rows.Timestamps[i], Line: string(rows.Lines[i])}}
			if rows.Metadata != nil {
				for _, l := range rows.Metadata[i] {
					r.Metadata = append(r.Metadata, Label{strings.Clone(l.Name), strings.Clone(l.Value)})
				}
			}
			out = append(out, r)
		}
	}
	return out
}

func printRows(rows []modelRow) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%d %s %q %v\n", r.Timestamp, r.stream, r.Line, r.Metadata)
	}
	return b.String()
}

// memoryObject is an object store of one object.
type memoryObject struct {
	data  []byte
	reads atomic.Int64
	bytes atomic.Int64
}

func (m *memoryObject) ReadRange(_ context.Context, _ string, off, n int64) ([]byte, error) {
	m.reads.Add(1)
	m.bytes.Add(n)
	if off < 0 || off > int64(len(m.data)) {
		return nil, fmt.Errorf("offset %d of %d", off, len(m.data))
	}
	return m.data[off:min(int64(len(m.data)), off+n)], nil
}

func testMeta() *block.Meta {
	return &block.Meta{ULID: ulid.MustParse("01J00000000000000000000000"), Tenant: "t", Producer: "test", Created: time.Unix(1, 0)}
}

// blockOf writes a head to a block and opens it.
func blockOf(t require.TestingT, h *Head, o BlockOptions) (*Block, *memoryObject) {
	h.options.Block = o
	var buf bytes.Buffer
	meta := testMeta()
	require.NoError(t, h.writeData(context.Background(), &buf, meta))
	_, err := meta.Encode()
	require.NoError(t, err)
	obj := &memoryObject{data: buf.Bytes()}
	return openObject(t, obj), obj
}

func openObject(t require.TestingT, obj *memoryObject) *Block {
	r, err := block.Open(context.Background(), obj, "test", int64(len(obj.data)), block.ReaderOptions{SuffixLen: 64})
	require.NoError(t, err)
	b, err := OpenBlock(context.Background(), r)
	require.NoError(t, err)
	return b
}

func headOf(batches ...*Batch) *Head { return headSealing(0, batches...) }

// headSealing makes a head that has sealed what fills sealBytes, 0 for the default.
func headSealing(sealBytes int64, batches ...*Batch) *Head {
	h := NewHead(HeadOptions{SealBytes: sealBytes})
	for _, b := range batches {
		h.Append(b)
		if sealBytes > 0 && h.Rows()%3 != 0 { // at times full buffers wait
			if err := h.Seal(context.Background()); err != nil {
				panic(err)
			}
		}
	}
	return h
}

func genSelect(t *rapid.T) Select {
	s := Select{
		Start:     rapid.Int64Range(-1, 40).Draw(t, "start"),
		Direction: rapid.SampledFrom([]Direction{Forward, Backward}).Draw(t, "direction"),
		Limit:     rapid.SampledFrom([]int{0, 0, 1, 3, 10}).Draw(t, "limit"),
		Expect:    rapid.SampledFrom([]int{0, 0, 1, 5, 100}).Draw(t, "expect"),
		Matchers:  genMatchers(t),
	}
	s.End = s.Start + rapid.Int64Range(0, 45).Draw(t, "length")
	if of := rapid.SampledFrom([]int{0, 0, 1, 2, 7}).Draw(t, "shards"); of > 0 {
		s.Shard = Shard{rapid.IntRange(0, of-1).Draw(t, "shard"), of}
	}
	for range rapid.IntRange(0, 2).Draw(t, "filters") {
		f := LineFilter{Negate: rapid.Bool().Draw(t, "negate"), Regexp: rapid.Bool().Draw(t, "regexp")}
		f.Match = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"", "error", "o", "long", "rror o", "^e", "a|b"}), 1, 2, rapid.ID).Draw(t, "match")
		s.Filters = append(s.Filters, f)
	}
	return s
}

// genSpans limits a select to some times of the streams of a model.
func genSpans(t *rapid.T, m *model) []StreamSpans {
	var out []StreamSpans
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "spans") {
		s := StreamSpans{Only: rapid.Bool().Draw(t, "only"), Times: map[uint64][]Span{}}
		for _, r := range m.rows {
			h := StreamHash(r.stream)
			if _, ok := s.Times[h]; ok {
				continue
			}
			var times []Span
			for range rapid.IntRange(0, 3).Draw(t, "times") {
				from := rapid.Int64Range(-1, 40).Draw(t, "from")
				times = append(times, Span{from, from + rapid.Int64Range(1, 15).Draw(t, "long")})
			}
			s.Times[h] = joined(times, len(times))
		}
		out = append(out, s)
	}
	return out
}

func genMatchers(t *rapid.T) []Matcher {
	var ms []Matcher
	for range rapid.IntRange(0, 2).Draw(t, "matchers") {
		ms = append(ms, Matcher{
			Type:  rapid.SampledFrom([]labels.MatchType{labels.MatchEqual, labels.MatchNotEqual, labels.MatchRegexp, labels.MatchNotRegexp}).Draw(t, "type"),
			Name:  rapid.SampledFrom([]string{"app", "env", "pod", "none"}).Draw(t, "name"),
			Value: rapid.SampledFrom([]string{"", "a", "b", "ünï", "a|b", ".*", ".+"}).Draw(t, "value"),
		})
	}
	return ms
}

// checkPart compares a part with the model on random questions.
func checkPart(t *rapid.T, name string, want *model, got Source) {
	ctx := context.Background()
	for range 4 {
		s := genSelect(t)
		s.Spans = genSpans(t, want)
		w, g := want.selectRows(s), collect(t, got.SelectRows(ctx, "t", s))
		if s.Limit > 0 && strings.HasSuffix(name, "mixture") && len(g) > s.Limit {
			g = g[:s.Limit] // a merge goes on as long as its caller wants
		}
		require.Equal(t, printRows(w), printRows(g), "%s: %+v", name, s)
		checkEstimate(t, name, s, w, got)
	}
	checkScan(t, name, want, got)
	sets := [][]Matcher{genMatchers(t), genMatchers(t)}[:rapid.IntRange(0, 2).Draw(t, "sets")]
	start := rapid.Int64Range(-1, 40).Draw(t, "start")
	end := start + rapid.Int64Range(0, 45).Draw(t, "length")

	wantSeries := map[string]bool{}
	if len(sets) == 0 {
		for k := range want.volume(start, end, nil) {
			wantSeries[k] = true
		}
	}
	for _, ms := range sets {
		for k := range want.volume(start, end, ms) {
			wantSeries[k] = true
		}
	}
	series, err := got.Series(ctx, "t", start, end, sets)
	require.NoError(t, err)
	require.True(t, slices.IsSortedFunc(series, labels.Compare))
	gotSeries := map[string]bool{}
	for _, ls := range series {
		require.False(t, gotSeries[ls.String()])
		gotSeries[ls.String()] = true
	}
	require.Equal(t, wantSeries, gotSeries, "%s: series %v", name, sets)
}

// checkScan compares the rows that a scan visits, whatever their order, and the extents with the model.
func checkScan(t *rapid.T, name string, want *model, got Source) {
	ctx := context.Background()
	s := genSelect(t)
	var mu sync.Mutex
	var rows []modelRow
	err := got.Scan(ctx, "t", s, func(ctx context.Context, p *Page) error {
		mu.Lock()
		defer mu.Unlock()
		ts, err := p.Timestamps(ctx)
		if err != nil {
			return err
		}
		require.Len(t, ts, p.Rows)
		n := 0
		err = p.Each(ctx, p.Among, func(stream uint32, ts int64, line []byte, md []Label) bool {
			r := modelRow{p.Streams[stream], Entry{Timestamp: ts, Line: string(line)}}
			for _, l := range md {
				r.Metadata = append(r.Metadata, Label{strings.Clone(l.Name), strings.Clone(l.Value)})
			}
			rows = append(rows, r)
			n++
			return true
		})
		require.Equal(t, p.Among.Count(p.Rows), n)
		return err
	})
	require.NoError(t, err)
	s.Limit, s.Direction = 0, Forward
	wanted := want.selectRows(s)
	byText := func(rows []modelRow) []string {
		lines := strings.SplitAfter(printRows(rows), "\n")
		slices.Sort(lines)
		return lines
	}
	require.Equal(t, byText(wanted), byText(rows), "%s: scan %+v", name, s)

	extents, err := got.Extents(ctx, "t", s.Start, s.End, s.Matchers)
	require.NoError(t, err)
	bounds := map[string][]Extent{}
	for i, e := range extents {
		if i > 0 && labels.Equal(extents[i-1].Labels, e.Labels) {
			require.Less(t, extents[i-1].Newest, e.Oldest, "%s: extents of %s", name, e.Labels)
		}
		bounds[e.Labels.String()] = append(bounds[e.Labels.String()], e)
	}
	for _, r := range wanted {
		require.True(t, slices.ContainsFunc(bounds[r.stream.String()], func(e Extent) bool {
			return e.Oldest <= r.Timestamp && r.Timestamp <= e.Newest
		}), "%s: extent of %s", name, r.stream)
	}
}

func checkVolume(t *rapid.T, name string, want *model, got Source) {
	ms := genMatchers(t)
	start := rapid.Int64Range(-1, 40).Draw(t, "start")
	end := start + rapid.Int64Range(0, 45).Draw(t, "length")
	volumes, err := got.Volume(context.Background(), "t", VolumeQuery{Start: start, End: end, Matchers: ms})
	require.NoError(t, err)
	entries := map[string]int64{}
	for _, v := range volumes {
		require.Positive(t, v.Entries)
		require.Positive(t, v.Pages)
		entries[v.Labels.String()] = v.Entries
	}
	require.Equal(t, want.volume(start, end, ms), entries, "%s: volume %v", name, ms)
	if start < 0 && end > 40 {
		size := int64(0)
		for _, v := range volumes {
			size += v.Bytes
		}
		for _, r := range want.selectRows(Select{Matchers: ms, Start: start, End: end}) {
			size -= int64(len(r.Line)) + metadataSize(r.Metadata)
		}
		require.Zero(t, size, "%s: bytes", name)
	}
	checkVolumeSteps(t, name, got, VolumeQuery{Matchers: ms, Start: start, End: end}, volumes)
}

func sourceOf(parts ...Part) Source {
	return NewSource(func(context.Context, string, int64, int64) ([]Part, error) { return parts, nil })
}

// Head, block, and any mixture of heads and blocks that hold the same rows give the same answers.
func TestPartsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batches := rapid.SliceOfN(rapid.Custom(genBatch), 1, 6).Draw(t, "batches")
		want := &model{}
		for _, b := range batches {
			want.append(b)
		}
		head := headSealing(rapid.SampledFrom([]int64{0, 1, 50, 200}).Draw(t, "seal"), batches...)
		require.Equal(t, len(want.rows), head.Rows())
		checkPart(t, "head", want, sourceOf(head))
		checkVolume(t, "head", want, sourceOf(head))

		options := BlockOptions{PageRows: rapid.SampledFrom([]int{0, 1, 3, 7}).Draw(t, "page rows"), PageBytes: rapid.SampledFrom([]int{0, 1, 100}).Draw(t, "page bytes")}
		if len(want.rows) > 0 {
			b, _ := blockOf(t, head, options)
			require.Equal(t, int64(len(want.rows)), b.Rows())
			checkPart(t, "block", want, sourceOf(b))
			checkVolume(t, "block", want, sourceOf(b))
		}

		// Older parts first; each batch goes to one part, some to the next one too.
		var parts []Part
		for i := 0; i < len(batches); {
			n := rapid.IntRange(1, len(batches)-i).Draw(t, "batches of a part")
			h := headOf(batches[i : i+n]...)
			if rapid.Bool().Draw(t, "again") {
				h.Append(batches[max(0, i-1)])
				h = headOf(append(slices.Clone(batches[max(0, i-1):i]), batches[i:i+n]...)...)
			}
			i += n
			if h.Rows() > 0 && rapid.Bool().Draw(t, "as a block") {
				b, _ := blockOf(t, h, options)
				parts = append(parts, b)
				continue
			}
			parts = append(parts, h)
		}
		checkPart(t, "mixture", want, sourceOf(parts...))
		var remote []Part
		for _, p := range parts {
			oldest, newest := p.TimeRange()
			remote = append(remote, NewRemotePart(sourceOf(p), "t", oldest-1, newest+1))
		}
		checkPart(t, "remote mixture", want, sourceOf(remote...))
	})
}

func TestBadQuestions(t *testing.T) {
	head := headOf(&Batch{Streams: []Stream{{Labels: labels.FromStrings("a", "b"), Entries: []Entry{{1, "x", nil}}}}})
	b, _ := blockOf(t, head, BlockOptions{})
	ctx := context.Background()
	for name, src := range map[string]Source{"head": sourceOf(head), "block": sourceOf(b), "nothing": sourceOf()} {
		bad := []Matcher{{labels.MatchRegexp, "a", "("}}
		for _, s := range []Select{{End: 9, Matchers: bad}, {End: 9, Filters: []LineFilter{{Regexp: true, Match: []string{"["}}}}} {
			for rows, err := range src.SelectRows(ctx, "t", s) {
				require.Nil(t, rows)
				require.Error(t, err, name)
			}
		}
		_, err := src.Series(ctx, "t", 0, 9, [][]Matcher{bad})
		require.Error(t, err, name)
		_, err = src.Volume(ctx, "t", VolumeQuery{End: 9, Matchers: bad})
		require.Error(t, err, name)
	}
	canceled, cancel := context.WithCancelCause(ctx)
	cancel(fmt.Errorf("had enough"))
	for _, p := range []Part{head, b} {
		for _, err := range p.SelectRows(canceled, Select{End: 9}) {
			require.ErrorContains(t, err, "had enough")
		}
	}
}

func TestWriteBlock(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	require.ErrorIs(t, NewHead(HeadOptions{}).WriteBlock(ctx, dir, testMeta()), ErrEmpty)

	long := strings.Repeat("long line ", 1<<20) // more than a blob can hold
	batch := &Batch{Streams: []Stream{
		{Labels: labels.FromStrings("app", "a"), Entries: []Entry{{5, "one", []Label{{"k", "v"}}}, {3, long, nil}, {3, long, nil}}},
		{Labels: labels.FromStrings("app", "b"), Entries: []Entry{{9, "", nil}, {1<<63 - 1, "the end of time", nil}}},
	}}
	head := headOf(batch)
	meta := testMeta()
	require.NoError(t, head.WriteBlock(ctx, dir, meta))
	require.Equal(t, int64(3), meta.MinTime)
	require.Equal(t, int64(1<<63-1), meta.MaxTime)
	require.Equal(t, int64(4), meta.Rows)
	require.Equal(t, int64(len("one")+len("k")+len("v")+len(long)+len("the end of time")), meta.RawBytes)

	raw, err := os.ReadFile(filepath.Join(dir, block.MetaFile))
	require.NoError(t, err)
	read, err := block.DecodeMeta(raw)
	require.NoError(t, err)
	require.Equal(t, meta.Data, read.Data)
	data, err := os.ReadFile(filepath.Join(dir, block.DataFile))
	require.NoError(t, err)
	require.Equal(t, meta.Data.Size, int64(len(data)))

	b := openObject(t, &memoryObject{data: data})
	rows := collect(t, b.SelectRows(ctx, Select{End: 1<<63 - 1, Direction: Forward}))
	require.Len(t, rows, 3)
	require.Equal(t, long, rows[0].Line)
	require.Equal(t, []Label{{"k", "v"}}, rows[1].Metadata)

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, head.WriteBlock(canceled, t.TempDir(), testMeta()), context.Canceled)
	require.Error(t, head.WriteBlock(ctx, filepath.Join(dir, "missing"), testMeta()))
}

// extentsPart is a part of which only times are known.
type extentsPart struct {
	Part
	extents []Extent
}

func (p extentsPart) TimeRange() (oldest, newest int64) {
	t := noTime
	for _, e := range p.extents {
		t.join(timeRange{e.Oldest, e.Newest})
	}
	return t.min, t.max
}

func (p extentsPart) Extents(context.Context, int64, int64, []Matcher) ([]Extent, error) {
	return p.extents, nil
}

// Blocks that follow each other share little, however many they are and whichever of them were merged; that
// one stream has rows of all times everywhere makes no difference to others.
func TestSharedSpans(t *testing.T) {
	const length = 1000
	a, b, late := labels.FromStrings("app", "a"), labels.FromStrings("app", "b"), labels.FromStrings("app", "late")
	var parts []Part
	for i := range int64(20) {
		parts = append(parts, extentsPart{extents: []Extent{ // of two blocks that are far apart; five rows into the next one
			{a, i * length, i*length + length + 4}, {a, (i + 20) * length, (i+20)*length + length + 4}, {b, i * length, i * length}, {late, 0, 40 * length},
		}})
	}
	shared, err := sharedSpans(t.Context(), parts, Select{End: 35 * length})
	require.NoError(t, err)
	require.Len(t, shared, 2)
	require.Equal(t, []Span{{0, 35 * length}}, shared[StreamHash(late)])
	require.Len(t, shared[StreamHash(a)], 34)
	for i, s := range shared[StreamHash(a)] {
		require.Equal(t, Span{int64(i+1) * length, int64(i+1)*length + 5}, s)
	}
}

// Where one stream has late rows, the others of the same time are scanned as pages with columns still, and each
// row once.
func TestScanBesideLateStream(t *testing.T) {
	stream := func(app string, times ...int64) *Batch {
		s := Stream{Labels: labels.FromStrings("app", app)}
		for _, ts := range times {
			s.Entries = append(s.Entries, Entry{Timestamp: ts, Line: fmt.Sprintf("row %d of %s", ts, app)})
		}
		return &Batch{Streams: []Stream{s}}
	}
	first, _ := blockOf(t, headOf(stream("steady", 10, 11, 12), stream("late", 1, 15, 30)), BlockOptions{})
	second, _ := blockOf(t, headOf(stream("steady", 20, 21, 22), stream("late", 2, 15, 35), stream("early", 1)), BlockOptions{})
	u := union{parts: []Part{first, second,
		headOf(stream("late", 15, 31, 40), stream("steady", 22, 23)),
	}}
	var mu sync.Mutex
	var columns, rows []string
	err := u.scan(t.Context(), Select{End: 100}, func(ctx context.Context, p *Page) error {
		return p.Each(ctx, p.Among, func(stream uint32, ts int64, line []byte, _ []Label) bool {
			mu.Lock()
			defer mu.Unlock()
			if rows = append(rows, string(line)); p.HasColumns() {
				columns = append(columns, string(line))
			}
			return true
		})
	})
	require.NoError(t, err)
	slices.Sort(rows)
	slices.Sort(columns)
	require.Equal(t, []string{"row 1 of early", "row 1 of late", "row 10 of steady", "row 11 of steady", "row 12 of steady", "row 15 of late",
		"row 2 of late", "row 20 of steady", "row 21 of steady", "row 22 of steady", "row 23 of steady", "row 30 of late", "row 31 of late",
		"row 35 of late", "row 40 of late"}, rows)
	require.Equal(t, []string{"row 1 of early", "row 1 of late", "row 10 of steady", "row 11 of steady", "row 12 of steady", "row 20 of steady",
		"row 21 of steady"}, columns)
}

func TestJoined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ends := rapid.SliceOfN(rapid.Int64Range(0, 200), 2, 60).Draw(t, "ends")
		most := rapid.IntRange(2, 20).Draw(t, "most")
		var spans []Span
		want := map[int64]bool{}
		for ; len(ends) > 1; ends = ends[2:] {
			s := Span{min(ends[0], ends[1]), max(ends[0], ends[1]) + 1}
			spans = append(spans, s)
			for i := s.Start; i < s.End; i++ {
				want[i] = true
			}
		}
		apart := len(joined(slices.Clone(spans), len(spans)))
		got := joined(spans, most)
		require.Len(t, got, min(apart, most))
		for i, s := range got {
			require.Less(t, s.Start, s.End)
			if i > 0 {
				require.Less(t, got[i-1].End, s.Start)
			}
			for k := s.Start; k < s.End; k++ {
				delete(want, k)
			}
		}
		require.Empty(t, want)
	})
}

// checkVolumeSteps: steps are what each would be as a range of its own, groups are the sums of their streams.
func checkVolumeSteps(t *rapid.T, name string, got Source, q VolumeQuery, streams []Volume) {
	q.Step, q.Groups = rapid.Int64Range(1, 50).Draw(t, "step"), rapid.SampledFrom([]VolumeGroups{GroupStreams, GroupLabels, GroupNames}).Draw(t, "groups")
	if q.Groups != GroupStreams {
		q.By = slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(rapid.SampledFrom([]string{"app", "env", "pod", "none"}), 0, 3).Draw(t, "by"))))
	}
	ctx := context.Background()
	found, err := got.Volume(ctx, "t", q)
	require.NoError(t, err)
	steps, windows := map[string]int64{}, map[string]int64{}
	for _, v := range found {
		for i, bytes := range v.Steps {
			steps[fmt.Sprint(v.Labels, v.First+i)] += bytes
		}
	}
	for i, at := 0, q.Start; at < q.End; i, at = i+1, at+q.Step {
		one := q
		one.Start, one.End, one.Step = at, min(at+q.Step, q.End), 0
		window, err := got.Volume(ctx, "t", one)
		require.NoError(t, err)
		for _, v := range window {
			windows[fmt.Sprint(v.Labels, i)] += v.Bytes
		}
	}
	maps.DeleteFunc(steps, func(_ string, n int64) bool { return n == 0 })
	maps.DeleteFunc(windows, func(_ string, n int64) bool { return n == 0 })
	require.Equal(t, windows, steps, "%s: %v", name, q)
	q.Step = 0
	whole, err := got.Volume(ctx, "t", q)
	require.NoError(t, err)
	groups, want := map[string]int64{}, map[string]int64{}
	for _, v := range whole {
		groups[v.Labels.String()] += v.Entries
	}
	for _, v := range streams {
		switch q.Groups {
		case GroupLabels:
			want[labels.NewBuilder(v.Labels).Keep(q.By...).Labels().String()] += v.Entries
		case GroupNames:
			v.Labels.Range(func(l labels.Label) {
				if len(q.By) == 0 || slices.Contains(q.By, l.Name) {
					want[nameOnly(l.Name).String()] += v.Entries
				}
			})
		default:
			want[v.Labels.String()] += v.Entries
		}
	}
	require.Equal(t, want, groups, "%s: %v", name, q)
	if len(found) == 0 {
		return
	}
	q.Only = []labels.Labels{found[0].Labels}
	only, err := got.Volume(ctx, "t", q)
	require.NoError(t, err)
	require.Len(t, only, 1)
	require.Equal(t, groups[found[0].Labels.String()], only[0].Entries)
}
