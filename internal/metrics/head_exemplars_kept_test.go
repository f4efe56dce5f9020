package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"pgregory.net/rapid"
)

// traced is a series with one exemplar, both of one time.
func traced(name, trace string, ts int64) Series {
	s := floats(name, Sample{T: ts, V: 1})
	s.Exemplars = []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", trace), Value: 1, Ts: ts, HasTs: true}}
	return s
}

// traces asks for the exemplars of a tenant, and returns their traces in order of series and time.
func traces(t require.TestingT, h *Heads, expr string) (out []string) {
	r, err := newTestEngine().Run(testContext, "a", &Query{Kind: Exemplars, Expr: expr, Start: MinTime, End: MaxTime}, h)
	require.NoError(t, err)
	for _, s := range r.Exemplars {
		for _, e := range s.Exemplars {
			out = append(out, e.Labels.Get("trace_id"))
		}
	}
	return out
}

// Exemplars outlive the closing of an idle database, and the newest ones are kept.
func TestExemplarsOfIdleTenants(t *testing.T) {
	clock, bkt := newMovingClock(), objstore.NewInMemBucket()
	opts := idleOptions(t, clock, bkt)
	opts.Config.MaxExemplars = 3
	h := openTestHeads(t, opts)
	write := func(name, trace string) { push(t, h, "a", traced(name, trace, clock.now().UnixMilli())) }
	idle := func() { clock.pass(h, 6*time.Hour); require.Empty(t, h.Tenants()) }
	write("one", "t1")
	clock.advance(time.Minute)
	write("two", "t2")
	idle()
	require.Equal(t, []string{"t1", "t2"}, traces(t, h, `{job="test"}`), "of a closed database")
	require.Equal(t, []string{"t2"}, traces(t, h, `two`))
	require.Empty(t, traces(t, h, `two{job="else"}`))
	require.Empty(t, h.Tenants(), "nobody opened it")

	write("one", "t3")
	require.Equal(t, []string{"t1", "t3", "t2"}, traces(t, h, `{job="test"}`))
	idle()
	write("two", "t4")
	idle()
	require.Equal(t, []string{"t3", "t2", "t4"}, traces(t, h, `{job="test"}`), "the oldest has made room")

	require.NoError(t, h.Close())
	opts.Registerer = nil
	h = openTestHeads(t, opts)
	require.Len(t, traces(t, h, `{job="test"}`), 3, "after a restart")

	opts.Config.MaxExemplars = 0
	require.NoError(t, h.Close())
	h = openTestHeads(t, opts)
	require.Empty(t, traces(t, h, `{job="test"}`))
}

// Exemplars outlive a restart, however old they are, when the process was killed too. Without the file those are lost that
// the log has no more.
func TestExemplarsOutliveTheLog(t *testing.T) {
	clock, bkt := newMovingClock(), objstore.NewInMemBucket()
	opts := idleOptions(t, clock, bkt)
	h := openTestHeads(t, opts)
	var want []string
	for i := range 12 {
		clock.advance(2 * time.Hour)
		want = append(want, fmt.Sprintf("t%02d", i))
		push(t, h, "a", traced("m", want[i], clock.now().UnixMilli()))
		require.NoError(t, h.Flush(t.Context(), "a"))
	}
	push(t, h, "a", traced("m", "t12", clock.now().Add(time.Minute).UnixMilli()))
	want = append(want, "t12")
	require.Equal(t, want, traces(t, h, "m"))

	killed := func(without string) []string {
		after := opts
		after.Dir, after.Registerer = t.TempDir(), nil
		require.NoError(t, os.CopyFS(after.Dir, os.DirFS(opts.Dir)))
		require.NoError(t, os.RemoveAll(filepath.Join(after.Dir, "a", "lock")))
		if without != "" {
			require.NoError(t, os.Remove(filepath.Join(after.Dir, "a", without)))
		}
		return traces(t, openTestHeads(t, after), "m")
	}
	require.Equal(t, want, killed(""))
	lost := killed(exemplarsFile)
	require.Contains(t, lost, "t12")
	require.Less(t, len(lost), len(want), "this test would pass without the file")
}

