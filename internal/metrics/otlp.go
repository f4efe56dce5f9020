package metrics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/otlptranslator"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/multierr"
)

// OTLPConfig says how OTLP metrics become series. The keys and defaults are those of the "otlp"
// section of prometheus.yml.
type OTLPConfig struct {
	// TranslationStrategy makes metric and label names: UnderscoreEscapingWithSuffixes (default),
	// UnderscoreEscapingWithoutSuffixes, NoUTF8EscapingWithSuffixes or NoTranslation.
	TranslationStrategy string `yaml:"translation_strategy"`
	// PromoteResourceAttributes become labels of every series of the resource. Default none: all
	// of them are on the series target_info, to be joined.
	PromoteResourceAttributes []string `yaml:"promote_resource_attributes"`
	// PromoteAllResourceAttributes promotes all but IgnoreResourceAttributes. Default false.
	PromoteAllResourceAttributes bool `yaml:"promote_all_resource_attributes"`
	// IgnoreResourceAttributes are left out by PromoteAllResourceAttributes.
	IgnoreResourceAttributes []string `yaml:"ignore_resource_attributes"`
	// KeepIdentifyingResourceAttributes keeps service.name, service.namespace and
	// service.instance.id on target_info, beside job and instance. Default false.
	KeepIdentifyingResourceAttributes bool `yaml:"keep_identifying_resource_attributes"`
	// ConvertHistogramsToNHCB stores explicit-bucket histograms as native histograms with custom
	// buckets, one series instead of one a bucket. Default false.
	ConvertHistogramsToNHCB bool `yaml:"convert_histograms_to_nhcb"`
	// PromoteScopeMetadata adds name, version and attributes of the instrumentation scope as
	// labels. Default false.
	PromoteScopeMetadata bool `yaml:"promote_scope_metadata"`
}

// DefaultOTLPConfig returns Prometheus's defaults.
func DefaultOTLPConfig() OTLPConfig {
	return OTLPConfig{TranslationStrategy: string(promconfig.DefaultOTLPConfig.TranslationStrategy)}
}

var translationStrategies = []string{
	"UnderscoreEscapingWithSuffixes", "UnderscoreEscapingWithoutSuffixes", "NoUTF8EscapingWithSuffixes", "NoTranslation",
}

// Validate reports every fault.
func (c OTLPConfig) Validate() error {
	var errs []error
	if !slices.Contains(translationStrategies, c.TranslationStrategy) {
		errs = append(errs, fmt.Errorf("translation_strategy: %q is not one of %q", c.TranslationStrategy, translationStrategies))
	}
	if c.PromoteAllResourceAttributes && len(c.PromoteResourceAttributes) > 0 {
		errs = append(errs, errors.New("promote_all_resource_attributes and promote_resource_attributes exclude each other"))
	}
	if !c.PromoteAllResourceAttributes && len(c.IgnoreResourceAttributes) > 0 {
		errs = append(errs, errors.New("ignore_resource_attributes needs promote_all_resource_attributes"))
	}
	return errors.Join(errs...)
}

func (c OTLPConfig) settings() prometheusremotewrite.Settings {
	prom := promconfig.DefaultOTLPConfig
	strategy := otlptranslator.TranslationStrategyOption(c.TranslationStrategy)
	prom.PromoteResourceAttributes = c.PromoteResourceAttributes
	prom.PromoteAllResourceAttributes = c.PromoteAllResourceAttributes
	prom.IgnoreResourceAttributes = c.IgnoreResourceAttributes
	return prometheusremotewrite.Settings{
		AddMetricSuffixes:                    strategy.ShouldAddSuffixes(),
		AllowUTF8:                            !strategy.ShouldEscape(),
		PromoteResourceAttributes:            prometheusremotewrite.NewPromoteResourceAttributes(prom),
		KeepIdentifyingResourceAttributes:    c.KeepIdentifyingResourceAttributes,
		ConvertHistogramsToNHCB:              c.ConvertHistogramsToNHCB,
		PromoteScopeMetadata:                 c.PromoteScopeMetadata,
		LookbackDelta:                        5 * time.Minute,
		LabelNameUnderscoreSanitization:      prom.LabelNameUnderscoreSanitization,
		LabelNamePreserveMultipleUnderscores: prom.LabelNamePreserveMultipleUnderscores,
	}
}

