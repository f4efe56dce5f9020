package logs

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// DefaultResourceLabels are the resource attributes that become stream labels.
var DefaultResourceLabels = []string{
	"service.name", "service.namespace", "service.instance.id", "deployment.environment", "deployment.environment.name",
	"cloud.region", "cloud.availability_zone", "k8s.cluster.name", "k8s.namespace.name", "k8s.pod.name", "k8s.container.name",
	"container.name", "k8s.replicaset.name", "k8s.deployment.name", "k8s.statefulset.name", "k8s.daemonset.name",
	"k8s.cronjob.name", "k8s.job.name",
}

// OTLPOptions say how OTLP log records become entries.
type OTLPOptions struct {
	// ResourceLabels are the resource attributes that become stream labels; nil means
	// DefaultResourceLabels. All other attributes become structured metadata.
	ResourceLabels []string
	// Now is the timestamp of records that have none.
	Now time.Time
}

// FromOTLP maps OTLP logs as Loki does by default: resource attributes named in the options to
// stream labels, the other attributes of resource, scope and record to structured metadata (nested
// ones joined by underscores; the record's win over the scope's over the resource's), the body to
// the line. Records with a time that no timestamp can hold are left out, counted and named in msg.
//
// Streams lack a service_name if the resource has no service.name: Enricher.Stream adds it, and
// the detected level.
func FromOTLP(ld plog.Logs, o OTLPOptions) (b *Batch, rejected int, msg string) {
	m := otlpMapper{now: o.Now.UnixNano(), asLabel: make(map[string]string), streams: make(map[uint64]int), batch: &Batch{}}
	names := o.ResourceLabels
	if names == nil {
		names = DefaultResourceLabels
	}
	for _, name := range names {
		m.asLabel[name] = SanitizeName(name)
	}
	for _, rl := range ld.ResourceLogs().All() {
		m.resource(rl)
	}
	if m.rejected > 0 {
		msg = fmt.Sprintf("%d log records were rejected: timestamp %d is out of range", m.rejected, m.badTime)
	}
	return m.batch, m.rejected, msg
}

type otlpMapper struct {
	asLabel  map[string]string // attribute → label name
	now      int64
	batch    *Batch
	streams  map[uint64]int // hash of labels → index in batch
	rejected int
	badTime  uint64

	// Of the resource and scope at hand; reused.
	pairs []Label
	md    []Label
}

func (m *otlpMapper) resource(rl plog.ResourceLogs) {
	m.pairs, m.md = m.pairs[:0], m.md[:0]
	for name, v := range rl.Resource().Attributes().All() {
		if label, ok := m.asLabel[name]; ok {
			if value := valid(v.AsString()); len(value) <= maxLabelPart {
				m.pairs = append(m.pairs, Label{label, value})
				continue
			}
		}
		m.md = appendAttribute(m.md, name, v, 0)
	}
	m.md = appendCount(m.md, "resource_dropped_attributes_count", rl.Resource().DroppedAttributesCount())
	stream := -1 // made with the first entry
	ofResource := len(m.md)
	for _, sl := range rl.ScopeLogs().All() {
		m.md = m.md[:ofResource]
		m.scope(sl.Scope())
		ofScope := len(m.md)
		entries := make([]Entry, 0, sl.LogRecords().Len())
		for _, r := range sl.LogRecords().All() {
			m.md = m.md[:ofScope]
			if entry, ok := m.record(r); ok {
				entries = append(entries, entry)
			}
		}
		if len(entries) == 0 {
			continue
		}
		if stream < 0 {
			stream = m.stream()
		}
		s := &m.batch.Streams[stream]
		if s.Entries == nil {
			s.Entries = entries
		} else {
			s.Entries = append(s.Entries, entries...)
		}
	}
}

// stream finds or makes the stream of m.pairs.
func (m *otlpMapper) stream() int {
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, p := range m.pairs {
		b.Set(p.Name, p.Value)
	}
	ls := b.Labels()
	hash := ls.Hash()
	if i, ok := m.streams[hash]; ok && labels.Equal(m.batch.Streams[i].Labels, ls) {
		return i
	}
	m.streams[hash] = len(m.batch.Streams)
	m.batch.Streams = append(m.batch.Streams, Stream{Labels: ls})
	return len(m.batch.Streams) - 1
}

func (m *otlpMapper) scope(s pcommon.InstrumentationScope) {
	for name, v := range s.Attributes().All() {
		m.md = appendAttribute(m.md, name, v, 0)
	}
	m.md = appendText(m.md, "scope_name", s.Name())
	m.md = appendText(m.md, "scope_version", s.Version())
	m.md = appendCount(m.md, "scope_dropped_attributes_count", s.DroppedAttributesCount())
}

func (m *otlpMapper) record(r plog.LogRecord) (Entry, bool) {
	ts := uint64(r.Timestamp())
	if ts == 0 {
		ts = uint64(r.ObservedTimestamp())
	}
	if ts == 0 {
		ts = uint64(m.now)
	}
	if ts > math.MaxInt64 {
		m.rejected++
		m.badTime = ts
		return Entry{}, false
	}
	for name, v := range r.Attributes().All() {
		m.md = appendAttribute(m.md, name, v, 0)
	}
	m.md = appendCount(m.md, "dropped_attributes_count", r.DroppedAttributesCount())
	m.md = appendCount(m.md, "flags", uint32(r.Flags()))
	m.md = appendText(m.md, "event_name", r.EventName())
	m.md = appendText(m.md, "severity_text", r.SeverityText())
	if n := r.SeverityNumber(); n != 0 {
		m.md = append(m.md, Label{severityNumber, strconv.Itoa(int(n))})
	}
	if t := uint64(r.ObservedTimestamp()); t != 0 {
		m.md = append(m.md, Label{"observed_timestamp", strconv.FormatUint(t, 10)})
	}
	if id := r.TraceID(); !id.IsEmpty() {
		m.md = append(m.md, Label{"trace_id", id.String()})
	}
	if id := r.SpanID(); !id.IsEmpty() {
		m.md = append(m.md, Label{"span_id", id.String()})
	}
	return Entry{Timestamp: int64(ts), Line: r.Body().AsString(), Metadata: NormalizeMetadata(m.md)}, true
}

// maxAttributeDepth ends the flattening of nested attributes: what is deeper becomes JSON text.
const maxAttributeDepth = 16

func appendAttribute(md []Label, name string, v pcommon.Value, depth int) []Label {
	if v.Type() != pcommon.ValueTypeMap || depth >= maxAttributeDepth {
		return append(md, Label{name, v.AsString()})
	}
	for key, inner := range v.Map().All() {
		md = appendAttribute(md, name+"_"+key, inner, depth+1)
	}
	return md
}

func appendText(md []Label, name, value string) []Label {
	if value == "" {
		return md
	}
	return append(md, Label{name, value})
}

func appendCount(md []Label, name string, n uint32) []Label {
	if n == 0 {
		return md
	}
	return append(md, Label{name, strconv.FormatUint(uint64(n), 10)})
}
