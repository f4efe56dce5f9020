package logs

import (
	"bytes"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

// indexOf encodes and decodes the sections that lead to streams.
func indexOf(t require.TestingT, streams []labels.Labels) (*streamIndex, *postings) {
	w := &blockWriter{pageWriter: pageWriter{streams: streams}}
	symbols, numbers := w.symbols()
	x, err := decodeStreams(appendStreams(nil, symbols, numbers, streams))
	require.NoError(t, err)
	p, err := decodePostings(appendPostings(nil, streams, numbers))
	require.NoError(t, err)
	require.NoError(t, p.join(x))
	require.NoError(t, p.check(len(streams)))
	return x, p
}

var genValue = rapid.SampledFrom([]string{"a", "b", "ab", "a|b", "prod", "x.y", "ü", "0"})

func genStreams(t *rapid.T) []labels.Labels {
	out := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) labels.Labels {
		return labels.FromMap(rapid.MapOfN(rapid.SampledFrom([]string{"app", "env", "pod", "zone", "long.name"}),
			rapid.OneOf(genValue, rapid.StringN(1, 3, 6)), 0, 5).Draw(t, "labels"))
	}), 0, 150).Draw(t, "streams")
	slices.SortFunc(out, labels.Compare)
	return slices.CompactFunc(out, labels.Equal)
}

func genMatcher(t *rapid.T) *labels.Matcher {
	kind := rapid.SampledFrom([]labels.MatchType{labels.MatchEqual, labels.MatchNotEqual, labels.MatchRegexp, labels.MatchNotRegexp}).Draw(t, "type")
	name := rapid.SampledFrom([]string{"app", "env", "pod", "zone", "long.name", "nowhere"}).Draw(t, "name")
	value := rapid.OneOf(genValue, rapid.Just("")).Draw(t, "value")
	if kind >= labels.MatchRegexp {
		value = rapid.SampledFrom([]string{"a|b", "a", "", "a|", ".*", ".+", "a.*", "(?i)A|prod", "[ab]+", "x\\.y|nothing", "nothing|none"}).Draw(t, "regexp")
	}
	return labels.MustNewMatcher(kind, name, value)
}

func genMatcherSet(t *rapid.T) matcherSet {
	return rapid.SliceOfN(rapid.Custom(genMatcher), 0, 3).Draw(t, "matchers")
}

// The index finds what trying every stream finds, and gives back every label set.
func TestStreamIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		streams := genStreams(t)
		x, p := indexOf(t, streams)
		require.Equal(t, len(streams), x.len())
		for i, ls := range streams {
			require.Equal(t, ls, x.at(i))
		}
		set := genMatcherSet(t)
		found, err := p.find(set, x.len())
		require.NoError(t, err)
		for i, ls := range streams {
			require.Equal(t, set.matches(ls), found.Get(i), "%v of %v", set, ls)
		}
	})
}

// A label of many values is found through the index of its lists.
func TestPostingsOfManyValues(t *testing.T) {
	var streams []labels.Labels
	for i := range 1000 {
		streams = append(streams, labels.FromStrings("app", "shop", "pod", fmt.Sprintf("pod-%04d", i)))
	}
	x, p := indexOf(t, streams)
	for _, i := range []int{0, 1, 31, 32, 33, 500, 998, 999} {
		symbol, ok := x.find(fmt.Sprintf("pod-%04d", i))
		require.True(t, ok)
		list, err := p.name("pod").list(symbol)
		require.NoError(t, err)
		found := block.NewBitmap(len(streams))
		require.NoError(t, addStreams(list, found))
		require.Equal(t, 1, found.Count())
		require.True(t, found.Get(i))
	}
	app, _ := x.find("shop")
	list, err := p.name("pod").list(app)
	require.NoError(t, err)
	require.Empty(t, list)
	require.Nil(t, p.name("nowhere"))
	_, ok := x.find("pod-9999")
	require.False(t, ok)
}

func TestDecodeStreamsRefusesDisorder(t *testing.T) {
	a, b := labels.FromStrings("a", "1"), labels.FromStrings("b", "2")
	numbers := map[string]uint32{"1": 0, "2": 1, "a": 2, "b": 3}
	symbols := []string{"1", "2", "a", "b"}
	for want, data := range map[string][]byte{
		"stream 1 is out of order":     appendStreams(nil, symbols, numbers, []labels.Labels{b, a}),
		"symbol 1 is out of order":     appendStreams(nil, []string{"1", "1", "a", "b"}, numbers, nil),
		"number 3 of 3":                appendStreams(nil, symbols[:3], numbers, []labels.Labels{b}),
		"label names are out of order": append(block.AppendStringList(nil, symbols), 1, 2, 3, 0, 2, 1),
		"1 bytes too many":             append(appendStreams(nil, symbols, numbers, []labels.Labels{a, b}), 0),
		"unexpected end of data":       appendStreams(nil, symbols, numbers, []labels.Labels{a, b})[:10],
	} {
		_, err := decodeStreams(data)
		require.ErrorContains(t, err, want)
	}
}

