package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/hune-io/hune/internal/loggen"
)

// What others do: chunks of lines, compressed as they are, and decompressed to be looked at.
const (
	snappyChunk = 256 << 10 // as Loki cuts
	zstdChunk   = 1 << 20
)

// zstdEncoder makes an encoder as the engine's own are: Huffman coding of all literals, without which
// level 1 leaves digits and hexadecimal uncompressed.
func zstdEncoder(level zstd.EncoderLevel) *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		panic("options of zstd: " + err.Error())
	}
	return e
}

func zstdDecoder() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		panic("options of zstd: " + err.Error())
	}
	return d
}

// zstd's levels 1 and 3, as this encoder calls them.
const (
	zstd1 = zstd.SpeedFastest
	zstd3 = zstd.SpeedDefault
)

func total(chunks [][]byte) (n int) {
	for _, c := range chunks {
		n += len(c)
	}
	return n
}

func snappyChunks(text []byte) [][]byte {
	return compressed(text, snappyChunk, func(chunk []byte) []byte { return snappy.Encode(nil, chunk) })
}

// s2Chunks are of the same format, by an encoder that looks harder than the reference.
func s2Chunks(text []byte) [][]byte {
	return compressed(text, snappyChunk, func(chunk []byte) []byte { return s2.EncodeSnappy(nil, chunk) })
}

func zstdChunks(text []byte, level zstd.EncoderLevel) [][]byte {
	enc := zstdEncoder(level)
	return compressed(text, zstdChunk, func(chunk []byte) []byte { return enc.EncodeAll(chunk, nil) })
}

func compressed(text []byte, size int, encode func([]byte) []byte) [][]byte {
	var out [][]byte
	for _, chunk := range chunks(text, size) {
		out = append(out, encode(chunk))
	}
	return out
}

// scan decompresses everything and calls each for every line: what a store without an index does.
func scan(chunks [][]byte, each func(line []byte)) {
	var buf []byte
	for _, chunk := range chunks {
		text, err := snappy.Decode(buf[:cap(buf)], chunk)
		if err != nil {
			panic("a chunk that was just compressed: " + err.Error())
		}
		buf = text
		for len(text) > 0 {
			end := bytes.IndexByte(text, '\n')
			each(text[:end])
			text = text[end+1:]
		}
	}
}

// scanAnswer answers q by a scan that is as quick as one by lines can be: a parser is replaced by a
// search for the marker before the value.
func scanAnswer(chunks [][]byte, q loggen.Query, needle string) (answer float64) {
	n := []byte(needle)
	keep := func(line []byte) bool { return bytes.Contains(line, n) }
	switch q.Kind {
	case loggen.Regexp:
		re, literal := regexp.MustCompile(needle), []byte(q.Literal)
		keep = func(line []byte) bool { return bytes.Contains(line, literal) && re.Match(line) }
	case loggen.NumericFilter:
		marker := []byte(q.Marker)
		keep = func(line []byte) bool {
			x, ok := numberAfter(line, marker)
			return ok && x >= q.Least
		}
	case loggen.UnwrapSum:
		marker := []byte(q.Marker)
		scan(chunks, func(line []byte) {
			if x, ok := numberAfter(line, marker); ok {
				answer += x
			}
		})
		return answer
	}
	scan(chunks, func(line []byte) {
		if keep(line) {
			answer++
		}
	})
	return answer
}

func numberAfter(line, marker []byte) (float64, bool) {
	_, rest, ok := bytes.Cut(line, marker)
	if !ok {
		return 0, false
	}
	end := 0
	for end < len(rest) && (rest[end] >= '0' && rest[end] <= '9' || rest[end] == '.') {
		end++
	}
	x, err := strconv.ParseFloat(string(rest[:end]), 64)
	return x, err == nil
}

// decodeAll decompresses everything.
func decodeAll(dec *zstd.Decoder, chunks [][]byte) (err error) {
	var buf []byte
	for _, chunk := range chunks {
		if buf, err = dec.DecodeAll(chunk, buf[:0]); err != nil {
			return err
		}
	}
	return nil
}

// indexAnswer counts the lines with needle by one search through each chunk, not line by line: the best
// that a scan of zstd can do.
func indexAnswer(dec *zstd.Decoder, chunks [][]byte, needle []byte) (hits int) {
	var buf []byte
	for _, chunk := range chunks {
		text, err := dec.DecodeAll(chunk, buf[:0])
		if err != nil {
			panic("a chunk that was just compressed: " + err.Error())
		}
		buf = text
		for {
			at := bytes.Index(text, needle)
			if at < 0 {
				break
			}
			hits++
			text = text[at+bytes.IndexByte(text[at:], '\n')+1:]
		}
	}
	return hits
}

// searchable says whether a text alone answers queries of kind k.
func searchable(k loggen.QueryKind) bool {
	switch k {
	case loggen.StaticWord, loggen.AbsentWord, loggen.LoneID, loggen.Partial, loggen.FieldText:
		return true
	}
	return false
}

// rate is how many times slower than took the other one is.
func rate(other, took time.Duration) float64 { return float64(other) / float64(took) }

// baseline is a corpus as the scans want it.
type baseline struct {
	snappy, zstd [][]byte
	dec          *zstd.Decoder
}

func newBaseline(c *corpus) *baseline {
	return &baseline{snappyChunks(c.text), zstdChunks(c.text, zstd3), zstdDecoder()}
}

// compare answers q by scans, wants the answer of f, and puts the times there.
func (b *baseline) compare(q loggen.Query, needle string, f *found) error {
	const runs = 3
	var want float64
	f.scan = least(runs, nil, func() { want = scanAnswer(b.snappy, q, needle) })
	if !near(want, f.answer) {
		return fmt.Errorf("%s %q: the block says %v, a scan of its lines %v", q.Kind, needle, f.answer, want)
	}
	if searchable(q.Kind) {
		f.index = least(runs, nil, func() { want = float64(indexAnswer(b.dec, b.zstd, []byte(needle))) })
		if want != f.answer {
			return fmt.Errorf("%s %q: the block says %v, a search of its lines %v", q.Kind, needle, f.answer, want)
		}
	}
	return nil
}
