package metrics

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
	"github.com/stretchr/testify/require"
)

// syncedFiles notes how much of each file has been synced.
type syncedFiles struct {
	mu   sync.Mutex
	size map[string]int64
}

func (s *syncedFiles) fsync(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size[f.Name()] = info.Size()
	return nil
}

func (s *syncedFiles) snapshot() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int64, len(s.size))
	for k, v := range s.size {
		out[k] = v
	}
	return out
}

// powerCut copies a database folder as a power cut would leave it at worst: of the logs only what
// was synced.
func powerCut(t *testing.T, from, to string, synced map[string]int64) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, p)
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		limit := int64(1 << 40)
		if parent := filepath.Base(filepath.Dir(p)); parent == "wal" || parent == wlog.WblDirName {
			if limit = synced[p]; limit == 0 {
				return nil
			}
		}
		in, err := os.Open(p)
		if errors.Is(err, fs.ErrNotExist) || filepath.Base(p) == "lock" {
			return nil
		}
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.Create(target)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, io.LimitReader(in, limit))
		return errors.Join(err, out.Close())
	}))
}

// stored reads every float of a tenant as series → time → value.
func stored(t *testing.T, src Source, tenant string) map[string]map[int64]float64 {
	t.Helper()
	out := map[string]map[int64]float64{}
	all := Select{Matchers: []Matcher{{Type: labels.MatchRegexp, Name: labels.MetricName, Value: ".+"}}, Start: MinTime, End: MaxTime}
	for cs, err := range src.SelectSeries(t.Context(), tenant, all) {
		require.NoError(t, err)
		m := map[int64]float64{}
		it := series{cs}.Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			ts, v := it.At()
			m[ts] = v
		}
		require.NoError(t, it.Err())
		out[cs.Labels.Get(labels.MetricName)] = m
	}
	return out
}

// Every acknowledged sample survives a power cut at any moment, in-order and out of order, from
// writers that share syncs.
func TestAcknowledgedSurvivesPowerCut(t *testing.T) {
	const writers, cuts = 4, 8
	dir := t.TempDir()
	h := openTestHeads(t, testHeadOptions(t, dir, nil))
	db, err := h.head("a", true)
	require.NoError(t, err)
	synced := &syncedFiles{size: map[string]int64{}}
	db.syncer.fsyncFile = synced.fsync

	var mu sync.Mutex
	acked := map[string]map[int64]float64{}
	var acks atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("w%d_%d", w, i%7)
				ts := at(time.Duration(i) * time.Millisecond)
				if i%5 == 4 {
					ts = at(-time.Minute - time.Duration(i)*time.Millisecond) // out of order
				}
				r, err := h.Append(t.Context(), "a", &Batch{Series: []Series{floats(name, Sample{T: ts, V: float64(i)})}})
				if err != nil || len(r.Rejected) > 0 {
					panic(fmt.Sprint(err, r.Rejected))
				}
				mu.Lock()
				if acked[name] == nil {
					acked[name] = map[int64]float64{}
				}
				acked[name][ts] = float64(i)
				mu.Unlock()
				acks.Add(1)
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	for cut := range cuts {
		for until := acks.Load() + 1 + random.Int64N(60); acks.Load() < until; {
			time.Sleep(time.Millisecond) // a wait for writers, not for time
		}
		mu.Lock()
		want := map[string]map[int64]float64{}
		for name, m := range acked {
			want[name] = map[int64]float64{}
			for ts, v := range m {
				want[name][ts] = v
			}
		}
		mu.Unlock()
		after := t.TempDir()
		powerCut(t, dir, after, synced.snapshot())
		reopened, err := OpenHeads(t.Context(), testHeadOptions(t, after, nil))
		require.NoError(t, err)
		got := stored(t, reopened, "a")
		for name, m := range want {
			for ts, v := range m {
				require.Equal(t, v, got[name][ts], "cut %d: series %s at %d", cut, name, ts)
			}
		}
		// And it goes on working.
		push(t, reopened, "a", floats("after", Sample{T: at(time.Minute), V: 1}))
		require.NoError(t, reopened.Close())
	}
	close(stop)
	wg.Wait()
}

