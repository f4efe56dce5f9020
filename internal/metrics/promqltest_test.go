package metrics

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/testutil"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

// Prometheus's own suite for PromQL, with our heads below, and with the blocks of the bucket.
func TestPromQLSuite(t *testing.T) {
	for _, place := range []string{"head", "blocks"} {
		t.Run(place, func(t *testing.T) {
			if place == "blocks" && testing.Short() {
				t.Skip("the second half of the suite takes long; -short leaves it out")
			}
			engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
			promqltest.RunBuiltinTestsWithStorage(t, engine, func(tt testutil.T) storage.Storage {
				return newSuiteStorage(t, tt, place == "blocks")
			})
		})
	}
}

// suiteStorage is Heads and BlockStore as the storage of the suite.
type suiteStorage struct {
	t      testutil.T
	heads  *Heads
	store  *BlockStore
	blocks bool // answer from blocks only
}

func newSuiteStorage(t *testing.T, tt testutil.T, blocks bool) *suiteStorage {
	bkt := objstore.NewInMemBucket()
	opts := testHeadOptions(t, t.TempDir(), bkt)
	// The suite loads data from 1970 on, whatever it loaded before.
	opts.Config.BlockRange = model.Duration(10000 * time.Hour)
	opts.Config.OutOfOrderWindow = model.Duration(100000 * time.Hour)
	opts.SyncAlways = false
	return &suiteStorage{t: tt, heads: openTestHeads(t, opts), store: newTestStore(t, bkt), blocks: blocks}
}

func (s *suiteStorage) Appender(context.Context) storage.Appender { return &suiteAppender{s: s} }
func (s *suiteStorage) StartTime() (int64, error)                 { return 0, nil }

func (s *suiteStorage) Close() error {
	return s.heads.Close()
}

func (s *suiteStorage) ChunkQuerier(int64, int64) (storage.ChunkQuerier, error) {
	return nil, errors.ErrUnsupported
}

func (s *suiteStorage) Querier(mint, maxt int64) (storage.Querier, error) {
	q := &querier{tenant: "suite", sources: []Source{s.heads}, mint: mint, maxt: maxt}
	if s.blocks {
		q.sources = []Source{s.store}
	}
	return q, nil
}

type suiteAppender struct {
	storage.Appender // nil: the suite uses no other methods
	s                *suiteStorage
	b                Batch
}

func (a *suiteAppender) Append(_ storage.SeriesRef, ls labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	s := a.series(ls)
	s.Samples = append(s.Samples, Sample{T: t, V: v})
	return 0, nil
}

func (a *suiteAppender) AppendHistogram(_ storage.SeriesRef, ls labels.Labels, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	s := a.series(ls)
	s.Histograms = append(s.Histograms, HistogramSample{T: t, H: h, FH: fh})
	return 0, nil
}

func (a *suiteAppender) AppendExemplar(storage.SeriesRef, labels.Labels, exemplar.Exemplar) (storage.SeriesRef, error) {
	return 0, nil
}

func (a *suiteAppender) UpdateMetadata(storage.SeriesRef, labels.Labels, metadata.Metadata) (storage.SeriesRef, error) {
	return 0, nil
}

// series begins a new entry whenever the series changes, so that floats and histograms of one
// series keep their order.
func (a *suiteAppender) series(ls labels.Labels) *Series {
	a.b.Series = append(a.b.Series, Series{Labels: ls})
	return &a.b.Series[len(a.b.Series)-1]
}

func (a *suiteAppender) Commit() error {
	r, err := a.s.heads.Append(context.Background(), "suite", &a.b)
	if err != nil || len(r.Rejected) > 0 {
		return errors.Join(err, fmt.Errorf("rejected: %v", r.Rejected))
	}
	if !a.s.blocks {
		return nil
	}
	require.NoError(a.s.t, a.s.heads.Flush(context.Background()))
	return a.s.store.Refresh(context.Background())
}

func (*suiteAppender) Rollback() error { return nil }
