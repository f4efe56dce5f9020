package column

import (
	"math/bits"

	"github.com/hune-io/hune/internal/block"
)

// rawMemory remembers which kinds of lines templates gained nothing for, so that random text costs little
// more than to compress it. The zero rawMemory knows nothing.
type rawMemory struct {
	pages map[lineKind]int // of a kind, since templates were tried last
}

const (
	probeEvery   = 16 // pages: the kind may be told too roughly, or change
	maxLineKinds = 64
	kindSample   = 32       // lines
	doubtBelow   = 4        // ratio, above which templates are taken to have won
	doubtSample  = 64 << 10 // bytes that are compressed otherwise
)

// lineKind tells kinds of lines apart, roughly.
type lineKind struct {
	chars  Charset
	length int // bits of the mean length
	first  Charset
}

func (e *Encoder) kindOf(rows []extent) (k lineKind) {
	n, total := 0, 0
	for i := 0; i < len(rows); i += 1 + len(rows)/kindSample {
		b := e.bytes(rows[i])
		b = b[:min(len(b), 256)]
		k.chars |= CharsetOf(b)
		if len(b) > 0 {
			k.first |= charsets[b[0]]
		}
		n++
		total += len(b)
	}
	k.length = bits.Len(uint(total / n))
	return k
}

// rawWins reports whether templates are not worth trying for rows.
func (e *Encoder) rawWins(k lineKind) bool {
	since, ok := e.raw.pages[k]
	if !ok {
		return false
	}
	if since+1 == probeEvery {
		delete(e.raw.pages, k)
		return false
	}
	e.raw.pages[k] = since + 1
	return true
}

// learn notes how large rows became with templates. Not at all is a stored of zero.
func (e *Encoder) learn(k lineKind, rows []extent, stored int) {
	total := 0
	for _, row := range rows {
		total += int(row.n)
	}
	if stored > 0 && (stored < total/doubtBelow || stored < e.estimateRaw(rows, total)) {
		return
	}
	if e.raw.pages == nil || len(e.raw.pages) == maxLineKinds {
		e.raw.pages = map[lineKind]int{}
	}
	e.raw.pages[k] = 0
}

// estimateRaw returns what rows of total bytes would take as they are, from a sample.
func (e *Encoder) estimateRaw(rows []extent, total int) int {
	e.scratch = e.scratch[:0]
	for _, row := range rows[len(rows)/2:] {
		e.scratch = append(append(e.scratch, e.bytes(row)...), '\n')
		if len(e.scratch) > doubtSample {
			break
		}
	}
	stored, _ := block.Pack(nil, e.scratch, block.CodecZstd, e.level)
	return int(float64(total+len(rows)) * float64(len(stored)) / float64(len(e.scratch)))
}
