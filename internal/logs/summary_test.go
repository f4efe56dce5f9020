package logs

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

func summaryOf(t require.TestingT, streams []labels.Labels, levels levelCounts) Summary {
	b := appendSummary(nil, streams, levels, block.IDFilter{})
	require.LessOrEqual(t, len(b), block.MaxSummaryLen)
	s, err := ParseSummary(b)
	require.NoError(t, err)
	return s
}

// A summary never rules out a block that has a matching stream, and where values are listed it rules out
// every block that one matcher alone rules out.
func TestSummary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		streams := genStreams(t)
		s := summaryOf(t, streams, levelCounts{})
		require.EqualValues(t, len(streams), s.Streams())
		set := genMatcherSet(t)
		all, alone := slices.ContainsFunc(streams, set.matches), true
		for _, m := range set {
			alone = alone && slices.ContainsFunc(streams, matcherSet{m}.matches)
		}
		if all {
			require.True(t, s.MayMatch(set...), "%v of %v", set, streams)
		}
		if !alone && len(streams) > 0 {
			require.False(t, s.MayMatch(set...), "%v of %v", set, streams)
		}
	})
}

// Labels of many values get a filter, labels of too many none.
func TestSummaryOfManyValues(t *testing.T) {
	for _, c := range []struct {
		streams int
		form    int
	}{{60, valuesListed}, {3000, valuesFiltered}, {20_000, valuesUnknown}} {
		var streams []labels.Labels
		for i := range c.streams {
			streams = append(streams, labels.FromStrings("app", fmt.Sprintf("app-%d", i%7), "pod", fmt.Sprintf("pod-%06d", i)))
		}
		s := summaryOf(t, streams, levelCounts{})
		may := func(kind labels.MatchType, name, value string) bool {
			return s.MayMatch(labels.MustNewMatcher(kind, name, value))
		}
		require.True(t, may(labels.MatchEqual, "pod", "pod-000007"))
		require.True(t, may(labels.MatchRegexp, "pod", "x|pod-000007"))
		require.True(t, may(labels.MatchNotEqual, "pod", "pod-000007"))
		require.False(t, may(labels.MatchRegexp, "app", "app-[89]"))
		require.False(t, may(labels.MatchEqual, "pid", "1"))
		require.True(t, may(labels.MatchEqual, "pid", ""))
		wrong := 0
		for i := range 1000 {
			if may(labels.MatchEqual, "pod", fmt.Sprintf("other-%d", i)) {
				wrong++
			}
		}
		switch c.form {
		case valuesListed:
			require.Zero(t, wrong)
			require.False(t, may(labels.MatchRegexp, "pod", "other.*"))
			require.False(t, may(labels.MatchEqual, "pod", ""), "all streams have it")
		case valuesFiltered:
			require.Less(t, wrong, 50)
			require.True(t, may(labels.MatchRegexp, "pod", "other.*"))
			require.False(t, may(labels.MatchEqual, "pod", ""))
		case valuesUnknown:
			require.Equal(t, 1000, wrong)
		}
	}
}

// However many labels there are, a summary is small and rules nothing out that it doesn't know.
func TestSummaryIsBounded(t *testing.T) {
	var streams []labels.Labels
	for i := range 400 {
		b := labels.NewScratchBuilder(0)
		for k := range 300 {
			b.Add(fmt.Sprintf("label_%03d", k), fmt.Sprintf("%d of %d", i%(k+1), k))
		}
		streams = append(streams, b.Labels())
	}
	s := summaryOf(t, streams, levelCounts{})
	require.False(t, s.complete)
	for k := range 300 {
		require.True(t, s.MayMatch(labels.MustNewMatcher(labels.MatchEqual, fmt.Sprintf("label_%03d", k), fmt.Sprintf("0 of %d", k))))
	}
	require.False(t, s.MayMatch(labels.MustNewMatcher(labels.MatchEqual, "label_003", "none")))
	require.True(t, s.MayMatch(labels.MustNewMatcher(labels.MatchEqual, "nowhere", "x")))
}

func TestSummaryLevels(t *testing.T) {
	streams := []labels.Labels{labels.FromStrings("app", "a")}
	may := func(s Summary, kind labels.MatchType, value string) bool {
		return s.MayHaveLevel(labels.MustNewMatcher(kind, DetectedLevel, value))
	}
	s := summaryOf(t, streams, levelCounts{3: 10, 4: 1}) // info, warn
	require.False(t, may(s, labels.MatchEqual, LevelError))
	require.True(t, may(s, labels.MatchRegexp, "warn|error"))
	require.True(t, may(s, labels.MatchNotEqual, LevelInfo))
	require.True(t, s.MayHaveLevel())
	// What has another level, or none, counts as unknown.
	require.True(t, may(summaryOf(t, streams, levelCounts{0: 1}), labels.MatchEqual, "notice"))
	require.True(t, may(Summary{}, labels.MatchEqual, LevelError))
}

