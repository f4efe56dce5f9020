package s3

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/grafana/dskit/services"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/bucket"
	"github.com/hune-io/hune/internal/signal"
)

var ctx = context.Background()

const (
	accessKey = "hune"
	secretKey = "secret-of-hune"
)

func serve(t testing.TB, buckets ...string) *Server {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listen, cfg.AccessKey, cfg.SecretKey, cfg.Buckets = "127.0.0.1:0", accessKey, secretKey, buckets
	s, err := New(cfg, t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, services.StartAndAwaitRunning(ctx, s))
	t.Cleanup(func() {
		start := time.Now()
		require.NoError(t, services.StopAndAwaitTerminated(ctx, s))
		require.Less(t, time.Since(start), 5*time.Second)
	})
	return s
}

// openBucket opens a bucket of s as a user of Hune does.
func openBucket(t testing.TB, s *Server, name string) objstore.Bucket {
	t.Helper()
	cfg := bucket.DefaultConfig()
	cfg.Provider = bucket.S3
	cfg.S3.Bucket, cfg.S3.Endpoint, cfg.S3.Insecure = name, s.Addr(), true
	cfg.S3.AccessKey, cfg.S3.SecretKey = accessKey, secretKey
	b, err := bucket.Open(cfg, t.TempDir(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

func client(s *Server) *awss3.Client {
	return awss3.New(awss3.Options{
		BaseEndpoint: aws.String("http://" + s.Addr()), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{}},
	})
}

func TestAcceptance(t *testing.T) {
	s := serve(t, "blocks")
	objstore.AcceptanceTest(t, openBucket(t, s, "blocks"))
}

func TestTwoServersAndTheWorkingDirectory(t *testing.T) {
	before, err := os.Getwd()
	require.NoError(t, err)
	a, b := serve(t, "one"), serve(t, "one", "two")
	after, err := os.Getwd()
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, openBucket(t, a, "one").Upload(ctx, "x/y", strings.NewReader("of a")))
	require.NoError(t, openBucket(t, b, "one").Upload(ctx, "x/y", strings.NewReader("of b")))
	for s, want := range map[*Server]string{a: "of a", b: "of b"} {
		got, err := os.ReadFile(filepath.Join(s.root, "one", "x", "y"))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	out, err := client(b).ListBuckets(ctx, &awss3.ListBucketsInput{})
	require.NoError(t, err)
	require.Len(t, out.Buckets, 2)
	require.Equal(t, "one", *out.Buckets[0].Name)
}

func TestBlocksInS3(t *testing.T) {
	b := openBucket(t, serve(t, "blocks"), "blocks")
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, block.DataFile))
	require.NoError(t, err)
	w := block.NewWriter(f, block.WriterOptions{})
	ref, err := w.Blob(bytes.Repeat([]byte("hello "), 100_000), block.CodecRaw)
	require.NoError(t, err)
	require.NoError(t, w.Section(100, []byte("section"), block.CodecRaw))
	size, err := w.Close()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	m := &block.Meta{
		Version: block.MetaVersion, ULID: ulid.Make(), Tenant: "it's(a)tenant!*", Signal: signal.Traces, MinTime: 1, MaxTime: 2,
		Rows: 1, StoredBytes: size, Producer: "test", Created: time.Now().UTC(), Data: block.File{Size: size, CRC32C: w.CRC()},
	}
	require.NoError(t, block.Upload(ctx, b, dir, m))
	require.NoError(t, block.Upload(ctx, b, dir, m))
	tenants, err := block.Tenants(ctx, b)
	require.NoError(t, err)
	require.Equal(t, []string{m.Tenant}, tenants)
	l, err := block.List(ctx, b, m.Tenant, m.Signal)
	require.NoError(t, err)
	require.Len(t, l.Blocks, 1)
	var c bucket.Counter
	cctx := bucket.NewContext(ctx, &c)
	r, err := block.Open(cctx, bucket.Ranger{Bucket: b}, m.DataPath(), m.Data.Size, block.ReaderOptions{})
	require.NoError(t, err)
	got, err := r.Blob(cctx, ref)
	require.NoError(t, err)
	require.Len(t, got, 600_000)
	require.EqualValues(t, 2, c.Requests())
	require.NoError(t, block.Delete(ctx, b, m.Tenant, m.Signal, m.ULID))
	require.NoError(t, block.Delete(ctx, b, m.Tenant, m.Signal, m.ULID))
	l, err = block.List(ctx, b, m.Tenant, m.Signal)
	require.NoError(t, err)
	require.Empty(t, l.Blocks)
}

