package logs

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// RetentionRule keeps the streams that match Matchers for Period; 0 keeps them for ever. Of several
// rules that match, the one of the highest Priority counts, and among those of one priority the one
// that keeps longest.
type RetentionRule struct {
	Matchers []Matcher
	Priority int
	Period   time.Duration
}

// Retention says how long the streams of one tenant are kept. It never changes and is safe for
// concurrent use. A nil *Retention keeps everything for ever.
type Retention struct {
	period time.Duration
	groups [][]compiledRetention // the first group with a rule that matches decides
}

type compiledRetention struct {
	RetentionRule
	matchers matcherSet
}

// NewRetention compiles a retention: period holds for streams that no rule matches, and 0 is for ever.
// Rules of an earlier group are asked before those of a later one, whatever their priorities: the
// tenant's own before everybody's.
func NewRetention(period time.Duration, groups ...[]RetentionRule) (*Retention, error) {
	r := &Retention{period: period}
	for _, rules := range groups {
		var group []compiledRetention
		for _, rule := range rules {
			matchers, err := compileMatchers(rule.Matchers)
			if err != nil {
				return nil, fmt.Errorf("retention rule: %w", err)
			}
			group = append(group, compiledRetention{rule, matchers})
		}
		slices.SortStableFunc(group, func(a, b compiledRetention) int {
			if a.Priority != b.Priority {
				return cmp.Compare(b.Priority, a.Priority)
			}
			return compareKept(b.Period, a.Period)
		})
		r.groups = append(r.groups, group)
	}
	return r, nil
}

// compareKept orders periods by how long they keep.
func compareKept(a, b time.Duration) int {
	switch {
	case a == b:
		return 0
	case a == 0 || b != 0 && a > b:
		return 1
	}
	return -1
}

// Of returns how long a stream is kept; 0 is for ever.
func (r *Retention) Of(ls labels.Labels) time.Duration {
	if r == nil {
		return 0
	}
	for _, group := range r.groups {
		for i := range group {
			if group[i].matchers.matches(ls) {
				return group[i].Period
			}
		}
	}
	return r.period
}

// Longest returns how long any stream may be kept; 0 is for ever.
func (r *Retention) Longest() time.Duration {
	if r == nil {
		return 0
	}
	longest := r.period
	for _, group := range r.groups {
		for i := range group {
			if compareKept(group[i].Period, longest) > 0 {
				longest = group[i].Period
			}
		}
	}
	return longest
}

// Uniform reports whether all streams are kept equally long.
func (r *Retention) Uniform() bool {
	if r == nil {
		return true
	}
	for _, group := range r.groups {
		for i := range group {
			if group[i].Period != r.period {
				return false
			}
		}
	}
	return true
}

// KeepFrom returns the time from which on rows of a stream are kept at the instant now, in nanoseconds.
func (r *Retention) KeepFrom(ls labels.Labels, now time.Time) int64 {
	period := r.Of(ls)
	if period == 0 {
		return math.MinInt64
	}
	return now.Add(-period).UnixNano()
}