// FromOTLP turns OTLP metrics into a batch. What can't be turned is in the rejections (one bad
// metric never loses the others); an error means that ctx has ended. Series of delta temporality are marked as such, for
// Deltas to add up. md is not changed and may be reused afterwards.
func FromOTLP(ctx context.Context, md pmetric.Metrics, cfg OTLPConfig) (*Batch, []Rejection, error) {
	a := newBatchAppender(min(md.DataPointCount(), 1<<16))
	deltas := deltaMetrics(md, &a.rejected)
	_, err := prometheusremotewrite.NewPrometheusConverter(a).FromMetrics(ctx, md, cfg.settings())
	if deltas.MetricCount() > 0 {
		a.delta = true
		_, derr := prometheusremotewrite.NewPrometheusConverter(a).FromMetrics(ctx, deltas, cfg.settings())
		err = multierr.Append(err, derr)
	}
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	for _, err := range multierr.Errors(err) {
		switch text := err.Error(); {
		case errors.Is(err, errTargetInfo): // the metrics themselves are all there
		case strings.HasPrefix(text, "invalid temporality"): // counted by points, or converted apart
		case strings.HasPrefix(text, "empty data points"): // nothing was lost
		default:
			a.rejected.Add("invalid_metric", 1, func() string { return text })
		}
	}
	return &Batch{Series: a.series}, a.rejected.List(), nil
}

// deltaMetrics returns the metrics of delta temporality, as if they were cumulative, so that the converter takes them. It
// counts the data points of metrics without a temporality, which the converter leaves out.
func deltaMetrics(md pmetric.Metrics, rejected *Rejections) pmetric.Metrics {
	out := pmetric.NewMetrics()
	for _, rm := range md.ResourceMetrics().All() {
		var toResource pmetric.ResourceMetrics
		found := false
		for _, sm := range rm.ScopeMetrics().All() {
			var to pmetric.MetricSlice
			inScope := false
			for _, m := range sm.Metrics().All() {
				temporality, points := temporalityOf(m)
				switch {
				case temporality == pmetric.AggregationTemporalityUnspecified && points > 0:
					rejected.Add("temporality", points, func() string {
						return fmt.Sprintf("metric %q has no temporality: it can't be known whether its values are sums or increments", m.Name())
					})
					continue
				case temporality != pmetric.AggregationTemporalityDelta || points == 0:
					continue
				}
				if !found {
					found = true
					toResource = out.ResourceMetrics().AppendEmpty()
					rm.Resource().CopyTo(toResource.Resource())
				}
				if !inScope {
					inScope = true
					scope := toResource.ScopeMetrics().AppendEmpty()
					sm.Scope().CopyTo(scope.Scope())
					scope.SetSchemaUrl(sm.SchemaUrl())
					to = scope.Metrics()
				}
				c := to.AppendEmpty()
				m.CopyTo(c)
				setCumulative(c)
			}
		}
	}
	return out
}

// temporalityOf returns the temporality of a metric and its number of data points. Metrics that need none count as
// cumulative.
func temporalityOf(m pmetric.Metric) (pmetric.AggregationTemporality, int) {
	switch m.Type() {
	case pmetric.MetricTypeSum:
		return m.Sum().AggregationTemporality(), m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().AggregationTemporality(), m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().AggregationTemporality(), m.ExponentialHistogram().DataPoints().Len()
	}
	return pmetric.AggregationTemporalityCumulative, 0
}

func setCumulative(m pmetric.Metric) {
	switch m.Type() {
	case pmetric.MetricTypeSum:
		m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	case pmetric.MetricTypeHistogram:
		m.Histogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	case pmetric.MetricTypeExponentialHistogram:
		m.ExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	}
}

// batchAppender collects what the converter makes. It never fails for one series, so that the
// converter goes on with the next data point.
type batchAppender struct {
	series   []Series
	byHash   map[uint64]int // label hash to index; on a collision a second entry is made, which is allowed
	rejected Rejections
	meta     *metadata.Metadata // the last one: all series of a metric share it
	newest   int64              // of the resource at hand
	target   targetRun
	delta    bool // the samples at hand are increments
}

