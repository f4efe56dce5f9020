package logs

import (
	"context"
	"iter"
	"math"

	"github.com/prometheus/prometheus/model/labels"
)

// Part holds some of the logs of one tenant: a Head, a Block, or an ingester's answer. Safe for
// concurrent use.
//
// Rows of one Part are distinct: no two have the same stream, timestamp, line and metadata.
type Part interface {
	// TimeRange returns the oldest and the newest timestamp, in nanoseconds. An empty part answers
	// oldest > newest.
	TimeRange() (oldest, newest int64)
	// The others are those of Source, for the tenant of the part. SelectRows applies all Filters and stops
	// after Limit rows.
	SelectRows(ctx context.Context, s Select) iter.Seq2[*Rows, error]
	Series(ctx context.Context, start, end int64, matchers [][]Matcher) ([]labels.Labels, error)
	Volume(ctx context.Context, q VolumeQuery) ([]Volume, error)
	Scan(ctx context.Context, s Select, visit func(context.Context, *Page) error) error
	Extents(ctx context.Context, start, end int64, matchers []Matcher) ([]Extent, error)
	Estimate(ctx context.Context, s Select) (Estimate, error)
}

// timeRange is an inclusive range of timestamps.
type timeRange struct{ min, max int64 }

// noTime is the empty range; extend makes something of it.
var noTime = timeRange{math.MaxInt64, math.MinInt64}

func (r *timeRange) extend(t int64) {
	r.min = min(r.min, t)
	r.max = max(r.max, t)
}

func (r *timeRange) join(o timeRange) {
	r.min = min(r.min, o.min)
	r.max = max(r.max, o.max)
}

// overlaps reports whether r and [start, end) have an instant in common.
func (r timeRange) overlaps(start, end int64) bool {
	return r.min < end && r.max >= start && r.min <= r.max
}

// inside reports whether all of r lies in [start, end).
func (r timeRange) inside(start, end int64) bool { return r.min >= start && r.max < end }

// touches reports whether an entry of r surely lies in [start, end), given that r is exact: its
// first or its last one does.
func (r timeRange) touches(start, end int64) bool {
	return r.min >= start && r.min < end || r.max >= start && r.max < end
}
