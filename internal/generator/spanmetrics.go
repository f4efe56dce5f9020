package generator

import (
	"maps"
	"slices"
	"strings"

	"github.com/hune-io/hune/internal/traces"
)

// countSpan counts a span by service, name, kind, status and the configured dimensions.
func (s *state) countSpan(v *traces.SpanView, seconds float64) {
	p := &s.settings.spans
	if !p.filter.passes(v, s.resource.found, s.found) {
		s.seen.filtered++
		return
	}
	e := s.spanEntry(v)
	times := p.multiplier.of(v, s)
	e.updated = s.now
	e.counters[0] += times
	e.counters[1] += float64(v.Size) * times
	s.observe(&e.histograms[0], seconds, times, &v.TraceID)
}

// spanEntry returns the entry that counts a span.
func (s *state) spanEntry(v *traces.SpanView) *entry {
	recent := s.recentOf(v)
	if recent != nil && recent.kind == v.Kind && recent.status == v.Status && recent.name == v.Name && !recent.entry.ended {
		return recent.entry
	}
	p := &s.settings.spans
	key := append(s.key[:0], s.resource.prefix...)
	if p.intrinsic.SpanKind {
		key = append(key, byte(v.Kind))
	}
	if p.intrinsic.StatusCode {
		key = append(key, byte(v.Status))
	}
	if p.intrinsic.SpanName {
		key = appendPart(key, cut(v.Name, s.registry.maxValue))
	}
	if p.intrinsic.StatusMessage {
		key = appendPart(key, cut(v.StatusMessage, s.registry.maxValue))
	}
	for i := range p.dimensions {
		key = appendPart(key, s.dimension(&p.dimensions[i]))
	}
	s.key = key
	e := s.registry.byKey[spanFamily][string(key)]
	if e == nil {
		return s.addSpanEntry(v, key)
	}
	if recent != nil {
		*recent = recentSpan{strings.Clone(v.Name), v.Kind, v.Status, e}
	}
	return e
}

func (s *state) observe(d *distribution, seconds, times float64, trace *traces.ID) {
	if d.born == 0 {
		d.born = s.last + 1
	}
	d.observe(seconds, times, trace, s.now)
}

// dimension returns the value of a label, "" where no attribute is there.
func (s *state) dimension(d *dimension) string {
	if len(d.keys) == 1 {
		return cut(s.text(d.keys[0]), s.registry.maxValue)
	}
	var values []string
	for _, k := range d.keys {
		if s.attribute(k) != "" {
			values = append(values, s.text(k))
		}
	}
	return cut(strings.Join(values, d.join), s.registry.maxValue)
}

func (s *state) addSpanEntry(v *traces.SpanView, key []byte) *entry {
	p := &s.settings.spans
	if e := s.registry.overflow(spanFamily, p.form, p.bounds); e != nil {
		s.seen.overflowed++
		return e
	}
	pairs := map[string]string{}
	for i := range p.dimensions {
		pairs[p.dimensions[i].label] = s.dimension(&p.dimensions[i])
	}
	set := func(on bool, label, value string) {
		if on {
			pairs[label] = value
		}
	}
	set(p.intrinsic.Service, "service", s.resource.service)
	set(p.intrinsic.SpanName, "span_name", v.Name)
	set(p.intrinsic.SpanKind, "span_kind", kindNames[v.Kind])
	set(p.intrinsic.StatusCode, "status_code", statusNames[v.Status])
	set(p.intrinsic.StatusMessage, "status_message", v.StatusMessage)
	set(p.jobLabels, "job", s.resource.job)
	set(p.jobLabels, "instance", s.resource.instance)
	e, fits := s.registry.add(spanFamily, string(key), s.registry.labelsOf(pairs), p.form, p.bounds, s.last+1)
	if !fits {
		s.seen.overflowed++
	}
	return e
}

// target returns the entry of a resource's traces_target_info, nil where there is nothing to say or no room.
func (s *state) target(r *resource, attributes []traces.Attribute) *entry {
	pairs := map[string]string{}
	for i := range attributes {
		a := &attributes[i]
		// They are the labels job and instance, or secret.
		if a.Key == "service.name" || a.Key == "service.namespace" || a.Key == "service.instance.id" || s.settings.spans.excluded[a.Key] {
			continue
		}
		if label := labelName(a.Key); pairs[label] == "" {
			pairs[label] = textOf(a)
		}
	}
	if len(pairs) == 0 || r.job == "" {
		return nil
	}
	// More labels than a series may have would lose it: the last go, job and instance stay.
	if room := s.registry.maxNames - 4; s.registry.maxNames > 0 && len(pairs) > room {
		for _, label := range slices.Sorted(maps.Keys(pairs))[max(0, room):] {
			delete(pairs, label)
		}
	}
	pairs["job"], pairs["instance"] = r.job, r.instance
	ls := s.registry.labelsOf(pairs)
	key := string(ls.Bytes(nil))
	e := s.registry.byKey[targetFamily][key]
	if e == nil {
		if e, _ = s.registry.add(targetFamily, key, ls, form{}, nil, s.last+1); e == nil {
			s.seen.overflowed++
			return nil
		}
		e.counters[0] = 1
	}
	e.updated = s.now
	return e
}
