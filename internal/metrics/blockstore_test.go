package metrics

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/units"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/thanos/pkg/block/metadata"

	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/fault"
)

// shipBlocks writes a sample a block for n blocks and ships them.
func shipBlocks(t *testing.T, bkt objstore.Bucket, tenant string, n int) *Heads {
	t.Helper()
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), bkt))
	for i := n - 1; i >= 0; i-- {
		push(t, h, tenant, floats("m", Sample{T: at(-2 * time.Hour * time.Duration(i)), V: float64(i)}))
	}
	require.NoError(t, h.Flush(t.Context()))
	return h
}

func countOver(t *testing.T, tenant string, sources ...Source) []string {
	return instant(t, tenant, "count_over_time(m[30d])", at(0), sources...)
}

func TestStoreSetsDamagedBlocksAside(t *testing.T) {
	t.Parallel()
	damage := map[string]func(bkt objstore.Bucket, id string) error{
		"bit in the symbols":  func(bkt objstore.Bucket, id string) error { return flip(bkt, id+"/index", symbolsOf) },
		"bit in a series":     func(bkt objstore.Bucket, id string) error { return flip(bkt, id+"/index", seriesOf) },
		"bit in the postings": func(bkt objstore.Bucket, id string) error { return flip(bkt, id+"/index", postingsOf) },
		"bit in the table of contents": func(bkt objstore.Bucket, id string) error {
			return flip(bkt, id+"/index", func(data []byte) int { return len(data) - 20 })
		},
		"bit in a chunk": func(bkt objstore.Bucket, id string) error {
			return flip(bkt, id+"/chunks/000001", func([]byte) int { return 12 })
		},
		"index is cut off": func(bkt objstore.Bucket, id string) error {
			return bkt.Upload(context.Background(), id+"/index", bytes.NewReader([]byte("xy")))
		},
		"chunks are missing": func(bkt objstore.Bucket, id string) error {
			return bkt.Delete(context.Background(), id+"/chunks/000001")
		},
		"chunks are cut off": func(bkt objstore.Bucket, id string) error {
			return bkt.Upload(context.Background(), id+"/chunks/000001", bytes.NewReader([]byte("123456789")))
		},
		"index is missing": func(bkt objstore.Bucket, id string) error { return bkt.Delete(context.Background(), id+"/index") },
		"meta.json is nonsense": func(bkt objstore.Bucket, id string) error {
			return bkt.Upload(context.Background(), id+"/meta.json", bytes.NewReader([]byte("{")))
		},
		"meta.json of another block": func(bkt objstore.Bucket, id string) error {
			return bkt.Upload(context.Background(), id+"/meta.json", bytes.NewReader([]byte(`{"ulid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","version":1,"thanos":{}}`)))
		},
		"meta.json with a path": func(bkt objstore.Bucket, id string) error {
			return bkt.Upload(context.Background(), id+"/meta.json", bytes.NewReader([]byte(`{"ulid":"`+id+`","version":1,"thanos":{"version":1,"files":[{"rel_path":"chunks/../../../x"}]}}`)))
		},
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			bkt := objstore.NewInMemBucket()
			shipBlocks(t, bkt, "a", 3)
			good := newTestStore(t, bkt)
			require.NoError(t, good.Refresh(t.Context()))
			id := good.Blocks("a")[1].Meta.ULID
			require.NoError(t, do(tenantBucket(bkt, "a"), id.String()))

			s := newTestStore(t, bkt)
			require.NoError(t, s.Refresh(t.Context()))
			require.Equal(t, []string{`{job="test"} 2`}, countOver(t, "a", s), "the others answer")
			require.Equal(t, []string{`{job="test"} 2`}, countOver(t, "a", s))
			var bad []ulid.ULID
			for _, b := range s.Blocks("a") {
				if b.Bad != "" {
					bad = append(bad, b.Meta.ULID)
				}
			}
			require.Equal(t, []ulid.ULID{id}, bad)
			res, err := newTestEngine().Run(t.Context(), "a", &Query{Kind: Instant, Expr: "m", Start: at(-2 * time.Hour), End: at(-2 * time.Hour)}, s)
			require.NoError(t, err)
			if s.count() == 3 { // a block without a meta.json is nowhere in time, so that no query misses it
				require.Len(t, res.Warnings, 1)
			}
		})
	}
}

