package generator

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"

	"github.com/hune-io/hune/internal/limits"
)

// family is metrics that have their labels in common and are counted together.
type family struct {
	counters   []metric
	histograms []metric
	gauge      bool // the counters are always 1
}

type metric struct {
	name string
	meta *metadata.Metadata
}

func counter(name, help string) metric {
	return metric{name, &metadata.Metadata{Type: model.MetricTypeCounter, Help: help}}
}

func seconds(name, help string) metric {
	return metric{name, &metadata.Metadata{Type: model.MetricTypeHistogram, Unit: "seconds", Help: help}}
}

var (
	spanFamily = &family{
		counters: []metric{
			counter("traces_spanmetrics_calls_total", "Spans."),
			counter("traces_spanmetrics_size_total", "Bytes of spans as OTLP."),
		},
		histograms: []metric{seconds("traces_spanmetrics_latency", "Durations of spans.")},
	}
	targetFamily = &family{gauge: true, counters: []metric{
		{"traces_target_info", &metadata.Metadata{Type: model.MetricTypeGauge, Help: "Attributes of the resources that send spans."}},
	}}
	edgeFamily = &family{
		counters: []metric{
			counter("traces_service_graph_request_total", "Requests between two nodes."),
			counter("traces_service_graph_request_failed_total", "Requests between two nodes that failed."),
		},
		histograms: []metric{
			seconds("traces_service_graph_request_server_seconds", "Durations of requests as seen from the server."),
			seconds("traces_service_graph_request_client_seconds", "Durations of requests as seen from the client."),
			seconds("traces_service_graph_request_messaging_system_seconds", "Times between producer and consumer."),
		},
	}
	unpairedFamily = &family{counters: []metric{counter("traces_service_graph_unpaired_spans_total", "Sides of requests whose other side did not come.")}}
	droppedFamily  = &family{counters: []metric{counter("traces_service_graph_dropped_spans_total", "Sides of requests for which there was no room.")}}
)

// The histograms of edgeFamily.
const (
	serverSeconds = iota
	clientSeconds
	messagingSeconds
)

// overflowLabel marks the series that holds what would have made too many.
const overflowLabel = "metric_overflow"

// entry is the metrics of a family for one set of labels.
type entry struct {
	family  *family
	key     string
	labels  labels.Labels // without a name
	weight  int           // series that it may make
	updated int64         // Unix milliseconds
	born    int64
	sent    bool // the counters have been stored
	ended   bool // it was written for the last time

	counters   [2]float64
	histograms []distribution

	series [2]labels.Labels  // of the counters
	shapes [][]labels.Labels // of the histograms: buckets, sum, count, native
}

// registry is the entries of a tenant.
type registry struct {
	limit    int    // of active series, 0 for none
	maxValue int    // bytes of a label's value
	maxNames int    // labels of a series
	instance string // of this generator among several; "": it is alone

	active     int
	entries    []*entry
	byKey      map[*family]map[string]*entry
	overflowed int // since the last collection
}

func newRegistry(l *limits.Limits) registry {
	r := registry{limit: l.Traces.Generator.MaxActiveSeries, maxValue: l.Metrics.MaxLabelValueLength, maxNames: l.Metrics.MaxLabelNamesPerSeries,
		byKey: make(map[*family]map[string]*entry)}
	for _, f := range []*family{spanFamily, targetFamily, edgeFamily, unpairedFamily, droppedFamily} {
		r.byKey[f] = make(map[string]*entry)
	}
	return r
}

// weight is how many series an entry may make.
func (f *family) weight(form form, bounds []float64) int {
	weight := len(f.counters)
	for range f.histograms {
		if form.classic {
			weight += len(bounds) + 3
		}
		if form.native {
			weight++
		}
	}
	return weight
}