func FuzzStreamIndex(f *testing.F) {
	streams := []labels.Labels{labels.FromStrings("app", "a"), labels.FromStrings("app", "b", "pod", "x")}
	w := &blockWriter{pageWriter: pageWriter{streams: streams}}
	symbols, numbers := w.symbols()
	f.Add(appendStreams(nil, symbols, numbers, streams), appendPostings(nil, streams, numbers))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		x, err := decodeStreams(a)
		if err != nil {
			return
		}
		for i := range min(x.len(), 100) {
			_ = x.at(i).String()
		}
		p, err := decodePostings(b)
		if err != nil || p.join(x) != nil {
			return
		}
		checked := p.check(min(x.len(), 1<<16))
		for _, m := range []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "app", "a"), labels.MustNewMatcher(labels.MatchRegexp, "pod", "x.*")} {
			if _, err := p.find(matcherSet{m}, min(x.len(), 1<<16)); err != nil && checked == nil {
				t.Fatalf("find fails in what was checked: %v", err)
			}
		}
	})
}

// One question asks for few streams: only theirs are made.
func TestFoundStreams(t *testing.T) {
	var streams []labels.Labels
	for i := range 300 {
		streams = append(streams, labels.FromStrings("pod", fmt.Sprintf("pod-%04d", i)))
	}
	x, _ := indexOf(t, streams)
	bits := block.NewBitmap(len(streams))
	for _, i := range []int{3, 70, 71, 299} {
		bits.Set(i)
	}
	f := newFoundStreams(x, bits, &selection{})
	got := f.load([]pageRun{{stream: 2}, {stream: 70}, {stream: 299}})
	require.Equal(t, []labels.Labels{labels.EmptyLabels(), streams[70], streams[299]}, got)
	require.Equal(t, []labels.Labels{labels.EmptyLabels(), streams[70], labels.EmptyLabels(), streams[299]}, f.labels)
	require.EqualValues(t, 1, f.number(70))
	require.True(t, f.has(71))
	require.False(t, f.has(72))
}

// manyStreams is a block of n streams with one row each, as a bucket has it.
func manyStreams(tb testing.TB, n int) []byte {
	var buf bytes.Buffer
	w := newBlockWriter(&buf, BlockOptions{})
	sets := make([]labels.Labels, n)
	for i := range sets {
		sets[i] = labels.FromStrings("app", fmt.Sprintf("app-%d", i%50), "cluster", fmt.Sprintf("c%d", i%4), "container", "main",
			"namespace", fmt.Sprintf("ns-%d", i%20), "pod", fmt.Sprintf("app-%d-7d9f8b6c5-%07d", i%50, i))
	}
	slices.SortFunc(sets, labels.Compare)
	for i, ls := range sets {
		w.stream(ls, 20)
		w.add(int64(i)*1000, []byte("started"), nil)
	}
	require.NoError(tb, w.finishBlock(testMeta()))
	return buf.Bytes()
}

var million = sync.OnceValue(func() []byte { return manyStreams(&testing.B{}, 1_000_000) })

// liveBytes is what f's result keeps in memory.
func liveBytes(f func() any) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
}

func BenchmarkOpenMillionStreams(b *testing.B) {
	data := million()
	kept := liveBytes(func() any { return openObject(b, &memoryObject{data: data}) })
	b.ReportAllocs()
	for b.Loop() {
		openObject(b, &memoryObject{data: data})
	}
	b.ReportMetric(float64(len(data)), "stored-B")
	b.ReportMetric(float64(kept), "kept-B")
}

// matchSelects are what benchmarks ask: with few and many streams in the answer.
var matchSelects = map[string]matcherSet{
	"equal":      {labels.MustNewMatcher(labels.MatchEqual, "app", "app-7")},
	"one":        {labels.MustNewMatcher(labels.MatchEqual, "pod", "app-7-7d9f8b6c5-0000007")},
	"set":        {labels.MustNewMatcher(labels.MatchRegexp, "app", "app-7|app-8|app-9")},
	"not":        {labels.MustNewMatcher(labels.MatchNotEqual, "namespace", "ns-7")},
	"regexp":     {labels.MustNewMatcher(labels.MatchRegexp, "pod", "app-7-.*-00000.+")},
	"and":        {labels.MustNewMatcher(labels.MatchEqual, "app", "app-7"), labels.MustNewMatcher(labels.MatchNotRegexp, "pod", ".*-00[0-4].*")},
	"everything": nil,
}

func BenchmarkMatchMillionStreams(b *testing.B) {
	blk := openObject(b, &memoryObject{data: million()})
	for _, name := range slices.Sorted(maps.Keys(matchSelects)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				found, err := blk.find(matchSelects[name])
				if err != nil {
					b.Fatal(err)
				}
				n = found.Count()
			}
			b.ReportMetric(float64(n), "streams")
		})
	}
}

func BenchmarkMatchManyBlocks(b *testing.B) {
	const blocks = 2000
	data := manyStreams(b, 500)
	open := make([]*Block, blocks)
	kept := liveBytes(func() any {
		for i := range open {
			open[i] = openObject(b, &memoryObject{data: data})
		}
		return open
	})
	for _, name := range []string{"equal", "set", "regexp"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, blk := range open {
					if _, err := blk.find(matchSelects[name]); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/blocks, "ns/block")
		})
	}
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			openObject(b, &memoryObject{data: data})
		}
		b.ReportMetric(float64(kept)/blocks, "kept-B/block")
	})
}
