package column

import (
	"syscall"
	"testing"
	"time"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

// benchBytes is the raw size of a page.
const benchBytes = 4 << 20

// benchPages returns a few pages of lines of a set.
func benchPages(s loggen.Set) []*block.Values {
	pages := make([]*block.Values, 2)
	for i := range pages {
		pages[i] = s.Lines(uint64(i+1), benchBytes)
	}
	return pages
}

// storedLen is what a page takes in a block, its directory compressed.
func storedLen(enc *Encoded) (n int) {
	for _, b := range enc.Blobs {
		n += len(b)
	}
	directory, _ := block.Pack(nil, AppendPage(nil, enc.Page), block.CodecZstd, block.Fast)
	return n + len(directory)
}

// zstdLen is what lines take when they are joined by newlines and blobs of 1 MiB are compressed.
func zstdLen(v *block.Values) (n int) {
	data := make([]byte, 0, len(v.Data)+v.Len())
	for i := range v.Len() {
		data = append(append(data, v.At(i)...), '\n')
	}
	for len(data) > 0 {
		piece := data[:min(len(data), 1<<20)]
		stored, _ := block.Pack(nil, piece, block.CodecZstd, block.Fast)
		n += len(stored)
		data = data[len(piece):]
	}
	return n
}

// cpuTime is what the process has used: wall time says little on a machine that others use too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkEncode(b *testing.B) {
	for _, s := range loggen.Sets() {
		b.Run(s.Name, func(b *testing.B) {
			pages := benchPages(s)
			e := NewEncoder(block.Fast)
			raw, stored, zstd := 0, 0, 0
			b.ReportAllocs()
			least := [2]time.Duration{time.Hour, time.Hour} // whatever else the machine does can only add to it
			for i := 0; b.Loop(); i++ {
				v := pages[i%len(pages)]
				start := cpuTime()
				e.Lines(v)
				enc := e.Finish()
				least[i%len(pages)] = min(least[i%len(pages)], cpuTime()-start)
				if i < len(pages) {
					raw, stored, zstd = raw+len(v.Data), stored+storedLen(enc), zstd+zstdLen(v)
				}
			}
			b.ReportMetric(2*benchBytes/1e6/(least[0]+least[1]).Seconds(), "MB/cpu-s")
			b.ReportMetric(float64(raw)/float64(stored), "ratio")
			b.ReportMetric(float64(raw)/float64(zstd), "zstd-ratio")
		})
	}
}

func BenchmarkRebuild(b *testing.B) {
	for _, s := range loggen.Sets() {
		b.Run(s.Name, func(b *testing.B) {
			enc := encodeLines(s.Lines(1, benchBytes))
			directory := AppendPage(nil, enc.Page)
			b.ReportAllocs()
			start := cpuTime()
			for b.Loop() {
				p, err := DecodePage(block.NewDecoder(directory))
				if err != nil {
					b.Fatal(err)
				}
				r := NewReader(p)
				for i := range enc.Blobs {
					content, err := block.Unpack(enc.Blobs[i], block.Ref{StoredLen: uint32(p.Blobs[i].StoredLen), RawLen: uint32(p.Blobs[i].RawLen), Codec: p.Blobs[i].Codec})
					if err != nil {
						b.Fatal(err)
					}
					r.Supply(i, content)
				}
				v := block.Values{Data: make([]byte, 0, benchBytes+benchBytes/8)}
				r.Values(&v, r.page.Columns[0], All)
			}
			b.ReportMetric(float64(b.N)*benchBytes/1e6/(cpuTime()-start).Seconds(), "MB/cpu-s")
		})
	}
}

func encodeLines(v *block.Values) *Encoded {
	e := NewEncoder(block.Fast)
	e.Lines(v)
	return e.Finish()
}

func BenchmarkDecodePage(b *testing.B) {
	for _, s := range loggen.Sets() {
		b.Run(s.Name, func(b *testing.B) {
			directory := AppendPage(nil, encodeLines(s.Lines(1, benchBytes)).Page)
			columns := 0
			b.ReportAllocs()
			for b.Loop() {
				p, err := DecodePage(block.NewDecoder(directory))
				if err != nil {
					b.Fatal(err)
				}
				columns = p.columns
			}
			b.ReportMetric(float64(columns), "columns")
			b.ReportMetric(float64(len(directory)), "bytes")
		})
	}
}
