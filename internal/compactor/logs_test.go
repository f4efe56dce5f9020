package compactor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/deletes"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/store"
)

const team = "team"

// yesterday is when most rows of these tests happened: the day is over at now.
var yesterday = now.Add(-day).Truncate(day)

// world is a bucket and what one process has made of it: a compactor, a book of deletes, a store.
type world struct {
	*Compactor
	bkt   objstore.Bucket
	clock time.Time
	book  *deletes.Book
	store *store.Store
	log   *bytes.Buffer
}

// newWorld starts a process over what is in bkt.
func newWorld(t *testing.T, bkt objstore.Bucket, change func(*Options)) *world {
	t.Helper()
	w := &world{bkt: bkt, clock: now, log: &bytes.Buffer{}}
	logger := slog.New(slog.NewTextHandler(w.log, nil))
	clock := func() time.Time { return w.clock }
	w.book = deletes.New(deletes.Options{Bucket: bkt, Logger: logger, Registerer: prometheus.NewRegistry(), Now: clock})
	series, err := metrics.NewBlockStore(metrics.BlockStoreOptions{Dir: t.TempDir(), Config: metrics.DefaultConfig().Store, Bucket: bkt,
		Logger: logger, Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = series.Close() })
	w.store = store.New(store.DefaultConfig(), bkt, series, logger, prometheus.NewRegistry())
	w.store.Follow(w.book)
	opts := Options{Config: DefaultConfig(), Retention: Retention{}, Deletes: w.book, Dir: t.TempDir(), Bucket: bkt, Logger: logger,
		Settled: func(string, time.Time) bool { return true }, Registerer: prometheus.NewRegistry(), Now: clock,
		Added: w.store.Added, Changed: func(ctx context.Context) { _ = w.store.Refresh(ctx) }}
	if change != nil {
		change(&opts)
	}
	w.Compactor = New(opts)
	return w
}

// row is a row of a test block: its stream, minutes after yesterday's beginning, and its line.
type row struct {
	app    string
	minute int
	line   string
}

func (r row) String() string { return fmt.Sprintf("%s %d %s", r.app, r.minute, r.line) }

