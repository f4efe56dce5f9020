package traces

import (
	"context"
	"math"
	"math/bits"
	"sort"

	"github.com/hune-io/hune/internal/block"
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
	short := test(0)
	before, after := lengthPasses, lengthFails
	if !short {
		before, after = after, before
	}
	turn := sort.Search(len(out), func(code int) bool { // the code within which it becomes another one
		_, most := lengthRange(uint8(code))
		return test(most) != short
	})
	for code := range out {
		if out[code] = before; code >= turn {
			out[code] = after
		}
	}
	if turn < len(out) {
		if least, _ := lengthRange(uint8(turn)); test(least) == short {
			out[turn] = lengthUnknown
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

// addDurations adds to out those of the rows whose durations pass, zero for spans that end before they start.
func (g *group) addDurations(ctx context.Context, out, rows *block.Bitmap, test func(int64) bool) error {
	perChunk := make([]int, chunkCount(g.entry.spans))
	for row := rows.Next(0); row >= 0; row = rows.Next(row + 1) {
		perChunk[row/chunkSpans]++
	}
	views, err := g.viewChunks(ctx, perChunk)
	if err != nil {
		return err
	}
	var own []int // in one request
	for c, n := range perChunk {
		if n > 0 && (views == nil || views[c] == nil) {
			own = append(own, g.dir.chunkBlob(c)+1)
		}
	}
	if err := g.load(ctx, nil, own...); err != nil {
		return err
	}
	var pieces block.PieceReader
	var all []int64
	var few block.IntsView
	for c, n := range perChunk {
		first, most := c*chunkSpans, 2*n > chunkSpans
		switch {
		case n == 0:
			continue
		case views != nil && views[c] != nil:
			few = views[c].viewDurations(g, c, &pieces)
		case most:
			all, err = g.chunkInts(all, c, 1)
		default:
			few, err = g.viewChunk(&few, c, 1)
		}
		if err != nil {
			return err
		}
		for row := rows.Next(first); row >= 0 && row < first+chunkSpans; row = rows.Next(row + 1) {
			ns := int64(0)
			if most {
				ns = all[row-first]
			} else {
				ns = few.At(row - first)
			}
			if test(max(ns, 0)) {
				out.Set(row)
			}
		}
	}
	if err := pieces.Err(); err != nil {
		return g.corrupt("times", err)
	}
	return nil
}
