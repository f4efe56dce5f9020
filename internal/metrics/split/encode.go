package split

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/promql"

	"github.com/hune-io/hune/internal/metrics"
)

// An encoded answer is a version, 1, then the number of series, and of each: the number of labels, names and values in
// turn; the number of floats, their times and, 8 bytes each, their values; the number of histograms, of each its time
// and a Histogram message of Prometheus's remote write 2.0. The annotations follow. Numbers are varints, strings and
// messages begin with their length, and times are told from the one before.
const encodingVersion = 1

// Append appends the answer of a range query to dst. Ok is false, and dst as it was, for one that is not whole, or has
// very many annotations.
func Append(dst []byte, r *metrics.Result) (_ []byte, ok bool, err error) {
	all, isMatrix := r.Value.(promql.Matrix)
	if !isMatrix || len(r.Warnings) > maxAnnotations || r.Partial {
		return dst, false, nil
	}
	dst = binary.AppendUvarint(append(dst, encodingVersion), uint64(len(all)))
	for _, s := range all {
		dst = binary.AppendUvarint(dst, uint64(s.Metric.Len()))
		s.Metric.Range(func(l labels.Label) {
			dst = append(binary.AppendUvarint(dst, uint64(len(l.Name))), l.Name...)
			dst = append(binary.AppendUvarint(dst, uint64(len(l.Value))), l.Value...)
		})
		dst = appendFloats(dst, s.Floats)
		if dst, err = appendHistograms(dst, s.Histograms); err != nil {
			return dst, false, fmt.Errorf("encode %s: %w", s.Metric, err)
		}
	}
	return appendAnnotations(dst, r.Warnings), true, nil
}

func appendFloats(dst []byte, points []promql.FPoint) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(points)))
	at := int64(0)
	for _, p := range points {
		dst = binary.AppendVarint(dst, p.T-at)
		at = p.T
	}
	for _, p := range points {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(p.F))
	}
	return dst
}

func appendHistograms(dst []byte, points []promql.HPoint) ([]byte, error) {
	dst = binary.AppendUvarint(dst, uint64(len(points)))
	at := int64(0)
	for _, p := range points {
		h := writev2.FromFloatHistogram(0, p.H)
		message, err := h.Marshal()
		if err != nil {
			return dst, err
		}
		dst = binary.AppendVarint(dst, p.T-at)
		dst = append(binary.AppendUvarint(dst, uint64(len(message))), message...)
		at = p.T
	}
	return dst, nil
}

// ErrEncoding is Decode's error for what is not an encoded answer.
var ErrEncoding = errors.New("this is no answer of a range query")

// Decode returns an answer that Append encoded. It keeps nothing of b.
func Decode(b []byte) (*metrics.Result, error) {
	d := decoder{b: string(b)}
	if d.byte() != encodingVersion {
		return nil, ErrEncoding
	}
	all := make(promql.Matrix, 0, d.count(3))
	builder := labels.NewScratchBuilder(8)
	for range cap(all) {
		s := promql.Series{Metric: d.labels(&builder), Floats: d.floats(), Histograms: d.histograms()}
		if d.err != nil {
			return nil, d.err
		}
		all = append(all, s)
	}
	warnings := d.annotations()
	if d.err == nil && len(d.b) > 0 {
		d.err = ErrEncoding
	}
	if d.err != nil {
		return nil, d.err
	}
	return &metrics.Result{Value: all, Warnings: warnings}, nil
}

// decoder reads from the front of b. After an error all that it returns is zero.
type decoder struct {
	b   string
	err error
}

func (d *decoder) fail() { d.b, d.err = "", ErrEncoding }

func (d *decoder) take(n uint64) string {
	if n > uint64(len(d.b)) {
		d.fail()
		return ""
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != "" {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() (v uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := d.byte()
		if shift == 63 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	d.fail()
	return 0
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// count reads the number of things that take size bytes at least: no more of them than there can be.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) labels(b *labels.ScratchBuilder) labels.Labels {
	b.Reset()
	for range d.count(2) {
		name := d.take(d.uvarint())
		b.Add(name, d.take(d.uvarint()))
	}
	return b.Labels()
}

func (d *decoder) floats() []promql.FPoint {
	n := d.count(9)
	if n == 0 {
		return nil
	}
	out := make([]promql.FPoint, n)
	at := int64(0)
	for i := range out {
		at += d.varint()
		out[i].T = at
	}
	values := []byte(d.take(uint64(8 * n)))
	if d.err != nil {
		return nil
	}
	for i := range out {
		out[i].F = math.Float64frombits(binary.LittleEndian.Uint64(values[8*i:]))
	}
	return out
}

func (d *decoder) histograms() []promql.HPoint {
	var out []promql.HPoint
	at := int64(0)
	for range d.count(2) {
		at += d.varint()
		var h writev2.Histogram
		if err := h.Unmarshal([]byte(d.take(d.uvarint()))); err != nil {
			d.fail()
		}
		if d.err != nil {
			return nil
		}
		f := h.ToFloatHistogram()
		if f.Validate() != nil {
			d.fail()
			return nil
		}
		out = append(out, promql.HPoint{T: at, H: f})
	}
	return out
}
