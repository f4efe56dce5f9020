package logs

import (
	"github.com/prometheus/prometheus/model/labels"
)

// Partial is a part of an answer, made by one of the jobs that a query was cut into.
type Partial struct {
	Series  []PartialSeries // of a range aggregation
	Entries []PartialEntry  // of a log query, in its order; Result.Streams has the label sets and no entries
}

// PartialEntry is an entry with what its place among the entries of other parts depends on.
type PartialEntry struct {
	Origin labels.Labels // of the stream that it is stored in
	Stream int           // index in Result.Streams: the final label set
	Entry  ResultEntry
}

// PartialSeries is the samples of one series, folded as far as they can be without those of other parts.
type PartialSeries struct {
	Labels  labels.Labels
	First   RowPlace // of its first row
	Buckets []PartialBucket
}

// RowPlace says where a row stands in the order of rows: of time, stream, arrival.
type RowPlace struct {
	Timestamp int64
	Stream    labels.Labels
	Row       int
}

// PartialBucket is the fold of the samples that all the evaluation times First to Last see, by number.
type PartialBucket struct {
	First, Last int
	Fold        Fold
}

// Fold is samples folded by a range operation, which says what of it is used. Times are nanoseconds.
type Fold struct {
	Count                 float64
	Sum                   float64 // of the values, or their mean
	Extra                 float64 // least or largest value, squared deviations, or what counters lost by restarts
	FirstValue, LastValue float64
	From, To              int64     // times of the first and the last sample
	Values                []float64 // all of them, where a quantile is asked for
}

// Plan says how a query is answered and what that is expected to cost.
type Plan struct {
	Text     string
	Tree     PlanNode
	Estimate PlanEstimate
}

// PlanNode is a step of a plan: what it does (Op), what it is told, and what it works on.
type PlanNode struct {
	Op     string            `json:"op"`
	Text   string            `json:"text,omitempty"`
	Args   map[string]string `json:"args,omitempty"`
	Inputs []PlanNode        `json:"inputs,omitempty"`
}

// PlanEstimate is what indexes tell of the cost of a query, each at most.
type PlanEstimate struct {
	Blocks      int64   `json:"blocks"`
	Pages       int64   `json:"pages"`
	Streams     int64   `json:"streams"`
	Lines       int64   `json:"lines"`
	Bytes       int64   `json:"bytes"`       // of lines and metadata, uncompressed
	StoredBytes int64   `json:"storedBytes"` // of the pages in the bucket
	Jobs        int64   `json:"jobs"`
	Seconds     float64 `json:"seconds"`
}