// A torn tail and flipped bits cost what stands behind them and nothing before; they are counted.
func TestDamagedLogIsRepaired(t *testing.T) {
	const batches = 200
	dir := t.TempDir()
	h := openTestHeads(t, testHeadOptions(t, dir, nil))
	for i := range batches {
		push(t, h, "a", floats(fmt.Sprintf("m%d", i), Sample{T: at(0), V: float64(i)}))
	}
	require.NoError(t, h.Close())
	segment := filepath.Join("a", "wal", "00000000")
	info, err := os.Stat(filepath.Join(dir, segment))
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(3, 4))
	// What is written of the segment: the rest of the last page is zero or absent.
	for round := range 16 {
		damaged := t.TempDir()
		require.NoError(t, os.CopyFS(damaged, os.DirFS(dir)))
		file := filepath.Join(damaged, segment)
		offset := random.Int64N(info.Size())
		torn := round%2 == 0
		if torn {
			require.NoError(t, os.Truncate(file, offset))
		} else {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			data[offset] ^= 1 << random.IntN(8)
			require.NoError(t, os.WriteFile(file, data, 0o644))
		}
		opts := testHeadOptions(t, damaged, nil)
		reopened, err := OpenHeads(t.Context(), opts)
		require.NoError(t, err, "round %d offset %d", round, offset)
		got := stored(t, reopened, "a")
		kept := len(got)
		for i := range kept {
			require.Equal(t, float64(i), got[fmt.Sprintf("m%d", i)][at(0)], "round %d: what is kept is the beginning", round)
		}
		// Each batch takes about the same space, so the damage says how much must be left.
		require.GreaterOrEqual(t, kept, int(offset*batches/info.Size())-8, "round %d, torn %v, offset %d of %d", round, torn, offset, info.Size())
		if !torn && kept < batches { // a tail may be torn between two records
			require.Equal(t, 1.0, counterValue(t, opts.Registerer.(*prometheus.Registry), "hune_metrics_wal_corruptions_total"))
		}
		push(t, reopened, "a", floats("after", Sample{T: at(0), V: 1}))
		require.NoError(t, reopened.Close())

		again := openTestHeads(t, testHeadOptions(t, damaged, nil))
		require.Equal(t, 1.0, stored(t, again, "a")["after"][at(0)])
		require.NoError(t, again.Close())
	}
}

func TestCorruptionIsCounted(t *testing.T) {
	dir := t.TempDir()
	h := openTestHeads(t, testHeadOptions(t, dir, nil))
	for i := range 50 {
		push(t, h, "a", floats(fmt.Sprintf("m%d", i), Sample{T: at(0), V: 1}))
	}
	require.NoError(t, h.Close())
	file := filepath.Join(dir, "a", "wal", "00000000")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	data[100] ^= 0xff
	require.NoError(t, os.WriteFile(file, data, 0o644))
	opts := testHeadOptions(t, dir, nil)
	openTestHeads(t, opts)
	reg := opts.Registerer.(*prometheus.Registry)
	require.Equal(t, 1.0, counterValue(t, reg, "hune_metrics_wal_corruptions_total"))
	require.Greater(t, counterValue(t, reg, "hune_metrics_wal_dropped_bytes_total"), 0.0)
}

func counterValue(t testing.TB, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// A broken local block is set aside; the tenant works on.
func TestBrokenLocalBlockIsQuarantined(t *testing.T) {
	dir := t.TempDir()
	h := openTestHeads(t, testHeadOptions(t, dir, nil))
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
	require.NoError(t, h.Flush(t.Context()))
	push(t, h, "a", floats("m", Sample{T: at(time.Minute), V: 2}))
	metas, err := h.BlockMetas("a")
	require.NoError(t, err)
	require.Len(t, metas, 1)
	require.NoError(t, h.Close())
	id := metas[0].ULID.String()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a", id, "index"), []byte("nonsense"), 0o644))

	opts := testHeadOptions(t, dir, nil)
	h = openTestHeads(t, opts)
	require.Equal(t, map[string]map[int64]float64{"m": {at(time.Minute): 2}}, withoutReplayed(stored(t, h, "a")))
	require.Equal(t, 1.0, counterValue(t, opts.Registerer.(*prometheus.Registry), "hune_metrics_local_blocks_quarantined_total"))
	_, err = os.Stat(filepath.Join(dir, "a", quarantineDir, id, "index"))
	require.NoError(t, err)
}

// withoutReplayed drops what the log still held of the broken block.
func withoutReplayed(m map[string]map[int64]float64) map[string]map[int64]float64 {
	delete(m["m"], at(0))
	return m
}

// A tenant whose database can't be opened at all doesn't keep the others from working.
func TestUnusableTenantIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "bad"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad", "wal"), []byte("a file where a folder belongs"), 0o644))
	h := openTestHeads(t, testHeadOptions(t, dir, nil))
	_, err := h.Append(t.Context(), "bad", &Batch{})
	require.ErrorContains(t, err, "open metrics database of tenant bad")
	push(t, h, "good", floats("m", Sample{T: at(0), V: 1}))
}

