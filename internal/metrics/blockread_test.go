package metrics

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/fault"
)

// meter counts what is asked of a bucket.
type meter struct {
	objstore.Bucket
	mu               sync.Mutex
	requests, whole  int
	bytes, rangeRead int64
}

func (m *meter) count(r io.ReadCloser, err error, whole bool) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	if whole {
		m.whole++
	}
	return metered{r, m, whole}, err
}

func (m *meter) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := m.Bucket.Get(ctx, name)
	return m.count(r, err, true)
}

func (m *meter) GetRange(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	r, err := m.Bucket.GetRange(ctx, name, off, n)
	return m.count(r, err, false)
}

func (m *meter) Attributes(ctx context.Context, name string) (objstore.ObjectAttributes, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	return m.Bucket.Attributes(ctx, name)
}

func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests, m.whole, m.bytes, m.rangeRead = 0, 0, 0, 0
}

type metered struct {
	io.ReadCloser
	m     *meter
	whole bool
}

func (r metered) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.m.bytes += int64(n)
	if !r.whole {
		r.m.rangeRead += int64(n)
	}
	return n, err
}

// A store that starts reads the meta.json of its blocks and nothing else of them; a first query of
// few series reads a small part of the blocks that it is about, in a few requests each.
func TestColdStart(t *testing.T) {
	t.Parallel()
	const blocks, series = 50, 400
	mem := objstore.NewInMemBucket()
	h := openTestHeads(t, quickOptions(t, t.TempDir(), mem))
	for i := blocks - 1; i >= 0; i-- {
		var b Batch
		for n := range series {
			s := Series{Labels: labels.FromStrings(labels.MetricName, "m", "i", fmt.Sprint(n), "job", "test")}
			for k := range 120 {
				s.Samples = append(s.Samples, Sample{T: at(-2*time.Hour*time.Duration(i) - time.Hour + time.Duration(k)*30*time.Second), V: float64(k * n)})
			}
			b.Series = append(b.Series, s)
		}
		r, err := h.Append(t.Context(), "a", &b)
		require.NoError(t, err)
		require.Empty(t, r.Rejected)
	}
	require.NoError(t, h.Flush(t.Context()))
	var stored int64
	for _, data := range mem.Objects() {
		stored += int64(len(data))
	}

	m := &meter{Bucket: mem}
	s := newTestStore(t, m)
	require.NoError(t, s.Refresh(t.Context()))
	n := s.count()
	require.GreaterOrEqual(t, n, blocks)
	require.Equal(t, n, m.requests, "one meta.json for each block")
	require.Less(t, m.bytes, int64(n)*2048)

	m.reset()
	require.Len(t, instant(t, "a", `count_over_time(m{i="7"}[30d])`, at(0), s), 1)
	require.Zero(t, m.whole, "no object is downloaded whole")
	// For the header the size and four ranges; of the name's and the label's postings, the series and
	// the chunk one each.
	require.LessOrEqual(t, m.requests, n*9)
	require.Less(t, m.bytes, stored/4)
	t.Logf("%d blocks of %d bytes: first query %d requests, %d bytes", n, stored, m.requests, m.bytes)

	m.reset()
	require.Len(t, instant(t, "a", `m{i="8"}`, at(0), s), 1)
	require.LessOrEqual(t, m.requests, 8, "one or two blocks, whose headers are there")
	require.NoError(t, s.Close())

	// A restart finds the headers.
	m.reset()
	again := newTestStoreIn(t, s.opts.Dir, m)
	defer again.Close()
	require.NoError(t, again.Refresh(t.Context()))
	m.reset()
	require.Len(t, instant(t, "a", `count_over_time(m{i="7"}[30d])`, at(0), again), 1)
	require.LessOrEqual(t, m.requests, n*4)
}