func text(rows ...row) []string {
	out := []string{}
	for _, r := range rows {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return out
}

// upload makes a block of rows, cut at the time of the newest.
func upload(t testing.TB, bkt objstore.Bucket, rows ...row) block.Meta {
	t.Helper()
	head := logs.NewHead(logs.HeadOptions{})
	newest := yesterday
	for _, r := range rows {
		at := yesterday.Add(time.Duration(r.minute) * time.Minute)
		if at.After(newest) {
			newest = at
		}
		head.Append(&logs.Batch{Streams: []logs.Stream{{Labels: labels.FromStrings("app", r.app), Entries: []logs.Entry{{Timestamp: at.UnixNano(), Line: r.line}}}}})
	}
	m := &block.Meta{ULID: ulid.MustNew(ulid.Timestamp(newest), rand.Reader), Tenant: team, Signal: signal.Logs, Producer: "test", Created: now}
	dir := t.TempDir()
	require.NoError(t, head.WriteBlock(context.Background(), dir, m))
	require.NoError(t, block.Upload(context.Background(), bkt, dir, m))
	return *m
}

// seen returns all rows that queries would answer now, as this process knows the bucket.
func (w *world) seen(t testing.TB) []string {
	t.Helper()
	ctx := context.Background()
	src := logs.NewSource(func(context.Context, string, int64, int64) ([]logs.Part, error) {
		deleted := w.book.Active(team)
		metas, err := w.store.Blocks(ctx, team, signal.Logs, 0, 0)
		require.NoError(t, err)
		var parts []logs.Part
		rows := int64(0)
		for _, m := range metas {
			r, err := block.Open(ctx, bucket.Ranger{Bucket: w.bkt}, m.DataPath(), m.Data.Size, block.ReaderOptions{})
			if err != nil {
				return nil, err
			}
			b, err := logs.OpenBlock(ctx, r)
			if err != nil {
				return nil, err
			}
			rows += b.Rows()
			parts = append(parts, logs.WithoutDeleted(b, deleted))
		}
		return parts, nil
	})
	out := []string{}
	for rows, err := range src.SelectRows(ctx, team, logs.Select{Start: 0, End: 1<<63 - 1}) {
		require.NoError(t, err)
		for i, ts := range rows.Timestamps {
			minute := int(time.Unix(0, ts).Sub(yesterday) / time.Minute)
			out = append(out, row{rows.Streams[rows.Stream[i]].Get("app"), minute, string(rows.Lines[i])}.String())
		}
	}
	slices.Sort(out)
	return out
}

// fresh lists the bucket first, as a process that has just started would.
func (w *world) fresh(t testing.TB) []string {
	t.Helper()
	require.NoError(t, w.store.Refresh(context.Background()))
	return w.seen(t)
}

// rounds goes around n times, with a delete delay between.
func (w *world) rounds(t testing.TB, n int) {
	t.Helper()
	for range n {
		require.NoError(t, w.Round(context.Background()))
		w.clock = w.clock.Add(time.Duration(w.opts.Config.DeleteDelay))
	}
}

func folders(t testing.TB, bkt objstore.Bucket) []ulid.ULID {
	t.Helper()
	ids, err := block.IDs(context.Background(), bkt, team, signal.Logs)
	require.NoError(t, err)
	return ids
}

func (w *world) count(vec *prometheus.CounterVec, label string) int {
	return int(testutil.ToFloat64(vec.WithLabelValues(label)))
}

// Small blocks of a day become one, replicas' rows are in it once, and the inputs go after the delay.
func TestCompaction(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	a := upload(t, bkt, row{"a", 1, "one"}, row{"b", 2, "two"})
	b := upload(t, bkt, row{"a", 1, "one"}, row{"a", 700, "three"})
	today := upload(t, bkt, row{"a", 24*60 + 700, "of today"})
	want := text(row{"a", 1, "one"}, row{"b", 2, "two"}, row{"a", 700, "three"}, row{"a", 24*60 + 700, "of today"})
	w := newWorld(t, bkt, nil)
	require.NoError(t, w.Round(t.Context()))
	require.Len(t, folders(t, bkt), 4, "the inputs are still there")
	require.Equal(t, want, w.seen(t), "and read no more")
	metas, err := w.store.Blocks(t.Context(), team, signal.Logs, 0, 0)
	require.NoError(t, err)
	require.Len(t, metas, 2)
	made := metas[0]
	require.Equal(t, []int{1, 2}, []int{made.Level, len(made.Sources)})
	require.ElementsMatch(t, []ulid.ULID{a.ULID, b.ULID}, made.Sources)
	require.EqualValues(t, 3, made.Rows)
	require.Equal(t, 1, w.count(w.Compactor.metrics.rows, "duplicate"))
	require.Equal(t, 1, w.count(w.Compactor.metrics.jobs, "success"))
	require.Contains(t, w.log.String(), "blocks compacted")

	w.clock = w.clock.Add(9 * time.Minute)
	require.NoError(t, w.Round(t.Context()))
	require.Len(t, folders(t, bkt), 4)
	w.clock = w.clock.Add(2 * time.Minute)
	require.NoError(t, w.Round(t.Context()))
	require.ElementsMatch(t, []ulid.ULID{made.ULID, today.ULID}, folders(t, bkt))
	require.Equal(t, want, w.fresh(t))
	left, err := filepath.Glob(filepath.Join(w.opts.Dir, "*"))
	require.NoError(t, err)
	require.Empty(t, left, "nothing stays on the local disk")
}

// A request hides its rows at once, compaction removes them, and then it is processed and hides no
// more: rows of that time that come later are seen.
func TestDeletesAreCarriedOut(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	upload(t, bkt, row{"a", 1, "secret"}, row{"a", 2, "fine"}, row{"b", 1, "secret"})
	alone := upload(t, bkt, row{"a", 24*60 + 700, "secret of today"})
	elsewhere := upload(t, bkt, row{"c", 24*60 + 701, "secret of another stream"})
	w := newWorld(t, bkt, nil)
	require.NoError(t, w.store.Refresh(t.Context()))
	r, err := w.book.Add(t.Context(), team, `{app="a"} |= "secret"`, 0, now.UnixNano())
	require.NoError(t, err)
	want := text(row{"a", 2, "fine"}, row{"b", 1, "secret"}, row{"c", 24*60 + 701, "secret of another stream"})
	require.Equal(t, want, w.seen(t))
	require.Len(t, folders(t, bkt), 3)

	w.rounds(t, 1)
	require.Equal(t, want, w.seen(t))
	require.NotContains(t, folders(t, bkt), alone.ULID, "nothing of it was left")
	require.Contains(t, folders(t, bkt), elsewhere.ULID, "not written anew")
	require.Equal(t, 1, w.count(w.Compactor.metrics.rows, "deleted"), "the other one went with its block")
	list, err := w.book.List(t.Context(), team)
	require.NoError(t, err)
	require.True(t, list[0].Begun && list[0].Processed.IsZero(), "a block that still holds rows waits to be deleted")
	require.Error(t, w.book.Cancel(t.Context(), team, r.ID, false), "it has begun")

	w.rounds(t, 3)
	list, err = w.book.List(t.Context(), team)
	require.NoError(t, err)
	require.False(t, list[0].Processed.IsZero())
	require.Nil(t, w.book.Active(team))
	require.Equal(t, want, w.fresh(t))
	late := row{"a", 1, "secret, but later"}
	upload(t, bkt, late)
	require.Equal(t, text(late, row{"a", 2, "fine"}, row{"b", 1, "secret"}, row{"c", 24*60 + 701, "secret of another stream"}), w.fresh(t))
}

func TestDeletesWaitForIngesters(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	settled := false
	w := newWorld(t, bkt, func(o *Options) { o.Settled = func(string, time.Time) bool { return settled } })
	_, err := w.book.Add(t.Context(), team, `{app="a"}`, 0, now.UnixNano())
	require.NoError(t, err)
	w.rounds(t, 5)
	require.NotNil(t, w.book.Active(team))
	upload(t, bkt, row{"a", 1, "shipped in the meantime"})
	require.Empty(t, w.fresh(t))
	settled = true
	w.rounds(t, 1)
	require.NotNil(t, w.book.Active(team), "stores may not have listed the bucket yet")
	w.rounds(t, 2)
	require.Nil(t, w.book.Active(team))
	require.Empty(t, w.fresh(t))

	// Who can't ask the ingesters waits for long.
	alone := newWorld(t, bkt, func(o *Options) { o.Settled = nil })
	_, err = alone.book.Add(t.Context(), team, `{app="a"}`, 0, now.UnixNano())
	require.NoError(t, err)
	alone.rounds(t, 11)
	require.NotNil(t, alone.book.Active(team))
	alone.rounds(t, 5)
	require.Nil(t, alone.book.Active(team))
}

func TestRetentionOfStreams(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	debug := []logs.Matcher{{Type: labels.MatchEqual, Name: "app", Value: "debug"}}
	retention, err := logs.NewRetention(10*day, []logs.RetentionRule{{Matchers: debug, Period: 2 * day}})
	require.NoError(t, err)
	mixed := upload(t, bkt, row{"a", 1, "kept"}, row{"debug", 1, "x"}, row{"debug", 2, "y"})
	upload(t, bkt, row{"debug", 24*60 + 700, "z"})
	w := newWorld(t, bkt, func(o *Options) { o.LogRetention = func(string) *logs.Retention { return retention } })
	w.rounds(t, 2)
	require.Contains(t, folders(t, bkt), mixed.ULID, "nothing is due yet")

	w.clock = yesterday.Add(2*day + 3*time.Minute)
	w.rounds(t, 2)
	require.Equal(t, text(row{"a", 1, "kept"}, row{"debug", 24*60 + 700, "z"}), w.fresh(t))
	require.NotContains(t, folders(t, bkt), mixed.ULID)
	require.Equal(t, 2, w.count(w.Compactor.metrics.rows, "expired"))
	before := folders(t, bkt)
	w.rounds(t, 2)
	require.Equal(t, before, folders(t, bkt), "once is enough")

	w.clock = now.Add(4 * day)
	w.rounds(t, 2)
	require.Equal(t, text(row{"a", 1, "kept"}), w.fresh(t), "a block of which nothing is left goes whole")
	w.clock = now.Add(12 * day)
	w.rounds(t, 1)
	require.Empty(t, folders(t, bkt))
}

// damage flips a byte of a block's data, counted from its end if at is negative.
func damage(t testing.TB, bkt objstore.Bucket, m block.Meta, at int) {
	t.Helper()
	rc, err := bkt.Get(context.Background(), m.DataPath())
	require.NoError(t, err)
	data, err := io.ReadAll(rc)
	require.NoError(t, err)
	data[(at+len(data))%len(data)] ^= 1
	require.NoError(t, bkt.Upload(context.Background(), m.DataPath(), bytes.NewReader(data)))
}

// A damaged block is set aside with its reason, told once, and the others go on.
func TestQuarantine(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	upload(t, bkt, row{"a", 1, "one"})
	bad := upload(t, bkt, row{"a", 2, "lost"})
	upload(t, bkt, row{"a", 3, "three"})
	damage(t, bkt, bad, 20)
	w := newWorld(t, bkt, nil)
	w.rounds(t, 3)
	require.Equal(t, text(row{"a", 1, "one"}, row{"a", 3, "three"}), w.fresh(t))
	require.Len(t, folders(t, bkt), 2, "the block made of the good ones, and the bad one")
	require.Equal(t, 1.0, testutil.ToFloat64(w.Compactor.metrics.quarantined))
	require.Equal(t, 1, strings.Count(w.log.String(), "damaged block set aside"))
	mark := path.Join(team, "logs", bad.ULID.String()+".quarantine.json")
	rc, err := bkt.Get(t.Context(), mark)
	require.NoError(t, err)
	content, err := io.ReadAll(rc)
	require.NoError(t, err)
	require.Contains(t, string(content), "CRC32C")
	require.Contains(t, string(content), bad.DataPath())
	_, aside, err := block.Catalog(t.Context(), bkt, team, signal.Logs)
	require.NoError(t, err)
	require.Equal(t, []ulid.ULID{bad.ULID}, aside)

	// Another process leaves it alone too, until it is past its retention.
	again := newWorld(t, bkt, func(o *Options) { o.Retention = keep(0, 10*day, 0) })
	again.rounds(t, 2)
	require.Zero(t, testutil.ToFloat64(again.Compactor.metrics.quarantined))
	again.clock = now.Add(20 * day)
	again.rounds(t, 1)
	require.Empty(t, folders(t, bkt))
	_, aside, err = block.Catalog(t.Context(), bkt, team, signal.Logs)
	require.NoError(t, err)
	require.Empty(t, aside, "the mark goes with the block")
}

// A block that only a search for rows to delete meets is made sure of before it is set aside.
func TestQuarantineByDeletes(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	bad := upload(t, bkt, row{"a", 24*60 + 700, "lost"})
	damage(t, bkt, bad, -10)
	w := newWorld(t, bkt, nil)
	_, err := w.book.Add(t.Context(), team, `{app="a"} |= "x"`, 0, now.UnixNano())
	require.NoError(t, err)
	w.rounds(t, 4)
	require.Equal(t, 1.0, testutil.ToFloat64(w.Compactor.metrics.quarantined))
	require.Nil(t, w.book.Active(team), "nobody can see what is in it")
}

// What a query found to be corrupt is read anew: a block that is fine is kept, one that is not is set
// aside.
func TestSuspects(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	bad, good := upload(t, bkt, row{"a", 24*60 + 600, "lost"}), upload(t, bkt, row{"a", 24*60 + 700, "fine"})
	damage(t, bkt, bad, 20)
	w := newWorld(t, bkt, nil)
	w.rounds(t, 2)
	require.Len(t, folders(t, bkt), 2, "nobody reads them")
	for _, object := range []string{bad.DataPath(), good.DataPath(), "other/logs/x", team + "/traces/x"} {
		w.Suspect(object)
	}
	w.rounds(t, 3)
	require.Equal(t, 1.0, testutil.ToFloat64(w.Compactor.metrics.quarantined))
	require.Equal(t, text(row{"a", 24*60 + 700, "fine"}), w.fresh(t))
}

// errKilled is what every operation of a bucket answers after the process at it was killed.
var errKilled = errors.New("killed")

// mortal is a bucket whose user is killed at an operation: it is not done, and none is after it.
type mortal struct {
	objstore.Bucket
	left    int    // operations
	changed func() // called after each operation that changes something
}

func (m *mortal) step() error {
	if m.left--; m.left < 0 {
		return errKilled
	}
	return nil
}

func (m *mortal) Upload(ctx context.Context, name string, r io.Reader, opts ...objstore.ObjectUploadOption) error {
	if err := m.step(); err != nil {
		return err
	}
	err := m.Bucket.Upload(ctx, name, r, opts...)
	m.changed()
	return err
}

func (m *mortal) Delete(ctx context.Context, name string) error {
	if err := m.step(); err != nil {
		return err
	}
	err := m.Bucket.Delete(ctx, name)
	m.changed()
	return err
}

func (m *mortal) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := m.step(); err != nil {
		return nil, err
	}
	return m.Bucket.Get(ctx, name)
}

