package logs

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	rule := func(name, value string, priority int, period time.Duration) RetentionRule {
		return RetentionRule{Matchers: []Matcher{{labels.MatchEqual, name, value}}, Priority: priority, Period: period}
	}
	// The example of Loki's documentation: tenant 29, with everybody's rule after its own.
	own := []RetentionRule{rule("namespace", "prod", 2, 14*day), rule("container", "loki", 1, 3*day)}
	global := []RetentionRule{rule("namespace", "dev", 1, day)}
	r, err := NewRetention(7*day, own, global)
	require.NoError(t, err)
	f := func(want time.Duration, pairs ...string) {
		t.Helper()
		require.Equal(t, want, r.Of(labels.FromStrings(pairs...)))
	}
	f(7*day, "app", "x")
	f(14*day, "namespace", "prod")
	f(14*day, "namespace", "prod", "container", "loki")
	f(3*day, "container", "loki")
	f(3*day, "container", "loki", "namespace", "dev")
	f(day, "namespace", "dev")
	require.Equal(t, 14*day, r.Longest())
	require.False(t, r.Uniform())
	now := time.Unix(1e9, 0)
	require.Equal(t, now.Add(-day).UnixNano(), r.KeepFrom(labels.FromStrings("namespace", "dev"), now))

	// Of one priority the longer one counts, and for ever is longest.
	r, err = NewRetention(day, []RetentionRule{rule("a", "1", 1, day), rule("a", "1", 1, 0), rule("a", "1", 1, 2*day)})
	require.NoError(t, err)
	f(0, "a", "1")
	require.Zero(t, r.Longest())
	require.EqualValues(t, math.MinInt64, r.KeepFrom(labels.FromStrings("a", "1"), now))

	r, err = NewRetention(day, []RetentionRule{rule("a", "1", 1, day)}, nil)
	require.NoError(t, err)
	require.True(t, r.Uniform())
	require.Equal(t, day, r.Longest())

	var none *Retention
	require.True(t, none.Uniform())
	require.Zero(t, none.Longest())
	require.EqualValues(t, math.MinInt64, none.KeepFrom(labels.EmptyLabels(), now))

	_, err = NewRetention(day, []RetentionRule{{Matchers: []Matcher{{labels.MatchRegexp, "a", "("}}}})
	require.ErrorContains(t, err, "retention rule: ")
}
