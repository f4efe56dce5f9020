package logs

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/block"
)

// pageSet is streams and their pages: what a Block and a sealed batch of a Head have in common. It
// answers as a Part does; its rows are distinct.
type pageSet struct {
	name    string // in errors
	streams streamList
	index   pageIndex
	store   pageStore
	stored  int64 // size of the block in the bucket; 0 where pages are in memory
	filled  bool  // each stream surely has rows
	// find returns the streams that match all of the matchers.
	find func(matcherSet) (*block.Bitmap, error)
}

// pageStore gives the bytes of pages.
type pageStore interface {
	// directory returns the directory of page i.
	directory(ctx context.Context, i int, stats *Stats) (*pageDirectory, error)
	// blobs returns the decoded blobs ids, ascending, of page i, in memory of mem, if it is set, or in the store's own.
	blobs(ctx context.Context, i int, d *pageDirectory, ids []int, stats *Stats, mem *block.Buffers) ([][]byte, error)
	// traceID returns the pages that may have rows of a trace.
	traceID(ctx context.Context, h block.IDHash, stats *Stats) (block.IDPages, error)
}

func (s *pageSet) corrupt(page int, what string, err error) error {
	return &block.CorruptionError{Block: s.name, Section: fmt.Sprintf("page %d, %s", page, what),
		Offset: int64(min(s.index.pages[page].place.bases[0], 1<<62)), Err: err}
}

// TimeRange implements Part.
func (s *pageSet) TimeRange() (oldest, newest int64) { return s.index.times.min, s.index.times.max }

// Rows returns how many entries there are.
func (s *pageSet) Rows() int64 { return s.index.rows }

// Levels returns how many entries there are of each detected level. It reads nothing.
func (s *pageSet) Levels() map[string]int64 {
	out := make(map[string]int64)
	for i, n := range s.index.levels {
		if n > 0 {
			out[levels[i]] = int64(n)
		}
	}
	return out
}

// findMatchers returns the streams that match all of the matchers.
func (s *pageSet) findMatchers(matchers []Matcher) (*block.Bitmap, error) {
	set, err := compileMatchers(matchers)
	if err != nil {
		return nil, err
	}
	return s.find(set)
}

// findSets returns the streams that match any of the sets.
func (s *pageSet) findSets(sets []matcherSet) (*block.Bitmap, error) {
	found := block.NewBitmap(s.streams.len())
	for _, set := range sets {
		one, err := s.find(set)
		if err != nil {
			return nil, err
		}
		found.Or(one)
	}
	return found, nil
}

// Series implements Part.
func (s *pageSet) Series(ctx context.Context, start, end int64, matchers [][]Matcher) ([]labels.Labels, error) {
	has, err := s.streamsWithRows(ctx, start, end, matchers)
	if err != nil {
		return nil, err
	}
	out := make([]labels.Labels, 0, has.Count())
	for i := has.Next(0); i >= 0; i = has.Next(i + 1) {
		out = append(out, s.streams.at(i))
	}
	return out, nil
}

// streamsWithRows returns the streams that match any of the matcher sets and have rows in [start, end).
func (s *pageSet) streamsWithRows(ctx context.Context, start, end int64, matchers [][]Matcher) (*block.Bitmap, error) {
	sets, err := compileMatcherSets(matchers)
	if err != nil {
		return nil, err
	}
	found, err := s.findSets(sets)
	if err != nil {
		return nil, err
	}
	if s.filled && s.index.times.inside(start, end) {
		return found, nil // Fast path: all rows are in the range.
	}
	has := block.NewBitmap(s.streams.len())
	err = s.eachRun(ctx, start, end, found, func(r *pageRun, rows int) { has.Set(int(r.stream)) },
		func(r *pageRun) bool { return r.touches(start, end) || has.Get(int(r.stream)) })
	return has, err
}

// Extents implements Part. It reads nothing: times are those of the runs of pages.
func (s *pageSet) Extents(_ context.Context, start, end int64, matchers []Matcher) ([]Extent, error) {
	found, err := s.findMatchers(matchers)
	if err != nil {
		return nil, err
	}
	type runTimes struct {
		stream uint32
		timeRange
	}
	var times []runTimes
	for i := range s.index.pages {
		for k := range s.index.pages[i].runs {
			if r := &s.index.pages[i].runs[k]; r.overlaps(start, end) && found.Get(int(r.stream)) {
				times = append(times, runTimes{r.stream, r.timeRange})
			}
		}
	}
	slices.SortFunc(times, func(a, b runTimes) int { return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.min, b.min)) })
	out := make([]Extent, 0, len(times))
	for i, t := range times {
		if i == 0 || times[i-1].stream != t.stream {
			out = append(out, Extent{s.streams.at(int(t.stream)), t.min, t.max})
		} else if last := &out[len(out)-1]; t.min <= last.Newest {
			last.Newest = max(last.Newest, t.max)
		} else {
			out = append(out, Extent{last.Labels, t.min, t.max})
		}
	}
	return out, nil
}

// pagesAtOnce bounds how many pages one question reads at the same time.
const pagesAtOnce = 4

// eachRun calls f for each run of the found streams with rows in [start, end), and says how many.
// Where sure says that the index's word for the run is enough, the number is of all its rows; else the
// timestamps are read.
func (s *pageSet) eachRun(ctx context.Context, start, end int64, found *block.Bitmap, f func(r *pageRun, rows int), sure func(*pageRun) bool) error {
	var unsure []int // pages
	for i := range s.index.pages {
		p := &s.index.pages[i]
		if !p.overlaps(start, end) {
			continue
		}
		asked := false
		for j := range p.runs {
			r := &p.runs[j]
			if !r.overlaps(start, end) || !found.Get(int(r.stream)) {
				continue
			}
			if sure(r) {
				f(r, int(r.rows))
			} else if !asked {
				unsure, asked = append(unsure, i), true
			}
		}
	}
	columns := make([][]int64, len(unsure))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(pagesAtOnce)
	for k, i := range unsure {
		g.Go(func() error {
			var err error
			columns[k], err = s.page(i, nil).Timestamps(gctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for k, i := range unsure {
		first := 0
		for j := range s.index.pages[i].runs {
			r := &s.index.pages[i].runs[j]
			ts := columns[k][first : first+int(r.rows)]
			first += int(r.rows)
			if !r.overlaps(start, end) || !found.Get(int(r.stream)) || sure(r) {
				continue
			}
			lo, _ := slices.BinarySearch(ts, start)
			hi, _ := slices.BinarySearch(ts, end)
			if hi > lo {
				f(r, hi-lo)
			}
		}
	}
	return nil
}

// memoryPages is a pageStore over pages in memory.
type memoryPages []encodedPage

func (m memoryPages) directory(_ context.Context, i int, _ *Stats) (*pageDirectory, error) {
	return m[i].directory, nil
}

func (m memoryPages) blobs(_ context.Context, i int, d *pageDirectory, ids []int, _ *Stats, _ *block.Buffers) ([][]byte, error) {
	out := make([][]byte, len(ids))
	for k, id := range ids {
		b, err := block.Unpack(m[i].blobs[id], d.page.Blobs[id].Ref())
		if err != nil {
			return nil, err
		}
		out[k] = b
	}
	return out, nil
}
