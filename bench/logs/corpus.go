package main

import (
	"bytes"
	"math"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

// corpus is the lines of a set in memory.
type corpus struct {
	set        loggen.Set
	lines      *block.Values
	timestamps []int64
	text       []byte // the lines as a file, each with its newline: what is called raw
}

func (b *bench) corpus(s loggen.Set) *corpus {
	c := &corpus{set: s, lines: s.Lines(b.seed, b.size)}
	c.timestamps = loggen.Timestamps(b.seed, c.lines.Len())
	c.text = make([]byte, 0, len(c.lines.Data)+c.lines.Len())
	for i := range c.lines.Len() {
		c.text = append(append(c.text, c.lines.At(i)...), '\n')
	}
	return c
}

// chunks cuts text into pieces of at least size bytes that end with a line.
func chunks(text []byte, size int) [][]byte {
	var out [][]byte
	for len(text) > 0 {
		end := min(size, len(text))
		if end < len(text) {
			end += bytes.IndexByte(text[end:], '\n') + 1
		}
		out = append(out, text[:end])
		text = text[end:]
	}
	return out
}

// mb is a number of bytes in MB of 10^6.
func mb(n int) float64 { return float64(n) / 1e6 }

// geomean collects a geometric mean.
type geomean struct {
	logs float64
	n    int
}

func (g *geomean) add(x float64) {
	g.logs += math.Log(x)
	g.n++
}

func (g *geomean) value() float64 {
	if g.n == 0 {
		return 0
	}
	return math.Exp(g.logs / float64(g.n))
}
