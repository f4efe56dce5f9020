package metrics

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"pgregory.net/rapid"
)

// Names and values of labels are those of the series that are seen, whatever is deleted: in the head, in blocks on
// the local disk and in the bucket.
func TestLabelsOfDeletedSeries(t *testing.T) {
	e := newTestEngine()
	rapid.Check(t, func(rt *rapid.T) {
		bkt := objstore.NewInMemBucket()
		h, err := OpenHeads(testContext, quickOptions(t, t.TempDir(), bkt))
		require.NoError(rt, err)
		defer h.Close()
		var series []Series
		for i := range rapid.IntRange(1, 8).Draw(rt, "series") {
			b := labels.NewBuilder(labels.FromStrings(labels.MetricName, "m", "i", fmt.Sprint(i)))
			for _, name := range []string{"a", "b", "rare"} {
				if v := rapid.SampledFrom([]string{"", "x", "y", "z|"}).Draw(rt, name); v != "" {
					b.Set(name, v)
				}
			}
			series = append(series, Series{Labels: b.Labels(), Samples: []Sample{{T: at(-30 * time.Minute), V: 1}, {T: at(-10 * time.Minute), V: 2}}})
		}
		_, err = h.Append(testContext, "a", &Batch{Series: series})
		require.NoError(rt, err)
		requests := &fakeDeletes{}
		for range rapid.IntRange(1, 3).Draw(rt, "requests") {
			to := rapid.SampledFrom([]time.Duration{-20 * time.Minute, 0}).Draw(rt, "to")
			requests.add(t, rapid.SampledFrom([]string{`m{i=~"[0-3]"}`, `{a="x"}`, `{rare!=""}`, `{b=~"y|z\\|"}`, `none`}).Draw(rt, "selector"), at(-time.Hour), at(to))
		}
		h.opts.Deleted = requests.Active
		store := newTestStoreIn(t, t.TempDir(), bkt)
		defer store.Close()
		store.opts.Deleted = requests.Active
		check := func(step string, sources ...Source) {
			for _, set := range [][][]Matcher{{{{Name: labels.MetricName, Value: "m"}}}, {{{Name: "a", Value: "x"}}}, {{{Type: labels.MatchRegexp, Name: "i", Value: "[2-5]"}}}} {
				q := &Query{Start: at(-time.Hour), End: at(0), Matchers: set}
				seen := map[string]map[string]bool{}
				q.Kind = SeriesKind
				r, err := e.Run(testContext, "a", q, sources...)
				require.NoError(rt, err)
				for _, ls := range r.Series {
					ls.Range(func(l labels.Label) {
						if seen[l.Name] == nil {
							seen[l.Name] = map[string]bool{}
						}
						seen[l.Name][l.Value] = true
					})
				}
				if set[0][0].Name == labels.MetricName {
					q.Matchers = nil // everything, which is answered on another path
				}
				q.Kind = LabelNames
				r, err = e.Run(testContext, "a", q, sources...)
				require.NoError(rt, err)
				require.ElementsMatch(rt, slices.Collect(maps.Keys(seen)), r.Strings, step)
				for _, name := range []string{labels.MetricName, "i", "a", "b", "rare"} {
					q.Kind, q.Label = LabelValues, name
					r, err = e.Run(testContext, "a", q, sources...)
					require.NoError(rt, err)
					require.ElementsMatch(rt, slices.Collect(maps.Keys(seen[name])), r.Strings, "%s: %s", step, name)
				}
			}
		}
		check("head", h)
		require.NoError(rt, h.Flush(testContext))
		check("local block", h)
		require.NoError(rt, store.Refresh(testContext))
		check("bucket", store)
		check("both", h, store)
	})
}

// A limit on values counts what is seen.
func TestLimitOfLabelsCountsWhatIsSeen(t *testing.T) {
	requests := &fakeDeletes{}
	opts := testHeadOptions(t, t.TempDir(), nil)
	opts.Deleted = requests.Active
	h := openTestHeads(t, opts)
	push(t, h, "a", floats("gone", Sample{T: at(0), V: 1}), floats("stays", Sample{T: at(0), V: 1}))
	requests.add(t, "gone", at(-time.Hour), at(0))
	values, err := h.LabelValues(t.Context(), "a", labels.MetricName, Select{Start: at(-time.Hour), End: at(0), Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []string{"stays"}, values)
}

// Deleted exemplars are not seen, at once, after the request is processed and after restarts. What has nothing to
// hide any more is forgotten.
func TestDeletedExemplarsAreHidden(t *testing.T) {
	requests := &fakeDeletes{}
	opts := testHeadOptions(t, t.TempDir(), nil)
	opts.Deleted, opts.Config.MaxExemplars = requests.Active, 4
	h := openTestHeads(t, opts)
	with := func(name string, times ...time.Duration) Series {
		s := floats(name)
		for _, d := range times {
			s.Samples = append(s.Samples, Sample{T: at(d), V: 1})
			s.Exemplars = append(s.Exemplars, exemplar.Exemplar{Labels: labels.FromStrings("trace_id", fmt.Sprint(name, d)), Value: 1, Ts: at(d), HasTs: true})
		}
		return s
	}
	push(t, h, "a", with("one", -2*time.Minute, -time.Minute), with("two", -2*time.Minute, -time.Minute))
	seen := func() (out []string) {
		t.Helper()
		r, err := newTestEngine().Run(t.Context(), "a", &Query{Kind: Exemplars, Expr: `{job="test"}`, Start: at(-time.Hour), End: at(time.Hour)}, h)
		require.NoError(t, err)
		for _, s := range r.Exemplars {
			require.NotEmpty(t, s.Exemplars, "no series without exemplars")
			for _, e := range s.Exemplars {
				out = append(out, e.Labels.Get("trace_id"))
			}
		}
		return out
	}
	require.Len(t, seen(), 4)
	requests.add(t, "one", at(-3*time.Minute), at(-90*time.Second))
	requests.add(t, "two", at(-time.Hour), at(time.Hour))
	require.Equal(t, []string{"one-1m0s"}, seen())
	require.NoError(t, h.Close())
	opts.Registerer = nil
	h = openTestHeads(t, opts)
	require.Equal(t, []string{"one-1m0s"}, seen())

	// Nobody asked since, as far as the head knows: it looks itself.
	tenant, err := h.head("a", false)
	require.NoError(t, err)
	tenant.hiddenExemplars = hiddenExemplars{}
	require.NoError(t, h.rememberDeletions(t.Context(), tenant))
	require.NoError(t, requests.Finish(t.Context(), "a", []string{"d0", "d1"}))
	require.NoError(t, h.rememberDeletions(t.Context(), tenant))
	require.Equal(t, []string{"one-1m0s"}, seen(), "processed, and still in memory")

	push(t, h, "a", with("three", -4*time.Second, -3*time.Second, -2*time.Second, -time.Second))
	require.Len(t, seen(), 4)
	require.NoError(t, h.rememberDeletions(t.Context(), tenant))
	require.Empty(t, tenant.hiddenExemplars.byID)
}
