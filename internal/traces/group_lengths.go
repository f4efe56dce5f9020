package traces

import (
	"context"
	"math"
	"math/bits"
)

// lengthCode says about how long a span is: in which quarter of which power of two of nanoseconds, less one, its duration
// lies. Codes are in the order of durations; 0 is below two nanoseconds. LengthBucket is the power of two.
func lengthCode(ns int64) uint8 {
	if ns < 2 {
		return 0
	}
	x := uint64(ns - 1)
	n := bits.Len64(x)
	return uint8(n<<2) | uint8(x<<(65-n)>>62)
}

// LengthBucket returns for which b the durations with a code are in (2^(b-1), 2^b] nanoseconds; 0: they are below 2.
func LengthBucket(code uint8) int { return int(code >> 2) }

// lengthRange returns the least and the greatest duration with a code. What ends before it starts counts as zero.
func lengthRange(code uint8) (least, most int64) {
	if code == 0 {
		return 0, 1
	}
	n, quarter := code>>2, uint64(code&3)
	if n < 3 {
		from := (4 + quarter) >> (3 - n)
		return int64(from) + 1, int64(from) + 1
	}
	from, after := (4+quarter)<<(n-3), (5+quarter)<<(n-3)
	return int64(from) + 1, int64(min(after, math.MaxInt64))
}

// lengthVerdict is what a test says of the durations with a code.
type lengthVerdict uint8

const (
	lengthFails lengthVerdict = iota
	lengthPasses
	lengthUnknown // some pass
)

// lengthVerdicts returns what codes say about a test that all durations beyond some pass, or all up to some.
func lengthVerdicts(test func(int64) bool) *[256]lengthVerdict {
	var out [256]lengthVerdict
	for code := range out {
		least, most := lengthRange(uint8(code))
		switch a, b := test(least), test(most); {
		case a != b:
			out[code] = lengthUnknown
		case a:
			out[code] = lengthPasses
		}
	}
	return &out
}

// readLengths reads the codes of the durations of all spans and keeps them for the next questions.
func (g *group) readLengths(ctx context.Context) ([]uint8, error) {
	if k := g.known(); k.lengths != nil {
		return k.lengths, nil
	}
	if g.lengths != nil {
		return g.lengths, nil
	}
	chunks := chunkCount(g.entry.spans)
	own := make([]int, chunks)
	for c := range own {
		own[c] = g.dir.chunkBlob(c) + 1
	}
	if err := g.load(ctx, nil, own...); err != nil {
		return nil, err
	}
	lengths := make([]uint8, 0, g.entry.spans)
	var list []int64
	for c := range chunks {
		var err error
		if list, err = g.chunkInts(list, c, 1); err != nil {
			return nil, err
		}
		for _, ns := range list {
			lengths = append(lengths, lengthCode(ns))
		}
	}
	g.lengths, g.learned = lengths, true
	return lengths, nil
}

// lengthsAtHand returns the codes of the durations where they are kept, or where a question that wants some of them had
// better read all, so that the next one finds them: nil where that isn't so.
func (g *group) lengthsAtHand(ctx context.Context) ([]uint8, error) {
	if k := g.known(); k.lengths == nil && g.lengths == nil && (k.class == nil || k.full) {
		return nil, nil
	}
	return g.readLengths(ctx)
}