// A damaged summary is an error; the zero one rules nothing out.
func TestParseSummary(t *testing.T) {
	b := appendSummary(nil, []labels.Labels{labels.FromStrings("app", "a")}, levelCounts{1}, block.IDFilter{})
	for i := range b {
		bad := slices.Clone(b)
		bad[i] ^= 1
		s, err := ParseSummary(bad)
		require.Error(t, err)
		require.True(t, s.MayMatch(labels.MustNewMatcher(labels.MatchEqual, "app", "other")))
	}
	_, err := ParseSummary(nil)
	require.Error(t, err)
}

func FuzzSummary(f *testing.F) {
	f.Add(appendSummary(nil, []labels.Labels{labels.FromStrings("app", "a", "pod", "b")}, levelCounts{1}, block.IDFilter{})[4:])
	ms := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "app", "x"), labels.MustNewMatcher(labels.MatchRegexp, "pod", "[xy]")}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseSummaryBody(b); err == nil {
			s.MayMatch(ms...)
			s.MayHaveLevel(ms...)
		}
	})
}

// lazyBlocks are blocks of a bucket, which is counted, behind the parts of one source.
type lazyBlocks struct {
	objects []*memoryObject
	parts   []LazyBlock

	mu     sync.Mutex
	opened []int
}

func (l *lazyBlocks) add(t require.TestingT, h *Head) {
	var buf bytes.Buffer
	meta := testMeta()
	require.NoError(t, h.writeData(context.Background(), &buf, meta))
	summary, err := ParseSummary(meta.Summary)
	require.NoError(t, err)
	obj := &memoryObject{data: buf.Bytes()}
	i := len(l.objects)
	l.objects = append(l.objects, obj)
	l.parts = append(l.parts, LazyBlock{Oldest: meta.MinTime, Newest: meta.MaxTime, Summary: summary,
		Open: func(ctx context.Context) (*Block, error) {
			l.mu.Lock()
			l.opened = append(l.opened, i)
			l.mu.Unlock()
			r, err := block.Open(ctx, obj, fmt.Sprint(i), int64(len(obj.data)), block.ReaderOptions{})
			if err != nil {
				return nil, err
			}
			return OpenBlock(ctx, r)
		},
		LookupID: func(ctx context.Context, f block.IDFilter, h block.IDHash) (block.IDPages, error) {
			return f.Lookup(ctx, obj, fmt.Sprint(i), int64(len(obj.data)), h)
		}})
}

// source makes the parts anew, as a querier does for each question, and forgets the counts.
func (l *lazyBlocks) source() Source {
	l.opened = nil
	for _, o := range l.objects {
		o.reads.Store(0)
		o.bytes.Store(0)
	}
	parts := make([]Part, len(l.parts))
	for i := range l.parts {
		parts[i] = NewLazyPart(l.parts[i])
	}
	return sourceOf(parts...)
}

func (l *lazyBlocks) read() (requests, size int64) {
	for _, o := range l.objects {
		requests, size = requests+o.reads.Load(), size+o.bytes.Load()
	}
	return requests, size
}

// Of a thousand blocks of one time, three can match: these alone are opened, and the others cost not one
// request.
func TestSummariesPruneBlocks(t *testing.T) {
	l := &lazyBlocks{}
	wanted := []int{100, 500, 900}
	for i := range 1000 {
		info := []Label{{DetectedLevel, LevelInfo}}
		s := Stream{Labels: labels.FromStrings("app", fmt.Sprintf("app-%d", i%40)), Entries: []Entry{{int64(i), "line", info}, {2000, "last", info}}}
		if slices.Contains(wanted, i) {
			s.Labels = labels.FromStrings("app", "rare", "pod", fmt.Sprint(i))
			s.Entries[0].Metadata = []Label{{DetectedLevel, LevelFatal}}
		}
		l.add(t, headOf(&Batch{Streams: []Stream{s}}))
	}
	check := func(ask func(Source) int) {
		t.Helper()
		require.Equal(t, 3, ask(l.source()))
		slices.Sort(l.opened)
		require.Equal(t, wanted, l.opened)
		for i, o := range l.objects {
			require.Equal(t, slices.Contains(wanted, i), o.reads.Load() > 0, "block %d", i)
		}
	}
	ctx := t.Context()
	for _, ms := range [][]Matcher{
		{{labels.MatchEqual, "app", "rare"}},
		{{labels.MatchRegexp, "app", "ra.*"}},
		{{labels.MatchRegexp, "app", "rare|rarer"}},
		{{labels.MatchNotRegexp, "app", "app-.+"}},
		{{labels.MatchNotEqual, "pod", ""}},
	} {
		sel := Select{Matchers: ms, Start: 0, End: 2000}
		check(func(s Source) int { return len(collect(t, s.SelectRows(ctx, "t", sel))) })
		check(func(s Source) int {
			found, err := s.Series(ctx, "t", 0, 3000, [][]Matcher{ms})
			require.NoError(t, err)
			return len(found)
		})
		check(func(s Source) int {
			found, err := s.Volume(ctx, "t", VolumeQuery{End: 3000, Matchers: ms})
			require.NoError(t, err)
			return len(found)
		})
		check(func(s Source) int {
			found, err := s.Extents(ctx, "t", 0, 3000, ms)
			require.NoError(t, err)
			return len(found)
		})
		check(func(s Source) int {
			rows := make(chan int, 1000)
			require.NoError(t, s.Scan(ctx, "t", sel, func(_ context.Context, p *Page) error {
				rows <- p.Among.Count(p.Rows)
				return nil
			}))
			close(rows)
			n := 0
			for r := range rows {
				n += r
			}
			return n
		})
	}
	check(func(s Source) int {
		sel := Select{Start: 0, End: 2000, Levels: []Matcher{{labels.MatchEqual, DetectedLevel, LevelFatal}}}
		return len(collect(t, s.SelectRows(ctx, "t", sel)))
	})
	// The newest rows come from the newest blocks that match; the merge goes no further.
	src := l.source()
	for rows, err := range src.SelectRows(ctx, "t", Select{Start: 0, End: 2000, Matchers: []Matcher{{labels.MatchEqual, "app", "rare"}}, Direction: Forward, Limit: 1}) {
		require.NoError(t, err)
		require.EqualValues(t, 100, rows.Timestamps[0])
		break
	}
	require.Equal(t, []int{100}, l.opened)
}

