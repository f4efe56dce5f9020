package distributor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/tenant"
)

func line(at time.Time, text string, md ...logs.Label) logs.Entry {
	return logs.Entry{Timestamp: at.UnixNano(), Line: text, Metadata: md}
}

func one(lbls labels.Labels, entries ...logs.Entry) *logs.Batch {
	return &logs.Batch{Streams: []logs.Stream{{Labels: lbls, Entries: entries}}}
}

func manyLabels(n int) labels.Labels {
	pairs := make([]string, 0, 2*n)
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("l%04d", i), "v")
	}
	return labels.FromStrings(pairs...)
}

func TestPushLogsRejectsOnlyWhatIsBad(t *testing.T) {
	api := labels.FromStrings("app", "api")
	long := strings.Repeat("x", 10<<20)
	many := make([]logs.Label, 129)
	for i := range many {
		many[i] = logs.Label{Name: fmt.Sprintf("m%03d", i), Value: "v"}
	}
	var unsorted labels.ScratchBuilder
	unsorted.Add("b", "1")
	unsorted.Add("b", "2")
	twice := unsorted.Labels()

	for name, c := range map[string]struct {
		batch  *logs.Batch
		reason string
		text   string
		count  int
	}{
		"line of 10 MB": {one(api, line(now, long)), "line_too_long",
			`max entry size '262144' bytes exceeded for stream '{app="api"}' while adding an entry with length '10485760' bytes`, 1},
		"too far ahead": {one(api, line(now.Add(11*time.Minute), "x"), line(now.Add(time.Hour), "y")), "too_far_in_future",
			`entry for stream '{app="api"}' has timestamp too new: 2026-05-01T12:11:00Z`, 2},
		"too old": {one(api, line(now.Add(-8*24*time.Hour), "x")), "greater_than_max_sample_age",
			`entry for stream '{app="api"}' has timestamp too old: 2026-04-23T12:00:00Z, oldest acceptable timestamp is: 2026-04-24T12:00:00Z`, 1},
		"no time":     {one(api, logs.Entry{Line: "x"}), "invalid_timestamp", "invalid timestamp: 0", 1},
		"before 1970": {one(api, logs.Entry{Timestamp: -5, Line: "x"}), "invalid_timestamp", "invalid timestamp: -5", 1},
		"no labels":   {one(labels.EmptyLabels(), line(now, "x"), line(now, "y")), "missing_labels", "error at least one label pair is required per stream", 2},
		"1000 labels": {one(manyLabels(1000), line(now, "x")), "max_label_names_per_series", "has 1000 label names; limit 15", 1},
		"label name too long": {one(labels.FromStrings(strings.Repeat("n", 1025), "v"), line(now, "x")), "label_name_too_long",
			"has label name too long: 'nnn", 1},
		"label value too long": {one(labels.FromStrings("n", strings.Repeat("v", 2049)), line(now, "x")), "label_value_too_long",
			"has label value too long: 'vvv", 1},
		"label twice":                         {one(twice, line(now, "x")), "duplicate_label_names", `has duplicate label name: 'b'`, 1},
		"label name that no selector can say": {one(labels.FromStrings("a.b", "v"), line(now, "x")), "invalid_labels", `label name "a.b" has characters other than`, 1},
		"label not UTF-8":                     {one(labels.FromStrings("a", "v\xff"), line(now, "x")), "invalid_labels", `is not valid UTF-8: "v\xff"`, 1},
		"metadata too large":                  {one(api, line(now, "x", logs.Label{Name: "m", Value: long[:65536]})), "structured_metadata_too_large", "'65537' bytes, limit: '65536' bytes", 1},
		"metadata too many":                   {one(api, line(now, "x", many...)), "structured_metadata_too_many", "'129', limit: '128'", 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(l *limits.Limits) { l.MaxAge = model.Duration(7 * 24 * time.Hour) })
			good := line(now.Add(-time.Minute), "good")
			if c.batch.Streams[0].Labels.Hash() == api.Hash() {
				c.batch.Streams[0].Entries = append(c.batch.Streams[0].Entries, good)
			} else {
				c.batch.Streams = append(c.batch.Streams, logs.Stream{Labels: api, Entries: []logs.Entry{good}})
			}
			r, err := f.PushLogs(as("t1"), c.batch)
			require.NoError(t, err, "the good line must not suffer")
			require.Equal(t, 1, r.Entries)
			require.Len(t, r.Rejected, 1)
			require.Equal(t, c.reason, r.Rejected[0].Reason)
			require.Contains(t, r.Rejected[0].Message, c.text)
			require.Equal(t, c.count, r.Rejected[0].Count)
			require.Less(t, len(r.Rejected[0].Message), 1024, "a message must not repeat a huge input")
			require.Equal(t, float64(c.count), f.discardedTotal(t, "logs", c.reason, "t1"))

			require.Len(t, f.ingester.logs, 1)
			require.Equal(t, []string{"t1"}, f.ingester.tenants)
			require.Len(t, f.ingester.logs[0].Streams, 1)
			require.Equal(t, "good", f.ingester.logs[0].Streams[0].Entries[0].Line)
		})
	}
}

