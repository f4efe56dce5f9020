package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/fault"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // what the providers' libraries start at init
}

var ctx = context.Background()

func openFS(t testing.TB) *FS {
	t.Helper()
	b, err := OpenFilesystem(filepath.Join(t.TempDir(), "a", "bucket"))
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

func put(t testing.TB, b objstore.Bucket, name, content string) {
	t.Helper()
	require.NoError(t, b.Upload(ctx, name, strings.NewReader(content)))
}

func list(t testing.TB, b objstore.Bucket, dir string, opts ...objstore.IterOption) []string {
	t.Helper()
	var names []string
	require.NoError(t, b.Iter(ctx, dir, func(n string) error { names = append(names, n); return nil }, opts...))
	return names
}

func TestAcceptance(t *testing.T) {
	objstore.AcceptanceTest(t, openFS(t))
}

func TestAcceptanceOfOpen(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Prefix = "some/prefix/"
	b, err := Open(cfg, t.TempDir(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	defer b.Close()
	objstore.AcceptanceTest(t, b)
}

func TestNames(t *testing.T) {
	b := openFS(t)
	outside := filepath.Join(filepath.Dir(b.dir), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o666))
	require.NoError(t, os.Symlink(outside, filepath.Join(b.dir, "link")))
	require.NoError(t, os.Symlink(filepath.Dir(b.dir), filepath.Join(b.dir, "dirlink")))
	for _, name := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../outside", "a/../../outside", "a/./b", "a\x00b", `..\outside`,
		"~tmp/x", "link", "dirlink/outside", strings.Repeat("a", 1025),
	} {
		_, err := b.Get(ctx, name)
		require.Error(t, err, name)
		if strings.Contains(name, "link") {
			continue // an upload replaces a link instead of following it
		}
		require.Error(t, b.Upload(ctx, name, strings.NewReader("x")), name)
		require.Error(t, b.Delete(ctx, name), name)
		_, err = b.Attributes(ctx, name)
		require.Error(t, err, name)
	}
	require.Error(t, b.Upload(ctx, "dirlink/outside", strings.NewReader("x")))
	got, err := os.ReadFile(outside)
	require.NoError(t, err)
	require.Equal(t, "secret", string(got))
	require.Error(t, b.Iter(ctx, "..", func(string) error { return nil }))
	require.Empty(t, list(t, b, "")) // neither links nor the folder of unfinished uploads
}

func TestIterOrderIsThatOfS3(t *testing.T) {
	b := openFS(t)
	for _, n := range []string{"a/1", "a-b", "a.b", "a/0/z", "b"} {
		put(t, b, n, n)
	}
	require.Equal(t, []string{"a-b", "a.b", "a/", "b"}, list(t, b, ""))
	require.Equal(t, []string{"a-b", "a.b", "a/0/z", "a/1", "b"}, list(t, b, "", objstore.WithRecursiveIter()))
	require.NoError(t, os.MkdirAll(filepath.Join(b.dir, "empty", "deeper"), 0o777))
	require.NotContains(t, list(t, b, ""), "empty/")
	stop := errors.New("stop")
	require.ErrorIs(t, b.Iter(ctx, "", func(string) error { return stop }), stop)
	var at time.Time
	require.NoError(t, b.IterWithAttributes(ctx, "a", func(a objstore.IterObjectAttributes) error {
		at, _ = a.LastModified()
		return nil
	}, objstore.WithUpdatedAt()))
	require.WithinDuration(t, time.Now(), at, time.Minute)
}

func TestDeleteRemovesEmptyFolders(t *testing.T) {
	b := openFS(t)
	put(t, b, "t/logs/1/data", "x")
	put(t, b, "t/logs/2/data", "x")
	require.NoError(t, b.Delete(ctx, "t/logs/1/data"))
	require.NoDirExists(t, filepath.Join(b.dir, "t/logs/1"))
	require.NoError(t, b.Delete(ctx, "t/logs/2/data"))
	require.NoDirExists(t, filepath.Join(b.dir, "t"))
	require.True(t, b.IsObjNotFoundErr(b.Delete(ctx, "t/logs/2/data")))
	put(t, b, "t/x", "x")
	require.True(t, b.IsObjNotFoundErr(b.Delete(ctx, "t"))) // a folder is no object
	_, err := b.Get(ctx, "t/x/y")
	require.True(t, b.IsObjNotFoundErr(err))
}

// TestUploadBesideDelete uploads and deletes objects of one folder at the same time, so that the
// folder comes and goes.
func TestUploadBesideDelete(t *testing.T) {
	b := openFS(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 30 {
				name := fmt.Sprintf("t/logs/block/%d-%d", g, i)
				if err := b.Upload(ctx, name, strings.NewReader("x")); err != nil {
					t.Error(err)
				}
				if err := b.Delete(ctx, name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Empty(t, list(t, b, ""))
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestUploadIsAllOrNothing(t *testing.T) {
	b := openFS(t)
	put(t, b, "a", "old")
	broken := errors.New("broken")
	require.ErrorIs(t, b.Upload(ctx, "a", io.MultiReader(strings.NewReader("new"), failingReader{broken})), broken)
	cancelled, cancel := context.WithCancel(ctx)
	require.ErrorIs(t, b.Upload(cancelled, "a", io.MultiReader(strings.NewReader("new"), readerFunc(func() { cancel() }))), context.Canceled)
	rc, err := b.Get(ctx, "a")
	require.NoError(t, err)
	got, err := io.ReadAll(rc)
	require.NoError(t, err)
	require.NoError(t, rc.Close())
	require.Equal(t, "old", string(got))
	left, err := os.ReadDir(filepath.Join(b.dir, tmpDir))
	require.NoError(t, err)
	require.Empty(t, left)
}

// readerFunc calls itself at its first Read and then gives bytes without end.
type readerFunc func()

func (f readerFunc) Read(p []byte) (int, error) { f(); return len(p), nil }

func TestStaleUploadsAreRemoved(t *testing.T) {
	b := openFS(t)
	for _, n := range []string{"young", "old"} {
		require.NoError(t, os.WriteFile(filepath.Join(b.dir, tmpDir, n), nil, 0o666))
	}
	day := time.Now().Add(-25 * time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(b.dir, tmpDir, "old"), day, day))
	again, err := OpenFilesystem(b.dir)
	require.NoError(t, err)
	defer again.Close()
	require.FileExists(t, filepath.Join(b.dir, tmpDir, "young"))
	require.NoFileExists(t, filepath.Join(b.dir, tmpDir, "old"))
}

func TestCounterAndRanger(t *testing.T) {
	b, err := Open(DefaultConfig(), t.TempDir(), nil, nil)
	require.NoError(t, err)
	defer b.Close()
	put(t, b, "a", "0123456789")
	var c Counter
	r := Ranger{b}
	cctx := NewContext(ctx, &c)
	for _, tc := range []struct {
		off, n int64
		want   string
	}{{0, 10, "0123456789"}, {3, 4, "3456"}, {8, 10, "89"}, {5, 0, ""}, {20, 5, ""}} {
		got, err := r.ReadRange(cctx, "a", tc.off, tc.n)
		require.NoError(t, err)
		require.Equal(t, tc.want, string(got))
	}
	require.EqualValues(t, 4, c.Requests())
	require.EqualValues(t, 16, c.Bytes())
	_, err = r.ReadRange(cctx, "b", 0, 1)
	require.Equal(t, fault.NotFound, fault.ClassOf(err))
	for _, bad := range [][2]int64{{-1, 1}, {0, -1}, {0, 1 << 40}} {
		_, err = r.ReadRange(cctx, "a", bad[0], bad[1])
		require.ErrorContains(t, err, "not valid")
	}
	expected := b.WithExpectedErrs(b.IsObjNotFoundErr)
	_, err = expected.Get(cctx, "missing")
	require.Error(t, err)
	rc, err := expected.Get(cctx, "a")
	require.NoError(t, err)
	defer rc.Close()
	size, err := objstore.TryToGetSize(rc)
	require.NoError(t, err)
	require.EqualValues(t, 10, size)
	require.EqualValues(t, 7, c.Requests())
}

// flipping changes one byte of everything that is uploaded.
type flipping struct{ objstore.Bucket }

func (b flipping) Upload(ctx context.Context, name string, r io.Reader, _ ...objstore.ObjectUploadOption) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	return b.Bucket.Upload(ctx, name, bytes.NewReader(data))
}

// truncating drops the last byte.
type truncating struct{ objstore.Bucket }

func (b truncating) Upload(ctx context.Context, name string, r io.Reader, _ ...objstore.ObjectUploadOption) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return b.Bucket.Upload(ctx, name, bytes.NewReader(data[1:]))
}

func TestUploadVerified(t *testing.T) {
	b := openFS(t)
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("data"), 10_000), 0o666))
	require.NoError(t, UploadVerified(ctx, b, "x/y", file))
	require.ErrorIs(t, UploadVerified(ctx, flipping{b}, "x/y", file), ErrMismatch)
	require.ErrorIs(t, UploadVerified(ctx, truncating{b}, "x/y", file), ErrMismatch)
	require.ErrorIs(t, UploadVerified(ctx, b, "x/y", file+"-"), os.ErrNotExist)
	require.Error(t, Verify(ctx, b, "x/z", 1, 1))
}

