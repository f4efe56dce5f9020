package logs

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/block"
)

// Block answers from one block. It is a Part; safe for concurrent use.
//
// It keeps the label sets, their postings and the page directory in memory. A select reads only the
// pages that hold a matching stream in the time range, when the answer has come to their time, and
// of a page with line filters the metadata only if a line passes.
type Block struct {
	r        *block.Reader
	streams  []labels.Labels // ascending
	symbols  []string
	postings postings
	dir      pageDirectory
}

// OpenBlock reads the sections of a logs block. The Block uses r for as long as it lives.
func OpenBlock(ctx context.Context, r *block.Reader) (*Block, error) {
	b := &Block{r: r}
	for _, s := range []struct {
		kind   block.Kind
		decode func([]byte) error
	}{
		{sectionStreams, func(data []byte) (err error) {
			b.streams, b.symbols, err = decodeStreams(data)
			return err
		}},
		{sectionPages, func(data []byte) (err error) {
			b.dir, err = decodePages(data, len(b.streams))
			return err
		}},
		{sectionPostings, func(data []byte) (err error) {
			b.postings, err = decodePostings(data, len(b.symbols))
			return err
		}},
	} {
		data, err := r.Section(ctx, s.kind)
		if err != nil {
			return nil, fmt.Errorf("open logs block: %w", err)
		}
		if err := s.decode(data); err != nil {
			return nil, fmt.Errorf("open logs block: %w", b.corrupt(fmt.Sprintf("section %d", s.kind), 0, err))
		}
	}
	return b, nil
}

func (b *Block) corrupt(section string, offset uint64, err error) error {
	return &block.CorruptionError{Block: b.r.Name(), Section: section, Offset: int64(min(offset, 1<<62)), Err: err}
}

// TimeRange implements Part.
func (b *Block) TimeRange() (oldest, newest int64) { return b.dir.times.min, b.dir.times.max }

// Rows returns how many entries the block holds.
func (b *Block) Rows() int64 { return b.dir.rows }

// Levels returns how many entries of each detected level the block holds. It reads nothing.
func (b *Block) Levels() map[string]int64 {
	out := make(map[string]int64)
	for i, n := range b.dir.levels {
		if n > 0 {
			out[levels[i]] = int64(n)
		}
	}
	return out
}

// find returns the streams that match all of the matchers.
func (b *Block) find(set matcherSet) (*block.Bitmap, error) {
	found := block.NewBitmap(len(b.streams))
	found.SetAll()
	one := block.NewBitmap(len(b.streams))
	for _, m := range set {
		one.Reset(len(b.streams))
		if err := b.findOne(m, one); err != nil {
			return nil, b.corrupt(fmt.Sprintf("section %d", sectionPostings), 0, err)
		}
		found.And(one)
	}
	return found, nil
}