func TestPushLogsCompletes(t *testing.T) {
	f := newFixture(t, nil)
	_, err := f.PushLogs(as("t1"), one(labels.FromStrings("app", "api"), line(now, "level=error boom", logs.Label{Name: "k.8", Value: "bad\xff"})))
	require.NoError(t, err)
	s := f.ingester.logs[0].Streams[0]
	require.Equal(t, `{app="api", service_name="api"}`, s.Labels.String())
	require.Equal(t, []logs.Label{{Name: "detected_level", Value: "error"}, {Name: "k_8", Value: "bad\uFFFD"}}, s.Entries[0].Metadata)

	f = newFixture(t, func(l *limits.Limits) { l.Logs.DiscoverLogLevels, l.Logs.DiscoverServiceName = false, false })
	_, err = f.PushLogs(as("t1"), one(labels.FromStrings("app", "api"), line(now, "level=error boom")))
	require.NoError(t, err)
	s = f.ingester.logs[0].Streams[0]
	require.Equal(t, `{app="api"}`, s.Labels.String())
	require.Empty(t, s.Entries[0].Metadata)
}

func TestPushLogsTruncates(t *testing.T) {
	f := newFixture(t, func(l *limits.Limits) { l.Logs.MaxLineSize, l.Logs.MaxLineSizeTruncate = 4, true })
	r, err := f.PushLogs(as("t1"), one(labels.FromStrings("a", "b"), line(now, "abcdef"), line(now, "abc\u00e4x"), line(now, "abcd")))
	require.NoError(t, err)
	require.Empty(t, r.Rejected)
	e := f.ingester.logs[0].Streams[0].Entries
	require.Equal(t, []string{"abcd", "abc", "abcd"}, []string{e[0].Line, e[1].Line, e[2].Line})
}

func TestPushLogsAnyAgeByDefault(t *testing.T) {
	f := newFixture(t, nil)
	r, err := f.PushLogs(as("t1"), one(labels.FromStrings("a", "b"), line(time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC), "old")))
	require.NoError(t, err)
	require.Equal(t, 1, r.Entries)
}

func TestPushLogsWithNothingLeft(t *testing.T) {
	f := newFixture(t, nil)
	r, err := f.PushLogs(as("t1"), one(labels.EmptyLabels(), line(now, "x")))
	require.NoError(t, err)
	require.Zero(t, r.Entries)
	require.Len(t, r.Rejected, 1)
	r, err = f.PushLogs(as("t1"), one(labels.FromStrings("a", "b")))
	require.NoError(t, err)
	require.Empty(t, r.Rejected)
	require.Empty(t, f.ingester.logs, "an empty batch needs no sync")
}

func TestPushErrors(t *testing.T) {
	f := newFixture(t, nil)
	b := func() *logs.Batch { return one(labels.FromStrings("a", "b"), line(now, "x")) }
	_, err := f.PushLogs(t.Context(), b())
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
	require.ErrorIs(t, err, tenant.ErrMissing)

	f.ingester.err = fault.New(fault.Unavailable, errors.New("log is full"))
	_, err = f.PushLogs(as("t1"), b())
	require.Equal(t, fault.Unavailable, fault.ClassOf(err))
}

