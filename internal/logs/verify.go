package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// Verify reads all of a logs block and checks what its index says against its rows. fault is called for
// everything that is wrong, as a *block.CorruptionError; a fault that hides others is called alone. The
// error is that of a source that doesn't answer.
func Verify(ctx context.Context, r *block.Reader, fault func(error)) error {
	v := &verifier{r: r, fault: fault}
	return v.run(ctx)
}

type verifier struct {
	r     *block.Reader
	b     *Block
	fault func(error)
	seen  uint64 // blobs that something leads to

	faulty bool // fault was called
}

// check passes on what is wrong with the block, and returns any other error.
func (v *verifier) check(err error) error {
	if err != nil && (block.IsCorruption(err) || errors.Is(err, block.ErrNoSection) || errors.Is(err, block.ErrVersion)) {
		v.faulty = true
		v.fault(err)
		return nil
	}
	return err
}

func (v *verifier) run(ctx context.Context) error {
	b, err := OpenBlock(ctx, v.r)
	if err != nil {
		return v.check(err)
	}
	v.b = b
	traces, err := b.tracesOf(ctx)
	if err := v.check(err); err != nil {
		return err
	}
	v.seen = uint64(b.traceIDs.Pieces)
	if err := v.check(v.postings(ctx)); err != nil {
		return err
	}
	bad := make([]bool, len(b.index.groups))
	for i, ref := range b.index.groups {
		_, err := v.r.Blob(ctx, ref)
		if bad[i] = err != nil; v.check(err) != nil {
			return err
		}
		v.seen++
	}
	for i := range b.index.pages {
		if bad[b.index.pages[i].place.group] {
			continue
		}
		var named []block.IDHash
		if traces != nil {
			named = traces[i]
		}
		if err := v.page(ctx, i, traces != nil, named); err != nil {
			return err
		}
	}
	if total := v.r.Totals(); v.seen != total.Blobs && !v.faulty {
		v.fault(b.corrupt("footer", uint64(v.r.Size()), fmt.Errorf("%d blobs, the index leads to %d", total.Blobs, v.seen)))
	}
	return nil
}

// postings checks that the postings are those of the streams.
func (v *verifier) postings(ctx context.Context) error {
	x := v.b.postings.symbols
	if err := v.b.postings.check(x.len()); err != nil {
		return v.b.corrupt(fmt.Sprintf("section %d", sectionPostings), 0, err)
	}
	data, err := v.r.Section(ctx, sectionPostings)
	if err != nil {
		return err
	}
	numbers := make(map[string]uint32, len(x.symbols))
	for i := range x.symbols {
		numbers[x.symbol(uint32(i))] = uint32(i)
	}
	streams := make([]labels.Labels, x.len())
	for i := range streams {
		streams[i] = x.at(i)
	}
	if !bytes.Equal(data, appendPostings(nil, streams, numbers)) {
		return v.b.corrupt(fmt.Sprintf("section %d", sectionPostings), 0, errors.New("postings are not those of the streams"))
	}
	return nil
}

// page checks every blob of a page, rebuilds its rows and counts them. Where known, traces are what the
// filter of trace IDs has of the page.
func (v *verifier) page(ctx context.Context, i int, known bool, traces []block.IDHash) error {
	d, err := v.b.directory(ctx, i, nil)
	if err == nil {
		err = v.b.loadDirectory(d, i)
	}
	if err != nil {
		return v.check(err)
	}
	ids := make([]int, len(d.page.Blobs))
	for k := range ids {
		ids[k] = k
	}
	whole := true
	for _, ref := range d.refs(v.b.index.pages[i].place.bases, ids) {
		v.seen++
		if _, err := v.r.Blob(ctx, ref); err != nil {
			whole = false
			if err := v.check(err); err != nil {
				return err
			}
		}
	}
	if !whole {
		return nil // nothing that is decoded would be worth a word
	}
	return v.check(v.rows(ctx, i, known, traces))
}

// rows rebuilds the rows of a page and compares them with what the index says.
func (v *verifier) rows(ctx context.Context, i int, known bool, traces []block.IDHash) error {
	p := v.b.page(i, nil)
	got := pageEntry{runs: make([]pageRun, len(p.Runs))}
	var ids traceCollector
	err := p.Each(ctx, column.All, func(run uint32, ts int64, line []byte, md []Label) bool {
		size := uint64(len(line)) + uint64(metadataSize(md))
		got.rows++
		got.lineBytes += uint64(len(line))
		got.metadataBytes += uint64(metadataSize(md))
		got.runs[run].rows++
		got.runs[run].bytes += size
		got.levels[levelOf(md)]++
		ids.row(line, md)
		return true
	})
	if err != nil {
		return err
	}
	want := &v.b.index.pages[i]
	for k, r := range want.runs {
		if r.rows != got.runs[k].rows || r.bytes != got.runs[k].bytes {
			return v.b.corrupt(fmt.Sprintf("page %d", i), want.place.bases[0], fmt.Errorf("run %d has %d rows of %d bytes, the index says %d of %d",
				k, got.runs[k].rows, got.runs[k].bytes, r.rows, r.bytes))
		}
	}
	if got.rows != want.rows || got.lineBytes != want.lineBytes || got.metadataBytes != want.metadataBytes || got.levels != want.levels {
		return v.b.corrupt(fmt.Sprintf("page %d", i), want.place.bases[0], fmt.Errorf("rows %d, lines %d, metadata %d, levels %v, the index says %d, %d, %d, %v",
			got.rows, got.lineBytes, got.metadataBytes, got.levels, want.rows, want.lineBytes, want.metadataBytes, want.levels))
	}
	if !known {
		return nil
	}
	slices.Sort(traces)
	for _, h := range ids.take() {
		if _, ok := slices.BinarySearch(traces, h); !ok {
			return v.b.corrupt(fmt.Sprintf("page %d", i), want.place.bases[0], errors.New("a row names a trace that the filter of trace IDs lacks"))
		}
	}
	return nil
}

// levelOf returns which of levels a row counts for.
func levelOf(md []Label) int {
	for _, l := range md {
		if l.Name == DetectedLevel {
			return max(0, slices.Index(levels[:], l.Value))
		}
	}
	return 0
}
