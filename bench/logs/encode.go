package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/hune-io/hune/internal/logs"
)

// encodePart measures how fast lines become blocks and blocks lines again.
func encodePart(ctx context.Context, b *bench) error {
	fmt.Println("MB of lines per second of processor time. Append: batches to the head. Write: the head to a block on disk.")
	fmt.Println("Rebuild: all lines out of a cold block. First 100: the newest 100 lines out of it.")
	fmt.Println()
	fmt.Println("| set | zstd-1 | append | write | append and write | zstd-3 decode | rebuild | first 100, ms | demands |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	var fast, encode, rebuild geomean
	worst := math.Inf(1)
	for _, set := range b.sets {
		e, err := b.encodeSet(ctx, b.corpus(set))
		if err != nil {
			return err
		}
		mark := encodeWorst.mark(e.both)
		if set.Name == "random" {
			mark = encodeRandom.mark(e.both)
		}
		fmt.Printf("| %s | %.0f | %.0f | %.0f | **%.0f** | %.0f | **%.0f** | %.1f | %s |\n", set.Name, e.zstd1, e.appends, e.writes, e.both, e.decode,
			e.rebuild, millis(e.first), marks(mark, firstLines.mark(millis(e.first))))
		if !set.Adversarial {
			fast.add(e.zstd1)
			encode.add(e.both)
			rebuild.add(e.rebuild)
			worst = min(worst, e.both)
		}
	}
	if encode.n > 0 {
		fmt.Printf("| geometric mean, all but adversarial | %.0f | | | **%.0f** | | **%.0f** | | %s |\n", fast.value(), encode.value(), rebuild.value(),
			marks(encodeMean.mark(encode.value()), encodeWorst.mark(worst), rebuildMean.mark(rebuild.value())))
	}
	return nil
}

// firstLines is the demand on the first lines of a cold row group.
var firstLines = atMost(2, "ms for 100 lines")

// encoded is the speeds of one set in MB/s.
type encoded struct {
	zstd1, appends, writes, both, decode, rebuild float64
	first                                         time.Duration
}

func (b *bench) encodeSet(ctx context.Context, c *corpus) (e encoded, err error) {
	s, err := b.store(ctx, c)
	if err != nil {
		return e, err
	}
	defer func() { _ = s.close() }()
	if err := s.check(ctx); err != nil {
		return e, err
	}
	n := len(c.text)
	e.zstd1 = speed(n, measure(func() { zstdChunks(c.text, zstd1) }))
	e.appends, e.writes, e.both = speed(n, s.appends), speed(n, s.writes), speed(n, s.appends+s.writes)
	slow, dec := zstdChunks(c.text, zstd3), zstdDecoder()
	defer dec.Close()
	e.decode = speed(n, leastErr(3, &err, func() error { return decodeAll(dec, slow) }))
	if err != nil {
		return e, err
	}
	all := everything(c.set)
	took, err := s.time(ctx, 3, selectAll(all))
	if err != nil {
		return e, err
	}
	e.rebuild = speed(n, took)
	all.Direction, all.Limit = logs.Backward, 100
	e.first, err = s.time(ctx, 5, selectAll(all))
	return e, err
}

// selectAll reads the rows of a select, rebuilt.
func selectAll(sel logs.Select) func(context.Context, *logs.Block) error {
	return func(ctx context.Context, blk *logs.Block) error {
		for _, err := range blk.SelectRows(ctx, sel) {
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// time returns the least time of asking a cold block n times.
func (s *stored) time(ctx context.Context, n int, ask func(context.Context, *logs.Block) error) (time.Duration, error) {
	var blk *logs.Block
	var err error
	took := least(n, func() {
		if err == nil {
			blk, err = s.open(ctx)
		}
	}, func() {
		if err == nil {
			err = ask(ctx, blk)
		}
	})
	return took, err
}