// The places of a byte in parts of an index: the table of contents stands at its end.
func symbolsOf(data []byte) int  { return tocEntry(data, 0) + 12 }
func seriesOf(data []byte) int   { return tocEntry(data, 1) + 20 }
func postingsOf(data []byte) int { return tocEntry(data, 4) + 16 + 9 } // behind those of all series

func tocEntry(data []byte, i int) int {
	toc := data[len(data)-6*8-4:]
	return int(binary.BigEndian.Uint64(toc[i*8:]))
}

func flip(bkt objstore.Bucket, name string, where func(data []byte) int) error {
	r, err := bkt.Get(context.Background(), name)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	data[where(data)] ^= 4
	return bkt.Upload(context.Background(), name, bytes.NewReader(data))
}

func TestStoreIgnoresUnfinishedUploads(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	shipBlocks(t, bkt, "a", 2)
	all := newTestStore(t, bkt)
	require.NoError(t, all.Refresh(t.Context()))
	id := all.Blocks("a")[0].Meta.ULID
	require.NoError(t, tenantBucket(bkt, "a").Delete(t.Context(), id.String()+"/meta.json"))
	s := newTestStore(t, bkt)
	require.NoError(t, s.Refresh(t.Context()))
	require.Len(t, s.Blocks("a"), 1)
	require.Empty(t, s.Blocks("a")[0].Bad)
	// The store that knew the block forgets it.
	require.Equal(t, []string{`{job="test"} 2`}, countOver(t, "a", all))
	require.NoError(t, all.Refresh(t.Context()))
	require.Equal(t, []string{`{job="test"} 2`}, countOver(t, "a", all), "the list still has the block, which is all that a query needs")
}

func TestStoreCacheIsBounded(t *testing.T) {
	t.Parallel()
	bkt := objstore.NewInMemBucket()
	shipBlocks(t, bkt, "a", 6)
	dir := t.TempDir()
	open := func(size units.Base2Bytes) *BlockStore {
		s, err := NewBlockStore(BlockStoreOptions{Dir: dir, Config: StoreConfig{CacheSize: size}, Bucket: bkt,
			Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
		require.NoError(t, err)
		require.NoError(t, s.Refresh(t.Context()))
		return s
	}
	s := open(units.GiB)
	require.Equal(t, []string{`{job="test"} 6`}, countOver(t, "a", s))
	require.Equal(t, dirSize(dir), s.cacheSize())
	one := s.cacheSize() / 6
	require.NoError(t, s.Close())

	// A restart with less room keeps what fits.
	s = open(units.Base2Bytes(one*2 + one/2))
	require.Len(t, s.cache.entries, 2)
	require.Equal(t, []string{`{job="test"} 6`}, countOver(t, "a", s), "a query may exceed the size for a while")
	require.Equal(t, dirSize(dir), s.cacheSize())
	require.LessOrEqual(t, s.cacheSize(), one*2+one/2)

	// Queries at once, with evictions all the time.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if got := countOver(t, "a", s); len(got) != 1 || got[0] != `{job="test"} 6` {
					panic(got)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, s.Close())
	require.LessOrEqual(t, dirSize(dir), one*2+one/2)
}

func TestStoreRepairsItsCopy(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	shipBlocks(t, bkt, "a", 1)
	s := newTestStore(t, bkt)
	require.NoError(t, s.Refresh(t.Context()))
	require.Len(t, countOver(t, "a", s), 1)
	id := s.Blocks("a")[0].Meta.ULID
	require.NoError(t, s.Close())
	// The index header on the disk is cut off between two runs, has a flipped bit, or is gone.
	name := filepath.Join(s.opts.Dir, "a", id.String(), "index-header")
	for _, damage := range []func(data []byte) error{
		func(data []byte) error { return os.WriteFile(name, data[:len(data)-1], 0o644) },
		func(data []byte) error { data[40] ^= 1; return os.WriteFile(name, data, 0o644) },
		func([]byte) error { return os.Remove(name) },
	} {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, damage(data))
		opts := s.opts
		opts.Registerer = prometheus.NewRegistry()
		again, err := NewBlockStore(opts)
		require.NoError(t, err)
		require.NoError(t, again.Refresh(t.Context()))
		require.Len(t, countOver(t, "a", again), 1)
		require.NoError(t, again.Close())
	}
}

