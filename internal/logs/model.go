// Package logs is the logs signal: streams of entries, the in-memory head, the columnar block and
// what both answer. LogQL is in logs/logql, on top of it.
package logs

import (
	"context"
	"iter"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/column"
)

// Batch is one write of one tenant. The receiver keeps nothing of it after the call returns.
type Batch struct {
	Streams []Stream
	// Rejected is what was left out before the batch was made: it is counted, and known to the sender.
	Rejected []Rejection
}

// Oldest returns the oldest timestamp; false where there is no entry.
func (b *Batch) Oldest() (t int64, ok bool) {
	for i := range b.Streams {
		for k := range b.Streams[i].Entries {
			if e := &b.Streams[i].Entries[k]; !ok || e.Timestamp < t {
				t, ok = e.Timestamp, true
			}
		}
	}
	return t, ok
}

// Stream is new entries of one stream. Labels are sorted, without duplicates or empty values.
type Stream struct {
	Labels  labels.Labels
	Entries []Entry
}

// Entry is one log line. Timestamp is Unix nanoseconds. Metadata (structured metadata) is sorted
// by name, without duplicates or empty values, names already sanitised.
type Entry struct {
	Timestamp int64
	Line      string
	Metadata  []Label
}

// Label is a name and a value.
type Label struct{ Name, Value string }

// PushResult says what of a batch was stored; a push whose entries were all rejected is not an
// error of the call.
type PushResult struct {
	Entries  int
	Bytes    int64
	Rejected []Rejection
}

// Rejection is a group of entries refused for one reason. Reason is a short machine word as Loki
// counts it (line_too_long, too_far_behind, greater_than_max_sample_age, …); Message is for the sender.
type Rejection struct {
	Reason  string
	Message string
	Count   int
}

// The reasons of a Rejection after which the sender may try again later.
const (
	ReasonStreamLimit = "stream_limit"
	ReasonStreamRate  = "per_stream_rate_limit"
)

// Matcher is a label matcher as plain data.
type Matcher struct {
	Type        labels.MatchType
	Name, Value string
}

// Direction is the order of time in which entries are wanted.
type Direction int

// The directions. Backward (newest first) is LogQL's default.
const (
	Backward Direction = iota
	Forward
)

// LineFilter is a line filter that a source may apply early, as plain data. Any of Match must
// hold (Negate: none may).
type LineFilter struct {
	Negate bool
	Regexp bool // Match are RE2 expressions, unanchored; otherwise substrings
	Match  []string
}

// Select asks a source for entries of the streams that match all Matchers, with
// Start <= Timestamp < End in nanoseconds. Filters and Limit are permission, not duty: the caller
// filters again, and a source may stop once it has yielded Limit rows that pass all Filters (0: no limit).
type Select struct {
	Matchers   []Matcher
	Start, End int64
	Direction  Direction
	Filters    []LineFilter
	Limit      int
	// Expect is after about how many rows the caller stops, most likely; 0: after Limit, or it doesn't.
	Expect int
	// Levels are matchers on the detected level that every wanted row passes: permission to leave out what
	// holds no such row.
	Levels []Matcher
	// Shard leaves only a share of the streams. It is duty.
	Shard Shard
	// Spans leaves only some times of some streams; all of Spans must agree. It is duty.
	Spans []StreamSpans
	// TraceID, where set, leaves only the rows that name this trace, by 32 hexadecimal digits, as the value
	// of one of the usual keys in structured metadata or in the line. It is duty, and cheap: an index leads
	// to the few blocks and pages with such rows, so the time range may be all of time.
	TraceID string
	// Narrow, where set, is asked for each page with columns which of the rows of Page.Among can matter.
	// It lets a source drop rows that the caller would drop later; like Filters it is permission. Limit must
	// be 0 with it. It is called from several goroutines at once.
	Narrow func(ctx context.Context, p *Page) (column.Set, error)
}