func (m *mortal) GetRange(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := m.step(); err != nil {
		return nil, err
	}
	return m.Bucket.GetRange(ctx, name, off, n)
}

func (m *mortal) Iter(ctx context.Context, dir string, f func(string) error, opts ...objstore.IterOption) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.Bucket.Iter(ctx, dir, f, opts...)
}

func (m *mortal) Attributes(ctx context.Context, name string) (objstore.ObjectAttributes, error) {
	if err := m.step(); err != nil {
		return objstore.ObjectAttributes{}, err
	}
	return m.Bucket.Attributes(ctx, name)
}

// Wherever a compactor is killed, every row is answered exactly once before, during and after, rows
// that are deleted never, and the next process ends with the same one block.
func TestKilledAnywhere(t *testing.T) {
	origin := objstore.NewInMemBucket()
	upload(t, origin, row{"a", 1, "one"}, row{"b", 2, "two"}, row{"a", 3, "secret 1"})
	upload(t, origin, row{"a", 1, "one"}, row{"a", 700, "three"})
	upload(t, origin, row{"a", 800, "secret 2"})
	upload(t, origin, row{"c", 900, "four"})
	first := newWorld(t, origin, nil)
	_, err := first.book.Add(t.Context(), team, `{app="a"} |= "secret"`, 0, now.UnixNano())
	require.NoError(t, err)
	want := text(row{"a", 1, "one"}, row{"b", 2, "two"}, row{"a", 700, "three"}, row{"c", 900, "four"})

	deaths := 0
	for at := 0; ; at++ {
		bkt := objstore.NewInMemBucket()
		for name, content := range origin.Objects() {
			require.NoError(t, bkt.Upload(t.Context(), name, bytes.NewReader(content)))
		}
		reader := newWorld(t, bkt, nil) // another process, which only reads
		require.Equal(t, want, reader.fresh(t))
		m := &mortal{Bucket: bkt, left: at}
		m.changed = func() {
			require.Equal(t, want, reader.fresh(t), "after each change, killed at %d", at)
		}
		victim := newWorld(t, m, nil)
		var roundErr error
		for range 6 {
			if roundErr = victim.Round(t.Context()); roundErr != nil {
				break
			}
			victim.clock = victim.clock.Add(time.Duration(victim.opts.Config.DeleteDelay))
		}
		require.Equal(t, want, reader.fresh(t), "killed at %d", at)
		if roundErr != nil {
			require.ErrorIs(t, roundErr, errKilled)
			deaths++
		}
		next := newWorld(t, bkt, nil)
		next.clock = victim.clock
		require.Equal(t, want, next.fresh(t), "killed at %d", at)
		for range 6 {
			next.rounds(t, 1)
			require.Equal(t, want, next.seen(t), "killed at %d", at)
			require.Equal(t, want, reader.fresh(t), "killed at %d", at)
		}
		require.Len(t, folders(t, bkt), 1, "killed at %d", at)
		require.Nil(t, next.book.Active(team), "killed at %d", at)
		if roundErr == nil {
			require.Greater(t, deaths, 30)
			return
		}
	}
}

