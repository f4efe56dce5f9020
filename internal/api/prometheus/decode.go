package prometheus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/prompb"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
)

// maxItems bounds the samples, series, labels and symbols of one request: the smallest takes two
// bytes of the body and some dozens of memory. Senders stay below 100,000.
const maxItems = 4 << 20

var errTooMany = fault.Errorf(fault.TooLarge, "the request has more than %d series, samples, labels and symbols: send smaller requests", maxItems)

// decoder turns remote write requests to batches. Its memory is reused, so that a batch is valid
// until put.
type decoder struct {
	batch    metrics.Batch
	rejected metrics.Rejections

	cache     labelSets     // nil: none
	scratch   labels.Labels // of the series at hand, written again for the next
	builder   labels.ScratchBuilder
	names     [][2]string // of the series at hand
	samples   []metrics.Sample
	exemplars []exemplar.Exemplar
	metas     []metadata.Metadata
	symbols   []string
	refs      []uint32
	items     int
}

var decoders = sync.Pool{New: func() any {
	d := &decoder{builder: labels.NewScratchBuilder(32)}
	d.builder.SetUnsafeAdd(true) // names and values point into the request body
	return d
}}

// labelSets finds the label sets of series that were written before.
type labelSets interface {
	// get returns the labels that are equal to ls, which may be of memory that is written again.
	get(hash uint64, ls labels.Labels) (labels.Labels, bool)
	// put tells of labels that were not found, which are valid and stay as they are.
	put(hash uint64, ls labels.Labels)
}

func getDecoder(cache labelSets) *decoder {
	d := decoders.Get().(*decoder)
	d.cache = cache
	return d
}

// maxPooledSamples keeps one huge request from pinning its memory for ever.
const maxPooledSamples = 1 << 16

func (d *decoder) put() {
	if cap(d.samples) > maxPooledSamples || cap(d.batch.Series) > maxPooledSamples || cap(d.symbols) > maxPooledSamples {
		return
	}
	// Nothing may keep the strings of the body or of the labels alive.
	clear(d.batch.Series[:cap(d.batch.Series)])
	clear(d.exemplars[:cap(d.exemplars)])
	clear(d.metas[:cap(d.metas)])
	clear(d.symbols[:cap(d.symbols)])
	clear(d.names[:cap(d.names)])
	d.batch.Series, d.exemplars, d.metas, d.symbols, d.names = d.batch.Series[:0], d.exemplars[:0], d.metas[:0], d.symbols[:0], d.names[:0]
	d.samples, d.refs, d.items = d.samples[:0], d.refs[:0], 0
	d.rejected, d.batch.OwnIncrements = metrics.Rejections{}, false
	d.builder.Reset()
	d.cache = nil
	decoders.Put(d)
}

// count takes n from the request's budget of items.
func (d *decoder) count(n int) error {
	if d.items += n; d.items > maxItems {
		return errTooMany
	}
	return nil
}

// pending is what was decoded of the series at hand.
type pending struct {
	samples    int // index of its first sample
	exemplars  int
	histograms []metrics.HistogramSample
	metadata   *metadata.Metadata
}

func (d *decoder) begin() pending {
	d.names = d.names[:0]
	return pending{samples: len(d.samples), exemplars: len(d.exemplars)}
}

// finish adds the series to the batch, or rejects it with all its data.
func (d *decoder) finish(p pending) {
	s := metrics.Series{
		Samples:    d.samples[p.samples:len(d.samples):len(d.samples)],
		Exemplars:  d.exemplars[p.exemplars:len(d.exemplars):len(d.exemplars)],
		Histograms: p.histograms,
		Metadata:   p.metadata,
	}
	n := len(s.Samples) + len(s.Histograms)
	ls, err := d.seriesLabels()
	if err != nil {
		d.rejected.Add("invalid_labels", max(1, n), func() string { return err.Error() })
		return
	}
	if n == 0 && len(s.Exemplars) == 0 && s.Metadata == nil {
		return
	}
	s.Labels, s.Valid = ls, true
	if len(s.Histograms) > 0 {
		s.Histograms = d.validHistograms(ls, s.Histograms)
	}
	d.batch.Series = append(d.batch.Series, s)
}

// seriesLabels returns the label set of d.names, from the cache if it was there lately.
func (d *decoder) seriesLabels() (labels.Labels, error) {
	if d.cache == nil {
		return d.labels(true)
	}
	d.builder.Reset()
	for _, l := range d.names {
		d.builder.Add(l[0], l[1])
	}
	d.builder.Overwrite(&d.scratch)
	hash := d.scratch.Hash()
	if ls, ok := d.cache.get(hash, d.scratch); ok {
		return ls, nil // Fast path: what is equal to valid labels is valid.
	}
	ls, err := d.labels(true)
	if err == nil && labels.Equal(ls, d.scratch) { // not sorted here, and nothing empty left out
		d.cache.put(hash, ls)
	}
	return ls, err
}