// Rows is a run of entries in time order, as columns of equal length. Everything is valid until
// the sequence moves on: copy what you keep.
type Rows struct {
	Streams    []labels.Labels // the streams that Stream points into
	Stream     []uint32
	Timestamps []int64
	Lines      [][]byte
	Metadata   [][]Label // nil, or one element a row
	Dropped    int       // live tails only: entries lost before these because the reader was too slow
}

// Source answers for the logs of one place. Safe for concurrent use.
//
// SelectRows yields rows in s.Direction: inside Rows and from one Rows to the next timestamps never
// go back. Entries of one instant come in the order of their streams' labels, then of arrival. The
// first error ends the sequence.
type Source interface {
	SelectRows(ctx context.Context, tenant string, s Select) iter.Seq2[*Rows, error]
	// Series returns the label sets of streams that match any of the matcher sets (none: all) and
	// have entries in [start, end), sorted.
	Series(ctx context.Context, tenant string, start, end int64, matchers [][]Matcher) ([]labels.Labels, error)
	// Volume returns how much groups of streams hold, those that hold anything, in no order.
	Volume(ctx context.Context, tenant string, q VolumeQuery) ([]Volume, error)
	// Scan visits the rows that s asks for page by page, in no order, each row once, with Page.Among the
	// rows that pass all filters. Direction, Limit and Narrow are ignored. visit is called from several
	// goroutines at once, each with a page of its own, which is valid until visit returns; the first error
	// ends the scan.
	Scan(ctx context.Context, tenant string, s Select, visit func(context.Context, *Page) error) error
	// Extents returns, for each stream that matches and has entries in [start, end), times at which all of
	// these lie: ascending and apart, one stream after the other. It may count in entries outside of the range,
	// and reads next to nothing.
	Extents(ctx context.Context, tenant string, start, end int64, matchers []Matcher) ([]Extent, error)
	// Estimate says how much SelectRows and Scan would look at for s, at most. It reads no rows.
	Estimate(ctx context.Context, tenant string, s Select) (Estimate, error)
}

// Extent bounds the times of entries of a stream: nanoseconds, both inclusive.
type Extent struct {
	Labels         labels.Labels
	Oldest, Newest int64
}

// QueryKind says which question a Query asks.
type QueryKind string

// The kinds of logs queries.
const (
	Range               QueryKind = "range"
	Instant             QueryKind = "instant"
	LabelNames          QueryKind = "label_names"
	LabelValues         QueryKind = "label_values"
	SeriesKind          QueryKind = "series"
	StatsKind           QueryKind = "stats"
	VolumeKind          QueryKind = "volume"
	VolumeRange         QueryKind = "volume_range"
	DetectedLabels      QueryKind = "detected_labels"
	DetectedFields      QueryKind = "detected_fields"
	DetectedFieldValues QueryKind = "detected_field_values"
	Patterns            QueryKind = "patterns"
	TraceRows           QueryKind = "trace"
)

// Query is one logs question as plain data, small enough to be a job. Times and durations are
// nanoseconds.
type Query struct {
	Kind         QueryKind
	Expr         string // a LogQL query or, for the index kinds, a selector (may be empty where the API allows it)
	Start, End   int64  // Instant: both are the evaluation time
	Step         int64
	Interval     int64
	Limit        int
	LineLimit    int // DetectedFields: lines to look at
	Direction    Direction
	Label        string   // LabelValues: the label; DetectedFieldValues: the field
	Match        []string // SeriesKind: selectors, joined by or
	TargetLabels []string // VolumeKind
	ByLabels     bool     // VolumeKind: aggregateBy=labels instead of series
	AutoFields   bool     // Range, Instant: fields of JSON and logfmt lines need no parser stage
	Tags         string   // what the client says of itself, for logs and statistics
	// TraceID, where set, leaves only the entries that name this trace, as Select.TraceID does. A Range keeps
	// its time range; TraceRows is a log query over any, with an Expr that may be empty.
	TraceID string

	// Explain asks for the plan and an estimate of its cost instead of an answer: Result.Plan.
	Explain bool
	// Estimate asks what there is to look at instead: Result.Estimates.
	Estimate bool

	// The rest is of jobs that a query was cut into.

	// Partial asks for Result.Partial, to be merged with that of other jobs.
	Partial bool
	// Shard leaves only a share of the streams.
	Shard Shard
	// RowsStart and RowsEnd leave only rows of these times [start, end); an end of 0 leaves all.
	RowsStart, RowsEnd int64
}

