package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/block"
)

// sizes adds up what the forms of some sets take. Times is the part of ours that timestamps are.
type sizes struct{ raw, snappy, s2, zstd1, zstd3, ours, times int }

func (s *sizes) add(o sizes) {
	s.raw += o.raw
	s.snappy += o.snappy
	s.s2 += o.s2
	s.zstd1 += o.zstd1
	s.zstd3 += o.zstd3
	s.ours += o.ours
	s.times += o.times
}

func (s *sizes) row(name, mark string) {
	ratio := func(n int) float64 { return float64(s.raw) / float64(n) }
	fmt.Printf("| %s | %.1f | %.2f | %.2f | %.2f | %.2f | **%.2f** | %.1f %% | %.2f | %.2f | %s |\n", name, mb(s.raw), ratio(s.snappy), ratio(s.s2),
		ratio(s.zstd1), ratio(s.zstd3), ratio(s.ours), 100*float64(s.times)/float64(s.ours), float64(s.snappy)/float64(s.ours),
		float64(s.zstd3)/float64(s.ours), mark)
}

// noWorse says whether ours is no larger than zstd-1. Random timestamps alone are more than the slack
// where lines are incompressible; that is said, and not excused.
func (s *sizes) noWorse() string {
	mark := noWorseThanZstd.mark(float64(s.ours) / float64(s.zstd1))
	if mark != "PASS" && noWorseThanZstd.mark(float64(s.ours-s.times)/float64(s.zstd1)) == "PASS" {
		mark += ", but for the timestamps"
	}
	return mark
}

// timesSize is what the timestamps of lines of size bytes take in a block: the same codecs, in as many pages.
func timesSize(timestamps []int64, size int) (n int) {
	const pageRows = 1 << 16
	pages := max((size+pageBytes-1)/pageBytes, (len(timestamps)+pageRows-1)/pageRows)
	for chunk := range slices.Chunk(timestamps, (len(timestamps)+pages-1)/pages) {
		_, planes := block.Pack(nil, block.AppendInts(nil, chunk), block.CodecZstd, block.Fast)
		_, dense := block.Pack(nil, block.AppendMagnitudes(nil, chunk), block.CodecRaw, block.Fast)
		n += int(min(planes.StoredLen, dense.StoredLen))
	}
	return n
}

// ratioPart compares the size of whole blocks, with timestamps, directories, checksums and filters, with
// that of compressed chunks of the bare lines.
func ratioPart(ctx context.Context, b *bench) error {
	fmt.Println("Raw bytes / stored bytes. The block holds the timestamps, too (their share is shown); the chunks don't.")
	fmt.Println()
	fmt.Println("| set | raw MB | snappy 256 KB | the same by s2 | zstd-1 1 MB | zstd-3 1 MB | ours | timestamps | ours : snappy | ours : zstd-3 | demands |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	var real sizes
	for _, set := range b.sets {
		n, err := b.sizesOf(ctx, b.corpus(set))
		if err != nil {
			return err
		}
		n.row(set.Name, n.noWorse())
		if !set.Adversarial {
			real.add(n)
		}
	}
	if real.raw > 0 {
		real.row("all but adversarial", marks(smallerThanSnappy.mark(float64(real.snappy)/float64(real.ours)),
			smallerThanZstd3.mark(float64(real.zstd3)/float64(real.ours))))
		real.ours, real.times = real.ours-real.times, 0
		real.row("the same, timestamps left out", "")
	}
	return nil
}

func (b *bench) sizesOf(ctx context.Context, c *corpus) (sizes, error) {
	s, err := b.store(ctx, c)
	if err != nil {
		return sizes{}, err
	}
	text := c.text
	return sizes{raw: len(text), snappy: total(snappyChunks(text)), s2: total(s2Chunks(text)), zstd1: total(zstdChunks(text, zstd1)),
		zstd3: total(zstdChunks(text, zstd3)), ours: int(s.meta.StoredBytes), times: timesSize(c.timestamps, len(c.lines.Data))}, s.close()
}