func TestS3API(t *testing.T) {
	s := serve(t, "src")
	c := client(s)
	str := aws.String
	_, err := c.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: str("dst")})
	require.NoError(t, err)
	_, err = c.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: str("src"), Key: str("a/b"), Body: strings.NewReader("0123456789"), ContentType: str("text/plain"),
		Metadata: map[string]string{"colour": "blue"},
	})
	require.NoError(t, err)

	_, err = c.CopyObject(ctx, &awss3.CopyObjectInput{Bucket: str("dst"), Key: str("copy"), CopySource: str("src/a/b")})
	require.NoError(t, err)
	got, err := c.GetObject(ctx, &awss3.GetObjectInput{Bucket: str("dst"), Key: str("copy"), Range: str("bytes=2-4")})
	require.NoError(t, err)
	body, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.Equal(t, "234", string(body))
	require.Equal(t, "blue", got.Metadata["colour"])
	require.Equal(t, "text/plain", *got.ContentType)
	_, err = c.CopyObject(ctx, &awss3.CopyObjectInput{Bucket: str("dst"), Key: str("copy"), CopySource: str("src/missing")})
	require.Error(t, err)

	up, err := c.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{Bucket: str("dst"), Key: str("big")})
	require.NoError(t, err)
	require.Equal(t, "dst", *up.Bucket)
	half := bytes.Repeat([]byte("x"), 5<<20)
	p1, err := c.UploadPart(ctx, &awss3.UploadPartInput{Bucket: str("dst"), Key: str("big"), UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(half)})
	require.NoError(t, err)
	p2, err := c.UploadPartCopy(ctx, &awss3.UploadPartCopyInput{Bucket: str("dst"), Key: str("big"), UploadId: up.UploadId, PartNumber: aws.Int32(2), CopySource: str("src/a/b"), CopySourceRange: str("bytes=0-2")})
	require.NoError(t, err)
	parts, err := c.ListParts(ctx, &awss3.ListPartsInput{Bucket: str("dst"), Key: str("big"), UploadId: up.UploadId})
	require.NoError(t, err)
	require.Equal(t, "dst", *parts.Bucket)
	require.Len(t, parts.Parts, 2)
	done, err := c.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{
		Bucket: str("dst"), Key: str("big"), UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{
			{ETag: p1.ETag, PartNumber: aws.Int32(1)}, {ETag: p2.CopyPartResult.ETag, PartNumber: aws.Int32(2)},
		}},
	})
	require.NoError(t, err)
	require.Equal(t, "dst", *done.Bucket)
	head, err := c.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: str("dst"), Key: str("big")})
	require.NoError(t, err)
	require.EqualValues(t, len(half)+3, *head.ContentLength)

	list, err := c.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{Bucket: str("dst")})
	require.NoError(t, err)
	require.Equal(t, "dst", *list.Name)
	require.Len(t, list.Contents, 2)
	del, err := c.DeleteObjects(ctx, &awss3.DeleteObjectsInput{Bucket: str("dst"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: str("big")}, {Key: str("copy")}}}})
	require.NoError(t, err)
	require.Len(t, del.Deleted, 2)
	_, err = c.DeleteBucket(ctx, &awss3.DeleteBucketInput{Bucket: str("dst")})
	require.NoError(t, err)

	// Errors name the bucket as the client did, not where it is.
	_, err = c.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{Bucket: str("nowhere")})
	require.ErrorContains(t, err, "NoSuchBucket")
	require.NotContains(t, err.Error(), s.root)
	for _, path := range []string{"/.vgwlocks/x", "/..%2f..%2fetc/passwd", "/src/..%2f..%2f..%2fetc/passwd", "/src/../../etc/passwd"} {
		req, err := http.NewRequest(http.MethodGet, "http://"+s.Addr()+path, nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		require.GreaterOrEqual(t, resp.StatusCode, 400, path)
		require.NotContains(t, string(body), s.root)
	}
}

func TestWrongKeyIsRefused(t *testing.T) {
	s := serve(t, "bkt")
	c := awss3.New(awss3.Options{
		BaseEndpoint: aws.String("http://" + s.Addr()), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, "wrong", ""),
	})
	_, err := c.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{Bucket: aws.String("bkt")})
	require.ErrorContains(t, err, "SignatureDoesNotMatch")
	resp, err := http.Get("http://" + s.Addr() + "/bkt/x")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
}

func TestNothingIsPrinted(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = w, w
	t.Run("use", func(t *testing.T) {
		b := openBucket(t, serve(t, "blocks"), "blocks")
		require.NoError(t, b.Upload(ctx, "x", strings.NewReader("x")))
		_, err := b.Get(ctx, "missing")
		require.Error(t, err)
	})
	os.Stdout, os.Stderr = stdout, stderr
	require.NoError(t, w.Close())
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Empty(t, string(out))
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	cfg := DefaultConfig()
	cfg.Listen, cfg.AccessKey, cfg.SecretKey = l.Addr().String(), accessKey, secretKey
	s, err := New(cfg, t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.ErrorContains(t, services.StartAndAwaitRunning(ctx, s), "address already in use")
}

// TestSidecar runs on a filesystem without extended attributes, as it were.
func TestSidecar(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen, cfg.AccessKey, cfg.SecretKey, cfg.Buckets = "127.0.0.1:0", accessKey, secretKey, []string{"blocks"}
	dir := t.TempDir()
	for range 2 { // the second time, everything is there already
		s, err := New(cfg, dir, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		s.sidecar = true
		require.NoError(t, services.StartAndAwaitRunning(ctx, s))
		b := openBucket(t, s, "blocks")
		require.NoError(t, b.Upload(ctx, "x/y", strings.NewReader("content")))
		attrs, err := b.Attributes(ctx, "x/y")
		require.NoError(t, err)
		require.EqualValues(t, 7, attrs.Size)
		require.NoError(t, b.Close())
		require.NoError(t, services.StopAndAwaitTerminated(ctx, s))
	}
	require.DirExists(t, filepath.Join(dir, "meta-s3"))
	require.False(t, hasAttributes("/proc/self"))
}

func TestOff(t *testing.T) {
	s, err := New(DefaultConfig(), t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, services.StartAndAwaitRunning(ctx, s))
	require.NoError(t, services.StopAndAwaitTerminated(ctx, s))
}

func TestConfig(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	err := Config{Listen: "nonsense", SecretKey: "short", Buckets: []string{"A"}}.Validate()
	for _, want := range []string{"listen:", "access_key:", "secret_key:", "region:", "buckets:"} {
		require.ErrorContains(t, err, want)
	}
	_, err = New(Config{Listen: "x"}, "", nil)
	require.ErrorContains(t, err, "s3: listen")
}
