package logs

import (
	"context"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/block"
)

// Volume implements Part. Timestamps are read only of pages with rows of a stream in several steps, or in and out
// of the range.
func (s *pageSet) Volume(ctx context.Context, q VolumeQuery) ([]Volume, error) {
	found, err := s.findMatchers(q.Matchers)
	if err != nil {
		return nil, err
	}
	sums := newPageVolumes(s, &q)
	var unsure []int // pages
	for i := range s.index.pages {
		p := &s.index.pages[i]
		if !p.overlaps(q.Start, q.End) {
			continue
		}
		asked := false
		for k := range p.runs {
			r := &p.runs[k]
			if !r.overlaps(q.Start, q.End) || !found.Get(int(r.stream)) {
				continue
			}
			if groups := sums.of(r.stream); q.whole(r.timeRange) {
				for _, g := range groups {
					g.Pages++
					g.add(q.step(r.min), int64(r.rows), int64(r.bytes))
				}
			} else if len(groups) > 0 && !asked {
				unsure, asked = append(unsure, i), true
			}
		}
	}
	if err := s.cutVolumes(ctx, &q, sums, found, unsure); err != nil {
		return nil, err
	}
	return sums.answer(), nil
}

// cutVolumes adds the runs of pages that are not whole in a step.
func (s *pageSet) cutVolumes(ctx context.Context, q *VolumeQuery, sums *pageVolumes, found *block.Bitmap, pages []int) error {
	var mu sync.Mutex // of sums
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(pagesAtOnce)
	for _, i := range pages {
		g.Go(func() error {
			ts, err := s.page(i, nil).Timestamps(gctx)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for k := range s.index.pages[i].runs {
				r := &s.index.pages[i].runs[k]
				if r.overlaps(q.Start, q.End) && found.Get(int(r.stream)) && !q.whole(r.timeRange) {
					cutRun(q, r, ts[:r.rows], sums.of(r.stream))
				}
				ts = ts[r.rows:]
			}
			return nil
		})
	}
	return g.Wait()
}

// cutRun adds the rows of a run, by step.
func cutRun(q *VolumeQuery, r *pageRun, ts []int64, groups []*Volume) {
	for _, g := range groups {
		had := g.Entries
		q.cut(ts, func(step, rows int) {
			g.add(step, int64(rows), int64(float64(r.bytes)*float64(rows)/float64(r.rows)))
		})
		if g.Entries > had {
			g.Pages++
		}
	}
}

// pageVolumes are volumes by the number of a stream.
type pageVolumes struct {
	*volumeSums
	streams streamList
	values  func(i int, out []string)
	by      []string // scratch
	places  []struct{ from, to uint32 }
	refs    []*Volume // groups of the streams
}

func newPageVolumes(s *pageSet, q *VolumeQuery) *pageVolumes {
	return &pageVolumes{volumeSums: newVolumeSums(q), streams: s.streams, values: s.streams.picker(q.By), by: make([]string, len(q.By)),
		places: make([]struct{ from, to uint32 }, s.streams.len()), refs: make([]*Volume, 1)}
}

// of returns the groups of a stream.
func (v *pageVolumes) of(stream uint32) []*Volume {
	at := &v.places[stream]
	if at.from == 0 {
		picked := false
		groups := v.volumeSums.of(func() labels.Labels { return v.streams.at(int(stream)) }, func(i int) string {
			if !picked {
				v.values(int(stream), v.by)
				picked = true
			}
			return v.by[i]
		})
		at.from = uint32(len(v.refs))
		v.refs = append(v.refs, groups...)
		at.to = uint32(len(v.refs))
	}
	return v.refs[at.from:at.to]
}

// picker implements streamList.
func (s labelSets) picker(names []string) func(i int, out []string) {
	return func(i int, out []string) {
		for k, name := range names {
			out[k] = s[i].Get(name)
		}
	}
}

// picker implements streamList.
func (x *streamIndex) picker(names []string) func(i int, out []string) {
	symbols := make([]uint32, len(names))
	known := make([]bool, len(names))
	for k, name := range names {
		symbols[k], known[k] = x.find(name)
	}
	return func(i int, out []string) {
		for k := range names {
			out[k] = ""
			if !known[k] {
				continue
			}
			if value, ok := x.value(i, symbols[k]); ok {
				out[k] = x.symbol(value)
			}
		}
	}
}
