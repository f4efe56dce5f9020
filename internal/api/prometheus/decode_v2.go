package prometheus

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/metadata"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/hune-io/hune/internal/metrics"
)

// decodeV2 reads an io.prometheus.write.v2.Request. The symbols may stand behind the series that
// refer to them, so there are two passes over the outermost fields.
func (d *decoder) decodeV2(body []byte) error {
	w := wire{b: body}
	for field, typ, ok := w.next(); ok; field, typ, ok = w.next() {
		// The fields of version 1.0 are reserved in 2.0 so that mistakes are seen. Prometheus takes such a request
		// for an empty one and answers that all is well, which loses what the sender wrote.
		if (field == 1 || field == 3) && typ == typeBytes {
			return errors.New("the message is a prometheus.WriteRequest (remote write 1.0), and its Content-Type says io.prometheus.write.v2.Request")
		}
		if field != 4 || typ != typeBytes {
			w.skip(typ)
			continue
		}
		d.symbols = append(d.symbols, text(w.bytes()))
		if err := d.count(1); err != nil {
			return err
		}
	}
	if w.err != nil {
		return w.err
	}
	if len(d.symbols) > 0 && d.symbols[0] != "" {
		return errors.New("the first symbol must be the empty string")
	}
	w = wire{b: body}
	for field, typ, ok := w.next(); ok; field, typ, ok = w.next() {
		if field != 5 || typ != typeBytes {
			w.skip(typ)
			continue
		}
		if err := errors.Join(d.count(1), d.seriesV2(w.bytes())); err != nil {
			return err
		}
	}
	return w.err
}

func (d *decoder) seriesV2(b []byte) error {
	p := d.begin()
	d.refs = d.refs[:0]
	var bad error // of the series alone: the rest of the request is good
	w := wire{b: b}
	for field, typ, ok := w.next(); ok; field, typ, ok = w.next() {
		if field == 1 && typ == typeVarint { // not packed
			d.refs = append(d.refs, uint32(min(w.uvarint(), 1<<32-1)))
			continue
		}
		if typ != typeBytes {
			w.skip(typ)
			continue
		}
		msg := w.bytes()
		var err error
		switch field {
		case 1:
			err = d.appendRefs(msg)
		case 2:
			err = d.sample(msg)
		case 3:
			err = d.histogramV2(msg, &p)
		case 4:
			bad, err = d.exemplarV2(msg, bad)
		case 5:
			bad, err = d.metadataV2(msg, &p, bad)
		}
		if err = errors.Join(err, d.count(1)); err != nil {
			return err
		}
	}
	if w.err != nil {
		return w.err
	}
	names, err := d.resolve(d.refs)
	if bad == nil {
		bad = err
	}
	d.names = append(d.names, names...)
	if bad != nil {
		n := len(d.samples) - p.samples + len(p.histograms)
		d.rejected.Add("invalid_labels", max(1, n), func() string {
			return fmt.Sprintf("parsing labels for series %v: %s", d.refs[:min(len(d.refs), 64)], bad)
		})
		return nil
	}
	if len(d.samples) == p.samples && len(p.histograms) == 0 {
		d.rejected.Add("no_samples", 1, func() string {
			return fmt.Sprintf("TimeSeries must contain at least one sample or histogram for series %s", d.describe())
		})
		return nil
	}
	d.finish(p)
	return nil
}

func (d *decoder) appendRefs(b []byte) error {
	w := wire{b: b}
	for len(w.b) > 0 && w.err == nil {
		d.refs = append(d.refs, uint32(min(w.uvarint(), 1<<32-1)))
		if err := d.count(1); err != nil {
			return err
		}
	}
	return w.err
}

// resolve looks up pairs of symbols. The result is valid until the next call.
func (d *decoder) resolve(refs []uint32) ([][2]string, error) {
	if len(refs)%2 != 0 {
		return nil, fmt.Errorf("invalid labelRefs length %d", len(refs))
	}
	base := len(d.names)
	for i := 0; i < len(refs); i += 2 {
		name, err := d.symbol(refs[i])
		if err != nil {
			return nil, err
		}
		value, err := d.symbol(refs[i+1])
		if err != nil {
			return nil, err
		}
		d.names = append(d.names, [2]string{name, value})
	}
	out := d.names[base:]
	d.names = d.names[:base]
	return out, nil
}

func (d *decoder) symbol(ref uint32) (string, error) {
	if uint64(ref) >= uint64(len(d.symbols)) {
		return "", fmt.Errorf("symbol reference %d is out of range, the request has %d symbols", ref, len(d.symbols))
	}
	return d.symbols[ref], nil
}

func (d *decoder) histogramV2(b []byte, p *pending) error {
	var h writev2.Histogram
	if err := h.Unmarshal(b); err != nil {
		return err
	}
	s := metrics.HistogramSample{T: h.Timestamp, Start: h.StartTimestamp}
	if h.IsFloatHistogram() {
		s.FH = h.ToFloatHistogram()
	} else {
		s.H = h.ToIntHistogram()
	}
	p.histograms = append(p.histograms, s)
	return nil
}

// exemplarV2 returns a fault of the references beside a fault of the message.
func (d *decoder) exemplarV2(b []byte, bad error) (error, error) { //nolint:revive // two kinds of error
	var e exemplar.Exemplar
	series := len(d.refs)
	w := wire{b: b}
	for field, typ, ok := w.next(); ok; field, typ, ok = w.next() {
		switch {
		case field == 1 && typ == typeBytes:
			if err := d.appendRefs(w.bytes()); err != nil {
				return bad, err
			}
		case field == 1 && typ == typeVarint:
			d.refs = append(d.refs, uint32(min(w.uvarint(), 1<<32-1)))
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
		return bad, w.err
	}
	names, err := d.resolve(d.refs[series:])
	d.refs = d.refs[:series]
	if err != nil {
		d.rejected.Add("invalid_"+metrics.ExemplarReason, 1, func() string { return "exemplar: " + err.Error() })
		return bad, nil
	}
	if !e.HasTs {
		d.rejected.Add("invalid_"+metrics.ExemplarReason, 1, func() string { return "exemplar: the timestamp is missing" })
		return bad, nil
	}
	first := len(d.names)
	d.names = append(d.names, names...)
	d.addExemplar(first, e)
	return bad, nil
}

func (d *decoder) metadataV2(b []byte, p *pending, bad error) (error, error) { //nolint:revive // two kinds of error
	m := metadata.Metadata{Type: model.MetricTypeUnknown}
	var err error
	w := wire{b: b}
	for field, typ, ok := w.next(); ok; field, typ, ok = w.next() {
		if typ != typeVarint {
			w.skip(typ)
			continue
		}
		switch v := w.uvarint(); field {
		case 1:
			m.Type = metricType(v)
		case 3:
			m.Help, err = d.symbol(uint32(min(v, 1<<32-1)))
		case 4:
			m.Unit, err = d.symbol(uint32(min(v, 1<<32-1)))
		}
		if err != nil && bad == nil {
			bad = fmt.Errorf("metadata: %w", err)
		}
	}
	if !utf8.ValidString(m.Help) || !utf8.ValidString(m.Unit) {
		m.Help, m.Unit = "", ""
	}
	if m.Type != model.MetricTypeUnknown || m.Help != "" || m.Unit != "" {
		p.metadata = d.keepMetadata(m)
	}
	return bad, w.err
}
