// Package metrics is the metrics signal: the batch that writers send, the per-tenant Prometheus
// TSDB that keeps it, the blocks in the bucket, and PromQL over both.
package metrics

import (
	"context"
	"iter"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// Batch is one write of one tenant. The receiver may keep nothing of it after the call returns,
// labels aside (they are immutable strings).
type Batch struct {
	Series []Series
	// DiscardOutOfOrder drops samples that are older than the newest of their series, even inside of
	// the out-of-order window: staleness markers for a target that has come back meanwhile.
	DiscardOutOfOrder bool
	// OwnIncrements says that another distributor has sent the increments to the one that adds them up: this one.
	OwnIncrements bool
}

// Series is the new data of one series. Times are Unix milliseconds. Labels are sorted, without
// duplicates or empty values, and hold __name__.
type Series struct {
	Labels     labels.Labels
	Samples    []Sample
	Histograms []HistogramSample
	Exemplars  []exemplar.Exemplar
	Metadata   *metadata.Metadata // nil: none sent
	// Valid says that the labels are known to be as said above, and UTF-8: only limits are left to check.
	Valid bool
	// Delta says that each sample is an increment since its Start. The distributor makes sums of them: no
	// storage takes them.
	Delta bool
}

// Sample is a float sample. Start is the start (created) timestamp of a cumulative series in
// milliseconds, 0 when not known.
type Sample struct {
	Start, T int64
	V        float64
}

// HistogramSample is a native histogram sample; exactly one of H and FH is set.
type HistogramSample struct {
	Start, T int64
	H        *histogram.Histogram
	FH       *histogram.FloatHistogram
}

// PushResult says what of a batch was stored. The rest is in Rejected; a push whose samples were
// all rejected is not an error of the call.
type PushResult struct {
	Samples, Histograms, Exemplars int
	// Deduplicated is how much of these another replica of the sender stores: it was accepted, and dropped.
	Deduplicated int
	Rejected     []Rejection
}

// Rejection is a group of samples refused for one reason. Reason is a short machine word
// (out_of_order, too_old, duplicate_timestamp, too_far_in_future, invalid_labels, series_limit, …),
// Message is the text for the sender and names the first series refused.
type Rejection struct {
	Reason  string
	Message string
	Count   int
}

// Matcher is a label matcher as plain data.
type Matcher struct {
	Type        labels.MatchType
	Name, Value string
}

// Select asks a source for series that match all Matchers and have data in [Start, End], in
// milliseconds. Limit bounds the series (0: no bound); SkipChunks wants labels only. MaxResolution is
// the coarsest downsampled data wanted, in milliseconds between samples (0: raw data, where there are any).
type Select struct {
	Matchers      []Matcher
	Start, End    int64
	Limit         int
	SkipChunks    bool
	MaxResolution int64
	// Stores and WholeAnswer are as in Query.
	Stores      [][]Matcher
	WholeAnswer bool
	// Shard takes a share of the series.
	Shard Shard
}

// Shard is a share of all series, by the hash of their labels: number Index of Count. The zero value is all of them.
type Shard struct {
	Index, Count int
	Without      []string // labels of replicas, which must come to one share
}

// Holds reports whether a series is of the share.
func (s Shard) Holds(ls labels.Labels) bool {
	if s.Count <= 1 {
		return true
	}
	if len(s.Without) > 0 {
		ls = labels.NewBuilder(ls).Del(s.Without...).Labels()
	}
	return labels.StableHash(ls)%uint64(s.Count) == uint64(s.Index)
}

// ChunkSeries is one series of a source's answer: encoded chunks in order of their start, which
// may overlap. It is plain data; chunks and bytes are valid until the sequence moves on, unless it is Stable.
type ChunkSeries struct {
	Labels labels.Labels
	Chunks []Chunk
	// Stable says that chunks and bytes stay as they are for as long as anyone holds them. The list of chunks
	// belongs to the receiver, to whose bytes nobody writes.
	Stable bool
}

// Chunk is one encoded chunk with its inclusive time range in milliseconds. Of downsampled data it holds
// aggregates (downsample.ChunkEncAggr).
type Chunk struct {
	MinTime, MaxTime int64
	Encoding         chunkenc.Encoding
	Data             []byte
}

// Source answers for the metrics of one place: the heads of an ingester or the blocks of a store.
// Safe for concurrent use. Series come sorted by labels. The first error ends a sequence.
type Source interface {
	SelectSeries(ctx context.Context, tenant string, s Select) iter.Seq2[*ChunkSeries, error]
	LabelNames(ctx context.Context, tenant string, s Select) ([]string, error)
	LabelValues(ctx context.Context, tenant, name string, s Select) ([]string, error)
	Exemplars(ctx context.Context, tenant string, start, end int64, matchers [][]Matcher) ([]ExemplarSeries, error)
	Metadata(ctx context.Context, tenant, metric string, limit int) (map[string][]metadata.Metadata, error)
}

// ExemplarSeries is the exemplars of one series, oldest first.
type ExemplarSeries struct {
	Labels    labels.Labels
	Exemplars []exemplar.Exemplar
}

// QueryKind says which question a Query asks.
type QueryKind string

// The kinds of metrics queries.
const (
	Instant     QueryKind = "instant"
	Range       QueryKind = "range"
	SeriesKind  QueryKind = "series"
	LabelNames  QueryKind = "label_names"
	LabelValues QueryKind = "label_values"
	Exemplars   QueryKind = "exemplars"
	Metadata    QueryKind = "metadata"
	Read        QueryKind = "read" // raw series, for remote read and federation
)

// Query is one metrics question as plain data, small enough to be a job. Times are milliseconds.
type Query struct {
	Kind            QueryKind
	Expr            string // Instant, Range, Exemplars
	Start, End      int64  // Instant: both are the evaluation time
	Step            int64
	LookbackDelta   int64 // 0: the engine's default
	MaxResolution   int64 // the coarsest downsampled data to use, in milliseconds; 0: raw data
	Limit           int   // 0: no limit
	Label           string
	Matchers        [][]Matcher // SeriesKind, LabelNames, LabelValues, Read, Exemplars: sets joined by or
	PerStepStats    bool
	EnableStats     bool
	Metric          string // Metadata
	LimitPerMetric  int
	MaxSamplesBytes int64
	Engine          string // Instant, Range: which engine must run it; empty: the configured one
	// ReplicaLabels are the labels by which replicas differ that hold the same series: these are deduplicated
	// (Instant, Range) and shown without the labels (SeriesKind, LabelNames). Nil: those of the configuration.
	ReplicaLabels []string
	NoDedup       bool // replicas stay apart
	// WholeAnswer makes it an error that a part of the data can't be had, instead of a warning.
	WholeAnswer bool
	// Stores are sets of matchers, joined by or, of the external labels of the stores to ask and of their
	// AddressLabel, see StoreWanted. Empty: all of them.
	Stores [][]Matcher
	// Shard takes a share of the series: the query answers for these alone.
	Shard Shard
}

// Result is the answer to a Query; which fields are set depends on its kind.
type Result struct {
	Value     parser.Value // Instant, Range: promql.Vector, Matrix, Scalar or String
	Strings   []string     // LabelNames, LabelValues, sorted
	Series    []labels.Labels
	Raw       []ChunkSeries // Read
	Exemplars []ExemplarSeries
	Metadata  map[string][]metadata.Metadata
	Warnings  annotations.Annotations
	// Partial says that a part of the data could not be had; Warnings say which.
	Partial bool
	Stats   QueryStats
}

// QueryStats says what a query cost.
type QueryStats struct {
	Samples, PeakSamples int64
	PerStep              []int64 // samples read for each step, when Query.PerStepStats asks for it
	Blocks               []ulid.ULID
}