// overflow returns the entry that counts what there is no room for, nil while there is room or no such entry. It
// is asked before labels are made: above the limit there may be new ones with every span.
func (r *registry) overflow(f *family, form form, bounds []float64) *entry {
	if r.limit <= 0 || r.active+f.weight(form, bounds) <= r.limit {
		return nil
	}
	return r.byKey[f][overflowLabel]
}

// add makes the entry of a key. When there is no room, it is the one of overflow, and fits is false.
func (r *registry) add(f *family, key string, ls labels.Labels, form form, bounds []float64, born int64) (e *entry, fits bool) {
	weight := f.weight(form, bounds)
	if r.limit > 0 && r.active+weight > r.limit {
		if e = r.byKey[f][overflowLabel]; e != nil || f.gauge {
			return e, false
		}
		key, ls = overflowLabel, r.labelsOf(map[string]string{overflowLabel: "true"})
	} else {
		fits = true
	}
	e = &entry{family: f, key: key, labels: ls, weight: weight, born: born}
	if n := len(f.histograms); n > 0 {
		e.histograms = make([]distribution, n)
		for i := range e.histograms {
			e.histograms[i].init(form, bounds)
		}
	}
	r.active += weight
	r.byKey[f][key] = e
	r.entries = append(r.entries, e)
	return e, fits
}

// end takes an entry out; the list is swept later.
func (r *registry) end(e *entry) {
	e.ended = true
	r.active -= e.weight
	delete(r.byKey[e.family], e.key)
}

// sweep drops ended entries from the list.
func (r *registry) sweep() {
	r.entries = slices.DeleteFunc(r.entries, func(e *entry) bool { return e.ended })
	if cap(r.entries) > 1024 && len(r.entries) < cap(r.entries)/4 {
		r.entries = slices.Clone(r.entries)
	}
}

// labelsOf makes the labels of an entry: without empty values, values no longer than the tenant may have,
// and at most as many as fit beside the name, a bucket's bound and the generator's name, which they always have.
func (r *registry) labelsOf(pairs map[string]string) labels.Labels {
	room := len(pairs)
	if r.maxNames > 0 {
		room = max(0, r.maxNames-2)
		if r.instance != "" {
			room = max(0, room-1)
		}
	}
	b := labels.NewScratchBuilder(min(room, len(pairs)) + 1)
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		value := pairs[name]
		if value == "" {
			continue
		}
		if room == 0 {
			break
		}
		room--
		b.Add(strings.Clone(name), strings.Clone(cut(value, r.maxValue)))
	}
	if r.instance != "" {
		b.Add(instanceLabel, r.instance)
		b.Sort()
	}
	return b.Labels()
}

// named returns labels of e with a metric's name and, where it is given, a bucket's bound.
func (e *entry) named(b *labels.Builder, name, bound string) labels.Labels {
	b.Reset(e.labels)
	b.Set(labels.MetricName, name)
	if bound != "" {
		b.Set(labels.BucketLabel, bound)
	}
	return b.Labels()
}

// name makes the labels of every series of e once: they are the same at each collection.
func (e *entry) name(b *labels.Builder) {
	if !e.series[0].IsEmpty() {
		return
	}
	for i, m := range e.family.counters {
		e.series[i] = e.named(b, m.name, "")
	}
	e.shapes = make([][]labels.Labels, len(e.histograms))
}

// shape makes the labels of a histogram's series once it has counted something.
func (e *entry) shape(b *labels.Builder, i int) []labels.Labels {
	if e.shapes[i] != nil {
		return e.shapes[i]
	}
	name, d := e.family.histograms[i].name, &e.histograms[i]
	var all []labels.Labels
	if d.counts != nil {
		for _, bound := range d.bounds {
			all = append(all, e.named(b, name+"_bucket", strconv.FormatFloat(bound, 'f', -1, 64)))
		}
		all = append(all, e.named(b, name+"_bucket", "+Inf"), e.named(b, name+"_sum", ""), e.named(b, name+"_count", ""))
	}
	if d.native != nil {
		all = append(all, e.named(b, name, ""))
	}
	e.shapes[i] = all
	return all
}
