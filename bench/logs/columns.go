package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// pageBytes is the lines of a page, as blocks cut them, but by bytes alone.
const pageBytes = 4 << 20

// columnsPart measures the encoder of lines without all that is around it: no head, timestamps or file.
func columnsPart(_ context.Context, b *bench) error {
	fmt.Println("Pages of 4 MiB of lines, nothing else. Directory: its share of what is stored. Speeds are MB per second of processor time.")
	fmt.Println()
	fmt.Println("| set | zstd-1 1 MB | ours | directory | encode zstd-1 | encode | decode zstd-1 | rebuild | demands |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	var zstdRatio, ratio, zstdEncode, encode, zstdDecode, rebuild geomean
	for _, set := range b.sets {
		f, err := measureColumns(b.corpus(set))
		if err != nil {
			return fmt.Errorf("%s: %w", set.Name, err)
		}
		mark := encodeWorst.mark(f.encode)
		if set.Name == "random" {
			mark = encodeRandom.mark(f.encode)
		}
		fmt.Printf("| %s | %.2f | **%.2f** | %.1f %% | %.0f | **%.0f** | %.0f | **%.0f** | %s |\n", set.Name, f.zstdRatio, f.ratio, 100*f.directory,
			f.zstdEncode, f.encode, f.zstdDecode, f.rebuild, mark)
		if !set.Adversarial {
			zstdRatio.add(f.zstdRatio)
			ratio.add(f.ratio)
			zstdEncode.add(f.zstdEncode)
			encode.add(f.encode)
			zstdDecode.add(f.zstdDecode)
			rebuild.add(f.rebuild)
		}
	}
	if encode.n > 0 {
		fmt.Printf("| geometric mean, all but adversarial | %.2f | **%.2f** | | %.0f | **%.0f** | %.0f | **%.0f** | %s |\n", zstdRatio.value(), ratio.value(),
			zstdEncode.value(), encode.value(), zstdDecode.value(), rebuild.value(),
			marks(encodeMean.mark(encode.value()), rebuildMean.mark(rebuild.value())))
	}
	return nil
}

// columnFigures are what one set came to. Speeds are in MB/s.
type columnFigures struct {
	zstdRatio, ratio, directory             float64
	zstdEncode, encode, zstdDecode, rebuild float64
}

// columnPage is a page as a block would hold it.
type columnPage struct {
	lines     *block.Values
	directory []byte // packed, behind its shapes
	ref       block.Ref
	blobs     [][]byte
}

func measureColumns(c *corpus) (f columnFigures, err error) {
	pages := cutPages(c.lines)
	raw := len(c.text)
	f.encode = speed(raw, measure(func() { encodePages(pages) }))
	f.rebuild = speed(raw, leastErr(3, &err, func() error {
		return rebuildPages(pages, func(*block.Values, *block.Values) error { return nil })
	}))
	if err != nil {
		return f, err
	}
	if err := rebuildPages(pages, equalValues); err != nil {
		return f, err
	}
	stored, directories := 0, 0
	for _, p := range pages {
		stored += len(p.directory) + total(p.blobs)
		directories += len(p.directory)
	}
	f.ratio, f.directory = float64(raw)/float64(stored), float64(directories)/float64(stored)

	var frames [][]byte
	f.zstdEncode = speed(raw, measure(func() { frames = zstdChunks(c.text, zstd1) }))
	f.zstdRatio = float64(raw) / float64(total(frames))
	dec := zstdDecoder()
	defer dec.Close()
	f.zstdDecode = speed(raw, leastErr(3, &err, func() error { return decodeAll(dec, frames) }))
	return f, err
}

// leastErr is least for what can fail; the first error stays in err.
func leastErr(n int, err *error, f func() error) time.Duration {
	return least(n, nil, func() {
		if *err == nil {
			*err = f()
		}
	})
}

// cutPages copies lines to pages, which is not measured.
func cutPages(lines *block.Values) []*columnPage {
	var pages []*columnPage
	for i := range lines.Len() {
		last := len(pages) - 1
		if last < 0 || len(pages[last].lines.Data) >= pageBytes {
			pages = append(pages, &columnPage{lines: &block.Values{}})
			last++
		}
		pages[last].lines.Append(lines.At(i))
	}
	return pages
}

func encodePages(pages []*columnPage) {
	e := column.NewEncoder(block.Fast)
	for _, p := range pages {
		e.Lines(p.lines)
		enc := e.Finish()
		p.blobs = enc.Blobs
		var shapes column.Shapes
		directory := shapes.AppendPage(nil, enc.Page)
		p.directory, p.ref = block.Pack(nil, append(shapes.AppendTo(nil), directory...), block.CodecZstd, block.Fast)
	}
}

// rebuildPages decodes every page from its stored bytes and calls check with the lines that went in and
// those that came out.
func rebuildPages(pages []*columnPage, check func(want, got *block.Values) error) error {
	var got block.Values
	for _, p := range pages {
		directory, err := block.Unpack(p.directory, p.ref)
		if err != nil {
			return err
		}
		d := block.NewDecoder(directory)
		shapes, err := column.DecodeShapes(d)
		if err != nil {
			return err
		}
		page, err := shapes.DecodePage(d.Bytes(d.Len()))
		if err != nil {
			return err
		}
		r := column.NewReader(page)
		for i, info := range page.Blobs {
			content, err := block.Unpack(p.blobs[i], block.Ref{StoredLen: uint32(info.StoredLen), RawLen: uint32(info.RawLen), Codec: info.Codec})
			if err != nil {
				return err
			}
			r.Supply(i, content)
		}
		got.Reset()
		r.Values(&got, page.Columns[0], column.All)
		if err := r.Err(); err != nil {
			return err
		}
		if err := check(p.lines, &got); err != nil {
			return err
		}
	}
	return nil
}

func equalValues(want, got *block.Values) error {
	if want.Len() != got.Len() {
		return fmt.Errorf("%d lines came back of %d", got.Len(), want.Len())
	}
	for i := range want.Len() {
		if !bytes.Equal(want.At(i), got.At(i)) {
			return fmt.Errorf("line %d came back as %.200q, it was %.200q", i, got.At(i), want.At(i))
		}
	}
	return nil
}
