package storeapi

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/thanos-io/thanos/pkg/exemplars/exemplarspb"
	"github.com/thanos-io/thanos/pkg/metadata/metadatapb"
	"github.com/thanos-io/thanos/pkg/store/labelpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/metrics"
)

// querierComponent is what a Thanos Querier calls itself. It asks others in turn, and wants what is said of external labels.
const querierComponent = "query"

// Exemplars implements metrics.Source. Servers that say that they have none are not asked.
func (c *Client) Exemplars(ctx context.Context, id string, start, end int64, sets [][]metrics.Matcher) ([]metrics.ExemplarSeries, error) {
	compiled := make([][]*labels.Matcher, len(sets))
	for i, set := range sets {
		var err error
		if compiled[i], err = metrics.ToMatchers(set); err != nil {
			return nil, err
		}
	}
	wanted, queries := []*endpoint{}, map[*endpoint]string{}
	for _, e := range c.present(ctx) {
		if q := e.exemplarQuery(start, end, compiled); q != "" {
			wanted, queries[e] = append(wanted, e), q
		}
	}
	lists, err := askEach(ctx, c, "Exemplars", id, wanted, func(ctx context.Context, e *endpoint) ([]metrics.ExemplarSeries, error) {
		return e.readExemplars(ctx, &exemplarspb.ExemplarsRequest{Query: queries[e], Start: start, End: end})
	})
	return slices.Concat(lists...), err
}

// present are the servers that can be asked now. Of those that should be and can't, it leaves warnings.
func (c *Client) present(ctx context.Context) (out []*endpoint) {
	list, failed := c.endpoints()
	if failed != nil {
		metrics.AddWarning(ctx, fmt.Errorf("servers may be left out of the answer: %w", failed))
	}
	for _, e := range list {
		if err := e.out(); err != nil {
			metrics.AddWarning(ctx, fmt.Errorf("%s is left out of the answer: %w", e, err))
			continue
		}
		out = append(out, e)
	}
	return out
}

// exemplarQuery is the question for a server: the selectors that its labels can match, joined to an expression. It is "" where
// it can have none. What is said of external labels is left out: a Prometheus behind the server doesn't know them.
func (e *endpoint) exemplarQuery(start, end int64, sets [][]*labels.Matcher) string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.member && (!e.exemplars || e.exemplarMin > end || e.exemplarMax < start) {
		return ""
	}
	var parts []string
	for _, set := range sets {
		if !e.member && !e.labelsMatch(set) {
			continue
		}
		var texts []string
		for _, m := range set {
			if e.member || e.component == querierComponent || !e.hasExternal(m.Name) {
				texts = append(texts, m.String())
			}
		}
		if len(texts) == 0 {
			texts = append(texts, `__name__=~".+"`)
		}
		parts = append(parts, "{"+strings.Join(texts, ",")+"}")
	}
	return strings.Join(parts, " + ")
}

// hasExternal reports whether a label is an external one of the server. e.mu must be held.
func (e *endpoint) hasExternal(name string) bool {
	return slices.ContainsFunc(e.labelSets, func(set labels.Labels) bool { return set.Has(name) })
}

// absent reports whether a server hasn't the service at all: what it hasn't is not missing.
func absent(err error) bool { return status.Code(err) == codes.Unimplemented }

func (e *endpoint) readExemplars(ctx context.Context, req *exemplarspb.ExemplarsRequest) (out []metrics.ExemplarSeries, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := e.exemplarsClient.Exemplars(ctx, req)
	if err != nil {
		return nil, err
	}
	err = receive(ctx, e, stream.Recv, func(r *exemplarspb.ExemplarsResponse) {
		if data := r.GetData(); data != nil {
			out = append(out, toExemplars(data))
		}
	})
	return out, err
}

// receive takes the messages of a stream until it ends. Warnings among them go to the answer's.
func receive[R interface{ GetWarning() string }](ctx context.Context, e *endpoint, next func() (R, error), take func(R)) error {
	for {
		r, err := next()
		switch {
		case err == io.EOF || absent(err):
			return nil
		case err != nil:
			return err
		}
		if text := r.GetWarning(); text != "" {
			e.warn(ctx, text)
		}
		take(r)
	}
}