// What is deleted is in no file, whether the database was open or closed when the request came.
func TestDeletedExemplarsLeaveTheFile(t *testing.T) {
	for _, closed := range []bool{false, true} {
		clock, bkt, requests := newMovingClock(), objstore.NewInMemBucket(), &fakeDeletes{}
		opts := idleOptions(t, clock, bkt)
		opts.Deleted = requests.Active
		h := openTestHeads(t, opts)
		push(t, h, "a", traced("one", "t1", clock.now().UnixMilli()), traced("two", "t2", clock.now().UnixMilli()))
		require.NoError(t, h.Flush(t.Context(), "a"))
		if closed {
			clock.pass(h, 6*time.Hour)
			require.Empty(t, h.Tenants())
		}
		require.Len(t, traces(t, h, `{job="test"}`), 2)
		requests.add(t, "one", MinTime, MaxTime)
		require.Equal(t, []string{"t2"}, traces(t, h, `{job="test"}`), "at once")
		h.maintainAll(t.Context())
		require.NoError(t, requests.Finish(t.Context(), "a", []string{"d0"}))
		require.Equal(t, []string{"t2"}, traces(t, h, `{job="test"}`))
		list, err := readExemplars(filepath.Join(opts.Dir, "a", exemplarsFile))
		require.NoError(t, err)
		require.Equal(t, 1, countExemplars(list))

		requests.add(t, "two", MinTime, MaxTime)
		h.maintainAll(t.Context())
		require.NoFileExists(t, filepath.Join(opts.Dir, "a", exemplarsFile))
		require.Empty(t, traces(t, h, `{job="test"}`))
	}
}

// A damaged file is left out of answers, with a warning for as long as the tenant is closed.
func TestDamagedExemplarsFile(t *testing.T) {
	clock := newMovingClock()
	opts := idleOptions(t, clock, objstore.NewInMemBucket())
	h := openTestHeads(t, opts)
	push(t, h, "a", traced("m", "t1", clock.now().UnixMilli()))
	clock.pass(h, 6*time.Hour)
	path := filepath.Join(opts.Dir, "a", exemplarsFile)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o600))
	r, err := newTestEngine().Run(t.Context(), "a", &Query{Kind: Exemplars, Expr: "m", Start: MinTime, End: MaxTime}, h)
	require.NoError(t, err)
	require.Empty(t, r.Exemplars)
	require.ErrorContains(t, r.Warnings.AsErrors()[0], "older exemplars are left out of the answer")
	push(t, h, "a", traced("m", "t2", clock.now().UnixMilli()))
	require.Equal(t, []string{"t2"}, traces(t, h, "m"))
}

func TestExemplarsFileIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e")
	rapid.Check(t, func(t *rapid.T) {
		var want []ExemplarSeries
		for i := range rapid.IntRange(1, 5).Draw(t, "series") {
			s := ExemplarSeries{Labels: labels.FromStrings("__name__", "m", "i", fmt.Sprint(i), "x", rapid.StringN(1, 5, 20).Draw(t, "label"))}
			for range rapid.IntRange(1, 5).Draw(t, "exemplars") {
				s.Exemplars = append(s.Exemplars, exemplar.Exemplar{Labels: labels.FromStrings("trace_id", rapid.StringN(1, 9, 40).Draw(t, "trace")),
					Value: rapid.Float64().Draw(t, "value"), Ts: rapid.Int64Range(-1e15, 1e15).Draw(t, "time"), HasTs: true})
			}
			want = append(want, s)
		}
		require.NoError(t, writeExemplars(path, want))
		got, err := readExemplars(path)
		require.NoError(t, err)
		require.Equal(t, want, got)
		n, most := countExemplars(want), rapid.IntRange(1, 30).Draw(t, "most")
		oldest, more := oldestOfNewest(want, most)
		require.Equal(t, n > most, more)
		if more {
			require.GreaterOrEqual(t, countExemplars(since(want, oldest)), most)
			require.Less(t, countExemplars(since(want, oldest+1)), most)
		}
	})
	require.NoError(t, writeExemplars(path, nil))
	got, err := readExemplars(path)
	require.NoError(t, err)
	require.Empty(t, got)
}

func FuzzExemplarsFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "e")
	require.NoError(f, writeExemplars(path, []ExemplarSeries{{Labels: labels.FromStrings("a", "b"), Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("t", "1"), Value: 2, Ts: 3}}}}))
	data, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := decodeExemplars(data); err != nil {
			require.ErrorIs(t, err, errDamaged)
		}
		// A checksum that is right lets the rest be read.
		if body := len(data) - 4; body >= 0 {
			if _, err := decodeExemplars(withChecksum(slices.Clone(data[:body]))); err != nil {
				require.ErrorIs(t, err, errDamaged)
			}
		}
	})
}
