package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// rooted is versitygw's file backend made fit to live inside another program.
//
// The backend changes the working directory of the process to its root and uses bucket names as
// relative paths. rooted puts the working directory back and hands it absolute paths for bucket
// names, translating results and errors. Where it can't (copies, whose source is one string of
// bucket and key) it does the operation itself, by a read and a write.
//
// It also makes durable what the backend only writes: a success is sent after the object and the
// folders above it are synced.
type rooted struct {
	backend.BackendUnsupported // S3 Select and restore: the file backend has neither
	p                          *posix.Posix
	root                       string
}

var _ backend.Backend = (*rooted)(nil)

// chdir guards the moment in which the working directory is not ours.
var chdir sync.Mutex

// newRooted opens the backend over root, an absolute path that exists. Content types, checksums and
// ACLs are kept in extended attributes of the files, or in a folder beside the root with sidecar.
func newRooted(root string, sidecar bool) (*rooted, error) {
	chdir.Lock()
	defer chdir.Unlock()
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	var storer meta.MetadataStorer = meta.XattrMeta{}
	var opts posix.PosixOpts
	if sidecar {
		if storer, err = openSidecar(root, &opts); err != nil {
			return nil, err
		}
	}
	p, err := posix.New(root, storer, opts)
	if cerr := os.Chdir(wd); cerr != nil {
		return nil, errors.Join(err, cerr)
	}
	if err != nil {
		return nil, err
	}
	return &rooted{p: p, root: root}, nil
}

func openSidecar(root string, opts *posix.PosixOpts) (meta.MetadataStorer, error) {
	// Not ROOT-meta: the backend takes a path that begins like the root for one inside it.
	opts.SideCarDir = filepath.Join(filepath.Dir(root), "meta-"+filepath.Base(root))
	if err := os.MkdirAll(opts.SideCarDir, 0o777); err != nil {
		return nil, err
	}
	s, err := meta.NewSideCar(opts.SideCarDir)
	opts.SideCarDir = "" // only used to print where it is
	return s, err
}

// hasAttributes reports whether the filesystem of dir has extended attributes.
func hasAttributes(dir string) bool { return meta.XattrMeta{}.Test(dir) == nil }