func toExemplars(data *exemplarspb.ExemplarData) metrics.ExemplarSeries {
	out := metrics.ExemplarSeries{Labels: ToLabels(data.SeriesLabels.Labels), Exemplars: make([]exemplar.Exemplar, 0, len(data.Exemplars))}
	for _, e := range data.Exemplars {
		out.Exemplars = append(out.Exemplars, exemplar.Exemplar{Labels: ToLabels(e.Labels.Labels), Value: e.Value, Ts: e.Ts, HasTs: true})
	}
	return out
}

// ToLabels copies labels: those of messages point into them.
func ToLabels(list []labelpb.ZLabel) labels.Labels {
	b := labels.NewScratchBuilder(len(list))
	for _, l := range list {
		b.Add(strings.Clone(l.Name), strings.Clone(l.Value))
	}
	b.Sort()
	return b.Labels()
}

// FromExemplars converts exemplars of a series for an answer.
func FromExemplars(s metrics.ExemplarSeries) *exemplarspb.ExemplarData {
	out := &exemplarspb.ExemplarData{SeriesLabels: labelpb.ZLabelSet{Labels: FromLabels(s.Labels)}}
	for _, e := range s.Exemplars {
		out.Exemplars = append(out.Exemplars, &exemplarspb.Exemplar{Labels: labelpb.ZLabelSet{Labels: FromLabels(e.Labels)}, Value: e.Value, Ts: e.Ts})
	}
	return out
}

// FromLabels copies labels: Thanos's own conversion takes another layout of them in memory for granted.
func FromLabels(ls labels.Labels) []labelpb.ZLabel {
	out := make([]labelpb.ZLabel, 0, ls.Len())
	ls.Range(func(l labels.Label) { out = append(out, labelpb.ZLabel{Name: l.Name, Value: l.Value}) })
	return out
}

// Metadata implements metrics.Source. Servers that say that they have none are not asked.
func (c *Client) Metadata(ctx context.Context, id, metric string, limit int) (map[string][]metadata.Metadata, error) {
	wanted := slices.DeleteFunc(c.present(ctx), func(e *endpoint) bool { return !e.hasMetadata() })
	req := &metadatapb.MetricMetadataRequest{Metric: metric, Limit: int32(min(limit, 1<<31-1))}
	if limit <= 0 {
		req.Limit = -1
	}
	answers, err := askEach(ctx, c, "MetricMetadata", id, wanted, func(ctx context.Context, e *endpoint) (map[string][]metadata.Metadata, error) {
		return e.readMetadata(ctx, req)
	})
	out := map[string][]metadata.Metadata{}
	for _, a := range answers {
		for name, list := range a {
			for _, m := range list {
				if !slices.Contains(out[name], m) {
					out[name] = append(out[name], m)
				}
			}
		}
	}
	return out, err
}

func (e *endpoint) hasMetadata() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.member || e.metadata
}

func (e *endpoint) readMetadata(ctx context.Context, req *metadatapb.MetricMetadataRequest) (map[string][]metadata.Metadata, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := e.metadataClient.MetricMetadata(ctx, req)
	if err != nil {
		return nil, err
	}
	out := map[string][]metadata.Metadata{}
	err = receive(ctx, e, stream.Recv, func(r *metadatapb.MetricMetadataResponse) {
		if all := r.GetMetadata(); all != nil {
			for name, entry := range all.Metadata {
				for _, m := range entry.Metas {
					out[name] = append(out[name], metadata.Metadata{Type: model.MetricType(cmp.Or(m.Type, string(model.MetricTypeUnknown))), Help: m.Help, Unit: m.Unit})
				}
			}
		}
	})
	return out, err
}

// FromMetadata converts metadata for answers, of which each is about at most so many metrics.
func FromMetadata(all map[string][]metadata.Metadata, most int) (out []*metadatapb.MetricMetadata) {
	for names := range slices.Chunk(slices.Sorted(maps.Keys(all)), most) {
		part := &metadatapb.MetricMetadata{Metadata: make(map[string]metadatapb.MetricMetadataEntry, len(names))}
		for _, name := range names {
			var entry metadatapb.MetricMetadataEntry
			for _, m := range all[name] {
				entry.Metas = append(entry.Metas, metadatapb.Meta{Type: string(m.Type), Help: m.Help, Unit: m.Unit})
			}
			part.Metadata[name] = entry
		}
		out = append(out, part)
	}
	return out
}