// targetRun is the target_info samples of one resource.
type targetRun struct {
	active bool
	series int // index
	first  int // its samples before the run
}

// maxTargetInfo bounds the target_info samples of one resource in one batch. The converter makes one
// for every 2.5 minutes between the oldest and the newest data point, so that one point without a
// timestamp would make ten million.
const maxTargetInfo = 100

const targetInfo = "target_info"

var errTargetInfo = errors.New("too many samples of target_info")

func newBatchAppender(points int) *batchAppender {
	return &batchAppender{series: make([]Series, 0, points), byHash: make(map[uint64]int, points), newest: MinTime}
}

// AppendSample implements prometheusremotewrite.CombinedAppender.
func (a *batchAppender) AppendSample(ls labels.Labels, meta prometheusremotewrite.Metadata, st, t int64, v float64, es []exemplar.Exemplar) error {
	i, ok := a.get(ls, meta)
	if !ok {
		return nil
	}
	s := &a.series[i]
	if meta.MetricFamilyName == targetInfo {
		return a.targetInfo(i, t, v)
	}
	a.seen(t)
	s.Samples = append(s.Samples, Sample{Start: st, T: t, V: v})
	s.Exemplars = append(s.Exemplars, es...)
	return nil
}

// AppendHistogram implements prometheusremotewrite.CombinedAppender.
func (a *batchAppender) AppendHistogram(ls labels.Labels, meta prometheusremotewrite.Metadata, st, t int64, h *histogram.Histogram, es []exemplar.Exemplar) error {
	i, ok := a.get(ls, meta)
	if !ok {
		return nil
	}
	a.seen(t)
	s := &a.series[i]
	s.Histograms = append(s.Histograms, HistogramSample{Start: st, T: t, H: h})
	s.Exemplars = append(s.Exemplars, es...)
	return nil
}

// seen notes a data point that is not target_info's.
func (a *batchAppender) seen(t int64) {
	if a.target.active { // the converter has gone on to the next resource
		a.target, a.newest = targetRun{}, MinTime
	}
	a.newest = max(a.newest, t)
}

// targetInfo appends a sample of target_info, or replaces those of the resource by one at its
// newest data point when there are too many.
func (a *batchAppender) targetInfo(i int, t int64, v float64) error {
	s := &a.series[i]
	if n := len(s.Samples); a.delta && n > 0 && t <= s.Samples[n-1].T {
		return nil // the resource's other metrics have brought it
	}
	if !a.target.active || a.target.series != i {
		a.target = targetRun{active: true, series: i, first: len(s.Samples)}
	}
	if len(s.Samples)-a.target.first < maxTargetInfo {
		s.Samples = append(s.Samples, Sample{T: t, V: v})
		return nil
	}
	s.Samples = append(s.Samples[:a.target.first], Sample{T: a.newest, V: v})
	return errTargetInfo
}

// get returns the index of the series, false when its labels can't be stored.
func (a *batchAppender) get(ls labels.Labels, meta prometheusremotewrite.Metadata) (int, bool) {
	hash := ls.Hash()
	delta := a.delta && meta.MetricFamilyName != targetInfo
	i, ok := a.byHash[hash]
	if ok && labels.Equal(a.series[i].Labels, ls) && a.series[i].Delta == delta {
		return i, true
	}
	if !ls.IsValid(model.UTF8Validation) || ls.Get(labels.MetricName) == "" {
		a.rejected.Add("invalid_labels", 1, func() string {
			return fmt.Sprintf("invalid metric name or labels of metric %q: %q", meta.MetricFamilyName, ls.String())
		})
		return 0, false
	}
	if a.meta == nil || *a.meta != meta.Metadata {
		m := meta.Metadata
		a.meta = &m
	}
	a.series = append(a.series, Series{Labels: ls, Metadata: a.meta, Delta: delta})
	a.byHash[hash] = len(a.series) - 1
	return len(a.series) - 1, true
}