func TestStoreLimits(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), bkt))
	for i := range 20 {
		push(t, h, "a", floats(fmt.Sprint("m", i), Sample{T: at(0), V: 1}))
	}
	require.NoError(t, h.Flush(t.Context()))
	ask := func(change func(*StoreConfig), limit int) error {
		cfg := DefaultConfig().Store
		change(&cfg)
		s, err := NewBlockStore(BlockStoreOptions{Dir: t.TempDir(), Config: cfg, Bucket: bkt, Registerer: prometheus.NewRegistry()})
		require.NoError(t, err)
		defer s.Close()
		require.NoError(t, s.Refresh(t.Context()))
		for _, err := range s.SelectSeries(t.Context(), "a", Select{Matchers: []Matcher{{Name: "job", Value: "test"}}, Start: MinTime, End: MaxTime, Limit: limit}) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	require.NoError(t, ask(func(c *StoreConfig) { c.MaxSeries, c.MaxBytes = 0, 0 }, 0))
	require.NoError(t, ask(func(c *StoreConfig) { c.MaxSeries = 20 }, 0))
	err := ask(func(c *StoreConfig) { c.MaxSeries = 19 }, 0)
	require.ErrorContains(t, err, "matches 20 series")
	require.ErrorContains(t, err, "more than 19 (metrics.store.max_series)")
	require.Equal(t, fault.Unprocessable, fault.ClassOf(err))
	require.NoError(t, ask(func(c *StoreConfig) { c.MaxSeries = 19 }, 5), "who asks for a few gets them")
	err = ask(func(c *StoreConfig) { c.MaxBytes = 100 }, 0)
	require.ErrorContains(t, err, "metrics.store.max_bytes")
	require.Equal(t, fault.Unprocessable, fault.ClassOf(err))
}

// Every kind of matcher selects from blocks what it selects from the head.
func TestStoreMatchers(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), bkt))
	var b Batch
	for i := range 300 { // more than the header keeps the places of
		ls := []string{labels.MetricName, "m", "i", fmt.Sprintf("%03d", i)}
		if i%3 == 0 {
			ls = append(ls, "third", "yes")
		}
		b.Series = append(b.Series, Series{Labels: labels.FromStrings(ls...), Samples: []Sample{{T: at(0), V: float64(i)}}})
	}
	_, err := h.Append(t.Context(), "a", &b)
	require.NoError(t, err)
	queries := []string{
		`m`, `{i="000"}`, `{i="299"}`, `{i="299x"}`, `m{third=""}`, `m{third!=""}`, `m{third=~".*"}`, `m{third=~".+"}`, `m{third!~".+"}`,
		`m{i=~"0.*"}`, `m{i=~"001|150|299|nine"}`, `m{i!~"0.*|1.*"}`, `m{i!="150",third="yes"}`, `m{nothing="x"}`, `m{nothing=""}`, `{i=~"(1|2)9.",third!="yes"}`,
	}
	want := map[string][]string{}
	for _, q := range queries {
		want[q] = instant(t, "a", q, at(0), h)
	}
	require.NoError(t, h.Flush(t.Context()))
	s := newTestStore(t, bkt)
	require.NoError(t, s.Refresh(t.Context()))
	for _, q := range queries {
		require.Equal(t, want[q], instant(t, "a", q, at(0), s), q)
	}
	sel := Select{Start: MinTime, End: MaxTime, Matchers: []Matcher{{Type: labels.MatchRegexp, Name: "i", Value: "00[0-3]"}}}
	values, err := s.LabelValues(t.Context(), "a", "i", sel)
	require.NoError(t, err)
	require.Equal(t, "000 001 002 003", strings.Join(values, " "))
	values, err = s.LabelValues(t.Context(), "a", "third", sel)
	require.NoError(t, err)
	require.Equal(t, []string{"yes"}, values)
	names, err := s.LabelNames(t.Context(), "a", sel)
	require.NoError(t, err)
	require.Equal(t, []string{labels.MetricName, "i", "third"}, names)
	names, err = s.LabelNames(t.Context(), "a", Select{Start: MinTime, End: MaxTime, Limit: 2})
	require.NoError(t, err)
	require.Equal(t, []string{labels.MetricName, "i"}, names)
}