func TestLogsRateLimit(t *testing.T) {
	f := newFixture(t, func(l *limits.Limits) {
		l.Logs.IngestionRate, l.Logs.IngestionBurst = 100, 200
		l.Logs.DiscoverLogLevels = false
	})
	push := func(id string, bytes int) error {
		_, err := f.PushLogs(as(id), one(labels.FromStrings("a", "b"), line(f.now, strings.Repeat("x", bytes))))
		return err
	}
	require.NoError(t, push("t1", 150))
	err := push("t1", 100)
	require.Equal(t, fault.RateLimited, fault.ClassOf(err))
	require.Equal(t, 500*time.Millisecond, fault.RetryAfter(err))
	require.ErrorContains(t, err, "ingestion rate limit exceeded for user t1 (limit: 100 bytes/sec) while attempting to ingest '1' lines totaling '100' bytes")
	require.Equal(t, 1.0, f.discardedTotal(t, "logs", "rate_limited", "t1"))
	require.NoError(t, push("t2", 100), "tenants have their own buckets")
	f.now = f.now.Add(500 * time.Millisecond)
	require.NoError(t, push("t1", 100), "what Retry-After says comes true")
	require.Error(t, push("t1", 1))
	f.now = f.now.Add(time.Minute)
	require.NoError(t, push("t1", 5000), "a write larger than the burst passes when the bucket is full")
	f.now = f.now.Add(10 * time.Second)
	require.Error(t, push("t1", 1), "and has to be paid back")
	f.now = f.now.Add(40 * time.Second)
	require.NoError(t, push("t1", 1))
}

// Whatever the sizes and pauses, a tenant gets no more than burst + rate × time, one write over.
func TestRateHoldsOnAverage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(1, 1e6).Draw(t, "rate")
		burst := rapid.Float64Range(1, 1e6).Draw(t, "burst")
		b, at := newBuckets(), now
		var passed, largest float64
		for range rapid.IntRange(1, 200).Draw(t, "writes") {
			at = at.Add(time.Duration(rapid.IntRange(0, 1e9).Draw(t, "pause")))
			n := rapid.IntRange(1, 1e6).Draw(t, "n")
			wait, ok := b.take("t", n, rate, burst, at)
			if ok {
				passed += float64(n)
				largest = max(largest, float64(n))
				continue
			}
			if wait <= 0 {
				t.Fatalf("refused without a time to wait")
			}
			if wait >= time.Hour {
				return // capped: nobody waits longer than that for an answer
			}
			at = at.Add(wait)
			if again, ok := b.take("t", n, rate, burst, at); !ok {
				t.Fatalf("refused again after the wait of %s: %s more", wait, again)
			}
			passed += float64(n)
			largest = max(largest, float64(n))
			if most := burst + rate*at.Sub(now).Seconds() + largest; passed > most*1.0001 {
				t.Fatalf("%g passed, at most %g may", passed, most)
			}
		}
	})
}

// TestRateAfterRounding: the wait is over though the tokens are short of the burst by what rounding took.
func TestRateAfterRounding(t *testing.T) {
	b := newBuckets()
	const rate, burst = 438, 1.000000000007276
	_, ok := b.take("t", 259953, rate, burst, now)
	require.True(t, ok)
	wait, ok := b.take("t", 2, rate, burst, now)
	require.False(t, ok)
	_, ok = b.take("t", 2, rate, burst, now.Add(wait))
	require.True(t, ok)
}

func TestBucketsForgetIdleTenants(t *testing.T) {
	b := newBuckets()
	for i := range 5 * maxIdleBuckets {
		b.take(fmt.Sprint("t", i), 1, 1, 10, now.Add(time.Duration(i)*time.Second))
	}
	require.LessOrEqual(t, len(b.tenants), maxIdleBuckets+1)
}