// Result is the answer to a Query; which fields are set depends on its kind.
type Result struct {
	Streams     []StreamResult // Range on a log query, TraceRows
	Matrix      []SampleSeries // Range on a metric query, VolumeRange
	Vector      []VectorSample // Instant, VolumeKind
	Scalar      *Point         // Instant on a scalar expression
	Strings     []string
	Series      []labels.Labels
	Index       Volume // StatsKind: sums; Labels unset
	StreamCount int64  // StatsKind
	Fields      []DetectedField
	Pattern     []PatternSeries
	Stats       QueryStats
	Partial     *Partial
	Estimates   []Estimate // by log query and range aggregation, as they stand in the query
	Plan        *Plan
	Ordered     bool // Vector is in the order that the query asked for (sort, topk)
}

// StreamResult is entries of one final label set, in the direction of the query.
type StreamResult struct {
	Labels  labels.Labels
	Entries []ResultEntry
}

// ResultEntry is an entry of an answer. Metadata and Parsed are the parts of the label set that
// came from structured metadata and from parsers, for the categorize-labels encoding.
type ResultEntry struct {
	Timestamp int64
	Line      string
	Metadata  []Label
	Parsed    []Label
}

// SampleSeries is one series of a matrix.
type SampleSeries struct {
	Labels labels.Labels
	Points []Point
}

// VectorSample is one sample of a vector.
type VectorSample struct {
	Labels labels.Labels
	Point
}

// Point is a sample: T in Unix milliseconds.
type Point struct {
	T int64
	V float64
}

// DetectedField is one answer of the detected fields and detected labels APIs.
type DetectedField struct {
	Name        string
	Type        string // string, int, float, boolean, duration, bytes
	Cardinality uint64
	Parsers     []string
	JSONPath    []string
}

// PatternSeries is how often lines of one pattern occurred. T of a point is in Unix seconds.
type PatternSeries struct {
	Pattern string
	Level   string
	Points  []Point
}

// QueryStats says what a query cost.
type QueryStats struct {
	Blocks, Pages    int64
	BytesRead        int64 // from the bucket
	RangeReads       int64 // requests to the bucket
	LinesProcessed   int64
	BytesProcessed   int64 // of lines, uncompressed; of rows that stand in pages, with their metadata
	PostFilterLines  int64 // lines that all stages let pass
	EntriesReturned  int64
	ExecNanoseconds  int64
	QueueNanoseconds int64 // of all jobs together
	// Jobs, Pieces and Shards say how the query was cut: Pieces of time, of which each was done in so many
	// Shards of streams. All are 0 where it was not.
	Jobs, Pieces, Shards int64
	MemoryBytes          int64 // held at once for the answer and while computing, at most
	Cache                CacheStats
}

// CacheStats says what of an answer came from the cache of results, in evaluation times.
type CacheStats struct {
	Requested, Found, Stored int64
	FoundNanoseconds         int64 // of the range of time
}

// Add adds what another part of the query cost.
func (s *QueryStats) Add(o QueryStats) {
	s.Blocks += o.Blocks
	s.Pages += o.Pages
	s.BytesRead += o.BytesRead
	s.RangeReads += o.RangeReads
	s.LinesProcessed += o.LinesProcessed
	s.BytesProcessed += o.BytesProcessed
	s.PostFilterLines += o.PostFilterLines
	s.QueueNanoseconds += o.QueueNanoseconds
	s.MemoryBytes = max(s.MemoryBytes, o.MemoryBytes)
}
