package block

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/signal"
)

func id(n byte) ulid.ULID {
	var u ulid.ULID
	u[0], u[15] = 1, n
	return u
}

// localBlock writes a block to a folder.
func localBlock(t testing.TB, n byte) (dir string, m *Meta) {
	t.Helper()
	dir = t.TempDir()
	f, err := os.Create(filepath.Join(dir, DataFile))
	require.NoError(t, err)
	w := NewWriter(f, WriterOptions{})
	_, err = w.Blob(sample(int(n), 10_000), CodecZstd)
	require.NoError(t, err)
	require.NoError(t, w.Section(1, []byte("section"), CodecZstd))
	size, err := w.Close()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return dir, &Meta{
		Version: MetaVersion, ULID: id(n), Tenant: "acme", Signal: signal.Logs, MinTime: 5, MaxTime: 10, Rows: 3,
		RawBytes: 10_000, StoredBytes: size, Producer: "test", Created: time.Unix(1700000000, 0).UTC(),
		Data: File{Size: size, CRC32C: w.CRC()},
	}
}

func testBucket(t testing.TB) *bucket.FS {
	t.Helper()
	b, err := bucket.OpenFilesystem(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// uploads counts them.
type uploads struct {
	objstore.Bucket
	names []string
	fail  string // uploads of names that end so fail
}

func (u *uploads) Upload(ctx context.Context, name string, r io.Reader, o ...objstore.ObjectUploadOption) error {
	if u.fail != "" && strings.HasSuffix(name, u.fail) {
		return errDisk
	}
	u.names = append(u.names, name)
	return u.Bucket.Upload(ctx, name, r, o...)
}

func TestUploadListDelete(t *testing.T) {
	ctx := context.Background()
	b := &uploads{Bucket: testBucket(t)}
	dir, m := localBlock(t, 1)
	b.fail = MetaFile
	require.ErrorIs(t, Upload(ctx, b, dir, m), errDisk)
	l, err := List(ctx, b, "acme", signal.Logs)
	require.NoError(t, err)
	require.Empty(t, l.Blocks)
	require.ErrorIs(t, l.Broken[m.ULID], ErrPartial)

	b.fail = ""
	require.NoError(t, Upload(ctx, b, dir, m))
	sent := len(b.names)
	require.NoError(t, Upload(ctx, b, dir, m))
	require.Len(t, b.names, sent) // nothing is sent twice
	dir2, m2 := localBlock(t, 2)
	require.NoError(t, Upload(ctx, b, dir2, m2))

	r, err := Open(ctx, bucket.Ranger{Bucket: b}, m.DataPath(), m.Data.Size, ReaderOptions{})
	require.NoError(t, err)
	got, err := r.Section(ctx, 1)
	require.NoError(t, err)
	require.Equal(t, "section", string(got))

	// A folder that is no block, an object where a folder should be, and a meta of another block.
	require.NoError(t, b.Upload(ctx, "acme/logs/notes/x", strings.NewReader("x")))
	require.NoError(t, b.Upload(ctx, "acme/logs/"+id(9).String(), strings.NewReader("x")))
	enc, err := m.Encode()
	require.NoError(t, err)
	require.NoError(t, b.Upload(ctx, Dir("acme", signal.Logs, id(3))+"/"+MetaFile, bytes.NewReader(enc)))
	ids, err := IDs(ctx, b, "acme", signal.Logs)
	require.NoError(t, err)
	require.Equal(t, []ulid.ULID{id(1), id(2), id(3)}, ids)
	l, err = List(ctx, b, "acme", signal.Logs)
	require.NoError(t, err)
	require.Equal(t, []*Meta{m, m2}, l.Blocks)
	require.True(t, IsCorruption(l.Broken[id(3)]))
	tenants, err := Tenants(ctx, b)
	require.NoError(t, err)
	require.Equal(t, []string{"acme"}, tenants)

	require.NoError(t, Delete(ctx, b, "acme", signal.Logs, m.ULID))
	require.NoError(t, Delete(ctx, b, "acme", signal.Logs, m.ULID))
	_, err = ReadMeta(ctx, b, "acme", signal.Logs, m.ULID)
	require.ErrorIs(t, err, ErrPartial)
	ok, err := b.Exists(ctx, m.DataPath())
	require.NoError(t, err)
	require.False(t, ok)
	none, err := List(ctx, b, "nobody", signal.Traces)
	require.NoError(t, err)
	require.Empty(t, none.Blocks)
}

func TestUploadRefuses(t *testing.T) {
	ctx := context.Background()
	b := testBucket(t)
	dir, m := localBlock(t, 1)
	wrong := *m
	wrong.Data.CRC32C++
	require.ErrorIs(t, Upload(ctx, b, dir, &wrong), bucket.ErrMismatch)
	require.NoError(t, Upload(ctx, b, dir, m))
	require.ErrorIs(t, Upload(ctx, b, dir, &wrong), ErrConflict)
	// A damaged meta.json is replaced.
	require.NoError(t, b.Upload(ctx, m.Dir()+"/"+MetaFile, strings.NewReader("{")))
	_, err := ReadMeta(ctx, b, "acme", signal.Logs, m.ULID)
	require.True(t, IsCorruption(err))
	require.NoError(t, Upload(ctx, b, dir, m))
	got, err := ReadMeta(ctx, b, "acme", signal.Logs, m.ULID)
	require.NoError(t, err)
	require.Equal(t, m, got)
	// A truncated data.hune too.
	require.NoError(t, b.Upload(ctx, m.DataPath(), strings.NewReader("x")))
	require.NoError(t, Upload(ctx, b, dir, m))
	require.NoError(t, bucket.Verify(ctx, b, m.DataPath(), m.Data.Size, m.Data.CRC32C))
	// A meta.json that never ends is not read to its end.
	require.NoError(t, b.Upload(ctx, m.Dir()+"/"+MetaFile, bytes.NewReader(make([]byte, maxMetaLen+1))))
	_, err = ReadMeta(ctx, b, "acme", signal.Logs, m.ULID)
	require.True(t, IsCorruption(err))
}

func TestMetaValidate(t *testing.T) {
	_, good := localBlock(t, 1)
	require.NoError(t, good.Validate())
	require.True(t, good.Overlaps(10, 20))
	require.True(t, good.Overlaps(0, 5))
	require.False(t, good.Overlaps(11, 20))
	for want, change := range map[string]func(*Meta){
		"version 2":    func(m *Meta) { m.Version = 2 },
		"ulid":         func(m *Meta) { m.ULID = ulid.ULID{} },
		"tenant":       func(m *Meta) { m.Tenant = "../x" },
		"signal":       func(m *Meta) { m.Signal = "metrics" },
		"min_time":     func(m *Meta) { m.MinTime = 11 },
		"rows":         func(m *Meta) { m.Rows = 0 },
		"raw_bytes":    func(m *Meta) { m.RawBytes = -1 },
		"level":        func(m *Meta) { m.Level = -1 },
		"data.size":    func(m *Meta) { m.Data.Size = 10 },
		"stored_bytes": func(m *Meta) { m.StoredBytes = 10 },
		"created":      func(m *Meta) { m.Created = time.Time{} },
	} {
		m := *good
		change(&m)
		require.ErrorContains(t, m.Validate(), want)
		_, err := m.Encode()
		require.Error(t, err)
	}
	future := *good
	future.Version = 2
	require.True(t, errors.Is(future.Validate(), ErrVersion))
}

func FuzzDecodeMeta(f *testing.F) {
	_, m := localBlock(f, 1)
	enc, err := m.Encode()
	require.NoError(f, err)
	f.Add(enc)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMeta(b)
		if err != nil {
			return
		}
		enc, err := m.Encode()
		require.NoError(t, err)
		again, err := DecodeMeta(enc)
		require.NoError(t, err)
		// Times that differ only in how their zone was written are equal.
		require.True(t, m.Created.Equal(again.Created))
		again.Created = m.Created
		require.Equal(t, m, again)
	})
}