// A stop in the middle of a round ends it soon, and is no failure of anything.
func TestRoundIsCancelled(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	upload(t, bkt, row{"a", 1, "one"})
	upload(t, bkt, row{"a", 2, "two"})
	ctx, cancel := context.WithCancel(t.Context())
	m := &mortal{Bucket: bkt, left: 1 << 30, changed: cancel}
	w := newWorld(t, m, nil)
	require.ErrorIs(t, w.Round(ctx), context.Canceled)
	require.Zero(t, w.count(w.Compactor.metrics.jobs, "error"))
	require.Zero(t, testutil.ToFloat64(w.Compactor.metrics.quarantined))
}

func TestRowsAreAccountedFor(t *testing.T) {
	inputs := []block.Meta{{Rows: 5}, {Rows: 3}}
	for _, c := range []struct {
		written, deleted, expired int64
		lost                      bool
	}{
		{8, 0, 0, false}, {5, 0, 0, false}, {2, 2, 1, false}, {0, 4, 4, false}, {4, 0, 0, true}, {0, 0, 0, true}, {1, 1, 2, true},
	} {
		r := &remains{deleted: c.deleted, expired: c.expired}
		require.Equal(t, c.lost, errors.Is(r.account(c.written, inputs), errLost), "%+v", c)
	}
}

func TestStartEmptiesTheFolder(t *testing.T) {
	w := newWorld(t, objstore.NewInMemBucket(), nil)
	left := filepath.Join(w.opts.Dir, "job-1")
	require.NoError(t, os.MkdirAll(left, 0o750))
	require.NoError(t, w.start(t.Context()))
	require.NoError(t, block.SetAside(t.Context(), w.bkt, team, signal.Logs, ulid.Make(), block.Quarantine{}))
	require.NoDirExists(t, left)
	require.DirExists(t, w.opts.Dir)
	w.rounds(t, 1) // a mark without a block is nobody's business
}