// Writers and flushes at the same time: nothing is lost in the ranges that are cut.
func TestFlushWhileAppending(t *testing.T) {
	t.Parallel()
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), nil))
	const writers, samples = 3, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range samples {
				r, err := h.Append(t.Context(), "a", &Batch{Series: []Series{floats(fmt.Sprintf("w%d", w), Sample{T: at(time.Duration(i) * time.Second), V: 1})}})
				if err != nil || len(r.Rejected) > 0 {
					panic(fmt.Sprint(err, r.Rejected))
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		require.NoError(t, h.Flush(t.Context()))
	}
	got := stored(t, h, "a")
	for w := range writers {
		require.Len(t, got[fmt.Sprintf("w%d", w)], samples)
	}
}

// The syncer follows the segments of a log wherever they go.
func TestSyncerFollowsSegments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wal := filepath.Join(dir, "wal")
	log, err := wlog.NewSize(nil, nil, wal, 32<<10, compression.None)
	require.NoError(t, err)
	defer log.Close()
	synced := &syncedFiles{size: map[string]int64{}}
	s := newSyncer(wal, filepath.Join(dir, "wbl"), prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x"}))
	s.fsyncFile = synced.fsync
	defer s.close()
	random := rand.New(rand.NewPCG(5, 6))
	for round := range 200 {
		for range random.IntN(4) {
			require.NoError(t, log.Log(make([]byte, 1+random.IntN(20<<10))))
		}
		if round%17 == 16 { // what a checkpoint does, without syncs in between
			_, last, err := wlog.Segments(wal)
			require.NoError(t, err)
			require.NoError(t, log.Truncate(last))
		}
		require.NoError(t, s.sync())
		first, last, err := wlog.Segments(wal)
		require.NoError(t, err)
		for i := first; i <= last; i++ {
			name := wlog.SegmentName(wal, i)
			info, err := os.Stat(name)
			require.NoError(t, err)
			require.Equal(t, info.Size(), synced.size[name], "round %d segment %d", round, i)
		}
	}
}

// Writers that wait share one sync.
func TestSyncsAreShared(t *testing.T) {
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), nil))
	db, err := h.head("a", true)
	require.NoError(t, err)
	var syncs atomic.Int64
	began, proceed := make(chan struct{}, 100), make(chan struct{})
	db.syncer.fsyncFile = func(f *os.File) error {
		syncs.Add(1)
		began <- struct{}{}
		<-proceed
		return f.Sync()
	}
	const writers = 20
	var wg sync.WaitGroup
	write := func(i int) {
		wg.Go(func() { push(t, h, "a", floats(fmt.Sprintf("m%d", i), Sample{T: at(0), V: 1})) })
	}
	write(0)
	<-began // one is syncing; the rest gather behind it
	for i := 1; i < writers; i++ {
		write(i)
	}
	for db.db.Head().NumSeries() < writers {
		time.Sleep(time.Millisecond)
	}
	close(proceed)
	wg.Wait()
	require.Less(t, syncs.Load(), int64(writers/2))
}

// After a failed sync nothing is acknowledged any more, even if the disk seems to work again.
func TestSyncFailureIsFinal(t *testing.T) {
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), nil))
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
	db, err := h.head("a", true)
	require.NoError(t, err)
	broken := errors.New("input/output error")
	db.syncer.fsyncFile = func(*os.File) error { return broken }
	_, err = h.Append(t.Context(), "a", &Batch{Series: []Series{floats("m", Sample{T: at(time.Second), V: 1})}})
	require.ErrorIs(t, err, broken)
	require.True(t, strings.Contains(err.Error(), "tenant a"))
	db.syncer.fsyncFile = (*os.File).Sync
	_, err = h.Append(t.Context(), "a", &Batch{Series: []Series{floats("m", Sample{T: at(2 * time.Second), V: 1})}})
	require.ErrorIs(t, err, broken)
	push(t, h, "b", floats("m", Sample{T: at(0), V: 1}))
}

func TestIntervalModeSyncs(t *testing.T) {
	opts := testHeadOptions(t, t.TempDir(), nil)
	opts.SyncAlways, opts.SyncInterval = false, time.Millisecond
	h := openTestHeads(t, opts)
	db, err := h.head("a", true)
	require.NoError(t, err)
	syncs := make(chan struct{}, 1)
	db.syncer.run.Lock()
	db.syncer.fsyncFile = func(f *os.File) error {
		select {
		case syncs <- struct{}{}:
		default:
		}
		return f.Sync()
	}
	db.syncer.run.Unlock()
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
	<-syncs
}