// badPages is a cache that returns the bytes of one object wrong.
type badPages struct {
	RangeReader
	object string
}

func (b badPages) ReadRange(ctx context.Context, name string, off, n int64) ([]byte, error) {
	data, err := b.RangeReader.ReadRange(ctx, name, off, n)
	if err == nil && strings.HasSuffix(name, b.object) {
		data = bytes.Clone(data)
		data[len(data)/2] ^= 1
	}
	return data, err
}

// A copy in a cache that is bad is no reason to set a block aside.
func TestStoreAsksTheBucketWhenItsCacheIsBad(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	shipBlocks(t, bkt, "a", 2)
	for _, object := range []string{"index", "chunks/000001"} {
		s, err := NewBlockStore(BlockStoreOptions{Dir: t.TempDir(), Config: DefaultConfig().Store, Bucket: bkt,
			Pages: badPages{bucket.Ranger{Bucket: bkt}, object}})
		require.NoError(t, err)
		require.NoError(t, s.Refresh(t.Context()))
		require.Equal(t, []string{`{job="test"} 2`}, countOver(t, "a", s))
		for _, b := range s.Blocks("a") {
			require.Empty(t, b.Bad)
		}
		require.NoError(t, s.Close())
	}
}

// A bucket that fails is no reason either, and the answer says that it is not there now.
func TestStoreTellsFailuresFromDamage(t *testing.T) {
	mem := objstore.NewInMemBucket()
	shipBlocks(t, mem, "a", 1)
	for after := range 6 {
		bkt := &brokenReads{Bucket: mem, left: after}
		s := newTestStore(t, bkt)
		bkt.on = false
		require.NoError(t, s.Refresh(t.Context()))
		bkt.on = true
		_, err := s.LabelValues(t.Context(), "a", "job", Select{Start: MinTime, End: MaxTime, Matchers: []Matcher{{Name: "job", Value: "test"}}})
		require.Equal(t, fault.Unavailable, fault.ClassOf(err), "%v", err)
		require.ErrorContains(t, err, "connection reset")
		bkt.on = false
		require.Len(t, countOver(t, "a", s), 1)
	}
}

// brokenReads fails ranged reads after a number of them.
type brokenReads struct {
	objstore.Bucket
	mu   sync.Mutex
	on   bool
	left int
}

func (b *brokenReads) GetRange(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.on {
		if b.left == 0 {
			return nil, errors.New("connection reset")
		}
		b.left--
	}
	return b.Bucket.GetRange(ctx, name, off, n)
}

// failingBucket fails uploads after a number of them.
type failingBucket struct {
	objstore.Bucket
	left int
}

func (b *failingBucket) Upload(ctx context.Context, name string, r io.Reader, opts ...objstore.ObjectUploadOption) error {
	if b.left--; b.left < 0 {
		return errors.New("connection reset")
	}
	return b.Bucket.Upload(ctx, name, r, opts...)
}

// An upload that fails at any step is finished later; meta.json comes last.
func TestShippingIsRepeated(t *testing.T) {
	mem := objstore.NewInMemBucket()
	bkt := &failingBucket{Bucket: mem}
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), bkt))
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
	for _, left := range []int{0, 1, 1} { // what is uploaded once is not sent again
		bkt.left = left
		require.ErrorContains(t, h.Flush(t.Context()), "connection reset")
		for name := range mem.Objects() {
			require.NotEqual(t, "meta.json", path.Base(name))
		}
	}
	bkt.left = 100
	require.NoError(t, h.Flush(t.Context()))
	require.Equal(t, 99, bkt.left, "only what was missing is sent")
	require.NoError(t, h.Flush(t.Context()))
	require.Equal(t, 99, bkt.left)
	require.Len(t, mem.Objects(), 3)
}