// findOne sets the streams that match m in the empty set out. Each value of the label is tried once,
// however many streams have it.
func (b *Block) findOne(m *labels.Matcher, out *block.Bitmap) error {
	values := b.values(m.Name)
	if m.Type == labels.MatchEqual && m.Value != "" {
		// Fast path: no need to look at the other values.
		i, ok := slices.BinarySearchFunc(values, m.Value, func(v postingValue, want string) int {
			return cmp.Compare(b.symbols[v.value], want)
		})
		if ok {
			return values[i].addTo(out)
		}
		return nil
	}
	if m.Matches("") {
		// Streams without the label match: look for those that don't.
		for i := range values {
			if !m.Matches(b.symbols[values[i].value]) {
				if err := values[i].addTo(out); err != nil {
					return err
				}
			}
		}
		out.Not()
		return nil
	}
	for i := range values {
		if m.Matches(b.symbols[values[i].value]) {
			if err := values[i].addTo(out); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Block) values(name string) []postingValue {
	i, ok := slices.BinarySearchFunc(b.postings, name, func(p postingName, want string) int {
		return cmp.Compare(b.symbols[p.name], want)
	})
	if !ok {
		return nil
	}
	return b.postings[i].values
}

// selectMemory bounds what a select without limit decodes at one time, about, in bytes of lines and
// metadata. The pages of many streams cover the same time, so all of them must be open for the rows
// to come in order of time; a select of more is done in slices of time, which reads pages that
// several slices need once for each.
const selectMemory = 256 << 20

// SelectRows implements Part.
func (b *Block) SelectRows(ctx context.Context, s Select) iter.Seq2[*Rows, error] {
	return func(yield func(*Rows, error) bool) {
		q, err := compileSelect(ctx, s)
		if err != nil {
			yield(nil, err)
			return
		}
		found, err := b.find(q.matchers)
		if err != nil {
			yield(nil, err)
			return
		}
		parts := b.timeSlices(q, found, selectMemory)
		if q.stats != nil && len(parts) > 0 {
			q.stats.blocks.Add(1)
		}
		for _, r := range parts {
			part := *q
			part.start, part.end = r.min, r.max
			if !b.selectSlice(ctx, &part, found, yield) {
				return
			}
		}
	}
}

// selectSlice yields the rows of one slice of time and reports whether to go on.
func (b *Block) selectSlice(ctx context.Context, q *selection, found *block.Bitmap, yield func(*Rows, error) bool) (more bool) {
	var pieces []piece
	for i := range b.dir.pages {
		if p, ok := b.piece(i, found, q.start, q.end); ok {
			pieces = append(pieces, p)
		}
	}
	more = true
	mergePieces(ctx, q, b.streams, pieces, pagesAtOnce, func(rows *Rows, err error) bool {
		more = yield(rows, err) && err == nil
		return more
	})
	return more
}

// timeSlices cuts the time range of a select into slices [min, max) of which each needs about memory
// bytes, in the direction of the select; none if there is nothing to read.
func (b *Block) timeSlices(q *selection, found *block.Bitmap, memory uint64) []timeRange {
	times, size := noTime, uint64(0)
	for i := range b.dir.pages {
		if p, ok := b.piece(i, found, q.start, q.end); ok {
			times.join(p.timeRange)
			size += b.dir.pages[i].lineBytes + b.dir.pages[i].metadataBytes
		}
	}
	if size == 0 && times == noTime {
		return nil
	}
	whole := timeRange{max(q.start, times.min), q.end}
	if times.max < q.end {
		whole.max = times.max + 1
	}
	n := min(size/memory+1, 1024)
	width := (uint64(whole.max) - uint64(whole.min)) / n
	if n == 1 || q.limit > 0 || width == 0 {
		return []timeRange{whole}
	}
	out := make([]timeRange, n)
	for i := range out {
		out[i] = timeRange{int64(uint64(whole.min) + uint64(i)*width), int64(uint64(whole.min) + uint64(i+1)*width)}
	}
	out[n-1].max = whole.max
	if q.direction == Backward {
		slices.Reverse(out)
	}
	return out
}

// piece makes page i a piece of a select, unless it has no row of the found streams in the time
// range.
func (b *Block) piece(i int, found *block.Bitmap, start, end int64) (piece, bool) {
	e := &b.dir.pages[i]
	times := noTime
	if !e.overlaps(start, end) {
		return piece{}, false
	}
	for _, r := range e.runs {
		if r.overlaps(start, end) && found.Get(int(r.stream)) {
			times.join(r.timeRange)
		}
	}
	if times == noTime {
		return piece{}, false
	}
	return piece{timeRange: times, open: func(ctx context.Context, q *selection) ([]run, error) {
		return b.openPage(ctx, q, i, found)
	}}, true
}

// Series implements Part.
func (b *Block) Series(ctx context.Context, start, end int64, matchers [][]Matcher) ([]labels.Labels, error) {
	sets, err := compileMatcherSets(matchers)
	if err != nil {
		return nil, err
	}
	found := block.NewBitmap(len(b.streams))
	for _, set := range sets {
		one, err := b.find(set)
		if err != nil {
			return nil, err
		}
		found.Or(one)
	}
	has := block.NewBitmap(len(b.streams))
	err = b.eachRun(ctx, start, end, found, func(r *pageRun, rows int) { has.Set(int(r.stream)) },
		func(r *pageRun) bool { return r.touches(start, end) || has.Get(int(r.stream)) })
	if err != nil {
		return nil, err
	}
	out := make([]labels.Labels, 0, has.Count())
	for i := has.Next(0); i >= 0; i = has.Next(i + 1) {
		out = append(out, b.streams[i])
	}
	return out, nil
}

// Volume implements Part. The entries are exact; the bytes of a run that is partly in the range are
// taken in proportion.
func (b *Block) Volume(ctx context.Context, start, end int64, matchers []Matcher) ([]StreamVolume, error) {
	set, err := compileMatchers(matchers)
	if err != nil {
		return nil, err
	}
	found, err := b.find(set)
	if err != nil {
		return nil, err
	}
	volumes := make(map[uint32]*StreamVolume)
	err = b.eachRun(ctx, start, end, found, func(r *pageRun, rows int) {
		v := volumes[r.stream]
		if v == nil {
			v = &StreamVolume{Labels: b.streams[r.stream]}
			volumes[r.stream] = v
		}
		v.Entries += int64(rows)
		v.Bytes += int64(float64(r.bytes) * float64(rows) / float64(r.rows))
		v.Pages++
	}, func(r *pageRun) bool { return r.inside(start, end) })
	if err != nil {
		return nil, err
	}
	out := make([]StreamVolume, 0, len(volumes))
	for i := found.Next(0); i >= 0; i = found.Next(i + 1) {
		if v := volumes[uint32(i)]; v != nil {
			out = append(out, *v)
		}
	}
	return out, nil
}

// eachRun calls f for each run of the found streams with rows in [start, end), and says how many.
// Where sure says that the directory's word for the run is enough, the number is of all its rows;
// else the timestamps are read.
func (b *Block) eachRun(ctx context.Context, start, end int64, found *block.Bitmap, f func(r *pageRun, rows int), sure func(*pageRun) bool) error {
	var unsure []int // pages
	for i := range b.dir.pages {
		p := &b.dir.pages[i]
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
		g.Go(func() (err error) {
			columns[k], err = b.timestamps(gctx, &b.dir.pages[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for k, i := range unsure {
		first := 0
		for j := range b.dir.pages[i].runs {
			r := &b.dir.pages[i].runs[j]
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

// pagesAtOnce bounds how many pages one question reads at the same time.
const pagesAtOnce = 4
