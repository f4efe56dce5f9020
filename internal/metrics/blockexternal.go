package metrics

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/thanos-io/thanos/pkg/block/metadata"
)

// externalOf returns the labels that all series of a block have beside their own. Those of blocks that Hune
// made say where a block comes from and nothing of its series; others, a sidecar's, tell the series of
// several Prometheus servers apart.
func externalOf(m *metadata.Meta, tenant string) labels.Labels {
	if m.Thanos.Labels[labelTenant] == tenant {
		return labels.EmptyLabels()
	}
	return labels.FromMap(m.Thanos.Labels)
}

// extend adds external labels to those of a series. They win, as they do in Thanos.
func extend(ls, external labels.Labels) labels.Labels {
	if external.IsEmpty() {
		return ls
	}
	b := labels.NewBuilder(ls)
	external.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	return b.Labels()
}

// postings finds the series of a block for matchers, those of external labels included.
func (b *blockReader) postings(ctx context.Context, ms []*labels.Matcher) (index.Postings, error) {
	own := make([]*labels.Matcher, 0, len(ms))
	for _, m := range ms {
		switch v := b.external.Get(m.Name); {
		case v == "":
			own = append(own, m)
		case !m.Matches(v):
			return index.EmptyPostings(), nil
		}
	}
	if len(own) == 0 {
		name, value := index.AllPostingsKey()
		return b.index().Postings(ctx, name, value)
	}
	return tsdb.PostingsForMatchers(ctx, b.index(), own...) // it sorts the matchers that it is given
}

// allNames returns the names of all labels, allValues the values of one.
func (b *blockReader) allNames(ctx context.Context) ([]string, error) {
	names, err := b.index().LabelNames(ctx)
	b.external.Range(func(l labels.Label) { names = append(names, l.Name) })
	return names, err
}

func (b *blockReader) allValues(ctx context.Context, name string) ([]string, error) {
	if v := b.external.Get(name); v != "" {
		return []string{v}, nil
	}
	return b.index().LabelValues(ctx, name, nil)
}

// sortSeries brings series in order again that external labels were added to.
func sortSeries(list []blockSeries) {
	slices.SortFunc(list, func(a, b blockSeries) int { return labels.Compare(a.labels, b.labels) })
}