func TestConfig(t *testing.T) {
	decode := func(text string) (Config, error) {
		cfg := DefaultConfig()
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(&cfg); err != nil {
			return cfg, err
		}
		return cfg, cfg.Validate()
	}
	good := map[string]string{
		"default":    "{}",
		"filesystem": "filesystem: {directory: /data}",
		"s3":         "{provider: s3, s3: {bucket: b, endpoint: 's3.example.com:443', access_key: a, secret_key: s, region: eu, http_config: {idle_conn_timeout: 1m}, bucket_lookup_type: path}}",
		"gcs":        "{provider: gcs, gcs: {bucket: b}}",
		"azure":      "{provider: azure, azure: {storage_account: a, storage_account_key: c2VjcmV0, container: c}}",
		"oci":        "{provider: oci, oci: {provider: default, bucket: b, compartment_ocid: c}}",
		"prefix":     "prefix: hune/prod/",
	}
	for name, text := range good {
		_, err := decode(text)
		require.NoError(t, err, name)
	}
	bad := map[string]string{
		"provider: floppy":  `"floppy" is none of`,
		"s3: {buckett: x}":  "buckett",
		"provider: s3":      "s3.bucket: missing",
		"prefix: ../up":     "prefix",
		"{provider: gcs}":   "gcs.bucket: missing",
		"{provider: azure}": "azure.container: missing",
		"{provider: swift}": "swift.container_name: missing",
		"{provider: oss}":   "oss.bucket",
		"{provider: bos}":   "bos.bucket",
		"{provider: oci}":   "oci.bucket",
		"{provider: obs}":   "obs.bucket",
		"{provider: s3, s3: {bucket: b, endpoint: 'https://e'}}": "without a scheme",
	}
	for text, want := range bad {
		_, err := decode(text)
		require.ErrorContains(t, err, want, text)
	}
	// The sections reach the clients.
	for name, text := range good {
		if name == "gcs" || name == "oci" || name == "azure" {
			continue // these ask the network, or the machine for credentials, at once
		}
		cfg, err := decode(text)
		require.NoError(t, err)
		if cfg.Provider == Filesystem {
			cfg.Filesystem.Directory = t.TempDir()
		}
		b, err := Open(cfg, t.TempDir(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		require.NoError(t, err, name)
		require.NoError(t, b.Close())
	}
	_, err := Open(Config{Provider: "floppy"}, "", nil, nil)
	require.ErrorContains(t, err, "open bucket")
}

func BenchmarkReadRange(b *testing.B) {
	fs := openFS(b)
	if err := fs.Upload(ctx, "a", bytes.NewReader(make([]byte, 8<<20))); err != nil {
		b.Fatal(err)
	}
	r := Ranger{fs}
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for i := range b.N {
		if _, err := r.ReadRange(ctx, "a", int64(i%128)<<16, 64<<10); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzName stores an object under a hostile name: it is refused, or it is there under that name and
// nowhere else.
func FuzzName(f *testing.F) {
	for _, n := range []string{"a/b", "../x", "a/../../x", "/etc/passwd", "~tmp/x", "a//b", ".", "a\x00", "it's(a)tenant!*/logs/1", "a/.", "\n"} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, name string) {
		outer := t.TempDir()
		b, err := OpenFilesystem(filepath.Join(outer, "bucket"))
		require.NoError(t, err)
		defer b.Close()
		if err := b.Upload(ctx, name, strings.NewReader("content")); err == nil {
			require.Equal(t, []string{name}, list(t, b, "", objstore.WithRecursiveIter()))
			got, err := Ranger{b}.ReadRange(ctx, name, 0, 100)
			require.NoError(t, err)
			require.Equal(t, "content", string(got))
			require.NoError(t, b.Delete(ctx, name))
		}
		require.Empty(t, list(t, b, "", objstore.WithRecursiveIter()))
		entries, err := os.ReadDir(outer)
		require.NoError(t, err)
		require.Len(t, entries, 1)
	})
}

// Folders vanish while they are listed: a block is deleted, another comes. The list goes on.
func TestIterBesideDelete(t *testing.T) {
	b, err := OpenFilesystem(t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	ctx := t.Context()
	require.NoError(t, b.Upload(ctx, "blocks/stays/meta.json", strings.NewReader("{}")))
	done := make(chan error, 1)
	go func() {
		for i := range 300 {
			name := fmt.Sprintf("blocks/b%d/meta.json", i%3)
			if err := errors.Join(b.Upload(ctx, name, strings.NewReader("{}")), b.Delete(ctx, name)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for running := true; running; {
		select {
		case err := <-done:
			require.NoError(t, err)
			running = false
		default:
		}
		found := false
		require.NoError(t, b.Iter(ctx, "blocks", func(name string) error {
			found = found || name == "blocks/stays/"
			return nil
		}))
		require.True(t, found)
	}
}