// abs returns the path of a bucket. Names that the API has let through, but that are no folder of
// their own below the root, lead to a place where nothing is.
func (r *rooted) abs(bucket string) string {
	if bucket == "" || bucket[0] == '.' || strings.ContainsAny(bucket, `/\`) {
		bucket = ".no-such-bucket"
	}
	return filepath.Join(r.root, bucket)
}

func (r *rooted) ptr(bucket *string) *string {
	b := ""
	if bucket != nil {
		b = *bucket
	}
	b = r.abs(b)
	return &b
}

// fix names the bucket in err as the client named it.
func fix(err error) error {
	var be s3err.BucketError
	if errors.As(err, &be) {
		be.BucketName = filepath.Base(be.BucketName)
		return be
	}
	return err
}

// syncDirs makes the name of key in bucket durable, and the folders on the way to it.
func (r *rooted) syncDirs(bucket, key string) error {
	dir := filepath.Join(r.abs(bucket), filepath.Dir(key))
	for {
		if err := syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sync folder of object: %w", err)
		}
		if dir == r.root || len(dir) < len(r.root) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (r *rooted) Shutdown()      { r.p.Shutdown() }
func (r *rooted) String() string { return r.p.String() }

func (r *rooted) NormalizeObjectKey(bucket, object string) string {
	return r.p.NormalizeObjectKey(r.abs(bucket), object)
}

// buckets returns the folders below the root.
func (r *rooted) buckets() ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(r.root)
	if err != nil {
		return nil, err
	}
	var infos []fs.FileInfo
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := e.Info(); err == nil { // else it was deleted since
			infos = append(infos, info)
		}
	}
	return infos, nil
}

func (r *rooted) owner(ctx context.Context, bucket string) (string, error) {
	b, err := r.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &bucket})
	if err != nil {
		return "", err
	}
	acl, err := auth.ParseACL(b)
	return acl.Owner, err
}

func (r *rooted) ListBuckets(ctx context.Context, in s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	out := s3response.ListAllMyBucketsResult{Owner: s3response.CanonicalUser{ID: in.Owner}, Prefix: in.Prefix}
	infos, err := r.buckets()
	if err != nil {
		return out, err
	}
	list := &out.Buckets.Bucket
	for _, info := range infos {
		name := info.Name()
		if !strings.HasPrefix(name, in.Prefix) || name <= in.ContinuationToken {
			continue
		}
		if !in.IsAdmin {
			if owner, err := r.owner(ctx, name); err != nil || owner != in.Owner {
				continue
			}
		}
		if in.MaxBuckets > 0 && len(*list) == int(in.MaxBuckets) {
			out.ContinuationToken = (*list)[len(*list)-1].Name
			break
		}
		*list = append(*list, s3response.ListAllMyBucketsEntry{Name: name, CreationDate: info.ModTime()})
	}
	return out, nil
}

func (r *rooted) ListBucketsAndOwners(ctx context.Context) ([]s3response.Bucket, error) {
	infos, err := r.buckets()
	if err != nil {
		return nil, err
	}
	var out []s3response.Bucket
	for _, info := range infos {
		owner, err := r.owner(ctx, info.Name())
		if err != nil {
			return nil, err
		}
		out = append(out, s3response.Bucket{Name: info.Name(), Owner: owner})
	}
	return out, nil
}

func (r *rooted) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, acl []byte) error {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	if err := r.p.CreateBucket(ctx, &c, acl); err != nil {
		return fix(err)
	}
	return syncDir(r.root)
}

func (r *rooted) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	bucket := *in.Bucket
	in.Bucket = r.ptr(in.Bucket)
	out, err := r.p.PutObjectWithPostFunc(ctx, in, func(f *os.File) error { return f.Sync() })
	if err != nil {
		return out, fix(err)
	}
	return out, r.syncDirs(bucket, *in.Key)
}

func (r *rooted) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	// Not synced: the object that is made of the parts will be.
	out, err := r.p.UploadPart(ctx, &c)
	return out, fix(err)
}

func (r *rooted) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, version, err := r.p.CompleteMultipartUpload(ctx, &c)
	out.Bucket = in.Bucket
	if err != nil {
		return out, version, fix(err)
	}
	f, err := os.OpenFile(filepath.Join(*c.Bucket, *in.Key), os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return out, version, fmt.Errorf("sync object: %w", err)
	}
	return out, version, r.syncDirs(*in.Bucket, *in.Key)
}

func (r *rooted) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.DeleteObject(ctx, &c)
	if err != nil {
		return out, fix(err)
	}
	return out, r.syncDirs(*in.Bucket, *in.Key)
}

func (r *rooted) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.DeleteObjects(ctx, &c)
	if err != nil {
		return out, fix(err)
	}
	for _, d := range out.Deleted {
		if d.Key == nil {
			continue
		}
		if err := r.syncDirs(*in.Bucket, *d.Key); err != nil {
			return out, err
		}
	}
	return out, nil
}

// CopyObject reads the source and writes it anew.
func (r *rooted) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (out s3response.CopyObjectOutput, err error) {
	bucket, key, _, err := backend.ParseCopySource(deref(in.CopySource))
	if err != nil {
		return out, err
	}
	src, err := r.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &bucket, Key: &key,
		IfMatch: in.CopySourceIfMatch, IfNoneMatch: in.CopySourceIfNoneMatch,
		IfModifiedSince: in.CopySourceIfModifiedSince, IfUnmodifiedSince: in.CopySourceIfUnmodifiedSince,
	})
	if err != nil {
		return out, err
	}
	defer src.Body.Close()
	put := s3response.PutObjectInput{
		Bucket: in.Bucket, Key: in.Key, Body: src.Body, ContentLength: src.ContentLength,
		Metadata: src.Metadata, ContentType: src.ContentType, ContentEncoding: src.ContentEncoding,
		ContentDisposition: src.ContentDisposition, ContentLanguage: src.ContentLanguage, CacheControl: src.CacheControl,
		Expires: src.ExpiresString, ChecksumAlgorithm: in.ChecksumAlgorithm, WebsiteRedirectLocation: in.WebsiteRedirectLocation,
		ObjectLockMode: in.ObjectLockMode, ObjectLockRetainUntilDate: in.ObjectLockRetainUntilDate,
		ObjectLockLegalHoldStatus: in.ObjectLockLegalHoldStatus,
	}
	if in.MetadataDirective == types.MetadataDirectiveReplace {
		put.Metadata, put.ContentType, put.ContentEncoding = in.Metadata, in.ContentType, in.ContentEncoding
		put.ContentDisposition, put.ContentLanguage = in.ContentDisposition, in.ContentLanguage
		put.CacheControl, put.Expires = in.CacheControl, in.Expires
	}
	if in.TaggingDirective == types.TaggingDirectiveReplace {
		put.Tagging = in.Tagging
	}
	stored, err := r.PutObject(ctx, put)
	if err != nil {
		return out, err
	}
	head, err := r.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key})
	if err != nil {
		return out, err
	}
	out.CopyObjectResult = &s3response.CopyObjectResult{ETag: &stored.ETag, LastModified: head.LastModified}
	return out, nil
}

// UploadPartCopy reads the range of the source and writes it as a part.
func (r *rooted) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (out s3response.CopyPartResult, err error) {
	bucket, key, _, err := backend.ParseCopySource(deref(in.CopySource))
	if err != nil {
		return out, err
	}
	src, err := r.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &bucket, Key: &key, Range: in.CopySourceRange,
		IfMatch: in.CopySourceIfMatch, IfNoneMatch: in.CopySourceIfNoneMatch,
		IfModifiedSince: in.CopySourceIfModifiedSince, IfUnmodifiedSince: in.CopySourceIfUnmodifiedSince,
	})
	if err != nil {
		return out, err
	}
	defer src.Body.Close()
	part, err := r.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: in.Bucket, Key: in.Key, UploadId: in.UploadId, PartNumber: in.PartNumber,
		Body: src.Body, ContentLength: src.ContentLength,
	})
	if err != nil {
		return out, err
	}
	if src.LastModified != nil {
		out.LastModified = *src.LastModified
	}
	out.ETag = part.ETag
	return out, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