// TestSummariesListLabels: names of labels, and the values of one that has few, are listed without opening a block that
// lies in the time asked for; else the block is asked, and the answers are the same.
func TestSummariesListLabels(t *testing.T) {
	l := &lazyBlocks{}
	for i := range 3 {
		b := &Batch{}
		for k := range 200 {
			ls := labels.FromStrings("app", fmt.Sprintf("app-%d", k%7+i), "pod", fmt.Sprintf("pod-%d-%d", i, k))
			b.Streams = append(b.Streams, Stream{Labels: ls, Entries: []Entry{{int64(10*i + k%5), "line", nil}}})
		}
		l.add(t, headOf(b))
	}
	ask := func(start, end int64, name string, matchers ...[]Matcher) []string {
		out, err := LabelStrings(t.Context(), l.source(), "t", start, end, matchers, name)
		require.NoError(t, err)
		return out
	}
	apps := []string{"app-0", "app-1", "app-2", "app-3", "app-4", "app-5", "app-6", "app-7", "app-8"}
	for _, matchers := range [][][]Matcher{nil, {{}}} {
		require.Equal(t, []string{"app", "pod"}, ask(0, 100, "", matchers...))
		require.Equal(t, apps, ask(0, 100, "app", matchers...))
		require.Empty(t, ask(0, 100, "none", matchers...))
		require.Empty(t, l.opened)
	}
	require.Len(t, ask(0, 100, "pod"), 600)
	require.Len(t, l.opened, 3, "too many values for the summary")
	require.Equal(t, apps[:7], ask(0, 4, "app"))
	require.Len(t, l.opened, 1, "a part of the block's time")
	require.Equal(t, apps[1:8], ask(10, 20, "app"))
	require.Empty(t, l.opened)
	require.Equal(t, []string{"app-3"}, ask(0, 100, "app", []Matcher{{labels.MatchEqual, "app", "app-3"}}))
	require.NotEmpty(t, l.opened)
}

// A block that was deleted has no rows, and one that can't be opened is an error.
func TestLazyPart(t *testing.T) {
	gone := NewLazyPart(LazyBlock{Oldest: 0, Newest: 10, Open: func(context.Context) (*Block, error) { return nil, nil }})
	src := sourceOf(gone)
	require.Empty(t, collect(t, src.SelectRows(t.Context(), "t", Select{End: math.MaxInt64})))
	found, err := src.Series(t.Context(), "t", 0, 100, nil)
	require.NoError(t, err)
	require.Empty(t, found)
	volume, err := src.Volume(t.Context(), "t", VolumeQuery{End: 100})
	require.NoError(t, err)
	require.Empty(t, volume)
	require.NoError(t, src.Scan(t.Context(), "t", Select{End: 100}, func(context.Context, *Page) error { return fmt.Errorf("a page") }))

	broken := sourceOf(NewLazyPart(LazyBlock{Oldest: 0, Newest: 10, Open: func(context.Context) (*Block, error) { return nil, fmt.Errorf("broken") }}))
	_, err = broken.Series(t.Context(), "t", 0, 100, nil)
	require.ErrorContains(t, err, "broken")
	require.ErrorContains(t, broken.Scan(t.Context(), "t", Select{End: 100}, nil), "broken")
	for _, err := range broken.SelectRows(t.Context(), "t", Select{End: 100}) {
		require.ErrorContains(t, err, "broken")
	}
}

func BenchmarkSummaryMayMatch(b *testing.B) {
	var streams []labels.Labels
	for i := range 500 {
		streams = append(streams, labels.FromStrings("app", fmt.Sprintf("app-%d", i%50), "cluster", "c", "namespace", fmt.Sprintf("ns-%d", i%20), "pod", fmt.Sprintf("pod-%d", i)))
	}
	raw := appendSummary(nil, streams, levelCounts{}, block.IDFilter{})
	m := labels.MustNewMatcher(labels.MatchEqual, "namespace", "nowhere")
	for b.Loop() {
		s, err := ParseSummary(raw)
		if err != nil || s.MayMatch(m) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(raw)), "B/summary")
}