// labels builds the label set of d.names: sorted, without empty values. Names and values must be
// UTF-8, names not empty and not repeated; a series needs a metric name.
func (d *decoder) labels(series bool) (labels.Labels, error) {
	sorted, named := true, false
	for i, l := range d.names {
		switch {
		case l[0] == "":
			return labels.Labels{}, fmt.Errorf("invalid labels for series %s: a label name is empty", d.describe())
		case !utf8.ValidString(l[0]) || !utf8.ValidString(l[1]):
			return labels.Labels{}, fmt.Errorf("invalid metric name or labels, got %s: label %q is not valid UTF-8", d.describe(), l[0])
		case i > 0 && l[0] <= d.names[i-1][0]:
			sorted = false
		}
		named = named || l[0] == labels.MetricName && l[1] != ""
	}
	if series && !named {
		return labels.Labels{}, fmt.Errorf("invalid metric name or labels, got %s: the label __name__ is missing", d.describe())
	}
	if !sorted {
		// The specification asks for sorted labels, and old senders that don't sort exist.
		slices.SortStableFunc(d.names, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
		for i := 1; i < len(d.names); i++ {
			if d.names[i][0] == d.names[i-1][0] {
				return labels.Labels{}, fmt.Errorf("invalid labels for series, labels %s, duplicated label %s", d.describe(), d.names[i][0])
			}
		}
	}
	d.builder.Reset()
	for _, l := range d.names {
		if l[1] != "" {
			d.builder.Add(l[0], l[1])
		}
	}
	return d.builder.Labels(), nil
}

// maxDescribed bounds the labels quoted in a message.
const maxDescribed = 1024

// describe quotes the labels at hand, whatever is wrong with them.
func (d *decoder) describe() string {
	out := []byte{'{'}
	for i, l := range d.names {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = fmt.Appendf(out, "%s=%q", printable(l[0]), l[1])
		if len(out) > maxDescribed {
			return string(out[:maxDescribed]) + "…"
		}
	}
	return string(append(out, '}'))
}

func printable(name string) string {
	if model.LegacyValidation.IsValidLabelName(name) {
		return name
	}
	return fmt.Sprintf("%q", name)
}

// validHistograms drops the native histograms that are not consistent.
func (d *decoder) validHistograms(ls labels.Labels, hs []metrics.HistogramSample) []metrics.HistogramSample {
	return slices.DeleteFunc(hs, func(h metrics.HistogramSample) bool {
		var err error
		if h.H != nil {
			err = h.H.Validate()
		} else {
			err = h.FH.Validate()
		}
		if err != nil {
			d.rejected.Add("invalid_histogram", 1, func() string { return fmt.Sprintf("%s for series %s", err, ls) })
		}
		return err != nil
	})
}

// decodeV1 reads a prometheus.WriteRequest. Its strings point into body.
func (d *decoder) decodeV1(body []byte) error {
	w := wire{b: body}
	for field, typ, ok := w.next(); ok; field, typ, ok = w.next() {
		switch {
		case field == 1 && typ == typeBytes:
			if err := errors.Join(d.count(1), d.seriesV1(w.bytes())); err != nil {
				return err
			}
		case field == 3 && typ == typeBytes:
			if err := errors.Join(d.count(1), d.metadataV1(w.bytes())); err != nil {
				return err
			}
		case (field == 4 || field == 5) && typ == typeBytes: // see decodeV2
			return errors.New("the message is an io.prometheus.write.v2.Request, and its Content-Type says prometheus.WriteRequest (remote write 1.0)")
		default:
			w.skip(typ)
		}
	}
	return w.err
}

func (d *decoder) seriesV1(b []byte) error {
	p := d.begin()
	w := wire{b: b}
	for field, typ, ok := w.next(); ok; field, typ, ok = w.next() {
		if typ != typeBytes {
			w.skip(typ)
			continue
		}
		msg := w.bytes()
		var err error
		switch field {
		case 1:
			err = d.labelV1(msg)
		case 2:
			err = d.sample(msg)
		case 3:
			err = d.exemplarV1(msg)
		case 4:
			var h prompb.Histogram
			if err = h.Unmarshal(msg); err == nil {
				s := metrics.HistogramSample{T: h.Timestamp}
				if h.IsFloatHistogram() {
					s.FH = h.ToFloatHistogram()
				} else {
					s.H = h.ToIntHistogram()
				}
				p.histograms = append(p.histograms, s)
			}
		}
		if err = errors.Join(err, d.count(1)); err != nil {
			return err
		}
	}
	if w.err != nil {
		return w.err
	}
	d.finish(p)
	return nil
}

func (d *decoder) labelV1(b []byte) error {
	var l [2]string
	w := wire{b: b}
	for field, typ, ok := w.next(); ok; field, typ, ok = w.next() {
		if (field == 1 || field == 2) && typ == typeBytes {
			l[field-1] = text(w.bytes())
		} else {
			w.skip(typ)
		}
	}
	d.names = append(d.names, l)
	return w.err
}

// sample reads a sample of either version: 1.0 has no start timestamp.
func (d *decoder) sample(b []byte) error {
	var s metrics.Sample
	w := wire{b: b}
	for field, typ, ok := w.next(); ok; field, typ, ok = w.next() {
		switch {
		case field == 1 && typ == typeFixed64:
			s.V = w.double()
		case field == 2 && typ == typeVarint:
			s.T = int64(w.uvarint())
		case field == 3 && typ == typeVarint:
			s.Start = int64(w.uvarint())
		default:
			w.skip(typ)
		}
	}
	d.samples = append(d.samples, s)
	return w.err
}

func (d *decoder) exemplarV1(b []byte) error {
	// The labels of the series are being collected in d.names: borrow its end.
	series := len(d.names)
	var e exemplar.Exemplar
	w := wire{b: b}
	for field, typ, ok := w.next(); ok; field, typ, ok = w.next() {
		switch {
		case field == 1 && typ == typeBytes:
			if err := errors.Join(d.count(1), d.labelV1(w.bytes())); err != nil {
				return err
			}
		case field == 2 && typ == typeFixed64:
			e.Value = w.double()
		case field == 3 && typ == typeVarint:
			e.Ts = int64(w.uvarint())
			e.HasTs = e.Ts != 0
		default:
			w.skip(typ)
		}
	}
	if w.err != nil {
		return w.err
	}
	d.addExemplar(series, e)
	return nil
}

// addExemplar builds the labels of an exemplar from the end of d.names, which it gives back.
func (d *decoder) addExemplar(series int, e exemplar.Exemplar) {
	all := d.names
	d.names = all[series:]
	ls, err := d.labels(false)
	d.names = all[:series]
	if err != nil {
		d.rejected.Add("invalid_"+metrics.ExemplarReason, 1, func() string { return "exemplar: " + err.Error() })
		return
	}
	e.Labels = ls
	d.exemplars = append(d.exemplars, e)
}

// keepMetadata moves m to the decoder's memory. Should the slice grow, earlier pointers go on
// pointing to the old one.
func (d *decoder) keepMetadata(m metadata.Metadata) *metadata.Metadata {
	d.metas = append(d.metas, m)
	return &d.metas[len(d.metas)-1]
}

// metadataV1 reads a MetricMetadata, which 1.0 sends apart from the series: it becomes a series of
// only a name.
func (d *decoder) metadataV1(b []byte) error {
	m := metadata.Metadata{Type: model.MetricTypeUnknown}
	var family string
	w := wire{b: b}
	for field, typ, ok := w.next(); ok; field, typ, ok = w.next() {
		switch {
		case field == 1 && typ == typeVarint:
			m.Type = metricType(w.uvarint())
		case field == 2 && typ == typeBytes:
			family = text(w.bytes())
		case field == 4 && typ == typeBytes:
			m.Help = text(w.bytes())
		case field == 5 && typ == typeBytes:
			m.Unit = text(w.bytes())
		default:
			w.skip(typ)
		}
	}
	if w.err != nil {
		return w.err
	}
	p := d.begin()
	d.names = append(d.names, [2]string{labels.MetricName, family})
	if !utf8.ValidString(m.Help) || !utf8.ValidString(m.Unit) {
		m.Help, m.Unit = "", "" // a text for people: not worth refusing the metric
	}
	p.metadata = d.keepMetadata(m)
	d.finish(p)
	return nil
}

// metricType names the enumeration that both versions share.
func metricType(v uint64) model.MetricType {
	types := [...]model.MetricType{model.MetricTypeUnknown, model.MetricTypeCounter, model.MetricTypeGauge, model.MetricTypeHistogram,
		model.MetricTypeGaugeHistogram, model.MetricTypeSummary, model.MetricTypeInfo, model.MetricTypeStateset}
	if v >= uint64(len(types)) {
		return model.MetricTypeUnknown
	}
	return types[v]
}
