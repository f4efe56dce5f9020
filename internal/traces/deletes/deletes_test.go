package deletes

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bookOf is a book whose searches find what queries say in found.
func bookOf(bkt objstore.Bucket, found map[string][]traces.ID) *Book {
	return New(Options{Bucket: bkt, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return now },
		Find: func(_ context.Context, tenant, query string, start, end uint64, limit int) ([]traces.ID, error) {
			if tenant != "a" || start != 10 || end != 20 || limit != maxTraces {
				return nil, errors.New("another question")
			}
			return append([]traces.ID(nil), found[query]...), nil
		}})
}

var found = map[string][]traces.ID{
	`{ name = "x" }`: {{3}, {1}, {2}},
	`{ name = "y" }`: {{4}},
}

func TestLifeOfARequest(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	b := bookOf(bkt, found)
	require.Nil(t, b.Hidden("a"))
	r, err := b.Add(t.Context(), "a", `{ name = "x" }`, 10, 20)
	require.NoError(t, err)
	require.Equal(t, 3, r.Found)
	y, err := b.Add(t.Context(), "a", `{ name = "y" }`, 10, 20)
	require.NoError(t, err)
	none, err := b.Add(t.Context(), "a", `{ name = "z" }`, 10, 20)
	require.NoError(t, err)
	require.Equal(t, 0, none.Found)
	require.Equal(t, []traces.ID{{1}, {2}, {3}, {4}}, b.Hidden("a").IDs(), "at once")
	require.Nil(t, b.Hidden("b"))

	// Another process knows with its next refresh; it reads each list once.
	other := bookOf(bkt, nil)
	require.NoError(t, other.Refresh(t.Context(), []string{"a"}))
	require.Equal(t, []traces.ID{{1}, {2}, {3}, {4}}, other.Hidden("a").IDs())
	require.Equal(t, 3, other.Active("a").Len())

	require.NoError(t, b.Begin(t.Context(), "a", []string{r.ID}))
	require.Equal(t, []traces.ID{{1}, {2}, {3}}, b.Active("a").Of([]string{r.ID, none.ID}).IDs())
	require.NoError(t, b.Cancel(t.Context(), "a", y.ID, false))
	require.Equal(t, []traces.ID{{1}, {2}, {3}}, b.Hidden("a").IDs())
	require.NotContains(t, bkt.Objects(), idsPath("a", y.ID), "nobody needs its list")
	require.NoError(t, b.Finish(t.Context(), "a", []string{r.ID, none.ID}))
	require.Nil(t, b.Hidden("a"))
	require.Nil(t, b.Active("a"))
	require.Len(t, bkt.Objects(), 1, "the record alone")
	require.NoError(t, other.Refresh(t.Context(), []string{"a"}))
	require.Nil(t, other.Hidden("a"))
}

// down is a bucket that takes no list of requests.
type down struct {
	objstore.Bucket
	refuse string
}

func (d *down) Upload(ctx context.Context, name string, r io.Reader, opts ...objstore.ObjectUploadOption) error {
	if strings.HasSuffix(name, d.refuse) {
		return errors.New("down")
	}
	return d.Bucket.Upload(ctx, name, r, opts...)
}

// What was written for a request that was not accepted hides nothing, and goes with the next one.
func TestAFailedWriteHidesNothing(t *testing.T) {
	mem := objstore.NewInMemBucket()
	bkt := &down{mem, "deletes.json"}
	b := bookOf(bkt, found)
	for _, bkt.refuse = range []string{".ids", "deletes.json"} {
		_, err := b.Add(t.Context(), "a", `{ name = "x" }`, 10, 20)
		require.ErrorContains(t, err, "down")
		require.Nil(t, b.Hidden("a"))
	}
	require.Len(t, mem.Objects(), 1, "a list of traces is left")
	bkt.refuse = "nothing"
	_, err := b.Add(t.Context(), "a", `{ name = "y" }`, 10, 20)
	require.NoError(t, err)
	require.Equal(t, []traces.ID{{4}}, b.Hidden("a").IDs())
	require.Len(t, mem.Objects(), 2)
}

// A request whose list can't be read hides nothing; the others do.
func TestUnreadableLists(t *testing.T) {
	for name, content := range map[string]string{"gone": "", "damaged": "x"} {
		bkt := objstore.NewInMemBucket()
		b := bookOf(bkt, found)
		r, err := b.Add(t.Context(), "a", `{ name = "x" }`, 10, 20)
		require.NoError(t, err)
		_, err = b.Add(t.Context(), "a", `{ name = "y" }`, 10, 20)
		require.NoError(t, err)
		if content == "" {
			require.NoError(t, bkt.Delete(t.Context(), idsPath("a", r.ID)))
		} else {
			require.NoError(t, bkt.Upload(t.Context(), idsPath("a", r.ID), strings.NewReader(content)))
		}
		other := bookOf(bkt, nil)
		require.NoError(t, other.Refresh(t.Context(), []string{"a"}), name)
		require.Equal(t, []traces.ID{{4}}, other.Hidden("a").IDs(), name)
	}
}

func TestTracesAreBounded(t *testing.T) {
	many := make([]traces.ID, maxTraces)
	for i := range many {
		many[i] = traces.ID{byte(i), byte(i >> 8), byte(i >> 16), 9}
	}
	b := bookOf(objstore.NewInMemBucket(), map[string][]traces.ID{"{ }": many, `{ name = "x" }`: {{1}}})
	_, err := b.Add(t.Context(), "a", `{ name = "x" }`, 10, 20)
	require.NoError(t, err)
	_, err = b.Add(t.Context(), "a", "{ }", 10, 20)
	require.Equal(t, fault.Unprocessable, fault.ClassOf(err))
	require.Equal(t, 1, b.Active("a").Len())
	for _, query := range []string{"", "{", "{ } | rate()", `{ name = "` + strings.Repeat("x", 20000) + `" }`} {
		_, err := b.Add(t.Context(), "a", query, 10, 20)
		require.Equal(t, fault.Invalid, fault.ClassOf(err))
	}
}

// The list is as docs/formats/trace-deletes.md shows it.
func TestGolden(t *testing.T) {
	b := appendIDs(nil, traces.NewIDSet([]traces.ID{{15: 2}, {15: 1}}))
	require.Equal(t, "48554e4549445301"+"0200000000000000"+
		"00000000000000000000000000000001"+"00000000000000000000000000000002"+"5fbdc7fd", hex.EncodeToString(b))
	set, err := decodeIDs(b)
	require.NoError(t, err)
	require.Equal(t, []traces.ID{{15: 1}, {15: 2}}, set.IDs())
	for i := range b {
		bad := append([]byte(nil), b...)
		bad[i] ^= 4
		_, err := decodeIDs(bad)
		require.Error(t, err, "byte %d", i)
		_, err = decodeIDs(b[:i])
		require.Error(t, err, "cut at %d", i)
	}
}

func FuzzDecodeIDs(f *testing.F) {
	f.Add(appendIDs(nil, nil))
	f.Add(appendIDs(nil, traces.NewIDSet([]traces.ID{{1}, {2}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := decodeIDs(b)
		if err == nil {
			require.Equal(t, b, appendIDs(nil, set))
		}
	})
}