// lyingBucket stores something else than what it is given.
type lyingBucket struct{ objstore.Bucket }

func (b lyingBucket) Upload(ctx context.Context, name string, r io.Reader, opts ...objstore.ObjectUploadOption) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	data[0] ^= 1
	return b.Bucket.Upload(ctx, name, bytes.NewReader(data), opts...)
}

func TestShippingVerifies(t *testing.T) {
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), lyingBucket{objstore.NewInMemBucket()}))
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
	require.ErrorIs(t, h.Flush(t.Context()), errDamaged)
	require.Equal(t, 1.0, counterValue(t, h.opts.Registerer.(*prometheus.Registry), "hune_metrics_block_ship_failures_total"))
	require.Len(t, instant(t, "a", "m", at(0), h), 1, "the local block answers until it is safe")
}

// Local blocks go after the grace period, but never the newest, and never one that isn't shipped.
func TestLocalBlocksAreDeleted(t *testing.T) {
	now := testNow
	opts := testHeadOptions(t, t.TempDir(), objstore.NewInMemBucket())
	opts.Now = func() time.Time { return now }
	h := openTestHeads(t, opts)
	for i := 3; i >= 0; i-- {
		push(t, h, "a", floats("m", Sample{T: at(-2 * time.Hour * time.Duration(i)), V: 1}))
	}
	require.NoError(t, h.Flush(t.Context()))
	blocks := h.tenants["a"].db.Blocks()
	require.Len(t, blocks, 4)
	gone := func() int { return len(h.tenants["a"].blocksToDelete(blocks)) }
	require.Zero(t, gone())
	now = now.Add(61 * time.Minute)
	require.Equal(t, 3, gone())
	require.NotContains(t, h.tenants["a"].blocksToDelete(blocks), blocks[3].Meta().ULID)
	require.NoError(t, h.tenants["a"].shipped.forget(func(id ulid.ULID) bool { return id == blocks[0].Meta().ULID }))
	require.Equal(t, 2, gone())
}

func TestIdleTenantIsFlushed(t *testing.T) {
	now := testNow
	opts := testHeadOptions(t, t.TempDir(), objstore.NewInMemBucket())
	opts.Now = func() time.Time { return now }
	h := openTestHeads(t, opts)
	push(t, h, "a", floats("m", Sample{T: at(0), V: 1}))
	head := h.tenants["a"]
	require.NoError(t, head.maintain(t.Context()))
	require.NotZero(t, head.db.Head().NumSeries())
	now = now.Add(4 * time.Hour)
	require.NoError(t, head.maintain(t.Context()))
	require.Zero(t, head.db.Head().NumSeries())
	require.Len(t, head.db.Blocks(), 1)
	require.True(t, head.shipped.has(head.db.Blocks()[0].Meta().ULID))
}

// What Thanos wrote has no hashes; old versions listed no files either.
func TestStoreReadsBlocksOfThanos(t *testing.T) {
	src := objstore.NewInMemBucket()
	shipBlocks(t, src, "a", 1)
	bkt := tenantBucket(src, "a")
	ids, err := listBlocks(t.Context(), bkt)
	require.NoError(t, err)
	meta, err := readMeta(t.Context(), bkt, ids[0])
	require.NoError(t, err)
	meta.Thanos = metadata.Thanos{Version: 1, Labels: map[string]string{"prometheus": "p"}, Source: metadata.SidecarSource}
	var buf bytes.Buffer
	require.NoError(t, meta.Write(&buf))
	require.NoError(t, bkt.Upload(t.Context(), ids[0].String()+"/meta.json", &buf))
	s := newTestStore(t, src)
	require.NoError(t, s.Refresh(t.Context()))
	require.Len(t, countOver(t, "a", s), 1)
	values, err := s.LabelValues(t.Context(), "a", labels.MetricName, Select{Start: MinTime, End: MaxTime})
	require.NoError(t, err)
	require.Equal(t, []string{"m"}, values)
}
